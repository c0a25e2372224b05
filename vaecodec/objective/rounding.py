"""Inference beyond one pass of the encoder: symbols chosen for the bound, not for nearness alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from vaecodec.objective.bound import Rounding, gaussian_bits

Weight = TypeVar("Weight", float, Tensor)


class Trained(Protocol):
    """What a model's configuration says of its training; `networks.config.ModelConfig` does."""

    @property
    def distortion(self) -> str:
        """A name from `distortion.DISTORTIONS`."""

    def nominal_quality(self, quality: Weight) -> Weight:
        """A quality from 0 to 1 on the scale of the range of λ for which weights were fitted."""


RDO_WEIGHTS = {"mse": (31.0, 75.0), "looks": (60.0, 120.0)}
"""For each distortion, what `rdo_weight` is at both ends of the range of λ for which it was fitted."""


def rdo_weight(quality: Weight, config: Trained) -> Weight:
    """Bits that a squared error of one symbol is taken to cost, at a model's qualities from 0 to 1.

    At high rate, for squared error and an orthonormal transform it would be 6 / ln 2 = 8.7, whatever λ is: squared
    error Δ²/12 and rate −log2 Δ a coefficient balance at a step Δ for which an error e (in steps) adds 6 e² / ln 2 bits
    to the objective. That is best for a young model; trained encoders spare symbols by themselves, and errors are
    dearer. Measured on held-out pictures (benchmarks/symbol_choice.py): BD-rate is even from 22 to 45 at the lowest
    rates. The lower end of that lost more than it saved on some drawings (docs/training-log.md).
    """
    low, high = RDO_WEIGHTS[config.distortion]
    return low * (high / low) ** config.nominal_quality(quality)


def rdo_round(u: Tensor, mean: Tensor, bits: Callable[[Tensor], Tensor], weight: float | Tensor) -> Tensor:
    """Rate-distortion optimised rounding: the nearest integer, or its neighbour towards the mean if that pays.

    Args:
        u: latents minus the lattice's offset, in symbols.
        mean: of the prior, on the same scale.
        bits: code lengths of symbols, elementwise.
        weight: bits for a squared error of one, see `rdo_weight`.

    Returns:
        Integers, of the shape and type of `u`.
    """
    nearest, inner, saved, paid = exchanges(u, mean, bits, weight)
    return torch.where(saved > paid, inner, nearest)


def exchanges(
    u: Tensor, mean: Tensor, bits: Callable[[Tensor], Tensor], weight: float | Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `rdo_round` decides between: the nearest integers, their neighbours towards the mean, bits that those save,
    and bits that their error is taken to cost."""
    nearest = u.round()
    step = torch.sign(nearest - mean) * ((nearest - mean).abs() > 0.5)
    inner = nearest - step
    saved = bits(nearest) - bits(inner)
    return nearest, inner, saved, weight * ((u - inner).square() - (u - nearest).square())


def optimised(quality: Tensor, config: Trained) -> Rounding:
    """The discrete bound at the symbols that the codec chooses, by the float prior, for `[B]` qualities.

    Gradients pass straight through: on a lattice that moves with the mean they are all that the mean gets of the rate.
    """
    weight = rdo_weight(quality, config)[:, None, None, None]

    def rounding(u: Tensor, mean: Tensor, log2_scale: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            symbols = rdo_round(u, mean, lambda symbols: gaussian_bits(symbols - mean, log2_scale), weight)
        symbols = u + (symbols - u).detach()
        return symbols, symbols

    return rounding
