"""Are sizes and qualities that one asks for kept, how nearly, and at how many encodes?

    python benchmarks/targets.py kodak/ -o benchmarks/results/targets

Stopped, it goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import click
import numpy as np
from shared.options import SETTINGS, images_argument, model_option, numbers_option, output_option
from shared.pictures import usable_pictures
from shared.results import Store, markdown_table, measure_all, publish


def measure(codec, rgb: np.ndarray, kind: str, goal: float, effort: int) -> dict:
    """What a target gave, and how many encodes it took; the nearest that there is, where it cannot be reached."""
    from vaecodec.errors import TargetError
    from vaecodec.pictures import metrics

    asked = {"size": int(goal * rgb.shape[0] * rgb.shape[1] / 8)} if kind == "bpp" else {"psnr": goal}
    with mock.patch.object(codec, "encode", wraps=codec.encode) as encode:
        try:
            data = codec.compress(rgb, **asked, effort=effort)
        except TargetError as error:
            return {"unreachable": str(error), "encodes": encode.call_count}
    if kind == "bpp":
        return {"asked": asked["size"], "bytes": len(data), "encodes": encode.call_count}
    reached = metrics.psnr_db(rgb, np.asarray(codec.decompress(data)))
    return {"asked": goal, "psnr_db": round(reached, 5), "encodes": encode.call_count}


def miss(row: dict) -> float:
    """By how much a target is missed, on the allowed side if positive: per cent of the size, or decibels."""
    if "bytes" in row:
        return 100 * (1 - row["bytes"] / row["asked"])
    return row["psnr_db"] - row["asked"]


def report(rows: dict[str, dict[str, dict]], effort: int) -> str:
    """Markdown: a line a target."""
    cells = []
    for setting, by_image in rows.items():
        reached = [row for row in by_image.values() if "unreachable" not in row]
        unreachable = len(by_image) - len(reached)
        misses, encodes = [miss(row) for row in reached], [row["encodes"] for row in by_image.values()]
        unit = "dB" if setting.endswith("dB") else "%"
        shown = [f"{f(misses):+.3f} {unit}" if misses else "–" for f in (np.min, np.mean, np.max)]
        kept = f"{sum(m >= 0 for m in misses)} of {len(misses)}"
        cells.append([setting, kept, str(unreachable), *shown, f"{np.mean(encodes):.1f}", str(max(encodes))])
    head = ["target", "kept", "unreachable", "nearest miss", "mean", "farthest", "encodes, mean", "most"]
    names = list(next(iter(rows.values())))
    return (
        f"{len(names)} pictures, effort {effort}. Misses are on the allowed side if positive: sizes below the target, "
        f"PSNRs above it.\n\n{markdown_table(head, cells)}\n"
    )


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("targets")
@model_option
@numbers_option("--bpp", "0.15,0.3,0.6,1,1.5", "Targets in bits per pixel", 0.001, 100)
@numbers_option("--psnr", "28,31,33,35,38", "Targets in dB", 1, 100)
@click.option("-e", "--effort", default=1, show_default=True, type=click.IntRange(0, 9))
def main(
    paths: tuple[Path, ...], output: Path, model: str | None, bpp: list[str], psnr: list[str], effort: int
) -> None:
    """Compress IMAGES (files and folders) to sizes and PSNRs."""
    from vaecodec.codec.codec import Codec

    settings = [f"{value} bpp" for value in bpp] + [f"{value} dB" for value in psnr]
    folder, store = usable_pictures(paths), Store(output.with_suffix(".json"))
    codec = Codec(model, tune=None if model else "psnr")  # whose decibels can be asked for

    def work(setting: str, image: np.ndarray) -> dict:
        goal, kind = setting.split()
        return measure(codec, image, kind, float(goal), effort)

    stamp = {"model_id": codec.stored.model_id.hex(), "effort": effort}
    publish(store, output, report(measure_all(store, stamp, settings, folder.images, work), effort))
    if folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
