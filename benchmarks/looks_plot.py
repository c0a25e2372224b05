"""How good does each codec look at each rate? SSIMULACRA2 of our default, and of what people would use instead.

    python benchmarks/looks_plot.py benchmarks/results/kodak.json -o benchmarks/results/looks.png

From what `rate_distortion.py` stored; nothing is measured here.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
from shared.drawing import COLOURS, label_ends
from shared.options import SETTINGS
from shared.rates.curves import Curve

SHOWN = {"vaecodec": "vaecodec", "AVIF": "AVIF", "JPEG XL": "JPEG XL", "WebP": "WebP", "JPEG 4:2:0": "JPEG"}
"""Curves, and what they are called here; the first stands out."""
RATES_BPP, LOOKS = (0.1, 2.0), (10, 90)
TICKS_BPP = (0.1, 0.2, 0.5, 1, 2)


def shown_part(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Rates and SSIMULACRA2 within the picture, straight between points on its log scale."""
    rates, looks = np.log(curve.bpp), np.array(curve.ssimulacra2)
    ends = (max(rates[0], np.log(RATES_BPP[0])), min(rates[-1], np.log(RATES_BPP[1])))
    grid = np.linspace(*ends, 200)
    values = np.interp(grid, rates, looks)
    inside = (values >= LOOKS[0]) & (values <= LOOKS[1])
    return np.exp(grid[inside]), values[inside]


def draw(curves: dict[str, Curve], path: Path) -> None:
    """Curves with their labels at their ends, ours bold."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 5), dpi=130)
    figure.subplots_adjust(left=0.09, right=0.84, top=0.97, bottom=0.12)
    axis.set_xscale("log")
    axis.set(xlabel="bits per pixel", ylabel="SSIMULACRA2", xlim=RATES_BPP, ylim=LOOKS)
    axis.set_xticks(TICKS_BPP, [f"{tick:g}" for tick in TICKS_BPP])
    axis.set_xticks([], minor=True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
    ends = []
    for number, (name, curve) in enumerate(curves.items()):
        rates, looks = shown_part(curve)
        if not len(rates):
            continue
        axis.plot(rates, looks, color=COLOURS[number], linewidth=1.5 if number else 3, zorder=3 if number else 5)
        ends.append((rates[-1], looks[-1], SHOWN[name], COLOURS[number]))
    label_ends(axis, ends, size=11)
    figure.savefig(path)
    plt.close(figure)


@click.command(context_settings=SETTINGS)
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The picture.")
def main(results: Path, output: Path) -> None:
    """Draw what is in RESULTS, the JSON of rate_distortion.py."""
    means = json.loads(results.read_text())["means"]
    curves = {name: Curve(**means[name]) for name in SHOWN if means.get(name, {}).get("ssimulacra2")}
    if len(curves) < 2:
        raise click.ClickException(f"{results}: fewer than two of {', '.join(SHOWN)} with SSIMULACRA2")
    draw(curves, output)


if __name__ == "__main__":
    main()
