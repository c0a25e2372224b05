"""`.vae` files as what a page of comparisons shows: pictures, figures, and where the bits went."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vaecodec.cli.pages.comparison import Entry, measured_entry, original_entry
from vaecodec.codec.base import BaseCodec
from vaecodec.codec.bit_map import position_bits
from vaecodec.codec.codec import Codec
from vaecodec.format.container import unpack
from vaecodec.networks.config import PATCH
from vaecodec.pictures import exact, metrics
from vaecodec.pictures.lossless import SIDE


def bit_map(codec: BaseCodec | None, data: bytes) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Bits a pixel in squares of `PATCH` pixels a side, for the bytes of a file, and which are held without loss.

    Args:
        codec: of the file; one that is exact as a whole needs none.

    Returns:
        `[rows, columns]` float64, and bool. The first is `None` for a codec whose latents lie nowhere in the picture,
        such as that of the digits, the second where nothing is exact.
    """
    file = unpack(data, max_pixels=None)
    bits = np.zeros((-(-file.header.height // PATCH), -(-file.header.width // PATCH)))
    if not file.header.exact:
        if not isinstance(codec, Codec):
            return None, None
        bits += position_bits(codec, codec.decode(file)) / PATCH**2
    held = exact.of_file(file)
    if held is None:
        return bits, None
    there, spent = held.bits_per_pixel()
    fine = lambda tiles: tiles.repeat(SIDE // PATCH, 0).repeat(SIDE // PATCH, 1)[: len(bits), : bits.shape[1]]
    return bits + fine(spent), fine(there)


class Gallery:
    """Collects pictures at the lowest, middle and highest of some qualities; called as `evaluation.evaluate` shows.

    Attributes:
        pictures: entries by name, the originals first.
    """

    def __init__(self, codec: BaseCodec, qualities: list[float]):
        ordered = sorted(qualities)
        self.codec, self.qualities = codec, {ordered[0], ordered[len(ordered) // 2], ordered[-1]}
        self.pictures: dict[str, list[Entry]] = {}

    def __call__(self, path: Path, quality: float, original: np.ndarray, data: bytes, decoded: np.ndarray) -> None:
        if quality not in self.qualities:
            return
        entries = self.pictures.setdefault(path.name, [original_entry(original)])
        measures = metrics.measure(original, decoded, len(data))
        entries.append(measured_entry(f"quality {quality:g}", decoded, measures, *bit_map(self.codec, data)))
