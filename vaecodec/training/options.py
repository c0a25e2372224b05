"""What a training run can be told, and the rate that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

from vaecodec.networks.config import CONFIGS, ModelConfig

FINAL_SHARE = 0.1
"""Share of the run, at its end, that is spent on larger crops."""
WARM_UP_STEPS = 200


@dataclass(frozen=True)
class TrainOptions:
    """Everything that a run can be told.

    Attributes:
        config: name of a model configuration.
        sizes: of its sizes, those that are to be others; more `quality_knots` extend λ upwards by whole knots.
        distortion: what is trained for, see `distortion.DISTORTIONS`; the configuration's if empty.
        hours: length of the run, with all that belongs to it; the schedule is a function of the share that is done.
        batch: crops a step and process.
        clean_from: qualities from here on, 0 to 1, are trained on reduced pictures, which are cleaner than their files.
        crop, final_crop: pixels a side; `final_crop` for the last tenth, with the batch reduced to as many pixels.
        optimizer: see `build_optimizers`.
        rate: multiplies all learning rates.
        prior_share: share of the run, at its start, in which only the prior learns, on the untrained transform.
        decay_share: share of the run, at its end, over which the rates fall to nothing.
        ema: decay of the averaged weights a step.
        clip: largest norm of the gradient.
        graph: record a step as a CUDA graph, where there is one process on one GPU.
        compile: use torch.compile for the forward and backward pass.
        frozen_encoder: train synthesis, prior and posterior only, on the symbols that the codec sends (rounded, chosen
            for rate and distortion), with both codings of z; the last stretch of a model's training.
        sampled_share: s, 0 to 1, of sampled z in that stretch: its loss is (1 - s) times the objective with rounded z
            plus s times that with sampled z, so that 0 and 1 train a model for one coding alone. The posterior does not
            mind a small one, as the optimisers' steps do not depend on a gradient's size; 0 leaves it as it is.
        posterior_only: of these, train the posterior only; before that stretch, for a model that has had none.
    """

    config: str = "light"
    sizes: tuple[tuple[str, int], ...] = ()
    distortion: str = ""
    hours: float = 1.0
    batch: int = 8
    clean_from: float = 1.0
    crop: int = 256
    final_crop: int = 384
    optimizer: str = "muon"
    rate: float = 1.0
    prior_share: float = 0.04
    decay_share: float = 0.35
    ema: float = 0.998
    clip: float = 1.0
    seed: int = 0
    graph: bool = True
    compile: bool = False
    frozen_encoder: bool = False
    sampled_share: float = 1 / 6
    posterior_only: bool = False

    @property
    def frozen(self) -> bool:
        """Whether the latents stay as they are."""
        return self.frozen_encoder or self.posterior_only

    def model_config(self) -> ModelConfig:
        """The configuration of the model that is trained."""
        config: ModelConfig = CONFIGS[self.config]
        sizes: dict[str, Any] = dict(self.sizes)
        if "quality_knots" in sizes:
            config = config.with_knots(sizes.pop("quality_knots"))
        return replace(config, **sizes, distortion=self.distortion or config.distortion)


class Decaying(Protocol):
    """What a run is told of the end of its rates."""

    @property
    def decay_share(self) -> float:
        """Share of the run, at its end, over which the rates fall to nothing."""


def rate_fraction(progress: float, step: int, options: Decaying) -> float:
    """Learning rate as a share of its peak: a warm-up of 200 steps, constant, then a cosine to nothing."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    tail = (progress - (1 - options.decay_share)) / options.decay_share
    return warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, tail)) if tail > 0 else 1.0)
