"""The `.vae` container: a fixed header of 36 bytes, optional chunks, the payload. docs/format.md is its specification.

Imports no torch: reading a header is cheap, and nothing in it is believed before its CRC fits.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field

from vaecodec.errors import Corrupt, LimitError, NotAVaeFile, Truncated, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

MAGIC = b"\x89VAE"
VERSION = 1
HEADER = struct.Struct("<4sBBBB4s3s3sHIII")
HEADER_BYTES = HEADER.size + 4
CHUNK = struct.Struct("<4sII")
MAX_SIDE = 2**24 - 1
MAX_CHUNKS = 16
QUALITY_MAX = 2**15
"""Largest quality code: qualities are integers from 0 to this, evenly spaced over the model's log λ."""
QUALITIES = (1.0, 100.0)
"""What a user turns: smallest file to best picture."""
DEFAULT_QUALITY = 50.0
"""Of models without a map of qualities, see `qualities`."""
DEFAULT_MAX_PIXELS = 2**28
"""Largest picture that is decoded unless the caller says otherwise (268 megapixels)."""

MODES = ("L", "RGB", "LA", "RGBA", "1", "CMYK", "YCbCr", "HSV", "I;16", "P", "I", "F", "PA")
"""Pillow modes; a header holds an index into this."""
ALPHA_MODES = ("LA", "RGBA", "PA")

ROUNDED, BITS_BACK = CODINGS = (0, 1)
"""How the hyperlatents are coded: rounded, or in part sampled and coded with bits-back (see `coding.bits_back`)."""
CODING_NAMES = {"rounded": ROUNDED, "bits-back": BITS_BACK}

ALPHA, SOFT_ALPHA, EXACT = b"ALPH", b"ALPC", b"EXAC"
ICC, COLOUR, EXIF, XMP, IPTC, RESOLUTION = b"ICCP", b"COLR", b"EXIF", b"XMP ", b"iptc", b"reso"
MADE = b"made"
"""What the file was made from, and what was asked for."""
CHUNK_TYPES = (MADE, ALPHA, SOFT_ALPHA, EXACT, ICC, COLOUR, EXIF, XMP, IPTC, RESOLUTION)
"""Chunks that this version knows, each at most once and in this order."""
NO_MODEL = bytes(4)
"""In place of a model's id, in files that hold all of a picture without loss."""
WHOLLY_EXACT = 1
"""First byte of the `EXACT` chunk of such a file, see `pictures.exact`."""
PACKED = {ICC: b"ICCZ", EXIF: b"EXIZ", XMP: b"XMPZ", IPTC: b"iptz"}
"""Those that may be deflated, in whose place stands a chunk of this type: its length, then a zlib stream."""
PACKED_LENGTH = struct.Struct("<I")
MAX_UNPACKED = 2**26
"""Most bytes that a deflated chunk may unpack to."""
METADATA = {"icc": (ICC, COLOUR), "exif": (EXIF,), "xmp": (XMP,), "iptc": (IPTC,), "dpi": (RESOLUTION,)}
"""Kinds of metadata, by what users call them: the types of their chunks."""
SKIPPABLE = range(ord("a"), ord("z") + 1)
"""First bytes of the types that a reader leaves out where it does not know them: small letters."""


def quality_code(quality: float) -> int:
    """The code of a quality from 1 to 100 for a model without a map, see `qualities`.

    Raises:
        ValueError: it is outside.
    """
    low, high = QUALITIES
    if not low <= quality <= high:
        raise ValueError(f"quality {quality} is not between {low:g} and {high:g}")
    return round((quality - low) / (high - low) * QUALITY_MAX)


def quality_of(code: int) -> float:
    """The inverse of `quality_code`."""
    low, high = QUALITIES
    return low + code / QUALITY_MAX * (high - low)


@dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes:
        width, height: of the picture, in pixels.
        mode: Pillow mode of the picture that was compressed.
        quality: code from 0 to `QUALITY_MAX`; of exact files that at which they were found to be best.
        coding: how the hyperlatents are coded, see `CODINGS`.
        model_id: the first four bytes of the model's id for this coding, see `catalog.ModelInfo`.
        symbols_crc: CRC-32 of the symbols.
        payload_bytes, payload_crc: of the entropy-coded data.
        chunks: how many chunks follow.
    """

    width: int
    height: int
    mode: str
    quality: int
    coding: int
    model_id: bytes
    symbols_crc: int
    payload_bytes: int
    payload_crc: int
    chunks: int

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def exact(self) -> bool:
        """Whether all of the picture is held without loss, and no model is needed."""
        return self.model_id == NO_MODEL


@dataclass(frozen=True)
class VaeFile:
    """A parsed file: header, payload and chunks by type."""

    header: Header
    payload: bytes
    chunks: dict[bytes, bytes] = field(default_factory=dict)


def pack(
    *,
    width: int,
    height: int,
    mode: str,
    quality: int,
    coding: int,
    model_id: bytes,
    symbols_crc: int,
    payload: bytes,
    chunks: dict[bytes, bytes] | None = None,
) -> bytes:
    """The bytes of a `.vae` file. Arguments as in `Header`; `chunks` by type."""
    ordered = [_packed(kind, (chunks or {})[kind]) for kind in CHUNK_TYPES if kind in (chunks or {})]
    header = HEADER.pack(
        MAGIC, VERSION, coding, MODES.index(mode), len(ordered), model_id,
        width.to_bytes(3, "little"), height.to_bytes(3, "little"), quality,
        len(payload), zlib.crc32(payload), symbols_crc,
    )  # fmt: skip
    parts = [header, zlib.crc32(header).to_bytes(4, "little")]
    for kind, data in ordered:
        parts += [CHUNK.pack(kind, len(data), zlib.crc32(kind + data)), data]
    return b"".join([*parts, payload])


def _packed(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    """A chunk as it is written: deflated where it may be, and that is smaller."""
    if kind in PACKED and len(content) <= MAX_UNPACKED:
        deflated = PACKED_LENGTH.pack(len(content)) + zlib.compress(content, 9)
        if len(deflated) < len(content):
            return PACKED[kind], deflated
    return kind, content


def _unpacked(number: int, content: bytes) -> bytes:
    """What a deflated chunk holds.

    Raises:
        Corrupt: that is not whole, or not what its length says.
        LimitError: it is more than `MAX_UNPACKED`.
    """
    if len(content) < PACKED_LENGTH.size:
        raise Corrupt(f"chunk {number} is too short to be a deflated one")
    (size,) = PACKED_LENGTH.unpack_from(content)
    if size > MAX_UNPACKED:
        raise LimitError(f"chunk {number} would unpack to {size} bytes, more than the limit of {MAX_UNPACKED}")
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(content[PACKED_LENGTH.size :], size + 1)
    except zlib.error as error:
        raise Corrupt(f"chunk {number} does not unpack ({error})") from error
    if len(data) != size or not inflater.eof or inflater.unused_data:
        raise Corrupt(f"chunk {number} does not unpack to the {size} bytes that it states")
    return data


def read_header(data: bytes) -> Header:
    """Parses and checks the first `HEADER_BYTES` bytes.

    Raises:
        NotAVaeFile, Truncated, Corrupt, Unsupported: as their names say.
    """
    if not data:
        raise NotAVaeFile("the file is empty")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise NotAVaeFile("not a .vae file: it does not begin with the .vae signature")
    if len(data) < HEADER_BYTES:
        raise Truncated(f"the file ends after {len(data)} of the header's {HEADER_BYTES} bytes")
    raw = data[: HEADER.size]
    if zlib.crc32(raw) != int.from_bytes(data[HEADER.size : HEADER_BYTES], "little"):
        raise Corrupt("the header is damaged: its checksum does not fit")
    _, version, coding, mode, chunks, model_id, width3, height3, quality, size, payload_crc, symbols_crc = (
        HEADER.unpack(raw)
    )
    if version != VERSION:
        raise Unsupported(f"the file has format version {version}; this program reads version {VERSION}")
    if coding not in CODINGS:
        raise Unsupported(f"the file uses coding mode {coding}, which this program does not know")
    if mode >= len(MODES):
        raise Unsupported(f"the file holds a picture of mode {mode}, which this program does not know")
    width, height = int.from_bytes(width3, "little"), int.from_bytes(height3, "little")
    if not (width and height):
        raise Corrupt(f"the header gives the picture a size of {width}x{height}")
    if quality > QUALITY_MAX:
        raise Corrupt(f"the header gives a quality code of {quality}, above {QUALITY_MAX}")
    if chunks > MAX_CHUNKS:
        raise Corrupt(f"the header announces {chunks} chunks, more than {MAX_CHUNKS}")
    if size % 4:
        raise Corrupt("the header's payload length is not a multiple of 4")
    return Header(width, height, MODES[mode], quality, coding, model_id, symbols_crc, size, payload_crc, chunks)


def read_chunks(file: IO[bytes], count: int) -> dict[bytes, bytes]:
    """Reads and checks the chunks that follow a header; leaves the file at the payload.

    Returns:
        Content by type; what was deflated is unpacked, and what may be skipped and is not known is left out.

    Raises:
        Truncated, Corrupt, Unsupported: as their names say.
        LimitError: see `MAX_UNPACKED`.
    """
    chunks: dict[bytes, bytes] = {}
    order = -1
    plain = {packed: kind for kind, packed in PACKED.items()}
    for number in range(count):
        head = file.read(CHUNK.size)
        if len(head) < CHUNK.size:
            raise Truncated(f"the file ends within the head of chunk {number}")
        name, size, crc = CHUNK.unpack(head)
        content = file.read(size)
        if len(content) < size:
            raise Truncated(f"the file ends within chunk {number}: {len(content)} of {size} bytes are there")
        if zlib.crc32(name + content) != crc:
            raise Corrupt(f"chunk {number} is damaged: its checksum does not fit")
        kind = plain.get(name, name)
        if kind not in CHUNK_TYPES:
            if name[0] in SKIPPABLE:
                continue
            raise Unsupported(f"chunk {number} has the unknown type {name!r}")
        if CHUNK_TYPES.index(kind) <= order:
            raise Corrupt(f"chunk {number} ({name.decode()}) stands twice or in the wrong place")
        order = CHUNK_TYPES.index(kind)
        chunks[kind] = _unpacked(number, content) if name in plain else content
    return chunks


def _check_parts(header: Header, chunks: dict[bytes, bytes]) -> None:
    """Raises `Corrupt` unless header and chunks tell of the same parts of a picture, `Unsupported` for unknown ones."""
    kind = chunks.get(EXACT, b"")[:1]
    if kind > bytes([WHOLLY_EXACT]):
        raise Unsupported(f"the exact part is of kind {kind[0]}, which this program does not know")
    if header.exact != (kind == bytes([WHOLLY_EXACT])):
        raise Corrupt("the file names no model, but is not exact" if header.exact else "an exact file names a model")
    if header.exact and (header.payload_bytes or header.symbols_crc or header.coding):
        raise Corrupt("an exact file has a payload, symbols or a coding of them")
    found, wanted = (ALPHA in chunks) + (SOFT_ALPHA in chunks), header.mode in ALPHA_MODES and not header.exact
    if found != wanted:
        raise Corrupt(f"a picture of mode {header.mode} {'has' if found > wanted else 'lacks'} an alpha chunk")


def check_pixels(width: int, height: int, max_pixels: int | None) -> None:
    """Raises `LimitError` for a picture, of any format, of more than `max_pixels` pixels; `None` is no limit."""
    if max_pixels is not None and width * height > max_pixels:
        raise LimitError(f"the picture has {width}x{height} pixels, more than the limit of {max_pixels}")


def unpack(data: bytes, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> VaeFile:
    """Parses a whole file and checks every length and checksum in it.

    Raises:
        BitstreamError: the file is not whole and sound.
        LimitError: it holds more than `max_pixels` pixels.
    """
    header = read_header(data)
    check_pixels(header.width, header.height, max_pixels)
    body = io.BytesIO(data)
    body.seek(HEADER_BYTES)
    chunks = read_chunks(body, header.chunks)
    _check_parts(header, chunks)
    payload = body.read()
    if len(payload) < header.payload_bytes:
        raise Truncated(f"the file ends within the payload: {len(payload)} of {header.payload_bytes} bytes are there")
    if len(payload) > header.payload_bytes:
        raise Corrupt(f"{len(payload) - header.payload_bytes} bytes follow the end of the payload")
    if zlib.crc32(payload) != header.payload_crc:
        raise Corrupt("the payload is damaged: its checksum does not fit")
    return VaeFile(header, payload, chunks)
