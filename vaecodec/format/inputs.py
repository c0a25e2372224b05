"""What can be read from: bytes, a path or a binary file, told apart in one place; and `.vae` files from any of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from enum import Enum
from typing import IO

from vaecodec.format.container import HEADER_BYTES, read_header

FileLike = str | os.PathLike[str] | IO[bytes]
Source = bytes | bytearray | memoryview | FileLike
"""Of a `.vae` file: its content, its path, or a binary file."""


class Kind(Enum):
    """Of what can be read from."""

    CONTENT, PATH, FILE, TEXT, OTHER = range(5)


def kind_of(source: object) -> Kind:
    """Which kind something is of; `TEXT` is a file that gives `str`."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Kind.CONTENT
    if isinstance(source, (str, os.PathLike)):
        return Kind.PATH
    if not callable(read := getattr(source, "read", None)):
        return Kind.OTHER
    with contextlib.suppress(OSError, ValueError):  # what is wrong with it, whoever reads it is told
        return Kind.TEXT if isinstance(read(0), str) else Kind.FILE
    return Kind.FILE


def refusal(source: object, taken: str) -> TypeError:
    """The error for what cannot be read from, where only what is `taken` can."""
    kind, name = kind_of(source), type(source).__name__
    if kind == Kind.CONTENT:
        return TypeError(f"{taken} is needed, not {name}: io.BytesIO makes a file of them")
    return TypeError(f"{taken} is needed, not {'a file opened as text' if kind == Kind.TEXT else name}")


def head_of(source: Source) -> bytes:
    """The first `HEADER_BYTES` of a `.vae` file, or all there are; nothing else of it is read.

    Raises:
        OSError: it cannot be read.
        TypeError: it is no source.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source[:HEADER_BYTES])
    with _opened(source) as file:
        return _first(file)


def content_of(source: Source) -> bytes:
    """All of a `.vae` file; of a path or a file that does not begin as one, no more than that is read.

    Raises:
        BitstreamError: it has no sound header.
        OSError, TypeError: as of `head_of`.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    with _opened(source) as file:
        head = _first(file)
        read_header(head)
        return head + file.read()


@contextlib.contextmanager
def _opened(source: FileLike) -> Iterator[IO[bytes]]:
    """A file at its beginning, if it has one to go back to, as Pillow reads files."""
    kind = kind_of(source)
    if kind == Kind.PATH:
        with open(source, "rb") as file:  # type: ignore[arg-type]
            yield file
    elif kind == Kind.FILE:
        with contextlib.suppress(AttributeError, OSError):
            source.seek(0)  # type: ignore[union-attr]
        yield source  # type: ignore[misc]
    else:
        raise refusal(source, "the bytes of a .vae file, its path or a binary file")


def _first(file: IO[bytes]) -> bytes:
    """Its first `HEADER_BYTES`: pipes may give them in pieces."""
    head = b""
    while more := file.read(HEADER_BYTES - len(head)):
        head += more
    return head
