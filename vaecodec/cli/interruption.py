"""Ctrl-C and a progress bar while a picture's latents are improved. Imports no torch."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vaecodec.cli.console import progress_bar
from vaecodec.cli.terminal import say
from vaecodec.inference.effort import SHOWN_FROM, Progress

if TYPE_CHECKING:
    from types import FrameType


@contextlib.contextmanager
def keeping_the_best(source: str, effort: int, *, stoppable: bool = True) -> Iterator[Progress | None]:
    """Within it, the first Ctrl-C ends the improvement of a picture, whose best so far is kept; the second is as ever.

    With it comes a bar, on a terminal. `None` where there is nothing to wait for, and in workers, which share a
    terminal and are ended by the program that started them.

    Args:
        stoppable: `False` leaves Ctrl-C what it is, and only the bar is shown. So does a signal that is ignored.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if effort < SHOWN_FROM or multiprocessing.parent_process() is not None or not main_thread:
        yield None
        return
    stopped = False
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        signal.signal(signal.SIGINT, before)
        stopped = True
        with contextlib.suppress(RuntimeError):  # what is interrupted may be writing there, too
            say("")
            say(f"vaecodec: {source}: the best so far is taken; Ctrl-C again to give it up")

    with progress_bar(1, source) as bar:

        def progress(done: int, total: int) -> bool:
            if not stopped:
                bar.length = total
                bar.update(done - bar.pos)
            return not stopped

        if not stoppable or before in (signal.SIG_IGN, None):
            yield progress
            return
        signal.signal(signal.SIGINT, stop)
        try:
            yield progress
        finally:
            signal.signal(signal.SIGINT, before)
