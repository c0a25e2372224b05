"""Pictures of results: labels at the curves, colours that colour-blind people tell apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# Okabe and Ito's colours; with the line styles and markers each curve differs from the others in print too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^Dv<>PX*"
GREY = "0.62"


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
