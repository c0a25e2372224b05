"""Smooth continuations: what stands where nothing of a picture is to be coded. Imports no torch."""

from __future__ import annotations

import numpy as np

ROWS = 256
"""Rows that are interpolated at a time."""


def continued(pixels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A picture with what is known left as it is, and the rest filled smoothly from it.

    Means of what is known are taken over squares of 2, 4, 8 … pixels (push), and where there is something to be filled
    interpolated down again (pull; Gortler et al. 1996, The Lumigraph).

    Args:
        pixels: `[H, W, C]` uint8.
        known: `[H, W]` bool.

    Returns:
        `[H, W, C]` uint8; mid-grey if nothing is known.
    """
    if known.all():
        return pixels
    if not known.any():
        return np.full_like(pixels, 128)
    height, width = known.shape
    filled = pixels.copy()
    coarse = _pulled(*_halved(pixels, known))
    for top in range(0, height, ROWS):
        rows = slice(top, min(top + ROWS, height))
        unknown = ~known[rows]
        if unknown.any():
            filled[rows][unknown] = np.rint(_doubled(coarse, rows, width)[unknown]).astype(np.uint8)
    return filled


def _halved(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of what is known of 2×2 values, float32 (0 where nothing is), and where there are any."""
    height, width, channels = values.shape
    rows, columns = -(-height // 2), -(-width // 2)
    total, count = np.zeros((rows, columns, channels), np.float32), np.zeros((rows, columns, 1), np.float32)
    for top in (0, 1):
        for left in (0, 1):
            part, there = values[top::2, left::2], known[top::2, left::2, None]
            area = slice(part.shape[0]), slice(part.shape[1])
            total[area] += part * there
            count[area] += there
    return np.divide(total, count, out=total, where=count > 0), count[..., 0] > 0


def _pulled(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """All values; those that are not known interpolated from means of larger squares."""
    if not known.all():
        coarse = _pulled(*_halved(values, known))
        for top in range(0, len(values), ROWS):
            rows = slice(top, min(top + ROWS, len(values)))
            unknown = ~known[rows]
            values[rows][unknown] = _doubled(coarse, rows, values.shape[1])[unknown]
    return values


def _doubled(coarse: np.ndarray, rows: slice, width: int) -> np.ndarray:
    """Some rows of a picture twice as large, linearly interpolated between the middles of squares; float32."""
    places = [(np.arange(s.start, s.stop) - 0.5) / 2 for s in (rows, slice(0, width))]
    (top, down), (left, right) = (_neighbours(at, side) for at, side in zip(places, coarse.shape, strict=False))
    first, last = top[0].min(), down[0].max() + 1
    part = coarse[first:last]
    vertical = part[top[0] - first] * top[1][:, None, None] + part[down[0] - first] * down[1][:, None, None]
    return vertical[:, left[0]] * left[1][:, None] + vertical[:, right[0]] * right[1][:, None]


def _neighbours(at: np.ndarray, side: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The two positions that each place lies between, and their shares."""
    low = np.floor(at).astype(int)
    share = (at - low).astype(np.float32)
    return (low.clip(0, side - 1), 1 - share), ((low + 1).clip(0, side - 1), share)
