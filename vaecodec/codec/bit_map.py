"""Where the bits of a file went: code lengths by the tables that code, at every position of the latents."""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import Tensor

from vaecodec.codec.codec import Codec
from vaecodec.coding.bits_back import row_bits
from vaecodec.coding.latent_coder import LatentCoder
from vaecodec.coding.latents import Latents
from vaecodec.coding.symbol_choice import nearest
from vaecodec.format.ans import Stack
from vaecodec.format.container import BITS_BACK
from vaecodec.format.tables import FRACTIONS
from vaecodec.networks.config import HYPER
from vaecodec.networks.posterior import FINE
from vaecodec.networks.prior import Cells
from vaecodec.pictures.tiles import Area


@torch.no_grad()
def position_bits(codec: Codec, latents: Latents) -> np.ndarray:
    """Bits that each position of y, which is `model.PATCH` pixels a side, cost in a file.

    −log2 p of its y, and an equal share of what z cost, which serves `HYPER`² positions. Where z was coded with
    bits-back it cost −log2 p(z) + log2 q(z | y), which may be less than nothing.

    Args:
        latents: as `codec.decode` gives them.

    Returns:
        `[H, W]` float64; the payload has their sum of bits, but for what the coder adds. The prior sees the whole
        picture at once here, so memory grows with it.
    """
    quality, z, y_hat = latents.quality, latents.z, latents.y_hat
    upper = 0
    if latents.coding == BITS_BACK:
        upper = Stack(latents.payload).pop_bits(row_bits(z.shape[2]))
    cut, parts = upper * HYPER, []
    if upper:
        assert codec.bits_back  # it has decoded the file
        posterior = codec.bits_back.posterior
        above, fine = y_hat[:, :, :cut], z[:, :, :upper] * FINE
        p, q = posterior.predict_z(quality), posterior.predict(Cells.part(above, 0) * FRACTIONS, quality)
        cost = _lengths(codec, fine - p.offset / FRACTIONS, p.numbers)
        cost -= _lengths(codec, fine - q.offset / FRACTIONS, q.numbers)
        parts.append(_shared(cost, above) + _y_bits(codec, z[:, :, :upper], above, quality))
    state, below = codec.prior.at(quality), y_hat[:, :, cut:]
    cost = _lengths(codec, z[:, :, upper:] - state.z.offset / FRACTIONS, state.z.numbers)
    parts.append(_shared(cost, below) + _y_bits(codec, z[:, :, upper:], below, quality))
    return torch.cat(parts).cpu().numpy()


def _lengths(codec: Codec, symbols: Tensor, numbers: Tensor) -> Tensor:
    """Code lengths in bits, elementwise."""
    pair = (t.cpu().numpy().astype(np.int64) for t in (symbols, numbers.expand_as(symbols)))
    return torch.from_numpy(codec.stored.tables.bits(*pair)).to(symbols.device)


def _shared(bits: Tensor, y: Tensor) -> Tensor:
    """`[1, Cz, h, w]` of z to `[H, W]`: each z's bits in equal shares to the positions of y that it serves."""
    spread = lambda t: t.repeat_interleave(HYPER, 0).repeat_interleave(HYPER, 1)[: y.shape[2], : y.shape[3]]
    served = torch.nn.functional.avg_pool2d(
        torch.ones_like(y[:, :1]), HYPER, ceil_mode=True, divisor_override=1
    )[0, 0]  # fmt: skip
    return spread(bits.sum(1)[0] / served)


def _y_bits(codec: Codec, z: Tensor, y_hat: Tensor, quality: int) -> Tensor:
    """`[H, W]` code lengths of y, summed over channels: it is coded once more, as one tile."""
    bits = Cells(y_hat)

    def noted(u: Tensor, numbers: Tensor, step: int, area: Area) -> Tensor:
        symbols = nearest(u, numbers, step, area)
        bits.put(_lengths(codec, symbols, numbers))
        return symbols

    whole = LatentCoder(codec.prior, codec.stored.tables, codec.model.config, area=sys.maxsize)
    hyper = whole.hyperlatents(z, quality, rounded=False)
    whole.code_y(hyper, y_hat / hyper.state.gain, noted)
    return bits.merged()[0].sum(0)
