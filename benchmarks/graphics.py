"""What becomes of screens, drawings, scans and cut-outs? Beside files without loss, and AVIF and JPEG XL with it.

    python benchmarks/graphics.py -o benchmarks/results/graphics

The pictures are drawn here, the same in every run. Ours is the file that one gets without asking for anything. AVIF
(speed 6, 4:4:4) and JPEG XL are searched twice: for their smallest file that is as good as ours, and for their best
within our bytes. Pictures with alpha are seen on white, and once more on black. Stopped, it goes on where it was.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Callable
from functools import cache
from pathlib import Path

import click
import numpy as np
from shared.drawn import KINDS
from shared.options import SETTINGS, model_option, output_option
from shared.results import Store, markdown_table, measure_all, publish, say

KIND_OF = {name: kind for kind, pictures in KINDS.items() for name in pictures}
TILE = 64
"""Pixels a side of the tiles that are counted."""
MOST_OVER_BYTES = 60
"""By which a file of graphics may be larger than lossless WebP: header and chunks."""
MIXED_SHARE, MIXED_SSIMULACRA2 = 0.6, 85
CUTOUTS_SHARE = 0.8
"""Of the cut-outs, that are to be no larger than AVIF."""
LOSSLESS: dict[str, tuple[str, dict]] = {
    "lossless WebP": ("WEBP", {"lossless": True, "method": 6, "exact": False}),  # and Pillow's quality of 80
    "lossless JPEG XL": ("JXL", {"lossless": True, "effort": 7}),
    "PNG": ("PNG", {"optimize": True}),
}
STEPS_OF_QUALITY = 4
"""In one, of codecs that know more than whole qualities."""


# --- measuring -------------------------------------------------------------------------------------------------------


def seen(pixels: np.ndarray, ground: int) -> np.ndarray:
    """`[H, W, 3 or 4]` uint8 as it looks on grey of that value."""
    alpha = pixels[..., 3:] / 255 if pixels.shape[2] == 4 else np.ones((1, 1, 1))
    return np.rint(pixels[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8)


def score(pixels: np.ndarray, decoded: np.ndarray, ground: int = 255) -> float:
    """SSIMULACRA2 on a ground."""
    from vaecodec.objective.distortion import ssimulacra2

    return round(ssimulacra2(seen(pixels, ground), seen(decoded, ground)), 3)


def same(pixels: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Which pixels came back, `[H, W]` bool; of those that nobody sees only alpha counts."""
    equal = (pixels == decoded)[..., :3].all(2)
    if pixels.shape[2] == 4:
        equal = (equal | (pixels[..., 3] == 0)) & (pixels[..., 3] == decoded[..., 3])
    return equal


def exact_share(equal: np.ndarray) -> float:
    """How many of the tiles came back whole."""
    places = [(y, x) for y in range(0, equal.shape[0], TILE) for x in range(0, equal.shape[1], TILE)]
    return float(np.mean([equal[y : y + TILE, x : x + TILE].all() for y, x in places]))


def ours(codec, pixels: np.ndarray, **asked: float) -> dict:
    """Our file, and what comes back."""
    from vaecodec.pictures.metrics import psnr_db

    data = codec.compress(pixels, **asked)
    decoded = np.asarray(codec.decompress(data))
    equal, grounds = same(pixels, decoded), (255, 0) if pixels.shape[2] == 4 else (255,)
    scores = [score(pixels, decoded, ground) for ground in grounds]
    decibels = [psnr_db(seen(pixels, ground), seen(decoded, ground)) for ground in grounds]
    shown = [None if np.isinf(value) else round(value, 3) for value in (decibels[0], min(decibels))]
    return {
        "bytes": len(data), "exact": bool(equal.all()), "exact_share": round(exact_share(equal), 4),
        "ssimulacra2": scores[0], "worse_ssimulacra2": min(scores), "psnr_db": shown[0], "worse_psnr_db": shown[1],
    }  # fmt: skip


def lossless(pixels: np.ndarray) -> dict[str, int]:
    """Sizes of files that lose nothing, by their names; those that cannot be written here are left out."""
    from PIL import Image

    Image.init()  # of all formats
    sizes = {}
    for name, (kind, options) in LOSSLESS.items():
        if kind in Image.SAVE:
            Image.fromarray(pixels).save(buffer := io.BytesIO(), kind, **options)
            sizes[name] = buffer.tell()
    return sizes


def other(codec, pixels: np.ndarray, goal: float, size: int) -> dict:
    """Another codec's smallest file as good as a SSIMULACRA2, or its best, and its best one of a size.

    `within` is `None` where it has no file as small as that.
    """
    from PIL import Image

    from vaecodec.cli.pages.comparison import to_size
    from vaecodec.errors import TargetError

    def score_of(data: bytes) -> float:
        with Image.open(io.BytesIO(data), formats=(codec.format,)) as image:
            return score(pixels, np.asarray(image.convert("RGBA" if pixels.shape[2] == 4 else "RGB")))

    @cache
    def at(step: int) -> tuple[float, int]:
        data = codec.compress(pixels, low + step * (high - low) / steps)
        return score_of(data), len(data)

    low, high = codec.quality_range
    steps = int(high - low) * (1 if codec.whole_qualities else STEPS_OF_QUALITY)
    best = at(steps)[0]
    reached, least = at(bisect_left(range(steps), min(goal, best), key=lambda step: at(step)[0]))
    try:
        within = score_of(to_size(codec, pixels, size)[0])
    except TargetError:
        within = None
    return {"bytes": least, "ssimulacra2": reached, "as_good": best >= goal, "within": within}


def others() -> list:
    """AVIF and JPEG XL, where they are installed."""
    from vaecodec.baselines import classic

    codecs = []
    for make in (classic.avif, classic.jpeg_xl):
        try:
            codecs.append(make())
        except ImportError as error:
            say(f"left out: {error}")
    return codecs


# --- report ----------------------------------------------------------------------------------------------------------


def table(rows: dict[str, dict]) -> str:
    """A line a picture."""
    number = lambda value, form: "–" if value is None else format(value, form)
    size = lambda value: "–" if value is None else f"{value:,}".replace(",", " ")
    lossy = [name for name in ("AVIF", "JPEG XL") if any(name in row for row in rows.values())]
    lines = []
    for name, row in rows.items():
        ours, cells = row["ours"], []
        for codec in lossy:
            other = row[codec]
            cells += [f"{'' if other['as_good'] else '> '}{size(other['bytes'])}", number(other["within"], ".1f")]
        looks, decibels = (
            " / ".join(number(value, form) for value in dict.fromkeys((ours[key], ours[f"worse_{key}"])))
            for key, form in (("ssimulacra2", ".1f"), ("psnr_db", ".1f"))
        )
        sizes = [size(row["lossless"].get(kind)) for kind in LOSSLESS]
        lines.append(
            [name, KIND_OF[name], size(ours["bytes"]), f"{ours['exact_share']:.0%}", looks, decibels, *sizes, *cells]
        )
    head = ["picture", "kind", "ours, bytes", "exact tiles", "SSIMULACRA2", "PSNR, dB", *LOSSLESS]
    head += [f"{name}{what}" for name in lossy for what in (" as good, bytes", " in our bytes, SSIMULACRA2")]
    return markdown_table(head, lines)


def _said(what: str, faults: dict[str, str], count: int, needed: int, also: bool = True) -> str:
    """A claim, whether it holds, and for which pictures it does not."""
    held = count - len(faults)
    verdict = "It holds" if also and held >= needed else "**It does not hold**"
    named = "; ".join(f"{name} ({fault})" for name, fault in faults.items())
    return f"- {what}. {verdict}: {held} of {count}{f', not {named}' if named else ''}.\n"


def claims(rows: dict[str, dict]) -> str:
    """What is promised of each kind, and whether these pictures bear it out; kinds without a picture are left out."""
    of = lambda kind: {name: row for name, row in rows.items() if KIND_OF[name] == kind}
    text = ""
    if graphics := of("graphics"):
        faults = {}
        for name, row in graphics.items():
            over = row["ours"]["bytes"] - row["lossless"]["lossless WebP"]
            if not row["ours"]["exact"] or over > MOST_OVER_BYTES:
                faults[name] = f"{'exact' if row['ours']['exact'] else 'not exact'}, {over:+d} bytes"
        what = f"Graphics come back exactly, and take at most {MOST_OVER_BYTES} bytes more than lossless WebP"
        text += _said(what, faults, len(graphics), len(graphics))
    if mixed := of("mixed"):
        faults, shares = {}, []
        for name, row in mixed.items():
            share = row["better"]["bytes"] / row["lossless"]["lossless WebP"]
            shares.append(f"{name} {row['ours']['bytes'] / row['lossless']['lossless WebP']:.0%} and {share:.0%}")
            if share > MIXED_SHARE:
                faults[name] = f"{share:.0%}"
        what = f"Pages with photographs take at most {MIXED_SHARE:.0%} of lossless WebP where a SSIMULACRA2 of"
        what += f" {MIXED_SSIMULACRA2} is asked for; by default, which is a quality of 70, and so: {', '.join(shares)}"
        text += _said(what, faults, len(mixed), len(mixed))
    if cutouts := {name: row for name, row in of("cut-out").items() if "AVIF" in row}:
        changes = {name: row["ours"]["bytes"] / row["AVIF"]["bytes"] - 1 for name, row in cutouts.items()}
        faults = {name: f"{change:+.1%}" for name, change in changes.items() if change > 0}
        mean = float(np.expm1(np.mean(np.log1p(list(changes.values())))))
        what = "Cut-outs are no larger than AVIF as good on white, or AVIF's best, four of five and in the mean"
        needed = int(np.ceil(CUTOUTS_SHARE * len(cutouts)))
        text += _said(f"{what}; in the mean {mean:+.1%}", faults, len(cutouts), needed, also=mean <= 0)
    return text


def report(rows: dict[str, dict]) -> str:
    """Markdown."""
    return (
        f"{table(rows)}\n\nTwo values are those on white, and the worse of white and black; – decibels: nothing is "
        f"lost. Tiles have {TILE} pixels a side. A size after > is that of a file that is not as good as ours, and the "
        f"best there is; – in our bytes: no file is as small.\n\n{claims(rows)}"
    )


def drawn(names: tuple[str, ...], every: int) -> dict[str, Callable]:
    """What draws each of the pictures that are wanted."""
    known = {name: draw for pictures in KINDS.values() for name, draw in pictures.items()}
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(f"no picture {unknown[0]!r}; there are: {', '.join(known)}")
    return {name: known[name] for name in (names or tuple(known))[::every]}


@click.command(context_settings=SETTINGS)
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@output_option("graphics")
@model_option
@click.option("--every", default=1, show_default=True, type=click.IntRange(min=1), help="Of the pictures, each N-th.")
@click.option("--pictures", type=click.Path(file_okay=False, path_type=Path), help="Writes them there as PNG too.")
def main(names: tuple[str, ...], output: Path, model: str | None, every: int, pictures: Path | None) -> None:
    """Measure the pictures of these NAMES, by default all."""
    from vaecodec.codec.codec import Codec

    images = {name: draw() for name, draw in drawn(names, every).items()}
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            image.save(pictures / f"{name.replace(' ', '-')}.png", optimize=True)
    codec, rivals, store = Codec(model), others(), Store(output.with_suffix(".json"))

    def work(_: str, pixels: np.ndarray) -> dict:
        row: dict = {"ours": ours(codec, pixels), "lossless": lossless(pixels)}
        known = row["ours"]["ssimulacra2"], row["ours"]["bytes"]
        return row | {rival.name: other(rival, pixels, *known) for rival in rivals}

    stamp = {"model_id": codec.stored.model_id.hex(), "others": {rival.name: rival.version for rival in rivals}}
    arrays = {name: np.asarray(image) for name, image in images.items()}
    rows = measure_all(store, stamp, ["default"], arrays, work)["default"]
    mixed = {name: pixels for name, pixels in arrays.items() if KIND_OF[name] == "mixed"}
    better = lambda _, pixels: ours(codec, pixels, ssimulacra2=MIXED_SSIMULACRA2)
    for name, row in measure_all(store, stamp, ["better"], mixed, better)["better"].items():
        rows[name] = rows[name] | {"better": row}
    publish(store, output, report(rows))


if __name__ == "__main__":
    main()
