"""Checkpoints and trunks: small files without pickle, written whole or not at all.

A state of number n in a folder is `NAME-n.json`, written last, and the pieces that it names, `NAME-n-0.safetensors` and
so on, each of at most `PIECE_BYTES` so that it can travel where large files cannot. The newest state whose pieces all
are there, and are what the manifest says, counts; older ones are deleted when there are two newer.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

PIECE_BYTES = 15_000_000
HEADER_BYTES = 200_000
"""Room in a piece for its table of contents."""
CHECKPOINT, TRUNK = "checkpoint", "trunk"
"""Names of states: everything of a run; or weights and optimisers only, in half precision where that is enough."""
KEPT = 2


def write(
    folder: Path,
    name: str,
    number: int,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    meta: dict[str, Any],
    ema: nn.Module | None = None,
) -> None:
    """Writes a state.

    Args:
        name: `CHECKPOINT` or `TRUNK`.
        number: of the state, such as the step.
        meta: what else is to be kept, for JSON.
        ema: averaged weights.
    """
    tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema/{k}": v for k, v in ema.state_dict().items()}
    for parameter_name, parameter in model.named_parameters():
        for optimizer in optimizers:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{parameter_name}/{key}"] = value
    if name == TRUNK:
        tensors = {key: value.to(_trunk_type(key, value)) for key, value in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    pieces = []
    for i, piece in enumerate(_pieces(tensors)):
        data = save(piece)
        file = f"{name}-{number:08d}-{i}.safetensors"
        pieces.append({"file": file, "bytes": len(data), "crc32": zlib.crc32(data)})
        _replace(folder / file, data)
    _replace(folder / f"{name}-{number:08d}.json", json.dumps({"meta": meta, "pieces": pieces}, indent=1).encode())
    manifests = sorted(folder.glob(f"{name}-????????.json"))
    for old in manifests[: -KEPT if name == CHECKPOINT else -1]:
        old.unlink()
        for path in folder.glob(f"{old.stem}-*.safetensors"):
            path.unlink()


def _trunk_type(key: str, value: Tensor) -> torch.dtype:
    """Half precision for states, and for matrices, which a step at constant rate moves by more than that loses."""
    of_weights = key.startswith("model/")
    exact = ".linear." in key or key.endswith(".table") or value.ndim != 2
    return torch.float32 if of_weights and exact else torch.bfloat16


def _pieces(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    piece: dict[str, Tensor] = {}
    size = 0
    for key, value in tensors.items():
        if piece and size + value.nbytes > PIECE_BYTES - HEADER_BYTES:
            yield piece
            piece, size = {}, 0
        piece[key] = value.detach().cpu().clone().contiguous()
        size += value.nbytes
    yield piece


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def read(folder: Path, name: str = CHECKPOINT) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors, in single precision, and meta of the newest whole state of a folder; `None` if there is none."""
    for manifest in sorted(folder.glob(f"{name}-????????.json"), reverse=True):
        try:
            content = json.loads(manifest.read_text())
            paths = [folder / piece["file"] for piece in content["pieces"]]
            whole = all(
                zlib.crc32(path.read_bytes()) == piece["crc32"]
                for path, piece in zip(paths, content["pieces"], strict=True)
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if whole:
            tensors = {key: value for path in paths for key, value in load_file(path).items()}
            return {key: value.float() for key, value in tensors.items()}, content["meta"]
    return None


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those of a state under `model/`, `ema/` or `optimizer/`, by their names there."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def restore_optimizers(
    model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], states: dict[str, Tensor]
) -> None:
    """Gives the optimisers their states of those parameters that are of the same shape; others begin anew."""
    owners = {id(p): optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        for key, value in part(states, f"{name}/").items():
            if value.shape == parameter.shape:
                owners[id(parameter)].state[parameter][key] = value.to(parameter.device)


def restore(
    folder: Path, model: nn.Module, ema: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> dict[str, Any] | None:
    """Goes on from the newest whole checkpoint of a folder and returns its meta; `None` if there is none.

    Raises:
        RuntimeError: it is one of another model.
    """
    found = read(folder)
    if found is None:
        return None
    tensors, meta = found
    model.load_state_dict(part(tensors, "model/"))
    ema.load_state_dict(part(tensors, "ema/"))
    restore_optimizers(model, optimizers, part(tensors, "optimizer/"))
    return meta
