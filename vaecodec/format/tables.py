"""The probability tables that are stored with a model: integrals of Gaussians over unit intervals, as counts.

Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

SCALE_LEVELS = 64
LEVELS_PER_OCTAVE = 7
LOG2_SCALE_MIN = -3.25
LOG2_SCALE_MAX = LOG2_SCALE_MIN + (SCALE_LEVELS - 1) / LEVELS_PER_OCTAVE
"""Scales (standard deviations, in symbols) of the prior: 64 levels, seven an octave, from 0.105 to 53.8."""
FRACTIONS = 16
"""Means are multiples of 1/16; a table's mean lies at fraction/16 - 1/2, fraction 8 at 0."""
TOTAL = 1 << 16


def level_scale(level: int) -> float:
    """Standard deviation of a scale level, in symbols."""
    return 2.0 ** (LOG2_SCALE_MIN + level / LEVELS_PER_OCTAVE)


def gaussian_counts(mean: float, scale: float, radius: int) -> np.ndarray:
    """Counts, summing to 2^16, of the symbols -radius to radius and of an escape, which gets at least 1."""
    edges = np.arange(-radius, radius + 2) - 0.5
    cdf = np.array([0.5 * math.erfc((mean - edge) / (scale * math.sqrt(2))) for edge in edges])
    counts = np.append(np.rint(np.diff(cdf) * TOTAL).astype(np.int64), 1)
    counts[np.argmax(counts)] += TOTAL - counts.sum()
    return counts


def gaussian_tables(fractions: Iterable[int] = range(FRACTIONS)) -> tuple[np.ndarray, np.ndarray]:
    """Counts `[n]` uint16 and radii `[SCALE_LEVELS]` uint16, in the order that `ans.Tables` takes.

    Args:
        fractions: those that each level has tables of.
    """
    radii, counts = [], []
    for level in range(SCALE_LEVELS):
        scale = level_scale(level)
        radius = 1
        while TOTAL * 0.5 * math.erfc((radius + 0.5 - 0.5) / (scale * math.sqrt(2))) >= 1.0:
            radius += 1
        radii.append(radius)
        counts += [gaussian_counts(fraction / FRACTIONS - 0.5, scale, radius) for fraction in fractions]
    return np.concatenate(counts).astype(np.uint16), np.array(radii, np.uint16)
