"""What the tests of small pictures share: a set made from arithmetic alone, and small models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vaecodec.digits import train
from vaecodec.digits.data import Digits, format_idx
from vaecodec.digits.model import DigitsConfig, DigitsVAE

SHIPPED = {"map": 2, "digits": 4, "lossless": 40}
"""Latents of the shipped models."""


def strokes(count: int, seed: int = 0, wander: float = 2.5) -> Digits:
    """Strokes on black: the label is their angle; place (by `wander` pixels), thickness and brightness vary."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    angle = labels * np.pi / 10 + random.normal(0, 0.04, count)
    place, thickness = random.normal(0, wander, (2, count)), random.uniform(1.2, 2.4, count)
    rows, columns = np.mgrid[:28, :28] - 13.5
    across = (columns - place[0, :, None, None]) * np.sin(angle)[:, None, None]
    across = across - (rows - place[1, :, None, None]) * np.cos(angle)[:, None, None]
    along = np.hypot(columns - place[0, :, None, None], rows - place[1, :, None, None])
    light = np.clip(1.5 - np.abs(across) / thickness[:, None, None], 0, 1) * np.clip(10 - along, 0, 1)
    images = np.rint(light * random.uniform(180, 255, count)[:, None, None]).astype(np.uint8)
    return Digits(images, labels.astype(np.uint8))


def small_model(latents: int, *, observation: str = "gaussian", labels: bool = False, epochs: float = 12, **sizes):
    """A model trained on strokes for a few seconds."""
    torch.manual_seed(0)
    model = DigitsVAE(DigitsConfig("small", latents, observation, labels, **({"hidden": 48} | sizes)))
    return train.fit(model, strokes(1280), train.FitOptions(epochs=epochs, batch=32, rate=1.5, ema=0.98))


def write_set(folder: Path, train_count: int = 400, test_count: int = 100) -> None:
    """IDX files with MNIST's names."""
    for part, count, seed in (("train", train_count, 0), ("t10k", test_count, 1)):
        data = strokes(count, seed)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(format_idx(data.images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(format_idx(data.labels))
