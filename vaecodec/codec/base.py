"""Pictures to `.vae` files and back, given a model's way from pixels to latents and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from vaecodec.codec import alpha as alpha_plane
from vaecodec.codec.descriptions import Describer, Description, Options, on_backgrounds
from vaecodec.codec.kinds import Codecs
from vaecodec.coding.latents import Latents
from vaecodec.errors import BitstreamError, ModelError, TargetError, Unsupported, VaecodecError, enough_memory
from vaecodec.format import container, inputs
from vaecodec.format.catalog import find_model, model_for
from vaecodec.format.container import DEFAULT_MAX_PIXELS, QUALITIES, QUALITY_MAX
from vaecodec.inference import arguments
from vaecodec.inference.effort import DEFAULT_EFFORT, Progress
from vaecodec.inference.targets import Goal, search
from vaecodec.networks.weights import Stored
from vaecodec.objective import distortion
from vaecodec.pictures import exact, images, metrics
from vaecodec.pictures.images import ImageLike, Planes
from vaecodec.pictures.region import Region, reduction_of, squares
from vaecodec.pictures.tiles import Area

Measure = Callable[[np.ndarray, np.ndarray], float]
"""Of an original and what a decoder shows, `[H, W, 3]` uint8."""
BEST_PSNR = 100.0
"""What pictures without error are taken to have in a search."""


class BaseCodec(ABC):
    """What all kinds of models have in common: files, chunks, targets, and whose file it is.

    Attributes:
        stored: the model, as it lies on disk.
        others: codecs of other models, for their files.
        unspecified: neither a model nor a tune was asked for.
    """

    stored: Stored[Any]
    others: Codecs
    unspecified = False

    @property
    def name(self) -> str:
        """Of the model."""
        return self.stored.name

    @abstractmethod
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
            effort, coding, progress: see `compress`.
        """

    @abstractmethod
    def decode(self, file: container.VaeFile) -> Latents:
        """The latents of a parsed file; everything that can be wrong with it has been found when this returns.

        Raises:
            Corrupt: the symbols are not those that were coded.
            ModelError: another model made the file.
        """

    @abstractmethod
    def synthesize(self, latents: Latents, *, region: Region | None = None, reduction: int = 1) -> np.ndarray:
        """The picture `[H, W, 3]` uint8 that latents stand for, or a part of it, or a smaller one; see `region`."""

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
        graphics: bool = True,
        keep_invisible: bool = False,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
    ) -> bytes:
        """A picture as the bytes of a `.vae` file.

        Args:
            image: as for `vaecodec.compress`, or `images.Planes`.
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
            graphics: hold what looks drawn, all of the picture or tiles of it, without loss where that has the lesser
                λ·d + R.
            keep_invisible: code the colours of what is fully transparent too, and alpha without loss.
            max_pixels: refuse larger pictures; see `images.open_image`.

        Raises:
            ImageError: the picture cannot be used.
            LimitError: it is larger than `max_pixels`, or there is not enough memory for it.
            TargetError: no quality gives what is asked for.
            TypeError, ValueError: as of `vaecodec.compress`.
            VaecodecError: the file does not decode, which a sound machine never sees.
        """
        goals = arguments.checked(quality=quality, size=size, bpp=bpp, psnr=psnr, ssimulacra2=ssimulacra2)
        quality, size, bpp, psnr, ssimulacra2 = goals.values()
        how = arguments.checked(
            effort=effort, coding=coding, progress=progress, graphics=graphics, keep_invisible=keep_invisible
        )
        planes = images.planes_of(image, **arguments.checked(max_pixels=max_pixels))
        if psnr is not None and self.unspecified:
            return self.others(model_for(psnr=psnr)).compress(planes, psnr=psnr, max_pixels=None, **how)
        options = Options(**how)
        if bpp is not None:
            size = bpp * planes.rgb[..., 0].size / 8
        describer, scale = self.describer(planes, options), self.stored.qualities
        if size is not None:
            data = self._of_size(describer, size)
        elif psnr is not None:
            data = self._as_good(describer, Goal.psnr(psnr), lambda a, b: min(metrics.psnr_db(a, b), BEST_PSNR))
        elif ssimulacra2 is not None:
            goal = Goal.ssimulacra2(ssimulacra2)
            data = self._as_good(describer, goal, distortion.ssimulacra2, scale.code(max(ssimulacra2, QUALITIES[0])))
        else:
            data = describer.at(scale.code(quality)).data
        if options.effort:
            self._check(data, planes)
        return data

    def describer(self, planes: Planes, options: Options) -> Describer:
        """What describes a picture with this model."""
        return Describer(self, planes, options)

    @staticmethod
    def _of_size(describer: Describer, size: float) -> bytes:
        """The best file of at most so many bytes."""
        goal = Goal.size(size)
        if (whole := describer.whole()) and len(whole.data) <= size:
            return whole.data

        def attempt(code: int) -> tuple[float, bytes]:
            data = describer.at(code, size).data
            return len(data), data

        return search(attempt, goal).result

    @staticmethod
    def _as_good(describer: Describer, goal: Goal, measure: Measure, start: int = QUALITY_MAX // 2) -> bytes:
        """The smallest file that is at least so good, on black and on white if it has alpha."""
        seen = list(on_backgrounds(describer.planes.rgb, describer.planes.alpha))

        def attempt(code: int) -> tuple[float, Description]:
            description = describer.at(code)
            pairs = zip(seen, on_backgrounds(*description.decoded), strict=True)
            return min(measure(*pair) for pair in pairs), description

        whole = describer.whole()
        try:
            best = search(attempt, goal, start).result
        except TargetError:
            if whole is None:
                raise
            best = whole
        return min((best, *([whole] if whole else [])), key=lambda description: len(description.data)).data

    def _check(self, data: bytes, planes: Planes) -> None:
        """Decodes a file to its symbols and exact pixels, so that none is handed out which cannot be read again."""
        try:
            file = container.unpack(data, max_pixels=None)
            exact.check(file, planes)
            if not file.header.exact:
                self.decode(file)
        except BitstreamError as error:
            raise VaecodecError(f"what was made does not decode ({error}), so it is thrown away") from error

    @enough_memory()
    def decompress(
        self,
        data: inputs.Source,
        *,
        region: Region | None = None,
        scale: float = 1,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
    ) -> Image.Image:
        """The picture in a `.vae` file.

        Args:
            data: the file's content, its path, or a binary file.
            region: only this part, (left, top, width, height) in pixels.
            scale: 1, 1/2, 1/4 or 1/8: a smaller picture, means of squares of 2, 4 or 8 pixels a side. Of a region, all
                squares that it touches.
            max_pixels: refuse pictures that are larger, as a whole; `None` for no limit.

        Raises:
            BitstreamError: the data is not a whole and sound `.vae` file.
            LimitError: it holds more than `max_pixels` pixels, or more than there is memory for.
            ModelError: a model made it that is neither this one nor installed.
            OSError, TypeError, ValueError: as of `vaecodec.decompress`.
        """
        asked = arguments.checked(region=region, scale=scale, max_pixels=max_pixels)
        region, scale, max_pixels = asked.values()
        data = inputs.content_of(data)
        file = container.unpack(data, max_pixels=max_pixels)
        reduction = reduction_of(scale)
        wanted = squares((file.header.width, file.header.height), region, reduction)
        if file.header.exact:
            return exact.restore(file, region, scale)
        if (codec := self.codec_of(file.header)) is not self:
            return codec.decompress(data, **asked)
        over, alpha = exact.of_file(file), self._alpha(file, region, reduction, wanted)
        rgb = self.synthesize(self.decode(file), region=region, reduction=reduction)
        if over:
            rgb = over.lay_over(rgb, wanted, reduction)
        return images.put_together(rgb, alpha, file.header.mode, file.chunks)

    def _alpha(self, file: container.VaeFile, region: Region | None, reduction: int, wanted: Area) -> np.ndarray | None:
        """The plane of alpha that a file holds, or as much of it as is wanted."""
        if part := alpha_plane.coded_part(file):
            rgb = self.synthesize(self.decode_plane(part), region=region, reduction=reduction)
            return alpha_plane.from_grey(rgb)
        return alpha_plane.exact_part(file, wanted, reduction)

    def decode_plane(self, part: container.VaeFile) -> Latents:
        """The latents of a plane that a file holds beside its colours; arguments and errors as of `decode`."""
        raise Unsupported(f"the file has a plane of alpha that its model {self.name} does not code")

    def codec_of(self, header: container.Header) -> BaseCodec:
        """What decodes the file with that header: this codec, or one of the installed model that made it.

        Raises:
            ModelError: that model is not installed.
        """
        return self if self.stored.info.made(header) else self.others(find_model(header).path)

    def _check_model(self, header: container.Header) -> None:
        """Raises `ModelError` for a file that another model made."""
        if not self.stored.info.made(header):
            ours = ", with bits-back ".join(mark[:8] for mark in dict.fromkeys(self.stored.info.ids))
            raise ModelError(f"the file was made by model {header.model_id.hex()}, this is {self.name} ({ours})")
