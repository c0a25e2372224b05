"""What a run starts from: a model file, or a trunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vaecodec.errors import ModelError
from vaecodec.networks.config import ModelConfig
from vaecodec.networks.model import ImageVAE
from vaecodec.training.growth import grow
from vaecodec.training.runtime import checkpoint


@dataclass(frozen=True)
class Start:
    """Weights to start from, and what a trunk knows besides.

    Attributes:
        config: of the weights.
        states: of the optimisers, by `PARAMETER/STATE`.
        step, crops: that the trunk has seen.
    """

    config: ModelConfig
    weights: dict[str, Tensor]
    states: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    crops: int = 0

    def fill(self, model: ImageVAE, crops: Callable[[], Tensor]) -> None:
        """Gives a model the weights, grown where its sizes are larger; a posterior that they lack is a new one.

        Args:
            crops: see `growth.grow`.

        Raises:
            ValueError: the model cannot come from them.
        """
        model.load_state_dict(grow(self.weights, self.config, model.config, crops))


def read_start(name: str) -> Start:
    """Reads a model, by name or file, or a trunk, by its folder.

    Raises:
        ModelError: there is none.
    """
    if Path(name).is_dir():
        found = checkpoint.read(Path(name), checkpoint.TRUNK)
        if found is None:
            raise ModelError(f"{name}: no whole trunk in this folder")
        tensors, meta = found
        config = ModelConfig(**meta["config"])
        weights, states = (checkpoint.part(tensors, prefix) for prefix in ("model/", "optimizer/"))
        return Start(config, weights, states, meta["step"], meta["crops_seen"])
    from vaecodec.networks.weights import load_model

    stored = load_model(name)
    return Start(stored.config, stored.weights())
