"""`vaecodec compare`: files against the picture that they were made from."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaecodec.cli.console import FORCE, MODEL, SUFFIX, beside
from vaecodec.cli.terminal import EXIT_FAILED, exit_code, say, shown
from vaecodec.codec import api
from vaecodec.errors import ImageError, VaecodecError
from vaecodec.format import files

if TYPE_CHECKING:
    import numpy as np

    from vaecodec.pictures.metrics import Measures

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("original", type=click.Path(), metavar="ORIGINAL")
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--html", "html_path", type=FILE, help="Write a page that sets the pictures side by side.")
@click.option("--png", "png_path", type=FILE, help="Write a sheet of the pictures, 1:1, by their middle.")
@MODEL
@FORCE
def compare(
    original: str, paths: tuple[str, ...], html_path: Path | None, png_path: Path | None, model: str | None, force: bool
) -> None:
    """Compare files with their original.

    A table of sizes and of what was lost, measured on 8-bit RGB, on white where pictures are transparent. Files are
    .vae, or of any format that Pillow reads. The page has a divider, zoom, a view of differences, and for .vae files a
    map of where the bits went; it needs nothing beside it.

    \b
    Examples:
      vaecodec compare photo.png photo.vae
      vaecodec compare photo.png photo.vae photo.jpg photo.webp --html compare.html
      vaecodec compare photo.png q30.vae q70.vae --png sheet.png
    """
    line = beside((html_path, png_path), force=force, sources=[original, *paths, model])
    from vaecodec.cli.pages.comparison import measured_entry, original_entry, sheet
    from vaecodec.pictures import metrics

    rgb = _picture(original)
    for name, package in metrics.missing().items():
        say(f"vaecodec: no {name}: the package {package} is not installed")
    entries, failures = [original_entry(rgb)], []
    names = [Path(path).name for path in paths]
    width = max(len(shown(path)) for path in (*paths, "file"))
    header = f"{'file':{width}}  {'bytes':>9}  {'bpp':>6}  {'PSNR':>6}  {'MS-SSIM':>7}  {'SSIMULACRA2':>11}"
    for path in paths:
        try:
            with files.naming(path):
                decoded, size, where = _file(path, model)
                if decoded.shape != rgb.shape:
                    sizes = [f"{shape[1]}×{shape[0]}" for shape in (decoded.shape, rgb.shape)]
                    raise ImageError("has {} pixels, the original {}".format(*sizes))
                measures = metrics.measure(rgb, decoded, size)
        except VaecodecError as error:
            failures.append(error)
            say(f"vaecodec: {error}")
            continue
        if len(entries) == 1:
            line(header)
        line(f"{shown(path):{width}}  {_row(measures)}")
        label = Path(path).name if names.count(Path(path).name) == 1 else path
        entries.append(measured_entry(label, decoded, measures, *where))
    if len(entries) > 1 and html_path:
        from vaecodec.cli.pages.compare_page import page

        files.write(str(html_path), page(entries, f"{Path(original).name}, compared").encode(), force=force)
    if len(entries) > 1 and png_path:
        buffer = io.BytesIO()
        sheet(entries).save(buffer, "PNG")
        files.write(str(png_path), buffer.getvalue(), force=force)
    if failures:
        raise SystemExit(exit_code(failures[0]) if len(paths) == 1 else EXIT_FAILED)


def _picture(path: str) -> np.ndarray:
    from vaecodec.pictures import images

    with files.naming(path):
        return images.seen(path)


def _file(path: str, model: str | None) -> tuple[np.ndarray, int, tuple[np.ndarray | None, np.ndarray | None]]:
    """Pixels, bytes, and for `.vae` files where the bits went, see `gallery.bit_map`."""
    if not path.lower().endswith(SUFFIX):
        return _picture(path), len(files.read(path)), (None, None)
    from vaecodec.format.catalog import find_model

    data = files.read(path)
    decoded = api.decompress(data, model=model)
    header = api.read_info(data)
    codec = None if header.exact else api.codecs(model or find_model(header).path).codec_of(header)
    from vaecodec.cli.pages.gallery import bit_map
    from vaecodec.pictures import images

    return images.seen(decoded), len(data), bit_map(codec, data)


def _row(measures: Measures) -> str:
    known = lambda value, form: format(value, form) if not math.isnan(value) else "–".rjust(int(form.split(".")[0]))
    return (
        f"{measures.bytes:9}  {measures.bpp:6.3f}  {measures.psnr_db:6.2f}  "
        f"{known(measures.ms_ssim, '7.4f')}  {known(measures.ssimulacra2, '11.2f')}"
    )
