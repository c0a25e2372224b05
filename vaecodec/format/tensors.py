"""Files of tensors, in the safetensors format, as a whole: what is checked is then what is used. Imports no torch.

A file that is mapped into memory changes with what lies on disk, and one that is cut short ends the process. So these
are read, once, and whatever becomes of them afterwards does no harm.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

_MAX_HEADER_BYTES = 2**24


def read(path: Path) -> tuple[dict[str, str], bytes]:
    """A file's metadata and all of its bytes, as `safetensors.torch.load` takes them.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not as long as its header says, or has none.
    """
    with open(path, "rb") as file:
        metadata = read_metadata(file)
        file.seek(0)
        return metadata, file.read()


def read_metadata(file: IO[bytes]) -> dict[str, str]:
    """The metadata in the header of a file that stands at its beginning; none of its tensors are read.

    Raises:
        OSError, ValueError: as of `read`.
    """
    try:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > _MAX_HEADER_BYTES:
            raise ValueError("header too long")
        header = json.loads(file.read(size))
        metadata = dict(header.pop("__metadata__", {}))
        end = 8 + size + max(entry["data_offsets"][1] for entry in header.values())
    except (KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ValueError(f"no header of tensors: {error}") from error
    if (length := os.fstat(file.fileno()).st_size) != end:
        raise ValueError(f"{length} bytes long instead of {end}")
    return metadata
