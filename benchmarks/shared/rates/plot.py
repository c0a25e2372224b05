"""Draws curves of rate and distortion: log rate, and the rate relative to an anchor's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shared.drawing import GREY, label_ends, style
from shared.rates.curves import Curve, rate_ratio
from shared.rates.measures import MEASURES

RATES_BPP = (0.05, 2.5)


def draw(curves: dict[str, Curve], published: dict[str, Curve], anchor: str, path: Path) -> None:
    """Panels for each measure that there is, and one of the rate relative to the anchor at equal PSNR."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    anchor = anchor if anchor in curves | published else next(iter(curves))
    measures = [name for name in MEASURES if any(getattr(curve, name) for curve in curves.values())]
    count = len(measures) + 1
    rows = -(-count // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(15, 7.2 * rows), squeeze=False, dpi=130)
    figure.subplots_adjust(left=0.05, right=0.88, top=0.96, bottom=0.06, wspace=0.42, hspace=0.2)
    styles = {name: {"color": GREY, "linewidth": 0.9, "zorder": 2} for name in published}
    styles |= {name: style(number) for number, name in enumerate(curves)}
    panels = axes.flat
    _relative(panels[1], published | curves, styles, anchor)
    for axis, measure in zip([panels[0], *panels[2:]], measures, strict=False):
        _absolute(axis, published | curves, styles, measure)
    for axis in list(panels)[count:]:
        axis.remove()
    figure.savefig(path)
    plt.close(figure)


def _rate_axis(axis) -> None:
    axis.set_xscale("log")
    ticks = (0.05, 0.1, 0.2, 0.5, 1, 2)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)


def _absolute(axis, curves: dict[str, Curve], styles: dict[str, dict], measure: str) -> None:
    ends = []
    for name, curve in curves.items():
        if not getattr(curve, measure):
            continue
        rate, value = np.array(curve.bpp), np.array(curve.scaled(measure))
        inside = (rate >= RATES_BPP[0]) & (rate <= RATES_BPP[1])
        if inside.sum() < 2:
            continue
        axis.plot(rate[inside], value[inside], **styles[name])
        ends.append((rate[inside][-1], value[inside][-1], name, styles[name]["color"]))
    _rate_axis(axis)
    axis.set(xlabel="bits per pixel", ylabel=MEASURES[measure].axis, xlim=RATES_BPP)
    if measure == "ssimulacra2":
        axis.set_ylim(bottom=-20)
    axis.grid(alpha=0.3)
    label_ends(axis, ends)


def _relative(axis, curves: dict[str, Curve], styles: dict[str, dict], anchor: str) -> None:
    ends = []
    for name, curve in curves.items():
        result = rate_ratio(curves[anchor], curve)
        if result is None:
            continue
        inside = (result[0] >= 24) & (result[0] <= 42)
        grid, ratio = (values[inside] for values in result)
        if len(grid) < 5:
            continue
        look = {key: value for key, value in styles[name].items() if key not in ("marker", "markersize")}
        axis.plot(grid, ratio, **look)
        ends.append((grid[-1], ratio[-1], name, look["color"]))
    axis.set_yscale("log")
    ticks = (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4, 6)
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_yticks([], minor=True)
    axis.set(xlabel="PSNR, dB", ylabel=f"rate at equal PSNR, relative to {anchor}")
    axis.grid(alpha=0.3)
    label_ends(axis, ends)
