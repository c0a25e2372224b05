"""What does more inference for the picture at hand bring? The bound and its two parts, by encode time and effort.

    python benchmarks/inference.py kodak/ --every 4 -o benchmarks/results/inference
    python benchmarks/inference.py kodak/ --efforts 0,1,2 -o benchmarks/results/inference-fast

Times are in units of an encode at effort 0 of the same picture and quality, measured just before. BD-rates are by what
the model is trained for: PSNR, or SSIMULACRA2. Stopped, it goes on where it was.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from shared.codecs import measure_of
from shared.drawing import COLOURS, MARKERS, single
from shared.options import SETTINGS, images_argument, model_option, numbers_option, output_option, qualities_option
from shared.pictures import usable_pictures
from shared.results import Store, markdown_table, measure_all, publish


def measure(codec, rgb: np.ndarray, quality: float, effort: int) -> dict[str, float]:
    """Bytes, quality and objective of a file, its encode and decode times, and that of effort 0."""
    from vaecodec.format import container
    from vaecodec.objective.distortion import ssimulacra2
    from vaecodec.pictures import metrics

    def timed(work, *args, **options) -> tuple[float, object]:
        start = time.perf_counter()
        result = work(*args, **options)
        return time.perf_counter() - start, result

    unit_s = min(timed(codec.compress, rgb, quality=quality, effort=0, graphics=False)[0] for _ in range(2))
    encode_s, data = timed(codec.compress, rgb, quality=quality, effort=effort, graphics=False)
    latents = codec.decode(container.unpack(data))
    decode_s, decoded = timed(codec.synthesize, latents)
    pixels = rgb.shape[0] * rgb.shape[1]
    rate, objective = 8 * len(latents.payload) / pixels, codec.objective(rgb, latents)
    return {
        "payload_bytes": len(latents.payload),
        "psnr_db": round(metrics.psnr_db(rgb, decoded), 5),
        **({"ssimulacra2": round(ssimulacra2(rgb, decoded), 4)} if measure_of(codec) == "ssimulacra2" else {}),
        "rate_bpp": round(rate, 6),
        "distortion_bpp": round(objective - rate, 6),
        "objective_bpp": round(objective, 6),
        "unit_s": round(unit_s, 4),
        "encode_s": round(encode_s, 4),
        "synthesis_s": round(decode_s, 4),
    }


Rows = dict[int, dict[str, dict[str, dict]]]
"""By effort, quality and picture."""


def saved_percent(rows: Rows, effort: int, quality: str | None = None) -> float:
    """Mean over pictures (and qualities) of how much smaller λ·D + R is than at effort 0."""
    qualities = [quality] if quality else list(rows[0])
    ratios = [
        row["objective_bpp"] / rows[0][q][name]["objective_bpp"]
        for q in qualities
        for name, row in rows[effort][q].items()
    ]
    return 100 * (1 - float(np.mean(ratios)))


def units(rows: Rows, effort: int) -> float:
    """Encode time, in encodes at effort 0: the median over pictures and qualities."""
    points = [row for by_image in rows[effort].values() for row in by_image.values()]
    return float(np.median([row["encode_s"] / row["unit_s"] for row in points]))


def bd_rates(rows: Rows, effort: int) -> dict[str, float]:
    """BD-rate in per cent against effort 0, of each picture, by SSIMULACRA2 where the rows have it."""
    from vaecodec.pictures import metrics

    first = next(iter(next(iter(rows[0].values())).values()))
    keys = ("rate_bpp", "ssimulacra2" if "ssimulacra2" in first else "psnr_db")
    curve = lambda e, name: [[by_image[name][key] for by_image in rows[e].values()] for key in keys]
    return {
        name: metrics.bd_rate_percent(*curve(0, name), *curve(effort, name)) for name in next(iter(rows[0].values()))
    }


def closed_percent(rows: Rows, effort: int) -> float:
    """Share of the amortisation gap that an effort closes; the gap is measured with the best of all that were run."""
    gap = closed = 0.0
    for quality, by_image in rows[0].items():
        for name, row in by_image.items():
            best = min(rows[e][quality][name]["objective_bpp"] for e in rows)
            gap += 1 - best / row["objective_bpp"]
            closed += 1 - rows[effort][quality][name]["objective_bpp"] / row["objective_bpp"]
    return 100 * closed / gap if gap else 0.0


def summary(rows: Rows) -> dict[str, dict]:
    """By effort, for the JSON file and the report."""
    enough = len(rows[0]) >= 4
    result = {}
    for effort in rows:
        bd = bd_rates(rows, effort) if enough else {}
        worst = max(
            row["objective_bpp"] / rows[0][q][name]["objective_bpp"]
            for q, by_image in rows[effort].items()
            for name, row in by_image.items()
        )
        result[str(effort)] = {
            "units": round(units(rows, effort), 2),
            "bd_rate_percent": round(float(np.mean(list(bd.values()))), 3) if bd else None,
            "saved_percent": round(saved_percent(rows, effort), 3),
            "saved_percent_by_quality": {q: round(saved_percent(rows, effort, q), 3) for q in rows[0]},
            "closed_percent": round(closed_percent(rows, effort), 1),
            "worst_percent": round(100 * (worst - 1), 4),
        }
    return result


def report(rows: Rows, table: dict[str, dict], levels: list[str]) -> str:
    """Markdown: a line an effort, then the bound's parts by quality.

    Args:
        levels: what each effort does, see `in_words`.
    """
    pictures, qualities = list(next(iter(rows[0].values()))), list(rows[0])
    cells = []
    for effort, row in table.items():
        bd = "–" if row["bd_rate_percent"] is None else f"{row['bd_rate_percent']:+.2f} %"
        parts = [f"{row['units']:.1f}", bd, f"{row['saved_percent']:.2f} %", f"{row['closed_percent']:.0f} %"]
        cells.append([effort, levels[int(effort)], *parts, f"{row['worst_percent']:+.3f} %"])
    head = [
        "effort",
        "gradients and steps",
        "encode time, in units",
        "BD-rate against 0",
        "λ·D + R saved",
        "gap closed",
    ]
    text = f"{len(pictures)} pictures ({', '.join(pictures)}) at qualities {', '.join(qualities)}.\n\n"
    text += markdown_table([*head, "worst case"], cells) + "\n\n"
    text += "A unit is one encode at effort 0. Saved is what λ·d + R falls by, the worst case its largest rise.\n\n"
    text += "### The bound and its parts, means over pictures, bits per pixel: λ·D + R (R)\n\n"
    mean = lambda effort, q, key: np.mean([row[key] for row in rows[effort][q].values()])
    cells = [
        [q, *(f"{mean(e, q, 'objective_bpp'):.4f} ({mean(e, q, 'rate_bpp'):.4f})" for e in rows)] for q in qualities
    ]
    return text + markdown_table(["quality", *(f"effort {e}" for e in rows)], cells) + "\n"


def in_words(codec) -> list[str]:
    """What each level of effort does with a codec's model: gradients that choose symbols, then steps of descent."""
    from vaecodec.inference.effort import EFFORTS

    return [f"{level.choices} and {level.steps}" for level in EFFORTS[codec.model.config.distortion]]


def draw(rows: Rows, path: Path) -> None:
    """λ·D + R against encode time, at each quality, in per cent of effort 0."""
    with single(path, "encode time, in encodes at effort 0", "λ·D + R, % of effort 0") as axis:
        axis.set_xscale("log")
        times = [units(rows, effort) for effort in rows]
        for number, quality in enumerate(rows[0]):
            values = [100 - saved_percent(rows, effort, quality) for effort in rows]
            axis.plot(times, values, f"{MARKERS[number]}-", color=COLOURS[number], label=f"quality {quality}")
        for effort, where in zip(rows, times, strict=True):
            axis.annotate(str(effort), (where, 100.15), ha="center", fontsize=8, color="0.4")
        axis.legend(fontsize=8)


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("inference")
@model_option
@qualities_option("10,35,60,85")
@numbers_option("--efforts", "0,1,2,3,4,5,6,7,8,9", "Efforts beside 0", 0, 9)
@click.option("--every", default=1, show_default=True, type=click.IntRange(min=1), help="Of the pictures, each N-th.")
def main(
    paths: tuple[Path, ...], output: Path, model: str | None, qualities: list[str], efforts: list[str], every: int
) -> None:
    """Compress IMAGES (files and folders) at several efforts."""
    from vaecodec.codec.codec import Codec

    wanted = sorted({0} | {int(float(effort)) for effort in efforts})
    folder, codec, store = usable_pictures(paths), Codec(model), Store(output.with_suffix(".json"))
    images = dict(list(folder.images.items())[::every])
    settings = [f"{effort} at {quality}" for effort in wanted for quality in qualities]

    def work(setting: str, image: np.ndarray) -> dict:
        effort, _, quality = setting.partition(" at ")
        return measure(codec, image, float(quality), int(effort))

    stamp = {"model_id": codec.stored.model_id.hex(), "levels": in_words(codec)}
    points = measure_all(store, stamp, settings, images, work)
    rows = {effort: {q: points[f"{effort} at {q}"] for q in qualities} for effort in wanted}
    table = store.data["efforts"] = summary(rows)
    store.data["pictures"] = list(images)
    publish(store, output, report(rows, table, stamp["levels"]))
    draw(rows, output.with_suffix(".png"))
    if folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
