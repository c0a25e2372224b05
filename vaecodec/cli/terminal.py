"""Where text leaves the program, how names and sizes are shown in it, how runs end, and what streams are to them.

Imports next to nothing: worker processes do, too.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

from vaecodec.errors import BitstreamError, ModelError, VaecodecError
from vaecodec.format import files
from vaecodec.format.files import reason

TYPE_CHECKING = False  # what `typing` has takes longer to import than all else here
if TYPE_CHECKING:
    from types import FrameType
    from typing import TextIO

    from _typeshed import ReadableBuffer

EXIT_FAILED, EXIT_USAGE, EXIT_CORRUPT, EXIT_MODEL, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
TRACEBACK = "VAECODEC_TRACEBACK"
"""The environment variable that shows where a defect is."""
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of Unicode that steer a terminal, break or turn lines, or show nothing."""
_JOINERS = "\u200c\u200d"
"""Of these, what the scripts of Persia and India are written with, and emoji."""


def shown(text: str) -> str:
    r"""A text as people may see it: on one line, and with `\x1b` for what would act on a terminal.

    Bytes of names that are no text, which Python keeps as lone surrogates, come as `\xff`.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    import unicodedata  # few names need it

    if unicodedata.category(character) not in _UNSEEN or character in _JOINERS:
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:x}"
    return character.encode("unicode_escape").decode()


def tell(line: str) -> None:
    """A line of results, to standard output."""
    print(shown(line), flush=True)


def say(line: str) -> None:
    """To standard error, as everything that is no result."""
    print(shown(line), file=sys.stderr, flush=True)


def in_words(error: Exception) -> str:
    """What went wrong, in one sentence; where, too, if `TRACEBACK` asks for it and it should never happen."""
    if isinstance(error, VaecodecError):
        return str(error)
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and "failed to map" in str(error)):
        return "there is too little memory"
    if isinstance(error, OSError) and error.errno is not None:
        named = isinstance(error.filename, (str, bytes))
        return f"{os.fsdecode(error.filename)}: {reason(error)}" if named else reason(error)
    if os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)
    return f"a defect: {type(error).__name__}: {error}; {TRACEBACK}=1 shows where"


def human_size(count: int) -> str:
    """A number of bytes for people, in decimal units."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


# --- how runs end


def exit_code(error: Exception) -> int:
    """What a run ends with after this failure."""
    return (
        EXIT_CORRUPT
        if isinstance(error, BitstreamError)
        else EXIT_MODEL
        if isinstance(error, ModelError)
        else EXIT_FAILED
    )


@contextlib.contextmanager
def ending_in_words() -> Iterator[None]:
    """Ends runs as shells expect: whatever happens within it is said in a sentence, and has its exit code."""
    with warnings.catch_warnings():
        hide_warnings()
        try:
            yield
        except KeyboardInterrupt:
            say("vaecodec: interrupted")
            code = EXIT_INTERRUPTED
        except Exception as error:
            say(f"vaecodec: {in_words(error)}")
            code = exit_code(error)
        else:
            return
        sys.exit(code)


def run(paths: list[str], work: Callable[[str], None]) -> None:
    """Does the work for every file, goes on after failures, and exits with the code that sums them up."""
    failures: list[Exception] = []
    for path in paths:
        try:
            with files.naming(path):
                work(path)
        except (VaecodecError, OSError, MemoryError) as error:
            failures.append(error)
            say(f"vaecodec: {in_words(error)}")
    if failures and len(paths) > 1:
        say(f"vaecodec: {len(failures)} of {len(paths)} files failed")
        raise SystemExit(EXIT_FAILED)
    if failures:
        raise SystemExit(exit_code(failures[0]))


# --- the process of a command line


def hide_warnings() -> None:
    """Python's are for those who write programs, unless somebody asks for them (`-W`, `PYTHONWARNINGS`)."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def own_process() -> None:
    """Makes streams and Ctrl-C what they are to the command line, whatever the shell and Python made of them."""
    _reserve_descriptors()
    if os.name == "posix":
        sys.stdout, sys.stderr = _stream(_Results(1), sys.stdout), _stream(_Messages(2), sys.stderr)
    if not os.environ.get(TRACEBACK):
        sys.unraisablehook = lambda _: None
        threading.excepthook = lambda _: None
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # neither ignored nor somebody else's
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ends what is done in good order; a second one ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _reserve_descriptors() -> None:
    """Gives closed standard streams their descriptors back, or the next files that are opened would have them.

    Such a `sys.stdin` stays `None`, writing to standard output fails, and what goes to standard error is lost.
    """
    for descriptor, wrong_way in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, wrong_way)  # which gets the lowest number that is free: this one
            os.set_inheritable(descriptor, True)


def _stream(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    encoding = before.encoding if before else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


class _Output(io.FileIO):
    def __init__(self, descriptor: int):
        super().__init__(descriptor, "w", closefd=False)


class _Results(_Output):
    """Standard output: what cannot be written ends the program; without a word where the reader has had enough."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            while (written := super().write(data)) is None:  # somebody has made it one that does not wait
                import select  # hardly ever

                select.select([], [self], [])
            return written
        except OSError as error:
            with open(os.devnull, "wb") as null:  # takes what is still in buffers
                os.dup2(null.fileno(), self.fileno())
            if error.errno != errno.EPIPE:
                why = "it is closed" if error.errno == errno.EBADF else reason(error)
                say(f"vaecodec: standard output cannot be written: {why}")
            raise SystemExit(EXIT_FAILED) from None


class _Messages(_Output):
    """Standard error: what cannot be written is lost, and the work is done."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes
