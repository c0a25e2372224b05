"""The training loop: one program for two CPU cores, a GPU, or several under torchrun."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import queue
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from vaecodec.bound import Bound
from vaecodec.model import CONFIGS, PATCH, ImageVAE
from vaecodec.training import checkpoint
from vaecodec.training.data import Pictures
from vaecodec.training.optim import build_optimizers, set_rate

VALIDATION_QUALITIES = (0.1, 0.3, 0.5, 0.7, 0.9)
CHECKPOINT = "checkpoint.safetensors"
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


class _Batches:
    """Makes batches one ahead, in a thread."""

    def __init__(self, pictures: Pictures, seed: list[int]):
        self.pictures, self.generator = pictures, np.random.default_rng(seed)
        self.queue: queue.Queue = queue.Queue(2)
        self.shape = (0, 0)
        self.thread: threading.Thread | None = None

    def _run(self) -> None:
        while True:
            shape = self.shape
            self.queue.put((shape, self.pictures.crops(*shape, self.generator)))

    def next(self, count: int, size: int) -> Tensor:
        self.shape = (count, size)
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, daemon=True)
            self.thread.start()
        while True:
            shape, crops = self.queue.get()
            if shape == (count, size):
                return crops


class _Team:
    """The processes of torchrun, or one alone."""

    def __init__(self, device: str):
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device == "cuda" else device)
        if self.size > 1:
            dist.init_process_group("nccl" if device == "cuda" else "gloo")

    def average_gradients(self, model: ImageVAE) -> None:
        if self.size > 1:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.size

    def agree(self, value: float) -> float:
        """Process 0's value, everywhere."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared)


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
                bounds.append(model(x.to(device), quality, discrete=True, rdo=True)[1])
        lmbda = model.config.lmbda(torch.tensor(value))
        for key, values in (
            ("loss", [b.objective(lmbda.to(device)) for b in bounds]),
            ("bpp", [b.total_bpp for b in bounds]),
            ("psnr_db", [b.psnr_db for b in bounds]),
        ):
            result[key].append(round(float(torch.cat(values).mean()), 4))
    return result


def _choose_parts(model: ImageVAE, *, prior_only: bool, frozen_encoder: bool) -> None:
    model.analysis.requires_grad_(not (prior_only or frozen_encoder))
    model.prior.log2_gain.requires_grad_(not (prior_only or frozen_encoder))
    model.hyper_analysis.requires_grad_(not frozen_encoder)
    model.synthesis.requires_grad_(not prior_only)


def train(options: TrainOptions, pictures: Pictures, folder: Path, init: dict[str, Tensor] | None = None) -> ImageVAE:
    """Trains until the run's hours are used up; goes on from the checkpoint in `folder` if there is one.

    Args:
        folder: gets `checkpoint.safetensors` every few minutes and `log.jsonl`.
        init: weights to start from where there is no checkpoint.

    Returns:
        The averaged weights.

    Raises:
        RuntimeError: more than 0.1 % of the steps had non-finite gradients.
    """
    cuda = torch.cuda.is_available()
    team = _Team("cuda" if cuda else "cpu")
    if not cuda:
        torch.set_flush_denormal(True)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    config = CONFIGS[options.config]
    model = ImageVAE(config)
    if init is not None:
        model.load_state_dict(init)
    else:
        model.init_linear(pictures.patches(40000, PATCH, np.random.default_rng(options.seed)))
    model.to(team.device, memory_format=torch.channels_last)
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizers = build_optimizers(model, options.optimizer, options.rate)
    step, spent, crops_seen, skipped = 0, 0.0, 0, 0
    path = folder / CHECKPOINT
    if path.exists():
        meta = checkpoint.load(path, model, ema, optimizers)
        step, spent, crops_seen, skipped = (meta[k] for k in ("step", "spent_s", "crops_seen", "skipped"))
    torch.manual_seed(options.seed + 1000 * team.rank + step)
    validation = pictures.validation_crops(options.crop) if pictures.validation else None
    batches = _Batches(pictures, [options.seed, team.rank, step])
    run = torch.compile(model) if options.compile else model
    recent: list[tuple[float, float, float]] = []
    start, begun, said, saved, crops_then = time.monotonic(), spent, time.monotonic(), time.monotonic(), crops_seen

    def log(entry: dict) -> None:
        if team.rank == 0:
            with open(folder / "log.jsonl", "a") as file:
                file.write(json.dumps(entry) + "\n")

    def save() -> None:
        if team.rank == 0:
            meta = {"step": step, "spent_s": spent, "crops_seen": crops_seen, "skipped": skipped}
            meta |= {"options": asdict(options), "config": config.to_dict()}
            checkpoint.save(path, model, ema, optimizers, meta)
        if validation is not None and team.rank == 0:
            log({"step": step, "crops": crops_seen, "spent_s": round(spent), "validation": validate(ema, validation)})

    log({"options": asdict(options), "step": step, "parameters": sum(p.numel() for p in model.parameters())})
    while True:
        spent = team.agree(begun + time.monotonic() - start)
        progress = spent / (options.hours * 3600)
        if progress >= 1:
            break
        crop = options.final_crop if progress > 0.9 else options.crop
        count = max(1, round(options.batch * (options.crop / crop) ** 2))
        prior_only = init is None and progress < options.prior_share
        _choose_parts(model, prior_only=prior_only, frozen_encoder=options.frozen_encoder)
        set_rate(optimizers, rate_fraction(progress, step, options))
        x = batches.next(count, crop).to(team.device, memory_format=torch.channels_last).float() / 255
        quality = torch.rand(count, device=team.device)
        lmbda = config.lmbda(quality)
        with _autocast(team.device):
            _, bound = run(x, quality, discrete=options.frozen_encoder, rdo=options.frozen_encoder)
        loss = weighted_loss(bound, lmbda)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        team.average_gradients(model)
        norm = torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], options.clip)
        step += 1
        crops_seen += count * team.size
        if torch.isfinite(norm):
            for optimizer in optimizers:
                optimizer.step()
            with torch.no_grad():
                decay = min(options.ema, step / (step + 20))
                torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
            recent.append(tuple(float(v.detach().mean()) for v in (loss, bound.total_bpp, bound.psnr_db)))
        else:
            skipped += 1
            log({"step": step, "skipped": skipped})
            if step > 2000 and skipped > MAX_SKIPPED * step:
                raise RuntimeError(f"{skipped} of {step} steps had non-finite gradients")
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if team.rank == 0 and recent and now - said > (1 if terminal else 30):
            means = np.mean(recent, axis=0)
            speed = (crops_seen - crops_then) / (now - said)
            left = (options.hours * 3600 - spent) / 60
            bar = "#" * int(20 * progress)
            line = (
                f"[{bar:<20}] step {step}  loss {means[0]:.4f}  {means[1]:.3f} bpp  {means[2]:.2f} dB  "
                f"{speed:.1f} crops/s  {left:.0f} min left"
            )
            print(line, end="\r" if terminal else "\n", file=sys.stderr, flush=True)
            log(
                {"step": step, "crops": crops_seen, "spent_s": round(spent), "loss": round(float(means[0]), 5)}
                | {"bpp": round(float(means[1]), 4), "psnr_db": round(float(means[2]), 3)}
                | {"crops_per_s": round(speed, 1), "norm": round(float(norm), 3)}
            )
            recent, said, crops_then = [], now, crops_seen
        if now - saved > 180:
            save()
            saved = time.monotonic()
    save()
    if team.size > 1:
        dist.destroy_process_group()
    return ema
