"""Small models on disk, in the file format of the photo codec's models.

A model that codes holds its networks as integers of eight bits, and its float weights are those integers: with
them a `tables` model codes losslessly; of another the codec needs no exactness, and the file is half as long. Models
that do not code hold their weights in half precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaecodec.digits import fixed_point
from vaecodec.digits.model import DigitsConfig, DigitsVAE
from vaecodec.errors import ModelError
from vaecodec.format.ans import Tables
from vaecodec.format.catalog import FOLDERS, model_path
from vaecodec.format.tables import FRACTIONS, gaussian_tables
from vaecodec.networks.conversion import float_layers
from vaecodec.networks.fixed_point import RAW_BITS
from vaecodec.networks.weights import Stored, read_model, write_model

KIND = "digits"


def save(model: DigitsVAE, path: Path, steps: Tensor | None = None) -> str:
    """Stores a model and returns its fingerprint.

    Args:
        steps: log2 of the widths at which the latents are quantised, `[K]`; for models that code single pictures.

    Raises:
        ModelError: it should code losslessly and has no exact integer form.
    """
    if model.config.observation == "tables" or steps is not None:
        tensors = {f"exact.{k}": v for k, v in fixed_point.convert(model).items()}
    else:
        tensors = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    if steps is not None:
        counts, radii = gaussian_tables([FRACTIONS // 2])  # a mean of 0 is all that occurs
        tensors |= {"tables.counts": torch.from_numpy(counts), "tables.radii": torch.from_numpy(radii)}
        tensors["exact.steps"] = torch.round(steps.double() * 2**RAW_BITS).int()
    return write_model(path, model.config.to_dict() | {"kind": KIND}, tensors)


@dataclass(frozen=True)
class StoredDigits(Stored[DigitsConfig]):
    """A small model, read and checked."""

    def weights(self) -> dict[str, Tensor]:
        """The float weights, as `DigitsVAE.load_state_dict` takes them."""
        weights = super().weights()
        for part in ("encoder", "decoder"):
            integers = self._part(f"exact.{part}.")
            if integers:
                raw = ("output",)
                weights |= {f"{part}.{k}": v for k, v in float_layers(integers, raw).items()}
        if self.config.observation == "tables":
            weights["observation.logits"] = fixed_point.logits(self.tensors["exact.pixels.counts"])
        return weights

    @cached_property
    def tables(self) -> Tables:
        """The probability tables of N(0, 1), one a scale level.

        Raises:
            ModelError: the file holds others, as those of early versions do.
        """
        try:
            return Tables(self.tensors["tables.counts"].numpy(), self.tensors["tables.radii"].numpy(), 1)
        except ValueError as error:
            raise ModelError(f"the model {self.name} has other tables than this version takes ({error})") from error

    def model(self) -> DigitsVAE:
        """The float networks, in evaluation mode."""
        model = DigitsVAE(self.config)
        model.load_state_dict(self.weights())
        return model.eval().requires_grad_(False)

    @cached_property
    def exact_vae(self) -> fixed_point.ExactVAE:
        """The networks in integers, with all tables.

        Raises:
            ModelError: the model does not code losslessly.
        """
        if self.config.observation != "tables":
            raise ModelError(f"the model {self.name} has no tables for lossless coding")
        return fixed_point.ExactVAE(DigitsVAE(self.config), self._part("exact."))

    @property
    def steps(self) -> np.ndarray:
        """Log2 of the widths at which the latents are quantised, int64 `[K]` on a grid of 1/1024.

        Raises:
            ModelError: the model does not code single pictures.
        """
        if "exact.steps" not in self.tensors:
            raise ModelError(f"the model {self.name} has no widths for its latents; it does not code single pictures")
        return self.tensors["exact.steps"].numpy().astype(np.int64)


def load(name: str | Path) -> StoredDigits:
    """Reads a small model: `map`, `lossless` or `digits` (the conditional one), or a file.

    Raises:
        ModelError: unknown, unreadable, or not what its fingerprint says.
    """
    inner = [folder / KIND / f"{name}.safetensors" for folder in FOLDERS]
    path = next((path for path in inner if path.is_file()), None) or model_path(name)
    info, tensors = read_model(path)
    config = dict(info.config)
    try:
        if config.pop("kind") != KIND:
            raise KeyError("kind")
        return StoredDigits(info, DigitsConfig(**config), tensors)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a model of small pictures") from error
