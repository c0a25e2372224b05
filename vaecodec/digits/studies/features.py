"""Labels: classifiers of pictures and of latents, and the semi-supervised model M2 (Kingma et al. 2014)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.digits import CLASSES
from vaecodec.digits.data import Digits
from vaecodec.digits.model import INPUT_UNIT, PIXELS, DigitsVAE, Network

LN2 = math.log(2)


def linear_classifier(features: Tensor, labels: Tensor, *, decay: float = 1e-3, iterations: int = 100) -> nn.Linear:
    """Multinomial logistic regression of `[N, D]` features, by L-BFGS; `decay` keeps the weights small."""
    model = nn.Linear(features.shape[1], CLASSES)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=iterations, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(model(features), labels) + decay * model.weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(loss)
    return model.requires_grad_(False)


def standardise(train: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Zero mean and unit variance in each dimension, by the first; dimensions that never vary become 0."""
    mean, deviation = train.mean(0), train.std(0)
    return tuple((x - mean) / deviation.clamp_min(1e-3) for x in (train, *others))


@torch.no_grad()
def accuracy(model: nn.Module, features: Tensor, labels: Tensor) -> float:
    """Share that is recognised."""
    return float((model(features).argmax(1) == labels).double().mean())


def classifier() -> nn.Module:
    """A network from grey levels `[B, 784]` times `INPUT_UNIT` to logits, as large as an encoder."""
    return Network(PIXELS, 200, CLASSES, labels=False)


def inputs(images: np.ndarray | Tensor) -> Tensor:
    """`[N, 28, 28]` grey levels as `classifier` takes them."""
    images = torch.tensor(images) if isinstance(images, np.ndarray) else images
    return images.flatten(1).float() * INPUT_UNIT


def _batches(count: int, batch: int, epochs: float, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    left = round(epochs * (count // batch))
    while left > 0:
        yield from torch.randperm(count, generator=generator)[: count // batch * batch].view(-1, batch)[:left]
        left -= count // batch


def train_classifier(data: Digits, epochs: float = 3, seed: int = 0) -> nn.Module:
    """A `classifier` trained on real pictures, to judge generated ones."""
    torch.manual_seed(seed)
    model, labels = classifier(), torch.from_numpy(data.labels.copy()).long()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    images = torch.from_numpy(data.images.copy())
    steps = list(_batches(len(labels), min(100, len(labels)), epochs, seed))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(steps))
    for chosen in steps:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs(images[chosen])), labels[chosen]).backward()
        optimizer.step()
        schedule.step()
    return model.requires_grad_(False)


class M2(nn.Module):
    """p(y) p(z) p(x | y, z) with q(y | x) q(z | x, y): what is not labelled is summed over all labels.

    Args:
        vae: told labels.
        weight: of the classifier's loss on labelled pictures, α of the paper a picture.
    """

    def __init__(self, vae: DigitsVAE, weight: float):
        super().__init__()
        self.vae, self.weight, self.classifier = vae, weight, classifier()

    def labelled(self, images: Tensor, labels: Tensor) -> Tensor:
        """−F(x, y) and the classifier's loss, in nats, `[B]`."""
        negative = self.vae(images, labels).total_bpp * PIXELS * LN2 + math.log(CLASSES)
        return negative + self.weight * F.cross_entropy(self.classifier(inputs(images)), labels, reduction="none")

    def unlabelled(self, images: Tensor) -> Tensor:
        """−F(x) = Σ q(y | x) (−F(x, y)) − H(q(y | x)), in nats, `[B]`."""
        log_q = F.log_softmax(self.classifier(inputs(images)), 1)
        labels = torch.arange(CLASSES).repeat_interleave(len(images))
        each = self.vae(images.repeat(CLASSES, 1, 1), labels).total_bpp * PIXELS * LN2 + math.log(CLASSES)
        return (log_q.exp() * (each.view(CLASSES, -1).T + log_q)).sum(1)


def few_labels(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Positions of so many labelled pictures, as many of each class; `[count]`."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.concatenate([order[labels[order] == label][: count // CLASSES] for label in range(CLASSES)])


def train_m2(model: M2, data: Digits, labelled: np.ndarray, epochs: float, batch: int = 100, seed: int = 0) -> None:
    """Trains on all pictures, of which only some have labels, in place; each step sees some of both."""
    torch.manual_seed(seed)
    images, labels = torch.from_numpy(data.images.copy()), torch.from_numpy(data.labels.copy()).long()
    known = torch.from_numpy(labelled)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    steps = list(_batches(len(images), batch, epochs, seed))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(steps))
    for chosen in steps:
        told = known[torch.randint(len(known), (batch // 2,))]
        loss = model.labelled(images[told], labels[told]).mean() + model.unlabelled(images[chosen]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
        schedule.step()
