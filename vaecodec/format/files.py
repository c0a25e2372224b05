"""Reading and writing for the command line: standard streams, no overwriting by accident, whole files or none.

| a path is            | read                         | written                                             |
|----------------------|------------------------------|-----------------------------------------------------|
| `-`                  | standard input               | standard output                                     |
| a file               | whole                        | whole, by a temporary file beside it                |
| a symbolic link      | what it leads to             | what it leads to; the link stays                    |
| a pipe               | to its end                   | into it, if somebody reads                          |
| a terminal           | to its end                   | onto it                                             |
| another device       | not, unless it is empty      | onto it, as to `/dev/null`                          |
| a folder, a socket … | not                          | not                                                 |
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import stat
import sys
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from vaecodec.errors import VaecodecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

STREAM = "-"
MAX_BYTES = 2**31
"""Largest file that is read: twice the samples of the largest picture, at 16 bits with alpha."""
_READ_AT_ONCE = 2**22


class FileError(VaecodecError):
    """A file cannot be read or written."""


class Exists(FileError):
    """There is something where a file should go."""


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


def _found(path: str | Path, what: str) -> os.stat_result | None:
    """What is there, at the end of all links; `None` if nothing is.

    Raises:
        FileError: the system does not say.
    """
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileError(f"{path}: cannot be {what}: {reason(error)}") from error


# --- reading


def read(path: str) -> bytes:
    """A file's bytes, or standard input's for `-`.

    Raises:
        FileError: it cannot be read, is no file, or has more than `MAX_BYTES`.
    """
    if path == STREAM:
        if sys.stdin is None:
            raise FileError("standard input cannot be read: it is closed")
        return _read_all(sys.stdin.buffer, "standard input")
    try:
        with open(path, "rb") as file:
            return _read_all(file, path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {reason(error)}") from error


def _read_all(file: IO[bytes], name: str) -> bytes:
    parts, left = [], MAX_BYTES
    try:
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_size > MAX_BYTES:
            raise FileError(f"{name}: has {found.st_size} bytes, more than the limit of {MAX_BYTES}")
        endless = stat.S_ISCHR(found.st_mode) and not file.isatty()
    except OSError:  # no file of the system's
        endless = False
    try:
        while part := file.read(min(_READ_AT_ONCE, left + 1)):
            if endless:
                raise FileError(f"{name}: is a device, not a file")
            left -= len(part)
            if left < 0:
                raise FileError(f"{name}: has more bytes than the limit of {MAX_BYTES}")
            parts.append(part)
    except OSError as error:
        raise FileError(f"{name}: cannot be read: {reason(error)}") from error
    return b"".join(parts)


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


def inode(path: Path | str) -> tuple[int, int] | None:
    """The same for all names of one file; `None` where there is none."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


# --- writing


_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
"""To open a pipe without waiting for its other end."""


def is_stream(path: str) -> bool:
    """Whether what is written there goes elsewhere: `-`, a pipe, a terminal, `/dev/null`."""
    if path == STREAM:
        return True
    with contextlib.suppress(OSError):
        return _flows(os.stat(path).st_mode)
    return False


def _flows(mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def check_target(path: str, *, force: bool, sources: Collection[Path | str | None] = ()) -> None:
    """Refuses, before any work is done, a target that exists (unless `force`), or where nothing can be written.

    Args:
        sources: what is read in the same run, and is overwritten never; names that are no paths do no harm.

    Raises:
        Exists: it is there, and not to be overwritten.
        FileError: with the reason.
    """
    if path == STREAM:
        return
    found, parent = _found(path, "written"), Path(path).parent
    if found is None:
        if not os.path.isdir(parent):
            raise FileError(f"{path}: the folder {parent} does not exist")
        return
    if _flows(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise FileError(f"{path}: is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise FileError(f"{path}: is no plain file")
    if (found.st_dev, found.st_ino) in [inode(source) for source in sources if source]:
        raise FileError(f"{path}: is read in the same run, and is not overwritten")
    if not force:
        raise Exists(f"{path}: exists already; use -f to overwrite it")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, if they are not there.

    Raises:
        FileError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be made: {reason(error)}") from error


Version = tuple[int, int, int]
"""Of a file: its inode, its size and when it was changed."""


def version(path: str) -> Version | None:
    """Changes with what lies there; `None` where nothing does."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def write(
    path: str, data: bytes, times: tuple[int, int] | None = None, *, force: bool = False, over: Version | None = None
) -> None:
    """Writes a file whole or not at all (a temporary file beside it, which then gets its name), or a stream.

    Args:
        times: of access and change, in nanoseconds, that a file gets; see `times_of`.
        force: a file that is there is replaced, and its permissions are kept. One that has appeared since
            `check_target` is not replaced otherwise,
        over: but for one that is still as it was when this was its `version`.

    Raises:
        Exists: it is there, and not to be overwritten.
        FileError: it cannot be written.
    """
    if path == STREAM:
        _write_output(data)
        return
    with writing:
        try:
            if is_stream(path):
                _write_into(path, data)
            else:
                _write_whole(Path(os.path.realpath(path)), data, times, force, over)
        except FileExistsError as error:
            raise Exists(f"{path}: exists already; use -f to overwrite it") from error
        except OSError as error:
            raise FileError(f"{path}: cannot be written: {reason(error)}") from error


def saved(save: Callable[[Path], object], folder: Path | None = None) -> bytes:
    """What something writes that takes a path, as bytes.

    Args:
        folder: where it may write meanwhile; by default where temporary files lie.
    """
    import tempfile  # takes as long as reading a header

    with tempfile.TemporaryDirectory(dir=folder, prefix=".vaecodec-") as elsewhere:
        path = Path(elsewhere, "file")
        save(path)
        return path.read_bytes()


def set_times(path: str, times: tuple[int, int]) -> None:
    """Gives a file times of access and change, in nanoseconds.

    Raises:
        FileError: it cannot be done.
    """
    try:
        os.utime(path, ns=times)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {reason(error)}") from error


def append_line(path: Path, line: bytes) -> None:
    """Adds a line to a file that several processes add to; one that was cut off harms no later one.

    Raises:
        FileError: it cannot be written.
    """
    with writing:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _AT_ONCE, 0o666)
            with os.fdopen(handle, "ab", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise FileError(f"{path}: is no plain file")
                file.write(b"\n" + line)
        except OSError as error:
            raise FileError(f"{path}: cannot be written: {reason(error)}") from error


def _write_output(data: bytes) -> None:
    if sys.stdout is None:
        raise FileError("standard output cannot be written: it is closed")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise FileError(f"standard output cannot be written: {reason(error)}") from error


def _write_into(path: str, data: bytes) -> None:
    """Into a pipe or onto a device; one that nobody reads from is not waited for."""
    try:
        handle = os.open(path, os.O_WRONLY | _AT_ONCE)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise FileError(f"{path}: cannot be written: nobody reads from it") from error
        raise
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _write_whole(target: Path, data: bytes, times: tuple[int, int] | None, force: bool, over: Version | None) -> None:
    temporary = target.parent / f"{_mark()}-{os.getpid()}-{os.urandom(4).hex()}{_PART}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if (force or over) and (before := _found(target, "written")):
            os.chmod(temporary, before.st_mode & 0o777)
        if times:
            os.utime(temporary, ns=times)
        if force or (over and over == version(str(target))):
            os.replace(temporary, target)
        else:
            _name_once(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)


def _name_once(temporary: Path, target: Path) -> None:
    """Gives a file a name that no other has; of two that try, one fails with `FileExistsError`."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))  # no links on this file system
        os.replace(temporary, target)


# --- what killed runs have left

_PART = ".part"


@functools.cache
def _mark() -> str:
    """How temporary names begin: with the machine, which is followed by the process."""
    import platform

    return f".vaecodec-{zlib.crc32(platform.node().encode()):08x}"


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Removes the temporary files that killed runs on this machine have left in folders; those of live ones stay."""
    leftover = re.compile(re.escape(_mark()) + r"-(\d+)-[0-9a-f]{8}" + re.escape(_PART))
    for folder in folders:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                if (match := leftover.fullmatch(entry.name)) and not _lives(int(match[1])):
                    os.unlink(entry.path)


def _lives(process: int) -> bool:
    """Whether there is such a process, as far as can be told."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
