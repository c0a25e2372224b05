"""The small VAE in integers, for lossless coding: from pictures to tables of z, and from z to tables of pixels.

The layers are those of `networks.fixed_point`. Beyond them there are sums, shifts and clamps only, so the tables do
not depend on the machine. z lies on a lattice of 1/64; posteriors have a whole number of steps for a mean and one of 49
scales, the last of which is the prior N(0, I). A pixel's table is one of 121 x 57,
mixed from the model's 16 x 8 when it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaecodec.digits import SIDE
from vaecodec.digits.model import INPUT_UNIT, LOG2_SCALE_MIN, LOG2_SCALE_START, MEAN_LIMIT, PIXELS, DigitsVAE
from vaecodec.digits.observation import LEVELS, NODES
from vaecodec.digits.observation import Tables as LearnedTables
from vaecodec.errors import ModelError
from vaecodec.format.ans import COUNT_BITS, Tables
from vaecodec.format.tables import gaussian_counts
from vaecodec.networks.conversion import convert_layers
from vaecodec.networks.fixed_point import ACTIVATION_BITS, ACTIVATION_MAX, RAW_BITS, in_integers

LATTICE_BITS = 6
"""z is a multiple of 2^-6: a posterior is at least one step wide, and the prior 64."""
PER_OCTAVE = 8
PRIOR = -int(LOG2_SCALE_MIN) * PER_OCTAVE
"""Number of the table of N(0, 1), the widest."""
REFINE_BITS = 3
"""Tables between two of the model's: 2^3 steps along each axis."""
PIXEL_RADIUS = LEVELS // 2
"""Levels are coded as symbols from -128 to 127."""
WEIGHT_MAX = 127
"""Weights of 8 bits keep the file small."""
SUMS = 2.0**53
"""What no sum may reach: carriers are float64."""


def latent_tables() -> tuple[np.ndarray, np.ndarray]:
    """Counts and radii of Gaussians from 1 to 64 steps wide. An encoder samples from these, so nothing escapes."""
    radii, counts = [], []
    for number in range(PRIOR + 1):
        scale = 2.0 ** (number / PER_OCTAVE)
        radii.append(int(4.5 * scale) + 1)
        table = gaussian_counts(0.0, scale, radii[-1])
        table[radii[-1]] += table[-1]
        table[-1] = 0
        counts.append(table)
    return np.concatenate(counts).astype(np.uint16), np.array(radii, np.uint16)


def pixel_counts(model: DigitsVAE) -> np.ndarray:
    """Counts `[16, 8, 256]` of the model's own tables, each summing to 2^16.

    Raises:
        ModelError: it has none.
    """
    learned = model.observation
    if not isinstance(learned, LearnedTables):
        raise ModelError(f"the model {model.config.name} has no tables for lossless coding")
    counts = np.rint(learned.probabilities().detach().double().numpy() * 2**COUNT_BITS).astype(np.int64)
    _make_up(counts)
    sure = counts.max(2) == 2**COUNT_BITS  # one more than 16 bits hold
    counts[sure, 0] -= counts[sure, 0] >> COUNT_BITS
    counts[sure, 1] += (counts[sure].sum(-1) < 2**COUNT_BITS).astype(np.int64)
    return counts.astype(np.uint16)


def logits(counts: Tensor) -> Tensor:
    """Float logits `[16, 8, 256]` of the model's own tables; a count of 0 is 1 of 2^24, as the coder has it."""
    return torch.log(counts.double().clamp_min(2.0 ** (COUNT_BITS - 24))).float()


def _make_up(counts: np.ndarray) -> None:
    """Gives what is missing from 2^16 in the last axis to the largest count."""
    largest = counts.argmax(-1)[..., None]
    missing = 2**COUNT_BITS - counts.sum(-1, keepdims=True)
    np.put_along_axis(counts, largest, np.take_along_axis(counts, largest, -1) + missing, -1)


def mix(counts: np.ndarray) -> Tables:
    """All tables of pixels: those of the model, and those between them by bilinear interpolation in integers."""
    counts, steps = counts.astype(np.int64), 2**REFINE_BITS
    for axis in (0, 1):
        low, high = np.moveaxis(counts, axis, 0)[:-1], np.moveaxis(counts, axis, 0)[1:]
        share = np.arange(steps)[:, None, None]
        between = low[:, None] * (steps - share) + high[:, None] * share
        counts = np.concatenate((between.reshape(-1, *low.shape[1:]), steps * high[-1:]))
        counts = np.moveaxis(counts, 0, axis)
    counts = (counts + 2 ** (2 * REFINE_BITS - 1)) >> 2 * REFINE_BITS
    _make_up(counts)
    tables = counts.reshape(-1, LEVELS)
    unused = np.zeros((len(tables), 2 * PIXEL_RADIUS + 2 - LEVELS), np.int64)
    return Tables(np.hstack((tables, unused)).reshape(-1), np.array([PIXEL_RADIUS]), len(tables))


def convert(model: DigitsVAE) -> dict[str, Tensor]:
    """The networks of a trained model as integers, and all else that lossless coding needs if it has tables.

    Raises:
        ModelError: a layer has no exact integer form.
    """
    tensors: dict[str, Tensor] = {}
    for part in ("encoder", "decoder"):
        layers = convert_layers(getattr(model, part), SUMS, WEIGHT_MAX)
        tensors |= {f"{part}.{name}": tensor for name, tensor in layers.items()}
    if model.config.observation != "tables":
        return tensors
    counts, radii = latent_tables()
    tensors["latents.counts"], tensors["latents.radii"] = torch.from_numpy(counts), torch.from_numpy(radii)
    tensors["pixels.counts"] = torch.from_numpy(pixel_counts(model))
    return tensors


@dataclass(frozen=True)
class ExactPosterior:
    """q(z | x) of a batch, in steps of the lattice.

    Attributes:
        means: `[B, K]` int32.
        numbers: `[B, K]` int32, tables of z − mean.
    """

    means: np.ndarray
    numbers: np.ndarray


class ExactVAE:
    """The model in integers, ready to run.

    Args:
        model: of the right sizes; its weights do not matter.
        tensors: from `convert`.
    """

    def __init__(self, model: DigitsVAE, tensors: dict[str, Tensor]):
        own = lambda part: {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
        self._encoder = in_integers(model.encoder, own("encoder."), "cpu", torch.float64)
        self._decoder = in_integers(model.decoder, own("decoder."), "cpu", torch.float64)
        self.latents = model.config.latents
        self.latent_tables = Tables(tensors["latents.counts"].numpy(), tensors["latents.radii"].numpy(), 1)
        self.pixel_tables = mix(tensors["pixels.counts"].numpy())

    @torch.no_grad()
    def posterior(self, images: np.ndarray) -> ExactPosterior:
        """q(z | x) of `[B, 28, 28]` uint8."""
        x = torch.tensor(images.reshape(len(images), -1), dtype=torch.float32) * (INPUT_UNIT * 2**ACTIVATION_BITS)
        mean, log2_scale = self._encoder(x).double().chunk(2, 1)
        shift, limit = RAW_BITS - LATTICE_BITS, MEAN_LIMIT * 2**LATTICE_BITS
        mean = torch.floor((mean + 2 ** (shift - 1)) / 2**shift).clamp(-limit, limit)
        above = log2_scale + (LOG2_SCALE_START - LOG2_SCALE_MIN) * 2**RAW_BITS
        number = torch.floor((above * PER_OCTAVE + 2 ** (RAW_BITS - 1)) / 2**RAW_BITS).clamp(0, PRIOR)
        return ExactPosterior(mean.int().numpy(), number.int().numpy())

    @torch.no_grad()
    def pixel_numbers(self, z: np.ndarray) -> np.ndarray:
        """The tables of the pixels, `[B, 784]` int32, of latents `[B, K]` in steps of the lattice."""
        limit = ACTIVATION_MAX >> ACTIVATION_BITS - LATTICE_BITS
        x = torch.from_numpy(z.clip(-limit, limit)).float() * 2 ** (ACTIVATION_BITS - LATTICE_BITS)
        theta = self._decoder(x).double().view(len(z), len(NODES), PIXELS)
        last = torch.tensor(NODES)[:, None] - 1
        shift = RAW_BITS - REFINE_BITS
        point = torch.floor((theta + last * 2 ** (RAW_BITS - 1) + 2 ** (shift - 1)) / 2**shift)
        i, j = torch.minimum(point.clamp_min(0), last * 2.0**REFINE_BITS).int().unbind(1)
        return (i * ((NODES[1] - 1) * 2**REFINE_BITS + 1) + j).numpy()


def symbols_of(images: np.ndarray) -> np.ndarray:
    """Grey levels `[B, 28, 28]` as symbols, int32 `[784 B]`."""
    return images.reshape(-1).astype(np.int32) - PIXEL_RADIUS


def images_of(symbols: np.ndarray) -> np.ndarray:
    """The inverse of `symbols_of`."""
    return (symbols + PIXEL_RADIUS).astype(np.uint8).reshape(-1, SIDE, SIDE)
