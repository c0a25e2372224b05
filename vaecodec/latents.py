"""Latents to bytes and back: the order of the symbols, their rounding, the prior asked step by step, ANS.

encode:  z, y ── symbols, step by step ── ANS ── payload
decode:  payload ── ANS, step by step ── z, y_hat
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaecodec.ans import Decoder, Encoder, Tables
from vaecodec.container import QUALITY_MAX, Header
from vaecodec.errors import Corrupt
from vaecodec.exact import ExactPrior
from vaecodec.model import HYPER, PATCH, ModelConfig
from vaecodec.prior import STEPS, Cells
from vaecodec.refine import rdo_round, rdo_weight
from vaecodec.tables import FRACTIONS

Z_LIMIT = 2**15
SYMBOL_LIMIT = 2**20


@dataclass(frozen=True)
class Latents:
    """A picture in the model's latent space, as a file holds it.

    Attributes:
        size: (width, height) of the picture.
        quality: code.
        z: `[1, Cz, h, w]` float64 integers.
        y_hat: `[1, M, H, W]` float64, in symbols: multiples of 1/16.
        payload: entropy-coded.
        symbols_crc: CRC-32 over all symbols in the order of decoding, as little-endian int32.
    """

    size: tuple[int, int]
    quality: int
    z: Tensor
    y_hat: Tensor
    payload: bytes
    symbols_crc: int


def _flatten(values: Tensor, outside: Tensor | None) -> Tensor:
    """`[1, C, h, w]` to the one-dimensional order of symbols, on the CPU, without what lies beyond odd sides."""
    values = values.cpu()
    return values.reshape(-1) if outside is None else values[0][~outside]


class LatentCoder:
    """What codes latents with a model's exact prior and its tables; holds no state between calls.

    Args:
        prior: its device is where it runs; latents come back there.
        tables: of the symbols.
        config: sizes of the model.
    """

    def __init__(self, prior: ExactPrior, tables: Tables, config: ModelConfig):
        self.prior, self.tables, self.config = prior, tables, config
        self.device = prior.device

    @torch.no_grad()
    def encode(self, z: Tensor, y: Tensor, size: tuple[int, int], quality: int, *, effort: int) -> Latents:
        """Rounds and codes latents.

        Args:
            z: `[1, Cz, h, w]` of any real numbers; they are rounded.
            y: `[1, M, H, W]` normalised.
            size: (width, height) of the picture.
            quality: code.
            effort: 0 rounds y to the nearest symbols, 1 to those that are best for rate and distortion together.
        """
        state = self.prior.at(quality)
        z = z.double().round().clamp(-Z_LIMIT, Z_LIMIT)
        y = y.double() * state.gain
        coded, groups = Cells(y), []
        outside = coded.outside()

        def add(symbols: Tensor, numbers: Tensor, within: Tensor | None = None) -> None:
            groups.append([_flatten(t, within).to(torch.int32).numpy() for t in (symbols, numbers)])

        add(z - state.z.offset / FRACTIONS, state.z.numbers.expand_as(z))
        hyper = self.prior.hyper(z, state)
        for step, target in enumerate(Cells.split(y)):
            prediction = self.prior.predict_y(step, hyper, coded, state)
            u = (target - prediction.offset / FRACTIONS).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            symbols = self._rdo_round(u, prediction.numbers, quality) if effort else u.round()
            if outside is not None:
                symbols.masked_fill_(outside.to(self.device), 0)
            coded.put(prediction.offset + symbols * FRACTIONS)
            add(symbols, prediction.numbers, outside)
        encoder = Encoder()
        for symbols, numbers in reversed(groups):
            encoder.push(symbols, numbers, self.tables)
        crc = 0
        for symbols, _ in groups:
            crc = zlib.crc32(symbols.astype("<i4").tobytes(), crc)
        return Latents(size, quality, z, coded.merged() / FRACTIONS, encoder.getvalue(), crc)

    def _rdo_round(self, u: Tensor, numbers: Tensor, quality: int) -> Tensor:
        tables = numbers.cpu().numpy()
        mean = (numbers % FRACTIONS).double() / FRACTIONS - 0.5

        def bits(symbols: Tensor) -> Tensor:
            lengths = self.tables.bits(symbols.cpu().numpy().astype(np.int64), tables)
            return torch.from_numpy(lengths).to(u.device)

        return rdo_round(u, mean, bits, rdo_weight(quality / QUALITY_MAX))

    @torch.no_grad()
    def decode(self, payload: bytes, header: Header) -> Latents:
        """The latents in a payload, whose size, quality and checksum a header tells.

        Raises:
            Corrupt: the symbols are not those that were coded.
        """
        state = self.prior.at(header.quality)
        rows, columns = -(-header.height // PATCH), -(-header.width // PATCH)
        decoder, crc = Decoder(payload), 0

        def take(numbers: Tensor, outside: Tensor | None = None) -> Tensor:
            nonlocal crc
            symbols = decoder.pop(_flatten(numbers, outside).numpy(), self.tables)
            crc = zlib.crc32(symbols.astype("<i4").tobytes(), crc)
            values = torch.from_numpy(symbols).double()
            if outside is not None:
                values = torch.zeros(numbers.shape, dtype=torch.float64).masked_scatter_(~outside, values)
            return values.view(numbers.shape).to(self.device)

        shape = (1, self.config.z_channels, -(-rows // HYPER), -(-columns // HYPER))
        z = take(state.z.numbers.expand(shape)) + state.z.offset / FRACTIONS
        hyper = self.prior.hyper(z, state)
        coded = Cells(torch.zeros((1, self.config.y_channels, rows, columns), dtype=torch.float64, device=self.device))
        outside = coded.outside()
        for step in range(STEPS):
            prediction = self.prior.predict_y(step, hyper, coded, state)
            coded.put(prediction.offset + take(prediction.numbers, outside) * FRACTIONS)
        decoder.finish()
        if crc != header.symbols_crc:
            raise Corrupt("the symbols do not match their checksum")
        return Latents((header.width, header.height), header.quality, z, coded.merged() / FRACTIONS, payload, crc)
