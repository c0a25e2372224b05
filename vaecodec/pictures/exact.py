"""What of a picture a file holds without loss: all of it, or tiles that lie over what the generator draws.

The content of an `EXAC` chunk; docs/format.md specifies it. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from vaecodec.errors import BitstreamError, Corrupt, VaecodecError
from vaecodec.format.container import ALPHA_MODES, EXACT, NO_MODEL, QUALITY_MAX, WHOLLY_EXACT, VaeFile, pack
from vaecodec.pictures import lossless
from vaecodec.pictures.graphics import tile_grid
from vaecodec.pictures.images import Planes, put_together
from vaecodec.pictures.lossless import SIDE, Strips, strips
from vaecodec.pictures.region import Region, reduction_of, squares
from vaecodec.pictures.tiles import Area

TILES, ALL = 0, WHOLLY_EXACT
"""First byte of the chunk."""


def pack_tiles(rgb: np.ndarray, mask: np.ndarray) -> bytes:
    """The chunk for some tiles of a picture.

    Args:
        rgb: `[H, W, 3]` uint8.
        mask: `[rows, columns]` bool, see `graphics.tile_grid`; one tile at least.
    """
    there = as_pixels(mask, rgb.shape)
    pixels = np.where(there[..., None], rgb, commonest(rgb[there]))
    return bytes([TILES]) + np.packbits(mask).tobytes() + lossless.pack(pixels, _touched(mask, rgb.shape))


def commonest(colours: np.ndarray) -> np.ndarray:
    """The commonest of `[n, 3]` uint8, `[3]`, by a sample: it costs least where nothing else has to be."""
    values, counts = np.unique(colours[:: 1 + len(colours) // 2**16], axis=0, return_counts=True)
    return values[counts.argmax()]


def pack_all(planes: Planes, *, keep_invisible: bool = False) -> bytes:
    """The chunk for all of a picture, as far as `images` keeps it.

    Args:
        keep_invisible: keep colours too where alpha is 0.
    """
    pixels = planes.rgb if planes.alpha is None else np.dstack([planes.rgb, planes.alpha])
    return bytes([ALL]) + lossless.pack(pixels, keep_invisible=keep_invisible)


def file_of(planes: Planes, chunk: bytes, quality: int = QUALITY_MAX) -> bytes:
    """The file of a picture with the chunk of all of it.

    Args:
        quality: code at which this was found to be best; the highest where it was asked for.
    """
    height, width = planes.rgb.shape[:2]
    return pack(
        width=width, height=height, mode=planes.mode, quality=quality, coding=0,
        model_id=NO_MODEL, symbols_crc=0, payload=b"",
        chunks=planes.metadata | {EXACT: chunk},
    )  # fmt: skip


def as_pixels(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A mask of tiles as one of pixels, `[H, W]` bool."""
    return mask.repeat(SIDE, 0)[: shape[0]].repeat(SIDE, 1)[:, : shape[1]]


@dataclass(frozen=True)
class Exact:
    """A chunk, parsed; pixels are unpacked when they are asked for.

    Attributes:
        size: (width, height) of the picture.
        mask: tiles that are exact, `[rows, columns]` bool; `None` where all are.
        strips: what holds their pixels.
    """

    size: tuple[int, int]
    mask: np.ndarray | None
    strips: Strips

    @classmethod
    def parse(cls, chunk: bytes, size: tuple[int, int], *, alpha: bool) -> Exact:
        """Checks all but the pixels.

        Args:
            size: (width, height) of the picture.
            alpha: whether it has such a plane, which is in the chunk if that holds all.

        Raises:
            Corrupt: the chunk is not as the format has it.
            Unsupported: a strip is of a form that this version does not know.
        """
        if not chunk:
            raise Corrupt("the exact part is empty")
        if chunk[0] == ALL:
            return cls(size, None, Strips(chunk[1:], size, 4 if alpha else 3))
        rows, columns = tile_grid(size[1], size[0])
        end = 1 + -(-rows * columns // 8)
        bits = np.unpackbits(np.frombuffer(chunk[1:end], np.uint8))
        if len(chunk) < end or not bits.any() or bits[rows * columns :].any():
            raise Corrupt("the mask of the exact part is not whole, empty, or larger than the picture")
        mask = bits[: rows * columns].reshape(rows, columns).astype(bool)
        return cls(size, mask, Strips(chunk[end:], size, 3, _touched(mask, (size[1], size[0]))))

    @property
    def all(self) -> Area:
        """Rows and columns of the whole picture."""
        return squares(self.size)

    @property
    def share(self) -> float:
        """Of the picture's pixels that are exact."""
        if self.mask is None:
            return 1.0
        tall, wide = (np.diff([*range(0, side, SIDE), side]) for side in (self.size[1], self.size[0]))
        return float((self.mask * tall[:, None] * wide).sum() / (self.size[0] * self.size[1]))

    def bits_per_pixel(self) -> tuple[np.ndarray, np.ndarray]:
        """Which tiles are exact, and what they took, the mean of their strip: `[rows, columns]` bool and float64."""
        there = np.ones(tile_grid(self.size[1], self.size[0]), bool) if self.mask is None else self.mask
        spent = np.zeros(there.shape)
        for (rows, columns), size in zip(self.strips.areas, self.strips.sizes, strict=True):
            tiles = _tiles_of((rows, columns))
            pixels = as_pixels(there[tiles], (rows.stop - rows.start, columns.stop - columns.start)).sum()
            spent[tiles] = np.where(there[tiles], 8 * size / pixels, 0)
        return there, spent

    def picture(self, wanted: Area, reduction: int = 1) -> np.ndarray:
        """Pixels `[h, w, C]` of a picture that is exact as a whole, or of a part; see `region.squares`."""
        return self.strips.within(wanted, reduction)

    def lay_over(self, pixels: np.ndarray, wanted: Area, reduction: int = 1) -> np.ndarray:
        """Puts the exact tiles into what the generator drew.

        Args:
            pixels: `[h, w, 3]` uint8 of the wanted squares, which are overwritten.
            wanted, reduction: rows and columns in the smaller picture, see `region.squares`.

        Raises:
            Corrupt: the pixels of the chunk cannot be read.
        """
        assert self.mask is not None
        for area, part in self.strips.parts(wanted, reduction):
            tiles = np.ix_(*((np.arange(s.start, s.stop) * reduction) // SIDE for s in area))
            rows, columns = (slice(s.start - w.start, s.stop - w.start) for s, w in zip(area, wanted, strict=True))
            np.copyto(pixels[rows, columns], part, where=self.mask[tiles][..., None])
        return pixels


def of_file(file: VaeFile) -> Exact | None:
    """What a file holds without loss; `None` if nothing.

    Raises:
        Corrupt, Unsupported: see `Exact.parse`.
    """
    if EXACT not in file.chunks:
        return None
    size = (file.header.width, file.header.height)
    return Exact.parse(file.chunks[EXACT], size, alpha=file.header.mode in ALPHA_MODES)


def check(file: VaeFile, planes: Planes) -> None:
    """Compares what a file holds without loss with the picture that it was made of.

    Raises:
        VaecodecError: it is another one, as far as it is seen, which a sound machine never sees.
    """
    try:
        exact = of_file(file)
        if exact is None or all(_is_held(exact, area, part, planes) for area, part in exact.strips.parts(exact.all)):
            return
        reason = "another picture"
    except BitstreamError as error:
        reason = str(error)
    raise VaecodecError(f"what was made does not hold the picture ({reason}), so it is thrown away")


def _is_held(exact: Exact, area: Area, part: np.ndarray, planes: Planes) -> bool:
    """Whether a strip's pixels are those of the picture, as far as they are seen."""
    same = (part[..., :3] == planes.rgb[area]).all(2)
    if exact.mask is not None:
        same |= ~as_pixels(exact.mask[_tiles_of(area)], part.shape)
    elif planes.alpha is not None:
        same = (same | (planes.alpha[area] == 0)) & (part[..., 3] == planes.alpha[area])
    return bool(same.all())


def share(file: VaeFile) -> float:
    """Of a file's pixels that it holds without loss."""
    exact = of_file(file)
    return exact.share if exact else 0.0


def restore(file: VaeFile, region: Region | None = None, scale: float = 1) -> Image.Image:
    """The picture of a file that is exact as a whole; see `codec.api.decompress`."""
    exact, reduction = of_file(file), reduction_of(scale)
    assert exact and exact.mask is None, "a file that names no model is exact"
    pixels = exact.picture(squares(exact.size, region, reduction), reduction)
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    return put_together(np.ascontiguousarray(pixels[..., :3]), alpha, file.header.mode, file.chunks)


def _touched(mask: np.ndarray, shape: tuple[int, ...]) -> set[int]:
    """Numbers of the strips in which tiles are masked."""
    return {number for number, area in enumerate(strips(shape[0], shape[1])) if mask[_tiles_of(area)].any()}


def _tiles_of(area: Area) -> Area:
    """The tiles of a strip, whose upper left corner is that of a tile."""
    rows, columns = (slice(s.start // SIDE, -(-s.stop // SIDE)) for s in area)
    return rows, columns
