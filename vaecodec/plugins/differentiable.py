"""The codec as a torch module, for whoever trains something on its pictures or its sizes.

>>> import torch
>>> from vaecodec.plugins.differentiable import DifferentiableCodec
>>> codec = DifferentiableCodec()
>>> x = torch.rand(2, 3, 100, 150, requires_grad=True)
>>> x_hat, rate_bpp = codec(x, quality=40)
>>> x_hat.shape, rate_bpp.shape
(torch.Size([2, 3, 100, 150]), torch.Size([2]))
>>> ((x_hat - x).square().mean() + 0.01 * rate_bpp.mean()).backward()
>>> x.grad.shape
torch.Size([2, 3, 100, 150])
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.format.catalog import model_for
from vaecodec.format.container import QUALITY_MAX
from vaecodec.networks.config import PATCH
from vaecodec.networks.weights import load_model
from vaecodec.objective.bound import Rounding, add_noise, nearest
from vaecodec.objective.rounding import optimised


def _noise(u: Tensor, mean: Tensor, log2_scale: Tensor) -> tuple[Tensor, Tensor]:
    noisy = add_noise(u)
    return noisy, noisy


class DifferentiableCodec(nn.Module):
    """`compress` and `decompress` in one differentiable pass, without the bytes.

    Rounding is the one step without a derivative. With `mode="straight-through"` values are those of the codec, and
    gradients pass through roundings as if there were none. With `mode="noise"` uniform noise stands in for rounding,
    and values and gradients are those of that smooth relaxation (Ballé et al. 2017).

    The prior runs in floating point here and in integers in the codec, so that symbols near a half may differ; payloads
    are within a few per cent of the rate, to which a file's header adds 36 bytes. Hyperlatents are rounded, as with
    `coding=0`.

    Args:
        model: a name from `vaecodec.list_models` or a path; `None` for the default.
        tune: instead of a model, as for `compress`.
        mode: "straight-through" or "noise".
        effort: as of `compress`, for straight-through: how symbols are chosen.
        trainable: whether the codec's weights get gradients; otherwise only x does.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        tune: Literal["looks", "psnr"] | None = None,
        mode: Literal["straight-through", "noise"] = "straight-through",
        effort: int = 1,
        trainable: bool = False,
    ):
        super().__init__()
        if mode not in ("straight-through", "noise"):
            raise ValueError(f"mode {mode!r} is neither 'straight-through' nor 'noise'")
        stored = load_model(model_for(model, tune))
        self.model, self.qualities = stored.model().requires_grad_(trainable), stored.qualities
        self.mode, self.effort = mode, effort

    def forward(self, x: Tensor, quality: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A batch there and back.

        Args:
            x: `[B, 3, H, W]` in [0, 1], of any size.
            quality: 1 to 100, one number or `[B]`; `None` for the model's default.

        Returns:
            x_hat `[B, 3, H, W]`, neither clipped to [0, 1] nor rounded to 8 bits, and `[B]` bits per pixel.

        Raises:
            ValueError: x has another shape, or a quality is out of range.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"x has shape {list(x.shape)}; [B, 3, H, W] is needed")
        height, width = x.shape[-2:]
        quality = torch.as_tensor(self.qualities.default if quality is None else quality)
        codes = [self.qualities.code(float(q)) for q in quality.expand(len(x))]
        condition = torch.tensor(codes, device=x.device, dtype=torch.float32) / QUALITY_MAX
        padded = F.pad(x, (0, -width % PATCH, 0, -height % PATCH), mode="replicate")
        y, z = self.model.infer(padded, condition)
        gain = self.model.prior.gain(condition)
        y_hat, bits = self.model.rate(z, y * gain, condition, self._rounding(condition), self._z_rounding())
        x_hat = self.model.synthesis(y_hat / gain, condition)[:, :, :height, :width] + 0.5
        return x_hat, torch.stack(list(bits.values())).sum(0) / (height * width)

    def _rounding(self, condition: Tensor) -> Rounding:
        if self.mode == "noise":
            return _noise
        return optimised(condition, self.model.config) if self.effort else nearest

    def _z_rounding(self) -> Rounding:
        return _noise if self.mode == "noise" else nearest
