"""The training loop: one program for two CPU cores, a GPU, or several under torchrun.

A step (`Trainer._compute`) works on tensors that stay where they are and reads nothing back, so that on a GPU it is
recorded and replayed (`graph`). What changes from step to step is written to the device before it: random numbers, the
rates, the averaging's share. What it has to say adds up there, and is read every `READ_STEPS`.
"""

from __future__ import annotations

import contextlib
import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaecodec.networks.config import PATCH
from vaecodec.networks.model import ImageVAE
from vaecodec.networks.precision import autocast
from vaecodec.objective.bound import Bound
from vaecodec.objective.rounding import optimised
from vaecodec.training.data.pictures import Pictures
from vaecodec.training.data.store import NUMBERS
from vaecodec.training.growth import GROWTH_PIXELS
from vaecodec.training.optim import apply_gradients, average_share, build_optimizers, move, set_rate
from vaecodec.training.options import FINAL_SHARE, TrainOptions, rate_fraction
from vaecodec.training.runtime import checkpoint
from vaecodec.training.runtime.clock import Clock
from vaecodec.training.runtime.graph import Replayed
from vaecodec.training.runtime.journal import Journal
from vaecodec.training.runtime.team import Team
from vaecodec.training.start import Start
from vaecodec.training.validation import validate, validation_crops

CHECKPOINT_S = 180
VALIDATION_SHARE = 0.05
"""Share of the time that goes into validation at most, its beginning and end apart."""
READ_STEPS, READ_S = 50, 30
"""Steps between two looks at the figures, or seconds where steps take long."""
MAX_SKIPPED = 1e-3
"""Share of steps with non-finite gradients above which a run fails."""
FIGURES = ("loss", "bpp", "psnr_db")


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


class Trainer:
    """A run, from its first step or its last checkpoint to its end.

    Args:
        options: what to do.
        pictures: what to learn from, on the device that trains; the run closes them.
        folder: gets checkpoints every few minutes, and `log.jsonl`.
        start: what to start from where there is no checkpoint.
        trunk: folder that gets the run as it is when its rates begin to fall.
        finish: what is done with the averaged weights at the end, or for its time, at the beginning, with a copy.
        clock: the run's time; one of `options.hours` from now by default.
    """

    def __init__(
        self,
        options: TrainOptions,
        pictures: Pictures,
        folder: Path,
        start: Start | None = None,
        *,
        trunk: Path | None = None,
        finish: Callable[..., None] = lambda model, *, rehearsal: None,
        clock: Clock | None = None,
    ):
        self.options, self.pictures, self.folder = options, pictures, folder
        self.start, self.trunk, self.finish = start, trunk, finish
        self.clock = clock or Clock(options.hours)
        self.device = pictures.store.device
        self.team = Team(self.device)
        self.config = options.model_config()
        torch.manual_seed(options.seed)
        self.model = ImageVAE(self.config)
        generator, count = np.random.default_rng(options.seed), GROWTH_PIXELS // options.crop**2
        if start is None:
            self.model.init_linear(pictures.patches(40000, PATCH, generator))
        else:
            start.fill(self.model, lambda: pictures.crops(count, options.crop, generator).cpu())
        self.model.to(self.device)
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizers = build_optimizers(self.model, options.optimizer, options.rate)
        self.step = self.crops = self.skipped = 0
        self.trunk_written = False
        folder.mkdir(parents=True, exist_ok=True)
        if meta := checkpoint.restore(folder, self.model, self.ema, self.optimizers):
            self.step, self.crops, self.skipped = meta["step"], meta["crops_seen"], meta["skipped"]
            self.clock.spent_before_s, self.trunk_written = meta["spent_s"], meta["trunk_written"]
        elif start is not None:
            self.step, self.crops = start.step, start.crops
            checkpoint.restore_optimizers(self.model, self.optimizers, start.states)
        torch.manual_seed(options.seed + 1000 * self.team.rank + self.step)
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(options.seed * 1_000_003 + self.step)
        self.forward, self.forward_both = self.model.forward, self.model.bound_of_both_codings
        self.compiled = options.compile
        if self.compiled:
            self.forward, self.forward_both = torch.compile(self.forward), torch.compile(self.forward_both)
        self.replayed = Replayed(
            self._compute, self.device, enabled=options.graph and self.device.type == "cuda" and self.team.size == 1
        )
        self.phase = (0, 0, False)  # of no step
        self.average_share = torch.zeros((), device=self.device)
        self.figures = torch.zeros(len(FIGURES) + 2, device=self.device)
        self.validation_s = 0.0  # a picture
        self.read_at = (time.monotonic(), self.step)
        self.journal = Journal(folder / "log.jsonl", self.clock, self.crops, silent=self.team.rank > 0)

    @property
    def progress(self) -> float:
        """Share of the time to train that is over, the same in all processes."""
        return self.team.agree(self.clock.progress)

    def run(self) -> ImageVAE:
        """Trains until the run's hours are used up, exports, and returns the averaged weights.

        Raises:
            RuntimeError: more than 0.1 % of the steps had non-finite gradients.
        """
        self._log(options=asdict(self.options), parameters=sum(p.numel() for p in self.model.parameters()))
        stream: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            stream = torch.cuda.stream(torch.cuda.Stream(self.device))
            torch.cuda.synchronize(self.device)
        with flushed_denormals(), stream:
            try:
                return self._run()
            finally:
                self.pictures.close()

    def _run(self) -> ImageVAE:
        self._rehearse()
        self.pictures.watch()
        saved = validated = time.monotonic()
        while (progress := self.progress) < 1:
            if self.pictures.take_news():
                self._keep_for_validation()
            if self.trunk and not self.trunk_written and progress >= 1 - self.options.decay_share:
                self._write_trunk()
            begun = time.monotonic()
            self._train_step(progress)
            if self.step - self.read_at[1] >= READ_STEPS or time.monotonic() - self.read_at[0] > READ_S:
                self._read()
            now = time.monotonic()
            self.clock.step_s = now - begun
            if now - saved > CHECKPOINT_S:
                self._save()
                saved = time.monotonic()
            if now - validated > max(CHECKPOINT_S, self.clock.parts.get("validation", 0.0) / VALIDATION_SHARE):
                self._validate()
                validated = time.monotonic()
        self._read()
        if self.team.rank == 0:  # first, should the rest take longer than it did
            self.finish(copy.deepcopy(self.ema), rehearsal=False)
        self._save()
        self._validate()
        self.team.close()
        return self.ema

    def _rehearse(self) -> None:
        """Does what the end of the run does, so that the time for it can be kept."""
        with self.clock.measured("checkpoint"):
            self._save()
        self._validate()
        if self.team.rank == 0:
            with self.clock.measured("finish"):
                self.finish(copy.deepcopy(self.ema), rehearsal=True)

    def _begin(self, phase: tuple[int, int, bool]) -> None:
        """Prepares for crops a step and process, pixels a side, and whether the prior learns alone."""
        count, crop, prior_only = self.phase = phase
        options, model = self.options, self.model
        model.prior.requires_grad_(not options.posterior_only)
        model.analysis.requires_grad_(not (prior_only or options.frozen))
        model.prior.log2_gain.requires_grad_(not (prior_only or options.frozen))
        model.hyper_analysis.requires_grad_(not options.frozen)
        model.synthesis.requires_grad_(not (prior_only or options.posterior_only))
        self.pictures.store.prepare(crop)
        self.numbers = torch.empty(count * self.team.size, NUMBERS + 1, device=self.device)
        self.replayed.forget()

    def _train_step(self, progress: float = 0.0) -> None:
        options = self.options
        crop = options.final_crop if progress > 1 - FINAL_SHARE else options.crop
        count = max(1, round(options.batch * (options.crop / crop) ** 2))
        prior_only = self.start is None and progress < options.prior_share
        if self.phase != (count, crop, prior_only):
            self._begin((count, crop, prior_only))
        set_rate(self.optimizers, rate_fraction(progress, self.step, options))
        self.average_share.fill_(average_share(options.ema, self.step + 1))
        self.numbers.uniform_(generator=self.generator)
        self.replayed()
        self.step += 1
        self.crops += count * self.team.size

    def _compute(self) -> None:
        """A step, on the device: crops, gradients, update, average, figures."""
        count, crop, _ = self.phase
        numbers = self.numbers[count * self.team.rank : count * (self.team.rank + 1)]
        quality = numbers[:, NUMBERS]
        clean = quality >= self.options.clean_from
        x = self.pictures.store.crops(numbers[:, :NUMBERS], crop, clean).float() / 255
        loss, bound = self._gradients(x, quality)
        self.team.average_gradients(self.model)
        finite = apply_gradients(self.optimizers, self.model, self.options.clip)
        move(list(self.ema.parameters()), list(self.model.parameters()), self.average_share * finite)
        values = [loss, bound.total_bpp.mean(), bound.psnr_db.mean(), torch.ones_like(loss)]
        counted = torch.where(finite > 0, torch.stack(values).detach().float(), 0.0)
        self.figures += torch.cat([counted, 1 - finite[None]])

    def _gradients(self, x: Tensor, quality: Tensor) -> tuple[Tensor, Bound]:
        """Loss, its gradients, and the bound of `[B, 3, H, W]` pictures in [0, 1] at `[B]` qualities."""
        try:
            return self._forward_and_backward(x, quality)
        except Exception as error:
            if not self.compiled:
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"not compiled, steps go on without: {reason}", file=sys.stderr, flush=True)
        self.compiled = False
        self.forward, self.forward_both = self.model.forward, self.model.bound_of_both_codings
        return self._forward_and_backward(x, quality)

    def _forward_and_backward(self, x: Tensor, quality: Tensor) -> tuple[Tensor, Bound]:
        options = self.options
        lmbda = self.config.lmbda(quality)
        bounds: tuple[Bound, ...]
        shares: tuple[float, ...]
        with autocast(self.device):
            if options.frozen:
                bounds = self.forward_both(x, quality, optimised(quality, self.config))
                shares = (1 - options.sampled_share, options.sampled_share)
            else:
                bounds, shares = (self.forward(x, quality)[1],), (1.0,)
        # Without a share, no gradient: with one of 0, weights that only this coding has would still decay.
        parts = (share * weighted_loss(b, lmbda) for share, b in zip(shares, bounds, strict=True) if share)
        loss = sum(parts, lmbda.new_zeros(()))
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        return loss, bounds[0]

    def _read(self) -> dict[str, float]:
        """Reads the figures, says and logs their means since the last time, and counts steps that were skipped."""
        *sums, counted, skipped = self.figures.tolist()
        self.figures.zero_()
        means = {}
        if skipped:
            self.skipped += round(skipped)
            self._log(skipped=self.skipped)
            if self.step > 2000 and self.skipped > MAX_SKIPPED * self.step:
                raise RuntimeError(f"{self.skipped} of {self.step} steps had non-finite gradients")
        self.read_at = (time.monotonic(), self.step)
        if counted:
            means = {name: value / counted for name, value in zip(FIGURES, sums, strict=True)}
            more: dict[str, float] = {"pictures": self.pictures.count}
            if self.device.type == "cuda":
                more["gigabytes"] = round(torch.cuda.max_memory_allocated(self.device) / 1e9, 2)
                more["graph"] = self.replayed.graph is not None
            self.journal.report(self.step, self.crops, means, **more)
        return means

    def _save(self) -> None:
        """Writes a checkpoint."""
        if self.team.rank:
            return
        meta = self._meta() | {"spent_s": self.clock.spent_s, "trunk_written": self.trunk_written}
        checkpoint.write(self.folder, checkpoint.CHECKPOINT, self.step, self.model, self.optimizers, meta, ema=self.ema)

    def _write_trunk(self) -> None:
        self.trunk_written = True
        if self.trunk and self.team.rank == 0:
            checkpoint.write(self.trunk, checkpoint.TRUNK, self.step, self.model, self.optimizers, self._meta())
            self._log(trunk=str(self.trunk))

    def _meta(self) -> dict[str, Any]:
        meta = {"step": self.step, "crops_seen": self.crops, "skipped": self.skipped}
        return meta | {"options": asdict(self.options), "config": self.config.to_dict()}

    def _validate(self) -> None:
        """Measures the averaged weights on what is held out, of what has arrived."""
        if self.team.rank:
            return
        begun, count = time.monotonic(), 0
        for kind, held_out in self._held_out().items():
            crops = validation_crops(held_out, self.options.crop)
            if len(crops):
                figures = validate(self.ema, crops, both_codings=self.options.frozen)
                self._log(**{kind: figures, "validation_crops": len(crops)})
            count += len(held_out)
        self.validation_s = (time.monotonic() - begun) / max(1, count)
        self._keep_for_validation()

    def _held_out(self) -> dict[str, dict[str, np.ndarray]]:
        pictures = self.pictures
        return {"validation": pictures.validation, "validation_graphics": pictures.validation_graphics}

    def _keep_for_validation(self) -> None:
        """Keeps as much time for the last validation as all take that has arrived."""
        self.clock.parts["validation"] = self.validation_s * sum(map(len, self._held_out().values()))

    def _log(self, **entry: Any) -> None:
        self.journal.write(self.step, self.crops, **entry)
