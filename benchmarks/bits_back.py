"""What does bits-back coding of the hyperlatents bring? Every bit accounted for, against rounded hyperlatents.

    python benchmarks/bits_back.py kodak/ -o benchmarks/results/bits-back
    python benchmarks/bits_back.py kodak/ --crop 128 -o benchmarks/results/bits-back-128

Each picture is coded both ways, at effort 0, since higher levels choose symbols for the lattices that go with rounded
z. "z" is what hyperlatents cost: their code length where they are rounded; what was pushed less what was returned
where they are sampled, and beside it KL(q ‖ p), which that should be on average. The difference of the two stands with
its standard error, over pictures, and once more for a sample from words that were not whitened. "Not covered" is the z
of the lower rows, which had nothing to be hidden in. The last columns are of whole files, and the sum over all pictures
is what a batch takes. Stopped, the program goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from shared.drawing import COLOURS, single
from shared.hyperlatents import measure
from shared.options import SETTINGS, images_argument, model_option, output_option, qualities_option
from shared.pictures import usable_pictures
from shared.results import Store, markdown_table, measure_all, publish


def report(rows: dict[str, dict[str, dict]], count: int) -> str:
    """Markdown: by quality, over the pictures."""
    cells = []
    for quality, by_image in rows.items():
        possible = [row for row in by_image.values() if row["bits_back_bytes"]]
        if not possible:
            continue
        bpp = lambda key, chosen=possible: sum(r[key] for r in chosen) / sum(r["pixels"] for r in chosen)
        net = bpp("pushed_bits") - bpp("returned_bits")
        surplus = [r["pushed_bits"] - r["returned_bits"] - r["kl_bits"] for r in possible]
        raw = [r["not_whitened_surplus_bits"] for r in by_image.values() if r["not_whitened_surplus_bits"] is not None]
        change = [100 * (r["bits_back_bytes"] / r["rounded_bytes"] - 1) for r in possible]
        decibels = np.mean([r["bits_back_psnr_db"] - r["rounded_psnr_db"] for r in possible])
        smaller = sum(min(r["bits_back_bytes"] or r["rounded_bytes"], r["rounded_bytes"]) for r in by_image.values())
        cells.append(
            [
                quality,
                f"{8 * bpp('rounded_bytes'):.4f}",
                f"{bpp('rounded_z_bits'):.5f}",
                f"{bpp('pushed_bits'):.5f}",
                f"{bpp('returned_bits'):.5f}",
                f"{net:.5f}",
                f"{bpp('kl_bits'):.5f}",
                _mean_and_error(surplus),
                _mean_and_error(raw),
                f"{bpp('not_covered_bits'):.5f}",
                f"{np.mean(change):+.2f} % ({min(change):+.2f} to {max(change):+.2f})",
                f"{decibels:+.3f}",
                f"{100 * (smaller / sum(r['rounded_bytes'] for r in by_image.values()) - 1):+.3f} %",
            ]
        )
    head = [
        "quality",
        "file, rounded z, bpp",
        "z, rounded, bpp",
        "pushed",
        "returned",
        "net",
        "KL",
        "net less KL, bits a picture",
        "the same, not whitened",
        "not covered",
        "file against rounded z: mean (extremes)",
        "PSNR, dB",
        "batch, the smaller of both",
    ]
    return (
        f"{count} pictures, of which those that allow bits-back count; rates in bits per pixel.\n\n"
        + markdown_table(head, cells)
        + "\n"
    )


def _mean_and_error(values: list[float]) -> str:
    """Mean, its standard error, and how many of those it is from 0; "–" for fewer than two values."""
    if len(values) < 2:
        return "–"
    mean = np.mean(values)
    error = np.std(values, ddof=1) / len(values) ** 0.5
    return f"{mean:+.1f} ± {error:.1f} ({mean / error:+.1f})"


def plot(rows: dict[str, dict[str, dict]], path: Path) -> None:
    """Change of the file's size against its rate, a dot a picture, with mean and standard deviation a quality."""
    with single(path, "file with rounded z, bits per pixel", "bits-back against rounded z, % of the file") as axis:
        for number, (quality, by_image) in enumerate(rows.items()):
            possible = [row for row in by_image.values() if row["bits_back_bytes"]]
            if not possible:
                continue
            rate = np.array([8 * row["rounded_bytes"] / row["pixels"] for row in possible])
            change = np.array([100 * (row["bits_back_bytes"] / row["rounded_bytes"] - 1) for row in possible])
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(rate, change, ".", color=colour, alpha=0.5, markersize=4)
            axis.errorbar(rate.mean(), change.mean(), change.std(), color=colour, marker="s", capsize=4)
            axis.annotate(f"q{quality}", (rate.mean(), change.mean()), xytext=(6, 4), textcoords="offset points")
        axis.axhline(0, color="0.4", linewidth=1)
        axis.set_xscale("log")


@click.command(help=__doc__, context_settings=SETTINGS)
@images_argument
@model_option
@qualities_option("1,10,20,35,50,65,80,95")
@click.option("--crop", type=click.IntRange(min=1), help="Use only the middle of each picture, so many pixels a side.")
@output_option("benchmarks/results/bits-back")
def main(paths: tuple[Path, ...], model: str | None, qualities: list[str], crop: int | None, output: Path) -> None:
    from vaecodec.codec.codec import Codec

    pictures = usable_pictures(paths).images
    if crop:
        pictures = {name: _middle(rgb, crop) for name, rgb in pictures.items() if min(rgb.shape[:2]) >= crop}
    codec = Codec(model)
    if codec.bits_back is None:
        raise click.ClickException(f"model {codec.name} has no posterior")
    store = Store(output.with_suffix(".json"))
    stamp = {"model": codec.name, "model_id": codec.stored.fingerprint[:8]}
    rows = measure_all(store, stamp, qualities, pictures, lambda q, rgb: measure(codec, rgb, float(q)))
    plot(rows, output.with_suffix(".png"))
    publish(store, output, report(rows, len(pictures)))


def _middle(rgb: np.ndarray, side: int) -> np.ndarray:
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return np.ascontiguousarray(rgb[top : top + side, left : left + side])


if __name__ == "__main__":
    main()
