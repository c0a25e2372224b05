"""What --resume goes by: of each output, what it was made from and what had been asked for.

A `.vae` file says so itself, in its chunk `made`. Pictures cannot: a line in a file beside them, `LEDGER`, does. What
is there already is

    done     made from what the source is now, as it is asked for now: left alone
    outdated made from this source otherwise, or before the source changed, or damaged: made anew
    another  anything else, and left alone too: nothing is lost unless -f says so
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vaecodec.errors import BitstreamError, Corrupt, ImageError, LimitError, Truncated
from vaecodec.format import container, files
from vaecodec.format.container import MADE

LEDGER = ".vaecodec-made"
"""Name of the file in a folder of pictures that says of each what it was made from."""
DIGEST_BYTES = 8


def digest(data: bytes) -> bytes:
    """Of a file's content."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


@dataclass(frozen=True)
class Made:
    """How a file came to be.

    Attributes:
        source: `digest` of what it was made from.
        asked: words in ASCII with a space between, of which the first is the suffix of the source, without its dot.
    """

    source: bytes
    asked: str

    @classmethod
    def of(cls, path: str, data: bytes, asked: Mapping[str, object]) -> Made:
        """From a source, its path and content, and what is asked for by name; `None` and `False` stand for nothing."""
        words = [suffix_of(path)]
        for name, value in asked.items():
            if value is not None and value is not False:
                words.append(name if value is True else f"{name}={_word(value)}")
        return cls(digest(data), " ".join(words))

    def to_bytes(self) -> bytes:
        """The content of a chunk."""
        return self.source + self.asked.encode("ascii")

    @classmethod
    def from_bytes(cls, content: bytes) -> Made:
        """The inverse of `to_bytes`; of any content."""
        return cls(content[:DIGEST_BYTES], content[DIGEST_BYTES:].decode("ascii", "replace"))

    @property
    def suffix(self) -> str:
        """Of the source."""
        return self.asked.partition(" ")[0]


def suffix_of(path: str) -> str:
    """A source's suffix as `Made.asked` begins with it."""
    return _word(Path(path).suffix[1:].lower()) or "-"


def _word(value: object) -> str:
    """A value as one word in ASCII."""
    if isinstance(value, tuple):
        return ",".join(map(_word, value))
    text = f"{value:.12g}" if isinstance(value, float) else str(value)
    return text.encode("ascii", "backslashreplace").decode().replace(" ", "")


@dataclass(frozen=True)
class Found:
    """What is there already and came from here: how it was made, as far as that is known, and whether it is whole."""

    made: Made | None
    whole: bool = True


def is_done(source: str, target: str, wanted: Made, found: Found | None, *, force: bool) -> bool:
    """Whether nothing is left to do for a target that exists.

    Args:
        wanted: how it would be made now.
        found: how it was; `None` if it is not from here.
        force: what is not done may be replaced, whatever it is.

    Raises:
        Exists: it is not done, and not to be replaced.
    """
    if found and found.whole and found.made == wanted:
        return True
    if not force:
        if found is None:
            raise files.Exists(f"{target}: exists already, and was not made from {source} here; use -f to overwrite it")
        same = found.made is None or found.made.source == wanted.source
        if found.whole and not same and not _is_newer(source, target):
            raise files.Exists(f"{target}: exists already, made from another picture; use -f to overwrite it")
    return False


def _is_newer(source: str, target: str) -> bool:
    with contextlib.suppress(OSError):
        return os.stat(source).st_mtime_ns > os.stat(target).st_mtime_ns
    return False


# --- .vae files


def with_record(made: Made) -> dict[bytes, bytes]:
    """The chunk of a file that is to say how it was made."""
    return {MADE: made.to_bytes()}


def find_file(path: str) -> Found | None:
    """How a `.vae` file was made; `None` if it does not say, or is none. What is empty or damaged is not whole.

    Raises:
        FileError: it cannot be read.
    """
    data = files.read(path)
    try:
        chunks = container.unpack(data, max_pixels=None).chunks if data else {}
    except (Truncated, Corrupt):
        return Found(None, whole=False)
    except (BitstreamError, LimitError):
        return None
    if data and MADE not in chunks:
        return None
    return Found(Made.from_bytes(chunks[MADE]) if data else None, whole=bool(data))


def owner(path: Path) -> str | None:
    """The suffix of what a `.vae` file was made from, if there is one that says so; see `Made.suffix`."""
    with contextlib.suppress(OSError, BitstreamError, LimitError), open(path, "rb") as file:
        header = container.read_header(file.read(container.HEADER_BYTES))
        content = container.read_chunks(file, header.chunks).get(MADE)
        return Made.from_bytes(content).suffix if content else None
    return None


# --- pictures


def record(path: str, data: bytes, made: Made) -> None:
    """Writes down how a picture is made, before it is there: a line without its picture does no harm.

    Raises:
        FileError: that cannot be written.
    """
    line = {"file": Path(path).name, "digest": digest(data).hex(), "source": made.source.hex(), "asked": made.asked}
    files.append_line(Path(path).parent / LEDGER, json.dumps(line).encode())


def find_picture(path: str) -> Found | None:
    """How a picture was made; `None` if it is not as it was then. One that cannot be read any more is not whole.

    Raises:
        FileError: it cannot be read.
    """
    lines = _lines(Path(path).parent / LEDGER).get(Path(path).name, {})
    if not lines:
        return None
    data = files.read(path)
    if made := lines.get(digest(data)):
        return Found(made)
    return None if _is_picture(data) else Found(None, whole=False)


def _is_picture(data: bytes) -> bool:
    import io

    from vaecodec.pictures import images  # takes its time

    try:
        images.open_image(io.BytesIO(data))
    except (ImageError, LimitError) as error:
        return isinstance(error, LimitError)
    return True


def _lines(ledger: Path) -> dict[str, dict[bytes, Made]]:
    """Of each name, what was made by content; of a ledger that is not there, nothing."""
    with contextlib.suppress(OSError):
        found = os.stat(ledger)
        return _parsed(ledger, found.st_ino, found.st_size, found.st_mtime_ns)
    return {}


@functools.lru_cache(maxsize=16)
def _parsed(ledger: Path, *_version: int) -> dict[str, dict[bytes, Made]]:
    lines: dict[str, dict[bytes, Made]] = {}
    for text in files.read(str(ledger)).split(b"\n"):
        with contextlib.suppress(
            ValueError, KeyError, TypeError, RecursionError
        ):  # no line of ours, or one that was cut off
            line = json.loads(text)
            made = Made(bytes.fromhex(line["source"]), str(line["asked"]))
            lines.setdefault(line["file"], {})[bytes.fromhex(line["digest"])] = made
    return lines
