"""A model of larger sizes that does at first what a smaller one does.

New residual blocks end in zeros. New channels of a network are computed from all others, but nothing old reads them
yet. New latents are dealt to the four groups of the prior like the old ones; networks neither read nor predict them at
first, and the linear path begins as the principal components of what it left of training patches. New knots of the
quality tables lie beyond the highest quality that there was, at the same distance of λ
(`ModelConfig.nominal_quality`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor

from vaecodec.model import PATCH, ImageVAE, ModelConfig, linear_steps

MAY_GROW = {
    "analysis_width", "analysis_blocks", "synthesis_width", "synthesis_blocks", "prior_width", "prior_blocks",
    "y_channels", "quality_knots", "lambda_max",
}  # fmt: skip
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
    weights: dict[str, Tensor], old: ModelConfig, new: ModelConfig, patches: Callable[[], Tensor]
) -> dict[str, Tensor]:
    """Weights of a model of the sizes `new`, from those of `old`.

    Args:
        patches: gives `[N, 768]` patches of training pictures as of `ImageVAE.init_linear`; asked for new latents only.

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
        _add_components(grown, _places([(4, "m")], old, new, old.y_channels), new, patches())
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


def _add_components(grown: dict[str, Tensor], old: Tensor, config: ModelConfig, patches: Tensor) -> None:
    """The linear path of new latents: principal components of what the old ones leave of patches.

    Args:
        old: channels that there were.
    """
    new = torch.ones(config.y_channels, dtype=torch.bool)
    new[old] = False
    count = int(new.sum())
    analysis, synthesis = (grown[f"{part}.linear.weight"] for part in ("analysis", "synthesis"))
    gains = grown["synthesis.scale"][old] / grown["analysis.scale"][old]
    left = torch.eye(3 * PATCH * PATCH) - (synthesis[:, old] * gains) @ analysis[old]
    rest = patches @ left.T
    variance, basis = torch.linalg.eigh((rest.T @ rest / len(rest)).double())
    basis = basis.flip(1)[:, :count].float()
    scale = variance.flip(0)[:count].clamp_min(1e-8).sqrt().float()
    # neighbours in the order of variances go to different groups
    dealt = new.nonzero().flatten().view(4, -1).T.flatten()
    analysis[dealt], synthesis[:, dealt] = basis.T @ left, basis
    grown["analysis.linear.bias"][dealt] = 0.0
    grown["analysis.scale"][dealt] = grown["synthesis.scale"][dealt] = scale
    grown["prior.log2_gain.table"][:, dealt] = torch.log2(scale[None] / linear_steps(config)[:, None])
