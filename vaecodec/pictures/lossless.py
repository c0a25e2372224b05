"""Pictures without loss, by libwebp or zlib through Pillow, as `.vae` files hold them. Imports no torch.

A picture is cut into strips, of which each is a stream of its own: at most `STRIP_PIXELS` pixels are unpacked at a
time, and a region needs no others. Of a file of WebP or PNG only the stream is kept, since the size is known: what else
such a file may hold cannot be said here, and the file that a library is given to read was put together by `_unpacked`.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Collection, Iterator

import numpy as np
from PIL import Image, features
from PIL.PngImagePlugin import PngImageFile, putchunk

from vaecodec.errors import Corrupt, Unsupported
from vaecodec.pictures.tiles import Area

SIDE = 64
"""Pixels a side of the tiles that strips are made of."""
STRIP_PIXELS, STRIP_SIDE = 2**22, 2**14 - SIDE
"""A strip has no more pixels, and no longer sides, which libwebp limits to 16383; sides are whole tiles."""
VP8L, PNG = FORMS = (0, 1)
"""What the stream of a strip is; a byte before it says so."""
SMALL = 2**14
"""Pixels up to which a strip is tried as PNG too, which has never been shorter above."""
SETTINGS, SMALL_SETTINGS = ((100, 4),), ((100, 4), (75, 6), (40, 4), (0, 4))
"""Qualities and methods of libwebp that are tried; of small strips now one is the shortest, now another."""
THOROUGH = (100, 6)
"""It takes thirty times as long: seconds for 2^16 pixels. Of drawings it saves up to a half, the less the larger they
are, and nothing of photographs: tried up to `THOROUGH_PIXELS`, where others take `THOROUGH_BYTES` at least, and at most
`THOROUGH_BITS` a pixel."""
THOROUGH_PIXELS, THOROUGH_BYTES, THOROUGH_BITS = 2**16, 128, 2
TINY_PIXELS = 2**10
"""Up to here it takes no time."""
HEAD = struct.Struct("<IB")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6
_SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, RGBA: 4}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_VP8L_SIGNATURE, _VP8L_HEAD = 0x2F, struct.Struct("<BI")


def strips(height: int, width: int) -> Iterator[Area]:
    """Rows and columns of the strips of a picture, from left to right and then downwards."""
    length = min(STRIP_SIDE, max(1, STRIP_PIXELS // (min(width, STRIP_SIDE) * SIDE)) * SIDE)
    for top in range(0, height, length):
        for left in range(0, width, STRIP_SIDE):
            yield slice(top, min(top + length, height)), slice(left, min(left + STRIP_SIDE, width))


def pack(pixels: np.ndarray, wanted: Collection[int] | None = None, *, keep_invisible: bool = False) -> bytes:
    """Strips one after the other, each with its length and form before it.

    Args:
        pixels: `[H, W, C]` uint8, of 1, 3 or 4 channels.
        wanted: numbers of the strips that there are to be; all unless told.
        keep_invisible: keep colours too where alpha is 0.
    """
    parts = []
    for number, area in enumerate(strips(*pixels.shape[:2])):
        if wanted is None or number in wanted:
            form, stream = _packed(np.ascontiguousarray(pixels[area]), keep_invisible)
            parts += [HEAD.pack(len(stream), form), stream]
    return b"".join(parts)


class Strips:
    """Strips as `pack` makes them; lengths are checked at once, pixels when they are asked for.

    Args:
        data: that ends with the last strip.
        size: (width, height) of the picture.
        channels: of its pixels.
        wanted: as of `pack`.

    Raises:
        Corrupt: there is less or more than the strips.
        Unsupported: the form of one is unknown.
    """

    def __init__(self, data: bytes, size: tuple[int, int], channels: int, wanted: Collection[int] | None = None):
        self.channels, self.areas, self._streams = channels, [], []
        at = 0
        for number, area in enumerate(strips(size[1], size[0])):
            if wanted is not None and number not in wanted:
                continue
            if len(data) - at < HEAD.size:
                raise Corrupt("a lossless part ends early")
            length, form = HEAD.unpack_from(data, at)
            at += HEAD.size
            if form not in FORMS:
                raise Unsupported(f"a lossless part has the form {form}, which this program does not know")
            if len(data) - at < length:
                raise Corrupt("a lossless part ends early")
            self.areas.append(area)
            self._streams.append((form, data[at : at + length]))
            at += length
        if at != len(data):
            raise Corrupt(f"{len(data) - at} bytes follow the end of a lossless part")

    @property
    def sizes(self) -> list[int]:
        """Bytes of each strip's stream."""
        return [len(stream) for _, stream in self._streams]

    def read(self, number: int) -> np.ndarray:
        """Pixels `[h, w, C]` uint8 of the strip whose area is that of the number.

        Raises:
            Corrupt: it is not a whole picture of the strip's size.
            Unsupported: Pillow here reads no WebP.
        """
        rows, columns = self.areas[number]
        return _unpacked(*self._streams[number], (columns.stop - columns.start, rows.stop - rows.start), self.channels)

    def parts(self, wanted: Area, reduction: int = 1) -> Iterator[tuple[Area, np.ndarray]]:
        """What the strips have of a part of the picture, or of a smaller one.

        Args:
            wanted: rows and columns in the smaller picture, see `region.squares`.

        Yields:
            Rows and columns in the smaller picture, and pixels `[h, w, C]` uint8.
        """
        for number, area in enumerate(self.areas):
            squares = [slice(s.start // reduction, -(-s.stop // reduction)) for s in area]
            rows, columns = (
                slice(max(s.start, w.start), min(s.stop, w.stop)) for s, w in zip(squares, wanted, strict=True)
            )
            if rows.start < rows.stop and columns.start < columns.stop:
                (top, left) = (s.start for s in squares)
                within = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
                yield (rows, columns), reduced(self.read(number), within, reduction)

    def within(self, wanted: Area, reduction: int = 1) -> np.ndarray:
        """A part of the picture, or of a smaller one, of which all strips are there: `[h, w, C]` uint8; see `parts`."""
        (top, left), shape = (s.start for s in wanted), [s.stop - s.start for s in wanted]
        pixels = np.empty((*shape, self.channels), np.uint8)
        for (rows, columns), part in self.parts(wanted, reduction):
            pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = part
        return pixels


def reduced(pixels: np.ndarray, wanted: tuple[slice, slice], reduction: int) -> np.ndarray:
    """The same part, and as much smaller, of `[H, W]` or `[H, W, C]` uint8 as `region.squares` tells.

    Squares at the lower and right edges are means of what there is.
    """
    rows, columns = wanted
    if reduction == 1:
        return pixels[rows, columns]
    height, width = pixels.shape[:2]
    box = [s * reduction for s in (columns.start, rows.start, columns.stop, rows.stop)]
    box[2:] = min(box[2], width), min(box[3], height)
    left, top, right, bottom = box
    flat = pixels.shape[2:] == (1,)  # Pillow has a grey picture without a third axis
    smaller = np.asarray(
        Image.fromarray(pixels[..., 0] if flat else pixels).reduce(reduction, (left, top, right, bottom))
    )
    return smaller[..., None] if flat else smaller


# --- one strip


def _packed(pixels: np.ndarray, keep_invisible: bool) -> tuple[int, bytes]:
    """The shorter form of a strip, and the stream."""
    made, has_webp = [], features.check("webp")
    if has_webp:
        made.append((VP8L, _vp8l_stream(pixels, keep_invisible)))
    if pixels.shape[0] * pixels.shape[1] <= SMALL or not has_webp:
        made.append((PNG, _png_stream(pixels)))
    return min(made, key=lambda form_and_stream: len(form_and_stream[1]))


def _unpacked(form: int, stream: bytes, size: tuple[int, int], channels: int) -> np.ndarray:
    if form == VP8L and not features.check("webp"):
        raise Unsupported("the file has a part in lossless WebP, which Pillow here cannot read")
    try:
        pixels = (_from_vp8l if form == VP8L else _from_png)(stream, size, channels)
    except (MemoryError, Corrupt):
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on hostile input
        raise Corrupt(f"a lossless part cannot be read ({error})") from error
    return pixels


def _vp8l_head(size: tuple[int, int], alpha: bool) -> bytes:
    """What every VP8L stream begins with."""
    width, height = size
    return _VP8L_HEAD.pack(_VP8L_SIGNATURE, width - 1 | height - 1 << 14 | alpha << 28)


def _vp8l_stream(pixels: np.ndarray, keep_invisible: bool) -> bytes:
    """The VP8L stream, without the five bytes that only say its size."""
    height, width, channels = pixels.shape
    picture = Image.fromarray(pixels if channels > 1 else pixels[..., 0]).convert(_MODES[max(channels, 3)])
    settings = SMALL_SETTINGS if width * height <= SMALL else SETTINGS
    best = min((_webp(picture, *setting, keep_invisible) for setting in settings), key=len)
    may_pay = THOROUGH_BYTES <= len(best) <= THOROUGH_BITS * width * height / 8
    if width * height <= (THOROUGH_PIXELS if may_pay else TINY_PIXELS):
        best = min(best, _webp(picture, *THOROUGH, keep_invisible), key=len)
    return best


def _webp(picture: Image.Image, quality: int, method: int, keep_invisible: bool) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True, quality=quality, method=method, exact=keep_invisible)
    data = buffer.getvalue()
    at = 12
    while data[at : at + 4] != b"VP8L":
        at += 8 + (length := int.from_bytes(data[at + 4 : at + 8], "little")) + length % 2
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    return data[at + 8 + _VP8L_HEAD.size : at + 8 + length]


def _from_vp8l(stream: bytes, size: tuple[int, int], channels: int) -> np.ndarray:
    from PIL.WebPImagePlugin import WebPImageFile  # not Image.open, which would guess, and has a limit of its own

    body = _vp8l_head(size, channels == 4) + stream
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    data = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    with WebPImageFile(io.BytesIO(data)) as image:
        if image.size != size:
            raise Corrupt(f"a lossless part has {image.width}x{image.height} pixels in place of {size[0]}x{size[1]}")
        pixels = np.array(image.convert(_MODES[max(channels, 3)]))
    return pixels[..., 1:2] if channels == 1 else pixels


def _png_stream(pixels: np.ndarray) -> bytes:
    """Depth, colour type, for a palette one less than its length and its colours, then the zlib stream of a PNG."""
    channels = pixels.shape[2]
    image = Image.fromarray(pixels if channels > 1 else pixels[..., 0])
    if channels == 3 and image.getcolors(256):
        image = _with_palette(pixels, np.unique(pixels.reshape(-1, 3), axis=0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    depth, colour_type, palette, stream = 8, RGB, b"", []
    for kind, content in png_chunks(buffer.getvalue()):
        if kind == b"IHDR":
            depth, colour_type = content[8], content[9]
        elif kind == b"PLTE":
            palette = bytes([len(content) // 3 - 1]) + content
        elif kind == b"IDAT":
            stream.append(content)
    return bytes([depth, colour_type]) + palette + b"".join(stream)


def _with_palette(pixels: np.ndarray, palette: np.ndarray) -> Image.Image:
    """An image of mode P that has these pixels `[H, W, 3]`, all of whose colours are in a sorted palette `[n, 3]`."""
    packed = lambda colours: colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    places = np.searchsorted(packed(palette), packed(pixels))
    image = Image.fromarray(places.astype(np.uint8), "P")
    image.putpalette(palette.tobytes())
    return image


def _from_png(stream: bytes, size: tuple[int, int], channels: int) -> np.ndarray:
    depth, colour_type = stream[:2]
    allowed = {1: {(8, GREY)}, 3: {(8, RGB), *((depth, PALETTE) for depth in (1, 2, 4, 8))}, 4: {(8, RGBA)}}
    if (depth, colour_type) not in allowed[channels]:
        raise ValueError(f"{depth} bits a sample of colour type {colour_type}")
    palette, stream = b"", stream[2:]
    if colour_type == PALETTE:
        length = 3 * (stream[0] + 1)
        palette, stream = stream[1 : 1 + length], stream[1 + length :]
        if len(palette) < length or length > 3 << depth:
            raise ValueError("its palette is not whole")
    data = png_file(size, depth, colour_type, stream, palette)
    with PngImageFile(io.BytesIO(data)) as image:
        image.load()
        if colour_type == PALETTE and np.asarray(image).max() >= len(palette) // 3:
            raise ValueError("a pixel is beyond its palette")
        pixels = np.array(image.convert(_MODES[channels]))
    return pixels[..., None] if channels == 1 else pixels


# --- PNG, put together of what was looked at


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Types and contents of the chunks of a PNG up to `IEND`; the checksums of `IHDR`, `IDAT` and `IEND` are looked at.

    Raises:
        ValueError: it is none, or damaged.
    """
    kind, position = b"", len(PNG_SIGNATURE)
    if data[:position] != PNG_SIGNATURE:
        raise ValueError("not a PNG")
    while kind != b"IEND":
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise ValueError("it ends early")
        content, checksum = data[position + 8 : end - 4], data[end - 4 : end]
        if kind in (b"IHDR", b"IDAT", b"IEND") and zlib.crc32(kind + content) != int.from_bytes(checksum, "big"):
            raise ValueError(f"checksum of {kind.decode()}")
        yield kind, content
        position = end


def png_file(size: tuple[int, int], depth: int, colour_type: int, stream: bytes, palette: bytes = b"") -> bytes:
    """A PNG that is not interlaced, of nothing but its header, palette, pixels and end.

    Raises:
        ValueError: the zlib stream does not hold the whole picture, or more.
    """
    width, height = size
    limit = height * (1 + -(-width * depth * _SAMPLES[colour_type] // 8))
    if _inflated_size(stream, limit) != limit:
        raise ValueError("its pixels are not those of the whole picture")
    plain = io.BytesIO()
    plain.write(PNG_SIGNATURE)
    putchunk(plain, b"IHDR", struct.pack(">II5B", width, height, depth, colour_type, 0, 0, 0))
    if palette:
        putchunk(plain, b"PLTE", palette)
    putchunk(plain, b"IDAT", stream)
    putchunk(plain, b"IEND", b"")
    return plain.getvalue()


def _inflated_size(data: bytes, limit: int) -> int | None:
    """Bytes in a zlib stream, which takes no memory; `None` if they are more than a limit, or if it is not whole."""
    inflater, size = zlib.decompressobj(), 0
    for start in range(0, len(data), 2**14):
        if inflater.eof or size > limit:
            return None
        size += len(inflater.decompress(data[start : start + 2**14]))
    return size if inflater.eof and not inflater.unused_data else None
