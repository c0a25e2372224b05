"""Processes of their own: warm ones that are given turns, and those that do one thing and end."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.places import ROOT
from shared.speed.measuring import Failed


def package_root() -> Path:
    """The folder from which this process has `vaecodec`."""
    import vaecodec

    return Path(vaecodec.__file__).parents[1]


def environment(root: Path) -> dict[str, str]:
    """Variables with which a process finds the package in a folder, before any that is installed."""
    paths = [str(root), str(ROOT / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def source_id(root: Path) -> str:
    """Names what the package's source is."""
    crc = 0
    for path in sorted((root / "vaecodec").rglob("*.py")):
        crc = zlib.crc32(path.read_bytes(), crc)
    return f"{crc:08x}"


class Worker:
    """A process that is kept warm, see `shared.speed.worker`; a context, at whose end it ends.

    Args:
        subject: what it measures, the arguments of `worker.Subject.begin`.
        threads: cores that it may use.
        limit_s: seconds that one request may take; after that it is killed.
        root: the folder of the package that it is to have; that of this process by default.

    Raises:
        Failed: it did not start, or has another package.
    """

    def __init__(self, subject: dict[str, Any], threads: int, limit_s: float, root: Path | None = None):
        root = root or package_root()
        self._limit_s, self._late = limit_s, False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shared.speed.worker", str(threads)],
            env=environment(root) | {"OMP_NUM_THREADS": str(threads)},
            cwd=root,  # which -m puts first
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            package = self.ask("begin", **subject)["package"]
            if not Path(package).is_relative_to(root):
                raise Failed(f"it should have the package in {root} and has {package}")
        except Failed:
            self.close()
            raise

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """What a method of `worker.Subject` returns.

        Raises:
            Failed: it could not, took too long, or the process has ended.
        """
        timer = threading.Timer(self._limit_s, self._kill)
        timer.start()
        try:
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except (BrokenPipeError, ValueError):  # it has ended, or its pipes are closed
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise Failed(self._fate())
        answer = json.loads(line)
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer

    def _kill(self) -> None:
        self._late = True
        self._process.kill()

    def _fate(self) -> str:
        code = self._process.wait()
        return f"took more than {self._limit_s:g} s" if self._late else f"the process ended with code {code}"

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _put(function: Callable[..., Any], arguments: tuple[Any, ...], out: Any) -> None:
    try:
        out.put(function(*arguments))
    except Exception as error:  # whatever a library raises; the others go on
        out.put({"failed": f"{type(error).__name__}: {error}"})


def in_a_process(limit_s: float, function: Callable[..., dict], *arguments: Any) -> dict:
    """What a function returns in a process of its own, or {"failed": why it did not within so many seconds}."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=_put, args=(function, arguments, out))
    process.start()
    deadline = time.monotonic() + limit_s
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):  # queue.Empty
                return out.get(timeout=0.5)
            if not process.is_alive() and out.empty():
                return {"failed": f"the process ended with code {process.exitcode}"}
        return {"failed": f"took more than {limit_s:g} s"}
    finally:
        process.join(1)
        if process.is_alive():
            process.kill()
            process.join()
