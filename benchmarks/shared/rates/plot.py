"""Draws curves of rate and distortion: log rate, labels at the curves, colours that colour-blind people tell apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from shared.rates.curves import Curve, rate_ratio
from shared.rates.measures import MEASURES

# Okabe and Ito's colours; with the line styles and markers each curve differs from the others in print too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^Dv<>PX*"
GREY = "0.62"
RATES_BPP = (0.05, 2.5)


def style(number: int) -> dict:
    """How the curve with this number is drawn; number 0 stands out."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": STYLES[number // len(COLOURS) % len(STYLES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 3.5,
        "linewidth": 2.2 if number == 0 else 1.3,
        "zorder": 5 if number == 0 else 3,
    }


@contextlib.contextmanager
def single(path: Path, x: str, y: str) -> Iterator:
    """One pair of axes, to draw into; then it is written to a file."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 5), dpi=120, layout="constrained")
    axis.set(xlabel=x, ylabel=y)
    axis.grid(alpha=0.3)
    try:
        yield axis
        figure.savefig(path)
    finally:
        plt.close(figure)


def label_ends(axis, ends: list[tuple[float, float, str, str]], size: float = 8) -> None:
    """Writes labels in the right margin, spread so that none covers another, each with a line to its curve's end.

    Args:
        ends: x, y (in data), text and colour.
    """
    if not ends:
        return
    to_axes = lambda x, y: axis.transAxes.inverted().transform(axis.transData.transform((x, y)))
    height = axis.get_window_extent().height / axis.figure.dpi * 72
    gap = 1.25 * size / height
    items = sorted((np.clip(to_axes(x, y)[1], 0, 1), x, y, text, colour) for x, y, text, colour in ends)
    places = np.array([item[0] for item in items])
    for _ in range(200):  # push neighbours apart, keep all within the axes
        for i in range(len(places) - 1):
            lack = gap - (places[i + 1] - places[i])
            if lack > 1e-6:
                places[i] -= lack / 2
                places[i + 1] += lack / 2
        places = np.clip(places, np.arange(len(places)) * gap - 0.02, 1.02 - np.arange(len(places))[::-1] * gap)
    for place, (_, x, y, text, colour) in zip(places, items, strict=True):
        axis.annotate(
            text, (x, y), (1.03, place), textcoords="axes fraction", va="center", fontsize=size, color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.6, "shrinkA": 0, "shrinkB": 1},
        )  # fmt: skip


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
