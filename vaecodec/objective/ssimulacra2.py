"""SSIMULACRA2's distance, differentiable: how different two pictures look.

Sneyers 2023, version 2.1 (libjxl's tools/ssimulacra2.cc): structural similarity and gained or lost edges, in opponent
colours, at several scales. Of its 108 weights 24 are of any size; those are `TERMS`.

Everything is float32. The pooled maps add up over parts of a picture (`Sums`) until the means are taken. Inside,
pictures lie as `[h, w, C, B]`, colours and batch innermost: depthwise convolutions are fastest so on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vaecodec.pictures.tiles import Area

SCALES = 5
"""Each half as large as the one before; the sixth of SSIMULACRA2 has no weight."""
X, Y, B = range(3)
"""Opponent colours: red against green, brightness, blue against brightness."""
SSIM, ARTIFACT, DETAIL = range(3)
"""What a map holds: structure that differs, edges that are gained, edges that are lost."""
MEAN, ROOT = range(2)
"""How a map is pooled: its mean, or the fourth root of the mean of its fourth power."""
TERMS = {
    (1, X): [(SSIM, ROOT, 1.1041726426657346)],
    (2, X): [(SSIM, ROOT, 1.8422455520539298), (ARTIFACT, ROOT, 11.441172603757666)],
    (3, X): [(SSIM, ROOT, 1.8787594979546387), (ARTIFACT, ROOT, 10.94906990605142)],
    (4, X): [(ARTIFACT, MEAN, 0.9677937080626833), (ARTIFACT, ROOT, 0.9981766977854967)],
    (0, Y): [(SSIM, ROOT, 7.466890328078848), (DETAIL, ROOT, 17.445833984131262)],
    (1, Y): [(SSIM, ROOT, 6.683678146179332), (DETAIL, ROOT, 1.027889937768264)],
    (2, Y): [(SSIM, MEAN, 225.20515300849274), (SSIM, ROOT, 19.213238186143016)],
    (3, Y): [
        (SSIM, MEAN, 176.39317598450694),
        (SSIM, ROOT, 24.43300999870476),
        (ARTIFACT, ROOT, 0.28520802612117757),
    ],
    (4, Y): [(SSIM, ROOT, 34.77906344483772), (ARTIFACT, ROOT, 44.835625328877896)],
    (3, B): [(SSIM, ROOT, 8.826982764996862), (ARTIFACT, ROOT, 23.19243343998926)],
    (4, B): [
        (SSIM, MEAN, 95.1080498811086),
        (ARTIFACT, MEAN, 0.9863978034400682),
        (DETAIL, MEAN, 0.9834382792465353),
        (ARTIFACT, ROOT, 171.2667255897307),
        (DETAIL, ROOT, 0.9807858872435379),
    ],
}
"""(scale, colour) to what is pooled there, how, and with which weight; those above 0.01; the others add up to 0.02."""
SIGMA, RADIUS = 1.5, 5
STRUCTURE_FLOOR = 0.0009
ROOT_FLOOR = 1e-20
"""Added to means of fourth powers, whose root has no slope at 0."""
REACH = RADIUS * 2 ** (SCALES - 1)
"""How far a pixel of the coarsest scale looks, in pixels of the picture."""

_ABSORBANCE = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_BIAS = 0.0037930732552754493
"""Of cones, from linear RGB (libjxl's opsin_params.h)."""


class _LinearLight(torch.autograd.Function):
    """sRGB values, clipped to [0, 1], to linear light; one power serves value and slope.

    Where a value is outside, only gradients that lead back inside get through.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inside = x.clamp(0.0, 1.0)
        lifted = (inside + 0.055) / 1.055
        power = _power(lifted, 1.4)
        dark = inside <= 0.04045
        ctx.save_for_backward(x, torch.where(dark, 1 / 12.92, power * (2.4 / 1.055)))
        return torch.where(dark, inside / 12.92, lifted * power)

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
        return gradient / (3 * root.square())


def _power(x: Tensor, exponent: float) -> Tensor:
    """Of numbers above 0; a third of `torch.pow`'s time on a CPU."""
    return x.log2().mul_(exponent).exp2_()


def _colours(linear: Tensor, wanted: list[int]) -> Tensor:
    """Linear light `[h, w, 3, B]` to the wanted ones of X, Y, B, `[h, w, C, B]`, shifted to be positive (libjxl)."""
    red, green, blue = linear.unbind(2)
    cones = [
        _CubeRoot.apply((red * r + _BIAS).add(green, alpha=g).add(blue, alpha=b))
        for r, g, b in _ABSORBANCE[: 3 if B in wanted else 2]
    ]
    zero = _BIAS ** (1 / 3)
    brightness = (cones[0] + cones[1]) / 2 - zero
    planes = {Y: lambda: brightness + 0.01, X: lambda: 7 * (cones[0] - cones[1]) + 0.42}
    planes[B] = lambda: cones[2] - zero - brightness + 0.55
    return torch.stack([planes[colour]() for colour in wanted], 2)


def _halved(linear: Tensor) -> Tensor:
    """Means of 2x2 pixels of `[h, w, 3, B]`; of what there is, where a side is odd."""
    height, width, *rest = linear.shape
    x = linear.reshape(1, height, width, -1).permute(0, 3, 1, 2)
    x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
    return x.permute(0, 2, 3, 1).reshape(*x.shape[-2:], *rest)


@lru_cache(maxsize=4)
def _kernel(device: torch.device) -> Tensor:
    taps = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64) / SIGMA) ** 2)
    return (taps / taps.sum()).float().to(device)


@lru_cache(maxsize=64)
def _coverage(side: int) -> Tensor:
    """What part of the kernel lies within a side, by position `[side]`."""
    return F.conv1d(torch.ones(1, 1, side), _kernel(torch.device("cpu"))[None, None], padding=RADIUS)[0, 0]


@lru_cache(maxsize=64)
def _band(side: int, device: torch.device) -> Tensor:
    """The matrix `[side, side]` that blurs one side, as `_blurred` does."""
    offsets = torch.arange(side, device=device)[:, None] - torch.arange(side, device=device) + RADIUS
    inside = (offsets >= 0) & (offsets <= 2 * RADIUS)
    band = torch.where(inside, _kernel(device)[offsets.clamp(0, 2 * RADIUS)], 0.0)
    return band / band.sum(1, keepdim=True)


def _blurred(planes: Tensor, *, as_measured: bool = False) -> Tensor:
    """Gaussian means of `[h, w, C, B]`, of σ 1.5 and 11 taps; at borders of what there is.

    On a CPU these are convolutions, on other devices products with band matrices: float32 there, while cuDNN's
    convolutions may be in TF32, which a difference of nearly equal squares does not survive.

    Args:
        as_measured: borders as in the package ssimulacra2, which takes what is to the left and right for 0 and mirrors
            above and below.
    """
    if planes.device.type != "cpu" and not as_measured:
        return _banded(planes)
    height, width = planes.shape[:2]
    x = planes.reshape(1, height, width, -1).permute(0, 3, 1, 2)
    if as_measured:
        x = torch.cat([x[..., :RADIUS, :].flip(-2), x, x[..., -RADIUS:, :].flip(-2)], -2)
    channels = x.shape[1]
    taps = _kernel(planes.device).expand(channels, 1, 2 * RADIUS + 1)
    x = F.conv2d(x, taps[:, :, None, :], padding=(0, RADIUS), groups=channels)
    x = F.conv2d(x, taps[:, :, :, None], padding=(0 if as_measured else RADIUS, 0), groups=channels)
    if not as_measured:
        x = x / (_coverage(height)[:, None] * _coverage(width))
    return x.permute(0, 2, 3, 1).reshape(planes.shape)


def _banded(planes: Tensor) -> Tensor:
    """The same by products of matrices."""
    height, width = planes.shape[:2]
    rows = _band(height, planes.device) @ planes.reshape(height, -1)
    return (_band(width, planes.device) @ rows.view(height, width, -1)).view(planes.shape)


@dataclass(frozen=True)
class _Side:
    """One of two pictures that are compared, at one scale; all `[h, w, C, B]`.

    Attributes:
        planes: its colours.
        mean, square: Gaussian means of them, and of their squares.
    """

    planes: Tensor
    mean: Tensor
    square: Tensor


def _colours_of(scale: int) -> list[int]:
    return [colour for at, colour in TERMS if at == scale]


def _terms_of(scale: int) -> list[tuple[int, float]]:
    """Pooling and weight of a scale's terms, in the order of `Structure.sums`."""
    return [(pooling, weight) for colour in _colours_of(scale) for _, pooling, weight in TERMS[scale, colour]]


class Structure:
    """SSIMULACRA2's raw distance from one batch of pictures, whose own side is computed once.

    Args:
        x: `[B, 3, H, W]` float32 in [0, 1], sRGB.
        as_measured: as the package ssimulacra2 has it, see `_blurred`; for sides of 225 pixels and more.
    """

    def __init__(self, x: Tensor, *, as_measured: bool = False):
        self.as_measured = as_measured
        with torch.no_grad():
            self.sides = list(self._sides(x))

    def _sides(self, x: Tensor) -> Iterator[_Side]:
        """A picture at each scale."""
        linear = _LinearLight.apply(x.float().permute(2, 3, 1, 0).contiguous())
        for scale in range(SCALES):
            if scale:
                linear = _halved(linear)
            planes = _colours(linear, _colours_of(scale))
            yield _Side(planes, *self._means(planes, planes.square()))

    def _means(self, *planes: Tensor) -> tuple[Tensor, ...]:
        return _blurred(torch.cat(planes, 2), as_measured=self.as_measured).split(planes[0].shape[2], 2)

    def sums(self, x_hat: Tensor, inner: Area | None = None) -> list[Sums]:
        """For each scale what is pooled of `[B, 3, H, W]` in [0, 1]; what is outside of it counts as its edge.

        Args:
            inner: rows and columns that count; starts are multiples of 16.
        """
        result = []
        for scale, other in enumerate(self._sides(x_hat)):
            one, sums = self.sides[scale], []
            (product,) = self._means(one.planes * other.planes)
            sides = (t.unbind(2) for t in (one.planes, one.mean, one.square, other.planes, other.mean, other.square))
            for colour, *parts in zip(_colours_of(scale), product.unbind(2), *sides, strict=True):
                terms = TERMS[scale, colour]
                maps = _maps(*parts, kinds={kind for kind, _, _ in terms})
                for kind, pooling, _ in terms:
                    values = maps[kind]
                    if inner is not None:
                        values = values[tuple(slice(s.start >> scale, -(-s.stop >> scale)) for s in inner)]
                    values = values if pooling == MEAN else values.square().square()
                    sums.append(values.flatten(0, 1).sum(0))
            result.append(Sums(torch.stack(sums), math.prod(values.shape[:2])))
        return result

    def __call__(self, x_hat: Tensor) -> Tensor:
        """`[B]` raw distance of `[B, 3, H, W]`, see `sums`."""
        return raw_distance(self.sums(x_hat))


def _maps(
    product: Tensor, p1: Tensor, m1: Tensor, s1: Tensor, p2: Tensor, m2: Tensor, s2: Tensor, *, kinds: set[int]
) -> dict[int, Tensor]:
    """Maps `[h, w, B]` of one colour, by kind.

    Args:
        product, p1, …, s2: Gaussian means of the product of both sides' planes, and for each side the plane, and the
            means of it and of its square.
    """
    maps = {}
    if SSIM in kinds:
        structure = 2 * (product - m1 * m2) + STRUCTURE_FLOOR
        both = (s1 - m1 * m1) + (s2 - m2 * m2) + STRUCTURE_FLOOR
        maps[SSIM] = (1 - (1 - (m1 - m2).square()) * structure / both).clamp_min(0)
    if kinds & {ARTIFACT, DETAIL}:
        edges = (1 + (p2 - m2).abs()) / (1 + (p1 - m1).abs()) - 1
        maps[ARTIFACT], maps[DETAIL] = edges.clamp_min(0), (-edges).clamp_min(0)
    return maps


@dataclass(frozen=True)
class Sums:
    """Of one scale of `Structure`; they add up over parts of a picture.

    Attributes:
        values: `[terms, B]` sums of v, or of v⁴ where a root is taken, in the order of `TERMS`.
        pixels: how many were summed.
    """

    values: Tensor
    pixels: int

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.values + other.values, self.pixels + other.pixels)


def raw_distance(scales: list[Sums]) -> Tensor:
    """SSIMULACRA2's weighted sum of 108 terms, before the polynomial that makes a score of it; `[B]`."""
    total = torch.zeros_like(scales[0].values[0])
    for scale, sums in enumerate(scales):
        for value, (pooling, weight) in zip(sums.values / sums.pixels, _terms_of(scale), strict=True):
            pooled = value if pooling == MEAN else (value + ROOT_FLOOR).sqrt().sqrt() - ROOT_FLOOR**0.25
            total = total + weight * pooled
    return total


def slopes(scales: list[Sums]) -> list[Tensor]:
    """How `raw_distance` rises with each of the sums, `[terms, B]` for each scale: what makes parts add up."""
    result = []
    for scale, sums in enumerate(scales):
        rows = [
            torch.full_like(value, weight) if pooling == MEAN else weight / 4 * (value + ROOT_FLOOR) ** -0.75
            for value, (pooling, weight) in zip(sums.values / sums.pixels, _terms_of(scale), strict=True)
        ]
        result.append(torch.stack(rows) / sums.pixels)
    return result


def score(raw: float) -> float:
    """SSIMULACRA2 of a raw distance: 100 for none, 90 where hardly anyone sees a difference, below 0 for the worst."""
    x = raw * 0.9562382616834844
    x = 2.326765642916932 * x - 0.020884521182843837 * x**2 + 6.248496625763138e-05 * x**3
    return 100 - 10 * max(x, 0.0) ** 0.6276336467831387
