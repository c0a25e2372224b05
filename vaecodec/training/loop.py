"""The training loop: one program for two CPU cores, a GPU, or several under torchrun."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaecodec.bound import Bound, Rounding, nearest, noisy
from vaecodec.model import CONFIGS, PATCH, ImageVAE
from vaecodec.refine import optimised
from vaecodec.training import checkpoint
from vaecodec.training.data import Batches, Pictures
from vaecodec.training.optim import apply_gradients, build_optimizers, set_rate, update_average
from vaecodec.training.team import Team

VALIDATION_QUALITIES = (0.1, 0.3, 0.5, 0.7, 0.9)
CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_S = 180
FINAL_SHARE = 0.1
"""Share of the run, at its end, that is spent on larger crops."""
MAX_SKIPPED = 1e-3
"""Share of steps with non-finite gradients above which a run fails."""


@dataclass(frozen=True)
class TrainOptions:
    """Everything that a run can be told.

    Attributes:
        config: name of a model configuration.
        hours: length of the run; the schedule is a function of the share of it that is done.
        batch: crops a step and process.
        crop, final_crop: pixels a side; `final_crop` for the last tenth, with the batch reduced to as many pixels.
        optimizer: see `build_optimizers`.
        rate: multiplies all learning rates.
        prior_share: share of the run, at its start, in which only the prior learns, on the untrained transform.
        decay_share: share of the run, at its end, over which the rates fall to nothing.
        discrete_share: share of the run, at its end, in which the rate is that of rounded latents, with gradients
            straight through, instead of noisy ones.
        ema: decay of the averaged weights a step.
        clip: largest norm of the gradient.
        frozen_encoder: train synthesis and prior only, on the symbols that the codec sends (rounded, chosen for rate
            and distortion) and with their code length as the rate; the last stretch of a model's training.
    """

    config: str = "light"
    hours: float = 1.0
    batch: int = 8
    crop: int = 256
    final_crop: int = 384
    optimizer: str = "muon"
    rate: float = 1.0
    prior_share: float = 0.04
    decay_share: float = 0.35
    discrete_share: float = 0.0
    ema: float = 0.998
    clip: float = 1.0
    seed: int = 0
    compile: bool = False
    frozen_encoder: bool = False


def rate_fraction(progress: float, step: int, options: TrainOptions) -> float:
    """Learning rate as a share of its peak: a warm-up of 200 steps, constant, then a cosine to nothing."""
    warm = min(1.0, (step + 1) / 200)
    tail = (progress - (1 - options.decay_share)) / options.decay_share
    return warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, tail)) if tail > 0 else 1.0)


def weighted_loss(bound: Bound, lmbda: Tensor) -> Tensor:
    """Mean objective with each sample weighted by λ^-1/2, so that high rates do not drown low ones."""
    return (bound.objective(lmbda) * (lmbda / 0.016) ** -0.5).mean()


def _autocast(device: torch.device) -> contextlib.AbstractContextManager:
    return torch.autocast(device.type, torch.bfloat16)


@torch.no_grad()
def validate(model: ImageVAE, crops: Tensor) -> dict[str, list[float]]:
    """Discrete bound, bpp and PSNR on validation crops, a number for each of `VALIDATION_QUALITIES`."""
    device = next(model.parameters()).device
    result: dict[str, list[float]] = {"loss": [], "bpp": [], "psnr_db": []}
    for value in VALIDATION_QUALITIES:
        bounds = []
        for x in crops.split(8):
            quality = torch.full((len(x),), value, device=device)
            with _autocast(device):
                bounds.append(model(x.to(device), quality, optimised(quality), nearest)[1])
        lmbda = model.config.lmbda(torch.tensor(value))
        for key, values in (
            ("loss", [b.objective(lmbda.to(device)) for b in bounds]),
            ("bpp", [b.total_bpp for b in bounds]),
            ("psnr_db", [b.psnr_db for b in bounds]),
        ):
            result[key].append(round(float(torch.cat(values).mean()), 4))
    return result


class Trainer:
    """A run, from its first step or its last checkpoint to its end.

    Args:
        options: what to do.
        pictures: what to learn from.
        folder: gets `checkpoint.safetensors` every few minutes, and `log.jsonl`.
        init: weights to start from where there is no checkpoint.
    """

    def __init__(self, options: TrainOptions, pictures: Pictures, folder: Path, init: dict[str, Tensor] | None = None):
        self.options, self.folder, self.init = options, folder, init
        self.team = Team("cuda" if torch.cuda.is_available() else "cpu")
        self.config = CONFIGS[options.config]
        torch.manual_seed(options.seed)
        self.model = ImageVAE(self.config)
        if init is not None:
            self.model.load_state_dict(init)
        else:
            self.model.init_linear(pictures.patches(40000, PATCH, np.random.default_rng(options.seed)))
        self.model.to(self.team.device, memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizers = build_optimizers(self.model, options.optimizer, options.rate)
        self.step = self.crops = self.skipped = 0
        self.spent_s = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).exists():
            meta = checkpoint.load(folder / CHECKPOINT, self.model, self.ema, self.optimizers)
            self.step, self.crops, self.skipped = meta["step"], meta["crops_seen"], meta["skipped"]
            self.spent_s = meta["spent_s"]
        torch.manual_seed(options.seed + 1000 * self.team.rank + self.step)
        self.validation = pictures.validation_crops(options.crop) if pictures.validation else None
        self.batches = Batches(pictures, [options.seed, self.team.rank, self.step])
        self.forward = torch.compile(self.model) if options.compile else self.model
        self.recent: list[tuple[float, float, float]] = []
        self.reported = (time.monotonic(), self.crops)

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.spent_s / (self.options.hours * 3600)

    def run(self) -> ImageVAE:
        """Trains until the run's hours are used up and returns the averaged weights.

        Raises:
            RuntimeError: more than 0.1 % of the steps had non-finite gradients.
        """
        if self.team.device.type == "cpu":
            torch.set_flush_denormal(True)
        self._log(options=asdict(self.options), parameters=sum(p.numel() for p in self.model.parameters()))
        begun, saved = time.monotonic() - self.spent_s, time.monotonic()
        while True:
            self.spent_s = self.team.agree(time.monotonic() - begun)
            if self.progress >= 1:
                break
            self._train_step()
            now = time.monotonic()
            if now - self.reported[0] > (1 if sys.stderr.isatty() else 30):
                self._report()
            if now - saved > CHECKPOINT_S:
                self._save()
                saved = time.monotonic()
        self._report()
        self._save()
        self.team.close()
        return self.ema

    def _choose_parts(self) -> None:
        options, model = self.options, self.model
        prior_only = self.init is None and self.progress < options.prior_share
        model.analysis.requires_grad_(not (prior_only or options.frozen_encoder))
        model.prior.log2_gain.requires_grad_(not (prior_only or options.frozen_encoder))
        model.hyper_analysis.requires_grad_(not options.frozen_encoder)
        model.synthesis.requires_grad_(not prior_only)

    def _roundings(self, quality: Tensor) -> tuple[Rounding, Rounding]:
        """For y and for z."""
        if self.options.frozen_encoder:
            return optimised(quality), nearest
        if self.progress >= 1 - self.options.discrete_share:
            return nearest, nearest
        return noisy, noisy

    def _train_step(self) -> None:
        options = self.options
        crop = options.final_crop if self.progress > 1 - FINAL_SHARE else options.crop
        count = max(1, round(options.batch * (options.crop / crop) ** 2))
        self._choose_parts()
        set_rate(self.optimizers, rate_fraction(self.progress, self.step, options))
        x = self.batches.next(count, crop).to(self.team.device, memory_format=torch.channels_last).float() / 255
        quality = torch.rand(count, device=self.team.device)
        with _autocast(self.team.device):
            _, bound = self.forward(x, quality, *self._roundings(quality))
        loss = weighted_loss(bound, self.config.lmbda(quality))
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.team.average_gradients(self.model)
        finite = apply_gradients(self.optimizers, self.model, options.clip)
        self.step += 1
        self.crops += count * self.team.size
        if not finite:
            self._skip()
            return
        update_average(self.ema, self.model, options.ema, self.step)
        self.recent.append(tuple(float(v.detach().mean()) for v in (loss, bound.total_bpp, bound.psnr_db)))

    def _skip(self) -> None:
        self.skipped += 1
        self._log(skipped=self.skipped)
        if self.step > 2000 and self.skipped > MAX_SKIPPED * self.step:
            raise RuntimeError(f"{self.skipped} of {self.step} steps had non-finite gradients")

    def _report(self) -> None:
        """Says and logs the means since the last report."""
        if self.team.rank or not self.recent:
            return
        loss, bpp, psnr_db = np.mean(self.recent, axis=0)
        now = time.monotonic()
        speed = (self.crops - self.reported[1]) / (now - self.reported[0])
        left = (self.options.hours * 3600 - self.spent_s) / 60
        bar = "#" * int(20 * self.progress)
        line = (
            f"[{bar:<20}] step {self.step}  loss {loss:.4f}  {bpp:.3f} bpp  {psnr_db:.2f} dB  "
            f"{speed:.1f} crops/s  {max(0, left):.0f} min left"
        )
        print(line, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
        self._log(loss=round(loss, 5), bpp=round(bpp, 4), psnr_db=round(psnr_db, 3), crops_per_s=round(speed, 1))
        self.recent, self.reported = [], (now, self.crops)

    def _save(self) -> None:
        """Writes the checkpoint, and measures the averaged weights."""
        if self.team.rank:
            return
        meta = {"step": self.step, "spent_s": self.spent_s, "crops_seen": self.crops, "skipped": self.skipped}
        meta |= {"options": asdict(self.options), "config": self.config.to_dict()}
        checkpoint.save(self.folder / CHECKPOINT, self.model, self.ema, self.optimizers, meta)
        if self.validation is not None:
            self._log(validation=validate(self.ema, self.validation))

    def _log(self, **entry) -> None:
        if self.team.rank == 0:
            entry = {"step": self.step, "crops": self.crops, "spent_s": round(self.spent_s)} | entry
            with open(self.folder / "log.jsonl", "a") as file:
                file.write(json.dumps(entry) + "\n")
