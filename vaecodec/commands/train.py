"""`vaecodec train`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--config", default="light", show_default=True, help="Named configuration.")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="Folders of pictures and tar files, or tar files; may be given several times.",
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
    "--frozen-encoder", is_flag=True, help="Train synthesis, prior and posterior, on the symbols that the codec sends."
)
@click.option(
    "--sampled-share",
    type=click.FloatRange(0, 1),
    default=1 / 6,
    show_default="1/6",
    help="With --frozen-encoder, share of sampled hyperlatents (bits-back) in the loss; the rest is rounded ones'.",
)
@click.option("--posterior-only", is_flag=True, help="Of these, train the posterior only.")
@click.option("--seed", default=0, show_default=True)
@click.option("--compile/--no-compile", "compile_model", default=False, help="Use torch.compile.")
def train(config, data, hours, folder, init, export, compile_model, **options) -> None:
    """Train a model, on CPUs or GPUs.

    Under torchrun on several. The folder of --resume holds the run; the same command goes on with one that was
    interrupted.

    \b
    Examples:
      vaecodec train --data photos/ --hours 8 --resume runs/a --export mine.safetensors
      vaecodec compress -m mine.safetensors photo.png photo.vae
    """
    from vaecodec.training import run

    run.run(config, list(data), hours, folder, init=init, export=export, compile=compile_model, **options)
