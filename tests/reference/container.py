"""Bytes to header, chunks and payload."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

MODES = ("L", "RGB", "LA", "RGBA", "1", "CMYK", "YCbCr", "HSV", "I;16", "P", "I", "F", "PA")
CHUNKS = (b"made", b"ALPH", b"ALPC", b"EXAC", b"ICCP", b"COLR", b"EXIF", b"XMP ", b"iptc", b"reso")
DEFLATED = {b"ICCZ": b"ICCP", b"EXIZ": b"EXIF", b"XMPZ": b"XMP ", b"iptz": b"iptc"}


class Refused(ValueError):
    """A file that is not whole and sound, or of a version that this decoder does not know."""


def require(condition: bool, message: str) -> None:
    """Raises `Refused` with the message unless the condition holds."""
    if not condition:
        raise Refused(message)


def number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def inflated(content: bytes) -> bytes:
    """A chunk that is stored as a length and a zlib stream."""
    require(len(content) >= 4, "deflated chunk cut")
    size, inflater = number(content, 0, 4), zlib.decompressobj()
    require(size <= 2**26, "length of a deflated chunk")
    try:
        data = inflater.decompress(content[4:], size + 1)
    except zlib.error:
        data = None
    require(data is not None and len(data) == size, "deflated chunk")
    require(inflater.eof and not inflater.unused_data, "end of a deflated chunk")
    return data


@dataclass(frozen=True)
class File:
    """What a file says, by the names of the format."""

    coding: int
    mode: str
    model_id: bytes
    width: int
    height: int
    quality: int
    symbols_crc: int
    chunks: dict[bytes, bytes]
    payload: bytes


def parse(data: bytes, max_pixels: int = 2**28) -> File:
    """A whole file."""
    require(data[:4] == b"\x89VAE", "signature")
    require(len(data) >= 36, "header cut")
    require(zlib.crc32(data[:32]) == number(data, 32, 4), "CRC of the header")
    require(data[4] == 1, "version")
    require(data[5] <= 1, "coding mode")
    require(data[6] < len(MODES), "mode of the picture")
    mode, count = MODES[data[6]], data[7]
    width, height, quality, size = number(data, 12, 3), number(data, 15, 3), number(data, 18, 2), number(data, 20, 4)
    require(width > 0 and height > 0, "size")
    require(quality <= 2**15, "quality")
    require(count <= 16, "number of chunks")
    require(size % 4 == 0, "payload length")
    require(width * height <= max_pixels, "limit of pixels")
    chunks: dict[bytes, bytes] = {}
    at = 36
    for _ in range(count):
        require(len(data) - at >= 12, "chunk cut")
        kind, length, crc = data[at : at + 4], number(data, at + 4, 4), number(data, at + 8, 4)
        require(len(data) - at - 12 >= length, "chunk cut")
        content = data[at + 12 : at + 12 + length]
        require(zlib.crc32(kind + content) == crc, "CRC of a chunk")
        at += 12 + length
        if kind not in CHUNKS and kind not in DEFLATED and 97 <= kind[0] <= 122:
            continue
        if kind in DEFLATED:
            kind, content = DEFLATED[kind], inflated(content)
        require(kind in CHUNKS, "type of a chunk")
        require(all(CHUNKS.index(kind) > CHUNKS.index(other) for other in chunks), "order of chunks")
        chunks[kind] = content
    require(chunks.get(b"EXAC", b"")[:1] <= b"\1", "kind of the exact part")
    exact = chunks.get(b"EXAC", b"")[:1] == b"\1"
    require(exact == (data[8:12] == bytes(4)), "an exact file names no model, and no other does")
    require(not exact or (data[20:24] == data[28:32] == bytes(4) and data[5] == 0), "an exact file has no payload")
    planes = (b"ALPH" in chunks) + (b"ALPC" in chunks)
    require(planes == (mode in ("LA", "RGBA", "PA") and not exact), "alpha chunk")
    payload = data[at:]
    require(len(payload) == size, "length of the file")
    require(zlib.crc32(payload) == number(data, 24, 4), "CRC of the payload")
    return File(data[5], mode, data[8:12], width, height, quality, number(data, 28, 4), chunks, payload)
