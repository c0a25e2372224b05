"""The command line. Options, messages and exit codes; the work is done elsewhere, and imported when it is needed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import click

import vaecodec
from vaecodec import files
from vaecodec.commands.evaluate import evaluate
from vaecodec.commands.inspect import info, models, test
from vaecodec.commands.train import train
from vaecodec.console import (
    EFFORT,
    FOLDER,
    FORCE,
    MODEL,
    SUFFIX,
    Group,
    MetadataType,
    SizeType,
    human_size,
    run,
    say,
    say_done,
)
from vaecodec.errors import ImageError, VaecodecError


def _plan(
    paths: tuple[str, ...], folder: Path | None, suffix: str, accepts: Callable[[str], bool], what: str
) -> dict[str, str]:
    """Source to target for `IN OUT` or `IN... -o DIR`."""
    if folder is None:
        if len(paths) != 2:
            raise click.UsageError("give one input and one output, or inputs and -o DIR")
        source, target = paths
        if target != files.STREAM and not accepts(target):
            raise click.UsageError(f"the output {target} should end in {what}; for several inputs use -o DIR")
        return {source: target}
    if files.STREAM in paths:
        raise click.UsageError("standard input cannot go to a folder")
    targets = {path: str(folder / Path(path).with_suffix(suffix).name) for path in paths}
    if len(set(targets.values())) < len(targets):
        raise click.UsageError("two inputs would go to the same file in the folder")
    files.make_folder(folder)
    return targets


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(vaecodec.__version__, prog_name="vaecodec")
def main() -> None:
    """A lossy image codec that is a variational autoencoder.

    \b
    vaecodec compress photo.png photo.vae
    vaecodec decompress photo.vae photo.png
    """


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="IN OUT.vae | IN... -o DIR")
@click.option(
    "-q", "--quality", type=click.FloatRange(1, 100), help="1 is smallest, 100 best; 50 unless something is asked for."
)
@click.option("--size", type=SizeType(), help="Largest file of at most N bytes; k and M are thousands and millions.")
@click.option(
    "--bpp", type=click.FloatRange(min=0, min_open=True), help="Largest file of at most so many bits per pixel."
)
@click.option(
    "--metadata",
    type=MetadataType(),
    default="all",
    show_default=True,
    help="What to keep: all, none, or some of icc,exif,xmp.",
)
@click.option("--psnr", type=click.FloatRange(min=0), metavar="DB", help="Smallest file of at least so many decibels.")
@EFFORT
@MODEL
@FOLDER
@FORCE
def compress(
    paths: tuple[str, ...],
    metadata: tuple[str, ...],
    effort: int,
    model: str | None,
    folder: Path | None,
    force: bool,
    **asked,
) -> None:
    """Compress pictures to .vae files.

    `-` is standard input or output. Everything that Pillow reads goes in; what a mode cannot keep is said.

    \b
    vaecodec compress photo.png photo.vae -q 70
    vaecodec compress photo.png photo.vae --size 100k
    vaecodec compress *.jpg -o compressed/
    cat photo.png | vaecodec compress - - > photo.vae
    """
    if sum(value is not None for value in asked.values()) > 1:
        raise click.UsageError("ask for one of --quality, --size, --bpp and --psnr")
    targets = _plan(paths, folder, SUFFIX, lambda target: target.endswith(SUFFIX), SUFFIX)

    def work(source: str) -> None:
        target = targets[source]
        files.check_target(target, force=force)
        start = time.perf_counter()
        data = files.read(source)
        from vaecodec import images

        planes = images.take_apart(_open(source, data), metadata)
        try:
            packed = vaecodec._codec(model).compress_planes(planes, **asked, effort=effort)
        except ValueError as error:
            if isinstance(error, VaecodecError):
                raise
            raise click.UsageError(str(error)) from error
        files.write(target, packed)
        if planes.lost:
            say(f"vaecodec: {source}: not kept: {planes.lost}")
        height, width = planes.rgb.shape[:2]
        rate = f"{8 * len(packed) / (width * height):.3f} bpp"
        ratio = f"{len(data) / len(packed):.0f}:1"
        say_done(source, target, (width, height), human_size(len(packed)), rate, ratio, start=start)

    run(list(targets), work)


def _open(source: str, data: bytes):
    from vaecodec import images

    try:
        return images.open_image(io.BytesIO(data))
    except ImageError as error:
        raise ImageError(str(error).split(": ", 1)[-1]) from error


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="IN.vae OUT | IN.vae... -o DIR")
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=vaecodec.DEFAULT_MAX_PIXELS,
    show_default=True,
    help="Refuse larger pictures.",
)
@MODEL
@FOLDER
@FORCE
def decompress(paths: tuple[str, ...], max_pixels: int, model: str | None, folder: Path | None, force: bool) -> None:
    """Restore pictures from .vae files.

    The output's suffix names its format; PNG for a folder and for standard output.

    \b
    vaecodec decompress photo.vae photo.png
    vaecodec decompress compressed/*.vae -o restored/
    """
    from PIL import Image

    from vaecodec import images

    Image.init()
    targets = _plan(
        paths, folder, ".png", lambda t: Path(t).suffix.lower() in Image.EXTENSION, "an image format's suffix"
    )

    def work(source: str) -> None:
        target = targets[source]
        files.check_target(target, force=force)
        start = time.perf_counter()
        data = files.read(source)
        image = vaecodec.decompress(data, model=model, max_pixels=max_pixels)
        format_name = "PNG" if target == files.STREAM else Image.EXTENSION[Path(target).suffix.lower()]
        buffer = io.BytesIO()
        try:
            image.save(buffer, format_name, **images.save_options(image, format_name))
        except (OSError, KeyError, ValueError) as error:
            raise ImageError(f"a picture of mode {image.mode} cannot be written as {format_name} ({error})") from error
        files.write(target, buffer.getvalue())
        say_done(source, target, image.size, human_size(buffer.tell()), start=start)

    run(list(targets), work)


for command in (info, test, models, evaluate, train):
    main.add_command(command)
