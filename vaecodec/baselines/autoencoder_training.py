"""Trains the twins of `autoencoder` and makes codecs of them; see benchmarks/train_autoencoder.py."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaecodec.baselines.autoencoder import MIDDLE, PAIR, AutoencoderCodec, Pair, Quantiser
from vaecodec.baselines.coefficients import Statistics
from vaecodec.networks.config import PATCH, ModelConfig
from vaecodec.networks.precision import autocast
from vaecodec.pictures import metrics
from vaecodec.training.data.pictures import Pictures
from vaecodec.training.loop import weighted_loss
from vaecodec.training.optim import build_optimizers, minimise, set_rate, update_average
from vaecodec.training.runtime import checkpoint

CHECKPOINT_S = 120
LOG_STEPS = 50
CLIP = 1.0
STATE = ("loss", "bpp", "psnr_db")


@dataclass(frozen=True)
class PairOptions:
    """What both twins are trained by.

    Attributes:
        crops: how many, in all.
        batch, crop: crops a step, pixels a side.
        rate: multiplies all learning rates.
        ema: see `training.loop.TrainOptions`.
        patches: that the start, PCA, is computed from.
        seed: of the start and of the crops, so that both twins see the same.
    """

    crops: int = 100_000
    batch: int = 16
    crop: int = 128
    rate: float = 1.0
    ema: float = 0.998
    patches: int = 40_000
    seed: int = 0


def train(
    pictures: Pictures,
    folder: Path,
    options: PairOptions,
    *,
    kl: bool,
    config: ModelConfig = PAIR,
    seconds: float | None = None,
    advance: Callable[[int, dict[str, float]], None] = lambda crops, state: None,
) -> Pair | None:
    """Trains one twin, going on from the checkpoint in `folder`; crop n is the same whoever asks for it and when.

    Args:
        folder: gets checkpoints and `log.jsonl`.
        seconds: stop after so long, with a checkpoint.
        advance: told of crops that are done, and of loss, bpp and PSNR.

    Returns:
        The averaged weights, or `None` if there is more to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    pair = Pair(config, kl=kl)
    step, steps = 0, -(-options.crops // options.batch)
    pair.init_linear(pictures.patches(options.patches, PATCH, np.random.default_rng(options.seed)))
    ema = copy.deepcopy(pair).requires_grad_(False)
    optimizers = build_optimizers(pair, "muon", options.rate)
    if meta := checkpoint.restore(folder, pair, ema, optimizers):
        if meta["options"] != asdict(options) or meta["kl"] != kl:
            raise ValueError(f"{folder} is of a run with other options: {meta['options']}")
        step = meta["step"]
    advance(step * options.batch, {})
    start = saved = time.monotonic()
    recent: list[list[float]] = []

    def save() -> None:
        meta = {"step": step, "options": asdict(options), "kl": kl}
        checkpoint.write(folder, checkpoint.CHECKPOINT, step, pair, optimizers, meta, ema=ema)

    try:
        while step < steps:
            generator = np.random.default_rng([options.seed, step])
            torch.manual_seed(options.seed * 1_000_003 + step)
            x = pictures.crops(options.batch, options.crop, generator).float() / 255
            quality = torch.rand(options.batch)
            set_rate(optimizers, min(1.0, (step + 1) / 200, 2.5 * (1 - step / steps)))
            with autocast("cpu"):
                bound = pair(x.contiguous(memory_format=torch.channels_last), quality)[1]
            loss = weighted_loss(bound, config.lmbda(quality)) if kl else bound.distortion.mean() * 255**2 * _MSE_WEIGHT
            minimise(loss, optimizers, pair, CLIP)
            step += 1
            update_average(ema, pair, options.ema, step)
            values = zip(STATE, (loss, bound.total_bpp, bound.psnr_db), strict=True)
            state = {name: round(float(value.detach().mean()), 4) for name, value in values}
            advance(options.batch, state)
            recent.append(list(state.values()))
            if step % LOG_STEPS == 0:
                means = zip(STATE, np.mean(recent, axis=0).round(4).tolist(), strict=True)
                recent = []
                with open(folder / "log.jsonl", "a") as file:
                    file.write(json.dumps({"step": step, "crops": step * options.batch} | dict(means)) + "\n")
            now = time.monotonic()
            if now - saved > CHECKPOINT_S:
                save()
                saved = now
            if seconds is not None and now - start > seconds:
                break
    finally:  # also when it is interrupted
        save()
    return ema if step >= steps else None


_MSE_WEIGHT = 0.01
"""Brings the autoencoder's loss to about the VAE's, for the clipping of gradients."""


# --- from networks to codecs -----------------------------------------------------------------------------------------


def finish(pair: Pair, crops: Tensor, test: Tensor) -> AutoencoderCodec:
    """A codec of a trained twin: tables from `crops`, and the quantiser that codes `test` best.

    For the autoencoder the choice is between unit variance a channel, and steps by water-filling: in inverse
    proportion to what an error in a channel does to the picture. For both, it is between plain rounding and `optimise`.

    Args:
        crops, test: `[N, 3, S, S]` in [0, 1], of training pictures.
    """
    probe = AutoencoderCodec(pair, Quantiser(np.ones((1, 1)), False, ""), Statistics(*np.zeros((3, 1))))
    statistics = Statistics.fit(probe.analyse(_image(crop)) for crop in crops)
    if pair.kl:
        knots = 2.0 ** -pair.prior.log2_gain.table.detach().numpy()
        steps = {"steps by learned gains": knots}
    else:
        filled = 1 / np.sqrt(sensitivity(pair, crops[:4], statistics))
        steps = {
            "unit variance a channel": statistics.scale[None],
            "steps by water-filling": (filled * np.median(statistics.scale) / np.median(filled))[None],
        }
    candidates = [
        AutoencoderCodec(pair, Quantiser(rows.astype(np.float32), optimise, how + ", RDO" * optimise), statistics)
        for how, rows in steps.items()
        for optimise in (False, True)
    ]
    curves = [_curve(candidate, test) for candidate in candidates]
    return min(zip(curves, candidates, strict=True), key=lambda pair: _relative_rate(curves[0], pair[0]))[1]


@torch.no_grad()
def sensitivity(pair: Pair, x: Tensor, statistics: Statistics) -> np.ndarray:
    """`[M]` squared error in the picture for each unit of squared error in a channel, by small noise on it alone."""
    middle = torch.full((len(x),), MIDDLE)
    y = pair.analysis(x - 0.5, middle)
    base, result = pair.synthesis(y, middle), []
    for channel, scale in enumerate(statistics.scale):
        noise = torch.randn(y[:, channel].shape, generator=torch.Generator().manual_seed(channel)) * 0.1 * float(scale)
        noisy = y.clone()
        noisy[:, channel] += noise
        result.append(float((pair.synthesis(noisy, middle) - base).square().mean() / noise.square().mean()))
    return np.maximum(result, 1e-12)


def _image(crop: Tensor) -> np.ndarray:
    return crop.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _curve(codec: AutoencoderCodec, crops: Tensor) -> tuple[list[float], list[float]]:
    """Mean bpp and PSNR over crops, at some qualities."""
    rates, psnrs = [], []
    for quality in codec.qualities[1::2]:
        results = []
        for image in map(_image, crops):
            data = codec.compress(image, quality)
            results.append((8 * len(data) / image[..., 0].size, metrics.psnr_db(image, codec.decompress(data))))
        rate, psnr = np.mean(results, axis=0)
        rates.append(float(rate))
        psnrs.append(float(psnr))
    return rates, psnrs


def _relative_rate(anchor: tuple[list[float], list[float]], test: tuple[list[float], list[float]]) -> float:
    """Mean log rate relative to the anchor over the common PSNR; infinite if there is none."""
    grid = np.linspace(max(min(anchor[1]), min(test[1])), min(max(anchor[1]), max(test[1])), 50)
    if grid[-1] <= grid[0]:
        return np.inf
    orders = [np.argsort(psnrs) for _, psnrs in (anchor, test)]
    logs = [
        np.interp(grid, np.array(psnrs)[order], np.log(rates)[order])
        for (rates, psnrs), order in zip((anchor, test), orders, strict=True)
    ]
    return float(np.mean(logs[1] - logs[0]))
