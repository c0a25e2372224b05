"""`ImageVAE`: the networks of the codec and their configurations.

    x ── 8x8 to depth ─ blocks ─ 2x2 ──(+)── y ·gain ─ round ─ y_hat /gain ─ 1x1 ─ blocks ─ 8x8 to space ──(+)── x_hat
    └───── linear, 16x16 patches ───────┘ │                               └───── linear, 16x16 patches ─────┘
                                         h_a ── z ─ round ── prior (see `prior`)

One model serves all qualities: gains on y and scales and shifts on the features are learned functions of the quality,
and so are the tables of z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.networks.blocks import (
    Pointwise,
    QualityFilm,
    QualityTable,
    TransformBlock,
    added,
    by_strips,
    compand,
    depth_to_space,
    pointwise,
    space_to_depth,
)
from vaecodec.networks.config import HYPER, PATCH, ModelConfig
from vaecodec.networks.posterior import FINE, Posterior
from vaecodec.networks.prior import STEPS, Cells, Prior
from vaecodec.objective.bound import Bound, Rounding, as_given, gaussian_bits, gaussian_kl_bits, nearest, noisy
from vaecodec.objective.distortion import distortion_of


class Analysis(nn.Module):
    """g_a: pictures to normalised latents."""

    scale: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        width, m = config.analysis_width, config.y_channels
        self.linear = Pointwise(3 * PATCH * PATCH, m)
        self.stem = Pointwise(3 * 64, width)
        self.film = QualityFilm(config.quality_knots, width)
        self.blocks = nn.Sequential(*(TransformBlock(width) for _ in range(config.analysis_blocks)))
        self.out = Pointwise(4 * width, m, zero=True)
        self.register_buffer("scale", torch.ones(m))

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """`[B, 3, H, W]` in [-1/2, 1/2], sides multiples of 16, to `[B, M, H/16, W/16]`, about unit variance."""
        return self.leave(*self.enter(space_to_depth(x, PATCH), space_to_depth(x, PATCH // 2), quality))

    def enter(self, patches: Tensor, quarters: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """The part of `forward` in which patches of 16x16 pixels have nothing to do with each other.

        Args:
            patches, quarters: the picture as `space_to_depth` gives it for 16 and for 8 pixels a side.

        Returns:
            The linear path's y, and features `[B, W, H/8, W/8]`.
        """
        linear = self.linear(patches) / self.scale[:, None, None]
        return linear, self.film(self.stem(quarters.to(self.stem.weight.dtype)), quality)

    def leave(self, linear: Tensor, features: Tensor) -> Tensor:
        """The rest of `forward`."""
        features = self.blocks(features)

        def joined(rows: slice) -> Tensor:
            patches = space_to_depth(features[..., 2 * rows.start : 2 * rows.stop, :], 2)
            return linear[..., rows, :] + self.out(patches).to(linear.dtype)

        return by_strips(joined, linear)


class HyperAnalysis(nn.Module):
    """h_a: normalised latents to hyperlatents, before rounding."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.prior_width
        self.stem = Pointwise(4 * config.y_channels, width)
        self.film = QualityFilm(config.quality_knots, width)
        self.block = TransformBlock(width)
        self.down = Pointwise(4 * width, width)
        self.down_block = TransformBlock(width)
        self.out = Pointwise(width, config.z_channels)

    def forward(self, y: Tensor, quality: Tensor) -> Tensor:
        """`[B, M, H, W]` to `[B, Cz, ceil(H/4), ceil(W/4)]`; edges are replicated."""
        height, width = y.shape[-2:]
        y = F.pad(compand(y), (0, -width % HYPER, 0, -height % HYPER), mode="replicate")
        x = self.block(self.film(self.stem(space_to_depth(y, 2)), quality))
        return self.out(self.down_block(self.down(space_to_depth(x, 2))))


class Synthesis(nn.Module):
    """g_s: the generator; normalised latents to pictures."""

    scale: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        width, m = config.synthesis_width, config.y_channels
        self.linear = Pointwise(m, 3 * PATCH * PATCH)
        self.stem = Pointwise(m, 4 * width)
        self.film = QualityFilm(config.quality_knots, width)
        self.blocks = nn.Sequential(*(TransformBlock(width) for _ in range(config.synthesis_blocks)))
        self.film_out = QualityFilm(config.quality_knots, width)
        self.out = Pointwise(width, 3 * 64, zero=True)
        self.register_buffer("scale", torch.ones(m))

    def forward(self, y: Tensor, quality: Tensor, reduction: int = 1) -> Tensor:
        """`[B, M, H, W]` to `[B, 3, 16 H, 16 W]`, about [-1/2, 1/2].

        Args:
            reduction: 1, 2, 4 or 8: pictures smaller by so much, each pixel the mean of a square of those at full size.
        """
        return self.leave(y, self.enter(y, quality), quality, reduction)

    def enter(self, y: Tensor, quality: Tensor) -> Tensor:
        """The part of `forward` that makes features, `[B, W, 2 H, 2 W]`."""

        def stem(rows: slice) -> Tensor:
            made = self.stem(compand(y[..., rows, :]).to(self.stem.weight.dtype))
            return self.film(depth_to_space(made, 2), quality)

        return self.blocks(by_strips(stem, y))

    def leave(
        self,
        y: Tensor,
        features: Tensor,
        quality: Tensor,
        reduction: int = 1,
        pixels: Callable[[Tensor], Tensor] = lambda values: values,
    ) -> Tensor:
        """The rest of `forward`, in which patches of 16x16 pixels have nothing to do with each other.

        Args:
            pixels: what to make of each value before they are laid out as pictures.
        """
        side = PATCH // reduction
        patches = _squares(self.linear, y * self.scale[:, None, None], side)
        quarters = _squares(self.out, self.film_out(features, quality), side // 2).to(patches.dtype)
        b, h, w, _ = (patches := patches.permute(0, 2, 3, 1)).shape
        halves = (2, side // 2)
        quarters = quarters.permute(0, 2, 3, 1).reshape(b, h, 2, w, 2, side // 2, side // 2, 3)
        patches = added(patches.view(b, h, w, *halves, *halves, 3), quarters.permute(0, 1, 3, 2, 5, 4, 6, 7))
        return depth_to_space(pixels(patches.reshape(b, h, w, -1)).permute(0, 3, 1, 2), side)


def _squares(layer: Pointwise, x: Tensor, side: int) -> Tensor:
    """A layer's outputs, squares of pixels, or smaller ones by means of its weights, since it is linear."""
    full = math.isqrt(len(layer.bias) // 3)
    if side == full:
        return layer(x)
    weight, bias = (
        t.float().reshape(side, full // side, side, full // side, 3, -1).mean((1, 3)).reshape(3 * side * side, -1).to(t)
        for t in (layer.weight, layer.bias)
    )
    return pointwise(x, weight, bias[:, 0])


class ImageVAE(nn.Module):
    """The whole model.

    Attributes:
        distortion: d of the observation model.
        analysis, hyper_analysis: the inference network q.
        prior: p(y, z).
        synthesis: the generator.
        posterior: q(z | y) for bits-back coding, or `None`.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.distortion = distortion_of(config.distortion)
        self.analysis = Analysis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.prior = Prior(
            config.y_channels, config.z_channels, config.prior_width, config.prior_blocks, config.quality_knots
        )
        self.synthesis = Synthesis(config)
        sizes = (config.y_channels, config.z_channels, config.prior_width, config.quality_knots)
        self.posterior = Posterior(*sizes) if config.bits_back else None

    def init_linear(self, patches: Tensor) -> None:
        """`init_linear` of the model's parts."""
        init_linear(self.config, self.analysis, self.synthesis, self.prior.log2_gain, patches)

    def infer(self, x: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """The amortised posterior: y, normalised, `[B, M, H/16, W/16]`, and z, both before rounding, float32.

        Args:
            x: `[B, 3, H, W]` in [0, 1], sides multiples of 16.
            quality: `[B]` in [0, 1].
        """
        y = self.analysis(x - 0.5, quality).float()
        return y, self.hyper_analysis(y, quality).float()

    def rate(
        self, z: Tensor, y: Tensor, quality: Tensor, rounding: Rounding, z_rounding: Rounding | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents through the prior.

        Args:
            z: `[B, Cz, h, w]`.
            y: `[B, M, H, W]` in symbols, that is, times the gain.
            rounding: see `bound.Rounding`.
            z_rounding: for z, if it is another one.

        Returns:
            y_hat `[B, M, H, W]` in symbols, and `[B]` bits by group: "z", "y0" to "y3".
        """
        prediction = self.prior.predict_z(quality)
        z_hat, z_rate = (z_rounding or rounding)(z, prediction.mean, prediction.log2_scale)
        bits = {"z": gaussian_bits(z_rate - prediction.mean, prediction.log2_scale)}
        coded, y_bits = self._y_rate(z_hat, Cells.split(y), y, quality, [rounding] * STEPS)
        return coded.merged(), _sums(bits | y_bits)

    def _y_rate(
        self, z_hat: Tensor, steps: list[Tensor], like: Tensor, quality: Tensor, roundings: list[Rounding]
    ) -> tuple[Cells, dict[str, Tensor]]:
        """The latents of each step, in cells, through the prior at z; their bits are not summed yet."""
        hyper, bits = self.prior.hyper(z_hat, quality), {}
        coded = Cells(like)
        outside = coded.outside()
        for step, (latents, rounding) in enumerate(zip(steps, roundings, strict=True)):
            prediction = self.prior.predict_y(step, hyper, coded, quality)
            mean = prediction.mean - prediction.offset
            y_hat, y_rate = rounding(latents - prediction.offset, mean, prediction.log2_scale)
            step_bits = gaussian_bits(y_rate - mean, prediction.log2_scale)
            bits[f"y{step}"] = step_bits if outside is None else step_bits.masked_fill(outside.to(like.device), 0.0)
            coded.put(prediction.offset + y_hat)
        return coded, bits

    def bits_back_rate(
        self, y: Tensor, y_hat: Tensor, quality: Tensor, rounding: Rounding
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`rate` with a sampled z, whose cost is KL(q(z | y) ‖ p(z)): what bits-back coding pays.

        Args:
            y: `[B, M, H, W]` in symbols.
            y_hat: as `rate` gave it; its first step is kept, as q knows z from that.
            rounding: for the other steps.

        Raises:
            ValueError: the model has no posterior.
        """
        if self.posterior is None:
            raise ValueError("the model has no posterior to sample z from")
        steps = Cells.split(y)
        steps[0] = Cells.split(y_hat)[0].detach()
        q = self.posterior.predict(steps[0], self.prior.log2_gain(quality), quality)
        p = self.posterior.predict_z(quality)
        bits = {"z": gaussian_kl_bits(q.mean, q.log2_scale, p.mean, p.log2_scale)}
        z = (q.mean + torch.exp2(q.log2_scale) * torch.randn_like(q.mean)) / FINE
        coded, y_bits = self._y_rate(z, steps, y, quality, [as_given] + [rounding] * (STEPS - 1))
        return coded.merged(), _sums(bits | y_bits)

    def bound(
        self,
        x: Tensor,
        z: Tensor,
        y: Tensor,
        quality: Tensor,
        rounding: Rounding = noisy,
        z_rounding: Rounding | None = None,
    ) -> tuple[Tensor, Bound]:
        """The bound of pictures at given latents, as `infer` gives them; roundings as for `rate`.

        Returns:
            x_hat `[B, 3, H, W]`, neither clipped nor rounded to 8 bits, and the bound's terms.
        """
        gain = self.prior.gain(quality)
        y_hat, bits = self.rate(z, y * gain, quality, rounding, z_rounding)
        x_hat = self._reconstruct(y_hat / gain, quality)
        return x_hat, self._bound(x, x_hat, bits)

    def bound_of_both_codings(self, x: Tensor, quality: Tensor, rounding: Rounding) -> tuple[Bound, Bound]:
        """The bound with z rounded to the nearest, and with z sampled, as bits-back coding has it.

        Pictures are synthesised once, so both have the distortion of the first.
        """
        y, z = self.infer(x, quality)
        gain = self.prior.gain(quality)
        y_hat, bits = self.rate(z, y * gain, quality, rounding, nearest)
        _, sampled_bits = self.bits_back_rate(y * gain, y_hat, quality, rounding)
        bound = self._bound(x, self._reconstruct(y_hat / gain, quality), bits)
        return bound, replace(bound, rate_bpp=_per_pixel(sampled_bits, x))

    def _reconstruct(self, y_hat: Tensor, quality: Tensor) -> Tensor:
        """x_hat from normalised latents."""
        return self.synthesis(y_hat, quality).float() + 0.5

    def _bound(self, x: Tensor, x_hat: Tensor, bits: dict[str, Tensor]) -> Bound:
        distortion, mse = self.distortion(x_hat, x)
        return Bound(distortion, _per_pixel(bits, x), mse)

    def forward(
        self, x: Tensor, quality: Tensor, rounding: Rounding = noisy, z_rounding: Rounding | None = None
    ) -> tuple[Tensor, Bound]:
        """The bound of pictures in one pass; arguments and results as of `infer` and `bound`."""
        y, z = self.infer(x, quality)
        return self.bound(x, z, y, quality, rounding, z_rounding)


@torch.no_grad()
def init_linear(
    config: ModelConfig, analysis: Analysis, synthesis: Synthesis, log2_gain: QualityTable, patches: Tensor
) -> None:
    """Makes an untrained model a transform codec: PCA of 16x16 patches, and the step that each λ implies.

    Args:
        patches: `[N, 768]` in [-1/2, 1/2], in `space_to_depth`'s order.
    """
    m = config.y_channels
    variance, basis = torch.linalg.eigh((patches.T @ patches / len(patches)).double())
    basis = basis.flip(1)[:, :m].float()
    scale = variance.flip(0)[:m].clamp_min(1e-8).sqrt().float()
    analysis.linear.weight.copy_(basis.T)
    analysis.scale.copy_(scale)
    synthesis.linear.weight.copy_(basis)
    synthesis.scale.copy_(scale)
    log2_gain.table.copy_(torch.log2(scale[None] / linear_steps(config)[:, None]))


def linear_steps(config: ModelConfig) -> Tensor:
    """`[K]` steps of a transform codec's coefficients, of pictures in [0, 1], at the knots of the quality tables.

    At high rate, squared error Δ²/12 and rate −log2 Δ a coefficient balance at Δ² = 18 / (λ ln 2).
    """
    quality = torch.linspace(0, 1, config.quality_knots)
    return torch.sqrt(18 / (config.lmbda(quality) * math.log(2))) / 255


def _sums(bits: dict[str, Tensor]) -> dict[str, Tensor]:
    """`[B]` bits of each group."""
    return {group: values.flatten(1).sum(1) for group, values in bits.items()}


def _per_pixel(bits: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    return {group: values / (x.shape[-2] * x.shape[-1]) for group, values in bits.items()}
