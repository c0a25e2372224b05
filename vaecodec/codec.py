"""The way of an image, forwards and backwards: pixels, latents, symbols, bytes.

compress:    planes ── analysis ─ y, h_a ─ z ── symbols, step by step ── ANS ── container
decompress:  container ── ANS, step by step ── y_hat ── synthesis ── planes
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vaecodec import container, images, metrics
from vaecodec.ans import Decoder, Encoder
from vaecodec.catalog import DEFAULT_MODEL
from vaecodec.container import DEFAULT_QUALITY, QUALITY_MAX, quality_code
from vaecodec.errors import Corrupt, ModelError
from vaecodec.images import ImageLike, Planes
from vaecodec.model import HYPER, PATCH
from vaecodec.prior import STEPS, Cells
from vaecodec.refine import rdo_round, rdo_weight
from vaecodec.tables import FRACTIONS
from vaecodec.targets import Goal, search
from vaecodec.weights import load_model

EFFORTS = (0, 1)
DEFAULT_EFFORT = 1
Z_LIMIT = 2**15
SYMBOL_LIMIT = 2**20


def _flatten(values: Tensor, outside: Tensor | None) -> Tensor:
    """`[1, C, h, w]` to the one-dimensional order of symbols, on the CPU, without what lies beyond odd sides."""
    values = values.cpu()
    return values.reshape(-1) if outside is None else values[0][~outside]


@dataclass(frozen=True)
class Latents:
    """A picture in the model's latent space, as a file holds it.

    Attributes:
        size: (width, height) of the picture.
        quality: code.
        z: `[1, Cz, h, w]` float64 integers.
        y_hat: `[1, M, H, W]` float64, in symbols: multiples of 1/16.
        payload: entropy-coded.
        symbols_crc: CRC-32 over all symbols in the order of decoding, as little-endian int32.
    """

    size: tuple[int, int]
    quality: int
    z: Tensor
    y_hat: Tensor
    payload: bytes
    symbols_crc: int


class Codec:
    """A model, loaded once, to be used often, from several threads too.

    Args:
        model: a name from `list_models` or a path; `None` for the default.
        device: where the networks run, as torch names it.
        carrier: see `exact.ExactPrior`.
    """

    def __init__(self, model: str | Path | None = None, *, device: str = "cpu", carrier: torch.dtype | None = None):
        self.stored = load_model(model or DEFAULT_MODEL)
        self.device = torch.device(device)
        self.model = self.stored.model().to(self.device)
        self.prior = self.stored.exact_prior(device, carrier)

    @property
    def name(self) -> str:
        return self.stored.name

    # --- pictures and bytes

    def compress(
        self,
        image: ImageLike,
        *,
        quality: float | None = None,
        size: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        effort: int = DEFAULT_EFFORT,
    ) -> bytes:
        """A picture as the bytes of a `.vae` file.

        Args:
            image: a path, a Pillow image, or a uint8 array `[H, W]` or `[H, W, 2 to 4]`.
            quality: 1 to 100; need not be whole. 50 if nothing is asked for.
            size: instead of a quality, the largest file of at most so many bytes,
            bpp: the same in bits per pixel,
            psnr: or the smallest file of at least so many dB (RGB).
            effort: 0 rounds latents to the nearest symbols, 1 to those that are best for rate and distortion together.

        Raises:
            ImageError: the picture cannot be used.
            TargetError: no quality gives that size or PSNR.
            ValueError: quality or effort is out of range, or more than one thing is asked for.
        """
        planes = images.take_apart(images.open_image(image))
        return self.compress_planes(planes, quality=quality, size=size, bpp=bpp, psnr=psnr, effort=effort)

    def compress_planes(
        self,
        planes: Planes,
        *,
        quality: float | None = None,
        size: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        effort: int = DEFAULT_EFFORT,
    ) -> bytes:
        """`compress` for a picture that has been taken apart already."""
        if effort not in EFFORTS:
            raise ValueError(f"effort {effort} is not one of {', '.join(map(str, EFFORTS))}")
        if sum(asked is not None for asked in (quality, size, bpp, psnr)) > 1:
            raise ValueError("ask for one of quality, size, bpp and psnr")
        if bpp is not None:
            size = bpp * planes.rgb[..., 0].size / 8
        if size is None and psnr is None:
            code = quality_code(DEFAULT_QUALITY if quality is None else quality)
            return self._pack(planes, self.encode(planes.rgb, code, effort=effort))

        def encode(code: int) -> tuple[float, bytes]:
            latents = self.encode(planes.rgb, code, effort=effort)
            data = self._pack(planes, latents)
            value = len(data) if psnr is None else metrics.psnr_db(planes.rgb, self.synthesize(latents))
            return value, data

        return search(encode, Goal.size(size) if psnr is None else Goal.psnr(psnr)).result

    def _pack(self, planes: Planes, latents: Latents) -> bytes:
        chunks = dict(planes.metadata)
        if planes.alpha is not None:
            chunks[container.ALPHA] = images.pack_alpha(planes.alpha)
        return container.pack(
            width=latents.size[0],
            height=latents.size[1],
            mode=planes.mode,
            quality=latents.quality,
            coding=0,
            model_id=self.stored.model_id,
            symbols_crc=latents.symbols_crc,
            payload=latents.payload,
            chunks=chunks,
        )

    def decompress(self, data: bytes, *, max_pixels: int | None = container.DEFAULT_MAX_PIXELS) -> Image.Image:
        """The picture in the bytes of a `.vae` file.

        Raises:
            BitstreamError: the data is not a whole and sound `.vae` file.
            LimitError: it holds more than `max_pixels` pixels.
            ModelError: another model made it.
        """
        file = container.unpack(data, max_pixels=max_pixels)
        rgb = self.synthesize(self.decode(file))
        alpha = file.chunks.get(container.ALPHA)
        size = (file.header.width, file.header.height)
        if alpha is not None:
            alpha = images.unpack_alpha(alpha, size)
        return images.put_together(rgb, alpha, file.header.mode, file.chunks)

    # --- pixels and latents

    @torch.no_grad()
    def encode(self, rgb: np.ndarray, quality: int, *, effort: int = DEFAULT_EFFORT) -> Latents:
        """Infers, rounds and codes the latents of `[H, W, 3]` uint8 at a quality code."""
        height, width = rgb.shape[:2]
        x = torch.from_numpy(np.array(rgb)).to(self.device).permute(2, 0, 1)[None].float() / 255 - 0.5
        if height % PATCH or width % PATCH:
            x = F.pad(x, (0, -width % PATCH, 0, -height % PATCH), mode="replicate")
        condition = torch.tensor([quality / QUALITY_MAX], device=self.device)
        y = self.model.analysis(x.contiguous(memory_format=torch.channels_last), condition)
        z = self.model.hyper_analysis(y, condition).double().round().clamp(-Z_LIMIT, Z_LIMIT)
        return self.encode_latents(z, y, (width, height), quality, effort=effort)

    @torch.no_grad()
    def encode_latents(
        self, z: Tensor, y: Tensor, size: tuple[int, int], quality: int, *, effort: int = DEFAULT_EFFORT
    ) -> Latents:
        """Codes rounded z and unrounded, normalised y."""
        state = self.prior.at(quality)
        y = y.double() * state.gain
        coded, groups = Cells(y), []
        outside = coded.outside()

        def add(symbols: Tensor, numbers: Tensor, within: Tensor | None = None) -> None:
            groups.append([_flatten(t, within).to(torch.int32).numpy() for t in (symbols, numbers)])

        add(z - state.z.offset / FRACTIONS, state.z.numbers.expand_as(z))
        hyper = self.prior.hyper(z, state)
        for step, target in enumerate(Cells.split(y)):
            prediction = self.prior.predict_y(step, hyper, coded, state)
            u = (target - prediction.offset / FRACTIONS).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            symbols = self._rdo_round(u, prediction.numbers, quality) if effort else u.round()
            if outside is not None:
                symbols.masked_fill_(outside.to(self.device), 0)
            coded.put(prediction.offset + symbols * FRACTIONS)
            add(symbols, prediction.numbers, outside)
        encoder = Encoder()
        for symbols, numbers in reversed(groups):
            encoder.push(symbols, numbers, self.stored.tables)
        crc = 0
        for symbols, _ in groups:
            crc = zlib.crc32(symbols.astype("<i4").tobytes(), crc)
        return Latents(size, quality, z, coded.merged() / FRACTIONS, encoder.getvalue(), crc)

    def _rdo_round(self, u: Tensor, numbers: Tensor, quality: int) -> Tensor:
        tables = numbers.cpu().numpy()
        mean = (numbers % FRACTIONS).double() / FRACTIONS - 0.5

        def bits(symbols: Tensor) -> Tensor:
            lengths = self.stored.tables.bits(symbols.cpu().numpy().astype(np.int64), tables)
            return torch.from_numpy(lengths).to(u.device)

        return rdo_round(u, mean, bits, rdo_weight(quality / QUALITY_MAX))

    @torch.no_grad()
    def decode(self, file: container.VaeFile) -> Latents:
        """The latents of a parsed file; everything that can be wrong with it has been found when this returns.

        Raises:
            Corrupt: the symbols are not those that were coded.
            ModelError: another model made the file.
        """
        header = file.header
        if header.model_id != self.stored.model_id:
            raise ModelError(
                f"the file was made by model {header.model_id.hex()}, "
                f"this is {self.name} ({self.stored.model_id.hex()})"
            )
        config, state = self.model.config, self.prior.at(header.quality)
        rows, columns = -(-header.height // PATCH), -(-header.width // PATCH)
        decoder, tables, crc = Decoder(file.payload), self.stored.tables, 0

        def take(numbers: Tensor, outside: Tensor | None = None) -> Tensor:
            nonlocal crc
            symbols = decoder.pop(_flatten(numbers, outside).numpy(), tables)
            crc = zlib.crc32(symbols.astype("<i4").tobytes(), crc)
            values = torch.from_numpy(symbols).double()
            if outside is not None:
                values = torch.zeros(numbers.shape, dtype=torch.float64).masked_scatter_(~outside, values)
            return values.view(numbers.shape).to(self.device)

        shape = (1, config.z_channels, -(-rows // HYPER), -(-columns // HYPER))
        z = take(state.z.numbers.expand(shape)) + state.z.offset / FRACTIONS
        hyper = self.prior.hyper(z, state)
        coded = Cells(torch.zeros((1, config.y_channels, rows, columns), dtype=torch.float64, device=self.device))
        outside = coded.outside()
        for step in range(STEPS):
            prediction = self.prior.predict_y(step, hyper, coded, state)
            coded.put(prediction.offset + take(prediction.numbers, outside) * FRACTIONS)
        decoder.finish()
        if crc != header.symbols_crc:
            raise Corrupt("the symbols do not match their checksum")
        y_hat = coded.merged() / FRACTIONS
        return Latents((header.width, header.height), header.quality, z, y_hat, file.payload, crc)

    @torch.no_grad()
    def synthesize(self, latents: Latents) -> np.ndarray:
        """The picture `[H, W, 3]` uint8 that latents stand for."""
        gain = self.prior.at(latents.quality).gain
        condition = torch.tensor([latents.quality / QUALITY_MAX], device=self.device)
        y = (latents.y_hat / gain).float().contiguous(memory_format=torch.channels_last)
        x = self.model.synthesis(y, condition)[0, :, : latents.size[1], : latents.size[0]]
        return x.add_(0.5).mul_(255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
