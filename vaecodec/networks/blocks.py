"""Layers that the transforms and the prior are built from.

Everything works on channels-last feature maps at 1/8 of the picture or less, and nearly all of it is matrix
products: 1x1 convolutions (`Pointwise`), with a depthwise 3x3 (`Depthwise`) for the exchange between neighbours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def space_to_depth(x: Tensor, side: int) -> Tensor:
    """`[B, C, H, W]` to `[B, side² C, H/side, W/side]`, channels in the order (row, column, channel).

    That order keeps channels-last memory in runs of `side * C` values; `torch.pixel_unshuffle` has another one.
    """
    b, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(b, h // side, side, w // side, side, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(b, h // side, w // side, side * side * c).permute(0, 3, 1, 2)


def depth_to_space(x: Tensor, side: int) -> Tensor:
    """The inverse of `space_to_depth`."""
    b, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(b, h, w, side, side, c // (side * side))
    return x.permute(0, 1, 3, 2, 4, 5).reshape(b, h * side, w * side, -1).permute(0, 3, 1, 2)


class Pointwise(nn.Module):
    """A 1x1 convolution whose weight is kept as the matrix `[out, in]` that it is.

    Optimisers for matrices (Muon, SOAP) see it as such.

    Args:
        zero: start from zero, for the last layer of a network that runs beside a linear path.
    """

    def __init__(self, inputs: int, outputs: int, *, zero: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if zero:
            nn.init.zeros_(self.weight)
        elif not self.weight.is_meta:  # on meta tensors this would import torch._dynamo, for a second
            nn.init.normal_(self.weight, std=math.sqrt(1.0 / inputs))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in, H, W]` to `[B, out, H, W]`."""
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)


class Depthwise(nn.Module):
    """A depthwise 3x3 convolution with zero padding; starts near the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        if not self.weight.is_meta:
            nn.init.normal_(self.weight, std=0.1)
            with torch.no_grad():
                self.weight[:, 0, 1, 1] += 1.0

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to the same shape."""
        return F.conv2d(x, self.weight, self.bias, padding=1, groups=self.weight.shape[0])


class TransformBlock(nn.Module):
    """Residual block of the transforms: mix and look around, then a feed-forward.

        x ── 1x1 ─ SiLU ─ depthwise 3x3 ─ 1x1 ──(+)── 1x1 (to 2c) ─ SiLU ─ 1x1 ──(+)──
        └────────────────────────────────────────┘└──────────────────────────────┘

    No normalisation. 6c² + 9c multiply-accumulates a position.
    """

    def __init__(self, width: int):
        super().__init__()
        self.mix = Pointwise(width, width)
        self.spatial = Depthwise(width)
        self.project = Pointwise(width, width, zero=True)
        self.expand = Pointwise(width, 2 * width)
        self.reduce = Pointwise(2 * width, width, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, width, H, W]` to the same shape."""
        x = x + self.project(self.spatial(F.silu(self.mix(x))))
        return x + self.reduce(F.silu(self.expand(x)))


class QualityTable(nn.Module):
    """A learned vector for each quality, interpolated linearly between a few knots.

    Neighbouring qualities need nearly the same vector, so few knots learn faster than one row a quality.

    Args:
        knots: rows of the table, spread evenly over the qualities 0 to 1.
        channels: length of the vector.
    """

    def __init__(self, knots: int, channels: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(knots, channels))

    def forward(self, quality: Tensor) -> Tensor:
        """`[B]` qualities in [0, 1] to `[B, channels, 1, 1]` in the table's precision."""
        position = quality * (self.table.shape[0] - 1)
        lower = position.floor().clamp(0, self.table.shape[0] - 2)
        fraction = (position - lower)[:, None]
        rows = lower.long()
        vector = self.table[rows] * (1 - fraction) + self.table[rows + 1] * fraction
        return vector[:, :, None, None]


class QualityFilm(nn.Module):
    """Scales and shifts features by vectors that depend on the quality (FiLM, Perez et al. 2018)."""

    def __init__(self, knots: int, channels: int):
        super().__init__()
        self.scale = QualityTable(knots, channels)
        self.shift = QualityTable(knots, channels)

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """`[B, C, H, W]`, `[B]` to `[B, C, H, W]`."""
        return x * (1 + self.scale(quality)).to(x.dtype) + self.shift(quality).to(x.dtype)


def compand(v: Tensor) -> Tensor:
    """Squeezes normalised latents into ±16: slope 1 to ±4, slope 1/8 from there to ±100, then flat."""
    inner = v.clamp(-4.0, 4.0)
    return inner + (v - inner).clamp(-96.0, 96.0) / 8
