"""Trained networks to integers, at export, and back to floats; `fixed_point` computes with them.

Each layer gets the largest scale at which no partial sum leaves the range that is exact in its carrier.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from vaecodec.errors import ModelError
from vaecodec.networks.blocks import Depthwise, Pointwise
from vaecodec.networks.fixed_point import (
    ACTIVATION_BITS,
    MANTISSA_BITS,
    RAW_BITS,
    TABLE_BITS,
    largest_input,
)
from vaecodec.networks.posterior import Posterior
from vaecodec.networks.prior import Prior, RawHead

WEIGHT_MAX = 2**15 - 1


def _to_integers(
    layer: Pointwise | Depthwise, output_bits: int, limit: float, weight_max: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, biases and shifts, all int32, for one layer, at the largest scale that keeps every channel's bound."""
    weight, bias = layer.weight.detach().double().flatten(1), layer.bias.detach().double()
    chosen_weight = torch.zeros_like(weight)
    chosen_bias, chosen_shift = torch.zeros_like(bias), torch.zeros_like(bias)
    done = torch.zeros_like(bias, dtype=torch.bool)
    for scale_bits in range(20, -8, -1):
        shift = ACTIVATION_BITS + scale_bits - output_bits
        if shift < 1:
            break
        w = torch.round(weight * 2.0**scale_bits)
        b = torch.round(bias * 2.0 ** (ACTIVATION_BITS + scale_bits)) + 2.0 ** (shift - 1)
        bounded = w.abs().sum(1) * largest_input(layer) + b.abs() < limit
        fits = bounded & (w.abs().amax(1) <= weight_max) & (b.abs() < 2.0**31) & ~done
        chosen_weight[fits], chosen_bias[fits], chosen_shift[fits] = w[fits], b[fits], float(shift)
        done |= fits
    if not done.all():
        raise ModelError(f"{int((~done).sum())} channels of a layer of the prior have no exact integer form")
    return chosen_weight.int(), chosen_bias.int(), chosen_shift.int()


def convert_layers(networks: nn.Module, limit: float = 2.0**24, weight_max: int = WEIGHT_MAX) -> dict[str, Tensor]:
    """The integers of trained layers, by name, ready to be stored; `in_integers` runs them.

    Args:
        networks: of `Pointwise` and `Depthwise` layers, each followed by a `Clip` unless it is a `RawHead`.
        limit: what no partial sum of a layer may reach; 2^24 lets every layer run on float32.
        weight_max: largest weight, of at most 16 bits with its sign.

    Raises:
        ModelError: a layer cannot keep its bound.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in networks.named_modules():
        if isinstance(module, (Pointwise, Depthwise)):
            output_bits = RAW_BITS if isinstance(module, RawHead) else ACTIVATION_BITS
            weight, bias, shift = _to_integers(module, output_bits, limit, weight_max)
            tensors[f"{name}.weight"] = weight.to(torch.int16 if weight_max > 127 else torch.int8)
            tensors[f"{name}.bias"] = bias
            tensors[f"{name}.shift"] = shift.to(torch.uint8)
    return tensors


def float_layers(tensors: dict[str, Tensor], raw: Collection[str] = ()) -> dict[str, Tensor]:
    """The weights and biases that the integers of `convert_layers` stand for.

    Args:
        raw: names of the layers that are `RawHead`s.
    """
    weights: dict[str, Tensor] = {}
    for name in {key.rpartition(".")[0] for key in tensors}:
        weight, bias, shift = (tensors[f"{name}.{part}"].double() for part in ("weight", "bias", "shift"))
        scale_bits = shift - ACTIVATION_BITS + (RAW_BITS if name in raw else ACTIVATION_BITS)
        unit = torch.exp2(-scale_bits)
        weights[f"{name}.weight"] = (weight * unit[:, None]).float()
        weights[f"{name}.bias"] = ((bias - torch.exp2(shift - 1)) * unit / 2**ACTIVATION_BITS).float()
    return weights


def convert(part: Prior | Posterior, limit: float = 2.0**24) -> dict[str, Tensor]:
    """The integers of a trained prior or posterior, by name, ready to be stored.

    Args:
        limit: see `convert_layers`.

    Raises:
        ModelError: a layer cannot keep its bound.
    """
    tensors = convert_layers(part.networks, limit)
    for name, bits in TABLE_BITS.items():
        if hasattr(part, name):
            tensors[name] = torch.round(getattr(part, name).table.detach().double() * 2**bits).int()
    if isinstance(part, Prior):
        mantissa = [round(2.0 ** (i / 2**RAW_BITS + MANTISSA_BITS)) for i in range(2**RAW_BITS)]
        tensors["exp2"] = torch.tensor(mantissa, dtype=torch.int32)
    return tensors
