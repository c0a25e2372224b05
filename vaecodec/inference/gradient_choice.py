"""Symbols chosen for one picture by the gradient of its distortion, on the lattice that is coded.

The exact prior codes latents, the picture that they stand for is compared with the original, and the gradient of λ·d
moves what is to be rounded; then the exact prior codes that, weighing each symbol's code length against its error. Once
or many times. It is a proximal step, as in iterative thresholding, whose proximal operator is `rounding.rdo_round`:

    target ← (1 − pull) target + pull y_hat − gradient / (2 weight)        y_hat ← rdo_round(target, weight)

The weight, bits for a squared error of one symbol, stands for the curvature. Of squared error that is about the same
everywhere. How people see differs from place to place, so there it is taken from the gradient: errors of rounding are
about as large everywhere, and where they have a steep gradient they are dear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vaecodec.coding.latent_coder import LatentCoder
from vaecodec.coding.latent_store import Coded
from vaecodec.coding.symbol_choice import RateDistortionChoice, SymbolWeights
from vaecodec.format.tables import FRACTIONS
from vaecodec.inference.effort import Progress
from vaecodec.networks.model import HYPER, PATCH, ImageVAE
from vaecodec.networks.precision import autocast
from vaecodec.objective.distortion import Part, PictureStructure
from vaecodec.objective.ssimulacra2 import Sums
from vaecodec.pictures.tiles import Tile, cut, scaled, tiles, window

AREA, HALO = 256, 1
"""Positions of z (64x64 pixels) that are differentiated together, about, and how many around them are seen."""
LARGE = 2**12
"""Positions of z above which tiles are a quarter as large."""


@dataclass(frozen=True)
class Step:
    """How targets move, for one distortion.

    Attributes:
        pull: share of the way to the symbol that a target goes each time.
        least: the smallest weight, in bits for a squared symbol.
        steepness: weight for a gradient of 1 (root mean square at a place), in the first step,
        rise: and what is added to that in each further one.
        channels: exponent of a channel's share in the gradient.
    """

    pull: float
    least: float
    steepness: float = 0.0
    rise: float = 0.0
    channels: float = 0.0


STEPS = {"mse": Step(0.5, 20.0), "looks": Step(0.18, 20.0, 11.0, 2.0, 0.6)}
"""For each distortion; found on held-out pictures (docs/training-log.md)."""


SeenPart = Callable[[slice, slice], Tensor | None]
"""How much of an error is seen in a part of a picture, given its rows and columns: see `synthesise`."""


def everything(rows: slice, columns: slice) -> None:
    """A `SeenPart` of pictures in which all errors are seen."""


def synthesise(model: ImageVAE, y: Tensor, quality: Tensor, like: Tensor, seen: Tensor | None = None) -> Tensor:
    """The picture in [0, 1] that normalised latents stand for, as large as another.

    Args:
        seen: `[1, 1, h, w]` in [0, 1], the share of its difference from that one which is seen; all unless told.
    """
    height, width = like.shape[-2:]
    x_hat = model.synthesis(y, quality)[:, :, :height, :width].float() + 0.5
    return x_hat if seen is None else like + seen * (x_hat - like)


class PictureGradient:
    """The gradient of λ·d in bits, by symbols, of one picture.

    Args:
        model: its networks; they run where its weights are.
        target: parts of the picture.
        size: (rows, columns) of it.
        quality: `[1]` in [0, 1].
        seen: for parts of it, how much of an error is seen, see `synthesise`.
    """

    def __init__(
        self, model: ImageVAE, target: Part, size: tuple[int, int], quality: Tensor, seen: SeenPart = everything
    ):
        self.model, self.target, self.size, self.quality, self.seen = model, target, size, quality, seen
        self.pixels, self.structure = size[0] * size[1], PictureStructure(target, size)
        self.weight = float(model.config.lmbda(quality)) * 255.0**2 * self.pixels
        with torch.no_grad():
            self.gain = model.prior.gain(quality)

    def synthesise(self, y_hat: Tensor, like: Tensor, seen: Tensor | None) -> Tensor:
        """The picture in [0, 1] that symbols `[1, M, h, w]` stand for, as large as another; see `synthesise`."""
        return synthesise(self.model, y_hat / self.gain, self.quality, like, seen)

    def totals(self, coded: Coded) -> list[Sums] | None:
        """What d is pooled from over the whole picture, for `of_tile`; `None` for squared error."""
        if not self.model.distortion.structure_share:
            return None

        def decoded(rows: slice, columns: slice) -> Tensor:
            area = [slice(s.start // PATCH, -(-s.stop // PATCH)) for s in (rows, columns)]
            symbols = _symbols(coded, (area[0], area[1]))
            return self.synthesise(symbols, self.target(rows, columns), self.seen(rows, columns))

        return self.structure.sums(decoded)

    def of_tile(self, coded: Coded, tile: Tile, totals: list[Sums] | None) -> Tensor:
        """`[1, M, h, w]` for the inner part of a tile of the positions of y."""
        area = cut(scaled(tile.outer, PATCH), self.size)
        x, seen = self.target(*area), self.seen(*area)
        symbols = _symbols(coded, tile.outer).requires_grad_()
        with torch.enable_grad():
            with autocast(x.device):
                x_hat = self.synthesise(symbols, x, seen)
            d = self.model.distortion.part(x_hat, x, self.pixels, totals)
            (gradient,) = torch.autograd.grad(self.weight * d, symbols)
        return window(gradient, tile.crop)


def _symbols(coded: Coded, area: tuple[slice, slice]) -> Tensor:
    return (window(coded.merged(), area).float() / FRACTIONS).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def choose(
    coder: LatentCoder,
    gradient: PictureGradient,
    z: Tensor,
    y: Tensor,
    quality: int,
    first: RateDistortionChoice,
    times: int,
    progress: Progress | None = None,
) -> RateDistortionChoice:
    """Moves latents to where the picture's gradient wants them, `times` in turn.

    Args:
        z, y: as `ImageVAE.infer` gives them, of one picture; y is overwritten.
        quality: code.
        first: how symbols are chosen before there is a gradient.
        progress: see `effort.Progress`.

    Returns:
        How to choose the symbols of what y is now.
    """
    step, choice = STEPS[gradient.model.config.distortion], first
    gain, sides = coder.prior.at(quality).gain.to(y), (y.shape[-2], y.shape[-1])
    y_tiles = [
        Tile(cut(tile.inner, sides), cut(tile.outer, sides))
        for tile in (z_tile.scaled(HYPER) for z_tile in gradient_tiles(z))
    ]
    for number in range(times):
        _, coded, _ = coder.code(z, y, quality, choice)
        totals = gradient.totals(coded) if len(y_tiles) > 1 else None
        place_by_place = _Weights(y, step, number) if step.steepness else None
        for tile in y_tiles:
            slope, inner = gradient.of_tile(coded, tile, totals), window(y, tile.inner)
            weight = place_by_place.add(slope, tile) if place_by_place else step.least
            inner += step.pull * (_symbols(coded, tile.inner) / gain - inner) - slope / (2 * weight * gain)
        choice = RateDistortionChoice(coder.tables, place_by_place.weights if place_by_place else step.least)
        if progress is not None and not progress(number + 1, times):
            break
    return choice


class _Weights:
    """Gathers weights from the gradient, tile by tile.

    Args:
        y: latents of the picture.
        number: of the step, from 0.
    """

    def __init__(self, y: Tensor, step: Step, number: int):
        self.step, self.steepness = step, step.steepness + step.rise * number
        self.pixels, self.channels = 0, torch.zeros_like(y[:, :, :1, :1])
        self.positions = y.new_zeros((1, 1, *y.shape[-2:]))

    def add(self, slope: Tensor, tile: Tile) -> Tensor:
        """Takes the gradient `[1, M, h, w]` of a tile's inner part, and returns its weights."""
        squares = slope.square()
        positions = F.avg_pool2d(squares.mean(1, keepdim=True), 3, 1, 1, count_include_pad=False)
        positions = window(self.positions, tile.inner).copy_(self.steepness * positions.sqrt())
        channels = squares.mean((2, 3), keepdim=True) / squares.mean().clamp_min(1e-12)
        channels = channels.clamp_min_(0.01) ** (self.step.channels / 2)
        pixels = slope.shape[-2] * slope.shape[-1]
        self.pixels += pixels
        self.channels += (channels - self.channels) * (pixels / self.pixels)
        return (positions * channels).clamp_min_(self.step.least)

    @property
    def weights(self) -> SymbolWeights:
        """Those of the whole picture; channels have their means."""
        return SymbolWeights(self.positions, self.channels, self.step.least)


def gradient_tiles(z: Tensor) -> list[Tile]:
    """Tiles on the grid of z; smaller ones in a large picture, which has to be in memory beside their gradients."""
    rows, columns = z.shape[-2:]
    return list(tiles(rows, columns, halo=HALO, area=AREA if rows * columns <= LARGE else AREA // 4))
