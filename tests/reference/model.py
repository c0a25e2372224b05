"""The model file: safetensors, read by hand, its ids and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reference.container import require

SIZES = (
    "y_channels", "z_channels", "prior_width", "prior_blocks", "quality_knots", "synthesis_width", "synthesis_blocks"
)  # fmt: skip
"""What of the configuration a decoder needs."""
TYPES = {"F16": "float16", "F32": "float32", "I16": "int16", "I32": "int32", "U8": "uint8", "U16": "uint16"}


@dataclass(frozen=True)
class Model:
    """A model file.

    Attributes:
        ids: for each coding mode that the model has; a file carries the first four bytes.
        config: sizes.
        tensors: by name, in the types in which they are stored.
    """

    ids: tuple[bytes, ...]
    config: dict
    tensors: dict[str, np.ndarray]

    def part(self, prefix: str) -> dict[str, np.ndarray]:
        """The tensors whose names begin so, without the prefix."""
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}


def load(path: Path) -> Model:
    """Reads a model file and checks its ids and its fingerprint."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    text, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    metadata = text.pop("__metadata__")
    require(metadata["format"] in ("1", "2"), "format of the model file")
    config = json.loads(metadata["config"])
    tensors = {}
    for name, entry in text.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(body[begin:end], np.dtype(TYPES[entry["dtype"]]).newbyteorder("<"))
        tensors[name] = values.reshape(entry["shape"])

    def mark(said: object, names: list[str]) -> bytes:
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode("ascii"))
        for name in sorted(names):
            entry, (begin, end) = text[name], text[name]["data_offsets"]
            digest.update(f"{name} torch.{TYPES[entry['dtype']]} {entry['shape']}".encode())
            digest.update(body[begin:end])
        return digest.digest()

    if metadata["format"] == "1":
        fingerprint = mark(config, list(text))
        ids = (fingerprint, fingerprint)
    else:
        decoder = [name for name in text if name.startswith(("exact.", "tables.", "synthesis."))]
        posterior = [name for name in decoder if name.startswith("exact.posterior.")]
        said = {"id": mark({name: config[name] for name in SIZES}, sorted({*decoder} - {*posterior})).hex()}
        if posterior:
            said["bits_back_id"] = mark(dict(said), posterior).hex()
        for name in ("id", "bits_back_id"):
            require(metadata.get(name) == said.get(name), f"{name} of the model")
        ids = tuple(bytes.fromhex(mark) for mark in said.values())
        quality = json.loads(metadata.get("quality", "null"))
        rest = sorted({*text} - {*decoder})
        fingerprint = mark(said | {"config": config, "quality": quality}, rest)
    require(fingerprint.hex() == metadata["fingerprint"], "fingerprint of the model")
    return Model(ids, config, tensors)
