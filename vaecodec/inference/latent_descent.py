"""Semi-amortised inference: the latents of one picture, improved by gradients of the discrete bound.

It begins near symbols that `gradient_choice.choose` took. A latent u between two symbols of its lattice stands for one
of them, drawn with probabilities that have mean u. Then the code length is linear between the symbols, and the squared
error is that at u plus w f (1 - f), with f the position between them and w half the curvature: the bound's expectation,
to second order. Along each latent it is concave, so its minima are symbols, and a latent that has come to one leaves it
only if that pays: the descent is discrete in the end and needs no noise and no temperature. The steps of all latents
are scaled by their curvatures, which one backward pass with random signs tells (Hutchinson's estimator of the
Gauss-Newton diagonal). Yang, Bamler and Mandt (2020) anneal Gumbel noise instead; docs/training-log.md compares.

The gradient goes through synthesis and prior, in bfloat16 where the processor has it: the lattice of the later steps of
the prior hangs on the earlier ones, and a latent that lies on a symbol moves with its lattice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec.inference.effort import Progress
from vaecodec.inference.gradient_choice import SeenPart, everything, gradient_tiles, synthesise
from vaecodec.networks.config import HYPER, PATCH
from vaecodec.networks.model import ImageVAE
from vaecodec.networks.precision import autocast
from vaecodec.networks.prior import Cells
from vaecodec.objective.bound import gaussian_bits
from vaecodec.pictures.tiles import Tile, scaled, window

STEP, LAST_STEP = 0.3, 0.1
"""Share of a Newton step, at the beginning and at the end."""
LONGEST = 0.2
"""No step is longer, in symbols: far from a symbol the expansion does not hold."""
MOMENTUM = 0.8
SPREAD, LAST_SPREAD = 0.8, 1.2
"""Times w f (1 - f), at the beginning and at the end; above 1 it hurries latents to symbols."""
Z_CURVATURE = 40.0
"""Bits for a squared step of z; a guess that works (z has hardly any influence on the error)."""
ON_SYMBOL = 0.02
"""Nearer than this a latent is on its symbol."""
PROBES = 2
PATIENCE, ENOUGH = 30, 2e-5
"""It stops when so many steps have gained less than this share of the objective."""


@dataclass
class _Slopes:
    """Where a group of latents lies on its lattice; all of the group's shape.

    Attributes:
        place: relative to the nearest symbol, -1/2 to 1/2.
        up, down: bits that the next symbol above, or below, takes more than the nearest.
    """

    place: Tensor
    up: Tensor
    down: Tensor


def _expected_bits(u: Tensor, mean: Tensor, log2_scale: Tensor) -> tuple[Tensor, Tensor, _Slopes]:
    """Code lengths, linear between integers, and the nearest; differentiable in all arguments, through code lengths."""
    symbols = u.detach().round()
    place = u - symbols
    here = gaussian_bits(symbols - mean, log2_scale)
    up = gaussian_bits(symbols + 1 - mean, log2_scale) - here
    down = gaussian_bits(symbols - 1 - mean, log2_scale) - here
    bits = here + place.clamp_min(0) * up + (-place).clamp_min(0) * down
    return bits, symbols, _Slopes(place.detach(), up.detach(), down.detach())


def _step(gradient: Tensor, at: _Slopes, w: Tensor, spread: float, rate: float) -> Tensor:
    """How far latents move, given the gradient of all but their own code length, along their own bound."""
    spread_up, spread_down = gradient + at.up + spread * w, gradient - at.down - spread * w
    slope = torch.where(at.place > 0, spread_up, spread_down) - 2 * spread * w * at.place
    on_symbol = at.place.abs() < ON_SYMBOL
    leaving = torch.where(spread_up < 0, spread_up, spread_down.clamp_min(0))
    slope = torch.where(on_symbol, leaving, slope)
    move = (-rate / 2 * slope / w).clamp(-LONGEST, LONGEST)
    arrives = (slope == 0) | ((at.place * (at.place + move) < 0) & ~on_symbol)
    return torch.where(arrives, -at.place, move)


class _Part:
    """A part of a picture and its latents, small enough to be differentiated at once.

    Args:
        target: `[1, 3, h, w]` in [0, 1]; at most 16 times the latents' sides, since what is padded does not count.
        z, y: of this part; y in symbols.
        tile: on the grid of z; what its inner part holds may move.
        seen: how much of an error is seen, see `gradient_choice.synthesise`.
    """

    def __init__(
        self, model: ImageVAE, target: Tensor, z: Tensor, y: Tensor, quality: Tensor, tile: Tile, seen: Tensor | None
    ):
        self.seen = seen
        self.model, self.target, self.quality = model, target, quality
        self.prior, self.like = model.prior, y
        self.weight = model.config.lmbda(quality) * 255**2 / 3
        with torch.no_grad():
            self.gain = self.prior.gain(quality)
            self.z_prediction = self.prior.predict_z(quality)
        self.latents = [z.clone(), *(part.contiguous(memory_format=torch.channels_last) for part in Cells.split(y))]
        free_z, free_y = torch.zeros_like(z), torch.zeros_like(y)
        window(free_z, tile.crop).fill_(1)
        window(free_y, tile.scaled(HYPER).crop).fill_(1)
        self.free = [free_z, *Cells.split(free_y)]
        outside = Cells(y).outside()
        self.outside = None if outside is None else outside.to(y.device)
        self.velocity = [torch.zeros_like(latents) for latents in self.latents]
        self.curvature = [torch.full_like(z, Z_CURVATURE), *self._curvature()]

    def _picture(self, y: Tensor) -> Tensor:
        return synthesise(self.model, y / self.gain, self.quality, self.target, self.seen)

    def _curvature(self) -> list[Tensor]:
        """Half the Gauss-Newton diagonal of the distortion in bits for a squared symbol, in cells.

        As a product of one factor a channel and one a position, since the probes are few.
        """
        generator, total = torch.Generator().manual_seed(0), torch.zeros_like(self.like)
        for _ in range(PROBES):
            y = self.like.detach().requires_grad_()
            with torch.enable_grad(), autocast(self.target.device):
                picture = self._picture(y)
            signs = torch.randint(0, 2, picture.shape, generator=generator).mul_(2).sub_(1).to(picture)
            (gradient,) = torch.autograd.grad(picture, y, signs)
            total = total + gradient.float().square() * (self.weight / PROBES)
        channels = total.mean((2, 3), keepdim=True).clamp_min(1e-3)
        return Cells.split(channels * (total / channels).mean(1, keepdim=True).clamp_min(0.1))

    def _expectation(self, leaves: list[Tensor]) -> tuple[Tensor, list[_Slopes]]:
        """Bits of rate and weighted distortion; differentiable, but for each latent's own code length."""
        z, *steps = leaves
        bits, _, slopes = _expected_bits(z.detach(), self.z_prediction.mean, self.z_prediction.log2_scale)
        total, places = bits.sum(), [slopes]
        hyper = self.prior.hyper(z, self.quality)
        coded = Cells(self.like)
        for step, y in enumerate(steps):
            prediction = self.prior.predict_y(step, hyper, coded, self.quality)
            mean = prediction.mean - prediction.offset
            bits, symbols, slopes = _expected_bits(y.detach() - prediction.offset, mean, prediction.log2_scale)
            moving = prediction.offset + symbols + (y - y.detach())
            y = torch.where(slopes.place.abs() < ON_SYMBOL, moving, y)
            if self.outside is not None:
                bits = bits.masked_fill(self.outside, 0.0)
                y = torch.where(self.outside, prediction.offset, y)
            total = total + bits.sum()
            places.append(slopes)
            coded.put(y)
        error = self._picture(coded.merged()).clamp(0, 1) - self.target
        return total + self.weight.sum() * error.square().sum(), places

    def step(self, share: float) -> float:
        """One step; `share` of the way is done. Returns the expected bound before it, in bits."""
        leaves = [latents.detach().requires_grad_() for latents in self.latents]
        with torch.enable_grad(), autocast(self.target.device):
            objective, places = self._expectation(leaves)
        gradients = torch.autograd.grad(objective, leaves)
        spreading = sum(
            (w * at.place.abs() * (1 - at.place.abs()) * free).sum()
            for w, at, free in zip(self.curvature, places, self.free, strict=True)
        )
        rate = STEP * (LAST_STEP / STEP) ** share
        spread = SPREAD + (LAST_SPREAD - SPREAD) * share
        for i, gradient in enumerate(gradients):
            self.velocity[i] = MOMENTUM * self.velocity[i] + (1 - MOMENTUM) * gradient
            move = _step(self.velocity[i], places[i], self.curvature[i], spread, rate)
            self.latents[i] = self.latents[i] + move * self.free[i]
        return float(objective + spreading)

    def merged(self) -> tuple[Tensor, Tensor]:
        """z and y as they are now."""
        coded = Cells(self.like)
        for latents in self.latents[1:]:
            coded.put(latents)
        return self.latents[0], coded.merged()


@torch.no_grad()
def refine(
    model: ImageVAE,
    target: Callable[[slice, slice], Tensor],
    z: Tensor,
    y: Tensor,
    quality: Tensor,
    steps: int,
    progress: Progress | None = None,
    seen: SeenPart = everything,
) -> tuple[Tensor, Tensor]:
    """Latents with a smaller bound than those that the encoder infers, tile by tile.

    Args:
        target: a part of the picture, `[1, 3, h, w]` in [0, 1], given its rows and columns in pixels; less where the
            picture ends.
        z, y: as `ImageVAE.infer` gives them, of one picture.
        quality: `[1]` in [0, 1].
        steps: at most, a tile.
        progress: see `effort.Progress`; after an interruption, tiles that have not been reached stay as they are.
        seen: how much of an error is seen in a part of the picture, as `target` is asked for it.

    Returns:
        z and y, unrounded; nearly all lie on symbols. This y is the one that was given, overwritten.
    """
    gain = model.prior.gain(quality)
    z, y = z.float().clone(), y.mul_(gain)
    z_tiles, going = gradient_tiles(z), True
    for number, z_tile in enumerate(z_tiles):
        tile = z_tile.scaled(HYPER)
        z_part, y_part = window(z, z_tile.outer), window(y, tile.outer)
        area = scaled(tile.outer, PATCH)
        part = _Part(model, target(*area), z_part, y_part, quality, z_tile, seen(*area))
        objectives: list[float] = []
        for step in range(steps):
            objectives.append(part.step(step / max(steps - 1, 1)))
            if not math.isfinite(objectives[-1]):
                break
            going = progress is None or progress(number * steps + step + 1, len(z_tiles) * steps)
            if not going or _stalled(objectives):
                break
        if math.isfinite(objectives[-1]):
            for place, values in zip((z_part, y_part), part.merged(), strict=True):
                place.copy_(values)
        if not going:
            break
    return z, y.div_(gain)


def _stalled(objectives: list[float]) -> bool:
    if len(objectives) <= PATIENCE:
        return False
    return objectives[-1 - PATIENCE] - objectives[-1] < ENOUGH * objectives[-1]
