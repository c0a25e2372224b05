"""Training of the small models, by the optimisers, schedule and checkpoints of the photo codec's.

Imported by `vaecodec digits train` and the benchmark only.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vaecodec.digits import weights
from vaecodec.digits.data import Digits, read_digits
from vaecodec.digits.model import CONFIGS, DigitsVAE
from vaecodec.errors import ModelError
from vaecodec.format import files
from vaecodec.training.loop import CHECKPOINT_S, flushed_denormals
from vaecodec.training.optim import build_optimizers, correct_averages, minimise, set_rate, update_average
from vaecodec.training.options import rate_fraction
from vaecodec.training.runtime import checkpoint


@dataclass(frozen=True)
class FitOptions:
    """How to train.

    Attributes:
        epochs: times that every picture is seen.
        batch: pictures a step.
        rate: multiplies the learning rates.
        decay_share: share of the run, at its end, over which the rates fall to nothing.
        ema: decay of the averaged weights a step.
        unlabelled: share of the pictures whose label is withheld from a model with labels.
        seed: of the weights' start, the order of pictures and the noise.
    """

    epochs: float = 30
    batch: int = 128
    rate: float = 1.0
    decay_share: float = 0.7
    ema: float = 0.998
    unlabelled: float = 0.0
    seed: int = 0


RECIPES = {
    "map": FitOptions(epochs=12),
    "conditional": FitOptions(epochs=40, unlabelled=0.03),
    "lossless": FitOptions(epochs=24),
}
"""How the shipped models were trained."""

Loss = Callable[[DigitsVAE, Tensor, Tensor], Tensor]
"""Model, pictures `[B, 28, 28]` and labels `[B]` to what is minimised, a mean over pictures."""
Report = Callable[[float, float], None]
"""What is told of the run: the share that is done, and the loss of late."""


def negative_bound(model: DigitsVAE, images: Tensor, labels: Tensor) -> Tensor:
    """−F in bits per pixel."""
    return model(images, labels).total_bpp.mean()


def binarised(model: DigitsVAE, images: Tensor, labels: Tensor) -> Tensor:
    """−F of pictures whose pixels are drawn anew as black or white, each time (Burda et al. 2016)."""
    return negative_bound(model, binarise(images), labels)


def binarise(images: Tensor) -> Tensor:
    """Levels 0 and 255 at random, white with the probability that the grey level says."""
    return torch.bernoulli(images / 255) * 255


def fit(
    model: DigitsVAE,
    data: Digits,
    options: FitOptions,
    loss: Loss = negative_bound,
    *,
    folder: Path | None = None,
    report: Report = lambda progress, loss: None,
) -> DigitsVAE:
    """Trains a model and returns its averaged weights.

    Args:
        folder: for a checkpoint every few minutes, from which the same call goes on, and a log.

    Raises:
        ModelError: the checkpoint that is there is one of another model.
    """
    torch.manual_seed(options.seed)
    options = replace(options, batch=min(options.batch, len(data)))
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizers = build_optimizers(model, "adamw", options.rate)
    images, labels = torch.from_numpy(data.images.copy()), torch.from_numpy(data.labels.copy()).long()
    per_epoch = len(images) // options.batch
    steps, step = round(options.epochs * per_epoch), 0
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if meta := checkpoint.restore(folder, model, ema, optimizers):
                step = meta["step"]
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{folder}: holds the run of another model") from error
    correct_averages(optimizers, step)
    recent, saved = [], time.monotonic()

    def save() -> None:
        if folder is not None:
            meta = {"step": step, "options": asdict(options)}
            checkpoint.write(folder, checkpoint.CHECKPOINT, step, model, optimizers, meta, ema=ema)

    while step < steps:
        order = torch.randperm(
            len(images), generator=torch.Generator().manual_seed(options.seed * 100_003 + step // per_epoch)
        )
        first = step % per_epoch
        for chosen in order[: per_epoch * options.batch].view(per_epoch, options.batch)[first:]:
            set_rate(optimizers, rate_fraction(step / steps, step, options))
            told = labels[chosen]
            if options.unlabelled:
                told = told.masked_fill(torch.rand(options.batch) < options.unlabelled, -1)
            value = loss(model, images[chosen], told)
            minimise(value, optimizers, model, clip=1.0)
            step += 1
            update_average(ema, model, options.ema, step)
            recent.append(float(value.detach()))
            if step >= steps:
                break
        mean, recent = sum(recent) / len(recent), []
        report(step / steps, mean)
        if folder is not None:
            with open(folder / "log.jsonl", "a") as file:
                file.write(json.dumps({"step": step, "epoch": step / per_epoch, "loss": round(mean, 5)}) + "\n")
        if time.monotonic() - saved > CHECKPOINT_S:
            save()
            saved = time.monotonic()
    save()
    return ema.eval()


@torch.no_grad()
def latent_steps(model: DigitsVAE, data: Digits, count: int = 10_000) -> Tensor:
    """Log2 of the widths at which single pictures' latents are quantised, `[K]`, before the quality has its say.

    σ is what the posterior leaves open, and √(1 − σ²) how far its means spread, if the prior is met on average: a
    width of σ / √(1 − σ²) is as fine as the posterior for a latent that says much, and grows beyond all for one that
    says nothing.
    """
    _, log2_scale = model.infer(
        torch.from_numpy(data.images[:count].copy()), torch.from_numpy(data.labels[:count].copy())
    )
    variance = torch.exp2(2 * log2_scale.double()).mean(0).clamp(max=1 - 2.0**-16)
    return 0.5 * torch.log2(variance / (1 - variance))


def run(
    name: str,
    folder: Path,
    checkpoints: Path,
    *,
    export: Path | None,
    force: bool = False,
    epochs: float | None,
    seed: int,
    report: Report,
) -> DigitsVAE:
    """What `vaecodec digits train` does: reads a set, trains a model of `CONFIGS` on it, and stores it."""
    data = read_digits(folder, "train")
    recipe = RECIPES[name]
    options = replace(recipe, seed=seed, epochs=recipe.epochs if epochs is None else epochs)
    torch.manual_seed(seed)
    with flushed_denormals():
        model = fit(DigitsVAE(CONFIGS[name]), data, options, folder=checkpoints, report=report)
    if export:
        steps = latent_steps(model, data) if model.config.labels else None
        stored = files.saved(lambda path: weights.save(model, path, steps))
        files.write(str(export), stored, force=force)
    return model
