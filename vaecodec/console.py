"""What all commands share: exit codes, messages, options, and how a run over several files goes and ends."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from vaecodec import files
from vaecodec.errors import BitstreamError, ModelError, VaecodecError

EXIT_FAILED, EXIT_USAGE, EXIT_CORRUPT, EXIT_MODEL, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
SUFFIX = ".vae"


def exit_code(error: VaecodecError) -> int:
    """What a run ends with after this failure."""
    return (
        EXIT_CORRUPT
        if isinstance(error, BitstreamError)
        else EXIT_MODEL
        if isinstance(error, ModelError)
        else EXIT_FAILED
    )


def say(message: str) -> None:
    """To standard error, as everything that is no result."""
    click.echo(message, err=True)


def one_line(error: Exception) -> str:
    """An error's message without line breaks."""
    return " ".join(str(error).split())


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Puts the file's name in front of errors that do not begin with one."""
    try:
        yield
    except VaecodecError as error:
        if str(error).startswith(f"{path}:") or isinstance(error, files.FileError):
            raise
        name = "standard input" if path == files.STREAM else path
        raise type(error)(f"{name}: {error}") from error


def run(paths: list[str], work: Callable[[str], None]) -> None:
    """Does the work for every file, goes on after failures, and exits with the code that sums them up."""
    failures = []
    for path in paths:
        try:
            with naming(path):
                work(path)
        except VaecodecError as error:
            failures.append(error)
            say(f"vaecodec: {one_line(error)}")
    if failures and len(paths) > 1:
        say(f"vaecodec: {len(failures)} of {len(paths)} files failed")
        raise SystemExit(EXIT_FAILED)
    if failures:
        raise SystemExit(exit_code(failures[0]))


def human_size(count: int) -> str:
    """A number of bytes for people, in decimal units."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def say_done(source: str, target: str, size: tuple[int, int], *facts: str, start: float) -> None:
    """One line for a file that is done."""
    seconds = f"{time.perf_counter() - start:.2f} s"
    say("  ".join([f"{source} → {target}", f"{size[0]}×{size[1]}", *facts, seconds]))


class Group(click.Group):
    """Ends interrupted runs as shells expect."""

    def main(self, *args, **kwargs):
        try:
            return super().main(*args, **kwargs, standalone_mode=False)
        except (KeyboardInterrupt, click.Abort):
            say("vaecodec: interrupted")
            sys.exit(EXIT_INTERRUPTED)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except VaecodecError as error:
            say(f"vaecodec: {one_line(error)}")
            sys.exit(exit_code(error))
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(EXIT_FAILED)
        except OSError as error:  # standard output; files have been dealt with where they are read and written
            say(f"vaecodec: standard output cannot be written: {files.reason(error)}")
            sys.stderr.close()  # what is left in the buffer would be complained of once more at exit
            sys.exit(EXIT_FAILED)


class MetadataType(click.ParamType):
    name = "all|none|icc,exif,xmp"

    def convert(self, value, param, ctx) -> tuple[str, ...]:
        kinds = {"all": ("icc", "exif", "xmp"), "none": ()}.get(value) if isinstance(value, str) else value
        if kinds is None:
            kinds = tuple(value.split(","))
            if not set(kinds) <= {"icc", "exif", "xmp"}:
                self.fail(f"{value!r} is not all, none or some of icc,exif,xmp", param, ctx)
        return kinds


class SizeType(click.ParamType):
    name = "N[k|M]"

    def convert(self, value, param, ctx) -> float:
        scale = {"k": 1e3, "K": 1e3, "M": 1e6}.get(value[-1:], 1)
        with contextlib.suppress(ValueError):
            size = float(value[:-1] if scale > 1 else value) * scale
            if 0 < size < float("inf"):
                return size
        self.fail(f"{value!r} is not a size such as 20000, 20k or 1.5M", param, ctx)


MODEL = click.option("-m", "--model", help="Model by name (see `vaecodec models`) or file; the default is light.")
EFFORT = click.option(
    "-e",
    "--effort",
    type=click.IntRange(0, 1),
    default=1,
    show_default=True,
    help="0 rounds latents, 1 weighs rate against distortion for each.",
)
FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
FOLDER = click.option(
    "-o", "--output-dir", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write into this folder."
)
