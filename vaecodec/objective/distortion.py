"""What d is in the objective λ·255²·d + R: squared error, or how people see.

`mse` is the lecture's Gaussian observation model, under which all errors of a size are equally likely. `looks` adds the
distance from which SSIMULACRA2 makes its score (`ssimulacra2`). Within one picture that is in proportion to squared
error over all qualities, with a factor of the picture's own; `STRUCTURE_UNIT` brings it to about the size of squared
error, so that λ keeps its meaning. The objective is then no bound on log p(x) but that of generalised variational
inference: the normaliser of exp(−λ·255²·d) hangs on the reconstruction.

A model's configuration names its distortion, and training, `validate`, the levels of effort and the encoder's
comparisons use that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vaecodec.errors import ModelError
from vaecodec.objective.ssimulacra2 import REACH, SCALES, Structure, Sums, raw_distance, score, slopes
from vaecodec.pictures.metrics import mse
from vaecodec.pictures.tiles import Area, Tile, cut, tiles

Number = TypeVar("Number", float, Tensor)
STRUCTURE_UNIT = 1e-4
LEAST_SIDE = 256
"""Smaller pictures are mirrored up to it, so that every scale counts and λ means the same for an icon."""
MEASURED_SIDE = 225
"""From here on the package ssimulacra2 sees all scales."""
TILE_SIDE = 768
"""Pixels a side of the parts in which a picture is measured."""
KEPT_PIXELS = 2**22
"""Of originals up to here the planes are kept from one comparison to the next, 7 bytes a pixel."""
Part = Callable[[slice, slice], Tensor]
"""A part of a picture `[1, 3, h, w]`, uint8 or float in [0, 1], given its rows and columns."""


@dataclass(frozen=True)
class Distortion:
    """d(x, x_hat), in units of squared error on [0, 1].

    Attributes:
        structure_share: of SSIMULACRA2's distance in it; the rest is squared error.
        usual: pairs of λ and the squared error of 8-bit samples that one in a hundred tiles of photographs exceeds, in
            tiles of 64 pixels a side, when coded by the shipped model for this distortion; see `usual_error`.
    """

    structure_share: float = 0.0
    usual: tuple[tuple[float, float], ...] = ()

    def __call__(self, x_hat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """d and squared error, both `[B]`, of float pictures `[B, 3, H, W]`; differentiable in x_hat.

        Args:
            x_hat: may leave [0, 1].
            x: in [0, 1].
        """
        squares = (x_hat - x).square().flatten(1).mean(1)
        if not self.structure_share:
            return squares, squares
        with torch.autocast(x.device.type, enabled=False):
            return self.joined(squares, Structure(_mirrored(x))(_mirrored(x_hat.float()))), squares

    def part(self, x_hat: Tensor, x: Tensor, pixels: int, totals: list[Sums] | None) -> Tensor:
        """What a part of one picture adds to its d, to first order: its gradient is that of the whole.

        Args:
            x_hat, x: `[1, 3, h, w]`.
            pixels: of the whole picture.
            totals: of the whole, at this reconstruction (`PictureStructure.sums`); `None` if the part is all of it.
        """
        squares = (x_hat - x).square().sum() / (3 * pixels)
        if not self.structure_share:
            return squares
        with torch.autocast(x.device.type, enabled=False):
            sums = Structure(_mirrored(x)).sums(_mirrored(x_hat.float()))
            rises = slopes([Sums(s.values.detach(), s.pixels) for s in sums] if totals is None else totals)
            parts = ((rise.to(s.values) * s.values).sum() for rise, s in zip(rises, sums, strict=True))
            structure = sum(parts, squares.new_zeros(()))
        return self.joined(squares, structure)

    def against(self, original: np.ndarray) -> Comparison:
        """What compares pictures with one original, `[H, W, 3]` uint8."""
        return Comparison(self, original)

    def of_pictures(self, original: np.ndarray, decoded: np.ndarray) -> float:
        """Of two `[H, W, 3]` uint8 arrays of one shape, in memory that does not grow with them."""
        return self.against(original).of(decoded)

    def usual_error(self, lmbda: float) -> float:
        """Squared error of 8-bit samples that one in a hundred tiles of photographs exceeds at a λ."""
        at, errors = np.log(np.transpose(self.usual))
        return math.exp(float(np.interp(math.log(lmbda), at, errors)))

    def joined(self, squares: Number, structure: Number) -> Number:
        """d of squared error and SSIMULACRA2's raw distance."""
        return (1 - self.structure_share) * squares + self.structure_share * STRUCTURE_UNIT * structure


class Comparison:
    """d of pictures from one original, whose own side is computed once where it is small.

    Args:
        original: `[H, W, 3]` uint8.
    """

    def __init__(self, distortion: Distortion, original: np.ndarray):
        self.distortion, self.original = distortion, original

    @cached_property
    def _structure(self) -> PictureStructure:
        return PictureStructure.of(mirrored(self.original, LEAST_SIDE))

    def of(self, decoded: np.ndarray) -> float:
        """d of `[H, W, 3]` uint8, of the original's shape."""
        squares = mse(self.original, decoded) / 255**2
        if not self.distortion.structure_share:
            return squares
        return self.distortion.joined(squares, self._structure.distance(mirrored(decoded, LEAST_SIDE)))


_MSE_USUAL = (
    (0.0008, 574.0), (0.00146, 417.0), (0.00358, 238.0), (0.00879, 132.0),
    (0.02159, 78.1), (0.05303, 51.1), (0.13027, 38.4), (0.32, 33.5),
)  # fmt: skip
_LOOKS_USUAL = (
    (0.0008, 861.0), (0.00146, 709.0), (0.00358, 492.0), (0.00879, 307.0),
    (0.02159, 175.0), (0.05303, 99.4), (0.13027, 63.9), (0.32, 48.0),
)  # fmt: skip
DISTORTIONS = {
    "mse": Distortion(usual=_MSE_USUAL),
    "looks": Distortion(structure_share=0.85, usual=_LOOKS_USUAL),
}
"""By the name that configurations carry."""


def distortion_of(name: str) -> Distortion:
    """A distortion by name.

    Raises:
        ModelError: there is none; a later version may have it.
    """
    if name not in DISTORTIONS:
        raise ModelError(f"unknown distortion {name!r}; this version knows {', '.join(DISTORTIONS)}")
    return DISTORTIONS[name]


def ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float:
    """SSIMULACRA2 of two `[H, W, 3]` uint8 arrays, 100 where they are equal.

    Within 0.1 of the package ssimulacra2, but for pictures with a side below `MEASURED_SIDE`, which are mirrored up to
    it: the package leaves scales out there, and gives the weights of those to others.
    """
    one, other = (mirrored(v, MEASURED_SIDE) for v in (original, decoded))
    return score(PictureStructure.of(one, as_measured=True).distance(other))


def mirrored(rgb: np.ndarray, least: int) -> np.ndarray:
    """A picture `[H, W, 3]` continued downwards and to the right to at least so many pixels a side."""
    missing = [(0, max(0, least - side)) for side in rgb.shape[:2]]
    return np.pad(rgb, (*missing, (0, 0)), "symmetric") if any(after for _, after in missing) else rgb


def _mirrored(x: Tensor) -> Tensor:
    """The same for `[B, 3, H, W]` and `LEAST_SIDE`."""
    for axis in (-2, -1):
        if (side := x.shape[axis]) < LEAST_SIDE:
            order = torch.arange(LEAST_SIDE, device=x.device) % (2 * side)
            x = x.index_select(axis, torch.minimum(order, 2 * side - 1 - order))
    return x


class PictureStructure:
    """`Structure` of a picture of any size, tile by tile.

    Args:
        original: its parts.
        shape: rows and columns of it.
        as_measured: see `Structure`.
    """

    def __init__(self, original: Part, shape: tuple[int, int], *, as_measured: bool = False):
        self.original, self.shape, self.as_measured = original, shape, as_measured
        self._kept: list[tuple[Area, Structure]] = []

    @classmethod
    def of(cls, original: np.ndarray, *, as_measured: bool = False) -> PictureStructure:
        """That of `[H, W, 3]` uint8."""
        return cls(_parts(original), (original.shape[0], original.shape[1]), as_measured=as_measured)

    @torch.no_grad()
    def sums(self, decoded: Part) -> list[Sums]:
        """What `Structure` pools over the whole picture."""
        total: list[Sums] = []
        for area, side in self._sides():
            parts = [Sums(part.values.double(), part.pixels) for part in side.sums(decoded(*area))]
            total = [a + b for a, b in zip(total, parts, strict=True)] if total else parts
        return total

    def distance(self, decoded: np.ndarray) -> float:
        """SSIMULACRA2's raw distance of `[H, W, 3]` uint8."""
        return float(raw_distance(self.sums(_parts(decoded))))

    def _sides(self) -> Iterable[tuple[Area, Structure]]:
        """For each tile the area that it sees, and the original's side."""
        if self._kept:
            return self._kept
        unit = 2 ** (SCALES - 1)
        grid = (-(-side // unit) for side in self.shape)
        made = map(self._side, tiles(*grid, halo=REACH // unit, area=(TILE_SIDE // unit) ** 2))
        if self.shape[0] * self.shape[1] > KEPT_PIXELS:
            return made
        self._kept = list(made)
        return self._kept

    def _side(self, tile: Tile) -> tuple[Area, Structure]:
        tile = tile.scaled(2 ** (SCALES - 1))
        rows, columns = cut(tile.outer, self.shape)
        counts = cut(tile.crop, (rows.stop - rows.start, columns.stop - columns.start))
        return (rows, columns), Structure(self.original(rows, columns), counts, as_measured=self.as_measured)


def _parts(rgb: np.ndarray) -> Part:
    """Those of `[H, W, 3]` uint8."""
    return lambda rows, columns: torch.from_numpy(np.array(rgb[rows, columns])).permute(2, 0, 1)[None]


def to_tensor(rgb: np.ndarray) -> Tensor:
    """`[H, W, 3]` uint8 to `[1, 3, H, W]` float32 in [0, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255
