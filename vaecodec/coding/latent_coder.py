"""Latents to bytes and back: the order of the symbols, their rounding, the prior asked step by step, ANS.

encode:  z, y ── symbols, step by step ── ANS ── payload
decode:  payload ── ANS, step by step ── z, y_hat

The prior is asked tile by tile. Its integers are those of the whole picture: a tile sees as far as the networks look.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaecodec.coding.latent_store import Coded
from vaecodec.errors import Corrupt
from vaecodec.format import container
from vaecodec.format.ans import CHUNK, Decoder, Encoder, Tables
from vaecodec.format.container import Header
from vaecodec.format.tables import FRACTIONS
from vaecodec.networks.fixed_point import ExactPrediction, ExactPrior, QualityState
from vaecodec.networks.model import HYPER, PATCH, ModelConfig
from vaecodec.networks.prior import STEPS, Cells
from vaecodec.objective.rounding import exchanges
from vaecodec.pictures.tiles import TILE_AREA, Area, Tile, gather, scaled, tiles

Z_LIMIT = 2**15
SYMBOL_LIMIT = 2**20
HYPER_HALO = 1
"""How far the hyperprior's features look, in positions of z: a 3x3 at half of z's grid and one at a quarter of it."""


Group = tuple[np.ndarray, np.ndarray]
"""Symbols that are coded together and the numbers of their tables, integers `[n]`."""


SymbolChoice = Callable[[Tensor, Tensor, int, Area], Tensor]
"""Which symbols latents become, given the latents minus their lattice's offset, the numbers of their tables, the step,
and the area of cells that they fill."""


def nearest(u: Tensor, numbers: Tensor, step: int, area: Area) -> Tensor:
    """The nearest symbols."""
    return u.round()


@dataclass(frozen=True)
class SymbolWeights:
    """Bits for a squared error of one symbol, place by place: a product of two factors, kept above a smallest.

    Attributes:
        positions: `[1, 1, H, W]` of y.
        channels: `[1, M, 1, 1]`.
        least: the smallest weight.
    """

    positions: Tensor
    channels: Tensor
    least: float

    def part(self, step: int, area: Area) -> Tensor:
        """`[1, M, h, w]` of a step in an area of cells."""
        weights = (self.positions[(..., *scaled(area, 2))] * self.channels).clamp_min_(self.least)
        return Cells.part(weights, step)


class RateDistortionChoice:
    """The symbols that are best for rate and distortion together (`refine.rdo_round`), by the tables' code lengths.

    Args:
        weight: bits for a squared error of one symbol, everywhere or place by place.

    Attributes:
        saved: bits, against the nearest symbols, of all that it has chosen.
        paid: bits that it took their errors to cost.
    """

    def __init__(self, tables: Tables, weight: float | SymbolWeights):
        self.tables, self.weight = tables, weight
        self.saved = self.paid = 0.0

    def __call__(self, u: Tensor, numbers: Tensor, step: int, area: Area) -> Tensor:
        mean = (numbers % FRACTIONS).double() / FRACTIONS - 0.5
        symbols = u.round()
        movable = (symbols - mean).abs() > 0.5  # the others, which are most, are where the mean is already
        tables = numbers[movable].cpu().numpy()

        def bits(values: Tensor) -> Tensor:
            return torch.from_numpy(self.tables.bits(values.cpu().numpy().astype(np.int64), tables)).to(u.device)

        weight = self.weight
        if isinstance(weight, SymbolWeights):
            weight = weight.part(step, area)[movable].double()
        closest, inner, saved, paid = exchanges(u[movable], mean[movable], bits, weight)
        pays = saved > paid
        self.saved += float(saved[pays].sum())
        self.paid += float(paid[pays].sum())
        symbols[movable] = torch.where(pays, inner, closest)
        return symbols


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


class LatentCoder:
    """What codes latents with a model's exact prior and its tables; holds no state between calls.

    Args:
        prior: its device is where it runs; latents come back there.
        tables: of the symbols.
        config: sizes of the model.
        area: positions of y in a tile, about.
    """

    def __init__(self, prior: ExactPrior, tables: Tables, config: ModelConfig, area: int = TILE_AREA):
        self.prior, self.tables, self.config, self.area = prior, tables, config, area
        self.device = prior.device

    @torch.no_grad()
    def encode(
        self, z: Tensor, y: Tensor, size: tuple[int, int], quality: int, choice: SymbolChoice = nearest
    ) -> Latents:
        """Rounds and codes latents.

        Args:
            z: `[1, Cz, h, w]` of any real numbers; they are rounded.
            y: `[1, M, H, W]` normalised.
            size: (width, height) of the picture.
            quality: code.
            choice: of y's symbols.
        """
        z, coded, groups = self.code(z, y, quality, choice)
        encoder = Encoder()
        self.push(encoder, groups)
        return Latents(size, quality, z, coded.merged(), encoder.getvalue(), symbols_crc(groups))

    def code(self, z: Tensor, y: Tensor, quality: int, choice: SymbolChoice) -> tuple[Tensor, Coded, list[Group]]:
        """Rounded z, y_hat, and the groups of symbols in the order of decoding."""
        state = self.prior.at(quality)
        z = z.double().round().clamp(-Z_LIMIT, Z_LIMIT)
        z_group = group(z - state.z.offset / FRACTIONS, state.z.numbers)
        coded, groups = self.code_y(z, y, quality, choice)
        return z, coded, [z_group, *groups]

    def code_y(
        self, z: Tensor, y: Tensor, quality: int, choice: SymbolChoice, first: Tensor | None = None
    ) -> tuple[Coded, list[Group]]:
        """y_hat and the groups of the four steps, at a z.

        Args:
            first: the latents of step 0, if they are settled, `[1, M, H/2, W/2]` in cells, in sixteenths.
        """
        state = self.prior.at(quality)
        coded, groups = self._nothing_coded(tuple(y.shape[-2:])), []
        hyper = self._hyper(z, state)
        for step in range(STEPS):
            symbols, numbers = coded.step_values(torch.int8), coded.step_values(torch.int16)
            gain = Cells.roll(state.gain, step)
            for tile in self._tiles(coded):
                prediction = self._predict(step, hyper, coded, state, tile)
                if step == 0 and first is not None:
                    chosen = (first[(..., *tile.inner)] - prediction.offset) / FRACTIONS
                else:
                    target = Cells.part(y[(..., *scaled(tile.inner, 2))], step).double() * gain
                    u = (target - prediction.offset / FRACTIONS).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
                    chosen = choice(u, prediction.numbers, step, tile.inner)
                coded.clear_outside(chosen, tile.inner)
                coded.put(step, tile.inner, prediction.offset + chosen * FRACTIONS)
                symbols.put(tile.inner, chosen)
                numbers.put(tile.inner, prediction.numbers)
            groups.append((symbols.flat(), numbers.flat()))
        return coded, groups

    def push(self, encoder: Encoder, groups: list[Group]) -> None:
        """Pushes groups, so that the first is popped first."""
        for symbols, numbers in reversed(groups):
            encoder.push(symbols, numbers, self.tables)

    @torch.no_grad()
    def decode(self, payload: bytes, header: Header) -> Latents:
        """The latents in a payload, whose size, quality and checksum a header tells.

        Raises:
            Corrupt: the symbols are not those that were coded.
        """
        reader = GroupReader(Decoder(payload), self.tables, self.device)
        rows, columns = -(-header.height // PATCH), -(-header.width // PATCH)
        z, coded = self.read(reader, (rows, columns), header.quality)
        reader.finish(header.symbols_crc)
        size = (header.width, header.height)
        return Latents(size, header.quality, z, coded.merged(), payload, header.symbols_crc)

    def read(self, reader: GroupReader, shape: tuple[int, int], quality: int) -> tuple[Tensor, Coded]:
        """z and y_hat, for a number of rows and columns of y."""
        state = self.prior.at(quality)
        z = reader.take(state.z.numbers.expand(self.z_shape(shape))) + state.z.offset / FRACTIONS
        return z, self.read_y(reader, z, shape, quality)

    def read_y(self, reader: GroupReader, z: Tensor, shape: tuple[int, int], quality: int) -> Coded:
        """y_hat, at a z."""
        state = self.prior.at(quality)
        coded = self._nothing_coded(shape)
        hyper = self._hyper(z, state)
        for step in range(STEPS):
            numbers = coded.step_values(torch.int16)
            for tile in self._tiles(coded):
                prediction = self._predict(step, hyper, coded, state, tile)
                numbers.put(tile.inner, prediction.numbers)
                coded.put(step, tile.inner, prediction.offset)
            symbols = numbers.restore(reader.pop(numbers.flat()))
            for tile in self._tiles(coded):
                offset = coded.part(step, tile.inner).double()
                coded.put(step, tile.inner, offset + symbols.part(tile.inner).to(self.device) * FRACTIONS)
        return coded

    def z_shape(self, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """Shape of z for a number of rows and columns of y."""
        return 1, self.config.z_channels, -(-shape[0] // HYPER), -(-shape[1] // HYPER)

    # --- the prior, tile by tile

    def _nothing_coded(self, shape: tuple[int, int]) -> Coded:
        return Coded(self.config.y_channels, shape, self.device)

    def _tiles(self, coded: Coded) -> Iterator[Tile]:
        """Of cells; each block of a step's networks looks one position, half a cell, around."""
        return tiles(*coded.cells, halo=-(-self.config.prior_blocks // 2), area=-(-self.area // 4))

    def _hyper(self, z: Tensor, state: QualityState) -> Tensor:
        """The hyperprior's features, int16 `[1, W, 4 h, 4 w]`, channels last: activations have eleven bits."""

        def features(area: Area) -> Tensor:
            return self.prior.hyper(z[(..., *area)], state).to(torch.int16)

        return gather(features, *z.shape[-2:], halo=HYPER_HALO, area=-(-self.area // HYPER**2), factor=HYPER)

    def _predict(self, step: int, hyper: Tensor, coded: Coded, state: QualityState, tile: Tile) -> ExactPrediction:
        """Offsets and tables of a step for the inner part of a tile of cells, `[1, M, h, w]`."""
        features = hyper[(..., *scaled(tile.outer, 2))].float()
        known = Cells(coded.window(tile.outer))
        for earlier in range(step):
            known.put(coded.part(earlier, tile.outer).double())
        prediction = self.prior.predict_y(step, features, known, state)
        return ExactPrediction(prediction.offset[(..., *tile.crop)], prediction.numbers[(..., *tile.crop)])


class GroupReader:
    """Pops groups of symbols and keeps their checksum."""

    def __init__(self, decoder: Decoder, tables: Tables, device: torch.device):
        self.decoder, self.tables, self.device = decoder, tables, device
        self.crc = 0

    def pop(self, numbers: np.ndarray) -> np.ndarray:
        """`[n]` int32 symbols, whose tables are `numbers`."""
        symbols = self.decoder.pop(numbers, self.tables)
        self.crc = _crc(symbols, self.crc)
        return symbols

    def take(self, numbers: Tensor) -> Tensor:
        """Symbols of the shape of their tables' numbers; float64."""
        symbols = self.pop(flatten(numbers).numpy())
        return torch.from_numpy(symbols).double().view(numbers.shape).to(self.device)

    def finish(self, expected_crc: int) -> None:
        """Raises `Corrupt` unless everything has been popped and is what was pushed."""
        self.decoder.finish()
        if self.crc != expected_crc:
            raise Corrupt("the symbols do not match their checksum")


def flatten(values: Tensor) -> Tensor:
    """`[1, C, h, w]` to the one-dimensional order of symbols, on the CPU."""
    return values.cpu().reshape(-1)


def group(symbols: Tensor, numbers: Tensor) -> Group:
    """Symbols `[1, C, h, w]` and their tables, which may be one a channel, as a group."""
    return tuple(flatten(t).to(torch.int32).numpy() for t in (symbols, numbers.expand_as(symbols)))


def symbols_crc(groups: list[Group]) -> int:
    """The checksum that a header carries."""
    crc = 0
    for symbols, _ in groups:
        crc = _crc(symbols, crc)
    return crc


def _crc(symbols: np.ndarray, crc: int) -> int:
    for start in range(0, len(symbols), CHUNK):
        crc = zlib.crc32(symbols[start : start + CHUNK].astype("<i4").tobytes(), crc)
    return crc
