"""Running out of memory, as an error of this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from vaecodec.errors import LimitError

_SIGNS = ("allocate memory", "out of memory", "alloc_cpu", "bad_alloc", "could not create a primitive")


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Within it, or within what it decorates, a failed allocation of numpy, Pillow, torch or oneDNN is a `LimitError`.

    Raises:
        LimitError: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in _SIGNS):
            raise
        raise LimitError("there is not enough memory for a picture of this size") from error
