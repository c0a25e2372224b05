"""Sets of small grey pictures in IDX files, the format of MNIST and of what followed it. Imports no torch.

An IDX file is two zero bytes, a type (8: unsigned bytes), the number of dimensions, that many big-endian 32-bit sizes
and the values in row-major order; gzip around it is undone.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vaecodec.digits import CLASSES, SIDE
from vaecodec.errors import ImageError
from vaecodec.format import files

UNSIGNED_BYTES = 8
MAX_IDX_BYTES = 2**30
"""More than this no set is unpacked to."""
PARTS = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class Digits:
    """A set of pictures and what they show.

    Attributes:
        images: `[N, 28, 28]` uint8.
        labels: `[N]` uint8, from 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def parse_idx(data: bytes) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, gzipped or not.

    Raises:
        ImageError: it is no such file, or not whole.
    """
    if data[:2] == b"\x1f\x8b":
        try:
            unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
            data = unpacker.decompress(data, MAX_IDX_BYTES)
        except zlib.error as error:
            raise ImageError(f"the gzip data is damaged ({error})") from error
        if not unpacker.eof:
            raise ImageError(f"the gzip data is not whole, or unpacks to more than {MAX_IDX_BYTES} bytes")
    if len(data) < 4 or data[:2] != b"\0\0" or not 1 <= data[3] <= 3:
        raise ImageError("not an IDX file")
    if data[2] != UNSIGNED_BYTES:
        raise ImageError(f"an IDX file of type {data[2]:#04x}; unsigned bytes ({UNSIGNED_BYTES:#04x}) are needed")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise ImageError("the file ends within its head")
    shape = [int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4)]
    count = math.prod(shape)
    if len(data) != start + count:
        raise ImageError(f"{' x '.join(map(str, shape))} values are announced and {len(data) - start} are there")
    return np.frombuffer(data, np.uint8, count, start).reshape(shape)


def format_idx(values: np.ndarray) -> bytes:
    """A uint8 array as an IDX file, not gzipped."""
    head = bytes([0, 0, UNSIGNED_BYTES, values.ndim])
    return head + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()


def as_images(values: np.ndarray) -> np.ndarray:
    """Checks that an array holds pictures of 28 by 28.

    Raises:
        ImageError: it does not.
    """
    if values.ndim != 3 or values.shape[1:] != (SIDE, SIDE) or not len(values):
        shape = " x ".join(map(str, values.shape))
        raise ImageError(f"holds {shape} values, not a set of pictures of {SIDE} x {SIDE}")
    return values


def read_digits(folder: Path, part: str) -> Digits:
    """The `train` (60,000) or `test` (10,000) part of MNIST, or of a set with the same file names.

    Raises:
        ImageError: the files are not there, or not what they should be.
    """
    found: list[np.ndarray] = []
    for kind in ("images-idx3", "labels-idx1"):
        stem = f"{PARTS[part]}-{kind}-ubyte"
        path = next((p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()), None)
        if path is None:
            raise ImageError(f"{folder}: there is no {stem} or {stem}.gz in it")
        with files.naming(str(path)):
            values = parse_idx(files.read(str(path)))
            found.append(as_images(values) if not found else values)
    images, labels = found
    if labels.shape != images.shape[:1] or labels.max() >= CLASSES:
        raise ImageError(f"{path}: not {len(images)} labels from 0 to {CLASSES - 1}")
    return Digits(images, labels)
