"""Distortion of decoded 8-bit pictures, and Bjøntegaard rates; thin over well-kept libraries."""

from __future__ import annotations

import importlib.util
import io
import math
from dataclasses import dataclass

import numpy as np

from vaecodec.pictures.lossless import SIDE


def _column_sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared error of two uint8 arrays `[n, …]`, n at most `SIDE`, summed over n: int32 `[product of the others]`."""
    difference = (a.astype(np.int16) - b).reshape(len(a), -1)
    return np.square(difference, dtype=np.int32).sum(0, dtype=np.int32)


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Squared error of two uint8 arrays, mean over all samples; a few rows at a time, so it takes no memory."""
    rows = (slice(start, start + SIDE) for start in range(0, len(a), SIDE))
    return sum(int(_column_sums(a[part], b[part]).sum(dtype=np.int64)) for part in rows) / a.size


def tile_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared error of two `[H, W, C]` uint8 arrays, mean over samples, in tiles of `SIDE`: `[rows, columns]`."""
    _, width, channels = a.shape
    starts = np.arange(0, width, SIDE)
    samples = np.diff([*starts, width]) * channels
    rows = []
    for top in range(0, len(a), SIDE):
        part = slice(top, top + SIDE)
        sums = np.add.reduceat(_column_sums(a[part], b[part]), starts * channels, dtype=np.int64)
        rows.append(sums / (samples * len(a[part])))
    return np.array(rows)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR over all channels of two uint8 arrays; infinite if they are equal."""
    error = mse(a, b)
    return 10 * math.log10(255**2 / error) if error else math.inf


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM of two `[H, W, 3]` uint8 arrays, by pytorch-msssim; NaN where a side is 160 pixels or less."""
    import torch
    from pytorch_msssim import ms_ssim as compute

    if min(a.shape[:2]) <= 160:
        return math.nan
    pair = (torch.from_numpy(np.array(v)).permute(2, 0, 1)[None].float() for v in (a, b))
    return float(compute(*pair, data_range=255))


def ssimulacra2(a: np.ndarray, b: np.ndarray) -> float:
    """SSIMULACRA2 of two `[H, W, 3]` uint8 arrays, 100 where they are equal, by the package ssimulacra2.

    NaN where a side is less than 8 pixels.
    """
    from PIL import Image
    from ssimulacra2 import compute_ssimulacra2

    if min(a.shape[:2]) < 8:
        return math.nan
    buffers = io.BytesIO(), io.BytesIO()
    for buffer, image in zip(buffers, (a, b), strict=True):
        Image.fromarray(image).save(buffer, "PPM")
    return float(compute_ssimulacra2(*buffers))


PERCEPTUAL = {"MS-SSIM": (ms_ssim, "pytorch-msssim"), "SSIMULACRA2": (ssimulacra2, "ssimulacra2")}
"""Measures whose packages may be missing: function and package."""


@dataclass(frozen=True)
class Measures:
    """What a file is, against its original; distortion of decoded 8-bit RGB.

    Attributes:
        bytes, bpp: of the file, by the original's pixels.
        psnr_db: infinite where nothing is lost.
        ms_ssim, ssimulacra2: NaN where the picture is too small, or the package is not installed.
    """

    bytes: int
    bpp: float
    psnr_db: float
    ms_ssim: float
    ssimulacra2: float


def measure(original: np.ndarray, decoded: np.ndarray, size: int) -> Measures:
    """Measures a file of `size` bytes; see `missing`."""
    values = {}
    for name, (compute, _) in PERCEPTUAL.items():
        try:
            values[name] = compute(original, decoded)
        except ImportError:
            values[name] = math.nan
    bpp = 8 * size / (original.shape[0] * original.shape[1])
    return Measures(size, bpp, psnr_db(original, decoded), *values.values())


def missing() -> dict[str, str]:
    """Measures that cannot be taken here, and the packages that would."""
    found = lambda package: importlib.util.find_spec(package.replace("-", "_"))
    return {name: package for name, (_, package) in PERCEPTUAL.items() if not found(package)}


def bd_rate_percent(
    anchor_bpp: list[float],
    anchor_db: list[float],
    test_bpp: list[float],
    test_db: list[float],
    *,
    within: tuple[float, float] | None = None,
) -> float:
    """Mean difference in rate at equal quality, in per cent: log rate by Akima's interpolation (scipy), its mean.

    Args:
        anchor_db, test_db: any measure that rises with quality; every value once.
        within: the qualities that the mean is over; by default, and at most, the common range.
    """
    from scipy.interpolate import Akima1DInterpolator

    low, high = max(min(anchor_db), min(test_db)), min(max(anchor_db), max(test_db))
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    areas = []
    for rates, qualities in ((anchor_bpp, anchor_db), (test_bpp, test_db)):
        order = np.argsort(qualities)
        areas.append(Akima1DInterpolator(np.array(qualities)[order], np.log(rates)[order]).integrate(low, high))
    return 100 * math.expm1(float(areas[1] - areas[0]) / (high - low))
