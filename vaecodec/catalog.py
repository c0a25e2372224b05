"""Which models there are. Imports no torch: `info` and `models` name models without loading one."""

from __future__ import annotations

import importlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from vaecodec.errors import ModelError

DEFAULT_MODEL = "light"
_PACKAGE = Path(__file__).parent
FOLDERS = (_PACKAGE / "pretrained", _PACKAGE.parent / "pretrained")
"""Where models lie: within an installed package, or beside the package in a checkout."""
_MAX_HEADER_BYTES = 2**24
ROOMS = {"digits": "vaecodec.digits"}
"""Kinds of models other than the photo codec's, by what their configuration says, each with the package that has a
`Codec` for it and `commands` of its own."""


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself.

    Attributes:
        name: its file's name without the suffix.
        path: where it is.
        fingerprint: SHA-256 in hexadecimal, as stored; not checked.
        config: sizes, see `model.ModelConfig`.
    """

    name: str
    path: Path
    fingerprint: str
    config: dict

    @property
    def model_id(self) -> bytes:
        """The four bytes that `.vae` files carry."""
        return bytes.fromhex(self.fingerprint[:8])


def model_path(name: str | Path) -> Path:
    """The file of a model: a path that exists, or a name from `list_models`.

    Raises:
        ModelError: there is none.
    """
    if Path(name).suffix == ".safetensors":
        if Path(name).is_file():
            return Path(name)
        raise ModelError(f"{name}: no such model file")
    for folder in FOLDERS:
        if (path := folder / f"{name}.safetensors").is_file():
            return path
    known = ", ".join(sorted(info.name for info in list_models())) or "none"
    raise ModelError(f"unknown model {str(name)!r}; there are: {known}")


def read_model_info(path: Path) -> ModelInfo:
    """Reads a model file's metadata and none of its weights.

    Raises:
        ModelError: it is not a model of this package.
    """
    try:
        with open(path, "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > _MAX_HEADER_BYTES:
                raise ValueError("header too long")
            header = json.loads(file.read(size))
            metadata = header.pop("__metadata__")
            end = 8 + size + max(entry["data_offsets"][1] for entry in header.values())
            if (length := os.fstat(file.fileno()).st_size) != end:
                raise ValueError(f"{length} bytes long instead of {end}")
        info = ModelInfo(path.stem, path, metadata["fingerprint"], json.loads(metadata["config"]))
        info.model_id  # noqa: B018  a fingerprint that is no hexadecimal number raises here
        return info
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ModelError(f"{path}: not a model of vaecodec ({error})") from error


def codec_class(name: str | Path) -> type:
    """What codes with a model: `codec.Codec`, or its like from one of the `ROOMS`.

    Raises:
        ModelError: the model is unknown, or of an unknown kind.
    """
    path = model_path(name)
    kind = read_model_info(path).config.get("kind")
    if kind is not None and kind not in ROOMS:
        raise ModelError(f"{path}: a model of the unknown kind {kind!r}")
    return importlib.import_module(ROOMS[kind] if kind else "vaecodec.codec").Codec


def _survey() -> tuple[list[ModelInfo], list[ModelError]]:
    """The models that are installed, and what is wrong with files that should be models."""
    found: dict[str, ModelInfo] = {}
    errors = []
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.safetensors")):
            try:
                found.setdefault(path.stem, read_model_info(path))
            except ModelError as error:
                errors.append(error)
    return list(found.values()), errors


def list_models() -> list[ModelInfo]:
    """The models that are installed; a file that is damaged is not among them."""
    return _survey()[0]


def damaged_models() -> list[ModelError]:
    """What is wrong with files that lie where models do, as far as reading no weights can tell."""
    return _survey()[1]


def find_model(model_id: bytes) -> ModelInfo:
    """The installed model that made files with this id.

    Raises:
        ModelError: none did.
    """
    models, errors = _survey()
    for info in models:
        if info.model_id == model_id:
            return info
    known = ", ".join(f"{m.name} ({m.model_id.hex()})" for m in models) or "none"
    damaged = "".join(f"; damaged: {error}" for error in errors)
    raise ModelError(
        f"the file was made by model {model_id.hex()}, which is not installed; there are: {known}{damaged}"
    )
