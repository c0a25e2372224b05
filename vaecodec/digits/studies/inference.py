"""What the bound leaves open, on a trained model: log p(x), the gap, gradients, and q fitted for each picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec.digits.model import DigitsVAE, kl_bits

LN2 = math.log(2)


def _joint_nats(model: DigitsVAE, images: Tensor, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """log p(x, z), `[B]`."""
    prior = -0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
    return prior - LN2 * model.observation.bits(images, model.generate(z, labels))


@dataclass(frozen=True)
class Sampled:
    """What importance sampling says of some pictures, in nats, each `[B]`.

    Attributes:
        log_p: log p(x); on average a little too low.
        bound: F of the proposal q, by the same samples.
        log_p_error: standard error of `log_p`, as far as the samples can tell: they do not know of what q misses.
        gap_error: standard error of log p(x) − F.
    """

    log_p: Tensor
    bound: Tensor
    log_p_error: Tensor
    gap_error: Tensor


@torch.no_grad()
def importance_sampled(
    model: DigitsVAE,
    images: Tensor,
    labels: Tensor | None = None,
    samples: int = 1000,
    chunk: int = 100,
    proposal: tuple[Tensor, Tensor] | None = None,
) -> Sampled:
    """log p(x) by importance sampling (Burda et al. 2016).

    Args:
        proposal: means and log2 scales `[B, K]` of the q to draw from; the encoder's by default.
    """
    mean, log2_scale = model.infer(images, labels) if proposal is None else proposal
    scale, ratios = torch.exp2(log2_scale), []
    for start in range(0, samples, chunk):
        noise = torch.randn(min(chunk, samples - start), *mean.shape)
        z = mean + scale * noise
        log_q = (-0.5 * noise.square() - torch.log(scale) - 0.5 * math.log(2 * math.pi)).sum(2)
        repeated = None if labels is None else labels.repeat(len(noise))
        joint = _joint_nats(model, images.repeat(len(noise), 1, 1), z.flatten(0, 1), repeated)
        ratios.append(joint.view(log_q.shape) - log_q)
    ratio = torch.cat(ratios).double()
    log_p = torch.logsumexp(ratio, 0) - math.log(samples)
    weight = torch.exp(ratio - log_p)
    errors = ((each.std(0) / math.sqrt(samples)) for each in (weight, weight - ratio))
    return Sampled(log_p, ratio.mean(0), *errors)


@torch.no_grad()
def on_a_grid(model: DigitsVAE, image: Tensor, steps: int = 300, extent: float = 8.0) -> tuple[float, float, float]:
    """For two latents: log p(x), F and KL(q ‖ p(z | x)), each by its definition as an integral; nats.

    A first grid covers ± `extent`, a second, of as many steps a side, the box outside of which both p(z | x) and q are
    below e^-30 of their peaks.
    """
    mean, log2_scale = (each[0].double() for each in model.infer(image[None]))
    q = torch.distributions.Normal(mean, torch.exp2(log2_scale))
    low, high = torch.full((2,), -extent), torch.full((2,), extent)
    for _ in range(2):
        step = (high - low) / (steps - 1)
        z = torch.cartesian_prod(*(torch.linspace(float(a), float(b), steps) for a, b in zip(low, high, strict=True)))
        joint = torch.cat([_joint_nats(model, image.expand(len(part), -1, -1), part) for part in z.split(20_000)])
        joint, log_q = joint.double(), q.log_prob(z.double()).sum(1)
        near = z[(joint > joint.max() - 30) | (log_q > log_q.max() - 30)]
        low, high = near.amin(0) - step, near.amax(0) + step
    cell = float(step.double().log().sum())
    log_p, share = float(torch.logsumexp(joint, 0)) + cell, torch.exp(log_q + cell)
    return log_p, float((share * (joint - log_q)).sum()), float((share * (log_q - joint + log_p)).sum())


@dataclass(frozen=True)
class Gradients:
    """Estimates of the gradient of E_q[log p(x | z)] by the mean of q, one row a sample: `[N, K]`, in nats."""

    reparameterised: Tensor
    score: Tensor


def gradients(model: DigitsVAE, image: Tensor, noise: Tensor) -> Gradients:
    """Both estimators on the same noise `[N, K]`, for one picture.

    Reparameterised: ∂ log p(x | μ + σ ε) / ∂ μ. Score function: log p(x | z) ∂ log q(z) / ∂ μ = log p(x | z) ε / σ.
    """
    with torch.no_grad():
        mean, log2_scale = (each[0] for each in model.infer(image[None]))
    scale = torch.exp2(log2_scale)
    z = (mean + scale * noise).requires_grad_()
    value = -LN2 * model.observation.bits(image.expand(len(z), -1, -1), model.generate(z))
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return Gradients(gradient, value.detach()[:, None] * noise / scale)


@torch.no_grad()
def finite_differences(model: DigitsVAE, image: Tensor, noise: Tensor, width: float = 1e-2) -> Tensor:
    """The same gradient, `[K]`, from the mean over the noise at μ ± width."""
    mean, log2_scale = (each[0] for each in model.infer(image[None]))
    result = []
    for k in range(len(mean)):
        values = []
        for sign in (1, -1):
            z = mean + torch.exp2(log2_scale) * noise
            z[:, k] += sign * width
            bits = model.observation.bits(image.expand(len(z), -1, -1), model.generate(z))
            values.append(-LN2 * bits.double().mean())
        result.append((values[0] - values[1]) / (2 * width))
    return torch.stack(result)


def fit_posterior(
    model: DigitsVAE, images: Tensor, start: tuple[Tensor, Tensor], steps: int, rate: float = 0.02
) -> tuple[Tensor, Tensor]:
    """q for each picture by gradient ascent on its own bound (stochastic variational inference; Hoffman et al. 2013).

    Args:
        start: means and log2 scales `[B, K]` to begin with: the encoder's, or those of the prior.
    """
    mean, log2_scale = (each.detach().clone().requires_grad_() for each in start)
    optimizer = torch.optim.Adam([mean, log2_scale], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        z = mean + torch.exp2(log2_scale) * torch.randn_like(mean)
        bits = model.observation.bits(images, model.generate(z)) + kl_bits(mean, log2_scale)
        optimizer.zero_grad()
        bits.sum().backward(inputs=[mean, log2_scale])
        optimizer.step()
        schedule.step()
    return mean.detach(), log2_scale.detach()


@torch.no_grad()
def best_of_prior(model: DigitsVAE, images: Tensor, draws: int = 1000) -> tuple[Tensor, Tensor]:
    """A start for `fit_posterior` that no encoder misleads: of some draws of the prior the z with the highest p(x, z).

    Returns:
        means and log2 scales, each `[B, K]`.
    """
    z = torch.randn(draws, model.config.latents)
    best = [_joint_nats(model, image.expand(draws, -1, -1), z).argmax() for image in images]
    mean = z[torch.stack(best)]
    return mean, torch.full_like(mean, -3.0)


@torch.no_grad()
def bound_nats(
    model: DigitsVAE, images: Tensor, q: tuple[Tensor, Tensor], samples: int = 20, labels: Tensor | None = None
) -> Tensor:
    """F of pictures `[B]` at given posteriors, by the mean of some samples."""
    mean, log2_scale = q
    total = torch.zeros(len(images), dtype=torch.float64)
    for _ in range(samples):
        z = mean + torch.exp2(log2_scale) * torch.randn_like(mean)
        total += model.observation.bits(images, model.generate(z, labels))
    return -LN2 * (total / samples + kl_bits(mean, log2_scale))


def alternate(model: DigitsVAE, images: Tensor, rounds: int, inner: int = 10, rate: float = 3e-3) -> list[float]:
    """The lecture's first strategy: fit q for every example, then take a step of θ, and again.

    The encoder is not used; posteriors are kept between the rounds.

    Args:
        inner: steps of gradient on every q before each step of θ.

    Returns:
        F in nats a picture, after each round.
    """
    shape = (len(images), model.config.latents)
    q = torch.zeros(shape), torch.full(shape, -1.0)
    optimizer = torch.optim.Adam(model.decoder.parameters(), rate)
    course = []
    for _ in range(rounds):
        q = fit_posterior(model, images, q, inner, rate=0.05)
        z = q[0] + torch.exp2(q[1]) * torch.randn_like(q[0])
        optimizer.zero_grad()
        model.observation.bits(images, model.generate(z)).mean().backward()
        optimizer.step()
        course.append(float(bound_nats(model, images, q, 1).mean()))
    return course


@torch.no_grad()
def active_units(means: Tensor, threshold: float = 0.01) -> Tensor:
    """Which latents say something, `[K]` bool: by the variance of `[N, K]` means over pictures (Burda et al. 2016)."""
    return means.var(0) > threshold
