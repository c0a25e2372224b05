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

from vaecodec import container
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


Group = tuple[np.ndarray, np.ndarray]
"""Symbols that are coded together and the numbers of their tables, int32 `[n]`."""


@dataclass(frozen=True)
class Latents:
    """A picture in the model's latent space, as a file holds it.

    Attributes:
        size: (width, height) of the picture.
        quality: code.
        z: `[1, Cz, h, w]` float64, in steps of rounded z: integers, or quarters where it was sampled.
        y_hat: `[1, M, H, W]` float64, in symbols: multiples of 1/16.
        payload: entropy-coded.
        symbols_crc: CRC-32 over all symbols in the order of decoding, as little-endian int32.
        coding: mode of the hyperlatents, see `container.CODINGS`.
    """

    size: tuple[int, int]
    quality: int
    z: Tensor
    y_hat: Tensor
    payload: bytes
    symbols_crc: int
    coding: int = container.ROUNDED


def flatten(values: Tensor, outside: Tensor | None = None) -> Tensor:
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
        z, coded, groups = self.code(z, y, quality, effort)
        encoder = Encoder()
        self.push(encoder, groups)
        return Latents(size, quality, z, coded.merged() / FRACTIONS, encoder.getvalue(), symbols_crc(groups))

    def code(self, z: Tensor, y: Tensor, quality: int, effort: int) -> tuple[Tensor, Cells, list[Group]]:
        """Rounded z, y_hat in sixteenths, and the groups of symbols in the order of decoding."""
        state = self.prior.at(quality)
        z = z.double().round().clamp(-Z_LIMIT, Z_LIMIT)
        z_group = group(z - state.z.offset / FRACTIONS, state.z.numbers)
        coded, groups = self.code_y(z, y, quality, effort)
        return z, coded, [z_group, *groups]

    def code_y(
        self, z: Tensor, y: Tensor, quality: int, effort: int, first: Tensor | None = None
    ) -> tuple[Cells, list[Group]]:
        """y_hat in sixteenths and the groups of the four steps, at a z.

        Args:
            first: the latents of step 0, if they are settled, `[1, M, H/2, W/2]` in cells, in sixteenths.
        """
        state = self.prior.at(quality)
        y = y.double() * state.gain
        coded, groups = Cells(y), []
        outside = coded.outside()
        hyper = self.prior.hyper(z, state)
        for step, target in enumerate(Cells.split(y)):
            prediction = self.prior.predict_y(step, hyper, coded, state)
            if step == 0 and first is not None:
                symbols = (first - prediction.offset) / FRACTIONS
            else:
                u = (target - prediction.offset / FRACTIONS).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
                symbols = self._rdo_round(u, prediction.numbers, quality) if effort else u.round()
            if outside is not None:
                symbols.masked_fill_(outside.to(self.device), 0)
            coded.put(prediction.offset + symbols * FRACTIONS)
            groups.append(group(symbols, prediction.numbers, outside))
        return coded, groups

    def push(self, encoder: Encoder, groups: list[Group]) -> None:
        """Pushes groups, so that the first is popped first."""
        for symbols, numbers in reversed(groups):
            encoder.push(symbols, numbers, self.tables)

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
        decoder = GroupReader(Decoder(payload), self.tables, self.device)
        rows, columns = -(-header.height // PATCH), -(-header.width // PATCH)
        z, coded = self.read(decoder, (rows, columns), header.quality)
        decoder.finish(header.symbols_crc)
        y_hat = coded.merged() / FRACTIONS
        return Latents((header.width, header.height), header.quality, z, y_hat, payload, header.symbols_crc)

    def read(self, reader: GroupReader, shape: tuple[int, int], quality: int) -> tuple[Tensor, Cells]:
        """z and y_hat in sixteenths, for a number of rows and columns of y."""
        state = self.prior.at(quality)
        z = reader.take(state.z.numbers.expand(self.z_shape(shape))) + state.z.offset / FRACTIONS
        return z, self.read_y(reader, z, shape, quality)

    def read_y(self, reader: GroupReader, z: Tensor, shape: tuple[int, int], quality: int) -> Cells:
        """y_hat in sixteenths, at a z."""
        state = self.prior.at(quality)
        hyper = self.prior.hyper(z, state)
        coded = Cells(torch.zeros((1, self.config.y_channels, *shape), dtype=torch.float64, device=self.device))
        outside = coded.outside()
        for step in range(STEPS):
            prediction = self.prior.predict_y(step, hyper, coded, state)
            coded.put(prediction.offset + reader.take(prediction.numbers, outside) * FRACTIONS)
        return coded

    def z_shape(self, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """Shape of z for a number of rows and columns of y."""
        return 1, self.config.z_channels, -(-shape[0] // HYPER), -(-shape[1] // HYPER)


class GroupReader:
    """Pops groups of symbols and keeps their checksum."""

    def __init__(self, decoder: Decoder, tables: Tables, device: torch.device):
        self.decoder, self.tables, self.device = decoder, tables, device
        self.crc = 0

    def take(self, numbers: Tensor, outside: Tensor | None = None) -> Tensor:
        """Symbols of the shape of their tables' numbers, 0 where they lie outside the picture; float64."""
        symbols = self.decoder.pop(flatten(numbers, outside).numpy(), self.tables)
        self.crc = zlib.crc32(symbols.astype("<i4").tobytes(), self.crc)
        values = torch.from_numpy(symbols).double()
        if outside is not None:
            values = torch.zeros(numbers.shape, dtype=torch.float64).masked_scatter_(~outside, values)
        return values.view(numbers.shape).to(self.device)

    def finish(self, expected_crc: int) -> None:
        """Raises `Corrupt` unless everything has been popped and is what was pushed."""
        self.decoder.finish()
        if self.crc != expected_crc:
            raise Corrupt("the symbols do not match their checksum")


def group(symbols: Tensor, numbers: Tensor, outside: Tensor | None = None) -> Group:
    """Symbols `[1, C, h, w]` and their tables, which may be one a channel, as a group."""
    return tuple(flatten(t, outside).to(torch.int32).numpy() for t in (symbols, numbers.expand_as(symbols)))


def symbols_crc(groups: list[Group]) -> int:
    """The checksum that a header carries."""
    crc = 0
    for symbols, _ in groups:
        crc = zlib.crc32(symbols.astype("<i4").tobytes(), crc)
    return crc
