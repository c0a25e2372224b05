"""Where everything can be computed: the linear autoencoder, and the linear-Gaussian model.

The lecture's statements hold exactly here, and tests compare the two sides of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def fit_linear_autoencoder(covariance: Tensor, units: int, *, iterations: int = 400, seed: int = 0) -> Tensor:
    """The decoder `[D, units]` of a linear autoencoder trained by gradients from a random start.

    The squared error of x ← D E x over centred data is trace((I − D E) C (I − D E)ᵀ), so the covariance stands for the
    data, and L-BFGS takes exact steps.

    Args:
        covariance: C, `[D, D]`.
    """
    size = len(covariance)
    covariance = (covariance / covariance.trace()).double()
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(2, size, units, generator=generator, dtype=torch.float64) / math.sqrt(size)
    decoder, encoder = (each.clone().requires_grad_() for each in start)
    optimizer = torch.optim.LBFGS(
        [decoder, encoder], max_iter=iterations, history_size=20, tolerance_grad=1e-12, tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        coded = covariance @ encoder
        error = covariance.trace() - 2 * (decoder * coded).sum()
        error = error + ((decoder.T @ decoder) * (encoder.T @ coded)).sum()
        error.backward()
        return error

    optimizer.step(loss)
    return decoder.detach()


def largest_angle_degrees(a: Tensor, b: Tensor) -> float:
    """The largest principal angle between the spaces that the columns of `[D, K]` span."""
    a, b = (torch.linalg.qr(each.double())[0] for each in (a, b))
    sine = torch.linalg.matrix_norm(b - a @ (a.T @ b), 2).clamp(max=1)
    return math.degrees(math.asin(float(sine)))


@dataclass(frozen=True)
class LinearGaussian:
    """p(z) = N(0, I), p(x | z) = N(W z + c, η I); all in nats.

    Attributes:
        weight: W, `[D, K]` float64.
        centre: c, `[D]`.
        variance: η.
    """

    weight: Tensor
    centre: Tensor
    variance: float

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x), `[B, D]` to `[B]`: x ~ N(c, W Wᵀ + η I)."""
        covariance = self.weight @ self.weight.T + self.variance * torch.eye(len(self.weight), dtype=torch.float64)
        return torch.distributions.MultivariateNormal(self.centre, covariance).log_prob(x)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """p(z | x): means `[B, K]` and the covariance `[K, K]`."""
        size = self.weight.shape[1]
        precision = torch.eye(size, dtype=torch.float64) + self.weight.T @ self.weight / self.variance
        covariance = torch.linalg.inv(precision)
        return (x - self.centre) @ self.weight @ covariance / self.variance, covariance

    def bound(self, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """F(q) = E_q[log p(x | z)] − KL(q ‖ p(z)) in closed form, for q = N(mean, diag deviation²) `[B, K]`; `[B]`."""
        residual = x - self.centre - mean @ self.weight.T
        spread = (deviation.square() @ self.weight.square().T).sum(1)
        size = x.shape[1]
        likelihood = -(residual.square().sum(1) + spread) / (2 * self.variance)
        likelihood = likelihood - 0.5 * size * math.log(2 * math.pi * self.variance)
        kl = 0.5 * (deviation.square() + mean.square() - 1).sum(1) - deviation.log().sum(1)
        return likelihood - kl

    def gap(self, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """KL(q ‖ p(z | x)), `[B]`: what the lecture says log p(x) − F is."""
        exact_mean, covariance = self.posterior(x)
        q = torch.distributions.MultivariateNormal(mean, torch.diag_embed(deviation.square()))
        return torch.distributions.kl_divergence(q, torch.distributions.MultivariateNormal(exact_mean, covariance))
