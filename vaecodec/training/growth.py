"""A model of larger sizes that does at first what a smaller one does.

New residual blocks end in zeros. New channels of a network are computed from all others, but nothing old reads them
yet. New latents are dealt to the four groups of the prior like the old ones; networks neither read nor predict them at
first, and the linear path begins as the principal components of what was left of training patches. New knots of the
quality tables lie beyond the highest quality that there was, at the same distance of λ
(`ModelConfig.nominal_quality`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor

from vaecodec.networks.blocks import space_to_depth
from vaecodec.networks.config import PATCH, ModelConfig
from vaecodec.networks.model import ImageVAE, linear_steps

MAY_GROW = {
    "analysis_width", "analysis_blocks", "synthesis_width", "synthesis_blocks", "prior_width", "prior_blocks",
    "y_channels", "quality_knots", "lambda_max",
}  # fmt: skip
GROWTH_PIXELS = 1 << 22
"""Of training pictures, from which new latents begin."""
COARSER = 4
"""How much coarser the steps of new latents are at first than a transform codec's: while nothing predicts their scales
they would cost up to 16 % at the highest qualities (`light`, 320 to 448); so they cost up to 0.2 %."""
MAY_DIFFER = {"name", "distortion", "bits_back"}
Side = list[tuple[int, str]]
"""How a side of a tensor is made up: so many runs of a size, one after the other."""
_BLOCK = {
    "mix.weight": "c c", "spatial.weight": "c 1 1 1", "project.weight": "c c", "expand.weight": "h c",
    "reduce.weight": "c h", "expand.bias": "h",
}  # fmt: skip
"""Of residual blocks: c channels, h = 2 c hidden ones; biases are c but for those named."""
_LAYERS = {
    "analysis.linear": "4m 1",
    "analysis.scale": "4m",
    "analysis.stem": "a 1",
    "analysis.film": "a",
    "analysis.out": "4m 4a",
    "hyper_analysis.stem": "w 16m",
    "hyper_analysis.film": "w",
    "hyper_analysis.down": "w 4w",
    "hyper_analysis.out": "z w",
    "prior.networks.h_s_in": "4w z",
    "prior.networks.h_s_up": "4w w",
    "prior.networks.stems": "w w+4m",
    "prior.networks.heads": "8m w",
    "prior.quality_bias": "w",
    "prior.log2_gain": "4m",
    "prior.z_mean": "z",
    "prior.z_log2_scale": "z",
    "synthesis.linear": "1 4m",
    "synthesis.scale": "4m",
    "synthesis.stem": "4s 4m",
    "synthesis.film": "s",
    "synthesis.film_out": "s",
    "synthesis.out": "1 s",
    "posterior.networks.stem": "w 4m",
    "posterior.networks.down": "w 4w",
    "posterior.networks.head": "2z w",
    "posterior.quality_bias": "w",
    "posterior.z_mean": "z",
    "posterior.z_log2_scale": "z",
}
"""Sides of weights: runs of m latents of a group, z hyperlatents, widths a, s, w of the networks; 1 does not grow."""


def check_growth(old: ModelConfig, new: ModelConfig) -> None:
    """Whether a model may become another one.

    Raises:
        ValueError: it may not, and why.
    """
    before, after = old.to_dict(), new.to_dict()
    for key in sorted(before.keys() - MAY_DIFFER):
        if before[key] != after[key] and (key not in MAY_GROW or after[key] < before[key]):
            raise ValueError(f"{key} {before[key]} cannot become {after[key]}")
    if new.y_channels % 4:
        raise ValueError("y_channels are dealt to four groups")
    if old.bits_back and not new.bits_back:
        raise ValueError("the posterior would be lost")
    knots = [math.log(c.lambda_max / c.lambda_min) / (c.quality_knots - 1) for c in (old, new)]
    if not math.isclose(*knots, rel_tol=1e-9):
        raise ValueError("λ grows by whole knots of the quality tables")


def grow(
    weights: dict[str, Tensor], old: ModelConfig, new: ModelConfig, crops: Callable[[], Tensor]
) -> dict[str, Tensor]:
    """Weights of a model of the sizes `new`, from those of `old`.

    Args:
        crops: gives `[N, 3, S, S]` uint8 crops of training pictures, of `GROWTH_PIXELS`; asked for new latents only.

    Raises:
        ValueError: see `check_growth`.
    """
    check_growth(old, new)
    grown = {name: value.clone() for name, value in ImageVAE(new).state_dict().items()}
    for name, value in weights.items():
        if name not in grown:
            raise ValueError(f"{name} is not one of the weights")
        sides = _sides(name)
        places = [_places(side, old, new, length) for side, length in zip(sides, value.shape, strict=True)]
        target = grown[name]
        if name.endswith(".table"):
            value = _with_knots(value, len(target), extrapolate=name.startswith("prior.log2_gain"))
            places[0] = torch.arange(len(target))
        elif value.ndim == 2:  # nothing old reads what is new
            target[places[0]] = 0.0
        target[torch.meshgrid(*places, indexing="ij")] = value
    if new.y_channels > old.y_channels:
        _add_components(grown, _places([(4, "m")], old, new, old.y_channels), weights, (old, new), crops())
    return grown


def _sides(name: str) -> list[Side]:
    """How the sides of a tensor of `ImageVAE` are made up."""
    block = re.fullmatch(r"(\w+)\..*?((mix|spatial|project|expand|reduce)\.(weight|bias))", name)
    if block:
        width = {"analysis": "a", "synthesis": "s"}.get(block[1], "w")
        said = _BLOCK.get(block[2], "c").replace("c", width).replace("h", f"{width}{width}")
    else:
        layer = next(key for key in sorted(_LAYERS, key=len, reverse=True) if f"{name}.".startswith(f"{key}."))
        said = _LAYERS[layer]
        said = f"1 {said}" if name.endswith(".table") else said.split()[0] if name.endswith(".bias") else said
    return [[(int(n or 1), size) for n, size in re.findall(r"(\d*)([a-z]+)", side)] for side in said.split()]


def _size(symbols: str, config: ModelConfig) -> int:
    sizes = {
        "m": config.y_channels // 4, "z": config.z_channels, "a": config.analysis_width,
        "s": config.synthesis_width, "w": config.prior_width,
    }  # fmt: skip
    return sum(sizes[symbol] for symbol in symbols)


def _places(side: Side, old: ModelConfig, new: ModelConfig, length: int) -> Tensor:
    """Where along a side of the larger tensor the `length` entries of the smaller one lie."""
    if not side:
        return torch.arange(length)
    places, start = [], 0
    for runs, symbols in side:
        for _ in range(runs):
            places.append(torch.arange(start, start + _size(symbols, old)))
            start += _size(symbols, new)
    return torch.cat(places)


def _with_knots(table: Tensor, knots: int, *, extrapolate: bool) -> Tensor:
    """A quality table `[K, C]` with rows added for higher qualities: on a line with the last two, or like the last."""
    beyond = torch.arange(1, knots - len(table) + 1)[:, None]
    step = table[-1] - table[-2] if extrapolate else torch.zeros_like(table[-1])
    return torch.cat([table, table[-1] + beyond * step])


@torch.no_grad()
def _add_components(
    grown: dict[str, Tensor],
    old: Tensor,
    weights: dict[str, Tensor],
    configs: tuple[ModelConfig, ModelConfig],
    x: Tensor,
) -> None:
    """The linear path of new latents: of all so many linear functions of patches, those that best predict what the old
    model leaves of them when its latents are not rounded (reduced-rank regression). If that model is PCA, these are the
    next principal components.

    Args:
        old: channels that there were.
        weights: of the old model.
        configs: of the old model and of the new one.
        x: crops `[N, 3, S, S]` uint8.
    """
    model = ImageVAE(configs[0])
    model.load_state_dict(weights, strict=False)
    patches: list[Tensor] = []
    rests: list[Tensor] = []
    for part in x.float().div(255).split(8):
        quality = torch.ones(len(part))
        rest = part - model._reconstruct(model.analysis(part - 0.5, quality), quality)
        for rows, picture in ((patches, part - 0.5), (rests, rest)):
            rows.append(space_to_depth(picture, PATCH).permute(0, 2, 3, 1).reshape(-1, 3 * PATCH * PATCH))
    seen, left = torch.cat(patches).double(), torch.cat(rests).double()
    middle = seen.mean(0)
    seen, left = seen - middle, left - left.mean(0)
    covariance = seen.T @ seen / len(seen)
    covariance += 1e-6 * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
    predicted = torch.linalg.solve(covariance, seen.T @ left / len(seen)).T
    variance, basis = torch.linalg.eigh(predicted @ covariance @ predicted.T)
    new = torch.ones(configs[1].y_channels, dtype=torch.bool)
    new[old] = False
    # neighbours in the order of variances go to different groups
    dealt = new.nonzero().flatten().view(4, -1).T.flatten()
    basis, scale = basis.flip(1)[:, : len(dealt)], variance.flip(0)[: len(dealt)].clamp_min(1e-8).sqrt().float()
    rows = basis.T @ predicted
    grown["analysis.linear.weight"][dealt] = rows.float()
    grown["analysis.linear.bias"][dealt] = -(rows @ middle).float()
    grown["synthesis.linear.weight"][:, dealt] = basis.float()
    grown["analysis.scale"][dealt] = grown["synthesis.scale"][dealt] = scale
    steps = linear_steps(configs[1])[:, None] * COARSER
    grown["prior.log2_gain.table"][:, dealt] = torch.log2(scale[None] / steps)
