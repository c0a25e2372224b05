"""Tiles: how large pictures go through networks piece by piece.

A tile is what is to be computed (`inner`) and what has to be known for that (`outer`): the inner part and a halo as
wide as the network's receptive field reaches, cut where the picture ends. So networks that pad with zeros pad a tile
exactly where they would pad the picture, and inner parts come out as if there had been one tile.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TILE_AREA = 2**13
"""Positions of y (16x16 pixels) in a tile, about: two megapixels; what is no larger is done in one. Larger tiles take
more memory, smaller ones see more halo."""

Area = tuple[slice, slice]
"""Rows and columns."""


def scaled(area: Area, factor: int) -> Area:
    """The same area on a grid that is finer by a factor."""
    rows, columns = (slice(s.start * factor, s.stop * factor) for s in area)
    return rows, columns


def cut(area: Area, sides: tuple[int, int]) -> Area:
    """What of an area lies within a grid of so many rows and columns."""
    rows, columns = (slice(s.start, min(s.stop, side)) for s, side in zip(area, sides, strict=True))
    return rows, columns


@dataclass(frozen=True)
class Tile:
    """A tile of a grid; see the module.

    Attributes:
        inner: rows and columns that it is to fill.
        outer: those with the halo.
    """

    inner: Area
    outer: Area

    @property
    def crop(self) -> Area:
        """Where the inner part lies within the outer one."""
        rows, columns = (
            slice(i.start - o.start, i.stop - o.start) for i, o in zip(self.inner, self.outer, strict=True)
        )
        return rows, columns

    def scaled(self, factor: int) -> Tile:
        """The same tile on a grid that is finer by a factor."""
        return Tile(scaled(self.inner, factor), scaled(self.outer, factor))


def _spans(start: int, stop: int, length: int) -> list[slice]:
    """Cuts a range into the fewest parts, of about equal lengths, none above `length`."""
    count = max(1, -(-(stop - start) // length))
    cuts = [start + (stop - start) * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


def tiles(rows: int, columns: int, *, halo: int, area: int, within: Area | None = None) -> Iterator[Tile]:
    """Covers a grid with tiles, row by row.

    Args:
        rows, columns: of the grid.
        halo: how far a tile has to see.
        area: largest inner part, about.
        within: the part of the grid that is to be covered; all of it unless told.
    """
    within = within or (slice(0, rows), slice(0, columns))
    height, width = (s.stop - s.start for s in within)
    if height * width <= area:
        spans = [within[0]], [within[1]]
    else:
        width = min(width, max(math.isqrt(area), area // height))
        spans = (
            _spans(within[0].start, within[0].stop, max(1, area // width)),
            _spans(within[1].start, within[1].stop, width),
        )
    for row in spans[0]:
        for column in spans[1]:
            yield Tile((row, column), (_widened(row, halo, rows), _widened(column, halo, columns)))


def _widened(span: slice, halo: int, end: int) -> slice:
    """With a halo on both sides, as far as the grid goes."""
    return slice(max(span.start - halo, 0), min(span.stop + halo, end))


def gather(
    function: Callable[[Area], Tensor], rows: int, columns: int, *, halo: int, area: int, factor: int = 1
) -> Tensor:
    """What a function gives for a whole grid, computed in tiles; arguments as of `tiles`.

    Args:
        function: from an area of the grid to `[1, C, factor h, factor w]`.

    Returns:
        `[1, C, factor rows, factor columns]`.
    """
    first, *others = tiles(rows, columns, halo=halo, area=area)
    part = window(function(first.outer), first.crop, factor)
    if not others:
        return part
    shape = (1, factor * rows, factor * columns, part.shape[1])
    result = part.new_empty(shape).permute(0, 3, 1, 2)  # channels last
    window(result, first.inner, factor).copy_(part)
    for tile in others:
        part = window(function(tile.outer), tile.crop, factor)
        window(result, tile.inner, factor).copy_(part)
    return result


def window(values: Tensor, area: Area, factor: int = 1) -> Tensor:
    """The view of `[…, H, W]` on an area of a grid that is coarser by a factor."""
    rows, columns = scaled(area, factor)
    return values[..., rows, columns]
