"""Files in several processes at once: each loads its model once, and none outlives the program.

parent ── (source, target) ──> worker        a pipe each
       <── report or error ──
       ── nothing ───────────> all workers   a pipe whose end, however the parent ends, ends them
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from vaecodec.cli.terminal import hide_warnings, in_words
from vaecodec.errors import VaecodecError
from vaecodec.format import files

Result = TypeVar("Result")
Task = Callable[[str, str], Result]
"""From source and target to a result; raises a `VaecodecError` where it cannot. Workers get it pickled."""
Done = Generator[tuple[str, Result | VaecodecError], None, None]
"""Sources, and what became of them."""


_LAST_WRITE_S = 10
"""How long a worker that is to end may still write: what takes longer may never end."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work(task: Task[Result], jobs: dict[str, str], processes: int) -> Done[Result]:
    """Does the task for every job, source to target, and yields sources and what became of them as they are done.

    With one process, or one job, it happens in this one. Of several each has an equal share of the cores. A worker
    that dies fails its job, and another takes its place. Close the iterator (`contextlib.closing`) to end early: the
    workers finish what they are writing, if they are, and nothing else.

    Args:
        processes: 0 for one a core.
    """
    processes = min(processes or cores(), len(jobs))
    if processes > 1:
        yield from _in_processes(task, jobs, processes)
    else:
        attempt = _guarded if len(jobs) > 1 else _attempt
        for source, target in jobs.items():
            yield source, attempt(task, source, target)


def _attempt(task: Task[Result], source: str, target: str) -> Result | VaecodecError:
    try:
        with files.naming(source):
            return task(source, target)
    except VaecodecError as error:
        return error


def _guarded(task: Task[Result], source: str, target: str) -> Result | VaecodecError:
    """`_attempt`, where other files must not suffer from a defect that one of them meets."""
    try:
        return _attempt(task, source, target)
    except Exception as error:
        return VaecodecError(f"{source}: {in_words(error)}")


def _in_processes(task: Task[Result], jobs: dict[str, str], processes: int) -> Done[Result]:
    context = multiprocessing.get_context("spawn")
    watched, alive = context.Pipe(duplex=False)
    threads = max(1, cores() // processes)
    waiting = deque(jobs.items())
    crew: dict[Connection, tuple[BaseProcess, str]] = {}

    def give(connection: Connection, process: BaseProcess) -> None:
        source, target = waiting.popleft()
        crew[connection] = process, source
        with contextlib.suppress(BrokenPipeError):  # it is dead, as `wait` will tell
            connection.send((source, target))

    def hire() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(task, theirs, watched, threads))
        with _uninterrupted():
            process.start()
        theirs.close()
        give(ours, process)

    def dismiss(connection: Connection, process: BaseProcess) -> None:
        connection.close()
        process.join()

    try:
        for _ in range(processes):
            hire()
        while crew:
            for connection in cast(list[Connection], wait(list(crew))):
                process, source = crew.pop(connection)
                try:
                    result: Result | VaecodecError = connection.recv()
                except (EOFError, OSError):
                    dismiss(connection, process)
                    result = VaecodecError(f"{source}: its process was ended ({_fate(process.exitcode)})")
                    if waiting:
                        hire()
                else:
                    (give if waiting else dismiss)(connection, process)
                yield source, result
    finally:
        alive.close()
        for connection, (process, _) in crew.items():
            dismiss(connection, process)
        watched.close()


def _fate(code: int | None) -> str:
    if code == -9:
        return "killed; there may have been too little memory"
    return f"signal {-code}" if code is not None and code < 0 else f"code {code}"


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started meanwhile ignore Ctrl-C from their first instruction: this one tells them to end."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:  # `None`: not one of Python's
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# --- in a worker


def _serve(task: Task[Any], jobs: Connection, parent: Connection, threads: int) -> None:
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # sent to all at once; the parent's end is the workers' end
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    hide_warnings()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    given = os.environ.get("OMP_NUM_THREADS", "")
    os.environ["OMP_NUM_THREADS"] = str(min(int(given), threads) if given.isdecimal() else threads)  # torch comes later
    with contextlib.suppress(EOFError, OSError):  # the parent wants no more
        while True:
            source, target = jobs.recv()
            jobs.send(_guarded(task, source, target))
    os._exit(0)  # nothing is left to be done; an interpreter that has torch takes a second to end


def _end_with(parent: Connection) -> None:
    parent.poll(None)  # nothing is ever sent: this returns when the other end is closed
    files.writing.acquire(timeout=_LAST_WRITE_S)
    os._exit(1)
