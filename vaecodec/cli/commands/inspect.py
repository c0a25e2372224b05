"""`vaecodec info`, `test` and `models`: what files and models are."""

from __future__ import annotations

import click

from vaecodec.cli.commands.headers import show_info, show_models
from vaecodec.cli.console import MAX_PIXELS, MODEL
from vaecodec.cli.terminal import run, tell
from vaecodec.codec import api
from vaecodec.format import files


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="FILE.vae...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def info(paths: tuple[str, ...], as_json: bool) -> None:
    """Show what .vae files say of themselves.

    That is what stands in the header, how much of the picture is held without loss, and which metadata there are;
    nothing is decoded. The quality is the one that was asked for, as far as the file's model is installed; otherwise
    the place within that model's range.

    \b
    Examples:
      vaecodec info photo.vae
      vaecodec info --json *.vae | jq .bpp
    """
    show_info(list(paths), as_json=as_json)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="FILE.vae...")
@MAX_PIXELS
@MODEL
def test(paths: tuple[str, ...], max_pixels: int, model: str | None) -> None:
    """Check that .vae files are whole and decode.

    Every symbol is decoded and held against the checksum; nothing is written.

    \b
    Examples:
      vaecodec test photo.vae
      vaecodec test archive/*.vae && echo all well
    """

    def work(path: str) -> None:
        api.decompress(files.read(path), model=model, max_pixels=max_pixels)
        tell(f"{path}: ok")

    run(list(paths), work)


@click.command()
def models() -> None:
    """List the installed models.

    Name, the id that files of the model carry, what it was trained for and how to ask for it, size, place. A model file
    that cannot be read is listed as damaged, with the reason.

    \b
    Example:
      vaecodec models
    """
    show_models()
