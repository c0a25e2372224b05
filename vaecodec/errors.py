"""What can go wrong, as exceptions whose message says what, where and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class VaecodecError(Exception):
    """Base of everything that this package raises on purpose."""


class BitstreamError(VaecodecError, ValueError):
    """A `.vae` file cannot be decoded."""


class NotAVaeFile(BitstreamError):
    """The data does not begin as a `.vae` file does."""


class Truncated(BitstreamError):
    """The file ends before its content does."""


class Corrupt(BitstreamError):
    """A checksum does not fit, or fields contradict each other."""


class Unsupported(BitstreamError):
    """Valid as far as one can tell, but of a newer version or with a feature that this one lacks."""


class LimitError(VaecodecError):
    """Valid, but larger than the caller allows or than there is memory for."""


class ModelError(VaecodecError):
    """A model is unknown, damaged, or not the one that made the file."""


class ImageError(VaecodecError, ValueError):
    """An input picture cannot be used."""


class TargetError(VaecodecError):
    """A size or quality was asked for that cannot be reached; the message names the nearest that can."""


_TOO_LITTLE_MEMORY = ("allocate memory", "out of memory", "alloc_cpu", "bad_alloc", "could not create a primitive")


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Within it, or within what it decorates, a failed allocation of numpy, Pillow, torch or oneDNN is a `LimitError`.

    Raises:
        LimitError: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in _TOO_LITTLE_MEMORY):
            raise
        raise LimitError("there is not enough memory for a picture of this size") from error
