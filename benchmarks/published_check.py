"""Why do classic codecs differ here from published curves of them? From the published settings to ours, step by step.

    python benchmarks/published_check.py kodak/ -o benchmarks/results/published_check

Each step changes one setting of the encoder. Published curves are means over all 24 pictures of Kodak; steps that take
long are measured on every sixth picture at every other quality, against the first step at the same ones. Stopped, it
goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from shared.drawing import COLOURS
from shared.options import SETTINGS, images_argument, output_option
from shared.pictures import usable_pictures
from shared.rates.curves import bd_rate, measured_curves, published_curves
from shared.rates.measuring import run
from shared.rates.tables import percent
from shared.results import Store, markdown_table, publish, say

THIN = 6
"""A slow step is measured on every so-manieth picture."""


@dataclass(frozen=True)
class Step:
    """One setting of an encoder.

    Attributes:
        what: it changes, against the step before.
        codec: with the setting.
        slow: measured on few pictures.
    """

    what: str
    codec: object
    slow: bool = False


def ladders() -> dict[str, list[Step]]:
    """By published curve: steps from its settings, as far as they are known, to those of rate_distortion.py."""
    from vaecodec.baselines import classic

    grid = tuple(range(5, 100, 5))
    jpeg, webp, avif = classic.jpeg("4:2:0"), classic.webp(), classic.avif("psnr")
    variant = lambda codec, name, **options: replace(codec, name=name, options=codec.options | options)
    jpeg, webp = (replace(codec, qualities=grid) for codec in (jpeg, webp))
    slow = replace(avif, qualities=avif.qualities[:9:2])
    jpeg_steps = [
        Step("as published: 4:2:0, Huffman's tables of the standard", replace(jpeg, name="JPEG plain", options={})),
        Step("optimised tables", replace(jpeg, name="JPEG optimised", options={"optimize": True})),
        Step("and progressive, as here", jpeg),
        Step("4:4:4", variant(jpeg, "JPEG 4:4:4", subsampling="4:4:4")),
    ]
    return {
        "JPEG": jpeg_steps,
        "JPEG 4:2:0 (TFC)": jpeg_steps[:3],
        "WebP": [
            Step("as published: Pillow's defaults (method 4)", replace(webp, name="WebP plain", options={})),
            Step("method 6, as here", webp),
        ],
        "AVIF": [
            Step("tune=psnr, speed 6, as here", avif),
            Step("speed 3", variant(slow, "AVIF speed 3", speed=3), slow=True),
            Step("speed 0, the published one", variant(slow, "AVIF speed 0", speed=0), slow=True),
            Step("tune=iq, speed 6: libavif's default, as here", replace(classic.avif(), name="AVIF tune=iq")),
            Step("tune=ssim, speed 6", replace(classic.avif("ssim"), name="AVIF tune=ssim")),
            Step("tune=psnr, speed 6, 4:2:0", variant(avif, "AVIF 4:2:0", subsampling="4:2:0")),
        ],
    }


def compare(store: Store, images: list[str]) -> dict[str, list[dict]]:
    """For each published curve and step: BD-rates against the curve and against the ladder's first step."""
    published = {name: curve for name, (_, curve) in published_curves()[1].items()}
    results = {}
    for name, steps in ladders().items():
        first, rows = steps[0].codec, []
        for step in steps:
            used = images[::THIN] if step.slow else images
            same = replace(first, qualities=step.codec.qualities) if step.slow else first
            curves = measured_curves(store.data, [same, step.codec], used)
            against_first = bd_rate(curves[first.name], curves[step.codec.name], "psnr_db")
            row = {"step": step.what, "settings": step.codec.settings, "pictures": len(used)}
            row["against_first_percent"] = against_first and round(against_first[0], 3)
            if not step.slow:
                direct = bd_rate(published[name], curves[step.codec.name], "psnr_db")
                row["against_published_percent"] = direct and round(direct[0], 3)
                row["range_db"] = direct and [round(value, 3) for value in direct[1:]]
            elif against_first and rows[0]["against_published_percent"] is not None:
                # by way of the first step, which was measured on all pictures
                factors = [1 + percent / 100 for percent in (against_first[0], rows[0]["against_published_percent"])]
                row["against_published_percent"] = round(100 * (factors[0] * factors[1] - 1), 3)
            rows.append(row)
        results[name] = rows
    return results


def same_settings(store: Store) -> tuple[float, float] | None:
    """Pillow's plain JPEG and the published points, quality by quality: largest difference in rate, %, and mean, dB."""
    published = published_curves()[1]["JPEG"][1]
    curve = measured_curves(store.data, [ladders()["JPEG"][0].codec], list(store.data["images"]))["JPEG plain"]
    if len(curve.bpp) != len(published.bpp):
        return None
    rates = np.abs(np.array(curve.bpp) / np.array(published.bpp) - 1)
    return float(100 * rates.max()), float(np.mean(np.array(curve.psnr_db) - np.array(published.psnr_db)))


def report(results: dict[str, list[dict]], same: tuple[float, float] | None) -> str:
    """Markdown."""
    parts, show = [], lambda value: "–" if value is None else percent(value)
    for name, rows in results.items():
        cells = []
        for row in rows:
            direct = show(row.get("against_published_percent"))
            if row["pictures"] != rows[0]["pictures"]:
                direct += " (by way of the first row)"
            relative = "" if row is rows[0] else show(row["against_first_percent"])
            cells.append([row["step"], str(row["pictures"]), direct, relative])
        head = ["encoder here", "pictures", f"against the published {name}", "against the first row"]
        parts.append(f"### {name}\n\n{markdown_table(head, cells)}\n")
    if same is not None:
        parts.append(
            f"At the published settings, quality by quality, the mean rates of JPEG differ by {same[0]:.2f} % at most, "
            f"and the PSNR here is {same[1]:+.2f} dB on average.\n"
        )
    return "\n".join(parts)


def draw(results: dict[str, list[dict]], path: Path) -> None:
    """BD-rate against the published curve, a bar a step."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [(n, row) for n, group in results.items() for row in group if "against_published_percent" in row]
    figure, axis = plt.subplots(figsize=(10, 0.42 * len(rows) + 1), dpi=120, layout="constrained")
    places = -np.arange(len(rows))
    values = [row["against_published_percent"] or 0.0 for _, row in rows]
    colours = [COLOURS[list(results).index(name)] for name, _ in rows]
    axis.barh(places, values, color=colours)
    axis.set_yticks(places, [f"{name}: {row['step']}" for name, row in rows], fontsize=8)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(xlabel="rate at equal PSNR against the published curve, %")
    axis.grid(axis="x", alpha=0.3)
    figure.savefig(path)
    plt.close(figure)


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("published_check")
def main(paths: tuple[Path, ...], output: Path) -> None:
    """Measure JPEG, WebP and AVIF with several settings on IMAGES, which should be the 24 of Kodak."""
    folder = usable_pictures(paths)
    store = Store(output.with_suffix(".json"))
    steps = {step.codec.name: step for group in ladders().values() for step in group}
    few = dict(list(folder.images.items())[::THIN])
    failures = run(store, [s.codec for s in steps.values() if not s.slow], folder.images, ())
    failures += run(store, [s.codec for s in steps.values() if s.slow], few, ())
    for failure in failures:
        say(f"failed: {failure}")
    if failures:
        raise SystemExit(1)
    store.data["images"] = {name: store.data["images"][name] for name in folder.images}
    store.data["results"] = results = compare(store, list(folder.images))
    publish(store, output, report(results, same_settings(store)))
    draw(results, output.with_suffix(".png"))
    if folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
