"""Opponent colours as SSIMULACRA2 has them (XYB), from sRGB through linear light, at scales that halve.

Inside, pictures lie as `[h, C, B, w]`, rows outermost: bands of rows are contiguous, and mixing colours is one product
of matrices.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

STRIP = 2**16
"""Values of planes that are worked on at a time, about: few enough to stay in the cache of a core."""
X, Y, B = range(3)
"""Opponent colours: red against green, brightness, blue against brightness."""

_ABSORBANCE = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_BIAS = 0.0037930732552754493
"""Of cones, from linear RGB (libjxl's opsin_params.h)."""
_ZERO = _BIAS ** (1 / 3)
_OPPONENT = {
    X: ((7.0, -7.0, 0.0), 0.42),
    Y: ((0.5, 0.5, 0.0), 0.01 - _ZERO),
    B: ((-0.5, -0.5, 1.0), 0.55),
}
"""What of the cones' cube roots makes a colour, and what is added, to make it positive (libjxl)."""


class _LinearLight(torch.autograd.Function):
    """sRGB values, clipped to [0, 1], to linear light; one power serves value and slope.

    Where a value is outside, only gradients that lead back inside get through.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inside = x.clamp(0.0, 1.0)
        lifted = inside.add(0.055).div_(1.055)
        power = _power(lifted, 1.4)
        dark = inside <= 0.04045
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(x, torch.where(dark, 1 / 12.92, power * (2.4 / 1.055)))
        return torch.where(dark, inside.div_(12.92), lifted.mul_(power))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, slope = ctx.saved_tensors
        return gradient * slope * (((x >= 0) | (gradient < 0)) & ((x <= 1) | (gradient > 0)))


class _CubeRoot(torch.autograd.Function):
    """Of numbers above 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        root = _power(x, 1 / 3)
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        return gradient / root.square().mul_(3)


def _power(x: Tensor, exponent: float) -> Tensor:
    """Of numbers above 0; a third of `torch.pow`'s time on a CPU."""
    return x.log2().mul_(exponent).exp2_()


@lru_cache(maxsize=4)
def _table(device: torch.device) -> Tensor:
    """Linear light of the 256 values of 8-bit samples."""
    return _LinearLight.apply(torch.arange(256, dtype=torch.float32) / 255).to(device)


@lru_cache(maxsize=16)
def _matrices(wanted: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Of linear light in cones, of their roots in the wanted colours, and what is added to those.

    Made once, as is all that comes from the host: a step of training that is a CUDA graph cannot wait for it.
    """
    cones = 3 if B in wanted else 2  # the third is in that colour only
    mixing, offsets = zip(*(_OPPONENT[colour] for colour in wanted), strict=True)
    mixed, added = (torch.tensor(v, dtype=torch.float32, device=device) for v in (mixing, offsets))
    return torch.tensor(_ABSORBANCE[:cones], device=device), mixed[:, :cones].contiguous(), added


def strip_rows(planes: Tensor) -> int:
    """How many rows of `[h, …]` are worked on at a time; a multiple of 16."""
    return max(1, STRIP // (16 * planes[0].numel())) * 16


def linear_light(x: Tensor) -> Tensor:
    """sRGB `[B, 3, H, W]`, uint8 or float in [0, 1], to linear light `[H, 3, B, W]` float32; differentiable."""
    x = x.permute(2, 1, 0, 3).contiguous()
    if x.dtype != torch.uint8:
        return _LinearLight.apply(x.float())
    table, rows = _table(x.device), strip_rows(x)
    strips = [table.index_select(0, strip.flatten().int()) for strip in x.split(rows)]
    return torch.cat(strips).view(x.shape)


def halved(linear: Tensor) -> Tensor:
    """Means of 2x2 pixels of `[h, C, B, w]`; of what there is, where a side is odd."""
    for axis, parity in ((0, 1), (-1, -1)):
        if linear.shape[axis] % 2:
            linear = torch.cat([linear, linear.narrow(axis, -1, 1)], axis)
        one, other = linear.unflatten(axis, (-1, 2)).unbind(parity)
        linear = one + other
    return linear / 4


def opponent(linear: Tensor, wanted: list[int]) -> Tensor:
    """Linear light `[h, 3, B, w]` to the wanted ones of X, Y, B, `[h, C, B, w]`."""
    absorbance, mixing, offsets = _matrices(tuple(wanted), linear.device)
    strips = []
    for strip in linear.flatten(2).split(strip_rows(linear)):
        roots = _CubeRoot.apply(absorbance @ strip + _BIAS)
        strips.append(mixing @ roots + offsets[:, None])
    return torch.cat(strips).unflatten(2, linear.shape[2:])
