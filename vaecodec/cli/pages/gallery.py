"""`.vae` files as what a page of comparisons shows: pictures, figures, and where the bits went."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vaecodec.cli.pages.comparison import Entry, measured_entry, original_entry
from vaecodec.codec.base import BaseCodec
from vaecodec.codec.bit_map import position_bits
from vaecodec.codec.codec import Codec
from vaecodec.format.container import unpack
from vaecodec.networks.model import PATCH
from vaecodec.pictures import metrics


def bits_per_pixel(codec: BaseCodec, data: bytes) -> np.ndarray | None:
    """`[rows, columns]` bits a pixel in squares of `PATCH` pixels a side, for the bytes of a file.

    `None` for a codec whose latents lie nowhere in the picture, such as that of the digits.
    """
    if not isinstance(codec, Codec):
        return None
    return position_bits(codec, codec.decode(unpack(data, max_pixels=None))) / PATCH**2


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
        bits = bits_per_pixel(self.codec, data)
        entries.append(
            measured_entry(f"quality {quality:g}", decoded, metrics.measure(original, decoded, len(data)), bits)
        )
