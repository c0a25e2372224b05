"""The prior in integers: what codes and decodes.

`conversion` turns a trained `Prior` into integer tensors, which are stored; `ExactPrior` evaluates them. The tensors
that it computes with are floating point, but hold integers only and never leave the range in which sums of integers are
exact whatever their order: 2^24 in float32, 2^53 in float64. So it gives the same integers on every machine, with any
number of threads and any instruction set.

    activations             grid 1/128, |a| <= 2047, but for contexts, which reach 2048
    layer                   a' = floor((W a + b) / 2^shift), rounding folded into b; shift per output channel
    carrier of a layer      float32 where sum|W| * max|a| + |b| < 2^24 for every channel, float64 below 2^53
    raw means, log scales   grid 1/1024; means times gains give symbols on a grid of 1/16
    gains                   log2 on a grid of 1/1024; 2^x from a stored table of 16-bit mantissas
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vaecodec.errors import ModelError
from vaecodec.format.container import QUALITY_MAX
from vaecodec.format.tables import FRACTIONS, LEVELS_PER_OCTAVE, LOG2_SCALE_MIN, SCALE_LEVELS
from vaecodec.networks.blocks import Depthwise, Pointwise, all_by_strips, by_strips, depthwise, part_of, pointwise
from vaecodec.networks.posterior import FINE_BITS, PosteriorNetworks
from vaecodec.networks.precision import float32_is_plain
from vaecodec.networks.prior import Cells, Clip, Networks, Stem

Module = TypeVar("Module", bound=nn.Module)
ACTIVATION_BITS = 7
ACTIVATION_MAX = 2047
CONTEXT_MAX = 2048
"""Of `ExactPrior.context`, which stems take beside activations: 4 + (100 - 4) / 8 on the grid of 1/128."""
RAW_BITS = 10
"""Raw means and log scales, and log gains, are multiples of 2^-RAW_BITS."""
MANTISSA_BITS = 15
MEAN_LIMIT = float(2**22)
"""Means, in sixteenths, are clamped to ± this."""
FRACTION_BITS = int(math.log2(FRACTIONS))
TABLE_BITS = {
    "quality_bias": ACTIVATION_BITS,
    "log2_gain": RAW_BITS,
    "z_mean": FRACTION_BITS,
    "z_log2_scale": RAW_BITS,
}
"""Grids of the tables over quality: multiples of 2^-bits."""
Z_SHIFT = 4
"""One step of z is 2^Z_SHIFT on the grid of activations (`prior.Z_UNIT`)."""


def largest_input(layer: nn.Module) -> int:
    """Largest magnitude that a layer is given."""
    return CONTEXT_MAX if isinstance(layer, Stem) else ACTIVATION_MAX


class _ExactLayer(nn.Module):
    """One layer in integers; float32 carriers in and out.

    Weights and biases are held divided by 2^shift, which is exact: so a layer is a product and a floor.

    Args:
        largest: magnitude of its input.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, shift: Tensor, carrier: torch.dtype, device: str,
        largest: int = ACTIVATION_MAX,
    ):  # fmt: skip
        super().__init__()
        weight, bias, shift = (tensor.to(device).double() for tensor in (weight, bias, shift))
        bound = weight.abs().flatten(1).sum(1) * largest + bias.abs()
        if bool((bound >= 2.0**53).any()):
            raise ModelError("a layer of the prior exceeds the range in which sums are exact")
        fits = bool((bound < 2.0**24).all())
        self.carrier = torch.float32 if fits and carrier == torch.float32 else torch.float64
        unit = torch.exp2(-shift)
        self.weight = (weight * unit.view(-1, *(1,) * (weight.ndim - 1))).to(self.carrier)
        self.bias = (bias * unit).to(self.carrier)


class _ExactPointwise(_ExactLayer):
    """`[B, in, H, W]` to `[B, out, H, W]`, or both without H and W; arguments as of `Pointwise`."""

    def forward(self, x: Tensor, outputs: slice | None = None, inputs: Sequence[slice] | None = None) -> Tensor:
        weight, bias = part_of(self.weight, self.bias, outputs, inputs)
        return pointwise(x.to(self.carrier), weight, bias).floor_().float()


class _ExactDepthwise(_ExactLayer):
    """`[B, C, H, W]` to the same shape, or to some of the rows."""

    def forward(self, x: Tensor, rows: slice | None = None) -> Tensor:
        return depthwise(x.to(self.carrier), self.weight, self.bias, rows).floor_().float()


def interpolate(table: np.ndarray, quality: int) -> np.ndarray:
    """Row of an integer table `[knots, n]` at a quality code, interpolated with rounding; int64 `[n]`."""
    position = quality * (len(table) - 1)
    row = min(position // QUALITY_MAX, len(table) - 2)
    fraction = position - row * QUALITY_MAX
    table = table.astype(np.int64)
    return (table[row] * (QUALITY_MAX - fraction) + table[row + 1] * fraction + QUALITY_MAX // 2) // QUALITY_MAX


@dataclass(frozen=True)
class ExactPrediction:
    """What the exact prior says about a group of latents; all tensors of one shape.

    Attributes:
        offset: int32, sixteenths of a symbol: y_hat = offset + 16 * symbol.
        numbers: int16, the tables of the symbols.
    """

    offset: Tensor
    numbers: Tensor


@dataclass(frozen=True)
class QualityState:
    """What a quality code means to a prior, see `ExactPrior.at`; nobody changes its tensors.

    Attributes:
        bias: `[1, W, 1, 1]` float32 carriers on the grid of activations.
        log2_gain: `[1, M, 1, 1]` float64 carriers, grid 1/1024.
        z: offsets and tables of z, `[1, Cz, 1, 1]`.
        to_symbols: `[1, M, 1, 1]` float64, from raw means to sixteenths of symbols,
        to_context: and from sixteenths of symbols to normalised latents on the grid of activations.
    """

    bias: Tensor
    log2_gain: Tensor
    z: ExactPrediction
    to_symbols: Tensor
    to_context: Tensor

    @cached_property
    def gain(self) -> Tensor:
        """`[1, M, 1, 1]` float64, symbols per unit of the normalised latents; for use outside the exact prior."""
        return torch.exp2(self.log2_gain / 2**RAW_BITS)


class ExactPrior:
    """The integer prior, ready to run.

    Args:
        networks: a `Networks` of the right sizes; its layers are replaced, in a copy.
        tensors: from `convert`.
        device: where to run.
        carrier: float32 lets the layers whose bounds are small enough run on it, float64 none. The integers are the
            same. By default float32 on a CPU whose float32 is plain, float64 elsewhere (GPUs may run TF32).
    """

    def __init__(
        self, networks: Networks, tensors: dict[str, Tensor], device: str = "cpu", carrier: torch.dtype | None = None
    ):
        self.networks = in_integers(networks, tensors, device, carrier)
        self.device = torch.device(device)
        self._tables = {name: tensors[name] for name in TABLE_BITS}
        self._exp2 = tensors["exp2"].to(device, torch.float64)
        self._last: tuple[int, QualityState] | None = None

    def at(self, quality: int) -> QualityState:
        """The tables over quality at a code from 0 to `QUALITY_MAX`; the last one is kept, as it is asked for again."""
        last = self._last  # once, as other threads put theirs there
        if last is None or last[0] != quality:
            last = self._last = quality, self._state(quality)
        return last[1]

    def _state(self, quality: int) -> QualityState:
        vectors = _vectors(self._tables, quality, self.device)
        z = _prediction(vectors["z_mean"], vectors["z_log2_scale"], 0.0, centred=False)
        gain = vectors["log2_gain"]
        scales = self._exp2_of(gain, FRACTION_BITS - RAW_BITS), self._exp2_of(-gain, ACTIVATION_BITS - FRACTION_BITS)
        return QualityState(vectors["quality_bias"].float(), gain, z, *scales)

    @torch.no_grad()
    def hyper(self, z: Tensor, state: QualityState) -> Tensor:
        """z `[B, Cz, h, w]`, multiples of 1/16, to features `[B, W, 4 h, 4 w]`, float32 carriers."""
        limit = float(ACTIVATION_MAX)
        z = (z.to(self.device, torch.float64) * 2**Z_SHIFT).clamp(-limit, limit).float()
        with torch.autocast(self.device.type, enabled=False):
            return self.networks.hyper(z.contiguous(memory_format=torch.channels_last), state.bias)

    @torch.no_grad()
    def predict_y(self, step: int, hyper: Tensor, known: Sequence[Tensor], state: QualityState) -> ExactPrediction:
        """Offsets and tables of one step, `[1, M, H/2, W/2]` in cells.

        Args:
            hyper: `[1, W, H, W]` from `hyper`, in any type, sides even.
            known: of the steps before, `[1, M, H/2, W/2]` each in cells, in sixteenths.
        """
        log2_gain, to_symbols = (Cells.roll(vector, step) for vector in (state.log2_gain, state.to_symbols))
        centred = step > 0

        def predicted(rows: slice) -> tuple[Tensor, Tensor]:
            mean, log2_scale = self.networks.head(step, features[..., 2 * rows.start : 2 * rows.stop, :])
            mean = _scaled(mean, to_symbols)
            prediction = _prediction(mean, log2_scale, log2_gain.float(), centred=centred)
            return prediction.offset, prediction.numbers

        with torch.autocast(self.device.type, enabled=False):
            contexts = [self.context(earlier, y_hat, state) for earlier, y_hat in enumerate(known)]
            features = self.networks.features(step, hyper, contexts)
            return ExactPrediction(*all_by_strips(predicted, features[..., ::2, ::2]))

    @torch.no_grad()
    def context(self, step: int, y_hat: Tensor, state: QualityState) -> Tensor:
        """`compand` of normalised latents, on the grid of activations, from sixteenths of symbols; int16."""
        factor, unit = Cells.roll(state.to_context, step), 2.0**ACTIVATION_BITS

        def companded(rows: slice) -> Tensor:
            v = _scaled(y_hat[..., rows, :], factor).clamp_(-100 * unit, 100 * unit).float()
            inner = v.clamp(-4 * unit, 4 * unit)
            return v.sub_(inner).mul_(1 / 8).floor_().add_(inner).to(torch.int16)

        return by_strips(companded, y_hat)

    def _exp2_of(self, log2: Tensor, bits: int) -> Tensor:
        """`2^(log2 / 1024 + bits)` by the stored mantissas: 16-bit numbers times powers of two."""
        octave = torch.floor(log2 / 2**RAW_BITS)
        mantissa = self._exp2[(log2 - octave * 2**RAW_BITS).long()]
        return mantissa * torch.exp2(octave + (bits - MANTISSA_BITS))


def _scaled(x: Tensor, factor: Tensor | float) -> Tensor:
    """`x * factor`, of which at least one is a float64 tensor, rounded."""
    return (x * factor).add_(0.5).floor_()


class ExactPosterior:
    """The integer posterior q(z | y) and its p(z), ready to run; arguments as of `ExactPrior`.

    Args:
        prior: gives the latents in the form that the networks take.
    """

    def __init__(
        self,
        networks: PosteriorNetworks,
        tensors: dict[str, Tensor],
        prior: ExactPrior,
        carrier: torch.dtype | None = None,
    ):
        self.prior = prior
        self.networks = in_integers(networks, tensors, str(prior.device), carrier)
        self._tables = {name: tensors[name] for name in ("quality_bias", "z_mean", "z_log2_scale")}

    def predict_z(self, quality: int) -> ExactPrediction:
        """p(z) at a quality code, `[1, Cz, 1, 1]`, in symbols of the fine lattice."""
        vectors = _vectors(self._tables, quality, self.prior.device)
        return self._fine(vectors["z_mean"] * 2**FINE_BITS, vectors["z_log2_scale"])

    def predict(self, first: Tensor, quality: int) -> ExactPrediction:
        """q(z | y), `[1, Cz, h, w]`, from the latents of step 0 in cells, in sixteenths."""
        bias = _vectors(self._tables, quality, self.prior.device)["quality_bias"].float()
        cells = self.prior.context(0, first, self.prior.at(quality)).float()
        with torch.no_grad(), torch.autocast(self.prior.device.type, enabled=False):
            mean, log2_scale = self.networks(cells.contiguous(memory_format=torch.channels_last), bias)
        return self._fine(_scaled(mean.double(), 2.0 ** (FINE_BITS + FRACTION_BITS - RAW_BITS)), log2_scale)

    @staticmethod
    def _fine(mean: Tensor, log2_scale: Tensor) -> ExactPrediction:
        return _prediction(mean, log2_scale, float(FINE_BITS * 2**RAW_BITS), centred=False)


def in_integers(networks: Module, tensors: dict[str, Tensor], device: str, carrier: torch.dtype | None) -> Module:
    """A copy of networks whose layers compute with the stored integers; `carrier` as of `ExactPrior`."""
    if carrier is None:
        carrier = torch.float32 if device == "cpu" and float32_is_plain() else torch.float64
    networks = copy.deepcopy(networks).requires_grad_(False)
    for name, module in list(networks.named_modules()):
        if isinstance(module, (Pointwise, Depthwise)):
            weight, bias, shift = (tensors[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
            if isinstance(module, Depthwise):
                weight = weight.reshape(-1, 1, 3, 3)
            parent, _, child = name.rpartition(".")
            kind = _ExactDepthwise if isinstance(module, Depthwise) else _ExactPointwise
            layer = kind(weight, bias, shift, carrier, device, largest_input(module))
            setattr(networks.get_submodule(parent), child, layer)
        elif isinstance(module, Clip):
            module.limit = float(ACTIVATION_MAX)
    return networks


def _vectors(tables: dict[str, Tensor], quality: int, device: torch.device) -> dict[str, Tensor]:
    """The tables over quality at a quality code, each `[1, n, 1, 1]` float64."""
    rows = {name: torch.from_numpy(interpolate(table.numpy(), quality)) for name, table in tables.items()}
    return {name: row.to(device, torch.float64)[None, :, None, None] for name, row in rows.items()}


def _prediction(mean: Tensor, log2_scale: Tensor, log2_gain: Tensor | float, *, centred: bool) -> ExactPrediction:
    """Offsets and table numbers.

    Args:
        mean: in sixteenths, float64 carriers; overwritten.
        log2_scale, log2_gain: what the log scales are the sum of, on the grid of 1/1024.
        centred: the lattice lies at the mean; otherwise symbols are integers, and tables have the mean's fraction.
    """
    sixteenths = mean.clamp_(-MEAN_LIMIT, MEAN_LIMIT).int()
    unit = 2**RAW_BITS
    above = (log2_scale.float() + (log2_gain - LOG2_SCALE_MIN * unit)).clamp_(-unit, SCALE_LEVELS * unit)
    level = above.mul_(LEVELS_PER_OCTAVE).add_(unit / 2).mul_(1 / unit).floor_().clamp_(0, SCALE_LEVELS - 1)
    numbers = level.to(torch.int16).mul_(FRACTIONS)
    if centred:
        return ExactPrediction(sixteenths, numbers.add_(FRACTIONS // 2))
    above_floor = (sixteenths + FRACTIONS // 2).bitwise_and_(FRACTIONS - 1)
    return ExactPrediction(sixteenths + FRACTIONS // 2 - above_floor, numbers.add_(above_floor))
