"""Which symbols latents become: the nearest, or those that are best for rate and distortion together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaecodec.format.ans import Tables
from vaecodec.format.tables import FRACTIONS
from vaecodec.networks.prior import Cells
from vaecodec.objective.rounding import exchanges
from vaecodec.pictures.tiles import Area, window

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
        weights = (window(self.positions, area, 2) * self.channels).clamp_min_(self.least)
        return Cells.part(weights, step)


class RateDistortionChoice:
    """The symbols that are best for rate and distortion together (`rounding.rdo_round`), by the tables' code lengths.

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
        flat = lambda values: values.permute(0, 2, 3, 1).reshape(-1)  # as they lie in memory
        symbols, fractions = flat(u).round(), flat(numbers) % FRACTIONS
        # The mean is its table's fraction; symbols within half of it, which are most, are where they would be moved to.
        movable = (symbols * FRACTIONS - fractions + FRACTIONS // 2).abs_() > FRACTIONS // 2
        movable = movable.nonzero().flatten()
        mean = fractions[movable].double() / FRACTIONS - 0.5
        tables = flat(numbers)[movable].cpu().numpy()

        def bits(values: Tensor) -> Tensor:
            return torch.from_numpy(self.tables.bits(values.cpu().numpy().astype(np.int64), tables)).to(u.device)

        weight: float | Tensor
        if isinstance(self.weight, SymbolWeights):
            weight = flat(self.weight.part(step, area))[movable].double()
        else:
            weight = self.weight
        closest, inner, saved, paid = exchanges(flat(u)[movable], mean, bits, weight)
        pays = saved > paid
        self.saved += float(saved[pays].sum())
        self.paid += float(paid[pays].sum())
        symbols[movable] = torch.where(pays, inner, closest)
        return symbols.view(u.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
