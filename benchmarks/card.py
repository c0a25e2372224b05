"""What is a model, and how good? Its card is brought up to date: what its weights say, and its figures on Kodak.

    vaecodec evaluate kodak/ -m light --json benchmarks/results/kodak-evaluate.json -f
    python benchmarks/card.py light benchmarks/results/kodak-evaluate.json --kodak benchmarks/results/kodak.json

Rows with other names, and all other text, stay as they are.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
from shared.options import SETTINGS
from shared.places import PRETRAINED
from shared.rates.curves import USEFUL_SSIMULACRA2, Curve, bd_rate, useful_range
from shared.rates.measures import MEASURES
from shared.rates.tables import models, percent
from shared.results import markdown_table

ANCHOR = "AVIF"
TABLE_HEAD = ["quality", "bpp", "PSNR, dB", "MS-SSIM", "SSIMULACRA2"]
OLD_TABLE = re.compile(r"\| quality \| bpp \|.*?\n(?=\n|\Z)", re.DOTALL)
NEW_CARD = "# {name}\n\n| | |\n|---|---|\n\n## Rate and distortion on Kodak\n\n| quality | bpp |\n"


def facts(stored) -> dict[str, str]:
    """What weights say of themselves."""
    config = stored.config
    macs = config.kmac_per_pixel()
    encoder = macs["analysis"] + macs["hyper_analysis"]
    posterior = f"; posterior for bits-back {config.prior_width} wide" if config.bits_back else ""
    return {
        "fingerprint": f"`{stored.fingerprint}`",
        "trained for": config.distortion,
        "sizes": f"y {config.y_channels} at 1/16, z {config.z_channels} at 1/64; analysis {config.analysis_width} × "
        f"{config.analysis_blocks} blocks, synthesis {config.synthesis_width} × {config.synthesis_blocks}, prior "
        f"{config.prior_width} wide, 4 steps{posterior}",
        "multiply-accumulates": f"decoder {macs['decoder']:.1f} k a pixel (synthesis {macs['synthesis']:.1f}, prior "
        f"{macs['prior']:.1f}), encoder {encoder:.1f} k",
        "λ": f"{config.lambda_min:g} to {config.lambda_max:g}, log-spaced over the model's scale",
    }


def kodak_fact(model_id: str, data: dict) -> dict[str, str]:
    """Rates against `ANCHOR`, from what `rate_distortion.py` stored; nothing if that is not of this model."""
    names = [name for name in models(data["codecs"]) if data["codecs"][name]["version"] == f"model id {model_id}"]
    if not names or not {names[0], ANCHOR} <= set(data["means"]):
        return {}
    anchor, curve = (Curve(**data["means"][name]) for name in (ANCHOR, names[0]))
    results = {measure: bd_rate(anchor, curve, measure, useful_range(anchor, measure)) for measure in MEASURES}
    rates = [f"{MEASURES[m].title} {percent(result[0])}" for m, result in results.items() if result]
    low, high = USEFUL_SSIMULACRA2
    return {f"Kodak against {ANCHOR}": f"{', '.join(rates)} (BD-rate where its SSIMULACRA2 is {low:g} to {high:g})"}


def with_facts(card: str, rows: dict[str, str]) -> str:
    """The card with these rows in its first table: in place of those of the same name, or after the others."""
    for name, value in rows.items():
        line = f"| {name} | {value} |"
        card, replaced = re.subn(rf"^\| {re.escape(name)} \|.*$", lambda _, line=line: line, card, flags=re.MULTILINE)
        if not replaced:
            card = re.sub(r"(\|---\|---\|\n(?:\|.*\n)*)", lambda m, line=line: f"{m[1]}{line}\n", card, count=1)
    return card


def figures(means: dict[str, list[float]]) -> str:
    """The table of rate and distortion, from what `vaecodec evaluate` wrote."""
    columns = ("quality", "bpp", "psnr-rgb", "ms-ssim-rgb", "ssimulacra2-rgb")
    rows = zip(*(means[column] for column in columns), strict=True)
    return markdown_table(TABLE_HEAD, ["{:g}|{:.3f}|{:.2f}|{:.4f}|{:.1f}".format(*row).split("|") for row in rows])


@click.command(context_settings=SETTINGS)
@click.argument("name")
@click.argument("evaluated", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--kodak", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Of rate_distortion.py.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=PRETRAINED, help="Where cards lie.")
def main(name: str, evaluated: Path, kodak: Path | None, folder: Path) -> None:
    """Write the card of the model NAME, with what `vaecodec evaluate` measured of it, EVALUATED."""
    from vaecodec.networks.weights import load_model

    stored = load_model(folder / f"{name}.safetensors")
    results = json.loads(evaluated.read_text())
    if stored.fingerprint not in results["description"]:
        raise click.ClickException(f"{evaluated} is not of the model {stored.fingerprint[:8]}")
    rows = facts(stored)
    if kodak:
        rows |= kodak_fact(stored.model_id.hex(), json.loads(kodak.read_text()))
    path = folder / f"{name}.md"
    card = with_facts(path.read_text() if path.exists() else NEW_CARD.format(name=name), rows)
    table = f"{figures(results['results'])}\n"
    card, replaced = OLD_TABLE.subn(lambda _: table, card)
    if not replaced:
        raise click.ClickException(f"{path} has no table that begins with | quality | bpp |")
    path.write_text(card, encoding="utf-8")
    click.echo(path)


if __name__ == "__main__":
    main()
