"""The model file: safetensors, read by hand, and the fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reference.container import require

TYPES = {"F16": "float16", "F32": "float32", "I16": "int16", "I32": "int32", "U8": "uint8", "U16": "uint16"}


@dataclass(frozen=True)
class Model:
    """A model file.

    Attributes:
        fingerprint: its first four bytes are the model id.
        config: sizes.
        tensors: by name, in the types in which they are stored.
    """

    fingerprint: bytes
    config: dict
    tensors: dict[str, np.ndarray]

    def part(self, prefix: str) -> dict[str, np.ndarray]:
        """The tensors whose names begin so, without the prefix."""
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}


def load(path: Path) -> Model:
    """Reads a model file and checks its fingerprint."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    text, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    metadata = text.pop("__metadata__")
    require(metadata["format"] == "1", "format of the model file")
    config = json.loads(metadata["config"])
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode("ascii"))
    tensors = {}
    for name in sorted(text):
        dtype, shape, (begin, end) = TYPES[text[name]["dtype"]], text[name]["shape"], text[name]["data_offsets"]
        digest.update(f"{name} torch.{dtype} {shape}".encode())
        digest.update(body[begin:end])
        tensors[name] = np.frombuffer(body[begin:end], np.dtype(dtype).newbyteorder("<")).reshape(shape)
    require(digest.hexdigest() == metadata["fingerprint"], "fingerprint of the model")
    return Model(digest.digest(), config, tensors)
