"""What a run says of itself: lines on the terminal, and a log."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from vaecodec.training.runtime.clock import Clock


class Journal:
    """The terminal's lines and the log of a run.

    Args:
        path: of the log, a JSON object a line; it is appended to.
        clock: of the run.
        crops: that were seen before.
        silent: say nothing, as all processes but one of a team do.
    """

    def __init__(self, path: Path, clock: Clock, crops: int, *, silent: bool = False):
        self.path, self.clock, self.silent = path, clock, silent
        self._reported = (time.monotonic(), crops)

    def write(self, step: int, crops: int, **entry: Any) -> None:
        """Adds an entry to the log."""
        if not self.silent:
            entry = {"step": step, "crops": crops, "spent_s": round(self.clock.spent_s, 1)} | entry
            with open(self.path, "a") as file:
                file.write(json.dumps(entry) + "\n")

    def report(self, step: int, crops: int, means: dict[str, float], **more: Any) -> None:
        """Says and logs how it goes.

        Args:
            means: since the last report: loss, bpp, psnr_db.
            more: for the log.
        """
        now, (since, before) = time.monotonic(), self._reported
        self._reported = (now, crops)
        if self.silent:
            return
        speed = (crops - before) / (now - since)
        line = (
            f"[{'#' * int(20 * min(1.0, self.clock.progress)):<20}] step {step}  loss {means['loss']:.4f}  "
            f"{means['bpp']:.3f} bpp  {means['psnr_db']:.2f} dB  {speed:.1f} crops/s  "
            f"{max(0.0, self.clock.left_s) / 60:.1f} min left"
        )
        print(line, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
        self.write(
            step, crops, **{name: round(value, 5) for name, value in means.items()}, crops_per_s=round(speed, 1), **more
        )
