"""What `vaecodec train` does: read the pictures, train, export, plot."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vaecodec.errors import ModelError, VaecodecError
from vaecodec.format import files
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.model import ImageVAE
from vaecodec.training.data.pictures import MEMORY_BYTES, Pictures
from vaecodec.training.data.sources import unreadable
from vaecodec.training.growth import MAY_GROW, check_growth
from vaecodec.training.loop import Trainer
from vaecodec.training.options import TrainOptions
from vaecodec.training.runtime.clock import Clock
from vaecodec.training.runtime.team import training_device
from vaecodec.training.start import read_start


class TrainingError(VaecodecError):
    """A run cannot begin or go on."""


def run(
    config: str,
    data: list[Path],
    hours: float,
    folder: Path,
    *,
    init: str | None = None,
    export: Path | None = None,
    force: bool = False,
    trunk: Path | None = None,
    graphics: tuple[Path, ...] = (),
    graphics_share: float = 1 / 6,
    memory_bytes: float = MEMORY_BYTES,
    begun: float | None = None,
    **options: Any,
) -> ImageVAE:
    """Trains and returns the averaged model; arguments as of `vaecodec train`.

    Args:
        begun: when the run began, by `time.monotonic`, if not now.

    Raises:
        TrainingError, ModelError: with the reason.
        FileError: the model could not be written where it is to be exported.
    """
    clock = Clock(hours, begun)
    if export:
        files.make_folder(export.parent)
        files.check_target(str(export), force=force, sources=[init])
    if config not in CONFIGS:
        raise TrainingError(f"unknown configuration {config!r}; there are: {', '.join(CONFIGS)}")
    settings = TrainOptions(config=config, hours=hours, **options)
    _check(settings)
    start = read_start(init) if init else None
    if start:
        settings = replace(settings, distortion=settings.distortion or start.config.distortion)
        try:
            check_growth(start.config, settings.model_config())
        except ValueError as error:
            raise ModelError(f"{init}: it cannot be the start of this configuration: {error}") from error
    try:
        pictures = Pictures(
            data,
            minimum=settings.crop,
            graphics=graphics,
            graphics_share=graphics_share,
            memory_bytes=memory_bytes,
            device=training_device(),
        )
        _say(pictures, clock)
        finish = partial(_finish, folder, export, force=force)
        model = Trainer(settings, pictures, folder, start, trunk=trunk, finish=finish, clock=clock).run()
    except (ValueError, RuntimeError) as error:
        raise TrainingError(str(error)) from error
    if int(os.environ.get("RANK", 0)) == 0:
        plot_log(folder / "log.jsonl", folder / "log.png")
    return model


def _check(settings: TrainOptions) -> None:
    if unknown := [name for name, _ in settings.sizes if name not in MAY_GROW - {"lambda_max"}]:
        raise TrainingError(f"no size that can be set: {', '.join(unknown)}")
    if settings.crop % 64 or settings.final_crop % 64:
        raise TrainingError("crops need sides that are multiples of 64")
    if not 0 <= settings.sampled_share <= 1:
        raise TrainingError("the share of sampled z is from 0 to 1")
    both_learn = settings.frozen_encoder and not settings.posterior_only
    if settings.sampled_share != TrainOptions.sampled_share and not both_learn:
        raise TrainingError("a share of sampled z goes with a frozen encoder, and not with training the posterior only")


def _say(pictures: Pictures, clock: Clock) -> None:
    held_out = f"{len(pictures.validation)} and {len(pictures.validation_graphics)} graphics"
    lines = [f"{pictures.count} pictures to train on, {held_out} held out, read after {clock.spent_s:.0f} s"]
    if pictures.left_out:
        reason = unreadable(pictures.left_out) or "too small, no picture, or no room"
        lines.append(f"{len(pictures.left_out)} files left out: {reason}")
    if pictures.incomplete:
        lines.append(f"not whole yet: {', '.join(map(ascii, sorted(pictures.incomplete)))}")
    print("\n".join(lines), file=sys.stderr, flush=True)


def _finish(folder: Path, export: Path | None, model: ImageVAE, *, force: bool, rehearsal: bool) -> None:
    """Stores a model; a rehearsal leaves nothing behind, and does what comes after as well."""
    if export:
        from vaecodec.networks.weights import save_model

        data = files.saved(partial(save_model, model), export.parent)
        if not rehearsal:
            files.write(str(export), data, force=force)
    if rehearsal:
        plot_log(folder / "log.jsonl", folder / "log.png")


def plot_log(log: Path, picture: Path) -> None:
    """Draws loss, rate and PSNR against crops seen; does nothing where matplotlib is not installed.

    Lines that are no entries of a run's, which may have been there before or have been cut off, are left out.
    """
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    entries = []
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            if isinstance(entry := json.loads(line), dict) and "crops" in entry:
                entries.append(entry)
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
    if steps:
        axes[0].set_yscale("log")
    axes[0].legend()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
