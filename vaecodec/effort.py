"""What each level of `--effort` does, in one table. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """A level.

    Attributes:
        steps: of descent on the bound, at most (`descent.refine`).
        optimised: symbols are weighed by their code lengths (`refine.rdo_round`), besides being rounded to the nearest.
    """

    steps: int
    optimised: bool


EFFORTS = (
    Effort(0, False),
    Effort(0, True),
    Effort(4, True),
    Effort(8, True),
    Effort(16, True),
    Effort(32, True),
    Effort(60, True),
    Effort(100, True),
    Effort(150, True),
    Effort(240, True),
)
DEFAULT_EFFORT = 1
SHOWN_FROM = 3
"""Levels from here on take long enough for a progress bar."""

Progress = Callable[[int, int], bool]
"""Told how many steps of how many are done; returns whether to go on. If not, the best so far is taken."""


def check_effort(effort: int) -> None:
    """Raises `ValueError` for what is no level."""
    if effort not in range(len(EFFORTS)):
        raise ValueError(f"effort {effort} is not a whole number from 0 to {len(EFFORTS) - 1}")
