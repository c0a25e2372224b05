"""The prior p(z) p(y | z), in floating point, as it is trained. `fixed_point` turns it into integers.

        z_hat ── h_s ──(+ quality)── hyper ─┬─ head 0 ─> mean, scale of step 0
                                            ├─ [hyper, y so far] ─ stem 1 ─ blocks ─ head 1 ─> of step 1
                                            ├─ ...
                                            └─ [hyper, y so far] ─ stem 3 ─ blocks ─ head 3 ─> of step 3

Latents are coded in four steps (the quadtree-like context of DCVC, Li et al. 2023): in every cell of 2x2 positions,
step t codes the channel group (p + t) mod 4 at the cell's position p. So a step codes a quarter of the channels at
every position, knowing for each channel other positions, and for each position other channels. Tensors of one step
are laid out in cells: `[B, M, H/2, W/2]`, position-major, each position with the M/4 channels of its group.

The networks work in the normalised domain (latents divided by their gains), so that they see the same numbers at all
qualities; gains enter where means become symbols, and as an offset of the log scales.

What is decided here for the sake of exactness: activations are clamped to a fixed range on a fixed grid, nothing but
1x1 and depthwise convolutions, clamps and sums stands between the latents and the tables, and `Networks` is the one
graph that both number systems run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.networks.blocks import (
    Depthwise,
    Pointwise,
    QualityTable,
    added,
    by_strips,
    compand,
    depth_to_space,
    mapped,
    replaced,
)
from vaecodec.objective.bound import bounded_log2_scale

STEPS = 4
ACTIVATION_LIMIT = 2047 / 128
"""Largest activation: 11 bits on a grid of 1/128."""
Z_UNIT = 1 / 8
"""What one step of z is to the networks."""


class Clip(nn.Module):
    """Clamps to ±`ACTIVATION_LIMIT`, or from 0 to it (`relu=True`)."""

    def __init__(self, *, relu: bool = False):
        super().__init__()
        self.limit = ACTIVATION_LIMIT
        self.relu = relu

    def forward(self, fresh: Tensor, room: Tensor | None = None) -> Tensor:
        """Of what nobody else holds, in a room if there is one."""
        low = 0.0 if self.relu else -self.limit
        if torch.is_grad_enabled():
            return fresh.clamp(low, self.limit)
        return torch.clamp(fresh, low, self.limit, out=fresh if room is None else room)


class PriorBlock(nn.Module):
    """`TransformBlock` with every activation clamped, and ReLU for SiLU."""

    def __init__(self, width: int):
        super().__init__()
        self.mix = Pointwise(width, width)
        self.mix_relu = Clip(relu=True)
        self.spatial = Depthwise(width)
        self.spatial_clip = Clip()
        self.project = Pointwise(width, width, zero=True)
        self.project_clip = Clip()
        self.expand = Pointwise(width, 2 * width)
        self.expand_relu = Clip(relu=True)
        self.reduce = Pointwise(2 * width, width, zero=True)
        self.reduce_clip = Clip()

    def forward(self, x: Tensor) -> Tensor:
        """`[B, width, H, W]` to the same shape; where no gradient is wanted it overwrites x."""
        mixed = mapped(lambda part, room: self.mix_relu(self.mix(part), room), x)

        def onwards(part: Tensor, rows: slice) -> Tensor:
            surroundings = self.spatial_clip(self.spatial(mixed, rows))
            part = self.project_clip(added(part, self.project(surroundings)))
            return self.reduce_clip(added(part, self.reduce(self.expand_relu(self.expand(part)))))

        return replaced(onwards, x)


class Stem(Pointwise):
    """A first layer, which takes contexts: `compand` leaves them larger, by one on the grid, than activations are."""


class RawHead(Pointwise):
    """A last layer, whose outputs are raw means and log scales and no activations."""


class Head(RawHead):
    """Means and log scales of all channel groups; rows in the order (group, mean or scale, channel)."""

    def __init__(self, width: int, y_channels: int):
        super().__init__(width, 2 * y_channels, zero=True)


class Networks(nn.Module):
    """The prior's networks: activations in, activations out, in floats or (after `fixed_point`) in integers.

    Args:
        y_channels: M.
        z_channels: Cz.
        width: channels of the hidden layers, W.
        blocks: residual blocks in each context step.
    """

    def __init__(self, y_channels: int, z_channels: int, width: int, blocks: int):
        super().__init__()
        self.y_channels = y_channels
        self.h_s_in = Pointwise(z_channels, 4 * width)
        self.h_s_in_clip = Clip()
        self.h_s_block = PriorBlock(width)
        self.h_s_up = Pointwise(width, 4 * width)
        self.h_s_up_clip = Clip()
        self.h_s_out = PriorBlock(width)
        self.stems = nn.ModuleList(Stem(width + y_channels, width) for _ in range(STEPS - 1))
        self.stem_clip = Clip()
        self.contexts = nn.ModuleList(
            nn.Sequential(*(PriorBlock(width) for _ in range(blocks))) for _ in range(STEPS - 1)
        )
        self.heads = nn.ModuleList(Head(width, y_channels) for _ in range(STEPS))

    def hyper(self, z_hat: Tensor, quality_bias: Tensor) -> Tensor:
        """z in network units `[B, Cz, h, w]` at 1/64 to features `[B, W, 4 h, 4 w]` at 1/16."""
        x = depth_to_space(self.h_s_in(z_hat), 2)
        x = self.h_s_block(self.h_s_in_clip(x + quality_bias))
        x = self.h_s_up_clip(depth_to_space(self.h_s_up(x), 2))
        return self.h_s_out(x)

    def features(self, step: int, hyper: Tensor, known: Sequence[Tensor]) -> Tensor:
        """What a step is predicted from, `[B, W, H, W]`.

        Args:
            hyper: `[B, W, H, W]`, sides even.
            known: the companded latents of the steps before, each `[B, M, H/2, W/2]` in cells.
        """
        if not known:
            return hyper
        stem, width, group = self.stems[step - 1], hyper.shape[1], self.y_channels // 4

        def entered(rows: slice) -> Tensor:
            values = [values[..., rows, :].chunk(4, 1) for values in known]
            made = []
            for p, place in enumerate(_places(hyper[..., 2 * rows.start : 2 * rows.stop, :])):
                columns = [slice(width + g * group, width + (g + 1) * group) for g in _groups(p, len(known))]
                x = torch.cat((place, *(parts[p] for parts in values)), 1)
                made.append(self.stem_clip(stem(x, inputs=[slice(0, width), *columns])))
            return depth_to_space(torch.cat(made, 1), 2)

        return self.contexts[step - 1](by_strips(entered, known[0]))

    def head(self, step: int, features: Tensor) -> tuple[Tensor, Tensor]:
        """The raw means and log scales of one step, each `[B, M, H/2, W/2]` in cells, from features."""
        head, outputs = self.heads[step], []
        count = self.y_channels // 2
        with torch.autocast(features.device.type, enabled=False):
            for p, place in enumerate(_places(features)):
                (group,) = _groups(p, 1, step)
                place = place.float().contiguous(memory_format=torch.channels_last)
                outputs.append(head(place, outputs=slice(group * count, (group + 1) * count)).chunk(2, 1))
        means, log2_scales = zip(*outputs, strict=True)
        return torch.cat(means, 1), torch.cat(log2_scales, 1)


def _places(x: Tensor) -> list[Tensor]:
    """Views of the four positions of the cells of `[…, H, W]`."""
    return [x[..., p // 2 :: 2, p % 2 :: 2] for p in range(4)]


def _groups(position: int, steps: int, first: int = 0) -> list[int]:
    """The channel groups that steps code at a position of the cells."""
    return [(position + step) % STEPS for step in range(first, first + steps)]


class Cells:
    """Latents in the layout of the steps; collects what has been coded.

    Args:
        like: `[B, M, H, W]`, gives the shape.
    """

    def __init__(self, like: Tensor):
        _, channels, self.height, self.width = like.shape
        self._part = (channels // 4, (self.height + 1) // 2, (self.width + 1) // 2)
        self._values: list[Tensor] = []
        self._derived: list[Tensor] = []

    @staticmethod
    def split(y: Tensor) -> list[Tensor]:
        """`[B, M, H, W]` to a tensor `[B, M, ceil(H/2), ceil(W/2)]` for each step; odd sides get a row of zeros."""
        return [Cells.part(y, step) for step in range(STEPS)]

    @staticmethod
    def part(y: Tensor, step: int) -> Tensor:
        """One of `split`."""
        height, width = y.shape[-2:]
        if height % 2 or width % 2:
            y = F.pad(y, (0, width % 2, 0, height % 2))
        return torch.cat(Cells._places(y, step), 1)

    @staticmethod
    def place(y: Tensor, step: int, values: Tensor) -> None:
        """Writes what a step codes, in cells, to where it belongs in `[B, M, H, W]`, sides even."""
        for place, part in zip(Cells._places(y, step), values.chunk(4, 1), strict=True):
            place.copy_(part)

    @staticmethod
    def _places(y: Tensor, step: int) -> list[Tensor]:
        groups = y.chunk(4, 1)
        return [_places(groups[(p + step) % 4])[p] for p in range(4)]

    @staticmethod
    def roll(vector: Tensor, step: int) -> Tensor:
        """`[B, M, 1, 1]` values of the channels, in the order of a step's cells."""
        return vector.roll(-step * vector.shape[1] // 4, 1)

    def put(self, values: Tensor) -> None:
        """Adds what the next step coded, `[B, M, H/2, W/2]` in cells."""
        self._values.append(values)

    def merged(self) -> Tensor:
        """`[B, M, H, W]`, when all steps have been put."""
        steps = [values.chunk(4, 1) for values in self._values]
        parts = [steps[(group - p) % STEPS][p] for p in range(4) for group in range(4)]
        return depth_to_space(torch.cat(parts, 1), 2)[:, :, : self.height, : self.width]

    def derived(self, function: Callable[[int, Tensor], Tensor]) -> list[Tensor]:
        """A function of the values so far, step by step.

        Args:
            function: of step and values. It is applied once to each step; so it has to be the same every time.
        """
        for step in range(len(self._derived), len(self._values)):
            self._derived.append(function(step, self._values[step]))
        return self._derived

    def crop(self, features: Tensor) -> Tensor:
        """Features `[B, W, 4 h, 4 w]` of the hyperprior, cut to the latents' rows and columns, made even."""
        return features[:, :, : 2 * self._part[1], : 2 * self._part[2]]

    def outside(self) -> Tensor | None:
        """`[M, H/2, W/2]` bool: values of a step beyond an odd side; `None` if there are none."""
        if self.height % 2 == self.width % 2 == 0:
            return None
        rows = torch.arange(self.height + self.height % 2).view(-1, 2) >= self.height
        columns = torch.arange(self.width + self.width % 2).view(-1, 2) >= self.width
        cells = rows.T[:, None, :, None] | columns.T[None, :, None, :]
        return cells.flatten(0, 1).repeat_interleave(self._part[0], 0)


@dataclass(frozen=True)
class Prediction:
    """What the prior says about a group of latents, in symbols.

    Attributes:
        offset: the lattice on which they are rounded: y_hat = offset + integer. 0 for z and in the first step, the
            mean in the others.
        mean: of the latents.
        log2_scale: log2 of their standard deviation, within the table's range.
    """

    offset: Tensor
    mean: Tensor
    log2_scale: Tensor


class Prior(nn.Module):
    """p(z) and the four steps of p(y | z), in floating point.

    Args:
        knots: knots of the tables over quality.
    """

    def __init__(self, y_channels: int, z_channels: int, width: int, blocks: int, knots: int):
        super().__init__()
        self.networks = Networks(y_channels, z_channels, width, blocks)
        self.quality_bias = QualityTable(knots, width)
        self.log2_gain = QualityTable(knots, y_channels)
        self.z_mean = QualityTable(knots, z_channels)
        self.z_log2_scale = QualityTable(knots, z_channels)

    def gain(self, quality: Tensor) -> Tensor:
        """`[B, M, 1, 1]` symbols per unit of the normalised latents."""
        return torch.exp2(self.log2_gain(quality))

    def predict_z(self, quality: Tensor) -> Prediction:
        """`[B, Cz, 1, 1]` means and scales of z; its lattice is the integers."""
        mean = self.z_mean(quality)
        return Prediction(torch.zeros_like(mean), mean, bounded_log2_scale(self.z_log2_scale(quality)))

    def hyper(self, z_hat: Tensor, quality: Tensor) -> Tensor:
        """Integers `[B, Cz, h, w]` to features `[B, W, 4 h, 4 w]`."""
        z = (z_hat * Z_UNIT).clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        return self.networks.hyper(z, self.quality_bias(quality))

    def predict_y(self, step: int, hyper: Tensor, coded: Cells, quality: Tensor) -> Prediction:
        """Means and scales of the latents of one step, in cells.

        Args:
            step: 0 to 3.
            hyper: from `hyper`.
            coded: the latents of the steps before, in symbols.
            quality: `[B]` in [0, 1].
        """
        log2_gain = self.log2_gain(quality)
        known = coded.derived(lambda t, y_hat: compand(y_hat * torch.exp2(-Cells.roll(log2_gain, t))))
        mean, log2_scale = self.networks.head(step, self.networks.features(step, coded.crop(hyper), known))
        log2_gain = Cells.roll(log2_gain, step)
        mean = mean * torch.exp2(log2_gain)
        offset = torch.zeros_like(mean) if step == 0 else mean
        return Prediction(offset, mean, bounded_log2_scale(log2_scale + log2_gain))
