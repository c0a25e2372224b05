"""Single small pictures as ordinary `.vae` files: `vaecodec compress -m digits`.

The photo codec's class does all but the way between pixels and latents: a label, or none, and the posterior's means,
quantised at widths that its σ justifies and coded against N(0, I).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vaecodec.codec.base import BaseCodec
from vaecodec.codec.kinds import Codecs
from vaecodec.coding.latents import Latents, symbols_crc
from vaecodec.digits import CLASSES, SIDE
from vaecodec.digits.model import DigitsVAE
from vaecodec.digits.weights import StoredDigits, load
from vaecodec.errors import Corrupt, ImageError, Unsupported
from vaecodec.format import container
from vaecodec.format.ans import Decoder, Encoder
from vaecodec.format.container import QUALITY_MAX
from vaecodec.format.tables import FRACTIONS, LEVELS_PER_OCTAVE, LOG2_SCALE_MIN, SCALE_LEVELS
from vaecodec.inference.effort import DEFAULT_EFFORT, Progress
from vaecodec.networks.fixed_point import RAW_BITS
from vaecodec.pictures.region import Region, squares
from vaecodec.pictures.tiles import TILE_AREA

COARSEST, FINEST = 3, -2
"""Log2 of how much wider than the model's widths the latents are quantised, at the lowest and the highest quality."""
LABEL_BITS = 4
NO_LABEL = CLASSES
SYMBOL_LIMIT = 2**12


class DigitsCodec(BaseCodec):
    """A small model, loaded once, to be used often; arguments as of `Codec`."""

    stored: StoredDigits
    model: DigitsVAE

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "cpu",
        carrier: torch.dtype | None = None,
        precision: str | None = None,
        tile_area: int = TILE_AREA,
    ):
        self.stored = load(model)
        self.others = Codecs(device=device, carrier=carrier, precision=precision, tile_area=tile_area)
        self.device = torch.device(device)
        self.model = self.stored.model().to(self.device)
        self._steps = self.stored.steps
        self._labels = list(range(CLASSES)) if self.model.config.labels else []

    @torch.no_grad()
    def encode(
        self,
        rgb: np.ndarray,
        quality: int,
        *,
        effort: int = DEFAULT_EFFORT,
        coding: int | None = None,
        progress: Progress | None = None,
    ) -> Latents:
        """Infers, rounds and codes the latents of a grey picture of 28 by 28, `[28, 28, 3]` uint8.

        Args:
            quality: code.
            effort: 0 tells no label; the others tell one where that raises the bound, the best of all.

        Raises:
            ImageError: it is another picture.
        """
        grey = rgb[..., 0]
        if grey.shape != (SIDE, SIDE) or (rgb != grey[..., None]).any():
            raise ImageError(
                f"the model {self.name} takes grey pictures of {SIDE}x{SIDE} pixels; this has "
                f"{rgb.shape[1]}x{rgb.shape[0]}{'' if (rgb == grey[..., None]).all() else ', and colours'}"
            )
        labels = torch.tensor([-1, *(self._labels if effort else [])])
        images = torch.tensor(grey, device=self.device).expand(len(labels), SIDE, SIDE)
        mean, _ = self.model.infer(images, labels)
        symbols = (mean.double() / self._widths(quality)).round().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        numbers = self._numbers(quality)
        bits = [self.stored.tables.bits(row, numbers).sum() for row in symbols.cpu().numpy().astype(np.int64)]
        bound = self.model.bound(images, self._z(symbols, quality), torch.tensor(bits), labels)
        best = int(bound.total_bpp.argmin())

        label = int(labels[best]) % (CLASSES + 1)  # -1 becomes NO_LABEL
        chosen = symbols[best].to(torch.int32).cpu().numpy()
        encoder = Encoder()
        encoder.push(chosen, numbers, self.stored.tables)
        encoder.push_bits(label, LABEL_BITS)
        return self._latents(label, chosen, quality, encoder.getvalue())

    @torch.no_grad()
    def decode(self, file: container.VaeFile) -> Latents:
        """The latents of a parsed file; everything that can be wrong with it has been found when this returns.

        Raises:
            Corrupt: the symbols are not those that were coded.
            ModelError: another model made the file.
        """
        header = file.header
        self._check_model(header)
        if (header.width, header.height) != (SIDE, SIDE):
            raise Corrupt(
                f"the header gives a picture of the model {self.name} a size of {header.width}x{header.height}"
            )
        if header.coding != container.ROUNDED:
            raise Unsupported(f"coding mode {header.coding} is not one of the model {self.name}'s")
        decoder = Decoder(file.payload)
        label = decoder.pop_bits(LABEL_BITS)
        if label > NO_LABEL or (label != NO_LABEL and label not in self._labels):
            raise Corrupt(f"the payload holds the label {label}")
        symbols = decoder.pop(self._numbers(header.quality), self.stored.tables)
        decoder.finish()
        latents = self._latents(label, symbols, header.quality, file.payload)
        if latents.symbols_crc != header.symbols_crc:
            raise Corrupt("the symbols do not match their checksum")
        return latents

    @torch.no_grad()
    def synthesize(self, latents: Latents, *, region: Region | None = None, reduction: int = 1) -> np.ndarray:
        """The picture `[28, 28, 3]` uint8 that latents stand for, or a part of it, or a smaller one; see `region`."""
        wanted = squares(latents.size, region, reduction)
        label = int(latents.z)
        z = self._z(latents.y_hat.view(1, -1), latents.quality)
        grey = self.model.picture(z, torch.tensor([-1 if label == NO_LABEL else label]))[0]
        if reduction > 1:
            edge = (0, -SIDE % reduction)
            grey = F.avg_pool2d(F.pad(grey[None, None], edge * 2, mode="replicate"), reduction)[0, 0]
        pixels = grey.mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()[wanted]
        return np.repeat(pixels[..., None], 3, axis=2)

    def _latents(self, label: int, symbols: np.ndarray, quality: int, payload: bytes) -> Latents:
        """`Latents` whose z is the label, and whose y_hat are the symbols."""
        groups = [(np.array([label]), np.array([0])), (symbols, np.zeros_like(symbols))]
        z, y = (torch.from_numpy(values.astype(np.int32)).view(1, -1, 1, 1) for values, _ in groups)
        return Latents((SIDE, SIDE), quality, z, y * FRACTIONS, payload, symbols_crc(groups))

    def _log2_widths(self, quality: int) -> np.ndarray:
        """On a grid of 1/1024."""
        span = (COARSEST - FINEST) << RAW_BITS
        return self._steps + (COARSEST << RAW_BITS) - (span * quality + QUALITY_MAX // 2) // QUALITY_MAX

    def _widths(self, quality: int) -> Tensor:
        return torch.exp2(torch.from_numpy(self._log2_widths(quality)).double() / 2**RAW_BITS)

    def _z(self, symbols: Tensor, quality: int) -> Tensor:
        return (symbols * self._widths(quality)).float()

    def _numbers(self, quality: int) -> np.ndarray:
        """Tables of N(0, 1) at the widths: `[K]` int32."""
        above = -self._log2_widths(quality) - int(LOG2_SCALE_MIN * 2**RAW_BITS)
        levels = (LEVELS_PER_OCTAVE * above + 2 ** (RAW_BITS - 1)) >> RAW_BITS
        return levels.clip(0, SCALE_LEVELS - 1).astype(np.int32)
