"""Measures codecs on pictures, as far as a store lacks it: rows of rate and distortion."""

from __future__ import annotations

import sys
import time

import click
import numpy as np

from shared.rates.measures import MEASURES, rounded
from shared.results import Store, checksum, section

COLUMNS = ("bytes", "psnr_db", "ms_ssim", "ssimulacra2", "encode_s", "decode_s", "butteraugli", "cvvdp")
"""Of rows. New ones come last: rows that are stored lack them."""
LOSSLESS_DB = 99.0

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
