"""In which precision the networks run where gradients are taken; what is coded and decoded does not depend on it."""

from __future__ import annotations

import torch

_BF16_INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def fast_type(device: str | torch.device) -> torch.dtype:
    """bfloat16 on accelerators and on processors that have instructions for it; others are ten times slower with it."""
    fast = torch.device(device).type != "cpu" or any(getattr(torch.cpu, name, bool)() for name in _BF16_INSTRUCTIONS)
    return torch.bfloat16 if fast else torch.float32


def autocast(device: str | torch.device) -> torch.autocast:
    """Within it convolutions and products of matrices work in the `fast_type`."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=fast_type(device) == torch.bfloat16)
