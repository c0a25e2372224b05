"""What a file size looks like: one picture through every codec at the same size.

    python benchmarks/visual.py photo.png --bpp 0.25 -o results/

Stopped, it goes on where it was: qualities that were found for the size are not searched for again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from common import SETTINGS, Store, checksum, chosen, codecs_option, collect_codecs, model_option, say, section


class Remembered:
    """A codec that keeps the quality which a search settles on, the one that is decompressed, or has it from before."""

    def __init__(self, codec, quality: float | None):
        self.codec, self.quality, self._tried = codec, quality, {}
        self.quality_range = codec.quality_range if quality is None else (quality, quality)

    def __getattr__(self, name: str):
        return getattr(self.codec, name)

    def compress(self, image, quality: float) -> bytes:
        data = self.codec.compress(image, quality)
        self._tried[data] = quality
        return data

    def decompress(self, data: bytes):
        self.quality = self._tried[data]
        return self.codec.decompress(data)


@click.command(context_settings=SETTINGS)
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--bpp",
    type=click.FloatRange(min=0, min_open=True),
    default=0.25,
    show_default=True,
    help="Bits per pixel of every file.",
)
@model_option
@codecs_option
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
    from vaecodec.compare import compare, sheet
    from vaecodec.compare_page import page
    from vaecodec.errors import ImageError

    try:
        rgb = images.planes_of(image).rgb
    except ImageError as error:
        raise click.ClickException(str(error)) from error
    size = max(1, int(bpp * rgb.shape[0] * rgb.shape[1] / 8))
    wanted = chosen(collect_codecs(model), codecs)
    target = folder / f"visual-{image.stem}"
    store = Store(target.with_suffix(".json"))
    stamp = {"image": image.name, "content": checksum(rgb), "bytes": size}
    parts = section(store.data, "results", stamp).setdefault("codecs", {})
    unable: dict[str, str] = {}
    failed = lambda codec, error: unable.update({codec.name: str(error)})
    entries = compare([], rgb, size, failed)  # the original
    try:
        with click.progressbar(wanted, label="codecs", file=sys.stderr, item_show_func=lambda c: c and c.name) as bar:
            for codec in bar:
                part = section(parts, codec.name, {"settings": codec.settings, "version": codec.version})
                found = Remembered(codec, part.get("quality"))
                if made := compare([found], rgb, size, failed)[1:]:
                    part |= {"quality": found.quality, "result": made[0].detail}
                entries += made
                store.save()
    finally:
        store.data["results"]["left_out"] = unable
        store.save(now=True)
    for reason in unable.values():
        say(f"left out: {reason}")
    title = f"{image.name} at {bpp:g} bits per pixel ({size} bytes)"
    target.with_suffix(".html").write_text(page(entries, title), encoding="utf-8")
    sheet(entries, crop=crop).save(target.with_suffix(".png"))
    for entry in entries:
        click.echo(f"{entry.label:24} {entry.detail}")


if __name__ == "__main__":
    main()
