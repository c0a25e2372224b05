"""SSIMULACRA2's distance, differentiable: how different two pictures look.

Sneyers 2023, version 2.1 (libjxl's tools/ssimulacra2.cc): structural similarity and gained or lost edges, in opponent
colours, at several scales. Of its 108 weights 24 are of any size; those are `TERMS`.

Everything is float32. The pooled maps add up over parts of a picture (`Sums`) until the means are taken. Inside,
planes lie as `[h, C B, w]`, colours and batch between rows and columns: strips of rows are contiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec.objective.blur import RADIUS, Frame, Span, inner, means
from vaecodec.objective.opponent import B, X, Y, halved, linear_light, opponent, strip_rows
from vaecodec.pictures.tiles import Area

SCALES = 5
"""Each half as large as the one before; the sixth of SSIMULACRA2 has no weight."""
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
STRUCTURE_FLOOR = 0.0009
ROOT_FLOOR = 1e-20
"""Added to means of fourth powers, whose root has no slope at 0."""
REACH = RADIUS * 2 ** (SCALES - 1)
"""How far a pixel of the coarsest scale looks, in pixels of the picture."""


def _colours_of(scale: int) -> list[int]:
    return [colour for at, colour in TERMS if at == scale]


def _terms_of(scale: int) -> list[tuple[int, float]]:
    """Pooling and weight of a scale's terms, in the order of `Structure.sums`."""
    return [(pooling, weight) for colour in _colours_of(scale) for _, pooling, weight in TERMS[scale, colour]]


class Structure:
    """SSIMULACRA2's raw distance from one batch of pictures, whose own planes are computed once.

    Args:
        x: `[B, 3, H, W]` sRGB, uint8 or float32 in [0, 1].
        part: rows and columns that count, all unless told; starts are multiples of 16.
        as_measured: as the package ssimulacra2 has it, see `blur.Frame`; for sides of 225 pixels and more.
    """

    def __init__(self, x: Tensor, part: Area | None = None, *, as_measured: bool = False):
        height, width = x.shape[-2:]
        rows, columns = part or (slice(0, height), slice(0, width))
        self.frames = [
            Frame(_span(rows, height, scale), _span(columns, width, scale), as_measured) for scale in range(SCALES)
        ]
        with torch.no_grad():
            self.planes = list(self._planes(x))

    def _planes(self, x: Tensor) -> Iterator[Tensor]:
        """A picture's colours at each scale, `[h, C B, w]` with margins."""
        linear = linear_light(x)
        for scale, frame in enumerate(self.frames):
            if scale:
                linear = halved(linear)
            yield frame.padded(opponent(frame.seen(linear), _colours_of(scale)).flatten(1, 2))

    def sums(self, x_hat: Tensor) -> list[Sums]:
        """For each scale what is pooled of pictures like x; what is outside of them counts as their edge."""
        others = self._planes(x_hat)
        return [
            _pooled(scale, one, other, frame.weights(x_hat.device))
            for scale, (frame, one, other) in enumerate(zip(self.frames, self.planes, others, strict=True))
        ]

    def __call__(self, x_hat: Tensor) -> Tensor:
        """`[B]` raw distance of `[B, 3, H, W]`, see `sums`."""
        return raw_distance(self.sums(x_hat))


def _span(used: slice, side: int, scale: int) -> Span:
    """A part of a side at a scale."""
    return Span(*(-(-v >> scale) for v in (used.start, used.stop, side)))


def _pooled(scale: int, one: Tensor, other: Tensor, weights: Tensor) -> Sums:
    """What is pooled at a scale, of two pictures' planes with margins; strip by strip where no gradient is wanted."""
    step = len(one) if other.requires_grad else strip_rows(one)
    strips = []
    for top in range(0, len(weights), step):
        rows = slice(top, top + step + 2 * RADIUS)
        strips.append(_strip(scale, one[rows], other[rows], weights[top : top + step]))
    return Sums(torch.stack(strips).sum(0), weights.numel())


def _strip(scale: int, one: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """`[terms, B]` sums over a strip of planes with margins `[h, C B, w]`; for weights see `blur.means`."""
    colours = _colours_of(scale)
    squares = torch.cat([other, one.square() + other.square(), (one - other).square()], 1)
    parts = [means(one, weights), *means(squares, weights).chunk(3, 1), inner(one, weights), inner(other, weights)]
    by_colour = zip(*(part.unflatten(1, (len(colours), -1)).unbind(1) for part in parts), strict=True)
    sums = []
    for colour, planes in zip(colours, by_colour, strict=True):
        maps = _maps(*planes, kinds={kind for kind, _, _ in TERMS[scale, colour]})
        for kind, pooling, _ in TERMS[scale, colour]:
            values = maps[kind] if pooling == MEAN else maps[kind].square().square()
            sums.append(values.sum((0, 2)))
    return torch.stack(sums)


def _maps(
    m1: Tensor, m2: Tensor, squares: Tensor, difference: Tensor, p1: Tensor, p2: Tensor, *, kinds: set[int]
) -> dict[int, Tensor]:
    """Maps `[h, B, w]` of one colour, by kind.

    Args:
        m1, m2: Gaussian means of both sides' planes,
        squares: of the sum of their squares,
        difference: and of the square of their difference.
        p1, p2: planes.
    """
    maps = {}
    if SSIM in kinds:
        shift = (m1 - m2).square()
        apart = (difference - shift).clamp_min(0) / (squares - m1.square() - m2.square() + STRUCTURE_FLOOR)
        maps[SSIM] = apart + shift * (1 - apart)
    if kinds & {ARTIFACT, DETAIL}:
        edge1, edge2 = (p1 - m1).abs(), (p2 - m2).abs()
        edges = (edge2 - edge1) / (1 + edge1)
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
