"""A picture in the model's latent space, as a file holds it; its symbols in groups, and their checksum."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaecodec.format import container
from vaecodec.format.ans import CHUNK
from vaecodec.format.tables import FRACTIONS

Group = tuple[np.ndarray, np.ndarray]
"""Symbols that are coded together and the numbers of their tables, integers `[n]`."""


@dataclass(frozen=True)
class Latents:
    """A picture in the model's latent space, as a file holds it.

    Attributes:
        size: (width, height) of the picture.
        quality: code.
        z: `[1, Cz, h, w]` float64, in steps of rounded z: integers, or quarters where it was sampled.
        sixteenths: `[1, M, H, W]`, y_hat in sixteenths of a symbol: int16, or int32 where that does not hold them.
        payload: entropy-coded.
        symbols_crc: CRC-32 over all symbols in the order of decoding, as little-endian int32.
        coding: mode of the hyperlatents, see `container.CODINGS`.
    """

    size: tuple[int, int]
    quality: int
    z: Tensor
    sixteenths: Tensor
    payload: bytes
    symbols_crc: int
    coding: int = container.ROUNDED

    @property
    def y_hat(self) -> Tensor:
        """`[1, M, H, W]` float64, in symbols; four times the memory of `sixteenths` and more."""
        return self.sixteenths.double() / FRACTIONS


def flatten(values: Tensor) -> Tensor:
    """`[1, C, h, w]` to the one-dimensional order of symbols, on the CPU."""
    return values.cpu().reshape(-1)


def group(symbols: Tensor, numbers: Tensor) -> Group:
    """Symbols `[1, C, h, w]` and their tables, which may be one a channel, as a group."""
    as_array = lambda values: flatten(values).to(torch.int32).numpy()
    return as_array(symbols), as_array(numbers.expand_as(symbols))


def symbols_crc(groups: list[Group]) -> int:
    """The checksum that a header carries."""
    crc = 0
    for symbols, _ in groups:
        crc = crc_of(symbols, crc)
    return crc


def crc_of(symbols: np.ndarray, before: int = 0) -> int:
    """CRC-32 of symbols as little-endian int32, after others whose checksum is `before`."""
    for start in range(0, len(symbols), CHUNK):
        before = zlib.crc32(symbols[start : start + CHUNK].astype("<i4").tobytes(), before)
    return before
