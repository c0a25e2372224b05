"""Reading and writing for the command line: standard streams, no overwriting by accident, whole files or none."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from vaecodec.errors import VaecodecError

STREAM = "-"


class FileError(VaecodecError):
    """A file cannot be read or written."""


writing = threading.Lock()
"""Held while a file is written, so that another thread that ends the process leaves nothing half done."""


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Puts the file's name in front of errors that do not begin with one."""
    try:
        yield
    except VaecodecError as error:
        if str(error).startswith(f"{path}:") or isinstance(error, FileError):
            raise
        name = "standard input" if path == STREAM else path
        raise type(error)(f"{name}: {error}") from error


def reason(error: OSError) -> str:
    """Why the system refused, in small letters."""
    return (error.strerror or str(error)).lower()


def read(path: str) -> bytes:
    """A file's bytes, or standard input's for `-`.

    Raises:
        FileError: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if path == STREAM else Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {reason(error)}") from error


def check_target(path: str, *, force: bool) -> None:
    """Refuses, before any work is done, a target that exists (unless `force`) or whose folder does not.

    Raises:
        FileError: with the reason.
    """
    if path == STREAM:
        return
    target = Path(path)
    try:
        is_folder, exists, has_parent = target.is_dir(), target.exists(), target.parent.is_dir()
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {reason(error)}") from error
    if is_folder:
        raise FileError(f"{path}: is a folder")
    if exists and not force:
        raise FileError(f"{path}: exists already; use -f to overwrite it")
    if not has_parent:
        raise FileError(f"{path}: the folder {target.parent} does not exist")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, if they are not there.

    Raises:
        FileError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be made: {reason(error)}") from error


def times_of(path: str) -> tuple[int, int] | None:
    """When a file was last read and changed, in nanoseconds; `None` for `-`.

    Raises:
        FileError: it cannot be read.
    """
    if path == STREAM:
        return None
    try:
        found = os.stat(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {reason(error)}") from error
    return found.st_atime_ns, found.st_mtime_ns


def write(path: str, data: bytes, times: tuple[int, int] | None = None) -> None:
    """Writes a file whole or not at all (a temporary file beside it, then a rename), or standard output for `-`.

    Args:
        times: of access and change, in nanoseconds, that it gets; see `times_of`.

    Raises:
        FileError: it cannot be written.
    """
    if path == STREAM:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise FileError(f"standard output cannot be written: {reason(error)}") from error
        return
    with writing:
        _write_whole(path, data, times)


def _write_whole(path: str, data: bytes, times: tuple[int, int] | None) -> None:
    target = Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, (target.stat().st_mode if target.exists() else 0o666 & ~_umask()) & 0o777)
        if times:
            os.utime(temporary, ns=times)
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {reason(error)}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[str]) -> None:
    """Removes the temporary files that killed runs have left beside files of these names."""
    names: dict[Path, set[str]] = {}
    for path in map(Path, paths):
        names.setdefault(path.parent, set()).add(path.name)
    for folder, expected in names.items():
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                name, _, random = entry.name[1:].removesuffix(".part").rpartition(".")
                if entry.name.startswith(".") and entry.name.endswith(".part") and random and name in expected:
                    os.unlink(entry.path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
