"""How long things take when they take turns, and how much memory a process needs for one of them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Name = TypeVar("Name")
SHORT_S = 0.1
"""What takes less is repeated until it has taken this long."""
NOISY = 1.25
"""Where turns spread by more, something else ran, and their median says little."""
NONE = "–"
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Failed(Exception):
    """What was to be measured did not work; the message says why."""


Run = Callable[[], dict[str, Any]]
"""Does something and says how it went: `seconds`, and perhaps `peak_mb` and more; raises `Failed` where it cannot."""


@dataclass(frozen=True)
class Turns:
    """How often things are measured.

    Attributes:
        most, least: turns that count.
        budget_s: after so many seconds no turn begins, once there were the least.
    """

    most: int
    least: int
    budget_s: float

    def take(self, runs: dict[Name, Run]) -> dict[Name, dict[str, Any]]:
        """What each run says: the median of its seconds and their spread, the upper quartile divided by the lower, the
        rest as it said it last; or why it failed.

        In each turn all run one after the other, so that what else the machine does meets all alike. Where there are
        more turns than the least, the first only warms up.
        """
        results: dict[Name, list[dict[str, Any]]] = {name: [] for name in runs}
        failed: dict[Name, dict[str, Any]] = {}
        start = time.monotonic()
        for turn in range(self.most + 1):
            if turn >= self.least and time.monotonic() - start > self.budget_s:
                break
            for name in [name for name in runs if name not in failed]:
                try:
                    results[name].append(runs[name]())
                except Failed as error:
                    failed[name] = {"failed": str(error)}
        return {name: failed.get(name) or self._summary(turns) for name, turns in results.items()}

    def _summary(self, turns: list[dict[str, Any]]) -> dict[str, Any]:
        seconds = [turn["seconds"] for turn in turns[len(turns) > self.least :]]
        said = {key: value for turn in turns for key, value in turn.items()}
        said |= {"seconds": round(statistics.median(seconds), 5), "turns": len(seconds)}
        if len(seconds) > 1:
            low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
            said["spread"] = round(high / low, 3)
        return said


def ratio(run: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    """One run's seconds divided by another's, if both are known; with a question mark where either is noisy."""
    if not run or not other or "seconds" not in run or "seconds" not in other:
        return NONE
    noisy = max(run.get("spread", 1), other.get("spread", 1)) > NOISY
    return number(run["seconds"] / other["seconds"]) + "?" * noisy


def number(value: float) -> str:
    """With two decimals, or fewer where it is large."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, the median of several if it is short, and what it returns."""
    times: list[float] = []
    while not times or sum(times) < SHORT_S:
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def use_cores(count: int) -> None:
    """Keeps this process to so many cores, where the system has a way to."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def forget_peak() -> None:
    """Gives back what is free, and lets `peak_mb` count from now on, where the system has ways to."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # of glibc
        ctypes.CDLL(None).malloc_trim(0)
    if _FORGET.exists():
        _FORGET.write_text("5")


def peak_mb() -> float:
    """The most memory that this process has held, in megabytes."""
    if _STATUS.exists():  # Linux; there ru_maxrss also counts what the parent held when it forked
        return int(_STATUS.read_text().split("VmHWM:")[1].split()[0]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
