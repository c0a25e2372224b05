"""The discrete objective on pictures that training holds out."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from vaecodec.networks.model import ImageVAE
from vaecodec.networks.precision import autocast
from vaecodec.objective.bound import Bound, nearest
from vaecodec.objective.rounding import optimised

VALIDATION_QUALITIES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Nominal ones (`ModelConfig.nominal_quality`): the same λ whatever a model's range is."""


def validation_crops(pictures: dict[str, np.ndarray], size: int) -> Tensor:
    """Four crops of each picture `[H, W, 3]`, a quarter of the way in from its corners; fewer where these coincide.

    Returns:
        `[N, 3, size, size]` uint8; pictures smaller than a crop are left out.
    """
    crops = []
    for _, picture in sorted(pictures.items()):
        spare = [side - size for side in picture.shape[:2]]
        if min(spare) < 0:
            continue
        tops, lefts = (sorted({room // 4, room - room // 4}) for room in spare)
        crops += [picture[top : top + size, left : left + size] for top in tops for left in lefts]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) if crops else torch.empty(0, 3, size, size)


@torch.no_grad()
def validate(model: ImageVAE, crops: Tensor, *, both_codings: bool = False) -> dict[str, list[float]]:
    """Discrete bound, bpp and PSNR on validation crops, a number for each of `VALIDATION_QUALITIES`.

    Args:
        crops: `[N, 3, S, S]` uint8.
        both_codings: measure the rate with sampled z too, and z's part of both.
    """
    device = next(model.parameters()).device
    result: dict[str, list[float]] = defaultdict(list)
    for nominal in VALIDATION_QUALITIES:
        value = nominal / model.config.nominal_quality(1.0)
        bounds: list[Bound] = []
        sampled: list[Bound] = []
        for part in crops.split(8 if device.type == "cpu" else 32):
            x = part.to(device).contiguous(memory_format=torch.channels_last).float() / 255
            quality = torch.full((len(x),), value, device=device)
            rounding = optimised(quality, model.config)
            with autocast(device):
                if both_codings:
                    bound, other = model.bound_of_both_codings(x, quality, rounding)
                    sampled.append(other)
                else:
                    _, bound = model(x, quality, rounding, nearest)
                bounds.append(bound)
        lmbda = model.config.lmbda(torch.tensor(value)).to(device)
        figures = {
            "loss": [bound.objective(lmbda) for bound in bounds],
            "bpp": [bound.total_bpp for bound in bounds],
            "psnr_db": [bound.psnr_db for bound in bounds],
        }
        if both_codings:
            figures |= {
                "bits_back_bpp": [bound.total_bpp for bound in sampled],
                "z_bpp": [bound.rate_bpp["z"] for bound in bounds],
                "bits_back_z_bpp": [bound.rate_bpp["z"] for bound in sampled],
            }
        for key, values in figures.items():
            result[key].append(round(float(torch.cat(values).mean()), 4 if key in ("loss", "psnr_db") else 5))
    return result
