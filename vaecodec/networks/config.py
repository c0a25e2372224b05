"""Sizes of models, and what follows from them alone."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

from vaecodec.networks.prior import STEPS

Number = TypeVar("Number", float, Tensor)
LAMBDA_MIN, LAMBDA_MAX = 0.0008, 0.32
"""The first range of trade-offs; models may go beyond its upper end."""
PATCH = 16
"""Pixels a side for one position of y."""
HYPER = 4
"""Positions of y a side for one position of z."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a model; stored with its weights.

    Attributes:
        bits_back: there is a posterior q(z | y), so that hyperlatents can be coded with bits-back.
        distortion: what the model is trained for, see `distortion.DISTORTIONS`.
    """

    name: str
    y_channels: int
    z_channels: int
    analysis_width: int
    analysis_blocks: int
    synthesis_width: int
    synthesis_blocks: int
    prior_width: int
    prior_blocks: int
    quality_knots: int = 9
    bits_back: bool = False
    lambda_min: float = LAMBDA_MIN
    lambda_max: float = LAMBDA_MAX
    distortion: str = "mse"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def lmbda(self, quality: Tensor) -> Tensor:
        """The trade-off λ (bits per pixel for each unit of d on [0, 255]) of qualities in [0, 1]; log-spaced."""
        return self.lambda_min * (self.lambda_max / self.lambda_min) ** quality

    def nominal_quality(self, quality: Number) -> Number:
        """The quality from which a model of the first range of λ would have this λ; above 1 beyond that range.

        What was fitted over that range is a function of it, whatever the model's own range is.
        """
        return quality * (math.log(self.lambda_max / self.lambda_min) / math.log(LAMBDA_MAX / LAMBDA_MIN))

    def with_knots(self, knots: int) -> ModelConfig:
        """With so many knots in the quality tables, at the same distance of λ: another range upwards."""
        ratio = (self.lambda_max / self.lambda_min) ** ((knots - 1) / (self.quality_knots - 1))
        return replace(self, quality_knots=knots, lambda_max=self.lambda_min * ratio)

    def kmac_per_pixel(self) -> dict[str, float]:
        """Thousands of multiply-accumulates a pixel, for each part."""
        a, s, p = self.analysis_width, self.synthesis_width, self.prior_width
        m, z = self.y_channels, self.z_channels
        block = lambda width: 6 * width * width + 9 * width
        linear = 768 * m / 256
        contexts = (((p + step / STEPS * m) * p + self.prior_blocks * block(p)) / 256 for step in range(1, STEPS))
        parts = {
            "analysis": (192 * a + self.analysis_blocks * block(a)) / 64 + 4 * a * m / 256 + linear,
            "hyper_analysis": (4 * m * p + block(p)) / 1024 + (4 * p * p + block(p) + p * z) / 4096,
            "synthesis": (192 * s + self.synthesis_blocks * block(s)) / 64 + 4 * s * m / 256 + linear,
            "prior": 4 * z * p / 4096
            + (block(p) + 4 * p * p) / 1024
            + block(p) / 256
            + sum(contexts)
            + STEPS * m * p / 2 / 256,
        }
        parts["decoder"] = parts["synthesis"] + parts["prior"]
        return {name: value / 1000 for name, value in parts.items()}


CONFIGS = {
    config.name: config
    for config in (
        ModelConfig("light", 320, 64, 128, 3, 128, 4, 160, 1, bits_back=True),
        ModelConfig("full", 320, 96, 256, 6, 320, 9, 224, 2, bits_back=True),
        ModelConfig("tiny", 32, 8, 16, 1, 16, 1, 16, 1, quality_knots=3, bits_back=True),
    )
}
"""Named configurations. `tiny` is for tests."""
