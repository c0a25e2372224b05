"""Options that several programs have."""

from __future__ import annotations

from pathlib import Path

import click

from vaecodec.inference.effort import DEFAULT_EFFORT

SETTINGS = {"help_option_names": ["-h", "--help"]}
images_argument = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="IMAGES..."
)
model_option = click.option("-m", "--model", help="Model of vaecodec by name or file; the default is light.")
codecs_option = click.option("--codecs", help="Comma-separated names; all by default.")
data_option = click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="Tar files or folders of training pictures; may be given several times.",
)
effort_option = click.option(
    "-e", "--effort", default=DEFAULT_EFFORT, show_default=True, type=click.IntRange(0, 9), help="Of the encoder."
)


def output_option(name: str):
    """Where results go: a path without suffix."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        default=Path(name),
        show_default=True,
        help="Results go to this name with .json, .md and .png.",
    )


def numbers_option(flag: str, default: str | None, what: str, lowest: float, highest: float):
    """A comma-separated list of numbers, which a program gets as text of one form each, ready to be keys."""

    def parse(context: click.Context, parameter: click.Parameter, text: str | None) -> list[str] | None:
        if text is None:
            return None
        try:
            values = [float(value) for value in text.split(",")]
        except ValueError:
            raise click.BadParameter(f"{text}: not a list of numbers") from None
        if any(not lowest <= value <= highest for value in values):
            raise click.BadParameter(f"{text}: not all between {lowest:g} and {highest:g}")
        return [f"{value:g}" for value in values]

    help_text = f"{what}, comma-separated, {lowest:g} to {highest:g}."
    return click.option(flag, default=default, show_default=True, callback=parse, help=help_text)


def qualities_option(default: str):
    """Qualities of vaecodec."""
    return numbers_option("--qualities", default, "Qualities", 1, 100)
