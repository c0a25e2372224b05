"""The alpha plane in a file: without loss, or with, as a grey picture of the same model.

The content of an `ALPC` chunk; docs/format.md specifies it. `ALPH`, a PNG, is what earlier versions wrote.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from vaecodec.coding.latents import Latents
from vaecodec.errors import Corrupt, Unsupported
from vaecodec.format.container import ALPHA, QUALITY_MAX, ROUNDED, SOFT_ALPHA, Header, VaeFile
from vaecodec.pictures import images, lossless
from vaecodec.pictures.tiles import Area

EXACT, CODED = 0, 1
"""First byte of the chunk."""
CODED_HEAD = struct.Struct("<HI")
"""Quality code and checksum of the symbols, before the payload."""
EDGE = 8
"""Greys at both ends that stand for nothing and all: so much the generator may be wrong there, unseen."""


def pack_exact(alpha: np.ndarray) -> bytes:
    """The chunk for a plane `[H, W]` uint8 without loss."""
    return bytes([EXACT]) + lossless.pack(alpha[..., None])


def pack_coded(latents: Latents) -> bytes:
    """The chunk for latents of `as_grey`, whose hyperlatents are rounded."""
    return bytes([CODED]) + CODED_HEAD.pack(latents.quality, latents.symbols_crc) + latents.payload


def as_grey(alpha: np.ndarray) -> np.ndarray:
    """The picture `[H, W, 3]` uint8 that is coded for a plane `[H, W]` uint8."""
    levels = np.arange(256)
    grey = np.where(levels % 255 == 0, levels, EDGE + (levels * (255 - 2 * EDGE) + 127) // 255).astype(np.uint8)
    return grey[alpha][..., None].repeat(3, 2)


def from_grey(rgb: np.ndarray) -> np.ndarray:
    """The plane `[H, W]` uint8 that a decoded picture `[H, W, 3]` stands for."""
    inner = 255 - 2 * EDGE
    levels = ((np.arange(256).clip(EDGE, 255 - EDGE) - EDGE) * 255 + inner // 2) // inner
    return levels.astype(np.uint8)[images.luma(rgb)]


def coded_part(file: VaeFile) -> VaeFile | None:
    """The file that would hold a lossy alpha plane as a picture of its own; `None` if there is no such plane.

    Raises:
        Corrupt: the chunk is not as the format has it.
    """
    chunk = file.chunks.get(SOFT_ALPHA, b"")
    if chunk[:1] != bytes([CODED]):
        return None
    if len(chunk) < 1 + CODED_HEAD.size or (len(chunk) - 1 - CODED_HEAD.size) % 4:
        raise Corrupt("the alpha plane is not whole")
    quality, crc = CODED_HEAD.unpack_from(chunk, 1)
    if quality > QUALITY_MAX:
        raise Corrupt(f"the alpha plane has a quality code of {quality}, above {QUALITY_MAX}")
    payload = chunk[1 + CODED_HEAD.size :]
    return VaeFile(_header(file.header, quality, crc, len(payload)), payload)


def _header(header: Header, quality: int, crc: int, size: int) -> Header:
    return replace(header, mode="L", quality=quality, coding=ROUNDED, symbols_crc=crc, payload_bytes=size, chunks=0)


def exact_part(file: VaeFile, wanted: Area, reduction: int) -> np.ndarray | None:
    """The plane that a file holds without loss, or a part of it, or a smaller one; see `region.squares`.

    Returns:
        `[h, w]` uint8; `None` if there is none, or it is not held so.

    Raises:
        Corrupt: it cannot be read.
        Unsupported: it is of a kind that this version does not know.
    """
    size = (file.header.width, file.header.height)
    if ALPHA in file.chunks:
        return lossless.reduced(images.unpack_alpha(file.chunks[ALPHA], size), wanted, reduction)
    if SOFT_ALPHA not in file.chunks:
        return None
    chunk = file.chunks[SOFT_ALPHA]
    if chunk[:1] == bytes([EXACT]):
        strips = lossless.Strips(chunk[1:], size, 1)
        return strips.within(wanted, reduction)[..., 0]
    if chunk[:1] != bytes([CODED]):
        raise Unsupported("the alpha plane is of a kind that this program does not know")
    return None
