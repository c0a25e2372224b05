"""`vaecodec train`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from vaecodec.cli.console import FORCE, SEED, Number

_PATH = click.Path(exists=True, path_type=Path)


def _sizes(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """`NAME=NUMBER`, several times."""
    pairs = [value.partition("=") for value in values]
    try:
        return tuple((name, int(number)) for name, _, number in pairs)
    except ValueError as error:
        raise click.BadParameter("not NAME=NUMBER") from error


@click.command()
@click.option("--config", default="light", show_default=True, help="Named configuration.")
@click.option(
    "--set", "sizes", multiple=True, callback=_sizes, help="NAME=NUMBER: another size than the configuration's."
)
@click.option(
    "--distortion",
    type=click.Choice(["mse", "looks"]),
    help="What to train for: squared error, or how pictures look. [default: as --init, or the configuration]",
)
@click.option(
    "--data",
    type=_PATH,
    multiple=True,
    required=True,
    help="Folders of pictures and tar files, or tar files; looked at again while training runs.",
)
@click.option("--graphics", type=_PATH, multiple=True, help="The same, of drawings, icons and pages.")
@click.option(
    "--graphics-share",
    type=Number(0, 1),
    default=1 / 6,
    show_default="1/6",
    help="Share of crops that come from --graphics.",
)
@click.option(
    "--memory", "memory_gb", default=6.0, show_default=True, help="Gigabytes on the device for decoded pictures."
)
@click.option(
    "--hours",
    type=Number(min=0, min_open=True),
    required=True,
    help="Length of the whole run: within it rates have fallen and the model is exported.",
)
@click.option(
    "--resume",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the run: checkpoints and log; a run that lies there goes on.",
)
@click.option("--init", "init", help="Model, by name or file, or folder of a trunk, to start from.")
@click.option(
    "--trunk",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the run as it is when its rates begin to fall, for another run to go on from.",
)
@click.option(
    "--export",
    "export",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the averaged weights as a model file at the end.",
)
@click.option("--batch", default=16, show_default=True, type=click.IntRange(min=1), help="Crops a step and process.")
@click.option(
    "--clean-from",
    type=Number(0, 1),
    default=1.0,
    show_default=True,
    help="Share of the range from which qualities are trained on reduced pictures, cleaner than their files.",
)
@click.option(
    "--crop", default=256, show_default=True, type=click.IntRange(min=64), help="Pixels a side; a multiple of 64."
)
@click.option(
    "--final-crop", default=384, show_default=True, type=click.IntRange(min=64), help="The same for the last tenth."
)
@click.option("--optimizer", type=click.Choice(["muon", "adamw"]), default="muon", show_default=True)
@click.option("--rate", default=1.0, show_default=True, help="Multiplies all learning rates.")
@click.option(
    "--decay-share",
    type=Number(0, 1, min_open=True),
    default=0.35,
    show_default=True,
    help="Share of the run over which the rates fall.",
)
@click.option(
    "--frozen-encoder", is_flag=True, help="Train synthesis, prior and posterior, on the symbols that the codec sends."
)
@click.option(
    "--sampled-share",
    type=Number(0, 1),
    default=1 / 6,
    show_default="1/6",
    help="With --frozen-encoder, share of sampled hyperlatents (bits-back) in the loss; the rest is rounded ones'.",
)
@click.option("--posterior-only", is_flag=True, help="Of these, train the posterior only.")
@SEED
@click.option("--graph/--no-graph", default=True, show_default=True, help="On a GPU, record a step as a CUDA graph.")
@FORCE
@click.option("--compile/--no-compile", "compile_model", default=False, help="Use torch.compile.")
def train(
    config: str,
    data: tuple[Path, ...],
    hours: float,
    folder: Path,
    compile_model: bool,
    memory_gb: float,
    **options: Any,
) -> None:
    """Train a model, on CPUs or GPUs.

    Under torchrun on several. The folder of --resume holds the run; the same command goes on with one that was
    interrupted.

    \b
    Examples:
      vaecodec train --data photos/ --hours 8 --resume runs/a --export mine.safetensors
      vaecodec compress -m mine.safetensors photo.png photo.vae
    """
    begun = time.monotonic()
    from vaecodec.training import run

    run.run(
        config, list(data), hours, folder, begun=begun, compile=compile_model, memory_bytes=memory_gb * 1e9, **options
    )
