"""How far is what training minimises from what files cost? The bound with noise, with rounding, and as files have it.

    python benchmarks/surrogate.py --data photos/ -o benchmarks/results/surrogate

Measured on the middles of pictures that training holds out. Stopped, it goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from common import (
    SETTINGS,
    Store,
    data_option,
    held_out_crops,
    markdown_table,
    measure_all,
    model_option,
    numbers_option,
    output_option,
    publish,
)

KINDS = {
    "noise": "noise in the rate, as trained",
    "nearest": "nearest symbols",
    "chosen": "symbols as sent",
}


def measure(codec, rgb: np.ndarray, share: float) -> dict[str, list[float]]:
    """Rate in bpp and objective λ·255²·MSE + bpp by each of `KINDS`, at a share of the range of qualities."""
    import torch

    from vaecodec.objective.bound import nearest, noisy
    from vaecodec.objective.rounding import optimised

    x = torch.from_numpy(rgb).to(codec.device).permute(2, 0, 1)[None].float() / 255
    quality = torch.tensor([share], device=codec.device)
    lmbda = codec.model.config.lmbda(quality)
    roundings = {
        "noise": (noisy, None),
        "nearest": (nearest, None),
        "chosen": (optimised(quality, codec.model.config), nearest),
    }
    result = {}
    torch.manual_seed(0)
    with torch.no_grad():
        for kind, pair in roundings.items():
            bound = codec.model(x, quality, *pair)[1]
            result[kind] = [round(float(v), 5) for v in (bound.total_bpp, bound.objective(lmbda))]
    return result


def means(rows: dict[str, dict[str, dict]]) -> dict[str, dict[str, list[float]]]:
    """Over the crops, by share and kind."""
    return {
        share: {kind: np.mean([row[kind] for row in by_image.values()], axis=0).tolist() for kind in KINDS}
        for share, by_image in rows.items()
    }


def report(table: dict[str, dict[str, list[float]]], count: int, side: int) -> str:
    """Markdown."""
    cells = []
    for share, row in table.items():
        gap = row["noise"][0] - row["nearest"][0]
        cells.append([share, *(f"{row[kind][0]:.3f} ({row[kind][1]:.3f})" for kind in KINDS), f"{gap:+.3f}"])
    head = ["quality, share of the range", *KINDS.values(), "noise − nearest, bpp"]
    return (
        f"{count} held-out crops of {side}x{side}: bits per pixel, and the objective λ·255²·MSE + bpp in brackets.\n\n"
        f"{markdown_table(head, cells)}\n"
    )


def draw(table: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Rates by kind."""
    from rd_plot import COLOURS, MARKERS, single

    with single(path, "quality, share of the range", "bits per pixel") as axis:
        for number, (kind, words) in enumerate(KINDS.items()):
            rates = [row[kind][0] for row in table.values()]
            axis.plot(list(map(float, table)), rates, color=COLOURS[number], marker=MARKERS[number], label=words)
        axis.legend()


@click.command(context_settings=SETTINGS)
@data_option
@output_option("surrogate")
@model_option
@numbers_option("--shares", "0.1,0.3,0.5,0.7,0.9", "Qualities as shares of their range", 0, 1)
@click.option("--crop", default=256, show_default=True, type=click.IntRange(min=16), help="Side; a multiple of 16.")
@click.option("--count", type=click.IntRange(min=1), help="Use so many pictures at most.")
def main(data: tuple[Path, ...], output: Path, model: str | None, shares: list[str], crop: int, count: int) -> None:
    """Measure the training objective and the discrete bound on held-out crops."""
    from vaecodec.codec.codec import Codec

    if crop % 16:
        raise click.UsageError("--crop: not a multiple of 16")
    images, codec = held_out_crops(data, crop, crop, count), Codec(model)
    store = Store(output.with_suffix(".json"))
    stamp = {"model_id": codec.stored.model_id.hex(), "crop": crop}
    rows = measure_all(store, stamp, shares, images, lambda share, image: measure(codec, image, float(share)))
    store.data["means"] = table = means(rows)
    publish(store, output, report(table, len(images), crop))
    draw(table, output.with_suffix(".png"))


if __name__ == "__main__":
    main()
