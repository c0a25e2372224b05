"""Which models there are. Imports no torch: `info` and `models` name models without loading one."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path

from vaecodec.errors import ModelError
from vaecodec.format import tensors
from vaecodec.format.container import BITS_BACK, Header
from vaecodec.format.qualities import QualityScale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TUNES = {"looks": "light", "psnr": "light-psnr"}
"""What one can tune for, and the model that was trained for it."""
DEFAULT_TUNE = "looks"
DEFAULT_MODEL = TUNES[DEFAULT_TUNE]
FORMATS = ("1", "2")
"""Of model files, see docs/format.md."""
_PACKAGE = Path(__file__).parents[1]
FOLDERS = (_PACKAGE / "pretrained", _PACKAGE.parent / "pretrained")
"""Where models lie: within an installed package, or beside the package in a checkout."""


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself.

    Attributes:
        name: its file's name without the suffix.
        path: where it is.
        format: of the file, one of `FORMATS`.
        fingerprint: SHA-256 in hexadecimal of all that the file holds, as stored; not checked.
        ids: the same of what decoding depends on, for each of `container.CODINGS` that the model has.
        config: sizes, see `model.ModelConfig`.
        qualities: what a user's quality means to it.
    """

    name: str
    path: Path
    format: str
    fingerprint: str
    ids: tuple[str, ...]
    config: dict[str, Any]
    qualities: QualityScale

    @property
    def model_id(self) -> bytes:
        """The four bytes that name the model, and that `.vae` files with rounded hyperlatents carry."""
        return self.file_id(0)

    def file_id(self, coding: int) -> bytes:
        """The four bytes that `.vae` files of a coding carry."""
        return bytes.fromhex(self.ids[coding][:8])

    def made(self, header: Header) -> bool:
        """Whether this model decodes the file with that header."""
        return header.coding < len(self.ids) and header.model_id == self.file_id(header.coding)

    @property
    def tune(self) -> str | None:
        """What asks for it; `None` if only its name does."""
        return next((tune for tune, name in TUNES.items() if name == self.name), None)


def model_for(model: str | Path | None = None, tune: str | None = None, *, psnr: float | None = None) -> str | Path:
    """The model that is meant by what was asked for.

    Args:
        model: a name or a path.
        tune: one of `TUNES`, instead of a model.
        psnr: a target in decibels, which means the model for that if neither is given.

    Raises:
        ValueError: both are given, or the tune is unknown.
    """
    if tune is None:
        return TUNES[DEFAULT_TUNE if psnr is None else "psnr"] if model is None else model
    if model is not None:
        raise ValueError("give a model or what to tune for, not both")
    if tune not in TUNES:
        raise ValueError(f"tune {tune!r} is not one of {', '.join(TUNES)}")
    return TUNES[tune]


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
    return _read_model_info(Path(path), file_version(path))


def file_version(path: Path) -> tuple[int, ...]:
    """What is another as soon as another file lies there, or the same has been written to.

    Raises:
        ModelError: there is none.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise ModelError(f"{path}: not a model of vaecodec ({error})") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


@functools.lru_cache(maxsize=64)
def _read_model_info(path: Path, _version: tuple[int, ...]) -> ModelInfo:
    """What stands in a version of a file; many pictures are opened for one that changes."""
    try:
        with open(path, "rb") as file:
            metadata = tensors.read_metadata(file)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a model of vaecodec ({error})") from error
    return parse_metadata(path, metadata)


def parse_metadata(path: Path, metadata: dict[str, str]) -> ModelInfo:
    """What a model file's metadata say; nothing is held against its weights.

    Raises:
        ModelError: they are not those of a model of this package.
    """
    try:
        form, fingerprint, config = metadata["format"], metadata["fingerprint"], json.loads(metadata["config"])
        if form not in FORMATS:
            raise ModelError(f"{path}: a model file of format {form[:20]!r}; this version reads {', '.join(FORMATS)}")
        ids: tuple[str, ...] = (fingerprint, fingerprint)
        qualities = QualityScale()
        if form != "1":
            ids = (metadata["id"], *([metadata["bits_back_id"]] if "bits_back_id" in metadata else []))
            qualities = QualityScale.from_dict(json.loads(metadata.get("quality", "null")))
        if {len(bytes.fromhex(mark)) for mark in (fingerprint, *ids)} != {32} or not isinstance(config, dict):
            raise ValueError("a fingerprint, an id or a configuration that is none")
        return ModelInfo(path.stem, path, form, fingerprint, ids, config, qualities)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: not a model of vaecodec ({error})") from error


def _survey() -> tuple[list[ModelInfo], list[ModelError]]:
    """The models that are installed, and what is wrong with files that should be models."""
    found: dict[str, ModelInfo] = {}
    errors = []
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.safetensors"), key=lambda path: path.stem):
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


def find_model(header: Header) -> ModelInfo:
    """The installed model that made the file with that header.

    Raises:
        ModelError: none did.
    """
    models, errors = _survey()
    for info in models:
        if info.made(header):
            return info
    known = ", ".join(f"{m.name} ({m.model_id.hex()})" for m in models) or "none"
    damaged = "".join(f"; damaged: {error}" for error in errors)
    bits_back = " (with bits-back, which takes the very posterior that it was made with)"
    raise ModelError(
        f"the file was made by model {header.model_id.hex()}{bits_back if header.coding == BITS_BACK else ''}, "
        f"which is not installed; there are: {known}{damaged}"
    )
