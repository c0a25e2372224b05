"""In which precision the networks run that pixels and gradients go through.

What is coded and decoded does not depend on it: symbols come from integers (`fixed_point`).
"""

from __future__ import annotations

import os

import torch
from torch import nn

from vaecodec.networks.blocks import Depthwise, Pointwise, depthwise, pointwise

_BF16_INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
VARIABLE = "VAECODEC_PRECISION"
"""Of the environment: a name from `TYPES`, for programs that do not say which."""
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def fast_type(device: str | torch.device) -> torch.dtype:
    """bfloat16 on accelerators and on processors that have instructions for it; others are ten times slower with it."""
    fast = torch.device(device).type != "cpu" or any(getattr(torch.cpu, name, bool)() for name in _BF16_INSTRUCTIONS)
    return torch.bfloat16 if fast else torch.float32


def autocast(device: str | torch.device) -> torch.autocast:
    """Within it convolutions and products of matrices work in the `fast_type`."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=fast_type(device) == torch.bfloat16)


def chosen_type(name: str | None, device: str | torch.device) -> torch.dtype:
    """What transforms run in: as asked for, by name or else by `VARIABLE`; or the `fast_type` of a processor.

    Accelerators run them in float32 unless asked: there they are not what takes time.

    Raises:
        ValueError: no such name.
    """
    name = name or os.environ.get(VARIABLE) or None
    if name is None:
        return fast_type(device) if torch.device(device).type == "cpu" else torch.float32
    if name not in TYPES:
        raise ValueError(f"precision {name!r} is not one of {', '.join(TYPES)}")
    return TYPES[name]


def cast(network: nn.Module, dtype: torch.dtype) -> None:
    """Makes the layers of a transform work in a type, but for its linear path, which takes as little time as it can.

    That path alone is a transform codec; an error of half precision in it is an error of the picture.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, (Pointwise, Depthwise)) and name != "linear":
            layer.to(dtype)


def float32_is_plain() -> bool:
    """Whether float32 products are that, here and now: a program may have allowed torch to make them in bfloat16.

    Small and large tensors and both kinds of layers are tried, since torch has different kernels for them.
    """
    for side in (1, 32):
        x = torch.full((1, 64, side, side), 1025.0).contiguous(memory_format=torch.channels_last)
        weight = torch.full((64, 64), 255.0)
        weight[:, ::2] = 129.0
        middle = (0, 0, side // 2, side // 2)
        if float(pointwise(x, weight, torch.zeros(64))[middle]) != 32 * 1025 * (255 + 129):
            return False
        spatial = depthwise(x, torch.full((64, 1, 3, 3), 255.0), torch.zeros(64), None)
        if float(spatial[middle]) != min(side, 3) ** 2 * 1025 * 255:
            return False
    return True
