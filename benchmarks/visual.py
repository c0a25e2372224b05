"""What does a file size look like? Pictures through every codec at the same number of bytes, on one page.

    python benchmarks/visual.py photo.png --bpp 0.25 -o results/
    python benchmarks/visual.py kodak/ --bpp 0.15,0.4 --codecs "vaecodec,AVIF,JPEG XL" --crop 384 -o results/

The page has a divider between any two, zoom and differences; the sheet shows all of them, a row a picture. Whole
pictures are coded, and a crop of each is shown. Stopped, it goes on where it was: qualities that were found for a size
are not searched for again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from shared.codecs import chosen, collect_codecs
from shared.equal_size import Made, at_one_size, crop_at
from shared.options import SETTINGS, codecs_option, images_argument, model_option, numbers_option
from shared.pictures import usable_pictures
from shared.results import Store, checksum, say, section

TITLE = "visual"


def entries(rgb: np.ndarray, made: dict[str, Made], area: tuple[slice, slice]) -> list:
    """The original's crop and every codec's, with what it is in words."""
    from vaecodec.cli.pages.comparison import Entry, original_entry
    from vaecodec.pictures.metrics import psnr_db

    shown = [original_entry(rgb[area])]
    for name, one in made.items():
        bpp = 8 * one.size_bytes / rgb[..., 0].size
        detail = f"{one.size_bytes} bytes, {bpp:.3f} bpp, {psnr_db(rgb, one.image):.2f} dB, quality {one.quality:g}"
        shown.append(Entry(name, detail, one.image[area]))
    return shown


def place_of(context: click.Context, parameter: click.Parameter, text: str) -> tuple[float, float]:
    """Two shares of a comma-separated text."""
    try:
        left, top = (float(share) for share in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text}: not two numbers") from None
    if not (0 <= left <= 1 and 0 <= top <= 1):
        raise click.BadParameter(f"{text}: not between 0 and 1")
    return left, top


@click.command(context_settings=SETTINGS)
@images_argument
@numbers_option("--bpp", "0.25", "Bits per pixel of the files", 0.01, 24)
@model_option
@codecs_option
@click.option("--crop", type=click.IntRange(min=16), default=512, show_default=True, help="Largest side that is shown.")
@click.option("--at", "place", default="0.5,0.5", show_default=True, callback=place_of, help="Of the crop: LEFT,TOP.")
@click.option(
    "-o",
    "--output-dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    help="Where the page, the sheet and the JSON go.",
)
def main(
    paths: tuple[Path, ...],
    bpp: list[str],
    model: str | None,
    codecs: str | None,
    crop: int,
    place: tuple[float, float],
    folder: Path,
) -> None:
    """Bring IMAGES to one size by every codec and show the results: visual.html, .png and .json."""
    from vaecodec.cli.pages.compare_page import page
    from vaecodec.cli.pages.comparison import sheet

    images = usable_pictures(paths).images
    wanted = chosen(collect_codecs(model), codecs)
    store = Store(folder / f"{TITLE}.json")
    groups: dict[str, list] = {}
    work = [(name, rate) for name in images for rate in bpp]
    try:
        with click.progressbar(work, label="pictures", file=sys.stderr, item_show_func=lambda i: i and i[0]) as bar:
            for name, rate in bar:
                rgb = images[name]
                title, size = f"{name}, {rate} bpp", max(1, int(float(rate) * rgb[..., 0].size / 8))
                part = section(store.data, title, {"content": checksum(rgb), "bytes": size})
                made, unable = at_one_size(wanted, rgb, size, part.setdefault("codecs", {}))
                part["left_out"] = unable
                for reason in unable.values():
                    say(f"left out: {title}: {reason}")
                groups[title] = entries(rgb, made, crop_at(rgb.shape, crop, place))
                store.save()
    finally:
        store.save(now=True)
    (folder / f"{TITLE}.html").write_text(page(groups, "Pictures at equal bytes"), encoding="utf-8")
    sheets = [sheet(group, columns=len(wanted) + 1, crop=crop) for group in groups.values()]
    _stacked(sheets).save(folder / f"{TITLE}.png")
    for title, group in groups.items():
        for entry in group[1:]:
            click.echo(f"{title}  {entry.label:24} {entry.detail}")


def _stacked(sheets: list):
    """Pillow images, one below the other."""
    from PIL import Image

    result = Image.new("RGB", (max(one.width for one in sheets), sum(one.height for one in sheets)), "white")
    top = 0
    for one in sheets:
        result.paste(one, (0, top))
        top += one.height
    return result


if __name__ == "__main__":
    main()
