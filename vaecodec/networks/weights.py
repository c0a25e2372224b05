"""Models on disk: one safetensors file each, found by name, checked against its own fingerprint.

A file holds the transforms in half precision but for their linear paths, the prior as integers with its tables, and the
prior's float weights in half precision, from which training goes on. Decoding uses the integers only.

The id that `.vae` files carry is a hash of what decoding depends on, so that a new encoder, posterior or map of
qualities leaves files readable; files coded with bits-back depend on the posterior too, and carry another:

    id            sizes of the decoder;  exact.…, tables.…, synthesis.…
    bits_back_id  id;                    exact.posterior.…
    fingerprint   all of the configuration, map of qualities, both ids;  all other tensors
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from vaecodec.errors import ModelError
from vaecodec.format import tensors as tensor_files
from vaecodec.format.catalog import ModelInfo, model_path, parse_metadata
from vaecodec.format.qualities import QualityScale
from vaecodec.format.tables import FRACTIONS, gaussian_tables
from vaecodec.networks import conversion, fixed_point
from vaecodec.networks.config import ModelConfig
from vaecodec.networks.model import ImageVAE
from vaecodec.networks.prior import Networks

if TYPE_CHECKING:
    from vaecodec.format.ans import Tables

Config = TypeVar("Config")

DECODER_SIZES = (
    "y_channels", "z_channels", "prior_width", "prior_blocks", "quality_knots", "synthesis_width", "synthesis_blocks"
)  # fmt: skip
"""What of a configuration decoding depends on."""
DECODER, POSTERIOR = ("exact.", "tables.", "synthesis."), "exact.posterior."
"""How the names of tensors begin on which decoding depends, and of those of them that only bits-back needs."""


def fingerprint(said: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of plain values, such as a model's configuration, and tensors."""
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _marks(config: dict[str, Any], quality: dict[str, Any] | None, tensors: dict[str, Tensor]) -> dict[str, str]:
    """The ids and the fingerprint of a model of format 2, as its file has them; each tensor goes into one."""
    decoder = {k: t for k, t in tensors.items() if k.startswith(DECODER) and not k.startswith(POSTERIOR)}
    posterior = {k: t for k, t in tensors.items() if k.startswith(POSTERIOR)}
    marks = {"id": fingerprint({name: config[name] for name in DECODER_SIZES}, decoder)}
    if posterior:
        marks["bits_back_id"] = fingerprint({"id": marks["id"]}, posterior)
    rest = {k: t for k, t in tensors.items() if not k.startswith(DECODER)}
    return marks | {"fingerprint": fingerprint(marks | {"config": config, "quality": quality}, rest)}


def save_model(model: ImageVAE, path: Path, qualities: QualityScale | None = None) -> str:
    """Converts prior and posterior, stores everything, and returns the fingerprint.

    Args:
        qualities: the model's map of them, if it has been measured.

    Raises:
        ModelError: they have no exact integer form.
    """
    model = model.cpu()
    tensors = {k: v.detach().to(_stored_type(k)).contiguous() for k, v in model.state_dict().items()}
    reloaded = ImageVAE(model.config)
    reloaded.load_state_dict({k: v.float() for k, v in tensors.items()})
    tensors |= {f"exact.{k}": v for k, v in conversion.convert(reloaded.prior).items()}
    if reloaded.posterior is not None:
        tensors |= {f"exact.posterior.{k}": v for k, v in conversion.convert(reloaded.posterior).items()}
    counts, radii = gaussian_tables()
    tensors |= {"tables.counts": torch.from_numpy(counts), "tables.radii": torch.from_numpy(radii)}
    return _write(path, model.config.to_dict(), qualities or QualityScale(), tensors)


def write_quality_map(source: Path, target: Path, qualities: QualityScale) -> str:
    """Writes a model with another map of qualities, and returns the fingerprint; its ids stay as they are.

    Raises:
        ModelError: it is unreadable, damaged, or of a format without such maps.
    """
    info, tensors = read_model(source)
    if info.format == "1":
        raise ModelError(f"{source}: a model file of format 1, which has no map of qualities")
    return _write(target, info.config, qualities, tensors)


def _write(path: Path, config: dict[str, Any], qualities: QualityScale, tensors: dict[str, Tensor]) -> str:
    """Writes a model file of format 2, and returns the fingerprint."""
    quality = qualities.to_dict()
    marks = _marks(config, quality, tensors)
    metadata = {"config": json.dumps(config), "format": "2"} | marks
    save_file(tensors, path, metadata | ({"quality": json.dumps(quality)} if quality else {}))
    return marks["fingerprint"]


def _stored_type(name: str) -> torch.dtype:
    """Of a float tensor: linear paths in half precision add 0.2 % to the objective at the highest qualities."""
    return torch.float32 if ".linear." in name else torch.float16


def write_model(path: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Writes a model file of format 1, in which all depends on everything, and returns the fingerprint."""
    mark = fingerprint(config, tensors)
    save_file(tensors, path, {"config": json.dumps(config), "fingerprint": mark, "format": "1"})
    return mark


def read_model(path: Path) -> tuple[ModelInfo, dict[str, Tensor]]:
    """What a model file of any kind says of itself, checked, and its tensors; it may change as soon as this returns.

    Raises:
        ModelError: unreadable, or not what its fingerprint says.
    """
    try:
        metadata, data = tensor_files.read(path)
        tensors = load(data)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(f"{path}: not a model of vaecodec ({error})") from error
    info = parse_metadata(path, metadata)
    try:
        if info.format == "1":
            marks = {"fingerprint": fingerprint(info.config, tensors)}
        else:
            marks = _marks(info.config, json.loads(metadata.get("quality", "null")), tensors)
    except KeyError as error:
        raise ModelError(f"{path}: not a model of vaecodec (its configuration has no {error})") from error
    if any(metadata.get(name) != marks.get(name) for name in ("id", "bits_back_id", "fingerprint")):
        raise ModelError(f"{path}: the weights do not match their fingerprint; the file is damaged")
    return info, tensors


@dataclass(frozen=True)
class Stored(Generic[Config]):
    """A model file of any kind, read and checked.

    Attributes:
        info: what the file says of itself.
        config, tensors: what it holds.
    """

    info: ModelInfo
    config: Config
    tensors: dict[str, Tensor]

    @property
    def name(self) -> str:
        """By which it was asked for."""
        return self.info.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of all that the file holds."""
        return self.info.fingerprint

    @property
    def model_id(self) -> bytes:
        """The four bytes that name the model."""
        return self.info.model_id

    @property
    def qualities(self) -> QualityScale:
        """What a user's quality means to it."""
        return self.info.qualities

    def _part(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def weights(self) -> dict[str, Tensor]:
        """The float weights, as the model's `load_state_dict` takes them."""
        return {k: v.float() for k, v in self.tensors.items() if not k.startswith(("exact.", "tables."))}


@dataclass(frozen=True)
class StoredModel(Stored[ModelConfig]):
    """A model of photographs, read and checked."""

    @cached_property
    def tables(self) -> Tables:
        """The probability tables."""
        from vaecodec.format.ans import Tables  # here, so that training needs no coder

        return Tables(self.tensors["tables.counts"].numpy(), self.tensors["tables.radii"].numpy(), FRACTIONS)

    def model(self) -> ImageVAE:
        """The float networks, in evaluation mode."""
        with torch.device("meta"):
            model = ImageVAE(self.config)
        model.load_state_dict(self.weights(), assign=True)
        return model.eval().requires_grad_(False)

    def exact_prior(self, device: str = "cpu", carrier: torch.dtype | None = None) -> fixed_point.ExactPrior:
        """The integer prior; arguments as for `ExactPrior`."""
        sizes = self.config
        with torch.device("meta"):
            networks = Networks(sizes.y_channels, sizes.z_channels, sizes.prior_width, sizes.prior_blocks)
        return fixed_point.ExactPrior(networks, self._part("exact."), device, carrier)

    def exact_posterior(
        self, prior: fixed_point.ExactPrior, carrier: torch.dtype | None = None
    ) -> fixed_point.ExactPosterior | None:
        """The integer posterior, or `None` if the model has none."""
        with torch.device("meta"):
            posterior = ImageVAE(self.config).posterior
        if posterior is None:
            return None
        return fixed_point.ExactPosterior(posterior.networks, self._part("exact.posterior."), prior, carrier)


def load_model(name: str | Path) -> StoredModel:
    """Reads a model by name (see `catalog`) or from a file.

    Raises:
        ModelError: unknown, unreadable, or not what its fingerprint says.
    """
    path = model_path(name)
    info, tensors = read_model(path)
    try:
        return StoredModel(info, ModelConfig(**info.config), tensors)
    except TypeError as error:
        raise ModelError(f"{path}: not a model of vaecodec ({error})") from error
