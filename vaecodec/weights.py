"""Models on disk: one safetensors file each, found by name, checked against its own fingerprint.

A file holds the transforms in half precision but for their linear paths, the prior as integers with its tables, and the
prior's float weights in half precision, from which training goes on. Decoding uses the integers only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vaecodec import exact
from vaecodec.catalog import model_path
from vaecodec.errors import ModelError
from vaecodec.model import ImageVAE, ModelConfig
from vaecodec.prior import Networks
from vaecodec.tables import FRACTIONS, gaussian_tables

if TYPE_CHECKING:
    from vaecodec.ans import Tables


FORMAT = "1"
"""Of model files; see docs/format.md."""


def fingerprint(config: dict, tensors: dict[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of a model's configuration and tensors."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def save_model(model: ImageVAE, path: Path) -> str:
    """Converts prior and posterior, stores everything, and returns the fingerprint.

    Raises:
        ModelError: they have no exact integer form.
    """
    model = model.cpu()
    tensors = {k: v.detach().to(_stored_type(k)).contiguous() for k, v in model.state_dict().items()}
    reloaded = ImageVAE(model.config)
    reloaded.load_state_dict({k: v.float() for k, v in tensors.items()})
    tensors |= {f"exact.{k}": v for k, v in exact.convert(reloaded.prior).items()}
    if reloaded.posterior is not None:
        tensors |= {f"exact.posterior.{k}": v for k, v in exact.convert(reloaded.posterior).items()}
    counts, radii = gaussian_tables()
    tensors |= {"tables.counts": torch.from_numpy(counts), "tables.radii": torch.from_numpy(radii)}
    return write_model(path, model.config.to_dict(), tensors)


def _stored_type(name: str) -> torch.dtype:
    """Of a float tensor: linear paths in half precision add 0.2 % to the objective at the highest qualities."""
    return torch.float32 if ".linear." in name else torch.float16


def write_model(path: Path, config: dict, tensors: dict[str, Tensor]) -> str:
    """Writes a model file of any kind, and returns the fingerprint."""
    mark = fingerprint(config, tensors)
    save_file(tensors, path, {"config": json.dumps(config), "fingerprint": mark, "format": FORMAT})
    return mark


def read_model(path: Path) -> tuple[dict, dict[str, Tensor], str]:
    """The configuration, the tensors and the fingerprint of a model file of any kind.

    Raises:
        ModelError: unreadable, or not what its fingerprint says.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping
        config, expected, form = json.loads(metadata["config"]), metadata["fingerprint"], metadata["format"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not a model of vaecodec ({error})") from error
    if form != FORMAT:
        raise ModelError(f"{path}: a model file of format {form[:20]!r}; this version reads {FORMAT!r}")
    if fingerprint(config, tensors) != expected:
        raise ModelError(f"{path}: the weights do not match their fingerprint; the file is damaged")
    return config, tensors, expected


@dataclass(frozen=True)
class StoredModel:
    """A model file, read and checked.

    Attributes:
        name: by which it was asked for.
        fingerprint: SHA-256 in hexadecimal; its first four bytes name the model in `.vae` files.
        config, tensors: what the file holds.
    """

    name: str
    fingerprint: str
    config: ModelConfig
    tensors: dict[str, Tensor]

    @property
    def model_id(self) -> bytes:
        """The four bytes that `.vae` files carry."""
        return bytes.fromhex(self.fingerprint[:8])

    def _part(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def weights(self) -> dict[str, Tensor]:
        """The float weights, as `ImageVAE.load_state_dict` takes them."""
        return {k: v.float() for k, v in self.tensors.items() if not k.startswith(("exact.", "tables."))}

    @cached_property
    def tables(self) -> Tables:
        """The probability tables."""
        from vaecodec.ans import Tables  # here, so that training needs no coder

        return Tables(self.tensors["tables.counts"].numpy(), self.tensors["tables.radii"].numpy(), FRACTIONS)

    def model(self) -> ImageVAE:
        """The float networks, in evaluation mode."""
        with torch.device("meta"):
            model = ImageVAE(self.config)
        model.load_state_dict(self.weights(), assign=True)
        return model.eval().requires_grad_(False)

    def exact_prior(self, device: str = "cpu", carrier: torch.dtype | None = None) -> exact.ExactPrior:
        """The integer prior; arguments as for `ExactPrior`."""
        sizes = self.config
        with torch.device("meta"):
            networks = Networks(sizes.y_channels, sizes.z_channels, sizes.prior_width, sizes.prior_blocks)
        return exact.ExactPrior(networks, self._part("exact."), device, carrier)

    def exact_posterior(
        self, prior: exact.ExactPrior, carrier: torch.dtype | None = None
    ) -> exact.ExactPosterior | None:
        """The integer posterior, or `None` if the model has none."""
        with torch.device("meta"):
            posterior = ImageVAE(self.config).posterior
        if posterior is None:
            return None
        return exact.ExactPosterior(posterior.networks, self._part("exact.posterior."), prior, carrier)


def load_model(name: str | Path) -> StoredModel:
    """Reads a model by name (see `catalog`) or from a file.

    Raises:
        ModelError: unknown, unreadable, or not what its fingerprint says.
    """
    path = model_path(name)
    config, tensors, mark = read_model(path)
    try:
        return StoredModel(path.stem, mark, ModelConfig(**config), tensors)
    except TypeError as error:
        raise ModelError(f"{path}: not a model of vaecodec ({error})") from error
