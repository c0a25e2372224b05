"""Checkpoints without pickle: every tensor in one safetensors file, everything else in its JSON metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn


def save(path: Path, model: nn.Module, ema: nn.Module, optimizers: list[torch.optim.Optimizer], meta: dict) -> None:
    """Writes a checkpoint whole or not at all."""
    tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"ema/{k}": v for k, v in ema.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                name = f"optimizer/{number}/{index}/{key}"
                if isinstance(value, torch.Tensor):
                    tensors[name] = value
                elif isinstance(value, (list, tuple)):
                    tensors |= {f"{name}/{i}": v for i, v in enumerate(value) if isinstance(v, torch.Tensor)}
                else:
                    tensors[name] = torch.tensor(value)
    temporary = path.with_suffix(".tmp")
    save_file(
        {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, temporary, {"meta": json.dumps(meta)}
    )
    os.replace(temporary, path)


def load(path: Path, model: nn.Module, ema: nn.Module, optimizers: list[torch.optim.Optimizer]) -> dict:
    """Restores what `save` wrote and returns its meta.

    The state of an optimiser comes back only where its parameters are the same ones; otherwise it starts anew.
    """
    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["meta"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping
    for prefix, module in (("model/", model), ("ema/", ema)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict] = {}
        for name, value in tensors.items():
            parts = name.split("/")
            if parts[:2] != ["optimizer", str(number)]:
                continue
            entry = state.setdefault(int(parts[2]), {})
            if len(parts) == 5:
                entry.setdefault(parts[3], []).append(value)
            else:
                entry[parts[3]] = value
        blank = optimizer.state_dict()
        optimizer.load_state_dict({"state": state, "param_groups": blank["param_groups"]})
    return meta
