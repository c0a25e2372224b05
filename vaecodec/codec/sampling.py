"""The photo codec as the generative model that it is: pictures from its own prior, and between two pictures.

Nothing here is coded: the prior's tables, from which the coder pops symbols, are drawn from instead.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaecodec.codec.codec import Codec
from vaecodec.coding.latent_coder import GroupReader
from vaecodec.coding.latents import Latents
from vaecodec.errors import ImageError
from vaecodec.format.ans import Tables
from vaecodec.networks.config import PATCH


class Dice:
    """Gives symbols as a `Decoder` would that reads noise: each with its table's probabilities.

    Escapes, which make up 2^-16 of a table, are left out.
    """

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)

    def pop(self, numbers: np.ndarray, tables: Tables) -> np.ndarray:
        """`[n]` int32 symbols whose tables are `numbers`."""
        symbols = np.empty(len(numbers), np.int32)
        for number in np.unique(numbers):
            where = np.flatnonzero(numbers == number)
            edges = np.cumsum(tables.table(number)[:-1].astype(np.int64))
            drawn = self._random.integers(0, edges[-1], len(where))
            symbols[where] = np.searchsorted(edges, drawn, side="right") - tables.radius(number)
        return symbols

    def finish(self) -> None:
        """Noise has no end."""


@torch.no_grad()
def sample(codec: Codec, size: tuple[int, int], quality: float, seed: int = 0) -> np.ndarray:
    """A picture drawn from p(z) p(y | z) p(x | y), its mean in the last: `[H, W, 3]` uint8.

    Args:
        size: (width, height).
        quality: 1 to 100; η, the observation variance, is what it stands for.
    """
    width, height = size
    code = codec.stored.qualities.code(quality)
    reader = GroupReader(Dice(seed), codec.stored.tables, codec.device)
    z, coded = codec.coder.read(reader, (-(-height // PATCH), -(-width // PATCH)), code)
    return codec.synthesize(Latents(size, code, z, coded.merged(), b"", 0))


@torch.no_grad()
def interpolate(
    codec: Codec, a: np.ndarray, b: np.ndarray, quality: float | None, steps: int = 5, *, spherical: bool = False
) -> list[np.ndarray]:
    """Pictures between two of one size, `[H, W, 3]` uint8, through the latents y, not rounded, and the synthesis.

    Args:
        quality: 1 to 100; `None` for the model's default.

    Raises:
        ImageError: they differ in size.
    """
    if a.shape != b.shape:
        raise ImageError(f"the pictures differ in size: {a.shape[1]}x{a.shape[0]} and {b.shape[1]}x{b.shape[0]} pixels")
    code = codec.stored.qualities.code(quality)
    gain = codec.prior.at(code).gain
    first, last = (codec.encoder.infer(x, code)[1] * gain for x in (a, b))
    size = (a.shape[1], a.shape[0])
    path = between(first, last, steps, spherical=spherical)
    return [codec.transforms.synthesise(y, gain, size, code) for y in path]


def between(a: Tensor, b: Tensor, steps: int, *, spherical: bool = False) -> Tensor:
    """Points from a to b, both included: `[steps, …]`.

    Args:
        spherical: along a great circle (Shoemake 1985), which keeps the length typical of the prior; else along a line.
    """
    shares = torch.linspace(0, 1, steps).view(-1, *[1] * a.ndim)
    if not spherical:
        return a + shares * (b - a)
    cosine = (a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-12)
    angle = torch.arccos(cosine.clamp(-1, 1))
    if angle < 1e-4:
        return a + shares * (b - a)
    return (torch.sin((1 - shares) * angle) * a + torch.sin(shares * angle) * b) / torch.sin(angle)
