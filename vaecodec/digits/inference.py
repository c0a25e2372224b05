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


@torch.no_grad()
def importance_sampled(
    model: DigitsVAE, images: Tensor, labels: Tensor | None = None, samples: int = 1000, chunk: int = 100
) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x) by importance sampling from q (Burda et al. 2016), and the bound by the same samples; nats, each `[B]`.

    Returns:
        log p(x), which on average is a little too low; F; and the standard error of log p(x) − F.
    """
    mean, log2_scale = model.infer(images, labels)
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
    error = (weight - ratio).std(0) / math.sqrt(samples)
    return log_p, ratio.mean(0), error


@torch.no_grad()
def on_a_grid(model: DigitsVAE, image: Tensor, steps: int = 500, extent: float = 5.0) -> tuple[float, float, float]:
    """For two latents: log p(x) by integration, F, and KL(q ‖ p(z | x)) by its definition; nats.

    The grid covers the prior to ± `extent`; q has to be a few steps wide.
    """
    axis = torch.linspace(-extent, extent, steps)
    z = torch.cartesian_prod(axis, axis)
    joint = torch.cat([_joint_nats(model, image.expand(len(part), -1, -1), part) for part in z.split(20_000)]).double()
    cell = 2 * math.log(2 * extent / (steps - 1))
    log_p = float(torch.logsumexp(joint, 0)) + cell
    mean, log2_scale = (each[0].double() for each in model.infer(image[None]))
    log_q = torch.distributions.Normal(mean, torch.exp2(log2_scale)).log_prob(z.double()).sum(1)
    q = torch.softmax(log_q, 0)
    log_q = torch.log_softmax(log_q, 0)
    bound = float((q * (joint + cell - log_q)).nan_to_num().sum())
    kl = float((q * (log_q - torch.log_softmax(joint, 0))).nan_to_num().sum())
    return log_p, bound, kl


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


def alternate(model: DigitsVAE, images: Tensor, rounds: int, inner: int, rate: float = 3e-3) -> list[float]:
    """The lecture's first strategy: fit q for every example, then take a step of θ, and again.

    The encoder is not used; posteriors are kept between the rounds.

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
