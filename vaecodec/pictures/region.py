"""What of a picture is wanted: a part of it, and how much smaller. Imports no torch.

A smaller picture has the means of squares of 2, 4 or 8 pixels a side, aligned to the upper left corner of the whole.
"""

from __future__ import annotations

REDUCTIONS = (1, 2, 4, 8)
SCALES = {"1": 1.0, "1/2": 0.5, "1/4": 0.25, "1/8": 0.125}

Region = tuple[int, int, int, int]
"""Left, top, width, height in pixels."""


def reduction_of(scale: float) -> int:
    """Pixels a side of the squares for a scale of 1, 1/2, 1/4 or 1/8.

    Raises:
        ValueError: it is another.
    """
    for reduction in REDUCTIONS:
        if scale * reduction == 1:
            return reduction
    raise ValueError(f"a scale of {scale}; there are {', '.join(SCALES)}")


def squares(size: tuple[int, int], region: Region | None = None, reduction: int = 1) -> tuple[slice, slice]:
    """Rows and columns, in the smaller picture, of all squares that a region touches; of all there are without one.

    Args:
        size: (width, height) of the whole picture.

    Raises:
        ValueError: the region is empty or not within the picture.
    """
    left, top, width, height = (0, 0, *size) if region is None else region
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[0] or top + height > size[1]:
        raise ValueError(
            f"the region of {width}x{height} pixels at ({left}, {top}) is not within the picture of {size[0]}x{size[1]}"
        )
    rows, columns = (slice(a // reduction, -(-(a + n) // reduction)) for a, n in ((top, height), (left, width)))
    return rows, columns
