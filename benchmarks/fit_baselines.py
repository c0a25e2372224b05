"""What is the model worth, and what its prior? Baselines without training: PCA, and tables for our latents alone.

    python benchmarks/fit_baselines.py pca --data photos/
    python benchmarks/fit_baselines.py factorised --data photos/ -m light-psnr

They are fitted to pictures in minutes, and lie where `rate_distortion.py` finds them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from shared.options import SETTINGS, data_option, model_option
from shared.places import BASELINES

_FOLDER = click.option(
    "-o",
    "--output-dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=BASELINES,
    help="Where the files go; pretrained/baselines by default.",
)


@click.group(context_settings=SETTINGS)
def main() -> None:
    """Fit the baselines that need no training."""


@main.command()
@data_option
@_FOLDER
@click.option(
    "--patches",
    default=60_000,
    show_default=True,
    type=click.IntRange(min=1000),
    help="16x16 patches from each tar file or folder.",
)
@click.option("--seed", default=0, show_default=True)
def pca(data: tuple[Path, ...], folder: Path, patches: int, seed: int) -> None:
    """Fit pca16 and pca8: basis and tables. About two minutes for 300,000 patches."""
    from vaecodec.baselines.pca import SIDES, PCACodec
    from vaecodec.training.data.pictures import Pictures

    largest, rows = SIDES[0], []
    with click.progressbar(data, label="patches", file=sys.stderr) as sources:
        for number, source in enumerate(sources):
            pictures = Pictures([source], minimum=64)  # one source at a time: they are held decoded
            drawn = pictures.patches(patches, largest, np.random.default_rng([seed, number]))
            rows.append(((drawn + 0.5) * 255).round().byte().numpy())
    rows = np.concatenate(rows)
    folder.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        parts = rows.reshape(-1, largest // side, side, largest // side, side, 3).swapaxes(2, 3)
        codec = PCACodec.fit([parts.reshape(-1, 3 * side * side)[:: (largest // side) ** 2]], side)
        path = folder / f"pca{side}.safetensors"
        codec.save(path, f"fitted on {len(rows)} patches of training pictures")
        click.echo(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


@main.command()
@data_option
@_FOLDER
@model_option
@click.option("--crops", default=400, show_default=True, type=click.IntRange(min=8), help="Crops to fit on.")
@click.option("--crop", default=256, show_default=True, type=click.IntRange(min=64), help="Pixels a side.")
@click.option("--seed", default=0, show_default=True)
def factorised(data: tuple[Path, ...], folder: Path, model: str | None, crops: int, crop: int, seed: int) -> None:
    """Fit a table a channel to a model's latents, for the ablation of its prior."""
    from vaecodec.baselines.ours import FactorisedCodec
    from vaecodec.codec.codec import Codec
    from vaecodec.training.data.pictures import Pictures

    codec = Codec(model)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(list(data), minimum=crop)
    drawn = pictures.crops(crops, crop, np.random.default_rng(seed)).permute(0, 2, 3, 1).numpy()
    with click.progressbar(drawn, label="latents", file=sys.stderr) as images:
        FactorisedCodec.fit(codec, images, folder)
    click.echo(f"{folder}: tables of model {codec.stored.model_id.hex()}")


if __name__ == "__main__":
    main()
