"""Runs of `compress` and `decompress` over several files: what is shown meanwhile, what is said at the end."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vaecodec.cli import workers
from vaecodec.cli.console import human_ratio
from vaecodec.cli.output_plan import Plan
from vaecodec.cli.terminal import EXIT_FAILED, exit_code, human_size, say, shown
from vaecodec.cli.transcode import Report
from vaecodec.errors import VaecodecError


@dataclass
class Tally:
    """What has been done so far; `larger` are those that became larger than they had been."""

    done: int = 0
    skipped: int = 0
    larger: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    pixels: int = 0
    failures: list[VaecodecError] = field(default_factory=list)

    def add(self, result: Report | VaecodecError) -> None:
        """Counts one file."""
        if isinstance(result, VaecodecError):
            self.failures.append(result)
        elif result.skipped:
            self.skipped += 1
        else:
            self.done += 1
            self.larger += result.written_bytes > result.read_bytes
            self.read_bytes += result.read_bytes
            self.written_bytes += result.written_bytes
            self.pixels += result.size[0] * result.size[1]


def run(
    task: workers.Task[Report], plan: Plan, processes: int, facts: Callable[[Report], list[str]], packed: str
) -> None:
    """Does the task for all that is planned, and exits with the code that sums it up unless all is well.

    A line for every file, or a progress bar in their place where there are several and standard error is a terminal;
    failures when they happen and again at the end, where several files have been dealt with.

    Args:
        facts: what a file's line says beyond names, size and time.
        packed: "written" or "read", which of the two sizes is that of the `.vae` file.
    """
    start, tally = time.perf_counter(), Tally()
    several = plan.walked or len(plan.targets) > 1
    for failure in plan.failures:
        tally.add(failure)
        say(f"vaecodec: {failure}")
    with contextlib.ExitStack() as stack:
        show = stack.enter_context(_Bar(plan, packed)) if several and sys.stderr.isatty() else _Lines(facts)
        results = stack.enter_context(contextlib.closing(workers.work(task, plan.targets, processes)))
        for source, result in results:
            tally.add(result)
            show.result(source, result, tally)
    total = len(plan.targets) + len(plan.failures)
    if several:
        say(_summary(tally, plan, packed, time.perf_counter() - start))
    if tally.failures and total > 1:
        say(f"vaecodec: {len(tally.failures)} of {total} files failed:")
        for failed in tally.failures:
            say(f"  {failed}")
        raise SystemExit(EXIT_FAILED)
    if tally.failures:
        raise SystemExit(exit_code(tally.failures[0]))


def _ratio(tally: Tally, packed: str) -> str:
    sizes = tally.read_bytes, tally.written_bytes
    return human_ratio(*sizes if packed == "written" else sizes[::-1])


def _summary(tally: Tally, plan: Plan, packed: str, seconds: float) -> str:
    parts = [f"{tally.done} file{'' if tally.done == 1 else 's'}"]
    if tally.done:
        vae_bytes = getattr(tally, f"{packed}_bytes")
        parts += [
            f"{human_size(tally.read_bytes)} → {human_size(tally.written_bytes)}",
            f"{8 * vae_bytes / tally.pixels:.3f} bpp",
            _ratio(tally, packed),
        ]
    parts.append(f"{seconds:.2f} s")
    if tally.larger and packed == "written":
        parts.append(f"{tally.larger} larger than {'its' if tally.larger == 1 else 'their'} source")
    if tally.skipped:
        parts.append(f"{tally.skipped} done before")
    if tally.failures:
        parts.append(f"{len(tally.failures)} failed")
    if plan.left_out:
        parts.append(f"{plan.left_out} other file{'' if plan.left_out == 1 else 's'} left out")
    return "  ".join(parts)


class _Lines:
    """A line a file."""

    def __init__(self, facts: Callable[[Report], list[str]]):
        self.facts = facts

    def result(self, source: str, result: Report | VaecodecError, tally: Tally) -> None:
        if isinstance(result, VaecodecError):
            say(f"vaecodec: {result}")
        elif result.skipped:
            say(f"{source} → {result.target}  done before")
        else:
            if result.lost:
                say(f"vaecodec: {source}: not kept: {result.lost}")
            size = f"{result.size[0]}×{result.size[1]}"
            say("  ".join([f"{source} → {result.target}", size, *self.facts(result), f"{result.seconds:.2f} s"]))


class _Bar(contextlib.AbstractContextManager["_Bar"]):
    """One line that is drawn again: share and megabytes done, files, ratio, time left."""

    def __init__(self, plan: Plan, packed: str):
        from tqdm import tqdm

        self.packed, self.total = packed, len(plan.targets)
        self.sizes = {source: self._bytes(source) for source in plan.targets}
        form = "{percentage:3.0f} %|{bar}| {n:.1f}/{total:.1f} MB{postfix}, {remaining} left"
        self.bar = tqdm(
            total=sum(self.sizes.values()), bar_format=form, file=sys.stderr, dynamic_ncols=True, leave=False
        )
        self._state(Tally())

    @staticmethod
    def _bytes(source: str) -> float:
        """Size in megabytes; 0 where there is no such file, which its turn will tell."""
        with contextlib.suppress(OSError):
            return os.stat(source).st_size / 1e6
        return 0.0

    def _state(self, tally: Tally) -> None:
        seen = tally.done + tally.skipped + len(tally.failures)
        failed = f", {len(tally.failures)} failed" if tally.failures else ""
        self.bar.set_postfix_str(f"{seen}/{self.total} files{failed}, {_ratio(tally, self.packed)}")

    def result(self, source: str, result: Report | VaecodecError, tally: Tally) -> None:
        if isinstance(result, VaecodecError):
            self.bar.write(shown(f"vaecodec: {result}"), file=sys.stderr)
        elif result.skipped:
            self.bar.total -= self.sizes[source]  # not worth a place in what is left and how fast it goes
        elif result.lost:
            self.bar.write(shown(f"vaecodec: {source}: not kept: {result.lost}"), file=sys.stderr)
        if not (isinstance(result, Report) and result.skipped):
            self.bar.update(self.sizes[source])
        self._state(tally)

    def __exit__(self, *_: object) -> None:
        self.bar.close()
