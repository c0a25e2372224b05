"""What commands share that click makes: how a run ends, types of values, options."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vaecodec.cli.terminal import ending_in_words, own_process, say, shown, tell
from vaecodec.format import files
from vaecodec.format.catalog import DEFAULT_TUNE, TUNES, list_models, model_for
from vaecodec.format.container import DEFAULT_MAX_PIXELS, METADATA, QUALITIES
from vaecodec.inference.effort import DEFAULT_EFFORT, LEVELS

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar
    from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., Any])
SUFFIX = ".vae"


def human_ratio(before: int, after: int) -> str:
    """How many times smaller something has become, such as `12:1` and `3.4:1`; `1:1.40` if it is larger."""
    if not (before and after):
        return "–"
    ratio = before / after
    return f"1:{1 / ratio:.2f}" if ratio < 1 else f"{ratio:.1f}:1" if ratio < 9.95 else f"{ratio:.0f}:1"


class Group(click.Group):
    """Ends as `ending_in_words` says, and says what click has to say in its own way."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = False,
        **extra: Any,
    ) -> Any:
        with ending_in_words():
            try:
                if args is None:  # the process is this command line's
                    own_process()
                return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except click.Abort:
                raise KeyboardInterrupt from None
            except click.ClickException as error:
                _say_usage(error)
                sys.exit(error.exit_code)


def _say_usage(error: click.ClickException) -> None:
    """As click does, but that what it quotes is shown and does not act."""
    message = error.format_message()
    if isinstance(error, click.MissingParameter):
        message = " ".join(message.split())  # lines of click's own
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        lines = message.splitlines()
    elif isinstance(error, click.UsageError) and error.ctx:
        hint = f"Try '{error.ctx.command_path} --help' for help."
        lines = [*error.ctx.get_usage().splitlines(), hint, "", f"Error: {message}"]
    else:
        lines = [f"Error: {message}"]
    for line in lines:
        say(line)


def progress_bar(length: int, label: str = "") -> ProgressBar[int]:
    """A progress bar, where standard error is a terminal."""
    return click.progressbar(length=length, label=shown(label), file=sys.stderr, hidden=not sys.stderr.isatty())


def beside(
    targets: Iterable[Path | None], *, force: bool, sources: Collection[Path | str | None]
) -> Callable[[str], None]:
    """Checks what a command writes besides its lines, and gives what the lines go by: `tell`, or `say` if one is `-`.

    Args:
        sources: what the command reads.

    Raises:
        click.UsageError: two are the same.
        files.FileError: one cannot be written.
    """
    names = [str(target) for target in targets if target]
    if len({files.inode(name) or os.path.normpath(name) for name in names}) < len(names):
        raise click.UsageError("two of the outputs would go to the same place")
    for name in names:
        files.check_target(name, force=force, sources=sources)
    return say if files.STREAM in names else tell


class MetadataType(click.ParamType):
    name = f"all|none|{','.join(METADATA)}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        kinds = {"all": tuple(METADATA), "none": ()}.get(value) if isinstance(value, str) else value
        if kinds is None:
            kinds = tuple(value.split(","))
            if not set(kinds) <= set(METADATA):
                self.fail(f"{value!r} is not all, none or some of {','.join(METADATA)}", param, ctx)
        return kinds


class SizeType(click.ParamType):
    name = "N[k|M]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        scale = {"k": 1e3, "K": 1e3, "M": 1e6}.get(value[-1:], 1)
        with contextlib.suppress(ValueError):
            size = float(value[:-1] if scale > 1 else value) * scale
            if 0 < size < float("inf"):
                return size
        self.fail(f"{value!r} is not a size such as 20000, 20k or 1.5M", param, ctx)


def parse_qualities(text: str) -> list[float]:
    """The numbers of `--qualities`.

    Raises:
        click.UsageError: they are none, or out of range.
    """
    low, high = QUALITIES
    try:
        values = [float(q) for q in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--qualities {text}: not a list of numbers") from None
    if not all(low <= value <= high for value in values):
        raise click.UsageError(f"--qualities: from {low:g} to {high:g}")
    return values


class Number(click.FloatRange):
    """click's own takes what is no number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class ColourType(click.ParamType):
    name = "COLOUR"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from PIL import ImageColor

        with contextlib.suppress(ValueError, OverflowError):
            if len(colour := ImageColor.getrgb(value)) == 3 and max(colour) <= 255:
                return str(value)
        self.fail(f"{value!r} is not a colour such as white, '#f0f0f0' or rgb(240,240,240)", param, ctx)


class RegionType(click.ParamType):
    name = "X,Y,W,H"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        with contextlib.suppress(ValueError):
            x, y, width, height = (int(part) for part in value.split(","))
            return x, y, width, height
        self.fail(f"{value!r} is not four whole numbers such as 0,0,640,480", param, ctx)


def _complete_model(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    names = [CompletionItem(model.name) for model in list_models() if model.name.startswith(begun)]
    return names or [CompletionItem(begun, type="file")]


MODEL = click.option(
    "-m",
    "--model",
    shell_complete=_complete_model,
    help="Model by name (see `vaecodec models`) or file.",
)
TUNE = click.option(
    "--tune",
    type=click.Choice(list(TUNES)),
    help=f"What the model was trained for: {' or '.join(f'{tune} ({name})' for tune, name in TUNES.items())}; "
    f"{DEFAULT_TUNE} by default. -m names any other model.",
)
EFFORT = click.option(
    "-e",
    "--effort",
    type=click.IntRange(0, LEVELS - 1),
    default=DEFAULT_EFFORT,
    show_default=True,
    help="0 encodes in one pass; 1 weighs rate against distortion; from 2 on by the picture's gradient, more and more "
    "often. Decoding takes the same at all.",
)
FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
MAX_PIXELS = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=DEFAULT_MAX_PIXELS,
    show_default=True,
    help="Refuse larger pictures.",
)
SEED = click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Of the random numbers."
)
FOLDER = click.option(
    "-o", "--output-dir", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write into this folder."
)
RECURSIVE = click.option("-r", "--recursive", is_flag=True, help="Take the files in folders, and in folders in them.")
JOBS = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Processes, which share the cores among them; 0 for one a core.",
)
RESUME = click.option(
    "--resume", is_flag=True, help="Skip what is done; replace what is outdated. With -f, replace all else."
)

PRESERVE = click.option(
    "--preserve", is_flag=True, help="Give what is written the times of what it was made from, as `cp -p` does."
)


def chosen_model(model: str | None, tune: str | None, *, psnr: float | None = None) -> str | Path:
    """`catalog.model_for`.

    Raises:
        click.UsageError: both are given.
    """
    try:
        return model_for(model, tune, psnr=psnr)
    except ValueError:
        raise click.UsageError("give --tune or --model, not both") from None


def several(command: Function) -> Function:
    """The options of commands that work on several files."""
    for option in (FORCE, PRESERVE, RESUME, JOBS, RECURSIVE, FOLDER):
        command = option(command)
    return command
