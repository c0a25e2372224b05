"""What the claims share: data, and models that are trained once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from shared.results import say
from vaecodec.digits import train
from vaecodec.digits.data import Digits
from vaecodec.digits.model import DigitsConfig, DigitsVAE

TEST = 2000
"""Test pictures in claims that compare many models."""
VARIANCES = (0.02, 0.005)
"""η of the VAEs whose codes are compared with autoencoders': with the smaller one a VAE comes as near as those do."""
LN2 = math.log(2)


@dataclass
class Bench:
    """What the claims share: data, and models that are trained once.

    Attributes:
        epochs: of each model that is trained here.
        latents: numbers of them, in claims that compare several.
        hidden: length of their hidden layers.
    """

    train: Digits
    test: Digits
    runs: Path
    epochs: float
    latents: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    hidden: int = 128
    _models: dict[str, DigitsVAE] = field(default_factory=dict)

    def model(self, kind: str, latents: int, variance: float = 0.02) -> DigitsVAE:
        """A `vae`, or the same networks as a plain `autoencoder`: squared error only, and no noise."""
        name = f"{kind}-{latents}-{variance:g}-{self.epochs:g}"
        if name not in self._models:
            say(f"training {name}")
            torch.manual_seed(0)
            model = DigitsVAE(DigitsConfig(name, latents, hidden=self.hidden, variance=variance))
            loss = autoencoder_loss if kind == "autoencoder" else train.negative_bound
            options = train.FitOptions(epochs=self.epochs)
            with torch.enable_grad():
                self._models[name] = train.fit(model, self.train, options, loss, folder=self.runs / name)
        return self._models[name]

    def images(self, count: int = TEST) -> torch.Tensor:
        """The first test pictures, `[count, 28, 28]` uint8."""
        return torch.from_numpy(self.test.images[:count].copy())

    def labels(self, part: Digits) -> torch.Tensor:
        return torch.from_numpy(part.labels.copy()).long()


def autoencoder_loss(model: DigitsVAE, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Squared error at the encoder's mean."""
    return (model.picture(model.infer(images)[0]) - images / 255).square().mean()


@torch.no_grad()
def means(model: DigitsVAE, images: np.ndarray, labels: torch.Tensor | None = None) -> torch.Tensor:
    """`[N, K]` means of the posteriors."""
    x = torch.from_numpy(images.copy())
    labels = [None] * len(x.split(5000)) if labels is None else labels.split(5000)
    return torch.cat([model.infer(*pair)[0] for pair in zip(x.split(5000), labels, strict=True)])
