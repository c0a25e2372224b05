"""What --resume goes by: of each output, what it was made from and what had been asked for.

A `.vae` file says so itself, in its chunk `made`. Pictures cannot: a line in a file beside them, `LEDGER`, does. What
is there already is

    done     made from what the source is now, as it is asked for now: left alone
    outdated made from this source otherwise, or before what lies at that path changed, or damaged: made anew
    another  anything else, and left alone too: nothing is lost unless -f says so
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vaecodec.errors import BitstreamError, LimitError
from vaecodec.format import container, files
from vaecodec.format.container import MADE

LEDGER = ".vaecodec-made"
"""Name of the file in a folder of pictures that says of each what it was made from."""
DIGEST_BYTES, PLACE_BYTES = 8, 4


def digest(data: bytes) -> bytes:
    """Of a file's content."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def place_of(path: str) -> bytes:
    """Of where a file lies; nothing of what lies nowhere."""
    with contextlib.suppress(OSError):  # the current folder is gone
        if path != files.STREAM:
            return hashlib.blake2b(os.fsencode(os.path.realpath(path)), digest_size=PLACE_BYTES).digest()
    return bytes(PLACE_BYTES)


@dataclass(frozen=True)
class Made:
    """How a file came to be.

    Attributes:
        source: `digest` of what it was made from.
        place: `place_of` where that lay.
        asked: words in ASCII with a space between, of which the first is the suffix of the source, without its dot.
    """

    source: bytes
    place: bytes
    asked: str

    @classmethod
    def of(cls, path: str, data: bytes, asked: Mapping[str, object]) -> Made:
        """From a source, its path and content, and what is asked for by name; `None` and `False` stand for nothing."""
        words = [suffix_of(path)]
        for name, value in asked.items():
            if value is not None and value is not False:
                words.append(name if value is True else f"{name}={_word(value)}")
        return cls(digest(data), place_of(path), " ".join(words))

    def same_as(self, other: Made | None) -> bool:
        """Whether the other comes out the same: wherever its source lay."""
        return other is not None and (self.source, self.asked) == (other.source, other.asked)

    def to_bytes(self) -> bytes:
        """The content of a chunk."""
        return self.source + self.place + self.asked.encode("ascii")

    @classmethod
    def from_bytes(cls, content: bytes) -> Made:
        """The inverse of `to_bytes`; of any content."""
        words = DIGEST_BYTES + PLACE_BYTES
        return cls(content[:DIGEST_BYTES], content[DIGEST_BYTES:words], content[words:].decode("ascii", "replace"))

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


Lines = dict[tuple[str, bytes], Made]
"""How pictures were made, by name and `digest`."""


@dataclass(frozen=True)
class Found:
    """What is there already and came from here: how it was made, as far as that is known, and whether it is whole."""

    made: Made | None
    whole: bool = True


EMPTY = Found(None, whole=False)
"""A file without content."""


def is_done(source: str, target: str, wanted: Made, found: Found | None, *, force: bool) -> bool:
    """Whether nothing is left to do for a target that exists.

    Args:
        wanted: how it would be made now.
        found: how it was; `None` if it is not from here.
        force: what is not done may be replaced, whatever it is.

    Raises:
        Exists: it is not done, and not to be replaced.
    """
    if found and found.whole and wanted.same_as(found.made):
        return True
    if force or found == EMPTY:
        return False
    if found is None or found.made is None:
        raise files.Exists(f"{target}: exists already, and was not made from {source} here; use -f to overwrite it")
    changed = found.made.place == wanted.place and _is_newer(source, target)
    if found.made.source != wanted.source and not changed:
        raise files.Exists(f"{target}: exists already, made from another picture; use -f to overwrite it")
    return False


def _is_newer(source: str, target: str) -> bool:
    with contextlib.suppress(OSError):
        return os.stat(source).st_mtime_ns > os.stat(target).st_mtime_ns
    return False


# --- .vae files


def find_file(path: str, data: bytes) -> Found | None:
    """How a `.vae` file with some content was made; `None` if it does not say, or is none."""
    if not (made := _said_in(io.BytesIO(data))):
        return None
    try:
        container.unpack(data, max_pixels=None)
    except (BitstreamError, LimitError):
        return Found(made, whole=False)
    return Found(made)


def owner(path: Path) -> Made | None:
    """How a `.vae` file was made, if there is one that says so."""
    with contextlib.suppress(OSError):
        if os.path.isfile(path):  # or a pipe would be waited for
            with open(path, "rb") as file:
                return _said_in(file)
    return None


def _said_in(file: IO[bytes]) -> Made | None:
    """What a `.vae` file says in its first chunk, whatever comes after."""
    with contextlib.suppress(BitstreamError, LimitError):
        header = container.read_header(file.read(container.HEADER_BYTES))
        content = container.read_chunks(file, min(header.chunks, 1)).get(MADE)
        return Made.from_bytes(content) if content else None
    return None


# --- pictures


def record(path: str, data: bytes, made: Made) -> None:
    """Writes down how a picture is made, before it is there: a line without its picture does no harm.

    Raises:
        FileError: that cannot be written.
    """
    line = {"file": Path(path).name, "digest": digest(data).hex(), "source": made.source.hex()}
    line |= {"place": made.place.hex(), "asked": made.asked}
    files.append_line(Path(path).parent / LEDGER, json.dumps(line).encode())


def find_picture(path: str, data: bytes) -> Found | None:
    """How a picture with some content was made; `None` if it was not, or is another since."""
    made = _lines(Path(path).parent / LEDGER).get((Path(path).name, digest(data)))
    return Found(made) if made else None


def _lines(ledger: Path) -> Lines:
    """What a ledger says; of one that is not there, or is no file, nothing."""
    return _parsed(ledger, files.version(str(ledger))) if os.path.isfile(ledger) else {}


@functools.lru_cache(maxsize=16)
def _parsed(ledger: Path, _version: files.Version | None) -> Lines:
    lines: Lines = {}
    for text in files.read(str(ledger)).split(b"\n"):
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):  # no line of ours, or one cut off
            line = json.loads(text)
            made = Made(bytes.fromhex(line["source"]), bytes.fromhex(line["place"]), str(line["asked"]))
            lines[line["file"], bytes.fromhex(line["digest"])] = made
    return lines
