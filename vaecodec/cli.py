"""The command line. Options, messages and exit codes; the work is done elsewhere, and imported when it is needed."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

import vaecodec
from vaecodec import files
from vaecodec.errors import BitstreamError, ImageError, ModelError, VaecodecError

EXIT_FAILED, EXIT_USAGE, EXIT_CORRUPT, EXIT_MODEL, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
SUFFIX = ".vae"


def _exit_code(error: VaecodecError) -> int:
    return (
        EXIT_CORRUPT
        if isinstance(error, BitstreamError)
        else EXIT_MODEL
        if isinstance(error, ModelError)
        else EXIT_FAILED
    )


def _say(message: str) -> None:
    click.echo(message, err=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Puts the file's name in front of errors that do not begin with one."""
    try:
        yield
    except VaecodecError as error:
        if str(error).startswith(f"{path}:") or isinstance(error, files.FileError):
            raise
        name = "standard input" if path == files.STREAM else path
        raise type(error)(f"{name}: {error}") from error


def _run(paths: list[str], work: Callable[[str], None]) -> None:
    """Does the work for every file, goes on after failures, and exits with the code that sums them up."""
    failures = []
    for path in paths:
        try:
            with _naming(path):
                work(path)
        except VaecodecError as error:
            failures.append(error)
            _say(f"vaecodec: {_one_line(error)}")
    if failures and len(paths) > 1:
        _say(f"vaecodec: {len(failures)} of {len(paths)} files failed")
        raise SystemExit(EXIT_FAILED)
    if failures:
        raise SystemExit(_exit_code(failures[0]))


def _without_nan(value):
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _size(count: int) -> str:
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def _say_done(source: str, target: str, size: tuple[int, int], *facts: str, start: float) -> None:
    """One line for a file that is done."""
    seconds = f"{time.perf_counter() - start:.2f} s"
    _say("  ".join([f"{source} → {target}", f"{size[0]}×{size[1]}", *facts, seconds]))


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


class _Group(click.Group):
    """Ends interrupted runs as shells expect."""

    def main(self, *args, **kwargs):
        try:
            return super().main(*args, **kwargs, standalone_mode=False)
        except (KeyboardInterrupt, click.Abort):
            _say("vaecodec: interrupted")
            sys.exit(EXIT_INTERRUPTED)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except VaecodecError as error:
            _say(f"vaecodec: {_one_line(error)}")
            sys.exit(_exit_code(error))
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(EXIT_FAILED)
        except OSError as error:  # standard output; files have been dealt with where they are read and written
            _say(f"vaecodec: standard output cannot be written: {files.reason(error)}")
            sys.stderr.close()  # what is left in the buffer would be complained of once more at exit
            sys.exit(EXIT_FAILED)


class _MetadataType(click.ParamType):
    name = "all|none|icc,exif,xmp"

    def convert(self, value, param, ctx) -> tuple[str, ...]:
        kinds = {"all": ("icc", "exif", "xmp"), "none": ()}.get(value) if isinstance(value, str) else value
        if kinds is None:
            kinds = tuple(value.split(","))
            if not set(kinds) <= {"icc", "exif", "xmp"}:
                self.fail(f"{value!r} is not all, none or some of icc,exif,xmp", param, ctx)
        return kinds


class _SizeType(click.ParamType):
    name = "N[k|M]"

    def convert(self, value, param, ctx) -> float:
        scale = {"k": 1e3, "K": 1e3, "M": 1e6}.get(value[-1:], 1)
        with contextlib.suppress(ValueError):
            size = float(value[:-1] if scale > 1 else value) * scale
            if 0 < size < float("inf"):
                return size
        self.fail(f"{value!r} is not a size such as 20000, 20k or 1.5M", param, ctx)


_MODEL = click.option("-m", "--model", help="Model by name (see `vaecodec models`) or file; the default is light.")
_EFFORT = click.option(
    "-e",
    "--effort",
    type=click.IntRange(0, 1),
    default=1,
    show_default=True,
    help="0 rounds latents, 1 weighs rate against distortion for each.",
)
_FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
_FOLDER = click.option(
    "-o", "--output-dir", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write into this folder."
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
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
@click.option("--size", type=_SizeType(), help="Largest file of at most N bytes; k and M are thousands and millions.")
@click.option(
    "--bpp", type=click.FloatRange(min=0, min_open=True), help="Largest file of at most so many bits per pixel."
)
@click.option(
    "--metadata",
    type=_MetadataType(),
    default="all",
    show_default=True,
    help="What to keep: all, none, or some of icc,exif,xmp.",
)
@click.option("--psnr", type=click.FloatRange(min=0), metavar="DB", help="Smallest file of at least so many decibels.")
@_EFFORT
@_MODEL
@_FOLDER
@_FORCE
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

        planes = images.take_apart(images.open_image(io.BytesIO(data)), metadata)
        try:
            packed = vaecodec._codec(model).compress_planes(planes, **asked, effort=effort)
        except ValueError as error:
            if isinstance(error, VaecodecError):
                raise
            raise click.UsageError(str(error)) from error
        files.write(target, packed)
        if planes.lost:
            _say(f"vaecodec: {source}: not kept: {planes.lost}")
        height, width = planes.rgb.shape[:2]
        rate = f"{8 * len(packed) / (width * height):.3f} bpp"
        ratio = f"{len(data) / len(packed):.0f}:1"
        _say_done(source, target, (width, height), _size(len(packed)), rate, ratio, start=start)

    _run(list(targets), work)


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="IN.vae OUT | IN.vae... -o DIR")
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=vaecodec.DEFAULT_MAX_PIXELS,
    show_default=True,
    help="Refuse larger pictures.",
)
@_MODEL
@_FOLDER
@_FORCE
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
        _say_done(source, target, image.size, _size(buffer.tell()), start=start)

    _run(list(targets), work)


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE.vae...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def info(paths: tuple[str, ...], as_json: bool) -> None:
    """Show what the headers of .vae files say; nothing is decoded."""
    names = {model.model_id: model.name for model in vaecodec.list_models()}

    def work(path: str) -> None:
        data = files.read(path)
        header = vaecodec.read_info(data)
        fields = {
            "file": path, "width": header.width, "height": header.height, "mode": header.mode,
            "quality": round(1 + 99 * header.quality / 2**15, 2), "bytes": len(data),
            "bpp": round(8 * len(data) / header.pixels, 4), "payload_bytes": header.payload_bytes,
            "chunks": header.chunks, "coding": header.coding, "model_id": header.model_id.hex(),
            "model": names.get(header.model_id),
        }  # fmt: skip
        if as_json:
            click.echo(json.dumps(fields))
        else:
            model = fields["model"] or "not installed"
            click.echo(
                f"{path}: {header.width}×{header.height} {header.mode}  quality {fields['quality']:g}  "
                f"{_size(len(data))}  {fields['bpp']:.3f} bpp  model {model} ({header.model_id.hex()})"
            )

    _run(list(paths), work)


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE.vae...")
@_MODEL
def test(paths: tuple[str, ...], model: str | None) -> None:
    """Check that .vae files decode, symbol by symbol; nothing is written."""

    def work(path: str) -> None:
        vaecodec.decompress(files.read(path), model=model, max_pixels=None)
        click.echo(f"{path}: ok")

    _run(list(paths), work)


@main.command()
def models() -> None:
    """List the installed models."""
    from vaecodec.catalog import DEFAULT_MODEL

    for model in vaecodec.list_models():
        default = "  (default)" if model.name == DEFAULT_MODEL else ""
        click.echo(f"{model.name}  {model.model_id.hex()}  {_size(model.path.stat().st_size)}  {model.path}{default}")


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@_EFFORT
@_MODEL
@click.option(
    "--qualities", default="1,10,20,30,40,50,60,70,80,90,100", show_default=True, help="Comma-separated, 1 to 100."
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here.")
@_FORCE
def evaluate(folder: Path, effort: int, model: str | None, qualities: str, json_path: Path | None, force: bool) -> None:
    """Rate and distortion over a folder: every picture to real bytes and back.

    The JSON has the means in the schema of CompressAI's result files, and every picture's own figures.
    """
    try:
        values = sorted({float(q) for q in qualities.split(",")})
    except ValueError:
        raise click.UsageError(f"--qualities {qualities}: not a list of numbers") from None
    if not values or not all(1 <= value <= 100 for value in values):
        raise click.UsageError("--qualities: from 1 to 100")
    from vaecodec import evaluation

    if json_path:
        files.check_target(str(json_path), force=force)
    paths = evaluation.pictures(folder)
    failures: list[str] = []

    def failed(path: Path, error: ImageError) -> None:
        failures.append(path.name)
        _say(f"vaecodec: {_one_line(error)}")

    codec, results = vaecodec._codec(model), []
    with click.progressbar(length=len(paths) * len(values), file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        for result in evaluation.evaluate(codec, paths, values, failed, effort=effort):
            results.append(result)
            bar.update(1)
    if not results:
        raise ImageError(f"{folder}: no picture in it could be used")
    report = evaluation.summary(results, codec)
    means = report["results"]
    click.echo("quality     bpp    PSNR  MS-SSIM  encode s  decode s")
    for row in zip(*means.values(), strict=True):
        click.echo("{:7g}  {:6.3f}  {:6.2f}  {:7.4f}  {:8.3f}  {:8.3f}".format(*row))
    if json_path:
        files.write(str(json_path), json.dumps(_without_nan(report), indent=1).encode())
    if failures:
        raise SystemExit(EXIT_FAILED)


@main.command()
@click.option("--config", default="light", show_default=True, help="Named configuration.")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="Tar files or folders of pictures; may be given several times.",
)
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), required=True, help="Length of the whole run.")
@click.option(
    "--resume",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the run: checkpoint and log; a run that lies there goes on.",
)
@click.option("--init", "init", help="Model, by name or file, to start from where there is no checkpoint.")
@click.option(
    "--export",
    "export",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the averaged weights as a model file at the end.",
)
@click.option("--batch", default=16, show_default=True, type=click.IntRange(min=1), help="Crops a step and process.")
@click.option(
    "--crop", default=256, show_default=True, type=click.IntRange(min=64), help="Pixels a side; a multiple of 64."
)
@click.option(
    "--final-crop", default=384, show_default=True, type=click.IntRange(min=64), help="The same for the last tenth."
)
@click.option("--optimizer", type=click.Choice(["muon", "soap", "adamw"]), default="muon", show_default=True)
@click.option("--rate", default=1.0, show_default=True, help="Multiplies all learning rates.")
@click.option("--decay-share", default=0.35, show_default=True, help="Share of the run over which the rates fall.")
@click.option(
    "--frozen-encoder", is_flag=True, help="Train synthesis and prior only, on the symbols that the codec sends."
)
@click.option(
    "--discrete-share", default=0.0, show_default=True, help="Share of the run, at its end, with rounded rates."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--compile/--no-compile", "compile_model", default=False, help="Use torch.compile.")
def train(config, data, hours, folder, init, export, compile_model, **options) -> None:
    """Train a model, on the CPU or on GPUs (under torchrun for several).

    \b
    vaecodec train --data photos/ --hours 8 --resume runs/a --export mine.safetensors
    vaecodec compress -m mine.safetensors photo.png photo.vae
    """
    from vaecodec.training import run

    run.run(config, list(data), hours, folder, init=init, export=export, compile=compile_model, **options)
