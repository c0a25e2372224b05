"""The command line. Options, messages and exit codes; the work is done elsewhere, and imported when it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import click

from vaecodec.cli.commands.compare import compare
from vaecodec.cli.commands.digits import digits
from vaecodec.cli.commands.evaluate import evaluate
from vaecodec.cli.commands.generate import interpolate, sample
from vaecodec.cli.commands.headers import show_version
from vaecodec.cli.commands.inspect import info, models, test
from vaecodec.cli.commands.train import train
from vaecodec.cli.console import (
    EFFORT,
    MAX_PIXELS,
    MODEL,
    SUFFIX,
    TUNE,
    ColourType,
    Group,
    MetadataType,
    Number,
    RegionType,
    SizeType,
    chosen_model,
    human_ratio,
    several,
)
from vaecodec.cli.output_plan import Plan, into_folder
from vaecodec.cli.terminal import human_size, say
from vaecodec.format import catalog, container, files
from vaecodec.pictures.region import SCALES, Region


def _plan(
    paths: tuple[str, ...],
    folder: Path | None,
    recursive: bool,
    resume: bool,
    suffix: str,
    is_target: Callable[[str], bool],
    what: str,
    accepted: Collection[str],
    **naming: Any,
) -> Plan:
    """The plan for `IN OUT` or `IN... -o DIR`; `naming` as for `into_folder`."""
    if folder is None:
        if recursive:
            raise click.UsageError("-r needs a folder to write to: -o DIR")
        if len(paths) != 2:
            raise click.UsageError("give one input and one output, or inputs and -o DIR")
        source, target = paths
        if not files.is_stream(target) and not is_target(target):
            raise click.UsageError(f"the output {target} should end in {what}; for several inputs use -o DIR")
        return Plan({source: target})
    if files.STREAM in paths:
        raise click.UsageError("standard input cannot go to a folder")
    if not recursive and all(map(os.path.isdir, paths)):
        raise click.UsageError(f"{paths[0]} is a folder; -r takes the files in it, and in the folders in it")
    plan = into_folder(paths, folder, suffix, accepted, recursive=recursive, **naming)
    if not plan.targets and not plan.failures:
        others = f", among {plan.left_out} files" if plan.left_out else ""
        raise files.FileError(f"{', '.join(paths)}: nothing in it ends in one of {' '.join(sorted(accepted))}{others}")
    files.make_folder(folder)
    if resume:
        files.remove_leftovers({Path(target).parent for target in plan.targets.values()})
    for reason in plan.skipped:
        say(f"vaecodec: {reason}; left out")
    if plan.renamed:
        names = ", ".join(plan.renamed[:4]) + ", …" * (len(plan.renamed) > 4)
        say(f"vaecodec: {_counted(plan.renamed)} suffix, as the name without it is another's: {names}")
    return plan


def _counted(names: list[str]) -> str:
    return f"{len(names)} files keep their" if len(names) > 1 else "1 file keeps its"


def _version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        show_version()
        context.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and the installed models with their fingerprints, and exit.",
)
def main() -> None:
    """A lossy image codec that is a variational autoencoder.

    \b
    Examples:
      vaecodec compress photo.png photo.vae
      vaecodec decompress photo.vae photo.png
      vaecodec compress photos/ -o compressed/ -r -j 4
      vaecodec compress photo.png photo.vae --tune psnr
      vaecodec compare photo.png photo.vae --html compare.html

    Every command has a --help with examples. Results go to standard output, all else to standard error. Files appear
    whole or not at all, and none is overwritten without --force.

    \b
    Exit codes:
      0    all is well
      1    a file failed; of several, some did
      2    wrong usage
      3    the .vae file is damaged, or of a version that this program does not know
      4    the model is missing or damaged, or not the one that made the file
      130  interrupted
    """


METADATA = click.option(
    "--metadata",
    type=MetadataType(),
    metavar="KINDS",
    default="all",
    show_default=True,
    help="What to keep: all, none, or some of icc,exif,xmp,iptc,dpi; icc is all about colours.",
)


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="IN OUT.vae | IN... -o DIR")
@click.option(
    "-q",
    "--quality",
    type=Number(1, 100),
    help="1 is smallest, 100 best; 70 unless something is asked for. From 30 on photographs have a SSIMULACRA2 of "
    "about this number. Models without such a scale, as that for PSNR, have it even over their range, and take 50.",
)
@click.option(
    "--size",
    type=SizeType(),
    metavar="N[k|M]",
    help="Largest file of at most N bytes; k and M are thousands and millions.",
)
@click.option("--bpp", type=Number(min=0, min_open=True), help="Largest file of at most so many bits per pixel.")
@METADATA
@click.option(
    "--frame",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of animations and files of several pages the Nth, from 1; by default the first, and it is said.",
)
@click.option(
    "--psnr",
    type=Number(min=0),
    metavar="DB",
    help="Smallest file of at least so many decibels; by the model for PSNR unless another is asked for.",
)
@click.option(
    "--ssimulacra2",
    type=Number(max=100),
    metavar="SCORE",
    help="Smallest file of at least that SSIMULACRA2: 50 is medium quality, 70 high, 90 can hardly be told.",
)
@click.option(
    "--graphics",
    type=click.Choice(["auto", "off"]),
    default="auto",
    show_default=True,
    help="Text, screens and drawings, as whole pictures or as parts of one, are held without loss where that is the "
    "better bargain; off leaves all to the model.",
)
@click.option("--lossless", is_flag=True, help="Hold every picture without loss; takes no model.")
@click.option(
    "--keep-invisible", is_flag=True, help="Keep the colours of what is fully transparent, and alpha without loss."
)
@TUNE
@EFFORT
@click.option(
    "--coding",
    type=click.Choice(["auto", *container.CODING_NAMES]),
    default="auto",
    show_default=True,
    help="Of the hyperlatents; auto takes, from effort 3 on, what gives the smaller file.",
)
@MAX_PIXELS
@MODEL
@several
def compress(
    paths: tuple[str, ...],
    metadata: tuple[str, ...],
    frame: int | None,
    effort: int,
    coding: str,
    graphics: str,
    lossless: bool,
    keep_invisible: bool,
    max_pixels: int,
    tune: str | None,
    model: str | None,
    folder: Path | None,
    recursive: bool,
    jobs: int,
    resume: bool,
    preserve: bool,
    force: bool,
    **asked: float | None,
) -> None:
    """Compress pictures to .vae files.

    `-` is standard input or output. Everything that Pillow reads goes in; what a mode cannot keep is said. A folder
    (with -r) is mirrored: its pictures, known by their suffix, go to the same places below DIR. Each file that goes to
    a folder says what it was made from and how. --resume skips those that would come out the same now, and replaces
    those that are damaged, or were made of the same picture in another way or before it changed; what else is there
    already is left alone, and fails.

    \b
    Examples:
      vaecodec compress photo.png photo.vae
      vaecodec compress photo.png photo.vae -q 85
      vaecodec compress photo.png photo.vae --size 100k
      vaecodec compress photo.png photo.vae --tune psnr -q 50
      vaecodec compress photo.png photo.vae --ssimulacra2 80
      vaecodec compress diagram.png diagram.vae --lossless
      vaecodec compress *.jpg -o compressed/ --psnr 38
      vaecodec compress photos/ -o compressed/ -r -j 4 --preserve --resume
      cat photo.png | vaecodec compress - - > photo.vae
    """
    if sum(value is not None for value in asked.values()) + lossless > 1:
        raise click.UsageError("ask for one of --quality, --size, --bpp, --psnr, --ssimulacra2 and --lossless")
    if lossless and (model or tune):
        raise click.UsageError("--lossless takes no model")
    chosen = chosen_model(model, tune, psnr=asked["psnr"])
    if not lossless:
        catalog.read_model_info(catalog.model_path(chosen))  # or no file could be compressed
    from vaecodec.cli import batch, done, transcode
    from vaecodec.pictures import images

    is_target = lambda target: target.lower().endswith(SUFFIX)
    plan = _plan(paths, folder, recursive, resume, SUFFIX, is_target, SUFFIX, images.PICTURE_SUFFIXES,
                 made=done.owner)  # fmt: skip
    task = partial(
        transcode.compress_file,
        asked=asked, metadata=metadata, frame=frame, effort=effort, coding=container.CODING_NAMES.get(coding),
        model=chosen, graphics=graphics == "auto", lossless=lossless, keep_invisible=keep_invisible,
        max_pixels=max_pixels, writing=transcode.Writing(folder is not None, force, resume, preserve),
    )  # fmt: skip

    def facts(report: transcode.Report) -> list[str]:
        rate = 8 * report.written_bytes / (report.size[0] * report.size[1])
        before, after = report.read_bytes, report.written_bytes
        ratio = human_ratio(before, after)
        if after > before:
            ratio = f"larger than its source ({after / before:.2f} times its size)"
        exact = ["without loss" if report.exact == 1 else f"{report.exact:.0%} without loss"] if report.exact else []
        return [human_size(after), f"{rate:.3f} bpp", ratio, *exact]

    batch.run(task, plan, jobs, facts, "written")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="IN.vae OUT | IN.vae... -o DIR")
@click.option(
    "--format", "suffix", metavar="SUFFIX", help="Format of pictures in a folder or on standard output; png by default."
)
@click.option("--region", type=RegionType(), help="Only this part: left, top, width and height in pixels.")
@click.option(
    "--scale",
    type=click.Choice(list(SCALES)),
    default="1",
    show_default=True,
    help="A smaller picture: means of squares of pixels, taken before these are clipped to black and white.",
)
@MAX_PIXELS
@click.option(
    "--background",
    type=ColourType(),
    default="white",
    show_default=True,
    help="Behind what is transparent, where a format cannot keep it: a name, #rrggbb, rgb(r,g,b) or hsl(h,s%,l%).",
)
@METADATA
@MODEL
@several
def decompress(
    paths: tuple[str, ...],
    suffix: str | None,
    region: Region | None,
    scale: str,
    max_pixels: int,
    background: str,
    metadata: tuple[str, ...],
    model: str | None,
    folder: Path | None,
    recursive: bool,
    jobs: int,
    resume: bool,
    preserve: bool,
    force: bool,
) -> None:
    """Restore pictures from .vae files.

    The output's suffix names its format. What a format cannot hold is converted as far as it has to be, and that is
    said: alpha is composed on --background, CMYK becomes sRGB, 16 bits become eight. JPEG and AVIF are written at
    quality 95 with all samples of colour, WebP without loss.

    A folder (with -r) is mirrored: its .vae files go to the same places below DIR. How each picture there was made
    stands in a file .vaecodec-made beside it. --resume skips those that would come out the same now, and replaces those
    that are as they were made, but from the same file in another way or before it changed; what else is there already
    is left alone, and fails.

    \b
    Examples:
      vaecodec decompress photo.vae photo.png
      vaecodec decompress *.vae -o restored/ --format webp
      vaecodec decompress compressed/ -o restored/ -r -j 4 --preserve --resume
      vaecodec decompress logo.vae logo.jpg --background '#f0f0f0'
      vaecodec decompress photo.vae part.png --region 400,300,256,256
      vaecodec decompress compressed/*.vae -o previews/ --scale 1/8 --format jpg
      vaecodec decompress - - < photo.vae > photo.png
    """
    from vaecodec.cli import batch, transcode
    from vaecodec.pictures import images
    from vaecodec.pictures.exchange import output

    if suffix and folder is None and not (len(paths) == 2 and files.is_stream(paths[1])):
        raise click.UsageError("--format is for -o DIR and for standard output; a file's own suffix names its format")
    ending = f".{(suffix or 'png').lower().lstrip('.')}"
    format_name = images.writes(ending)
    if not format_name:
        raise click.UsageError(f"--format {suffix}: Pillow writes no such format")
    plan = _plan(paths, folder, recursive, resume, ending, lambda t: bool(images.writes(Path(t).suffix)),
                 "an image format's suffix", [SUFFIX])  # fmt: skip
    if folder is None and not files.is_stream(paths[1]):
        format_name = images.writes(Path(paths[1]).suffix) or format_name
    task = partial(
        transcode.decompress_file,
        format_name=format_name, region=region, scale=SCALES[scale], model=model, max_pixels=max_pixels,
        background=background, metadata=metadata,
        writing=transcode.Writing(folder is not None, force, resume, preserve),
    )  # fmt: skip
    quality = output.held_by(format_name).quality
    lossy = [f"{format_name} quality {quality}"] * bool(quality)
    batch.run(task, plan, jobs, lambda report: [human_size(report.written_bytes), *lossy], "read")


for command in (info, test, models, compare, evaluate, train, sample, interpolate, digits):
    main.add_command(command)
