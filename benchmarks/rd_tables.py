"""Curves of rate and distortion, measured and published, and the BD-rates between them as Markdown."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

PUBLISHED = Path(__file__).parent / "published.json"
MEASURES = {"psnr_db": "PSNR", "ssimulacra2": "SSIMULACRA2"}


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
    images: dict[str, Curve] = field(default_factory=dict)

    def to_dict(self) -> dict[str, list[float]]:
        """The means, for JSON."""
        return {k: [round(x, 6) for x in v] for k, v in vars(self).items() if k != "images" and v}


def _curve(rows: np.ndarray) -> Curve:
    """From `[settings, 4]`: bpp, PSNR, MS-SSIM, SSIMULACRA2 (NaN where it was not measured)."""
    rows = rows[np.argsort(rows[:, 0])]
    columns = [column.tolist() if np.isfinite(column).all() else [] for column in rows.T]
    return Curve(*columns)


def measured_curves(data: dict, codecs: list, images: list[str]) -> dict[str, Curve]:
    """The curves of codecs over those pictures for which every setting was measured.

    Args:
        data: as `rate_distortion.py` stores it.
        codecs: see `vaecodec.baselines.ImageCodec`; their names and qualities count.
    """
    pixels = {name: math.prod(map(int, data["images"][name].split("-")[1].split("x"))) for name in images}
    curves = {}
    for codec in codecs:
        name, stored = codec.name, data["codecs"][codec.name]["points"]
        points = [stored[f"{quality:g}"] for quality in codec.qualities]
        whole = [image for image in images if all(image in point for point in points)]
        if not whole:
            continue
        per_image = {
            image: np.array([[8 * point[image][0] / pixels[image], *point[image][1:4]] for point in points], float)
            for image in whole
        }
        curves[name] = _curve(np.mean(list(per_image.values()), axis=0))
        curves[name].images = {image: _curve(rows) for image, rows in per_image.items()}
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


def rising(curve: Curve, measure: str) -> tuple[list[float], list[float]]:
    """Rates and values of a measure, without points that cost more and give no more."""
    rates, values = [], []
    for rate, value in zip(curve.bpp, getattr(curve, measure), strict=False):
        if not rates or (rate > rates[-1] and value > values[-1]):
            rates.append(rate)
            values.append(value)
    return rates, values


def bd_rate(anchor: Curve, test: Curve, measure: str) -> tuple[float, float, float] | None:
    """Per cent of rate against the anchor, and the common range that it was taken over; `None` if there is none."""
    from vaecodec.metrics import bd_rate_percent

    first, second = rising(anchor, measure), rising(test, measure)
    if len(first[0]) < 3 or len(second[0]) < 3:
        return None
    low, high = max(first[1][0], second[1][0]), min(first[1][-1], second[1][-1])
    if high <= low:
        return None
    return bd_rate_percent(*first, *second), low, high


def rate_ratio(anchor: Curve, test: Curve) -> tuple[np.ndarray, np.ndarray] | None:
    """Rates relative to the anchor's at equal PSNR, on a grid over the common range, log rate linear between points.

    Returns:
        PSNRs and ratios, or `None` if there is no common range.
    """
    (anchor_rate, anchor_db), (rate, db) = rising(anchor, "psnr_db"), rising(test, "psnr_db")
    low, high = max(db[0], anchor_db[0]), min(db[-1], anchor_db[-1])
    if high <= low:
        return None
    grid = np.linspace(low, high, 200)
    return grid, np.exp(np.interp(grid, db, np.log(rate)) - np.interp(grid, anchor_db, np.log(anchor_rate)))


def baseline_table(curves: dict[str, Curve]) -> str:
    """Whether the VAEs are ahead of PCA and the autoencoder at every rate."""
    lines = []
    for vae in (name for name in VAES if name in curves):
        for name in (name for name in BASELINES if name in curves and name != vae):
            ratio = rate_ratio(curves[name], curves[vae])
            if ratio is not None:
                least, largest = (percent(100 * (f(ratio[1]) - 1)) for f in (min, max))
                ahead = "yes" if max(ratio[1]) < 1 else "no"
                span = f"{ratio[0][0]:.1f} to {ratio[0][-1]:.1f}"
                lines.append(f"| {vae} | {name} | {least} | {largest} | {ahead} | {span} |")
    head = "| | against | rate at equal PSNR: least | largest | ahead at every rate | common range, dB |"
    return "\n".join([head, "| --- | --- | ---: | ---: | --- | --- |", *lines]) if lines else ""


def _cell(result: tuple[float, float, float] | None) -> str:
    return "– | –" if result is None else f"{result[0]:+.1f} % | {result[1]:.1f} to {result[2]:.1f}"


def _per_image(anchor: Curve, test: Curve) -> str:
    """Mean and extremes of the BD-rates of single pictures, by PSNR."""
    results = [
        bd_rate(anchor.images[name], test.images[name], "psnr_db") for name in anchor.images if name in test.images
    ]
    values = [result[0] for result in results if result is not None]
    return f"{np.mean(values):+.1f} % ({min(values):+.1f} to {max(values):+.1f})" if values else "–"


def table(anchor_name: str, curves: dict[str, Curve], published: dict[str, Curve], pictures: int) -> str:
    """BD-rates of all curves against one of them; `pictures` is how many there are."""
    anchor = (curves | published)[anchor_name]
    lines = [
        f"### BD-rate against {anchor_name}\n",
        "| codec | by PSNR | common range, dB | per picture: mean (extremes) | by SSIMULACRA2 | common range |",
        "| --- | ---: | --- | --- | ---: | --- |",
    ]
    rows = []
    for name, curve in (curves | published).items():
        if name == anchor_name:
            continue
        results = [bd_rate(anchor, curve, measure) for measure in MEASURES]
        label = f"{name} (published)"
        if name in curves:
            count = len(curve.images)
            label = name if count == pictures else f"{name} ({count} of {pictures} pictures)"
        cells = f"{_cell(results[0])} | {_per_image(anchor, curve)} | {_cell(results[1])}"
        rows.append((math.inf if results[0] is None else results[0][0], f"| {label} | {cells} |"))
    return "\n".join(lines + [row for _, row in sorted(rows)])


VAES = ("vaecodec", "VAE, factorised prior")
BASELINES = ("PCA 16x16", "PCA 8x8", "Autoencoder", "VAE, factorised prior", "vaecodec, factorised")
IN_SHORT = ("ELIC", "mbt2018-mean", "BPG", "bmshj2018-hyperprior")
"""The published curves that the short table has."""


def percent(value: float) -> str:
    """With a sign, and a real minus."""
    return f"{value:+.1f} %".replace("-", "−")


def short_table(anchor: Curve, curves: dict[str, Curve], published: dict[str, Curve]) -> str:
    """BD-rates by PSNR alone, as the README has them."""
    shown = curves | {f"{name} (published)": published[name] for name in IN_SHORT if name in published}
    results = {name: bd_rate(anchor, curve, "psnr_db") for name, curve in shown.items()}
    rows = sorted((result[0], name) for name, result in results.items() if result is not None)
    bold = lambda name: f"**{name}**" if name == "vaecodec" else name
    return "\n".join(
        ["| codec | BD-rate |", "|---|---:|", *(f"| {bold(name)} | {percent(rate)} |" for rate, name in rows)]
    )


def report(
    curves: dict[str, Curve],
    published: dict[str, Curve],
    checks: dict[str, tuple[str, Curve]],
    anchors: tuple[str, ...],
    data: dict,
    count: int,
) -> str:
    """All tables, what was measured with, and what was left out."""
    parts = [
        f"Means over {count} pictures of bits per pixel (whole files) and of each measure, at constant setting; "
        "8-bit RGB. BD-rate: mean difference in rate at equal quality over the common range; negative is smaller.\n"
    ]
    known = [name for name in anchors if name in curves | published]
    if known:
        parts.append(f"### In short: BD-rate by PSNR against {known[0]}\n")
        parts.append(short_table((curves | published)[known[0]], curves, published))
    parts += [f"\n{table(name, curves, published, count)}" for name in known]
    if baselines := baseline_table(curves):
        parts.append(f"\n### What is learned, against PCA and the plain autoencoder\n\n{baselines}")
    agreement = [
        (name, of, bd_rate(curve, curves[of], "psnr_db")) for name, (of, curve) in checks.items() if of in curves
    ]
    if agreement:
        parts.append("\n### Measured here against published measurements of the same codec\n")
        parts.append("| published | here | BD-rate by PSNR | common range, dB |\n| --- | --- | ---: | --- |")
        parts += [f"| {name} | {of} | {_cell(result)} |" for name, of, result in agreement]
    parts.append("\n### Settings\n\n| codec | settings | version |\n| --- | --- | --- |")
    parts += [f"| {name} | {data['codecs'][name]['settings']} | {data['codecs'][name]['version']} |" for name in curves]
    for title, key in (("Left out", "left_out"), ("Failed", "failed")):
        if data.get(key):
            parts.append(f"\n### {title}\n")
            parts += [f"- {name}: {reason}" for name, reason in data[key].items()]
    return "\n".join(parts) + "\n"
