"""What a file size looks like: one picture through every codec at the same size.

python benchmarks/visual.py photo.png --bpp 0.25 -o results/
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from common import chosen, collect_codecs, say


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--bpp",
    type=click.FloatRange(min=0, min_open=True),
    default=0.25,
    show_default=True,
    help="Bits per pixel of every file.",
)
@click.option("-m", "--model", help="Model of vaecodec by name or file; the default is light.")
@click.option("--codecs", help="Comma-separated names; all by default.")
@click.option(
    "--crop",
    type=click.IntRange(min=16),
    default=512,
    show_default=True,
    help="Largest side of each picture on the sheet.",
)
@click.option(
    "-o",
    "--output-dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    help="Where the page, the sheet and the JSON go.",
)
def main(image: Path, bpp: float, model: str | None, codecs: str | None, crop: int, folder: Path) -> None:
    """Bring every codec to one file size and show the results: visual-IMAGE.html, .png and .json."""
    from vaecodec import images
    from vaecodec.compare import compare, page, sheet
    from vaecodec.errors import ImageError

    try:
        rgb = images.take_apart(images.open_image(image)).rgb
    except ImageError as error:
        raise click.ClickException(str(error)) from error
    size = max(1, int(bpp * rgb.shape[0] * rgb.shape[1] / 8))
    wanted = chosen(collect_codecs(model), codecs)
    unable: dict[str, str] = {}
    with click.progressbar(wanted, label="codecs", file=sys.stderr, item_show_func=lambda c: c and c.name) as bar:
        entries = compare(bar, rgb, size, lambda codec, error: unable.__setitem__(codec.name, str(error)))
    for reason in unable.values():
        say(f"left out: {reason}")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"visual-{image.stem}"
    title = f"{image.name} at {bpp:g} bits per pixel ({size} bytes)"
    target.with_suffix(".html").write_text(page(entries, title), encoding="utf-8")
    sheet(entries, crop=crop).save(target.with_suffix(".png"))
    about = {codec.name: {"settings": codec.settings, "version": codec.version} for codec in wanted}
    results = {e.label: {"result": e.detail} | about.get(e.label, {}) for e in entries}
    target.with_suffix(".json").write_text(
        json.dumps(
            {"image": image.name, "bytes": size, "codecs": results, "left_out": unable}, indent=1, ensure_ascii=False
        )
    )
    for entry in entries:
        click.echo(f"{entry.label:24} {entry.detail}")


if __name__ == "__main__":
    main()
