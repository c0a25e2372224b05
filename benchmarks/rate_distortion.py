"""Rate against distortion of every codec, as real bytes and decoded 8-bit pictures.

    python benchmarks/rate_distortion.py kodak/ -o benchmarks/results/kodak
    python benchmarks/rate_distortion.py kodak/ -o benchmarks/results/kodak --measures psnr_db,ssimulacra2

writes kodak.json (every measurement), kodak.md (BD-rate tables) and kodak.png. Stopped, it goes on where it was; what
is measured already is not measured again unless the codec, its settings or the picture have changed. A measure that
is asked for later is added to the others.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import numpy as np
from shared.rates import curves as rd_curves
from shared.rates import plot as rd_plot
from shared.rates import tables as rd_tables
from shared.rates.measures import MEASURES, available, rounded
from shared.results import (
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

COLUMNS = ("bytes", "psnr_db", "ms_ssim", "ssimulacra2", "encode_s", "decode_s", "butteraugli", "cvvdp")
"""Of rows. New ones come last: rows that are stored lack them."""
LOSSLESS_DB = 99.0
ANCHORS = ("VTM 18.0", "AVIF", "JPEG XL")

Row = list[float | None]


def lacking(row: Row | None, measures: tuple[str, ...]) -> bool:
    """Whether a stored row has not all of some measures."""
    known = dict(zip(COLUMNS, row or (), strict=False))
    return any(known.get(name) is None for name in ("bytes", *measures))


def measure(codec, image: np.ndarray, quality: float, measures: tuple[str, ...], before: Row | None = None) -> Row:
    """One row of `COLUMNS`, with nothing for measures that were not asked for.

    Args:
        before: the row that is stored. Of the same file, by its size and PSNR, nothing is measured twice.
    """
    start = time.perf_counter()
    data = codec.compress(image, quality)
    middle = time.perf_counter()
    decoded = codec.decompress(data)
    end = time.perf_counter()
    row = {"bytes": len(data), "psnr_db": round(min(MEASURES["psnr_db"].compute(image, decoded), LOSSLESS_DB), 6)}
    row |= {"encode_s": round(middle - start, 6), "decode_s": round(end - middle, 6)}
    known = dict(zip(COLUMNS, before or (), strict=False))
    if any(known.get(name) != row[name] for name in ("bytes", "psnr_db")):
        known = {}
    row |= {name: value for name, value in known.items() if value is not None}
    for name in measures:
        if row.get(name) is None:
            row[name] = rounded(MEASURES[name].compute(image, decoded))
    return [row.get(name) for name in COLUMNS]


def run(
    store: Store, codecs: list, images: dict[str, np.ndarray], measures: tuple[str, ...] = ("ms_ssim", "ssimulacra2")
) -> list[str]:
    """Fills the store with what it lacks; returns what failed."""
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
            rows = points.setdefault(f"{quality:g}", {})
            for name in stale:
                rows.pop(name, None)
            todo += [(codec, quality, rows, name) for name in images if lacking(rows.get(name), measures)]
    show = lambda item: item and f"{item[0].name} {item[1]:g} {item[3]}"
    try:
        with click.progressbar(todo, label="measuring", file=sys.stderr, item_show_func=show) as bar:
            for codec, quality, rows, name in bar:
                try:
                    rows[name] = measure(codec, images[name], quality, measures, rows.get(name))
                except Exception as error:  # whatever a library raises; the others go on
                    failures.append(f"{codec.name}, quality {quality:g}, {name}: {type(error).__name__}: {error}")
                store.save()
    finally:
        store.save(now=True)
    return failures


def measures_asked(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Of `--measures`: those that can be taken. One that is asked for by name has to be there."""
    names = list(MEASURES) if text is None else [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in MEASURES]:
        raise click.BadParameter(f"{', '.join(unknown)}: unknown; there are: {', '.join(MEASURES)}")
    found, left_out = available(names)
    for title, reason in left_out.items():
        if text is not None:
            raise click.ClickException(f"{title}: {reason}")
        say(f"left out: {title}: {reason}")
    context.meta["left_out"] = left_out
    return tuple(found)


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("rate_distortion")
@model_option
@codecs_option
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    help="Codec that BD-rates relate to; may be given several times.  [default: VTM 18.0 (Kodak only), AVIF, JPEG XL]",
)
@click.option(
    "--measures",
    callback=measures_asked,
    help=f"Comma-separated; by default all that are installed of {', '.join(MEASURES)}.",
)
@click.option(
    "--published/--no-published",
    default=None,
    help="Show published curves, which are of Kodak; by default if these are the 24 pictures of Kodak.",
)
@click.pass_context
def main(
    context: click.Context,
    paths: tuple[Path, ...],
    output: Path,
    model: str | None,
    codecs: str | None,
    anchors: tuple[str, ...],
    measures: tuple[str, ...],
    published: bool | None,
) -> None:
    """Measure every codec at every quality on IMAGES (files and folders)."""
    folder = usable_pictures(paths)
    kodak = {Path(name).stem for name in folder.images} == {f"kodim{number:02}" for number in range(1, 25)}
    wanted = chosen(collect_codecs(model), codecs)
    store = Store(output.with_suffix(".json"))
    failures = run(store, wanted, folder.images, measures)
    store.data["left_out"] = folder.left_out | context.meta["left_out"]
    store.data["failed"] = folder.failed | dict.fromkeys(failures, "codec failed")
    curves = rd_curves.measured_curves(store.data, wanted, list(folder.images))
    store.data["means"] = {name: curve.to_dict() for name, curve in curves.items()}
    others, checks = rd_curves.published_curves() if (kodak if published is None else published) else ({}, {})
    text = rd_tables.report(curves, others, checks, anchors or ANCHORS, store.data, len(folder.images))
    publish(store, output, text)
    shown = rd_curves.without_worse_pca(curves)
    rd_plot.draw(shown, others, anchors[0] if anchors else ANCHORS[0], output.with_suffix(".png"))
    for failure in failures:
        say(f"failed: {failure}")
    if failures or folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
