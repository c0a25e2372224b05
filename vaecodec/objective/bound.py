"""The terms of the variational bound, written once: for training, refinement and rate reports.

    -log2 p(x) / pixels  <=  rate (KL, bits per pixel)  +  lmbda * 255² * d (MSE on [0, 1])

With another d (`distortion`) the sum is the objective of generalised variational inference, and no bound on log p(x).

With integers for latents the posterior is a point mass and the KL term is the code length. In training uniform noise
of width 1 stands in for rounding (Ballé et al. 2017), for which the same expression is KL(q || p) exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaecodec.format.tables import LOG2_SCALE_MAX, LOG2_SCALE_MIN

PROBABILITY_FLOOR = 2.0**-30


@dataclass(frozen=True)
class Bound:
    """The bound of a batch, term by term.

    Attributes:
        distortion: `[B]` d of the model's configuration, see `distortion`; squared error or in its units.
        rate_bpp: name of a latent group ("z", "y0" to "y3") to `[B]` bits per pixel.
        mse: `[B]` squared error on [0, 1], mean over pixels and the three channels, where d is another one.
    """

    distortion: Tensor
    rate_bpp: dict[str, Tensor]
    mse: Tensor | None = None

    @property
    def total_bpp(self) -> Tensor:
        """`[B]` all groups together: the KL term in bits per pixel."""
        return torch.stack(list(self.rate_bpp.values())).sum(0)

    def objective(self, lmbda: Tensor) -> Tensor:
        """`[B]` negative bound up to a constant, in bits per pixel, at `[B]` trade-offs `lmbda`."""
        return lmbda * 255.0**2 * self.distortion + self.total_bpp

    @property
    def psnr_db(self) -> Tensor:
        """`[B]` of the unrounded reconstruction."""
        mse = self.distortion if self.mse is None else self.mse
        return -10 * torch.log10(mse.clamp_min(1e-10))


class _LowerBound(torch.autograd.Function):
    """`max(x, bound)` that still lets gradients through that would raise x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float | Tensor) -> Tensor:
        ctx.save_for_backward(x < bound)
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (below,) = ctx.saved_tensors
        return gradient * (~below | (gradient < 0)), None


def bounded_log2_scale(log2_scale: Tensor) -> Tensor:
    """Log2 of the standard deviations, kept within the table's range; float32."""
    return _LowerBound.apply(log2_scale.float(), LOG2_SCALE_MIN).clamp_max(LOG2_SCALE_MAX)


def clamp_inwards(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Clamps; outside, only gradients that lead back inside get through."""
    return -_LowerBound.apply(-_LowerBound.apply(x, low), -high)


def gaussian_bits(deviation: Tensor, log2_scale: Tensor) -> Tensor:
    """Code length in bits of intervals of width 1 under Gaussians; elementwise, float32 whatever comes in.

    Args:
        deviation: middle of the interval minus the mean: noisy latents in training, integers minus means otherwise.
        log2_scale: log2 of the standard deviation, see `bounded_log2_scale`.
    """
    inverse = torch.exp2(-log2_scale.float()) * 0.5**0.5
    distance = deviation.float().abs()
    upper = torch.special.erfc((distance - 0.5) * inverse)
    lower = torch.special.erfc((distance + 0.5) * inverse)
    return -torch.log2(_LowerBound.apply(0.5 * (upper - lower), PROBABILITY_FLOOR))


def gaussian_kl_bits(mean: Tensor, log2_scale: Tensor, prior_mean: Tensor, prior_log2_scale: Tensor) -> Tensor:
    """KL(q ‖ p) in bits of Gaussians, elementwise; float32 whatever comes in."""
    mean, log2_scale, prior_mean, prior_log2_scale = (
        t.float() for t in (mean, log2_scale, prior_mean, prior_log2_scale)
    )
    inverse = torch.exp2(-prior_log2_scale)
    squares = (torch.exp2(log2_scale) * inverse).square() + ((mean - prior_mean) * inverse).square()
    return prior_log2_scale - log2_scale + (squares - 1) / (2 * math.log(2))


def gaussian_observation_bits(mse: Tensor, variance: float, samples: int) -> Tensor:
    """−log2 N(x; x_hat, variance), a density, of so many samples with this mean squared error; elementwise."""
    return samples * (mse / (2 * variance * math.log(2)) + 0.5 * math.log2(2 * math.pi * variance))


def round_ste(x: Tensor) -> Tensor:
    """Rounds; the gradient passes straight through."""
    return x + (x.round() - x).detach()


def add_noise(x: Tensor) -> Tensor:
    """Adds uniform noise on [-1/2, 1/2), the stand-in for rounding in the rate."""
    return x + torch.rand_like(x) - 0.5


Rounding = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""What becomes of latents: from (latents, means, log2 scales), on the lattice of the integers, to what the decoder sees
and to where the rate is taken. `noisy`, `nearest` and `as_given` here, `optimised` in `rounding`."""


def noisy(u: Tensor, mean: Tensor, log2_scale: Tensor) -> tuple[Tensor, Tensor]:
    """For training: context and synthesis see rounded latents, the rate is that of noisy ones."""
    return round_ste(u), add_noise(u)


def nearest(u: Tensor, mean: Tensor, log2_scale: Tensor) -> tuple[Tensor, Tensor]:
    """The discrete bound at the nearest integers."""
    rounded = round_ste(u)
    return rounded, rounded


def as_given(u: Tensor, mean: Tensor, log2_scale: Tensor) -> tuple[Tensor, Tensor]:
    """The discrete bound at latents that a decoder has."""
    return u, u
