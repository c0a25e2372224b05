"""Does quality do what it says? Sizes and PSNRs of a picture at 100 qualities, which should all rise.

    python benchmarks/knob.py photo.png -o benchmarks/results/knob

Stopped, it goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from common import (
    SETTINGS,
    Store,
    images_argument,
    markdown_table,
    measure_all,
    model_option,
    output_option,
    publish,
    qualities_option,
    usable_pictures,
)


def measure(codec, rgb: np.ndarray, quality: float) -> dict[str, float]:
    """Size and PSNR."""
    from vaecodec.format import container
    from vaecodec.pictures import metrics

    data = codec.compress(rgb, quality=quality)
    decoded = codec.synthesize(codec.decode(container.unpack(data)))
    return {"bytes": len(data), "psnr_db": round(metrics.psnr_db(rgb, decoded), 5)}


def column(rows: dict[str, dict[str, dict]], name: str, key: str) -> np.ndarray:
    """A number of one picture, by rising quality."""
    return np.array([rows[quality][name][key] for quality in sorted(rows, key=float)])


def report(rows: dict[str, dict[str, dict]]) -> str:
    """Markdown: a line a picture."""
    cells = []
    for name in next(iter(rows.values())):
        sizes, psnrs = column(rows, name, "bytes"), column(rows, name, "psnr_db")
        steps, db = np.diff(sizes), np.diff(psnrs)
        growth = 100 * steps / sizes[:-1]
        cells.append(
            [
                name,
                f"{len(set(sizes.tolist()))} of {len(sizes)}",
                f"{sizes[0]} to {sizes[-1]}",
                f"{(steps <= 0).sum()}",
                f"{growth.min():.2f} to {growth.max():.2f} %",
                f"{psnrs[0]:.2f} to {psnrs[-1]:.2f}",
                f"{(db <= 0).sum()}",
                f"{db.min():.3f} to {db.max():.3f}",
            ]
        )
    head = ["picture", "different sizes", "bytes", "sizes that do not rise", "growth a step"]
    head += ["PSNR, dB", "PSNRs that do not rise", "dB a step"]
    return f"{len(rows)} qualities.\n\n{markdown_table(head, cells)}\n"


def draw(rows: dict[str, dict[str, dict]], path: Path) -> None:
    """Bytes a quality, and decibels."""
    from rd_plot import COLOURS, single

    qualities = sorted(map(float, rows))
    with single(path, "quality", "bytes") as axis:
        axis.set_yscale("log")
        other = axis.twinx()
        other.set_ylabel("PSNR, dB (dashed)")
        for number, name in enumerate(next(iter(rows.values()))):
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(qualities, column(rows, name, "bytes"), color=colour, label=name)
            other.plot(qualities, column(rows, name, "psnr_db"), "--", color=colour, linewidth=1)
        axis.legend(fontsize=8)


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("knob")
@model_option
@qualities_option(",".join(map(str, range(1, 101))))
def main(paths: tuple[Path, ...], output: Path, model: str | None, qualities: list[str]) -> None:
    """Compress IMAGES (files and folders) at all whole qualities."""
    from vaecodec.codec.codec import Codec

    folder, codec, store = usable_pictures(paths), Codec(model), Store(output.with_suffix(".json"))
    work = lambda quality, image: measure(codec, image, float(quality))
    rows = measure_all(store, {"model_id": codec.stored.model_id.hex()}, qualities, folder.images, work)
    publish(store, output, report(rows))
    draw(rows, output.with_suffix(".png"))
    if folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
