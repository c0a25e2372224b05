"""What do more training and more arithmetic buy? The objective by crops seen, BD-rate by the decoder's MACs.

    python benchmarks/scaling.py -o benchmarks/results/scaling
    python benchmarks/scaling.py -o benchmarks/results/scaling --run "light, 4th" runs/d/log.jsonl --after "light, 3rd"
    python benchmarks/scaling.py -o benchmarks/results/scaling --model mine.safetensors mine.json --crops 300000

Results keep all runs and models that were ever added; without options they are drawn anew. Runs come from the logs of
`vaecodec train`, models from the file that `vaecodec evaluate --json` wrote of them.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import click
import numpy as np
from shared.drawing import COLOURS, GREY, MARKERS
from shared.options import SETTINGS, output_option
from shared.places import RESULTS
from shared.rates.curves import Curve, bd_rate, published_curves
from shared.rates.tables import percent
from shared.results import Store, markdown_table, publish

ANCHOR = "VTM 18.0"
KODAK = RESULTS / "kodak.json"
PUBLISHED_KMAC = {
    "Cool-Chic 5": 2.0,
    "EVC-S": 69.5,
    "EVC-M": 158.0,
    "EVC-L": 291.0,
    "mbt2018-mean": 109.0,
    "ELIC": 382.0,
}
"""Thousands of multiply-accumulates a pixel to decode. Cool-Chic: its README; EVC: the baselines' table of C3
(google-deepmind/c3_neural_compression) for the transform, the entropy model counted from its code; the others:
results/all_fpp.csv of mandt-lab/shallow-ntc, halved, since it counts FLOPs."""


def run_of(log: Path, before: int) -> dict[str, list]:
    """Validations of a run's log: crops seen, those of the weights that it began with included, and objectives."""
    checks = [entry for line in log.read_text().splitlines() if "validation" in (entry := json.loads(line))]
    if not checks:
        raise click.ClickException(f"{log}: the log of a run with validations is needed")
    return {
        "crops": [before + entry["crops"] for entry in checks],
        "validation": [entry["validation"]["loss"] for entry in checks],
    }


def model_of(path: str, kodak: Path, crops: int) -> tuple[str, dict]:
    """A model's name, its sizes, and what it needs on Kodak."""
    from vaecodec.networks.weights import load_model

    stored, means = load_model(path), json.loads(kodak.read_text())
    if stored.fingerprint not in means["description"]:
        raise click.ClickException(f"{kodak}: not of the model {path}")
    return f"{stored.name} {stored.fingerprint[:8]}", {
        "config": stored.config.name,
        "crops": crops,
        "decoder_kmac": round(stored.config.kmac_per_pixel()["decoder"], 2),
        "bpp": means["results"]["bpp"],
        "psnr_db": means["results"]["psnr-rgb"],
    }


@functools.cache
def published() -> dict[str, Curve]:
    """Curves of others, by name."""
    return published_curves()[0]


def against_anchor(curve: Curve) -> float:
    """BD-rate by PSNR in per cent against VTM."""
    result = bd_rate(published()[ANCHOR], curve, "psnr_db")
    if result is None:
        raise click.ClickException(f"no common range with {ANCHOR}")
    return result[0]


def baselines() -> dict[str, tuple[float, float]]:
    """kMAC a pixel and BD-rate of what was fitted here and is no photo model, from the committed results."""
    from vaecodec.networks.config import CONFIGS

    light, means = CONFIGS["light"], json.loads(KODAK.read_text())["means"]
    kmac = {"PCA 16x16": 768 * 768 / 256e3, "vaecodec, tune=psnr, factorised": light.kmac_per_pixel()["synthesis"]}
    return {name: (value, against_anchor(Curve(**means[name]))) for name, value in kmac.items()}


def progress(runs: dict[str, dict]) -> dict[str, tuple[list[int], np.ndarray]]:
    """Crops seen and the objective in per cent of the very first's: the geometric mean over qualities."""
    first = np.log(next(iter(runs.values()))["validation"][0])
    means = {name: np.log(run["validation"]) - first for name, run in runs.items()}
    return {name: (run["crops"], 100 * np.exp(means[name].mean(1))) for name, run in runs.items()}


def report(runs: dict[str, dict], models: dict[str, dict]) -> str:
    """Markdown: models, then where each run began and ended."""
    rows = [
        [
            name,
            model["config"],
            f"{model['crops']:,}",
            f"{model['decoder_kmac']:.1f}",
            percent(model["bd_rate_percent"]),
        ]
        for name, model in models.items()
    ]
    text = f"BD-rate by PSNR against {ANCHOR} on Kodak.\n\n"
    text += markdown_table(["model", "config", "crops seen", "decoder, kMAC a pixel", "BD-rate"], rows) + "\n\n"
    text += "The objective of the averaged weights on held-out crops, in per cent of the first that was measured.\n\n"
    rows = [
        [name, f"{crops[0]:,} to {crops[-1]:,}", f"{values[0]:.1f}", f"{values[-1]:.1f}"]
        for name, (crops, values) in progress(runs).items()
    ]
    return text + markdown_table(["run", "crops seen", "at first", "at last"], rows) + "\n"


def draw(runs: dict[str, dict], models: dict[str, dict], path: Path) -> None:
    """The objective against crops, and BD-rate against MACs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), dpi=120, layout="constrained")
    for number, (name, (crops, values)) in enumerate(progress(runs).items()):
        left.plot(crops, values, f"{MARKERS[number]}-", markersize=3.5, color=COLOURS[number % 7], label=name)
    left.set(xscale="log", xlabel="crops seen", ylabel="objective on held-out crops, % of the first")
    left.legend(fontsize=8)
    points = [(kmac, against_anchor(published()[name]), name, GREY) for name, kmac in PUBLISHED_KMAC.items()]
    points += [(kmac, rate, name, COLOURS[1]) for name, (kmac, rate) in baselines().items()]
    points += [
        (
            model["decoder_kmac"],
            model["bd_rate_percent"],
            f"{model['config']}, {model['crops'] / 1000:,.0f}k crops",
            COLOURS[0],
        )
        for model in models.values()
    ]
    for number, (kmac, rate, name, colour) in enumerate(points):
        right.plot(kmac, rate, "o", markersize=5, color=colour)
        leftwards = colour == COLOURS[0] and number % 2  # models of one size lie close above each other
        right.annotate(
            name, (kmac, rate), (-6 if leftwards else 6, 0), textcoords="offset points", va="center",
            ha="right" if leftwards else "left", fontsize=8, color=colour,
        )  # fmt: skip
    right.set(
        xscale="log", xlabel="decoder, thousands of multiply-accumulates a pixel", ylabel=f"BD-rate against {ANCHOR}, %"
    )
    right.set_xlim(1, 2000)
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.savefig(path)
    plt.close(figure)


existing = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(context_settings=SETTINGS)
@output_option("scaling")
@click.option(
    "--run",
    "added",
    nargs=2,
    type=(str, existing),
    metavar="NAME LOG",
    help="Add a run, by the log.jsonl of its folder.",
)
@click.option("--after", help="The stored run with whose last weights the added one began.")
@click.option(
    "--model",
    "evaluated",
    nargs=2,
    type=(str, existing),
    metavar="MODEL JSON",
    help="Add a model, by its name or file and what vaecodec evaluate wrote of it.",
)
@click.option("--crops", type=click.IntRange(min=0), help="Crops that the added model has seen.")
def main(
    output: Path,
    added: tuple[str, Path] | None,
    after: str | None,
    evaluated: tuple[str, Path] | None,
    crops: int | None,
) -> None:
    """Draw what training and arithmetic buy."""
    store = Store(output.with_suffix(".json"))
    runs, models = store.data.setdefault("runs", {}), store.data.setdefault("models", {})
    if after is not None and after not in runs:
        raise click.UsageError(f"--after: there is no run {after!r}; there are: {', '.join(runs) or 'none'}")
    if (evaluated is None) != (crops is None):
        raise click.UsageError("--model and --crops go together")
    if added:
        runs[added[0]] = run_of(added[1], runs[after]["crops"][-1] if after else 0)
    if evaluated:
        name, model = model_of(*evaluated, crops)
        models[name] = model
    if not runs:
        raise click.UsageError(f"{output.with_suffix('.json')} has no run yet; add one with --run")
    for model in models.values():
        model["bd_rate_percent"] = round(against_anchor(Curve(model["bpp"], model["psnr_db"])), 2)
    publish(store, output, report(runs, models))
    draw(runs, models, output.with_suffix(".png"))


if __name__ == "__main__":
    main()
