"""`DigitsVAE`: a vector of latents for a picture of 28 by 28, with or without its label.

    x ─┬─ dense ─ ReLU ─ dense ─ ReLU ─ dense ─ mean, log2 σ ── z ─┬─ dense ─ ReLU ─ dense ─ ReLU ─ dense ─ θ
    label ┘                                                  label ┘

The lecture's VAE: q(z | x) = N(μ(x), diag σ²(x)), p(z) = N(0, I), and p(x | z) with parameters θ = G(z) for each
pixel (see `observation`). Activations are clamped as those of the photo codec's prior, so that the same code turns the
networks into integers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vaecodec.digits import CLASSES, SIDE
from vaecodec.digits.observation import OBSERVATIONS
from vaecodec.networks.blocks import Pointwise
from vaecodec.networks.prior import Clip, RawHead
from vaecodec.objective.bound import Bound, clamp_inwards, gaussian_kl_bits

PIXELS = SIDE * SIDE
INPUT_UNIT = 1 / 64
"""What one grey level is to the encoder."""
LABEL_UNIT = 4.0
"""What a label is to the networks: more than 1, so that they learn to heed it as early as the pixels."""
MEAN_LIMIT = 8.0
LOG2_SCALE_MIN = -6.0
"""Log2 of the posterior's σ lies between this and 0: a posterior is never wider than the prior."""
LOG2_SCALE_START = -2.0
"""Where it lies in an untrained model."""


@dataclass(frozen=True)
class DigitsConfig:
    """Sizes of a model; stored with its weights.

    Attributes:
        name: of the model.
        latents: K.
        observation: `gaussian`, `bernoulli` or `tables`; see `observation`.
        labels: whether encoder and decoder are told the label.
        hidden: length of the two hidden layers on each side.
        variance: η of the Gaussian observation model, for samples in [0, 1].
    """

    name: str
    latents: int
    observation: str = "gaussian"
    labels: bool = False
    hidden: int = 200
    variance: float = 0.02

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


CONFIGS = {
    config.name: config
    for config in (
        DigitsConfig("map", 2, hidden=128, variance=0.05),
        DigitsConfig("conditional", 4, labels=True, variance=0.1),
        DigitsConfig("lossless", 40, "tables"),
    )
}
"""The models that are shipped."""


class Network(nn.Module):
    """Two hidden layers; the label, where there is one, enters both."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, labels: bool):
        super().__init__()
        self.first = Pointwise(inputs, hidden)
        self.labels = nn.ModuleList(Pointwise(CLASSES, hidden) for _ in range(2 * labels))
        self.first_relu = Clip(relu=True)
        self.second = Pointwise(hidden, hidden)
        self.second_relu = Clip(relu=True)
        self.output = RawHead(hidden, outputs)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """`[B, inputs]`, one-hot `[B, 10]` to `[B, outputs]`."""
        first, second = [layer(label) for layer in self.labels] or (0, 0)
        x = self.first_relu(self.first(x) + first)
        return self.output(self.second_relu(self.second(x) + second))


def one_hot(labels: Tensor) -> Tensor:
    """`[B]` labels to `[B, 10]` of 0 and `LABEL_UNIT`; a negative one, that is, an unknown one, to zeros."""
    return (labels[:, None] == torch.arange(CLASSES, device=labels.device)).float() * LABEL_UNIT


def kl_bits(mean: Tensor, log2_scale: Tensor) -> Tensor:
    """KL(q(z | x) ‖ N(0, I)) of posteriors `[B, K]`, in bits; `[B]`."""
    zero = torch.zeros_like(mean)
    return gaussian_kl_bits(mean, log2_scale, zero, zero).sum(1)


class DigitsVAE(nn.Module):
    """The whole model.

    Attributes:
        encoder: the inference network q(z | x).
        decoder: the generator G.
        observation: p(x | z), given G's output.
    """

    def __init__(self, config: DigitsConfig):
        super().__init__()
        self.config = config
        self.observation = OBSERVATIONS[config.observation](config.variance)
        outputs = self.observation.outputs * PIXELS
        self.encoder = Network(PIXELS, config.hidden, 2 * config.latents, labels=config.labels)
        self.decoder = Network(config.latents, config.hidden, outputs, labels=config.labels)

    def infer(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The amortised posterior: means and log2 scales, each `[B, K]`.

        Args:
            images: `[B, 28, 28]` grey levels from 0 to 255, of any type.
            labels: `[B]`, negative where unknown; `None` for all unknown. A model without labels ignores them.
        """
        output = self.encoder(images.flatten(1).float() * INPUT_UNIT, self._condition(labels, len(images)))
        mean, log2_scale = output.chunk(2, 1)
        return (
            clamp_inwards(mean, -MEAN_LIMIT, MEAN_LIMIT),
            clamp_inwards(log2_scale + LOG2_SCALE_START, LOG2_SCALE_MIN, 0.0),
        )

    def generate(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """θ `[B, outputs, 28, 28]` from `[B, K]`, in one pass."""
        return self.decoder(z, self._condition(labels, len(z))).view(len(z), -1, SIDE, SIDE)

    def picture(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x | z), `[B, 28, 28]`; black is 0 and white 1."""
        return self.observation.mean(self.generate(z, labels))

    def _condition(self, labels: Tensor | None, count: int) -> Tensor | None:
        if not self.config.labels:
            return None
        return one_hot(torch.full((count,), -1) if labels is None else labels)

    def bound(self, images: Tensor, z: Tensor, kl_bits: Tensor, labels: Tensor | None = None) -> Bound:
        """The bound's terms at latents `[B, K]` that cost `[B]` bits: `total_bpp` is −F in bits per pixel."""
        theta = self.generate(z, labels)
        mse = (self.observation.mean(theta) - images / 255).square().mean((1, 2))
        return Bound(mse, {"z": kl_bits / PIXELS, "x": self.observation.bits(images, theta) / PIXELS})

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Bound:
        """The bound by one reparameterised sample of the posterior; the KL term in closed form."""
        mean, log2_scale = self.infer(images, labels)
        z = mean + torch.exp2(log2_scale) * torch.randn_like(mean)
        return self.bound(images, z, kl_bits(mean, log2_scale), labels)
