"""What `vaecodec train` does: read the pictures, train, plot, export."""

from __future__ import annotations

import json
import os
from pathlib import Path

from vaecodec.errors import ModelError, VaecodecError
from vaecodec.model import CONFIGS
from vaecodec.training.data import Pictures
from vaecodec.training.loop import Trainer, TrainOptions


class TrainingError(VaecodecError):
    """A run cannot begin or go on."""


def run(config: str, data: list[Path], hours: float, folder: Path, *, init: str | None, export: Path | None, **options):
    """Trains and returns the averaged model; arguments as of `vaecodec train`.

    Raises:
        TrainingError, ModelError: with the reason.
    """
    if config not in CONFIGS:
        raise TrainingError(f"unknown configuration {config!r}; there are: {', '.join(CONFIGS)}")
    settings = TrainOptions(config=config, hours=hours, **options)
    if settings.crop % 64 or settings.final_crop % 64:
        raise TrainingError("crops need sides that are multiples of 64")
    if not 0 <= settings.sampled_share <= 1:
        raise TrainingError("the share of sampled z is from 0 to 1")
    both_learn = settings.frozen_encoder and not settings.posterior_only
    if settings.sampled_share != TrainOptions.sampled_share and not both_learn:
        raise TrainingError("a share of sampled z goes with a frozen encoder, and not with training the posterior only")
    weights = None
    if init:
        from vaecodec.weights import load_model

        stored = load_model(init)
        ours, theirs = CONFIGS[config].to_dict(), stored.config.to_dict()
        if theirs | {"name": config, "bits_back": ours["bits_back"] or theirs["bits_back"]} != ours:
            raise ModelError(f"{init}: its sizes are not those of the configuration {config}")
        weights = stored.weights()
    try:
        pictures = Pictures(data, minimum=settings.crop)
        model = Trainer(settings, pictures, folder, weights).run()
    except (ValueError, RuntimeError) as error:
        raise TrainingError(str(error)) from error
    if int(os.environ.get("RANK", 0)):
        return model
    plot_log(folder / "log.jsonl", folder / "log.png")
    if export:
        from vaecodec.weights import save_model

        save_model(model, export)
    return model


def plot_log(log: Path, picture: Path) -> None:
    """Draws loss, rate and PSNR against crops seen; does nothing where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    entries = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [e for e in entries if "loss" in e]
    checks = [e for e in entries if "validation" in e]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    for axis, key, label in zip(axes, ("loss", "bpp", "psnr_db"), ("loss", "bpp", "PSNR, dB"), strict=True):
        axis.plot([e["crops"] for e in steps], [e[key] for e in steps], color="0.6", label="training")
        if checks:
            means = [sum(e["validation"][key]) / len(e["validation"][key]) for e in checks]
            axis.plot([e["crops"] for e in checks], means, color="C0", label="validation, averaged weights, unweighted")
        axis.set(xlabel="crops seen", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[0].legend()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
