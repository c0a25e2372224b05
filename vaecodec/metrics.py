"""Distortion of decoded 8-bit pictures, and Bjøntegaard rates; thin over well-kept libraries."""

from __future__ import annotations

import math

import numpy as np


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR over all channels of two uint8 arrays; infinite if they are equal."""
    rows = zip(a, b, strict=True)  # one at a time, since a picture may be large; exact in integers
    errors = sum(int(np.sum((x.astype(np.int64) - y) ** 2)) for x, y in rows)
    return 10 * math.log10(255**2 * a.size / errors) if errors else math.inf


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM of two `[H, W, 3]` uint8 arrays, by pytorch-msssim; NaN where a side is 160 pixels or less."""
    import torch
    from pytorch_msssim import ms_ssim as compute

    if min(a.shape[:2]) <= 160:
        return math.nan
    pair = (torch.from_numpy(np.array(v)).permute(2, 0, 1)[None].float() for v in (a, b))
    return float(compute(*pair, data_range=255))


def bd_rate_percent(
    anchor_bpp: list[float], anchor_db: list[float], test_bpp: list[float], test_db: list[float]
) -> float:
    """Mean difference in rate at equal quality, in per cent, over the common range (akima, package bjontegaard)."""
    import bjontegaard

    anchor = sorted(zip(anchor_db, anchor_bpp, strict=True))
    test = sorted(zip(test_db, test_bpp, strict=True))
    return float(
        bjontegaard.bd_rate(
            [rate for _, rate in anchor], [db for db, _ in anchor], [rate for _, rate in test], [db for db, _ in test],
            method="akima", require_matching_points=False, min_overlap=0,
        )
    )  # fmt: skip
