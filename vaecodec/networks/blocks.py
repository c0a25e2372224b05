"""Layers that the transforms and the prior are built from.

Everything works on channels-last feature maps at 1/8 of the picture or less, and nearly all of it is matrix
products: 1x1 convolutions (`Pointwise`), with a depthwise 3x3 (`Depthwise`) for the exchange between neighbours.

Between two of those positions have nothing to do with each other. So where no gradient is wanted, chains of layers run
on a few rows at a time (`by_strips`), whose features stay in the processor's second-level cache, and in place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIP = 2**11
"""Positions in a strip, about: of 128 channels in single precision, a megabyte."""


def strips(like: Tensor, size: int = STRIP) -> list[slice]:
    """Cuts the rows of a map `[B, …, H, W]` into strips of about so many positions; all are one with gradients."""
    batch, height, width = like.shape[0], *like.shape[-2:]
    count = min(-(-height * width // size), height)
    if torch.is_grad_enabled() or batch > 1 or like.device.type != "cpu":
        count = 1
    cuts = [height * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(cuts)]


def by_strips(function: Callable[[slice], Tensor], like: Tensor, size: int = STRIP) -> Tensor:
    """What a function gives for all rows of a map, asked for strip by strip.

    Args:
        function: from rows to a map `[B, C, h, w]` of what belongs to them. Its sides may be multiples of the rows'.
        like, size: see `strips`.
    """
    return all_by_strips(lambda rows: (function(rows),), like, size)[0]


def all_by_strips(
    function: Callable[[slice], tuple[Tensor, ...]], like: Tensor, size: int = STRIP
) -> tuple[Tensor, ...]:
    """The same of a function that gives several maps."""
    first, *others = strips(like, size)
    made = function(first)
    if not others:
        return made
    results = tuple(_room(part, first.stop, like.shape[-2]) for part in made)
    for rows in (first, *others):
        made = made if rows is first else function(rows)
        for result, part in zip(results, made, strict=True):
            factor = part.shape[-2] // (rows.stop - rows.start)
            result[..., factor * rows.start : factor * rows.stop, :] = part
    return results


def _room(part: Tensor, rows: int, height: int) -> Tensor:
    """For what a function gives for all rows, channels last, given what it gives for the first."""
    _, channels, made, width = part.shape
    return part.new_empty((1, made // rows * height, width, channels)).permute(0, 3, 1, 2)


def mapped(function: Callable[[Tensor, Tensor | None], Tensor], x: Tensor) -> Tensor:
    """A map of the shape of another, made strip by strip.

    Args:
        function: from rows of x and, if there is any, the room for what belongs to them, to that.
    """
    parts = strips(x)
    if len(parts) == 1:
        return function(x, None)
    result = torch.empty_like(x)
    for rows in parts:
        function(x[..., rows, :], result[..., rows, :])
    return result


def replaced(function: Callable[[Tensor, slice], Tensor], x: Tensor) -> Tensor:
    """The same from rows of x and their place; where no gradient is wanted it overwrites x, as the function does."""
    parts = [function(x[..., rows, :], rows) for rows in strips(x)]
    return parts[0] if len(parts) == 1 else x


def silu(fresh: Tensor, room: Tensor | None = None) -> Tensor:
    """SiLU of what nobody else holds, in a room if there is one."""
    if room is not None:
        return torch.ops.aten.silu.out(fresh, out=room)
    return F.silu(fresh, inplace=not torch.is_grad_enabled())


def added(x: Tensor, y: Tensor) -> Tensor:
    """The sum; where no gradient is wanted it overwrites x."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


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

    def forward(self, x: Tensor, outputs: slice | None = None, inputs: Sequence[slice] | None = None) -> Tensor:
        """`[B, in, H, W]` to `[B, out, H, W]`, or both without H and W.

        Args:
            outputs: only these.
            inputs: x has only these, in this order; all others are 0.
        """
        weight, bias = part_of(self.weight, self.bias, outputs, inputs)
        return pointwise(x, weight, bias)


def part_of(
    weight: Tensor, bias: Tensor, outputs: slice | None, inputs: Sequence[slice] | None
) -> tuple[Tensor, Tensor]:
    """Rows and columns of a layer, see `Pointwise.forward`."""
    if outputs is not None:
        weight, bias = weight[outputs], bias[outputs]
    if inputs is not None:
        weight = torch.cat([weight[:, columns] for columns in inputs], 1)
    return weight, bias


def pointwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`[B, in, H, W]`, a weight `[out, in]` and a bias `[out]` to `[B, out, H, W]`, or both without H and W."""
    if x.ndim == 2:
        return F.linear(x, weight, bias)
    return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor, rows: slice | None) -> Tensor:
    """`[B, C, H, W]`, a weight `[C, 1, 3, 3]` and a bias `[C]` to the same shape, or to some of the rows."""
    if rows is None:
        return F.conv2d(x, weight, bias, padding=1, groups=len(bias))
    above, below = max(rows.start - 1, 0), min(rows.stop + 1, x.shape[-2])
    x = F.conv2d(x[..., above:below, :], weight, bias, padding=1, groups=len(bias))
    return x[..., rows.start - above : rows.stop - above, :]


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

    def forward(self, x: Tensor, rows: slice | None = None) -> Tensor:
        """`[B, C, H, W]` to the same shape, or to some of the rows."""
        return depthwise(x, self.weight, self.bias, rows)


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
        """`[B, width, H, W]` to the same shape; where no gradient is wanted it overwrites x."""
        mixed = mapped(lambda part, room: silu(self.mix(part), room), x)

        def onwards(part: Tensor, rows: slice) -> Tensor:
            part = added(part, self.project(self.spatial(mixed, rows)))
            return added(part, self.reduce(silu(self.expand(part))))

        return replaced(onwards, x)


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
        return torch.addcmul(self.shift(quality).to(x.dtype), x, (1 + self.scale(quality)).to(x.dtype))


def compand(v: Tensor) -> Tensor:
    """Squeezes normalised latents into ±16: slope 1 to ±4, slope 1/8 from there to ±100, then flat."""
    inner = v.clamp(-4.0, 4.0)
    return inner + (v - inner).clamp(-96.0, 96.0) / 8
