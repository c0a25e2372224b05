"""A run's time: how much of it is spent, and how much its end takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

MARGIN = 1.3
"""What is kept for the end, as a multiple of what its parts took when they were last done."""
SLACK = 0.005
"""Share of a run that is kept besides, for leaving."""
MOST_KEPT = 0.6
"""Share of a run that is kept for its end at most; one that is too short for its end ends late."""


class Clock:
    """The time of a run, over several processes one after the other.

    Args:
        hours: of the run, from its beginning to when everything is written.
        begun: when this process began, by `time.monotonic`.

    Attributes:
        spent_before_s: what earlier processes spent.
        parts: seconds that each part of the end takes.
        step_s: how long the last step took, which may be under way when the end has to begin.
    """

    def __init__(self, hours: float, begun: float | None = None):
        self.total_s = hours * 3600
        self.begun = time.monotonic() if begun is None else begun
        self.spent_before_s = 0.0
        self.parts: dict[str, float] = {}
        self.step_s = 0.0

    @property
    def spent_s(self) -> float:
        """Seconds since the run began, without those between processes."""
        return self.spent_before_s + time.monotonic() - self.begun

    @property
    def kept_s(self) -> float:
        """Seconds that are kept for the end."""
        end_s = MARGIN * sum(self.parts.values()) + self.step_s + SLACK * self.total_s
        return min(end_s, MOST_KEPT * self.total_s)

    @property
    def left_s(self) -> float:
        """Seconds that are left to train."""
        return self.total_s - self.kept_s - self.spent_s

    @property
    def progress(self) -> float:
        """Share of the time to train that is over; 1 and more when it has to end."""
        return self.spent_s / (self.total_s - self.kept_s)

    @contextlib.contextmanager
    def measured(self, part: str) -> Iterator[None]:
        """Takes the time of something that the end has too."""
        begun = time.monotonic()
        yield
        self.parts[part] = time.monotonic() - begun
