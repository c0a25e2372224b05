"""`vaecodec evaluate`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from vaecodec.cli.console import EFFORT, FORCE, MODEL, TUNE, beside, chosen_model, parse_qualities, progress_bar
from vaecodec.cli.terminal import EXIT_FAILED, say
from vaecodec.codec import api
from vaecodec.errors import ImageError, VaecodecError
from vaecodec.format import files


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@EFFORT
@TUNE
@MODEL
@click.option(
    "--qualities", default="1,10,20,30,40,50,60,70,80,90,100", show_default=True, help="Comma-separated, 1 to 100."
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here.")
@click.option(
    "--html",
    "html_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with all pictures at the lowest, middle and highest quality, as `compare` does.",
)
@FORCE
def evaluate(
    folder: Path,
    effort: int,
    tune: str | None,
    model: str | None,
    qualities: str,
    json_path: Path | None,
    html_path: Path | None,
    force: bool,
) -> None:
    """Measure rate and distortion over a folder.

    Every picture goes to real bytes and back. The JSON has the means in the schema of CompressAI's result files, and
    every picture's own figures.

    \b
    Examples:
      vaecodec evaluate kodak/ --json kodak.json
      vaecodec evaluate photos/ --qualities 20,50,80 --html photos.html
      vaecodec evaluate photos/ --tune psnr
      vaecodec evaluate photos/ -m mine.safetensors --json mine.json
    """
    values = sorted(set(parse_qualities(qualities)))
    chosen = chosen_model(model, tune)
    from vaecodec.cli import evaluation
    from vaecodec.cli.pages.gallery import Gallery

    paths = evaluation.pictures(folder)
    line = beside((json_path, html_path), force=force, sources=[*paths, chosen])
    failures: list[str] = []

    def failed(path: Path, error: VaecodecError) -> None:
        failures.append(path.name)
        say(f"vaecodec: {error}")

    codec, results = api.codecs(chosen), []
    gallery = Gallery(codec, values) if html_path else None
    with progress_bar(len(paths) * len(values)) as bar:
        for result in evaluation.evaluate(codec, paths, values, failed, effort=effort, show=gallery):
            results.append(result)
            bar.update(1)
    if not results:
        raise ImageError(f"{folder}: no picture in it could be used")
    report = evaluation.summary(results, codec)
    means = report["results"]
    line("quality     bpp    PSNR  MS-SSIM  SSIMULACRA2  encode s  decode s")
    for row in zip(*means.values(), strict=True):
        line("{:7g}  {:6.3f}  {:6.2f}  {:7.4f}  {:11.2f}  {:8.3f}  {:8.3f}".format(*row))
    if json_path:
        files.write(str(json_path), json.dumps(_without_nan(report), indent=1).encode(), force=force)
    if html_path and gallery:
        from vaecodec.cli.pages.compare_page import page

        title = f"{folder.resolve().name}: vaecodec, model {codec.name}"
        files.write(str(html_path), page(gallery.pictures, title).encode(), force=force)
    if failures:
        raise SystemExit(EXIT_FAILED)
