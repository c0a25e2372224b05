"""A run of the program: what it measures, how, and what it knows already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shared.pictures import resized
from shared.results import Store, say
from shared.speed import sizes
from shared.speed.measuring import Failed, Turns
from shared.speed.sizes import LARGE_MPX, Subject

FITTED_MPX = 0.4
"""Size of the picture by which qualities are found."""
SLOW_MPX = 5.0
"""What is larger takes seconds, so that one turn will do."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        sizes: in megapixels, with all threads,
        against: and of both versions.
        turns: of all that takes turns.
        across: pictures a side of the square of small ones.
        starts: cold starts of each command.
        one_thread: sizes with one thread, if they are others than `with_one_thread` would have.
    """

    sizes: list[str]
    against: list[str]
    turns: Turns
    across: int
    starts: int
    one_thread: list[str] | None = None

    @property
    def with_one_thread(self) -> list[str]:
        """Sizes with one thread: unless told otherwise, those that are not large."""
        return self.one_thread or [size for size in self.sizes if float(size) <= LARGE_MPX]


FULL = Plan(["0.1", "0.4", "1.6", "12", "100"], ["0.4", "1.6", "12"], Turns(5, 3, 240), across=10, starts=5)
QUICK = Plan(["0.1", "0.4", "1.6"], ["0.4", "1.6"], Turns(5, 3, 30), across=4, starts=3)


@dataclass(frozen=True)
class Session:
    """A run of the program.

    Attributes:
        store: what has been measured.
        image: `[H, W, 3]` uint8, to be resized.
        ours, others: codecs.
        bpp: bits per pixel at which they are measured.
        threads: as many as there are.
        folder: for pictures and files.
        limit_s: that one thing may take.
    """

    store: Store
    image: np.ndarray
    ours: list[Subject]
    others: list[Subject]
    plan: Plan
    bpp: float
    threads: int
    folder: Path
    limit_s: float

    def part(self, *names: str) -> dict[str, Any]:
        """What is stored under a path of names."""
        place = self.store.data
        for name in names:
            place = place.setdefault(name, {})
        return place

    def once(self, part: dict[str, Any], key: str, label: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What is stored under a key of a part, measured if it is not there or something in it failed."""
        if key not in part or failures(part[key]):
            say(f"{label} …")
            try:
                part[key] = work()
            except Failed as error:
                part[key] = {"failed": str(error)}
            self.store.save(now=True)
        return part[key]

    def quality(self, subject: Subject) -> float:
        """At which a codec takes the bits that it is measured at.

        Raises:
            Failed: it could not be found.
        """

        def fit() -> dict[str, Any]:
            picture = self.folder / "fitted.npy"
            np.save(picture, resized(self.image, FITTED_MPX))
            return sizes.fitted(subject, picture, self.bpp, self.threads, self.limit_s)

        found = self.once(self.part("qualities"), subject.name, f"quality of {subject.name}", fit)
        if "failed" in found:
            raise Failed(found["failed"])
        return found["quality"]

    def turns_at(self, megapixels: float) -> Turns:
        """How often things are measured at a size."""
        return replace(self.plan.turns, least=1) if megapixels > SLOW_MPX else self.plan.turns


def failures(value: Any, path: str = "") -> list[str]:
    """Where in results it is said that something failed, and why."""
    if not isinstance(value, dict):
        return []
    here = [f"{path}: {value['failed']}"] if "failed" in value else []
    return here + [found for key, part in value.items() for found in failures(part, f"{path} {key}".strip())]
