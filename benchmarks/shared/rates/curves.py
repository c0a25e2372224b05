"""Curves of rate and distortion, measured and published, and what lies between two of them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np

from shared.places import PUBLISHED
from shared.rates.measures import MEASURES

USEFUL_SSIMULACRA2 = (30.0, 88.0)
"""From what is just good enough for a preview to what nobody tells from the original at a glance."""


@dataclass
class Curve:
    """Means over pictures at each setting, ascending in rate; a measure that is missing is empty.

    Attributes:
        images: name to the same curve of one picture; empty if published.
    """

    bpp: list[float]
    psnr_db: list[float]
    ms_ssim: list[float] = field(default_factory=list)
    ssimulacra2: list[float] = field(default_factory=list)
    butteraugli: list[float] = field(default_factory=list)
    cvvdp: list[float] = field(default_factory=list)
    images: dict[str, Curve] = field(default_factory=dict)

    def to_dict(self) -> dict[str, list[float]]:
        """The means, for JSON."""
        return {k: [round(x, 6) for x in v] for k, v in vars(self).items() if k != "images" and v}

    def scaled(self, measure: str) -> list[float]:
        """A measure's values on the scale on which rates are compared; empty if it is missing."""
        return [float(value) for value in MEASURES[measure].scale(np.array(getattr(self, measure)))]


FIELDS = ("bpp", *MEASURES)


def _curve(rows: np.ndarray) -> Curve:
    """From `[settings, FIELDS]`, NaN where it was not measured."""
    rows = rows[np.argsort(rows[:, 0])]
    columns = (column.tolist() if np.isfinite(column).all() else [] for column in rows.T)
    return Curve(**dict(zip(FIELDS, columns, strict=True)))


def measured_curves(data: dict, codecs: list, images: list[str]) -> dict[str, Curve]:
    """The curves of codecs over those pictures for which every setting was measured.

    Args:
        data: as `rate_distortion.py` stores it.
        codecs: see `vaecodec.baselines.ImageCodec`; their names and qualities count.
    """
    pixels = {name: math.prod(map(int, data["images"][name].split("-")[1].split("x"))) for name in images}
    curves = {}
    for codec in codecs:
        stored = data["codecs"][codec.name]["points"]
        points = [stored[f"{quality:g}"] for quality in codec.qualities]
        whole = [image for image in images if all(image in point for point in points)]
        if not whole:
            continue
        per_image = {}
        for image in whole:
            rows = [dict(zip(data["columns"], point[image], strict=False)) for point in points]
            fields = [[8 * row["bytes"] / pixels[image], *(row.get(name) for name in MEASURES)] for row in rows]
            per_image[image] = np.array(fields, float)
        curves[codec.name] = _curve(np.mean(list(per_image.values()), axis=0))
        curves[codec.name].images = {image: _curve(rows) for image, rows in per_image.items()}
    return curves


def without_worse_pca(curves: dict[str, Curve]) -> dict[str, Curve]:
    """The curves with the better PCA alone."""
    pca = [name for name in curves if name.startswith("PCA ")]
    results = {name: bd_rate(curves[pca[0]], curves[name], "psnr_db") for name in pca}
    worse = sorted(pca, key=lambda name: results[name][0] if results[name] else math.inf)[1:]
    return {name: curve for name, curve in curves.items() if name not in worse}


def published_curves() -> tuple[dict[str, Curve], dict[str, tuple[str, Curve]]]:
    """What others have published on Kodak: curves to show, and curves of codecs measured here, with whose they are."""
    curves, checks = {}, {}
    for name, entry in json.loads(PUBLISHED.read_text())["curves"].items():
        curve = Curve(entry["bpp"], entry["psnr_db"], entry.get("ms_ssim", []))
        if entry["role"] == "curve":
            curves[name] = curve
        else:
            checks[name] = (entry["of"], curve)
    return curves, checks


# --- between two curves ----------------------------------------------------------------------------------------------


def rising(curve: Curve, measure: str) -> tuple[list[float], list[float]]:
    """Rates and scaled values of a measure, without points that cost more and give no more."""
    rates, values = [], []
    for rate, value in zip(curve.bpp, curve.scaled(measure), strict=False):
        if not rates or (rate > rates[-1] and value > values[-1]):
            rates.append(rate)
            values.append(value)
    return rates, values


Range = tuple[float, float]


def useful_range(anchor: Curve, measure: str) -> Range | None:
    """A measure's scaled values where the anchor's SSIMULACRA2 is `USEFUL_SSIMULACRA2`; `None` if that is not known.

    So every measure is asked about the same span of qualities.
    """
    if measure == "ssimulacra2":
        return USEFUL_SSIMULACRA2
    if not anchor.ssimulacra2 or not getattr(anchor, measure):
        return None
    rates, looks = rising(anchor, "ssimulacra2")
    ends = np.interp(USEFUL_SSIMULACRA2, looks, np.log(rates))
    low, high = np.interp(ends, np.log(anchor.bpp), anchor.scaled(measure))
    return float(low), float(high)


def bd_rate(anchor: Curve, test: Curve, measure: str, within: Range | None = None) -> tuple[float, float, float] | None:
    """Per cent of rate against the anchor, and the common range that it was taken over, in the measure's own unit.

    Args:
        within: scaled values; the common range is cut to them.

    Returns:
        `None` if there is no common range, or fewer than three points that rise.
    """
    from vaecodec.pictures.metrics import bd_rate_percent

    first, second = rising(anchor, measure), rising(test, measure)
    if len(first[0]) < 3 or len(second[0]) < 3:
        return None
    low, high = max(first[1][0], second[1][0]), min(first[1][-1], second[1][-1])
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    if high <= low:
        return None
    restore = MEASURES[measure].restore
    return bd_rate_percent(*first, *second, within=(low, high)), float(restore(low)), float(restore(high))


def per_image(anchor: Curve, test: Curve, measure: str, *, limited: bool = False) -> dict[str, float]:
    """BD-rates of single pictures, where there are any; `limited` to `useful_range`."""
    rates = {}
    for name in anchor.images:
        if name in test.images:
            one = anchor.images[name]
            result = bd_rate(one, test.images[name], measure, useful_range(one, measure) if limited else None)
            if result is not None:
                rates[name] = result[0]
    return rates


def rate_ratio(anchor: Curve, test: Curve, measure: str = "psnr_db") -> tuple[np.ndarray, np.ndarray] | None:
    """Rates relative to the anchor's at equal quality, on a grid over the common range; log rate linear between points.

    Returns:
        Scaled values and ratios, or `None` if there is no common range.
    """
    (anchor_rate, anchor_values), (rate, values) = rising(anchor, measure), rising(test, measure)
    if not rate or not anchor_rate:
        return None
    low, high = max(values[0], anchor_values[0]), min(values[-1], anchor_values[-1])
    if high <= low:
        return None
    grid = np.linspace(low, high, 200)
    return grid, np.exp(np.interp(grid, values, np.log(rate)) - np.interp(grid, anchor_values, np.log(anchor_rate)))


def rate_at(curve: Curve, measure: str, value: float) -> float | None:
    """Bits per pixel at which a measure has a value, log rate linear between points; `None` outside the curve."""
    rates, values = rising(curve, measure)
    wanted = float(MEASURES[measure].scale(value))
    if not rates or not values[0] <= wanted <= values[-1]:
        return None
    return float(np.exp(np.interp(wanted, values, np.log(rates))))
