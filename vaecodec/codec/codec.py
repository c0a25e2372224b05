"""The way of an image, forwards and backwards: pixels, latents, bytes.

compress:    planes ── Encoder.encode ── latents, with their payload ── container
decompress:  container ── LatentCoder.decode ── latents ── Transforms.picture ── planes
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vaecodec.codec.encoder import Encoder
from vaecodec.codec.kinds import Codecs
from vaecodec.codec.transforms import Transforms
from vaecodec.coding.bits_back import BitsBackCoder
from vaecodec.coding.latent_coder import LatentCoder
from vaecodec.coding.latents import Latents
from vaecodec.errors import BitstreamError, ModelError, Unsupported, VaecodecError, enough_memory
from vaecodec.format import container
from vaecodec.format.catalog import find_model, model_for
from vaecodec.format.container import QUALITIES, QUALITY_MAX
from vaecodec.inference.effort import DEFAULT_EFFORT, Progress, check_effort
from vaecodec.inference.targets import Goal, search
from vaecodec.networks.weights import load_model
from vaecodec.objective import distortion
from vaecodec.pictures import images, metrics
from vaecodec.pictures.images import ImageLike, Planes
from vaecodec.pictures.region import Region, reduction_of, squares
from vaecodec.pictures.tiles import TILE_AREA


class Codec:
    """A model, loaded once, to be used often, from several threads too.

    It compresses with that model, and decompresses the files of any that is installed.

    Args:
        model: a name from `list_models` or a path; `None` for the default.
        tune: "looks" or "psnr", instead of a model.
        device: where the networks run, as torch names it.
        carrier: see `fixed_point.ExactPrior`.
        tile_area: positions of y (16x16 pixels) in a tile, about; what is larger goes through the networks in several.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        tune: str | None = None,
        device: str = "cpu",
        carrier: torch.dtype | None = None,
        tile_area: int = TILE_AREA,
    ):
        self.stored = load_model(model_for(model, tune))
        self.others = Codecs(device=device, carrier=carrier, tile_area=tile_area)
        self._unspecified = model is None and tune is None
        self.device = torch.device(device)
        self.model = self.stored.model().to(self.device)
        self.prior = self.stored.exact_prior(device, carrier)
        self.coder = LatentCoder(self.prior, self.stored.tables, self.model.config, tile_area)
        self.transforms = Transforms(self.model, self.device, tile_area)
        posterior = self.stored.exact_posterior(self.prior, carrier)
        self.bits_back = BitsBackCoder(self.coder, posterior) if posterior else None
        self.encoder = Encoder(self.transforms, self.coder, self.bits_back)

    @property
    def name(self) -> str:
        return self.stored.name

    # --- pictures and bytes

    @enough_memory()
    def compress(
        self,
        image: ImageLike | Planes,
        *,
        quality: float | None = None,
        size: float | None = None,
        bpp: float | None = None,
        psnr: float | None = None,
        ssimulacra2: float | None = None,
        effort: int = DEFAULT_EFFORT,
        coding: int | None = None,
        progress: Progress | None = None,
    ) -> bytes:
        """A picture as the bytes of a `.vae` file.

        Args:
            image: a path, a Pillow image, a uint8 array `[H, W]` or `[H, W, 2 to 4]`, or `images.Planes`.
            quality: 1 to 100; need not be whole. If nothing is asked for it is the model's default, see `qualities`.
            size: instead of a quality, the largest file of at most so many bytes,
            bpp: the same in bits per pixel,
            psnr: or the smallest file of at least so many dB (RGB); a codec that was given neither model nor tune
                makes it with the model for PSNR,
            ssimulacra2: or the smallest file of at least that SSIMULACRA2 (`distortion.ssimulacra2`).
            effort: 0 to 9, see `effort.EFFORTS`. 0 rounds latents to the nearest symbols, 1 tries those that are best
                for rate and distortion together, from 2 on the gradient of the distortion chooses them, more and more
                often or followed by descent. From 2 on no level gives a picture with a larger λ·d + R than 0: what
                they make is compared with that. So is what level 1 makes for looks; for squared error only in doubt.
                From 1 on the file is decoded to its symbols once before it is returned.
            progress: told of the steps of levels from 4 on, see `effort.Progress`; it can end them early.
            coding: of the hyperlatents, one of `container.CODINGS`: 0 rounds them, 1 codes them with bits-back where
                that is possible; `None` takes what gives the smaller file; below effort 3 and above
                `encoder.LARGE_PIXELS` that is not tried, and it is 0.

        Raises:
            ImageError: the picture cannot be used.
            LimitError: there is not enough memory for it.
            TargetError: no quality gives what is asked for.
            ValueError: quality or effort is out of range, or more than one thing is asked for.
            VaecodecError: the file does not decode, which a sound machine never sees.
        """
        check_effort(effort)
        if sum(asked is not None for asked in (quality, size, bpp, psnr, ssimulacra2)) > 1:
            raise ValueError("ask for one of quality, size, bpp, psnr and ssimulacra2")
        planes = images.planes_of(image)
        if psnr is not None and self._unspecified:
            other = self.others(model_for(psnr=psnr))
            return other.compress(planes, psnr=psnr, effort=effort, coding=coding, progress=progress)
        if bpp is not None:
            size = bpp * planes.rgb[..., 0].size / 8

        def make(code: int) -> tuple[Latents, bytes]:
            latents = self.encode(planes.rgb, code, effort=effort, coding=coding, progress=progress)
            return latents, self._pack(planes, latents)

        if (size, psnr, ssimulacra2) == (None, None, None):
            _, data = make(self.stored.qualities.code(quality))
        else:
            data = self._reach(make, planes.rgb, size, psnr, ssimulacra2)
        if effort:
            self._check(data)
        return data

    def _reach(
        self,
        make: Callable[[int], tuple[Latents, bytes]],
        rgb: np.ndarray,
        size: float | None,
        psnr: float | None,
        ssimulacra2: float | None,
    ) -> bytes:
        """The file for the one of these that is asked for, by a search over the quality codes that `make` takes."""
        start, measure = QUALITY_MAX // 2, None
        if size is not None:
            goal = Goal.size(size)
        elif psnr is not None:
            goal, measure = Goal.psnr(psnr), metrics.psnr_db
        else:
            goal, measure = Goal.ssimulacra2(ssimulacra2), distortion.ssimulacra2
            start = self.stored.qualities.code(max(ssimulacra2, QUALITIES[0]))

        def attempt(code: int) -> tuple[float, bytes]:
            latents, data = make(code)
            return measure(rgb, self.synthesize(latents)) if measure else len(data), data

        return search(attempt, goal, start).result

    def _check(self, data: bytes) -> None:
        """Decodes a file to its symbols, so that none is handed out which cannot be read again."""
        try:
            self.decode(container.unpack(data, max_pixels=None))
        except BitstreamError as error:
            raise VaecodecError(f"what was made does not decode ({error}), so it is thrown away") from error

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
            model_id=self.stored.info.file_id(latents.coding),
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
            ModelError: a model made it that is neither this one nor installed.
        """
        file = container.unpack(data, max_pixels=max_pixels)
        if (codec := self.codec_of(file.header)) is not self:
            return codec.decompress(data, region=region, scale=scale, max_pixels=max_pixels)
        size, reduction = (file.header.width, file.header.height), reduction_of(scale)
        wanted = squares(size, region, reduction)
        rgb = self.synthesize(self.decode(file), region=region, reduction=reduction)
        alpha = file.chunks.get(container.ALPHA)
        if alpha is not None:
            alpha = images.reduced(images.unpack_alpha(alpha, size), wanted, reduction)
        return images.put_together(rgb, alpha, file.header.mode, file.chunks)

    def codec_of(self, header: container.Header) -> Codec:
        """What decodes the file with that header: this codec, or one of the installed model that made it.

        Raises:
            ModelError: that model is not installed.
        """
        return self if self.stored.info.made(header) else self.others(find_model(header).path)

    # --- pixels and latents

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
        """Infers, improves, rounds and codes the latents of `[H, W, 3]` uint8 at a quality code.

        Args:
            effort, coding, progress: see `compress`. Bits-back is not possible for low pictures (see
                `BitsBackCoder.encode`).
        """
        return self.encoder.encode(rgb, quality, effort=effort, coding=coding, progress=progress)

    def objective(self, rgb: np.ndarray, latents: Latents) -> float:
        """See `Encoder.objective`."""
        return self.encoder.objective(rgb, latents)

    @torch.no_grad()
    def decode(self, file: container.VaeFile) -> Latents:
        """The latents of a parsed file; everything that can be wrong with it has been found when this returns.

        Raises:
            Corrupt: the symbols are not those that were coded.
            ModelError: another model made the file.
        """
        header = file.header
        self._check_model(header)
        if header.coding == container.BITS_BACK:
            if self.bits_back is None:
                raise Unsupported(f"the file is coded with bits-back, for which its model {self.name} has no posterior")
            return self.bits_back.decode(file.payload, header)
        return self.coder.decode(file.payload, header)

    def _check_model(self, header: container.Header) -> None:
        """Raises `ModelError` for a file that another model made."""
        if not self.stored.info.made(header):
            ours = ", with bits-back ".join(mark[:8] for mark in dict.fromkeys(self.stored.info.ids))
            raise ModelError(f"the file was made by model {header.model_id.hex()}, this is {self.name} ({ours})")

    def synthesize(self, latents: Latents, *, region: Region | None = None, reduction: int = 1) -> np.ndarray:
        """The picture that latents stand for, or a part of it, or a smaller one; see `Transforms.picture`."""
        gain = self.prior.at(latents.quality).gain
        return self.transforms.picture(latents, gain, region=region, reduction=reduction)
