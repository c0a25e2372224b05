"""The training loop: one program for two CPU cores, a GPU, or several under torchrun."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaecodec.bound import Bound, nearest
from vaecodec.model import CONFIGS, PATCH, ImageVAE
from vaecodec.precision import autocast
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
        ema: decay of the averaged weights a step.
        clip: largest norm of the gradient.
        frozen_encoder: train synthesis, prior and posterior only, on the symbols that the codec sends (rounded, chosen
            for rate and distortion), with both codings of z; the last stretch of a model's training.
        sampled_share: s, 0 to 1, of sampled z in that stretch: its loss is (1 - s) times the objective with rounded z
            plus s times that with sampled z, so that 0 and 1 train a model for one coding alone. The posterior does not
            mind a small one, as the optimisers' steps do not depend on a gradient's size; 0 leaves it as it is.
        posterior_only: of these, train the posterior only; before that stretch, for a model that has had none.
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
    ema: float = 0.998
    clip: float = 1.0
    seed: int = 0
    compile: bool = False
    frozen_encoder: bool = False
    sampled_share: float = 1 / 6
    posterior_only: bool = False


def rate_fraction(progress: float, step: int, options: TrainOptions) -> float:
    """Learning rate as a share of its peak: a warm-up of 200 steps, constant, then a cosine to nothing."""
    warm = min(1.0, (step + 1) / 200)
    tail = (progress - (1 - options.decay_share)) / options.decay_share
    return warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, tail)) if tail > 0 else 1.0)


def weighted_loss(bound: Bound, lmbda: Tensor) -> Tensor:
    """Mean objective with each sample weighted by λ^-1/2, so that high rates do not drown low ones."""
    return (bound.objective(lmbda) * (lmbda / 0.016) ** -0.5).mean()


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Within it the CPU takes denormal numbers, on which it is slow, for 0."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@torch.no_grad()
def validate(model: ImageVAE, crops: Tensor, *, both_codings: bool = False) -> dict[str, list[float]]:
    """Discrete bound, bpp and PSNR on validation crops, a number for each of `VALIDATION_QUALITIES`.

    Args:
        both_codings: measure the rate with sampled z too, and z's part of both.
    """
    device = next(model.parameters()).device
    result: dict[str, list[float]] = defaultdict(list)
    for value in VALIDATION_QUALITIES:
        bounds: list[tuple[Bound, Bound | None]] = []
        for x in crops.split(8):
            quality = torch.full((len(x),), value, device=device)
            with autocast(device):
                if both_codings:
                    bounds.append(model.bound_of_both_codings(x.to(device), quality, optimised(quality)))
                else:
                    bounds.append((model(x.to(device), quality, optimised(quality), nearest)[1], None))
        lmbda = model.config.lmbda(torch.tensor(value)).to(device)
        figures = {
            "loss": [bound.objective(lmbda) for bound, _ in bounds],
            "bpp": [bound.total_bpp for bound, _ in bounds],
            "psnr_db": [bound.psnr_db for bound, _ in bounds],
        }
        if both_codings:
            figures |= {
                "bits_back_bpp": [sampled.total_bpp for _, sampled in bounds],
                "z_bpp": [bound.rate_bpp["z"] for bound, _ in bounds],
                "bits_back_z_bpp": [sampled.rate_bpp["z"] for _, sampled in bounds],
            }
        for key, values in figures.items():
            result[key].append(round(float(torch.cat(values).mean()), 4 if key in ("loss", "psnr_db") else 5))
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
            self._load(init)
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
        self.batches = Batches(pictures, [options.seed, self.step], self.team.rank, self.team.size)
        wrap = torch.compile if options.compile else lambda function: function
        self.forward, self.forward_both = wrap(self.model.forward), wrap(self.model.bound_of_both_codings)
        self.recent: list[tuple[float, float, float]] = []
        self.reported = (time.monotonic(), self.crops)

    def _load(self, weights: dict[str, Tensor]) -> None:
        """Starts from weights; a posterior that they lack is a new one."""
        missing, unexpected = self.model.load_state_dict(weights, strict=False)
        if unexpected or any(not name.startswith("posterior.") for name in missing):
            raise ValueError("the weights are not those of the configuration")

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.spent_s / (self.options.hours * 3600)

    @property
    def frozen(self) -> bool:
        """Whether the latents stay as they are."""
        return self.options.frozen_encoder or self.options.posterior_only

    def run(self) -> ImageVAE:
        """Trains until the run's hours are used up and returns the averaged weights.

        Raises:
            RuntimeError: more than 0.1 % of the steps had non-finite gradients.
        """
        with flushed_denormals():
            return self._run()

    def _run(self) -> ImageVAE:
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
        model.prior.requires_grad_(not options.posterior_only)
        model.analysis.requires_grad_(not (prior_only or self.frozen))
        model.prior.log2_gain.requires_grad_(not (prior_only or self.frozen))
        model.hyper_analysis.requires_grad_(not self.frozen)
        model.synthesis.requires_grad_(not (prior_only or options.posterior_only))

    def _train_step(self) -> None:
        options = self.options
        crop = options.final_crop if self.progress > 1 - FINAL_SHARE else options.crop
        count = max(1, round(options.batch * (options.crop / crop) ** 2))
        self._choose_parts()
        set_rate(self.optimizers, rate_fraction(self.progress, self.step, options))
        x, quality = self.batches.next(count, crop)
        x = x.to(self.team.device, memory_format=torch.channels_last).float() / 255
        quality = quality.to(self.team.device)
        lmbda = self.config.lmbda(quality)
        with autocast(self.team.device):
            if self.frozen:
                bounds = self.forward_both(x, quality, optimised(quality))
                shares = (1 - options.sampled_share, options.sampled_share)
            else:
                bounds, shares = (self.forward(x, quality)[1],), (1.0,)
        # Without a share, no gradient: with one of 0, weights that only this coding has would still decay.
        loss = sum(share * weighted_loss(b, lmbda) for share, b in zip(shares, bounds, strict=True) if share)
        bound = bounds[0]
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
            self._log(validation=validate(self.ema, self.validation, both_codings=self.frozen))

    def _log(self, **entry) -> None:
        if self.team.rank == 0:
            entry = {"step": self.step, "crops": self.crops, "spent_s": round(self.spent_s)} | entry
            with open(self.folder / "log.jsonl", "a") as file:
                file.write(json.dumps(entry) + "\n")
