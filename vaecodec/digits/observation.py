"""Observation models: what p(x | z) is, given the generator's output θ for each pixel.

| name        | θ a pixel | p(x | z)                                                                           |
|-------------|----------:|------------------------------------------------------------------------------------|
| `gaussian`  |         1 | N(x; sigmoid(θ), η), a density on samples in [0, 1]                                |
| `bernoulli` |         1 | for binarised pictures                                                             |
| `tables`    |         2 | of the 256 grey levels: beta-binomials over (mean, spread), from where they learn on |
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.objective.bound import clamp_inwards, gaussian_observation_bits

LEVELS = 256
NODES = (16, 8)
"""Tables along the axes of `tables`."""
PROBABILITY_FLOOR = 2.0**-24


class Observation(nn.Module):
    """What every observation model is.

    Attributes:
        outputs: numbers θ that the generator gives for a pixel.
    """

    outputs: int

    def __init__(self, variance: float):
        super().__init__()
        self.variance = variance

    def mean(self, theta: Tensor) -> Tensor:
        """θ `[B, outputs, 28, 28]` to the expected picture `[B, 28, 28]` in [0, 1]."""
        raise NotImplementedError

    def bits(self, images: Tensor, theta: Tensor) -> Tensor:
        """−log2 p(x | z) of `[B, 28, 28]` grey levels; `[B]`."""
        raise NotImplementedError


class Gaussian(Observation):
    """Independent Gaussians of one variance η around the generator's picture."""

    outputs = 1

    def mean(self, theta: Tensor) -> Tensor:
        """`[B, 1, 28, 28]` to the expected picture `[B, 28, 28]`."""
        return torch.sigmoid(theta[:, 0])

    def bits(self, images: Tensor, theta: Tensor) -> Tensor:
        """−log2 of the density at `[B, 28, 28]` grey levels, taken as samples in [0, 1]; `[B]`."""
        mse = (self.mean(theta) - images / 255).square().mean((1, 2))
        return gaussian_observation_bits(mse, self.variance, images[0].numel())


class Bernoulli(Observation):
    """Black or white: pictures of the levels 0 and 255."""

    outputs = 1

    def mean(self, theta: Tensor) -> Tensor:
        """The probability of white, `[B, 28, 28]`."""
        return torch.sigmoid(theta[:, 0])

    def bits(self, images: Tensor, theta: Tensor) -> Tensor:
        """−log2 P(x | z), `[B]`."""
        loss = F.binary_cross_entropy_with_logits(theta[:, 0], images / 255, reduction="none")
        return loss.flatten(1).sum(1) / math.log(2)


class Tables(Observation):
    """Probabilities of the 256 levels, interpolated between learned tables that stand on a grid of 16 by 8.

    θ is a point on that grid: a mean and a spread to begin with, for the tables start as beta-binomials (as in Townsend
    et al. 2019); training then moves every entry. So they learn what no parametric family has, such as the set's
    habit of ending strokes at 253 and 254. Tables are what the coder takes, and to train a pixel is to gather four
    numbers.
    """

    outputs = 2

    def __init__(self, variance: float):
        super().__init__(variance)
        self.logits = nn.Parameter(torch.log(beta_binomials()))

    def probabilities(self) -> Tensor:
        """`[16, 8, 256]`."""
        return torch.softmax(self.logits, 2)

    def _interpolate(self, values: Tensor, theta: Tensor, column: Tensor | None = None) -> Tensor:
        """Bilinear interpolation of `[16, 8, n]` at every pixel's point, in the columns `[B, 28, 28]`."""
        nodes = torch.tensor(NODES)[:, None, None]
        point = clamp_inwards(theta + (nodes - 1) / 2, 0.0 * nodes, nodes - 1.0)
        corner = torch.minimum(point.detach().floor(), nodes - 2.0)
        s, t = (point - corner).unbind(1)
        i, j = corner.long().unbind(1)
        p00, p01, p10, p11 = values[:-1, :-1], values[:-1, 1:], values[1:, :-1], values[1:, 1:]
        surface = torch.stack((p00, p10 - p00, p01 - p00, p11 - p10 - p01 + p00), -1)
        where = (i * (NODES[1] - 1) + j) * values.shape[2]
        rows = F.embedding(where if column is None else where + column, surface.reshape(-1, 4))
        return rows[..., 0] + s * rows[..., 1] + t * (rows[..., 2] + s * rows[..., 3])

    def bits(self, images: Tensor, theta: Tensor) -> Tensor:
        """−log2 P(x | z) of `[B, 28, 28]` grey levels; `[B]`."""
        p = self._interpolate(self.probabilities(), theta, images.long())
        return -torch.log2(p.clamp_min(PROBABILITY_FLOOR)).flatten(1).sum(1)

    def mean(self, theta: Tensor) -> Tensor:
        """The expected picture, `[B, 28, 28]` in [0, 1]."""
        with torch.no_grad():
            return self._interpolate((self.probabilities() @ torch.linspace(0, 1, LEVELS))[..., None], theta)


def beta_binomials() -> Tensor:
    """Tables `[16, 8, 256]` to begin with: the logit of the mean from −9 to 9, α + β from 1/4 to 500."""
    mean = torch.sigmoid(torch.linspace(-9, 9, NODES[0], dtype=torch.float64))[:, None, None]
    total = torch.logspace(math.log10(0.25), math.log10(500), NODES[1], dtype=torch.float64)[None, :, None]
    alpha, beta = mean * total, (1 - mean) * total
    k, n = torch.arange(LEVELS, dtype=torch.float64), LEVELS - 1
    lgamma = torch.lgamma
    log_p = lgamma(k + alpha) - lgamma(k + 1) + lgamma(n - k + beta) - lgamma(n - k + 1)  # and what has no k in it
    return torch.softmax(log_p, 2).float().clamp_min(1e-9)


OBSERVATIONS: dict[str, type[Observation]] = {"gaussian": Gaussian, "bernoulli": Bernoulli, "tables": Tables}
