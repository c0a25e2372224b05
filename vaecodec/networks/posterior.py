"""The stochastic posterior q(z | y), for bits-back coding of the hyperlatents (docs/bits-back.md).

    y_hat of step 0, in cells ── 1x1 ─(+ quality)─ block ─ 2x2 ─ block ─ head ─> mean, scale of z

It knows the latents of the first step only: theirs is the one lattice that does not move with z, so that an encoder
has them before it has z. Like the prior, it is trained in floating point and runs in integers (`fixed_point`), because
the decoder has to push z back under the very tables from which the encoder popped it.

Such a z is a sample, not a rounded number. It lies on a lattice that is `FINE` times finer than that of rounded z:
precision costs nothing where it is paid back, and about half a standard deviation is as good as a continuous z.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.networks.blocks import Pointwise, QualityTable, compand, space_to_depth
from vaecodec.networks.prior import Cells, Clip, Prediction, PriorBlock, RawHead, Stem
from vaecodec.objective.bound import bounded_log2_scale

FINE_BITS = 2
FINE = 2**FINE_BITS
"""Symbols of a sampled z for one step of a rounded z."""


class PosteriorNetworks(nn.Module):
    """The posterior's networks: activations in, activations out, in floats or (after `fixed_point`) in integers.

    Args:
        y_channels: M.
        z_channels: Cz.
        width: channels of the hidden layers, W.
    """

    def __init__(self, y_channels: int, z_channels: int, width: int):
        super().__init__()
        self.stem = Stem(y_channels, width)
        self.stem_clip = Clip()
        self.block = PriorBlock(width)
        self.down = Pointwise(4 * width, width)
        self.down_clip = Clip()
        self.down_block = PriorBlock(width)
        self.head = RawHead(width, 2 * z_channels, zero=True)

    def forward(self, cells: Tensor, quality_bias: Tensor) -> tuple[Tensor, Tensor]:
        """Companded latents of step 0, `[B, M, h, w]` in cells, to raw means and log2 scales of z.

        Both are `[B, Cz, ceil(h/2), ceil(w/2)]`, in steps of rounded z; odd sides of the cells get a row of zeros.
        """
        height, width = cells.shape[-2:]
        if height % 2 or width % 2:
            cells = F.pad(cells, (0, width % 2, 0, height % 2))
        x = self.block(self.stem_clip(self.stem(cells) + quality_bias))
        x = self.down_block(self.down_clip(self.down(space_to_depth(x, 2))))
        with torch.autocast(x.device.type, enabled=False):
            return self.head(x.float()).chunk(2, 1)


class Posterior(nn.Module):
    """q(z | y of step 0) and the p(z) that goes with it, in floating point; everything in symbols of the fine lattice.

    Args:
        knots: knots of the tables over quality.
    """

    def __init__(self, y_channels: int, z_channels: int, width: int, knots: int):
        super().__init__()
        self.networks = PosteriorNetworks(y_channels, z_channels, width)
        self.quality_bias = QualityTable(knots, width)
        self.z_mean = QualityTable(knots, z_channels)
        self.z_log2_scale = QualityTable(knots, z_channels)

    def predict_z(self, quality: Tensor) -> Prediction:
        """p(z): `[B, Cz, 1, 1]`."""
        return _fine(self.z_mean(quality), self.z_log2_scale(quality))

    def predict(self, first: Tensor, log2_gain: Tensor, quality: Tensor) -> Prediction:
        """q(z | y): `[B, Cz, h, w]`.

        Args:
            first: the latents of step 0, `[B, M, H/2, W/2]` in cells, in symbols.
            log2_gain: `[B, M, 1, 1]`, of the prior.
            quality: `[B]` in [0, 1].
        """
        normalised = compand(first * torch.exp2(-Cells.roll(log2_gain, 0)))
        return _fine(*self.networks(normalised, self.quality_bias(quality)))


def _fine(mean: Tensor, log2_scale: Tensor) -> Prediction:
    """From steps of rounded z to symbols of the fine lattice."""
    return Prediction(torch.zeros_like(mean), mean * FINE, bounded_log2_scale(log2_scale + FINE_BITS))
