"""Gaussian means, as SSIMULACRA2 takes them: of σ 1.5 and 11 taps, at borders of what there is.

Along each side they are products of blocks of 16 values, and 5 more on both ends, with one small matrix: on a CPU that
takes half the time of a depthwise convolution of few planes, and on other devices it is done in float32, where
convolutions may be in TF32, which a difference of nearly equal squares does not survive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SIGMA, RADIUS = 1.5, 5
BLOCK = 16
"""Values that one product gives along a side."""


@lru_cache(maxsize=1)
def _taps() -> Tensor:
    taps = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64) / SIGMA) ** 2)
    return (taps / taps.sum()).float()


@lru_cache(maxsize=4)
def _band(device: torch.device) -> Tensor:
    """`[BLOCK, BLOCK + 2 RADIUS]`, from a block with its margins to the block's means."""
    band = torch.zeros(BLOCK, BLOCK + 2 * RADIUS)
    for number, row in enumerate(band):
        row[number : number + 2 * RADIUS + 1] = _taps()
    return band.to(device)


def _convolved(x: Tensor) -> Tensor:
    """`[h + 2 RADIUS, N, w + 2 RADIUS]`, contiguous, to `[h, N, w]`, where h and w are multiples of `BLOCK`."""
    band, planes, pitch = _band(x.device), *x.shape[1:]
    height, width = (x.shape[axis] - 2 * RADIUS for axis in (0, 2))
    row = planes * pitch
    x = x.as_strided((height // BLOCK, band.shape[1], row), (BLOCK * row, row, 1))
    x = torch.bmm(band.expand(len(x), -1, -1), x)
    x = x.as_strided((width // BLOCK, height * planes, band.shape[1]), (BLOCK, pitch, 1))
    x = torch.bmm(x, band.t().expand(len(x), -1, -1))
    return x.transpose(0, 1).reshape(height, planes, width)


class _Convolution(torch.autograd.Function):
    """`_convolved`, whose adjoint is itself, as the taps are symmetric."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _convolved(x.contiguous())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        height, width = (gradient.shape[axis] + 2 * RADIUS for axis in (0, 2))
        columns, rows = ((2 * RADIUS, 2 * RADIUS + -side % BLOCK) for side in (width, height))
        return _convolved(F.pad(gradient, (*columns, 0, 0, *rows)))[:height, :, :width]


@dataclass(frozen=True)
class Span:
    """What counts along one side of planes, and what else its means look at.

    Attributes:
        start, stop: what counts.
        side: of the planes.
    """

    start: int
    stop: int
    side: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def incomplete(self) -> int:
        """How much its last block lacks."""
        return -self.length % BLOCK

    @property
    def known(self) -> slice:
        """What means look at, as far as the planes go."""
        return slice(max(0, self.start - RADIUS), min(self.side, self.stop + RADIUS))

    @property
    def missing(self) -> tuple[int, int]:
        """How much before and behind it is missing from whole blocks with their margins."""
        end = self.stop + self.incomplete + RADIUS
        return self.known.start - (self.start - RADIUS), end - self.known.stop

    def mirrored(self) -> Tensor:
        """Where each value of it and its margins is, in planes that are continued by their mirror images."""
        order = torch.arange(self.start - RADIUS, self.stop + RADIUS)
        order = torch.where(order < 0, -1 - order, order)
        return torch.where(order < self.side, order, 2 * self.side - 1 - order)


@lru_cache(maxsize=256)
def _coverage(span: Span, device: torch.device) -> Tensor:
    """What part of the taps lies on what is known, `[length]`."""
    known = F.pad(torch.ones(span.known.stop - span.known.start), span.missing)
    return F.conv1d(known[None, None], _taps()[None, None])[0, 0, : span.length].to(device)


@dataclass(frozen=True)
class Frame:
    """The part of planes of which means are wanted.

    Attributes:
        rows, columns: that part.
        as_measured: borders as in the package ssimulacra2, which takes what is to the left and right for 0 and mirrors
            above and below; for sides of at least 16.
    """

    rows: Span
    columns: Span
    as_measured: bool = False

    def seen(self, planes: Tensor) -> Tensor:
        """What of planes `[h, …, w]` the means look at."""
        part = planes[..., self.columns.known]
        if self.as_measured:
            return part.index_select(0, self.rows.mirrored().to(part.device))
        return part[self.rows.known]

    def padded(self, seen: Tensor) -> Tensor:
        """That, `[h, N, w]`, continued by zeros, as `means` wants it: whole blocks with their margins."""
        rows = (0, self.rows.incomplete) if self.as_measured else self.rows.missing
        return F.pad(seen, (*self.columns.missing, 0, 0, *rows))

    def weights(self, device: torch.device) -> Tensor:
        """Of sums that become means, `[rows, 1, columns]`."""
        if self.as_measured:
            return torch.ones(self.rows.length, 1, self.columns.length, device=device)
        return 1 / (_coverage(self.rows, device)[:, None, None] * _coverage(self.columns, device))


def inner(framed: Tensor, weights: Tensor) -> Tensor:
    """What has weights of planes with margins."""
    rows, _, columns = weights.shape
    return framed[RADIUS : RADIUS + rows, :, RADIUS : RADIUS + columns]


def means(framed: Tensor, weights: Tensor) -> Tensor:
    """Gaussian means `[rows, N, columns]` of planes with margins, `[rows, 1, columns]` being the weights of sums."""
    rows, _, columns = weights.shape
    return _Convolution.apply(framed)[:rows, :, :columns] * weights
