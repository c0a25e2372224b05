"""Do the lecture's claims about autoencoders and VAEs hold? On MNIST; docs/lecture.md walks through them.

    python benchmarks/lecture.py --data mnist/ --runs build/lecture -o benchmarks/results/lecture

Trains what is not shipped, a few epochs a model, and keeps it in --runs. Stopped, it goes on where it was: a claim
whose settings have not changed is not measured again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import torch
from shared.lecture import bounds, codes, figures, labels, posteriors, text
from shared.lecture.bench import VARIANCES, Bench
from shared.options import numbers_option, output_option
from shared.results import Store, publish, say, section

from vaecodec.digits import weights
from vaecodec.digits.data import read_digits

CLAIMS: dict[str, Callable[[Bench], dict]] = {
    "0-shipped": bounds.shipped_models,
    "0-binarised": bounds.binarised,
    "1-linear": codes.linear_autoencoder,
    "2-pca": codes.against_pca,
    "3-noise": codes.observation_noise,
    "4-gap": posteriors.the_gap,
    "5-point": posteriors.point_mass,
    "6-gradients": posteriors.gradient_estimators,
    "7-inference": posteriors.inference_per_picture,
    "8-latents": posteriors.switched_off,
    "9-labels": labels.style_and_content,
    "10-features": labels.few_labels,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="MNIST's IDX files."
)
@click.option(
    "--runs", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where trained models are kept."
)
@click.option(
    "--figures",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs/lecture"),
    show_default=True,
)
@click.option("--epochs", default=8.0, show_default=True, help="Of each model that is trained.")
@numbers_option("--latents", "2,4,8,16,32,64", "Numbers of latents to compare", 1, 512)
@click.option("--only", help="Comma-separated numbers of claims.")
@output_option("lecture")
def main(data: Path, runs: Path, folder: Path, epochs: float, latents, only: str | None, output: Path) -> None:
    """Measure the ten claims and draw a figure for each."""
    torch.set_flush_denormal(True)
    bench = Bench(
        read_digits(data, "train"), read_digits(data, "test"), runs, epochs, tuple(int(float(k)) for k in latents)
    )
    store = Store(output.with_suffix(".json"))
    used = {"0-shipped": ("lossless", "digits", "map"), "4-gap": ("map", "lossless"), "9-labels": ("digits",)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, claim in CLAIMS.items():
        if only and name.split("-")[0] not in only.split(","):
            continue
        stamp = {"epochs": epochs, "latents": list(bench.latents), "pictures": [len(bench.train), len(bench.test)]}
        stamp["models"] = {model: weights.load(model).fingerprint for model in used.get(name, ())}
        if name == "2-pca":
            stamp["variances"] = list(VARIANCES)
        if name == "0-binarised":
            stamp["epochs"] = [options.epochs for _, options in bounds.BINARISED.values()]
        part = section(store.data, name, stamp)
        if "results" not in part:
            say(f"claim {name}")
            part["results"] = claim(bench)
            store.save(now=True)
        if name in figures.FIGURES:
            figures.draw(name, part["results"], folder / f"{name}.png")
    publish(store, output, text.describe(store.data))


if __name__ == "__main__":
    main()
