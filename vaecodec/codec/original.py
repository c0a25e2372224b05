"""A picture that is to be described, and what of it can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HARDLY_SEEN = 16
"""Of 255: where less of an error shows, the networks are given a continuation, and nothing is spent."""
ROWS = 256
"""Rows that are blended at a time."""


@dataclass(frozen=True)
class Original:
    """A picture on its way to latents.

    Attributes:
        rgb: `[H, W, 3]` uint8.
        seen: `[H, W]` uint8, how much of an error shows: 255 all of it, 0 nothing, where the picture is transparent or
            held without loss; `None` where all of it does everywhere.
        given: `[H, W, 3]` uint8, what the networks are given: the picture, but where nothing shows something smooth.
    """

    rgb: np.ndarray
    seen: np.ndarray | None
    given: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray | Original) -> Original:
        """That of a picture all of which is seen, unless it is one already."""
        return picture if isinstance(picture, Original) else cls(picture, None, picture)

    @property
    def pixels(self) -> int:
        return self.rgb.shape[0] * self.rgb.shape[1]

    def shown(self, decoded: np.ndarray) -> np.ndarray:
        """A decoded picture `[H, W, 3]` uint8 as far as it is seen; elsewhere the original."""
        return decoded if self.seen is None else blended(decoded, self.rgb, self.seen)


def blended(above: np.ndarray, below: np.ndarray | int, share: np.ndarray) -> np.ndarray:
    """`[H, W, 3]` uint8 of which a share `[H, W]`, 255 being all, is of one picture, and the rest of another."""
    result = np.empty_like(above)
    for top in range(0, len(above), ROWS):
        rows = slice(top, top + ROWS)
        under = below if isinstance(below, int) else below[rows].astype(np.int32)
        result[rows] = under + ((above[rows].astype(np.int32) - under) * share[rows, :, None] + 127) // 255
    return result
