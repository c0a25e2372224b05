"""The way of an image, forwards and backwards: pixels, latents, bytes. `latents` has the way from latents to payload.

compress:    planes ── analysis ─ y, h_a ─ z ── LatentCoder.encode ── container
decompress:  container ── LatentCoder.decode ── y_hat ── synthesis ── planes
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vaecodec import container, images, metrics
from vaecodec.bitsback import BitsBackCoder
from vaecodec.catalog import DEFAULT_MODEL
from vaecodec.container import DEFAULT_QUALITY, quality_code
from vaecodec.errors import ModelError, Unsupported
from vaecodec.images import ImageLike, Planes
from vaecodec.latents import LatentCoder, Latents
from vaecodec.memory import enough_memory
from vaecodec.tables import FRACTIONS
from vaecodec.targets import Goal, search
from vaecodec.tiles import TILE_AREA
from vaecodec.transforms import Transforms
from vaecodec.view import Region, reduction_of, squares
from vaecodec.weights import load_model

BITS_BACK_PIXELS = 2**24
"""Unless asked for, bits-back is tried for no larger pictures: to have both codings takes the memory of both."""
EFFORTS = (0, 1)
DEFAULT_EFFORT = 1


class Codec:
    """A model, loaded once, to be used often, from several threads too.

    Args:
        model: a name from `list_models` or a path; `None` for the default.
        device: where the networks run, as torch names it.
        carrier: see `exact.ExactPrior`.
        tile_area: positions of y (16x16 pixels) in a tile, about; what is larger goes through the networks in several.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        device: str = "cpu",
        carrier: torch.dtype | None = None,
        tile_area: int = TILE_AREA,
    ):
        self.stored = load_model(model or DEFAULT_MODEL)
        self.device = torch.device(device)
        self.model = self.stored.model().to(self.device)
        self.prior = self.stored.exact_prior(device, carrier)
        self.coder = LatentCoder(self.prior, self.stored.tables, self.model.config, tile_area)
        self.transforms = Transforms(self.model, self.device, tile_area)
        posterior = self.stored.exact_posterior(self.prior, carrier)
        self.bits_back = BitsBackCoder(self.coder, posterior) if posterior else None

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
        coding: int | None = None,
    ) -> bytes:
        """A picture as the bytes of a `.vae` file.

        Args:
            image: a path, a Pillow image, or a uint8 array `[H, W]` or `[H, W, 2 to 4]`.
            quality: 1 to 100; need not be whole. 50 if nothing is asked for.
            size: instead of a quality, the largest file of at most so many bytes,
            bpp: the same in bits per pixel,
            psnr: or the smallest file of at least so many dB (RGB).
            effort: 0 rounds latents to the nearest symbols, 1 to those that are best for rate and distortion together.
            coding: of the hyperlatents, one of `container.CODINGS`: 0 rounds them, 1 codes them with bits-back where
                that is possible; `None` takes what gives the smaller file, and 0 above `BITS_BACK_PIXELS`.

        Raises:
            ImageError: the picture cannot be used.
            LimitError: there is not enough memory for it.
            TargetError: no quality gives that size or PSNR.
            ValueError: quality or effort is out of range, or more than one thing is asked for.
        """
        return self.compress_planes(
            images.planes_of(image), quality=quality, size=size, bpp=bpp, psnr=psnr, effort=effort, coding=coding
        )

    @enough_memory()
    def compress_planes(
        self,
        planes: Planes,
        *,
        quality: float | None = None,
        size: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        effort: int = DEFAULT_EFFORT,
        coding: int | None = None,
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
            return self._pack(planes, self.encode(planes.rgb, code, effort=effort, coding=coding))

        def encode(code: int) -> tuple[float, bytes]:
            latents = self.encode(planes.rgb, code, effort=effort, coding=coding)
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
            coding=latents.coding,
            model_id=self.stored.model_id,
            symbols_crc=latents.symbols_crc,
            payload=latents.payload,
            chunks=chunks,
        )

    @enough_memory()
    def decompress(
        self,
        data: bytes,
        *,
        region: Region | None = None,
        scale: float = 1,
        max_pixels: int | None = container.DEFAULT_MAX_PIXELS,
    ) -> Image.Image:
        """The picture in the bytes of a `.vae` file.

        Args:
            region: only this part, (left, top, width, height) in pixels.
            scale: 1, 1/2, 1/4 or 1/8: a smaller picture, means of squares of 2, 4 or 8 pixels a side. Of a region, all
                squares that it touches.
            max_pixels: refuse pictures that are larger, as a whole; `None` for no limit.

        Raises:
            ValueError: the region is not within the picture, or there is no such scale.
            BitstreamError: the data is not a whole and sound `.vae` file.
            LimitError: it holds more than `max_pixels` pixels, or more than there is memory for.
            ModelError: another model made it.
        """
        file = container.unpack(data, max_pixels=max_pixels)
        size, reduction = (file.header.width, file.header.height), reduction_of(scale)
        wanted = squares(size, region, reduction)
        rgb = self.synthesize(self.decode(file), region=region, reduction=reduction)
        alpha = file.chunks.get(container.ALPHA)
        if alpha is not None:
            alpha = images.reduced(images.unpack_alpha(alpha, size), wanted, reduction)
        return images.put_together(rgb, alpha, file.header.mode, file.chunks)

    # --- pixels and latents

    @torch.no_grad()
    def encode(
        self, rgb: np.ndarray, quality: int, *, effort: int = DEFAULT_EFFORT, coding: int | None = None
    ) -> Latents:
        """Infers, rounds and codes the latents of `[H, W, 3]` uint8 at a quality code.

        Args:
            effort, coding: see `compress`. Bits-back is not possible for low pictures (see `BitsBackCoder.encode`).
        """
        y = self.transforms.analyse(rgb, quality)
        z = self.transforms.hyper_analyse(y, quality)
        rounded = self.coder.encode(z, y, (rgb.shape[1], rgb.shape[0]), quality, effort=effort)
        large = rgb.shape[0] * rgb.shape[1] > BITS_BACK_PIXELS
        if coding == container.ROUNDED or self.bits_back is None or (coding is None and large):
            return rounded
        made = self.bits_back.encode(rounded, z, y, effort=effort)
        if made and (coding == container.BITS_BACK or len(made[0].payload) < len(rounded.payload)):
            return made[0]
        return rounded

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
        if header.coding == container.BITS_BACK:
            if self.bits_back is None:
                raise Unsupported(f"the file is coded with bits-back, for which its model {self.name} has no posterior")
            return self.bits_back.decode(file.payload, header)
        return self.coder.decode(file.payload, header)

    def synthesize(self, latents: Latents, *, region: Region | None = None, reduction: int = 1) -> np.ndarray:
        """The picture that latents stand for, or a part of it, or a smaller one; see `Transforms.synthesise`."""
        unit = self.prior.at(latents.quality).gain * FRACTIONS
        return self.transforms.synthesise(
            latents.sixteenths, unit, latents.size, latents.quality, region=region, reduction=reduction
        )
