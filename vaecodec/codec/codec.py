"""The way of an image, forwards and backwards: pixels, latents, bytes.

compress:    planes ── PictureEncoder.encode ── latents, with their payload ── container
decompress:  container ── LatentCoder.decode ── latents ── Transforms.picture ── planes
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vaecodec.codec.base import BaseCodec
from vaecodec.codec.descriptions import Describer, Options, PictureDescriber
from vaecodec.codec.encoder import PictureEncoder
from vaecodec.codec.kinds import Codecs
from vaecodec.codec.transforms import Transforms
from vaecodec.coding.bits_back import BitsBackCoder
from vaecodec.coding.latent_coder import LatentCoder
from vaecodec.coding.latents import Latents
from vaecodec.errors import Unsupported
from vaecodec.format import container
from vaecodec.format.catalog import model_for
from vaecodec.inference import arguments
from vaecodec.inference.effort import DEFAULT_EFFORT, Progress
from vaecodec.networks.precision import cast, chosen_type
from vaecodec.networks.weights import StoredModel, load_model
from vaecodec.pictures.images import Planes
from vaecodec.pictures.region import Region
from vaecodec.pictures.tiles import TILE_AREA


class Codec(BaseCodec):
    """A model, loaded once, to be used often, from several threads too.

    It compresses with that model, and decompresses the files of any that is installed.

    Args:
        model: a name from `list_models` or a path; `None` for the default.
        tune: "looks" or "psnr", instead of a model.
        device: where the networks run, as torch names it.
        carrier: see `fixed_point.ExactPrior`.
        precision: of the transforms, "float32" or "bfloat16"; by default what `VAECODEC_PRECISION` says, or what the
            processor is fastest with. It changes pixels by 3 of 255 at most, and no symbols that are decoded.
        tile_area: positions of y (16x16 pixels) in a tile, about; what is larger goes through the networks in several.
    """

    stored: StoredModel

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        tune: str | None = None,
        device: str = "cpu",
        carrier: torch.dtype | None = None,
        precision: str | None = None,
        tile_area: int = TILE_AREA,
    ):
        arguments.checked(model=model, tune=tune, precision=precision)
        self.stored = load_model(model_for(model, tune))
        self.others = Codecs(device=device, carrier=carrier, precision=precision, tile_area=tile_area)
        self.unspecified = model is None and tune is None
        self.device = torch.device(device)
        self.model = self.stored.model().to(self.device)
        for transform in (self.model.analysis, self.model.synthesis):
            cast(transform, chosen_type(precision, device))
        self.prior = self.stored.exact_prior(device, carrier)
        self.coder = LatentCoder(self.prior, self.stored.tables, self.model.config, tile_area)
        self.transforms = Transforms(self.model, self.device, tile_area)
        self._carrier = carrier

    @cached_property
    def bits_back(self) -> BitsBackCoder | None:
        """What codes with bits-back, if the model has a posterior; most files that are decoded need none."""
        posterior = self.stored.exact_posterior(self.prior, self._carrier)
        return BitsBackCoder(self.coder, posterior) if posterior else None

    @cached_property
    def encoder(self) -> PictureEncoder:
        """What makes latents of pictures."""
        return PictureEncoder(self.transforms, self.coder, self.bits_back)

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
        """See `BaseCodec.encode`; bits-back is not possible for low pictures (`BitsBackCoder.encode`)."""
        return self.encoder.encode(rgb, quality, effort=effort, coding=coding, progress=progress).latents

    def describer(self, planes: Planes, options: Options) -> Describer:
        """See `BaseCodec.describer`; with exact tiles and lossy alpha."""
        return PictureDescriber(self, planes, options)

    def objective(self, rgb: np.ndarray, latents: Latents) -> float:
        """See `PictureEncoder.objective`."""
        return self.encoder.objective(rgb, latents)

    @torch.no_grad()
    def decode(self, file: container.VaeFile) -> Latents:
        """See `BaseCodec.decode`."""
        header = file.header
        self._check_model(header)
        if header.coding == container.BITS_BACK:
            if self.bits_back is None:
                raise Unsupported(f"the file is coded with bits-back, for which its model {self.name} has no posterior")
            return self.bits_back.decode(file.payload, header)
        return self.coder.decode(file.payload, header)

    def decode_plane(self, part: container.VaeFile) -> Latents:
        """See `BaseCodec.decode_plane`."""
        return self.coder.decode(part.payload, part.header)

    def synthesize(self, latents: Latents, *, region: Region | None = None, reduction: int = 1) -> np.ndarray:
        """The picture that latents stand for, or a part of it, or a smaller one; see `Transforms.picture`."""
        gain = self.prior.at(latents.quality).gain
        return self.transforms.picture(latents, gain, region=region, reduction=reduction)
