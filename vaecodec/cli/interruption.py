"""Ctrl-C and a progress bar while a picture's latents are improved. Imports no torch."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from vaecodec.inference.effort import SHOWN_FROM, Progress

if TYPE_CHECKING:
    from types import FrameType


@contextlib.contextmanager
def keeping_the_best(source: str, effort: int, *, stoppable: bool = True) -> Iterator[Progress | None]:
    """Within it, the first Ctrl-C ends the improvement of a picture, whose best so far is kept; the second is as ever.

    With it comes a bar, on a terminal. `None` where there is nothing to wait for, and in workers, which share a
    terminal and are ended by the program that started them.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if effort < SHOWN_FROM or multiprocessing.parent_process() is not None or not main_thread:
        yield None
        return
    stopped = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stopped.set()
        click.echo(f"\nvaecodec: {source}: the best so far is taken; Ctrl-C again to give it up", err=True)

    hidden = not sys.stderr.isatty()
    with click.progressbar(length=1, label=source, file=sys.stderr, hidden=hidden) as bar:

        def progress(done: int, total: int) -> bool:
            if not stopped.is_set():
                bar.length = total
                bar.update(done - bar.pos)
            return not stopped.is_set()

        signal.signal(signal.SIGINT, stop)
        try:
            yield progress
        finally:
            signal.signal(signal.SIGINT, before)
