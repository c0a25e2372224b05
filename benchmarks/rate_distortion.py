"""Rate against distortion of every codec, as real bytes and decoded 8-bit pictures.

    python benchmarks/rate_distortion.py kodak/ -o benchmarks/results/kodak

writes kodak.json (every measurement), kodak.md (BD-rate tables) and kodak.png. Stopped, it goes on where it was; what
is measured already is not measured again unless the codec, its settings or the picture have changed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import numpy as np
import rd_plot
import rd_tables
from common import (
    SETTINGS,
    Store,
    checksum,
    chosen,
    codecs_option,
    collect_codecs,
    images_argument,
    model_option,
    output_option,
    publish,
    say,
    section,
    usable_pictures,
)

COLUMNS = ("bytes", "psnr_db", "ms_ssim", "ssimulacra2", "encode_s", "decode_s")
LOSSLESS_DB = 99.0
PERCEPTUAL = ("ms_ssim", "ssimulacra2")
"""Columns that take time, measured if asked for."""


def measure(codec, image: np.ndarray, quality: float, measures: tuple[str, ...]) -> list[float | None]:
    """One row of `COLUMNS`, with nothing in those of `PERCEPTUAL` that are not among `measures`."""
    from vaecodec import metrics

    start = time.perf_counter()
    data = codec.compress(image, quality)
    middle = time.perf_counter()
    decoded = codec.decompress(data)
    end = time.perf_counter()
    work = {"ms_ssim": metrics.ms_ssim, "ssimulacra2": metrics.ssimulacra2}
    row = [len(data), min(metrics.psnr_db(image, decoded), LOSSLESS_DB)]
    row += [work[name](image, decoded) if name in measures else None for name in PERCEPTUAL]
    row += [middle - start, end - middle]
    return [value if value is None or isinstance(value, int) else round(value, 6) for value in row]


def run(store: Store, codecs: list, images: dict[str, np.ndarray], measures: tuple[str, ...] = PERCEPTUAL) -> list[str]:
    """Fills the store with what it lacks; returns what failed."""
    columns = [COLUMNS.index(name) for name in measures]
    sums = {name: checksum(image) for name, image in images.items()}
    known = store.data.setdefault("images", {})
    stale = {name for name in sums if known.get(name, sums[name]) != sums[name]}
    known |= sums
    store.data["columns"] = list(COLUMNS)
    parts = store.data.setdefault("codecs", {})
    todo, failures = [], []
    for codec in codecs:
        part = section(parts, codec.name, {"settings": codec.settings, "version": codec.version})
        points = part.setdefault("points", {})
        for quality in codec.qualities:
            row = points.setdefault(f"{quality:g}", {})
            for name in stale:
                row.pop(name, None)
            todo += [
                (codec, quality, row, name)
                for name in images
                if name not in row or any(row[name][column] is None for column in columns)
            ]
    show = lambda item: item and f"{item[0].name} {item[1]:g} {item[3]}"
    try:
        with click.progressbar(todo, label="measuring", file=sys.stderr, item_show_func=show) as bar:
            for codec, quality, row, name in bar:
                try:
                    row[name] = measure(codec, images[name], quality, measures)
                except Exception as error:  # whatever a library raises; the others go on
                    failures.append(f"{codec.name}, quality {quality:g}, {name}: {type(error).__name__}: {error}")
                store.save()
    finally:
        store.save(now=True)
    return failures


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("rate_distortion")
@model_option
@codecs_option
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    help="Codec that BD-rates relate to; may be given several times.  [default: VTM 18.0 (Kodak only) and AVIF]",
)
@click.option(
    "--ssimulacra2/--no-ssimulacra2",
    "perceptual",
    default=None,
    help="Measure SSIMULACRA2; by default where the package is installed.",
)
@click.option(
    "--published/--no-published",
    default=None,
    help="Show published curves, which are of Kodak; by default if these are the 24 pictures of Kodak.",
)
def main(
    paths: tuple[Path, ...],
    output: Path,
    model: str | None,
    codecs: str | None,
    anchors: tuple[str, ...],
    perceptual: bool | None,
    published: bool | None,
) -> None:
    """Measure every codec at every quality on IMAGES (files and folders)."""
    folder = usable_pictures(paths)
    if perceptual is not False:
        try:
            import ssimulacra2 as _  # noqa: F401
        except ImportError:
            if perceptual:
                raise click.ClickException("the package ssimulacra2 is not installed") from None
            say("left out: SSIMULACRA2: the package ssimulacra2 is not installed")
            perceptual = False
    kodak = {Path(name).stem for name in folder.images} == {f"kodim{number:02}" for number in range(1, 25)}
    wanted = chosen(collect_codecs(model), codecs)
    store = Store(output.with_suffix(".json"))
    failures = run(store, wanted, folder.images, PERCEPTUAL if perceptual is not False else PERCEPTUAL[:1])
    store.data["left_out"], store.data["failed"] = (
        folder.left_out,
        folder.failed | dict.fromkeys(failures, "codec failed"),
    )
    curves = rd_tables.measured_curves(store.data, wanted, list(folder.images))
    store.data["means"] = {name: curve.to_dict() for name, curve in curves.items()}
    others, checks = rd_tables.published_curves() if (kodak if published is None else published) else ({}, {})
    text = rd_tables.report(curves, others, checks, anchors or ("VTM 18.0", "AVIF"), store.data, len(folder.images))
    publish(store, output, text)
    rd_plot.draw(
        rd_tables.without_worse_pca(curves),
        others,
        anchors[0] if anchors else "VTM 18.0",
        output.with_suffix(".png"),
    )
    for failure in failures:
        say(f"failed: {failure}")
    if failures or folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
