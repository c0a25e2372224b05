"""What is the KL term worth by itself? Trains a plain autoencoder and its twin, a VAE, and makes codecs of them.

    python benchmarks/train_autoencoder.py --data photos/ --resume runs/pair

The same networks from the same start on the same crops; only the loss differs. The twin's prior is factorised. Stopped,
it goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from shared.options import SETTINGS, data_option
from shared.places import BASELINES

from vaecodec.baselines.collection import TWINS

TABLE_CROPS, TEST_CROPS, CROP = 300, 24, 256


@click.command(context_settings=SETTINGS)
@data_option
@click.option(
    "--resume",
    "run",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of checkpoints and logs; what lies there goes on.",
)
@click.option(
    "-o",
    "--output-dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=BASELINES,
    help="Where the codecs go; pretrained/baselines by default.",
)
@click.option("--crops", default=100_000, show_default=True, type=click.IntRange(min=1), help="Crops for each twin.")
@click.option("--batch", default=16, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--crop", default=128, show_default=True, type=click.IntRange(min=64), help="Pixels a side; a multiple of 16."
)
@click.option("--seconds", type=float, help="Stop each twin after so long, with a checkpoint.")
@click.option("--twin", "twins", type=click.Choice(TWINS), multiple=True, help="Only this one; both by default.")
@click.option("--seed", default=0, show_default=True)
def main(
    data: tuple[Path, ...],
    run: Path,
    folder: Path,
    crops: int,
    batch: int,
    crop: int,
    seconds: float | None,
    twins: tuple[str, ...],
    seed: int,
) -> None:
    """Train the autoencoder and the factorised VAE, and make a codec of each that is done."""
    import torch

    from vaecodec.baselines.autoencoder_training import PairOptions, finish, train
    from vaecodec.training.data.pictures import Pictures

    if crop % 16:
        raise click.UsageError("--crop: not a multiple of 16")
    torch.set_flush_denormal(True)
    pictures = Pictures(list(data), minimum=max(crop, CROP))
    options = PairOptions(crops=crops, batch=batch, crop=crop, seed=seed)
    for name in twins or TWINS:
        state: dict = {}
        show = lambda _, state=state: "  ".join(f"{key} {value:.3f}" for key, value in state.items())
        with click.progressbar(
            length=crops, label=name, file=sys.stderr, item_show_func=show, update_min_steps=batch
        ) as bar:

            def advance(count: int, now: dict, bar=bar, state=state) -> None:
                state.update(now)
                bar.update(count, state)

            pair = train(pictures, run / name, options, kl=name != "autoencoder", seconds=seconds, advance=advance)
        if pair is None:
            click.echo(f"{name}: stopped; the same command goes on", err=True)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(seed)  # the same crops for both
        tables = pictures.crops(TABLE_CROPS, CROP, generator).float() / 255
        test = pictures.crops(TEST_CROPS, CROP, generator).float() / 255
        codec, path = finish(pair, tables, test), folder / f"{name}.safetensors"
        codec.save(path, f"trained on {crops} crops of {crop}x{crop}")
        click.echo(f"{path}  {path.stat().st_size / 1e3:.0f} kB  {codec.quantiser.how}")


if __name__ == "__main__":
    main()
