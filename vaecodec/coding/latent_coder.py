"""Latents to bytes and back: the order of the symbols, their rounding, the prior asked step by step, ANS.

encode:  z, y ── symbols, step by step ── ANS ── payload
decode:  payload ── ANS, step by step ── z, y_hat

The prior is asked tile by tile. Its integers are those of the whole picture: a tile sees as far as the networks look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vaecodec.coding.latent_store import Coded
from vaecodec.coding.latents import Group, Latents, crc_of, flatten, group, symbols_crc
from vaecodec.coding.symbol_choice import SymbolChoice, nearest
from vaecodec.errors import Corrupt
from vaecodec.format.ans import Decoder, Encoder, Tables
from vaecodec.format.container import Header
from vaecodec.format.tables import FRACTIONS
from vaecodec.networks.config import HYPER, PATCH, ModelConfig
from vaecodec.networks.fixed_point import ExactPrediction, ExactPrior, QualityState
from vaecodec.networks.prior import STEPS, Cells
from vaecodec.pictures.tiles import TILE_AREA, Area, Tile, gather, tiles, window

Z_LIMIT = 2.0**15
SYMBOL_LIMIT = 2**20
HYPER_HALO = 1
"""How far the hyperprior's features look, in positions of z: a 3x3 at half of z's grid and one at a quarter of it."""


@dataclass(frozen=True)
class Hyperlatents:
    """Hyperlatents of a picture, and what the prior makes of them; see `LatentCoder.hyperlatents`.

    Attributes:
        z: `[1, Cz, h, w]` float64, in steps of rounded z: integers, or quarters where it was sampled.
        quality: code.
        state: the prior's, at that quality.
        features: int16 `[1, W, 4 h, 4 w]`, channels last.
    """

    z: Tensor
    quality: int
    state: QualityState
    features: Tensor

    @property
    def group(self) -> Group:
        """The symbols of rounded z, and their tables."""
        return group(self.z - self.state.z.offset / FRACTIONS, self.state.z.numbers)


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
    def hyperlatents(self, z: Tensor, quality: int, *, rounded: bool = True) -> Hyperlatents:
        """What the prior makes of hyperlatents, for all codings of latents at them.

        Args:
            z: `[1, Cz, h, w]` of any real numbers.
            quality: code.
            rounded: z is rounded first; otherwise it is on a lattice already.
        """
        state, z = self.prior.at(quality), z.double()
        if rounded:
            z = z.round().clamp_(-Z_LIMIT, Z_LIMIT)
        return Hyperlatents(z, quality, state, self._features(z, state))

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
        return self.encode_at(self.hyperlatents(z, quality), y, size, choice)

    @torch.no_grad()
    def encode_at(self, hyper: Hyperlatents, y: Tensor, size: tuple[int, int], choice: SymbolChoice) -> Latents:
        """The same at rounded hyperlatents of which the prior has been asked."""
        coded, groups = self.code_y(hyper, y, choice)
        encoder, groups = Encoder(), [hyper.group, *groups]
        self.push(encoder, groups)
        return Latents(size, hyper.quality, hyper.z, coded.merged(), encoder.getvalue(), symbols_crc(groups))

    def code_y(
        self, hyper: Hyperlatents, y: Tensor, choice: SymbolChoice, first: Tensor | None = None
    ) -> tuple[Coded, list[Group]]:
        """y_hat and the groups of the four steps.

        Args:
            first: the latents of step 0, if they are settled, `[1, M, H/2, W/2]` in cells, in sixteenths.
        """
        coded, groups = self._nothing_coded((y.shape[-2], y.shape[-1])), []
        for step in range(STEPS):
            symbols, numbers = coded.step_values(torch.int8), coded.step_values(torch.int16)
            gain = Cells.roll(hyper.state.gain, step)
            for tile in self._tiles(coded):
                prediction = self._predict(step, hyper, coded, tile)
                if step == 0 and first is not None:
                    chosen = (window(first, tile.inner) - prediction.offset) // FRACTIONS
                else:
                    target = Cells.part(window(y, tile.inner, 2), step).double().mul_(gain)
                    u = target.sub_(prediction.offset, alpha=1 / FRACTIONS).clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT)
                    chosen = choice(u, prediction.numbers, step, tile.inner).int()
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
        hyper = self.hyperlatents(z, quality, rounded=False)
        coded = self._nothing_coded(shape)
        for step in range(STEPS):
            numbers = coded.step_values(torch.int16)
            for tile in self._tiles(coded):
                prediction = self._predict(step, hyper, coded, tile)
                numbers.put(tile.inner, prediction.numbers)
                coded.put(step, tile.inner, prediction.offset)
            symbols = numbers.restore(reader.pop(numbers.flat()))
            for tile in self._tiles(coded):
                offset = coded.part(step, tile.inner).int()
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

    def _features(self, z: Tensor, state: QualityState) -> Tensor:
        """The hyperprior's, int16 `[1, W, 4 h, 4 w]`, channels last: activations have eleven bits."""

        def features(area: Area) -> Tensor:
            return self.prior.hyper(window(z, area), state).to(torch.int16)

        return gather(features, *z.shape[-2:], halo=HYPER_HALO, area=-(-self.area // HYPER**2), factor=HYPER)

    def _predict(self, step: int, hyper: Hyperlatents, coded: Coded, tile: Tile) -> ExactPrediction:
        """Offsets and tables of a step for the inner part of a tile of cells, `[1, M, h, w]`."""
        known = [coded.part(earlier, tile.outer) for earlier in range(step)]
        prediction = self.prior.predict_y(step, window(hyper.features, tile.outer, 2), known, hyper.state)
        return ExactPrediction(window(prediction.offset, tile.crop), window(prediction.numbers, tile.crop))


class SymbolSource(Protocol):
    """Where symbols come from: `ans.Decoder`, or dice."""

    def pop(self, numbers: np.ndarray, tables: Tables) -> np.ndarray:
        """`[n]` int32 symbols, whose tables are `numbers`."""

    def finish(self) -> None:
        """Raises `Corrupt` unless everything has been popped."""


class GroupReader:
    """Pops groups of symbols and keeps their checksum."""

    def __init__(self, decoder: SymbolSource, tables: Tables, device: torch.device):
        self.decoder, self.tables, self.device = decoder, tables, device
        self.crc = 0

    def pop(self, numbers: np.ndarray) -> np.ndarray:
        """`[n]` int32 symbols, whose tables are `numbers`."""
        symbols = self.decoder.pop(numbers, self.tables)
        self.crc = crc_of(symbols, self.crc)
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
