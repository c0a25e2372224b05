"""What one can do with a trained model: everything returns pictures as `[…, 28, 28]` in [0, 1]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaecodec.baselines.pca import principal_axes
from vaecodec.codec.sampling import between
from vaecodec.digits import CLASSES
from vaecodec.digits.model import DigitsVAE, kl_bits


def _pictures(model: DigitsVAE, z: Tensor, labels: Tensor | None) -> np.ndarray:
    return model.picture(z, labels).clamp(0, 1).numpy()


@torch.no_grad()
def sample(model: DigitsVAE, count: int, label: int = -1, seed: int = 0) -> np.ndarray:
    """Pictures from the prior, in one forward pass: `[count, 28, 28]`.

    Args:
        label: what to draw, where the model is told labels; -1 leaves it open.
    """
    z = torch.randn(count, model.config.latents, generator=torch.Generator().manual_seed(seed))
    return _pictures(model, z, torch.full((count,), label))


@torch.no_grad()
def strongest(model: DigitsVAE, label: int = -1) -> tuple[int, int]:
    """The two latents that change the picture most between -2 and 2."""
    ends = 2 * torch.eye(model.config.latents)
    labels = torch.full((len(ends),), label)
    change = (model.picture(ends, labels) - model.picture(-ends, labels)).square().sum((1, 2))
    first, second = sorted(change.topk(2).indices.tolist())
    return first, second


@torch.no_grad()
def traverse(
    model: DigitsVAE, latents: tuple[int, int], label: int = -1, steps: int = 9, extent: float = 2.0
) -> np.ndarray:
    """Two latents varied, all others 0, the label fixed: `[steps, steps, 28, 28]`, the first latent downwards."""
    values = torch.linspace(-extent, extent, steps)
    z = torch.zeros(steps, steps, model.config.latents)
    z[..., latents[0]], z[..., latents[1]] = values[:, None], values[None]
    z = z.flatten(0, 1)
    pictures = _pictures(model, z, torch.full((len(z),), label))
    return pictures.reshape(steps, steps, *pictures.shape[1:])


@torch.no_grad()
def recognise(model: DigitsVAE, images: np.ndarray) -> np.ndarray:
    """The label of each picture that gives the highest bound, at the posterior's mean: `[N]`.

    A generative classifier: p(label | x) by the bound of log p(x | label), all labels being as likely.
    """
    x = torch.tensor(images)
    bounds = []
    for label in range(CLASSES):
        labels = torch.full((len(x),), label)
        mean, log2_scale = model.infer(x, labels)
        bounds.append(model.bound(x, mean, kl_bits(mean, log2_scale), labels).total_bpp)
    return torch.stack(bounds).argmin(0).numpy()


@torch.no_grad()
def analogy(model: DigitsVAE, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """The style of each picture with every label, `[N, 10, 28, 28]`.

    Args:
        images: `[N, 28, 28]` uint8.
        labels: what they show; recognised if not given.
    """
    labels = recognise(model, images) if labels is None else labels
    mean, _ = model.infer(torch.tensor(images), torch.tensor(labels))
    z = mean.repeat_interleave(CLASSES, 0)
    pictures = _pictures(model, z, torch.arange(CLASSES).repeat(len(images)))
    return pictures.reshape(len(images), CLASSES, *pictures.shape[1:])


@torch.no_grad()
def interpolate(
    model: DigitsVAE, a: np.ndarray, b: np.ndarray, steps: int = 9, *, spherical: bool = False
) -> np.ndarray:
    """Pictures between two `[28, 28]` uint8, through the decoder: `[steps, 28, 28]`.

    A model that is told labels is told none: the way between two labels leads through the latents.
    """
    (start, end), _ = model.infer(torch.tensor(np.stack((a, b))))
    return _pictures(model, between(start, end, steps, spherical=spherical), None)


@torch.no_grad()
def embed(model: DigitsVAE, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the posterior's mean puts each picture, and where PCA does: two `[N, K]`."""
    mean, _ = model.infer(torch.tensor(images))
    x = images.reshape(len(images), -1) / 255
    centre, axes, _ = principal_axes(x)
    return mean.numpy(), (x - centre) @ axes[:, : model.config.latents]
