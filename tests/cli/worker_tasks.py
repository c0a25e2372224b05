"""Tasks for worker processes, in a module that imports next to nothing: so must each worker that is given one."""

from __future__ import annotations

import os
import signal


def fatal(source: str, target: str) -> str:
    """Ends its process, or raises, where the source says so."""
    if source == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if source == "raises":
        raise RuntimeError("a defect")
    return target


def threads(source: str, target: str) -> str:
    """How many threads torch would use."""
    return os.environ["OMP_NUM_THREADS"]
