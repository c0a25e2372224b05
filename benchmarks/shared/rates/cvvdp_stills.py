"""CVVDP of two pictures, by the package cvvdp as a viewer of a full-HD monitor sees them (display `standard_fhd`).

    pip install --no-deps cvvdp; pip install ffmpeg-python imageio

The package wants torchvision, which has no build for every torch, for one Gaussian blur; and some packages for learned
variants that are not used here. Stand-ins for both are put in their place while it is imported.
"""

from __future__ import annotations

import functools
import math
import sys
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F

DISPLAY = "standard_fhd"


class GaussianBlur(torch.nn.Module):
    """torchvision's, for one sigma: mirrored at the edges."""

    def __init__(self, kernel_size: int, sigma: float):
        super().__init__()
        self.half = kernel_size // 2
        weights = torch.exp(-0.5 * (torch.arange(-self.half, self.half + 1) / sigma) ** 2)
        self.kernel = weights / weights.sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[..., C, H, W]` float."""
        planes = F.pad(x.reshape(-1, 1, *x.shape[-2:]), [self.half] * 4, mode="reflect")
        rows = F.conv2d(planes, self.kernel.to(x).reshape(1, 1, 1, -1))
        return F.conv2d(rows, self.kernel.to(x).reshape(1, 1, -1, 1)).reshape(x.shape)


@functools.cache
def metric():
    """The package's metric, made once; an `ImportError` where it, or what it needs, is not installed."""
    stand_ins: dict[str, dict] = {"torchvision": {}, "torchvision.transforms": {"GaussianBlur": GaussianBlur}}
    stand_ins["pycvvdp.cvvdp_ml_metric"] = dict.fromkeys(("cvvdp_ml_saliency", "cvvdp_ml_transformer"))
    path = list(sys.path)
    for name, contents in stand_ins.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(contents)
    try:
        import pycvvdp

        return pycvvdp.cvvdp(display_name=DISPLAY, device=torch.device("cpu"), quiet=True)
    finally:
        sys.path[:] = path  # the package puts its own folder in front
        for name in stand_ins:
            del sys.modules[name]


@torch.no_grad()
def cvvdp(original: np.ndarray, decoded: np.ndarray) -> float:
    """Just-objectionable differences, 10 where nothing is seen, of two `[H, W, 3]` uint8 arrays."""
    jod = float(metric().predict(decoded, original, dim_order="HWC")[0])
    return jod if math.isfinite(jod) else math.nan
