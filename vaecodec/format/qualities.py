"""What a user's quality, 1 to 100, means to a model: a code on the model's own scale. Imports no torch.

    -q 70 ── QualityScale.code ── 16-bit code in the header ── gains, features, tables of the model
    info  ── QualityScale.quality ┘

A model that was made for looks has a map, measured on pictures that it had not seen, so that photographs of one quality
look alike. It lies in the model's file beside the weights and is no part of the id: `.vae` files hold the code, and
what decodes them never sees a map. A model without a map has qualities evenly over its log λ.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vaecodec.format.container import DEFAULT_QUALITY, QUALITIES, QUALITY_MAX, quality_code, quality_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_LOOK = 70.0
"""Quality of models with a map if none is asked for: "high quality", as SSIMULACRA2's author calls that score."""


@dataclass(frozen=True)
class QualityScale:
    """A model's qualities.

    Attributes:
        knots: (quality, share of the model's range), straight lines between them, from (1, 0) to (100, 1), both
            rising; none for a model without a map.
        calibrated: from which to which quality photographs have a mean SSIMULACRA2 of about that number.

    Raises:
        ValueError: the knots are no such map, or the calibrated range is none.

    >>> scale = QualityScale(((1, 0), (30, 0.1), (90, 0.8), (100, 1)), (30, 90))
    >>> scale.code(60), round(scale.quality(14746), 2), scale.meaning(14746)
    (14746, 60.0, 'SSIMULACRA2 about 60')
    """

    knots: tuple[tuple[float, float], ...] = ()
    calibrated: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        knots = tuple((float(quality), float(share)) for quality, share in self.knots)
        object.__setattr__(self, "knots", knots)
        if knots:
            if (knots[0], knots[-1]) != tuple(zip(QUALITIES, (0.0, 1.0), strict=True)):
                raise ValueError(f"a map of qualities goes from (1, 0) to (100, 1), not from {knots[0]} to {knots[-1]}")
            if not all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(knots)):
                raise ValueError("a map of qualities rises from knot to knot")
        if self.calibrated is not None:
            low, high = (float(quality) for quality in self.calibrated)
            object.__setattr__(self, "calibrated", (low, high))
            if not (knots and QUALITIES[0] <= low < high <= QUALITIES[1]):
                raise ValueError(f"{low:g} to {high:g} is no range of calibrated qualities")

    @classmethod
    def from_dict(cls, value: dict[str, Any] | None) -> QualityScale:
        """From what `to_dict` gave; `None` for a model without a map."""
        if value is None:
            return cls()
        calibrated = value.get("calibrated")
        return cls(tuple(map(tuple, value["knots"])), calibrated and tuple(calibrated))

    def to_dict(self) -> dict[str, Any] | None:
        """Plain values, for JSON; `None` without a map."""
        if not self.knots:
            return None
        return {"knots": [list(knot) for knot in self.knots], "calibrated": self.calibrated and list(self.calibrated)}

    @property
    def default(self) -> float:
        """The quality if none is asked for."""
        return DEFAULT_LOOK if self.knots else DEFAULT_QUALITY

    def code(self, quality: float | None = None) -> int:
        """The code in a header of a quality from 1 to 100; of the default one for `None`.

        Raises:
            ValueError: it is outside.
        """
        quality = self.default if quality is None else quality
        plain = quality_code(quality)
        return round(_along(self.knots, quality) * QUALITY_MAX) if self.knots else plain

    def quality(self, code: int) -> float:
        """The inverse of `code`."""
        if not self.knots:
            return quality_of(code)
        return _along([(share, quality) for quality, share in self.knots], code / QUALITY_MAX)

    def meaning(self, code: int) -> str | None:
        """What photographs of that code look like, in words; `None` if nothing was measured."""
        if self.calibrated is None:
            return None
        (low, high), quality = self.calibrated, self.quality(code)
        if round(quality) < low:
            return f"SSIMULACRA2 below {low:g}"
        if round(quality) > high:
            return f"SSIMULACRA2 above {high:g}"
        return f"SSIMULACRA2 about {quality:.0f}"


def _along(points: Sequence[tuple[float, float]], x: float) -> float:
    """The value at x on straight lines between points, which rise in x."""
    right = min(max(bisect_right(points, x, key=lambda point: point[0]), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (x - x0) / (x1 - x0) * (y1 - y0)
