"""Sizes and qualities that one can ask for: a search over the model's continuous quality. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from vaecodec.errors import TargetError
from vaecodec.format.container import QUALITY_MAX

MAX_TRIALS = 8
T = TypeVar("T")


@dataclass(frozen=True)
class Goal:
    """What a search is after.

    Attributes:
        value: in `unit`.
        unit: of values, for messages.
        at_most: find the largest value not above the goal; otherwise the smallest not below it.
        scale: makes values about linear in the quality.
        rise: by how much scaled values rise from the lowest quality to the highest, for first guesses.
        tolerance: scaled distance, on the right side, that is good enough.
    """

    value: float
    unit: str
    at_most: bool
    scale: Callable[[float], float]
    rise: float
    tolerance: float

    @classmethod
    def size(cls, size_bytes: float) -> Goal:
        """The largest file of at most so many bytes."""
        return cls(size_bytes, "bytes", True, math.log, 3.2, 0.004)

    @classmethod
    def psnr(cls, psnr_db: float) -> Goal:
        """The smallest file of at least so many decibels."""
        return cls(psnr_db, "dB", False, float, 14.0, 0.015)

    @classmethod
    def ssimulacra2(cls, score: float) -> Goal:
        """The smallest file of at least this score."""
        return cls(score, "by SSIMULACRA2", False, float, 50.0, 0.2)

    def gap(self, value: float) -> float:
        """Scaled distance to the goal; positive on the allowed side."""
        gap = self.scale(self.value) - self.scale(value)
        return gap if self.at_most else -gap


@dataclass(frozen=True)
class Trial(Generic[T]):
    """One encode: its quality code, the value that was measured, and what it made."""

    code: int
    value: float
    result: T


def search(encode: Callable[[int], tuple[float, T]], goal: Goal, start: int = QUALITY_MAX // 2) -> Trial[T]:
    """The best trial on the allowed side of a goal, in at most `MAX_TRIALS` encodes.

    Args:
        encode: quality code to value and result. Values should rise with the code; where they do not, the search still
            ends on the allowed side.
        start: the code to begin with.

    Raises:
        TargetError: no quality reaches the goal; the message says what the nearest gives.
    """
    low, high = -1, QUALITY_MAX + 1  # codes known, or taken, to be below and above the goal
    values: dict[int, float] = {}
    best: Trial[T] | None = None
    easiest = 0 if goal.at_most else QUALITY_MAX
    code = start
    for trials_left in reversed(range(MAX_TRIALS)):
        value, result = encode(code)
        values[code] = goal.scale(value)
        gap = goal.gap(value)
        if gap >= 0 and (best is None or gap < goal.gap(best.value)):
            best = Trial(code, value, result)
        if gap < 0 and code == easiest:
            raise TargetError(
                f"{goal.value:.6g} {goal.unit} cannot be reached for this picture; "
                f"the nearest is {value:.6g} {goal.unit}"
            )
        if (gap >= 0) == goal.at_most:
            low = max(low, code)
        else:
            high = min(high, code)
        if (best is not None and goal.gap(best.value) <= goal.tolerance) or high - low <= 1:
            break
        code = easiest if trials_left == 1 and best is None else _next_code(values, low, high, goal)
    if best is None:
        raise TargetError(f"{goal.value:.6g} {goal.unit} was not reached in {MAX_TRIALS} trials")
    return best


def _next_code(values: dict[int, float], low: int, high: int, goal: Goal) -> int:
    """Where a line through the bracket meets the goal; without a bracket, a little beyond where the slope says."""
    inside = goal.tolerance / 3 if goal.at_most else -goal.tolerance / 3
    aim = goal.scale(goal.value) - inside
    if low in values and high in values:
        share = (aim - values[low]) / max(values[high] - values[low], 1e-9)
        last, before = list(values)[:-3:-1]
        if (last <= low) == (before <= low):  # twice on the same side: the line is bent, so go on with half a bisection
            share = (share + 0.5) / 2
        guess = low + min(max(share, 0.03), 0.97) * (high - low)
    else:
        known = low if low in values else high
        slope = goal.rise / QUALITY_MAX
        if others := [code for code in values if code != known]:
            other = min(others, key=lambda code: abs(code - known))
            slope = max((values[known] - values[other]) / (known - other), slope / 10)
        guess = known + 1.25 * (aim - values[known]) / slope
    return min(max(round(guess), low + 1), high - 1)
