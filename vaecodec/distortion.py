"""What d is in the objective λ·255²·d + R: squared error, or how people see.

`mse` is the lecture's Gaussian observation model, under which all errors of a size are equally likely. `looks` adds the
distance from which SSIMULACRA2 makes its score (`structure`). Within one picture that is in proportion to squared error
over all qualities, with a factor of the picture's own; `STRUCTURE_UNIT` brings it to about the size of squared error, so
that λ keeps its meaning. The objective is then no bound on log p(x) but that of generalised variational inference: the
normaliser of exp(−λ·255²·d) hangs on the reconstruction.

A model's configuration names its distortion, and training, `validate`, the levels of effort and the encoder's
comparisons use that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vaecodec.errors import ModelError
from vaecodec.metrics import mse
from vaecodec.structure import REACH, SCALES, Structure, Sums, raw_distance, score
from vaecodec.tiles import Area, scaled, tiles

Number = TypeVar("Number", float, Tensor)
STRUCTURE_UNIT = 1e-4
LEAST_SIDE = 256
"""Smaller pictures are mirrored up to it, so that every scale counts and λ means the same for an icon."""
MEASURED_SIDE = 225
"""From here on the package ssimulacra2 sees all scales."""
TILE_SIDE = 1024
"""Pixels a side of the parts in which a picture is measured."""


@dataclass(frozen=True)
class Distortion:
    """d(x, x_hat), in units of squared error on [0, 1].

    Attributes:
        structure_share: of SSIMULACRA2's distance in it; the rest is squared error.
    """

    structure_share: float = 0.0

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
            return self._joined(squares, Structure(x)(x_hat.float())), squares

    def of_pictures(self, original: np.ndarray, decoded: np.ndarray) -> float:
        """Of two `[H, W, 3]` uint8 arrays of one shape, in memory that does not grow with them."""
        squares = mse(original, decoded) / 255**2
        if not self.structure_share:
            return squares
        return self._joined(squares, structure_distance(*(mirrored(v, LEAST_SIDE) for v in (original, decoded))))

    def _joined(self, squares: Number, structure: Number) -> Number:
        return (1 - self.structure_share) * squares + self.structure_share * STRUCTURE_UNIT * structure


DISTORTIONS = {"mse": Distortion(), "looks": Distortion(structure_share=0.85)}
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
    pair = (mirrored(v, MEASURED_SIDE) for v in (original, decoded))
    return score(structure_distance(*pair, as_measured=True))


def mirrored(rgb: np.ndarray, least: int) -> np.ndarray:
    """A picture `[H, W, 3]` continued downwards and to the right to at least so many pixels a side."""
    missing = [(0, max(0, least - side)) for side in rgb.shape[:2]]
    return np.pad(rgb, (*missing, (0, 0)), "symmetric") if any(after for _, after in missing) else rgb


@torch.no_grad()
def structure_distance(original: np.ndarray, decoded: np.ndarray, *, as_measured: bool = False) -> float:
    """SSIMULACRA2's raw distance of two `[H, W, 3]` uint8 arrays, gathered tile by tile; see `Structure`."""
    unit = 2 ** (SCALES - 1)
    grid = (-(-side // unit) for side in original.shape[:2])
    total: list[Sums] | None = None
    for tile in tiles(*grid, halo=REACH // unit, area=(TILE_SIDE // unit) ** 2):
        outer = scaled(tile.outer, unit)
        structure = Structure(_to_tensor(original[outer]), as_measured=as_measured)
        sums = structure.sums(_to_tensor(decoded[outer]), _within(scaled(tile.crop, unit), original[outer].shape))
        sums = [Sums(s.values.double(), s.pixels) for s in sums]
        total = sums if total is None else [a + b for a, b in zip(total, sums, strict=True)]
    return float(raw_distance(total))


def _within(area: Area, shape: tuple[int, ...]) -> Area:
    """What of an area lies within a picture, whose sides need not be multiples of the grid's unit."""
    rows, columns = (slice(s.start, min(s.stop, side)) for s, side in zip(area, shape, strict=False))
    return rows, columns


def _to_tensor(rgb: np.ndarray) -> Tensor:
    """`[H, W, 3]` uint8 to `[1, 3, H, W]` float32 in [0, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255

