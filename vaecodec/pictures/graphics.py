"""Which pictures, and which parts of them, look drawn: where a lossless code is worth a trial. Imports no torch.

Neighbours in a drawing are equal, or differ by much; in a photograph most differ by little. That is looked at in tiles
of 64 pixels a side, on every fourth row. The thresholds are from 942 pictures (docs/training-log.md): no photograph
among them, and none of Kodak, is proposed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vaecodec.pictures.lossless import SIDE

STEP = 4
"""One row in so many is looked at, and the row below it."""
LITTLE = 8
"""Largest difference of two samples that is a small one."""
EQUAL, SMALL = 0.5, 0.25
"""A drawn tile has at least this share of equal neighbours, and of the others at most this one differs by little."""
FLAT = 0.995
"""Share of equal neighbours from which there is nothing to see in a tile."""
WHOLE_EQUAL, WHOLE_SMALL = 0.75, 0.85
"""The same as `EQUAL` and `SMALL` for all tiles together that are not flat; of smooth shades there may be more."""
WHOLE_MASKED = 0.5
"""Or else so many tiles are in the mask."""
FEW_PIXELS, FEW_COLOURS, FEW_GREYS = 2**14, 256, 16
"""A picture of so few pixels is always worth a trial, and one of so few colours."""
SAMPLES = 2**12
"""Pixels of which colours are counted."""


@dataclass(frozen=True)
class Proposal:
    """What is worth trying without loss.

    Attributes:
        mask: tiles of a picture that has others too, `[rows, columns]` bool; `None` if there are none.
        whole: all of it.
    """

    mask: np.ndarray | None = None
    whole: bool = False

    def __bool__(self) -> bool:
        return self.whole or self.mask is not None


def propose(pixels: np.ndarray) -> Proposal:
    """Looks at a picture.

    Args:
        pixels: `[H, W, C]` uint8, of 3 channels, or 4 with alpha as the last; colours where that is 0 are to be 0 too.
    """
    equal, small, pairs = _neighbours(pixels)
    share = equal / pairs
    few_small = small <= SMALL * (pairs - equal)
    drawn, flat = (share >= EQUAL) & few_small & (share < FLAT), share >= FLAT
    mask = _connected(_without_lone(drawn), flat)
    some_equal, some_small, some = (counts[~flat].sum() for counts in (equal, small, pairs))
    looks_drawn = some_equal >= WHOLE_EQUAL * some and some_small <= WHOLE_SMALL * (some - some_equal)
    few = pixels[..., 0].size <= FEW_PIXELS or _has_few_colours(pixels)
    whole = looks_drawn or few or mask.mean() >= WHOLE_MASKED
    return Proposal(mask if mask.any() and not mask.all() else None, bool(whole))


def tile_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of tiles."""
    return -(-height // SIDE), -(-width // SIDE)


def _neighbours(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each tile how many pairs of neighbours are equal, how many differ by little, and how many were looked at."""
    height, width = pixels.shape[:2]
    rows, columns = tile_grid(height, width)
    counts = np.zeros((3, rows, columns), np.int64)
    upper = pixels[::STEP]
    lower = pixels[1::STEP]
    pairs = ((upper[:, :-1], upper[:, 1:]), (upper[: len(lower)], lower))
    for one, other in pairs:
        if not one.size:
            continue
        different = np.maximum(one, other) - np.minimum(one, other)
        largest = different[..., 0]
        for channel in range(1, pixels.shape[2]):
            largest = np.maximum(largest, different[..., channel])
        equal = largest == 0
        for number, which in enumerate((equal, (largest <= LITTLE) & ~equal, np.ones_like(equal))):
            by_row = np.add.reduceat(which, range(0, which.shape[1], SIDE), axis=1, dtype=np.int64)
            by_tile = np.add.reduceat(by_row, range(0, len(by_row), SIDE // STEP), axis=0)
            counts[number, : by_tile.shape[0], : by_tile.shape[1]] += by_tile
    counts[2] = np.maximum(counts[2], 1)
    return counts[0], counts[1], counts[2]


def _has_few_colours(pixels: np.ndarray) -> bool:
    """Whether a sample of pixels has few colours; of greys every photograph has few, so it must be fewer."""
    height, width, channels = pixels.shape
    step = max(1, int((height * width / SAMPLES) ** 0.5))
    sample = pixels[::step, ::step].reshape(-1, channels)
    colours = sample[:, :3]
    grey = (colours.max(1) - colours.min(1) <= LITTLE).mean() >= 0.9
    numbers = sample @ (256 ** np.arange(channels, dtype=np.uint32))  # of colours; rows take longer to be sorted
    return len(np.unique(numbers)) <= (FEW_GREYS if grey else FEW_COLOURS)


def _beside(mask: np.ndarray) -> np.ndarray:
    """Where a tile above, below, to the left or to the right is set."""
    padded = np.pad(mask, 1)
    return padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def _without_lone(mask: np.ndarray) -> np.ndarray:
    return mask & _beside(mask)


def _connected(mask: np.ndarray, through: np.ndarray) -> np.ndarray:
    """A mask and what is reached from it through other tiles."""
    while (grown := mask | (_beside(mask) & through)).sum() > mask.sum():
        mask = grown
    return mask
