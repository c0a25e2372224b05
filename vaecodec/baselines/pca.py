"""PCA as a whole codec: the linear autoencoder of least squared error, on patches.

    patches ── minus mean ─ basis ── coefficients ── one step for all ── ANS against a table a coefficient

One step for all coefficients is reverse water-filling, the optimum for Gaussians. No torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from vaecodec.baselines.coefficients import CoefficientCoder, LogSteps, Statistics, pack_header, unpack_header
from vaecodec.baselines.collection import baseline_path
from vaecodec.errors import ModelError
from vaecodec.format.tensors import read

SIDES = (16, 8)


def to_patches(image: np.ndarray, side: int) -> np.ndarray:
    """`[H, W, 3]` to `[N, 3 side²]`, rows of patches; edges are replicated."""
    height, width = image.shape[:2]
    image = np.pad(image, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    rows, columns = image.shape[0] // side, image.shape[1] // side
    return image.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(rows * columns, -1)


def from_patches(patches: np.ndarray, height: int, width: int, side: int) -> np.ndarray:
    """The inverse of `to_patches`."""
    rows, columns = -(-height // side), -(-width // side)
    image = patches.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    return image[:height, :width]


def principal_axes(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean `[D]`, orthonormal axes `[D, D]` as columns, largest variance first, and the variances `[D]`."""
    mean = patches.mean(0, dtype=np.float64)
    covariance = np.zeros((patches.shape[1],) * 2)
    for part in np.array_split(patches, max(1, len(patches) // 20000)):
        centred = part.astype(np.float64) - mean
        covariance += centred.T @ centred
    variance, axes = np.linalg.eigh(covariance / len(patches))
    return mean, axes[:, ::-1], variance[::-1]


class PCACodec:
    """PCA of patches, fitted once; see `ImageCodec`.

    Args:
        side: of a patch, in pixels.
        mean: `[D]` of the patches, in grey levels; D = 3 side².
        basis: `[D, D]` principal axes as columns.
        statistics: of the coefficients.
        version: of the weights.
    """

    qualities = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    quality_range = (1, 100)
    whole_qualities = False
    steps = LogSteps(500, 15)

    def __init__(self, side: int, mean: np.ndarray, basis: np.ndarray, statistics: Statistics, version: str = "?"):
        self.side, self.mean = side, mean.astype(np.float32)
        self.basis = basis.astype(np.float16).astype(np.float32)
        self.coder = CoefficientCoder(statistics, optimise=True)
        self.name, self.version = f"PCA {side}x{side}", version
        self.settings = f"{side}x{side}x3 patches, {basis.shape[1]} coefficients, one step, a table a coefficient, ANS"

    @classmethod
    def fit(cls, batches: Iterable[np.ndarray], side: int) -> PCACodec:
        """From patches of training pictures, `[n, 3 side²]` uint8 each."""
        patches = np.concatenate(list(batches))
        mean, basis, _ = principal_axes(patches)
        basis = basis.astype(np.float16).astype(np.float32)
        parts = np.array_split(patches, max(1, len(patches) // 20000))
        statistics = Statistics.fit((part.astype(np.float32) - mean.astype(np.float32)) @ basis for part in parts)
        return cls(side, mean, basis, statistics)

    @classmethod
    def load(cls, name: str | Path) -> PCACodec:
        """By name, pca16 or pca8, or path.

        Raises:
            ModelError: it is not there or not one.
        """
        path = name if isinstance(name, Path) else baseline_path(name)
        if path is None:
            raise ModelError(f"{name} has not been fitted (benchmarks/fit_baselines.py pca)")
        try:
            metadata, data = read(path)
            tensors, about = load(data), json.loads(metadata["about"])
            statistics = Statistics.of({key.removeprefix("statistics."): v for key, v in tensors.items()})
            return cls(about["side"], tensors["patch_mean"], tensors["basis"], statistics, about["version"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"{path}: not a fitted PCA ({error})") from error

    def save(self, path: Path, version: str) -> None:
        """Writes what `load` reads; half precision, and no pickle."""
        tensors = {f"statistics.{key}": value for key, value in self.coder.statistics.tensors().items()}
        tensors |= {"patch_mean": self.mean, "basis": np.ascontiguousarray(self.basis.astype(np.float16))}
        save_file(tensors, path, {"about": json.dumps({"side": self.side, "version": version})})

    def compress(self, image: np.ndarray, quality: float) -> bytes:
        code = self.steps.code(quality)
        coefficients = (to_patches(image, self.side).astype(np.float32) - self.mean) @ self.basis
        step = self.steps.step(code)
        return pack_header(image.shape, code) + self.coder.encode(self.coder.quantise(coefficients, step), step)

    def decompress(self, data: bytes) -> np.ndarray:
        height, width, code, payload = unpack_header(data)
        step, count = self.steps.step(code), -(-height // self.side) * -(-width // self.side)
        coefficients = self.coder.restore(self.coder.decode(payload, count, step), step).astype(np.float32)
        patches = coefficients @ self.basis.T + self.mean
        image = from_patches(patches, height, width, self.side)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)
