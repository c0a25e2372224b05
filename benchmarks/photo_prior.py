"""How good a model of photographs is it? The bound on held-out ones, in bits per pixel of 8-bit RGB.

    python benchmarks/photo_prior.py photos/ -o benchmarks/results/photo_prior

−log2 p(x) <= rate (the file) + −log2 N(x; x_hat, η), a density for one grey level, with the η that the quality stands
for; x_hat is the picture that the decoder gives. The densities of 8-bit levels stand for their probabilities.
"""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np
import torch
from shared.options import images_argument, model_option, output_option, qualities_option
from shared.pictures import usable_pictures
from shared.results import Store, markdown_table, measure_all, publish


def observation_variance(lmbda: float) -> float:
    """η, in squared grey levels, of a trade-off λ: λ MSE = 3 MSE / (2 η ln 2), the MSE being a mean of three."""
    return 3 / (2 * lmbda * math.log(2))


def measure(codec, rgb: np.ndarray, quality: float) -> dict[str, float]:
    """The bound's two terms, in bits per pixel."""
    from vaecodec.format import container
    from vaecodec.objective.bound import gaussian_observation_bits

    data = codec.compress(rgb, quality=quality, graphics=False)
    latents = codec.decode(container.unpack(data))
    mse = np.square(codec.synthesize(latents).astype(float) - rgb).mean()
    lmbda = codec.model.config.lmbda(torch.tensor(latents.quality / container.QUALITY_MAX))
    variance = observation_variance(float(lmbda))
    bits = gaussian_observation_bits(torch.tensor(mse), variance, 3)
    return {"rate_bpp": 8 * len(data) / rgb[..., 0].size, "observation_bpp": float(bits), "variance": variance}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@images_argument
@model_option
@qualities_option("1,25,50,75,100")
@output_option("photo_prior")
def main(paths: tuple[Path, ...], model: str | None, qualities: list[str], output: Path) -> None:
    """Measure the bound at several qualities."""
    from vaecodec.codec.codec import Codec

    codec = Codec(model)
    if codec.model.config.distortion != "mse":
        raise click.ClickException(
            f"{codec.name} is trained for {codec.model.config.distortion}, which is no likelihood; name a model of mse"
        )
    images = usable_pictures(paths).images
    store = Store(output.with_suffix(".json"))
    stamp = {"model": codec.stored.fingerprint}
    rows = measure_all(store, stamp, qualities, images, lambda q, rgb: measure(codec, rgb, float(q)))
    table = []
    for quality, pictures in rows.items():
        rate, observation, variance = (
            np.mean([row[key] for row in pictures.values()]) for key in ("rate_bpp", "observation_bpp", "variance")
        )
        table.append([quality, f"{variance:.1f}", f"{rate:.3f}", f"{observation:.2f}", f"{rate + observation:.2f}"])
    head = ["quality", "η, grey levels²", "KL: rate, bpp", "−log2 p(x | y), bpp", "−F, bpp"]
    publish(store, output, f"Model {codec.name}, {len(images)} pictures.\n\n{markdown_table(head, table)}\n")


if __name__ == "__main__":
    main()
