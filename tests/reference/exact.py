"""What a file holds without loss, by Pillow's WebP and PNG: strips, exact tiles over the generator's picture, alpha."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from reference.container import File, number, require


def strips(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Top, bottom, left and right of each."""
    rows = min(16320, max(64, 2**22 // (64 * min(width, 16320)) * 64))
    for top in range(0, height, rows):
        for left in range(0, width, 16320):
            yield top, min(top + rows, height), left, min(left + 16320, width)


def read_strips(data: bytes, height: int, width: int, channels: int, mask: np.ndarray | None = None) -> np.ndarray:
    """`[height, width, channels]` uint8; where no strip is, 0."""
    pixels, at = np.zeros((height, width, channels), np.uint8), 0
    for top, bottom, left, right in strips(height, width):
        if mask is not None and not mask[top // 64 : -(-bottom // 64), left // 64 : -(-right // 64)].any():
            continue
        require(len(data) - at >= 5, "a strip is cut")
        length, form = number(data, at, 4), data[at + 4]
        at += 5
        require(form <= 1, "form of a strip")
        require(len(data) - at >= length, "a strip is cut")
        read = (webp, png)[form]
        pixels[top:bottom, left:right] = read(data[at : at + length], right - left, bottom - top, channels)
        at += length
    require(at == len(data), "bytes after the strips")
    return pixels


def webp(stream: bytes, width: int, height: int, channels: int) -> np.ndarray:
    """A VP8L stream without its first five bytes."""
    head = b"\x2f" + ((width - 1) | (height - 1) << 14 | (channels == 4) << 28).to_bytes(4, "little")
    body = head + stream
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    data = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    try:
        image = WebPImageFile(io.BytesIO(data)).convert("RGBA" if channels == 4 else "RGB")
    except Exception:
        image = None
    require(image is not None and image.size == (width, height), "a strip in WebP")
    pixels = np.array(image)
    return pixels[:, :, 1:2] if channels == 1 else pixels


def png(stream: bytes, width: int, height: int, channels: int) -> np.ndarray:
    """Depth, colour type, palette, and the zlib stream of a PNG."""
    require(len(stream) > 2, "a strip in PNG is cut")
    depth, colour = stream[0], stream[1]
    types = {1: [(8, 0)], 3: [(8, 2), (1, 3), (2, 3), (4, 3), (8, 3)], 4: [(8, 6)]}[channels]
    require((depth, colour) in types, "colour type of a strip")
    stream, palette = stream[2:], b""
    if colour == 3:
        size = 3 * (stream[0] + 1)
        palette, stream = stream[1 : 1 + size], stream[1 + size :]
        require(len(palette) == size <= 3 * 2**depth, "palette of a strip")
    bits = {0: 8, 2: 24, 3: depth, 6: 32}[colour]
    whole = height * (1 + (width * bits + 7) // 8)
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(stream, whole + 1)
    except zlib.error:
        inflated = b""
    require(len(inflated) == whole and inflater.eof and not inflater.unused_data, "pixels of a strip")
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), (b"PLTE", palette)]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in [*chunks, (b"IDAT", stream), (b"IEND", b"")]:
        if kind != b"PLTE" or content:
            data += struct.pack(">I", len(content)) + kind + content
            data += struct.pack(">I", zlib.crc32(kind + content))
    try:
        image = PngImageFile(io.BytesIO(data))
        image.load()
    except Exception:
        image = None
    require(image is not None, "a strip in PNG")
    if colour == 3:
        require(int(np.asarray(image).max()) < len(palette) // 3, "a pixel beyond the palette")
        image = image.convert("RGB")
    return np.asarray(image).reshape(height, width, channels)


def exact_tiles(file: File) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels are exact, `[height, width]` bool, and pixels `[height, width, C]`."""
    height, width = file.height, file.width
    if b"EXAC" not in file.chunks:
        return np.zeros((height, width), bool), np.zeros((height, width, 3), np.uint8)
    chunk = file.chunks[b"EXAC"]
    require(len(chunk) > 0 and chunk[0] <= 1, "kind of the exact part")
    if chunk[0] == 1:
        channels = 4 if file.mode in ("LA", "RGBA", "PA") else 3
        return np.ones((height, width), bool), read_strips(chunk[1:], height, width, channels)
    rows, columns = -(-height // 64), -(-width // 64)
    size = (rows * columns + 7) // 8
    require(len(chunk) > size, "mask cut")
    bits = [chunk[1 + i // 8] >> (7 - i % 8) & 1 for i in range(8 * size)]
    require(any(bits) and not any(bits[rows * columns :]), "mask")
    mask = np.array(bits[: rows * columns], bool).reshape(rows, columns)
    there = mask.repeat(64, 0)[:height].repeat(64, 1)[:, :width]
    return there, read_strips(chunk[1 + size :], height, width, 3, mask)


def alpha_file(file: File) -> File | None:
    """The file that a lossy plane of alpha would be; `None` if there is none."""
    chunk = file.chunks.get(b"ALPC", b"\0")
    require(len(chunk) > 0 and chunk[0] <= 1, "kind of the alpha plane")
    if chunk[0] == 0:
        return None
    require(len(chunk) >= 7 and (len(chunk) - 7) % 4 == 0, "alpha plane cut")
    quality = number(chunk, 1, 2)
    require(quality <= 2**15, "quality of the alpha plane")
    crc = number(chunk, 3, 4)
    return replace(file, coding=0, mode="L", quality=quality, symbols_crc=crc, chunks={}, payload=chunk[7:])


def exact_alpha(file: File) -> np.ndarray | None:
    """A plane of alpha in an `ALPC` chunk without loss, `[height, width]` uint8; `None` if there is none."""
    if file.chunks.get(b"ALPC", b"?")[:1] != b"\0":
        return None
    return read_strips(file.chunks[b"ALPC"][1:], file.height, file.width, 1)[:, :, 0]


def alpha_of_grey(rgb: np.ndarray) -> np.ndarray:
    """What a lossy plane's picture `[height, width, 3]` uint8 means, `[height, width]` uint8."""
    r, g, b = (rgb[:, :, i].astype(int) for i in range(3))
    grey = (19595 * r + 38470 * g + 7471 * b + 2**15) >> 16
    return (((grey.clip(8, 247) - 8) * 255 + 119) // 239).astype(np.uint8)
