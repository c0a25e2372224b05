"""Bits-back coding of the hyperlatents (docs/bits-back.md): what z says twice is said once.

A sampled z costs KL(q(z | y) ‖ p(z)): the decoder, which knows q as soon as it has the first step of y, pushes z back,
and so gets the bits from which the encoder had popped it. Those bits have to be of something that is decoded later and
does not know z: here the lower rows of the picture, which are coded as a picture of their own, with rounded z. They are
whitened before z is popped, so that it is a sample of q whatever they hold. With y0 to y3, the steps of the upper rows:

    encoder:  push lower rows;  whiten;  pop z under q(z | y0);  push y3, y2, y1, y0 at z;  push z under p
    decoder:  pop z under p;  pop y0, y1, y2, y3 at z;  push z under q(z | y0);  whiten;  pop lower rows
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaecodec.coding.latent_coder import GroupReader, LatentCoder
from vaecodec.coding.latents import Group, Latents, flatten, group, symbols_crc
from vaecodec.coding.symbol_choice import SymbolChoice
from vaecodec.errors import Corrupt
from vaecodec.format.ans import COUNT_BITS, Stack, Tables
from vaecodec.format.container import BITS_BACK, Header
from vaecodec.format.tables import FRACTIONS
from vaecodec.networks.config import HYPER, PATCH
from vaecodec.networks.fixed_point import ExactPosterior, ExactPrediction
from vaecodec.networks.posterior import FINE
from vaecodec.networks.prior import Cells
from vaecodec.pictures.tiles import Area, gather, window

POSTERIOR_HALO = 2
"""How far the posterior's networks look, in positions of z: a 3x3 at half of z's grid and one on it."""


@dataclass(frozen=True)
class Account:
    """What bits-back coding did for one picture, in bits; what can be derived is computed when it is asked for.

    Attributes:
        rows: of z that are sampled, of how many.
        pushed, returned: by which the stack grew when z was pushed under p(z), and shrank when it was popped under
            q(z | y).
        q, p: both.
        under_q, under_p: the sampled z as symbols of each.
        below: the rounded z of the lower rows.
        tables: of all.
    """

    rows: tuple[int, int]
    pushed: int
    returned: int
    q: ExactPrediction
    p: ExactPrediction
    under_q: Group
    under_p: Group
    below: Group
    tables: Tables

    @property
    def net(self) -> int:
        """What the sampled z cost."""
        return self.pushed - self.returned

    @property
    def log2_q(self) -> float:
        """Of the z that was sampled."""
        return -_length(self.under_q, self.tables)

    @property
    def log2_p(self) -> float:
        """Of the z that was sampled."""
        return -_length(self.under_p, self.tables)

    @property
    def kl(self) -> float:
        """KL(q ‖ p), the mean of what `net` should be, over all z that could have been sampled."""
        return kl_bits(self.q, self.p, self.tables)

    @property
    def rounded_z(self) -> float:
        """Code length of the z of the lower rows, the part that had nothing to be hidden in."""
        return _length(self.below, self.tables)


class BitsBackCoder:
    """Codes latents with bits-back; holds no state between calls.

    Args:
        coder: for what is coded as ever.
        posterior: exact, on the coder's device.
    """

    def __init__(self, coder: LatentCoder, posterior: ExactPosterior):
        self.coder, self.posterior = coder, posterior

    @torch.no_grad()
    def encode(self, rounded: Latents, z: Tensor, y: Tensor, choice: SymbolChoice) -> tuple[Latents, Account] | None:
        """Codes latents that have been coded with rounded z; `None` where that cannot be done.

        It cannot where z has a single row, or where four sizes of the lower part gave no sound sample.

        Args:
            rounded: what `LatentCoder.encode` made of them; the symbols of step 0 are taken over.
            z, y: from which it made them, z rounded or not,
            choice: and how it chose symbols.
        """
        total = z.shape[2]
        first = Cells.part(rounded.sixteenths, 0)
        q = self._posterior(first, rounded.quality)
        demand = float(self.coder.tables.mean_bits[q.numbers.cpu().numpy()].sum())
        fewest = math.ceil(total * demand / (demand + 8.0 * len(rounded.payload)))
        for lower in range(fewest, min(fewest + 4, total)):
            if made := self._encode_split(total - lower, first, rounded, z, y, choice):
                return made
        return None

    def _encode_split(
        self, upper: int, first: Tensor, rounded: Latents, z: Tensor, y: Tensor, choice: SymbolChoice
    ) -> tuple[Latents, Account] | None:
        """With so many rows of z above; `None` where the rows below have too few bits, or gave an escape for a z."""
        quality, tables = rounded.quality, self.coder.tables
        cut = upper * HYPER
        hyper_below = self.coder.hyperlatents(z[:, :, upper:], quality)
        coded_below, below = self.coder.code_y(hyper_below, y[:, :, cut:], choice)
        below = [hyper_below.group, *below]
        stack = Stack()
        self.coder.push(stack, below)

        first = first[:, :, : cut // 2]
        q = self._posterior(first, quality)
        p = self.posterior.predict_z(quality)
        numbers = flatten(q.numbers).numpy()
        stack.whiten()
        supply = stack.bits
        sample = stack.borrow(numbers, tables)
        if sample is None:
            return None
        returned = supply - stack.bits

        symbols = torch.from_numpy(sample).double().view(q.numbers.shape).to(self.coder.device) + q.offset / FRACTIONS
        z_above = symbols / FINE
        hyper_above = self.coder.hyperlatents(z_above, quality, rounded=False)
        coded_above, groups = self.coder.code_y(hyper_above, y[:, :, :cut], choice, first)
        self.coder.push(stack, groups)
        z_group = group(symbols - p.offset / FRACTIONS, p.numbers)
        before = stack.bits
        self.coder.push(stack, [z_group])
        pushed = stack.bits - before
        stack.push_bits(upper, row_bits(z.shape[2]))
        account = Account(
            rows=(upper, z.shape[2]),
            pushed=pushed,
            returned=returned,
            q=q,
            p=p,
            under_q=(sample, numbers),
            under_p=z_group,
            below=below[0],
            tables=tables,
        )
        latents = Latents(
            rounded.size,
            quality,
            torch.cat((z_above, hyper_below.z), 2),
            torch.cat((coded_above.merged(), coded_below.merged()), 2),
            stack.getvalue(),
            symbols_crc([z_group, *groups, *below]),
            BITS_BACK,
        )
        return latents, account

    @torch.no_grad()
    def decode(self, payload: bytes, header: Header) -> Latents:
        """The latents in a payload of coding mode `BITS_BACK`.

        Raises:
            Corrupt: the symbols are not those that were coded.
        """
        stack = Stack(payload)
        reader = GroupReader(stack, self.coder.tables, self.coder.device)
        rows, columns = -(-header.height // PATCH), -(-header.width // PATCH)
        total = -(-rows // HYPER)
        upper = stack.pop_bits(row_bits(total))
        if not 0 < upper < total:
            raise Corrupt(f"the payload cuts {total} rows of hyperlatents at row {upper}")
        shape, quality = (upper * HYPER, columns), header.quality
        p = self.posterior.predict_z(quality)
        symbols = reader.take(p.numbers.expand(self.coder.z_shape(shape))) + p.offset / FRACTIONS
        above = self.coder.read_y(reader, symbols / FINE, shape, quality)
        q = self._posterior(Cells.part(above.merged(), 0), quality)
        stack.give_back(*group(symbols - q.offset / FRACTIONS, q.numbers), self.coder.tables)
        stack.whiten()
        z_below, below = self.coder.read(reader, (rows - upper * HYPER, columns), quality)
        reader.finish(header.symbols_crc)
        return Latents(
            (header.width, header.height),
            quality,
            torch.cat((symbols / FINE, z_below), 2),
            torch.cat((above.merged(), below.merged()), 2),
            payload,
            header.symbols_crc,
            BITS_BACK,
        )

    def _posterior(self, first: Tensor, quality: int) -> ExactPrediction:
        """q(z | y), `[1, Cz, h, w]`, tile by tile, from the latents of step 0 in cells."""

        def predict(area: Area) -> Tensor:
            q = self.posterior.predict(window(first, area, 2), quality)
            return torch.cat((q.offset, q.numbers), 1)

        rows, columns = (-(-side // 2) for side in first.shape[-2:])
        both = gather(predict, rows, columns, halo=POSTERIOR_HALO, area=-(-self.coder.area // HYPER**2))
        offset, numbers = both.chunk(2, 1)
        return ExactPrediction(offset, numbers.to(torch.int16))


def row_bits(rows: int) -> int:
    """Bits that tell a number below `rows`."""
    return (rows - 1).bit_length()


def _length(group: Group, tables: Tables) -> float:
    """Code length of a group in bits."""
    symbols, numbers = group
    return float(tables.bits(symbols.astype(np.int64), numbers).sum())


def kl_bits(q: ExactPrediction, p: ExactPrediction, tables: Tables) -> float:
    """KL(q ‖ p) of the tables themselves, summed over z.

    Args:
        q: `[1, Cz, h, w]`.
        p: `[1, Cz, 1, 1]`.
    """
    shifts = (q.offset - p.offset) / FRACTIONS
    cases = torch.stack([t.flatten().long().cpu() for t in (q.numbers, p.numbers.expand_as(q.numbers), shifts)], 1)
    kinds, counts = np.unique(cases.numpy(), axis=0, return_counts=True)
    total = 0.0
    for (q_number, p_number, shift), count in zip(kinds.tolist(), counts.tolist(), strict=True):
        radius = tables.radius(q_number)
        probabilities = tables.table(q_number)[:-1] / 2.0**COUNT_BITS
        symbols = np.arange(-radius, radius + 1)
        difference = tables.bits(symbols + shift, np.full(len(symbols), p_number))
        difference -= tables.bits(symbols, np.full(len(symbols), q_number))
        total += count * float(probabilities @ difference)
    return total
