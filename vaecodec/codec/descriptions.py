"""Which description of a picture a file holds: the model's, the model's with exact tiles over it, or an exact one.

By the objective, λ·d + R, d being that of the whole picture as a decoder shows it, R all bytes of the file. A picture
that does not look drawn (`pictures.graphics`) has one description only, and none of this costs it anything.

With alpha, d is the mean of what is seen on black and on white; what is fully transparent is replaced by a smooth
continuation of what is visible before anything is coded; alpha itself is coded with or without loss, as that goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from vaecodec.codec import alpha as alpha_plane
from vaecodec.codec.original import HARDLY_SEEN, Original, blended
from vaecodec.coding.latents import Latents
from vaecodec.format import container
from vaecodec.format.container import EXACT, QUALITY_MAX, ROUNDED, SOFT_ALPHA
from vaecodec.inference.effort import DEFAULT_EFFORT, Progress
from vaecodec.objective.distortion import KEPT_PIXELS, Comparison, ssimulacra2
from vaecodec.pictures import exact, metrics
from vaecodec.pictures.fill import continued
from vaecodec.pictures.graphics import Proposal, propose
from vaecodec.pictures.images import Planes

if TYPE_CHECKING:
    from vaecodec.codec.base import BaseCodec
    from vaecodec.codec.codec import Codec

MUCH_ALPHA = 0.02
"""Bits a pixel that alpha takes without loss, from which on it is tried with loss."""
ALPHA_CODES = ((0.75,), (0.8, 0.6))
"""Shares of the quality code at which alpha is tried with loss, below level 2 and from there on: it is smoother than
colours are, and most of its errors show on black or on white only."""
MOST_ERROR = 8
"""Times the error that one of a hundred tiles of photographs exceeds: what has more is described in another way."""
EXACT_BONUS = 1.25
"""So much larger may the objective of all exact be, and less so that of a part: what is drawn has nothing that masks
errors."""
LEGIBLE, ILLEGIBLE_COST = 30.0, 4.0
"""Drawn pictures with less than that SSIMULACRA2 can hardly be read; their objective counts so many times."""
Plane = tuple[bytes, np.ndarray]
"""The chunk of alpha, and the plane `[H, W]` uint8 that it gives."""
BACKGROUNDS = (0, 255)
"""On which a picture with alpha is seen."""


@dataclass(frozen=True)
class Options:
    """How a file is made; see `BaseCodec.compress`."""

    effort: int = DEFAULT_EFFORT
    coding: int | None = None
    progress: Progress | None = None
    graphics: bool = True
    keep_invisible: bool = False


@dataclass
class Description:
    """A file, and what a decoder makes of it.

    Attributes:
        data: the file.
        decode: gives `[H, W, 3]` uint8 and alpha, `[H, W]` uint8 or `None`.
        mask: its exact tiles, `[rows, columns]` bool; `None` without.
        exact: all of it is.
        errors: see `metrics.tile_errors`; `None` where they are not known.
        objective: λ·d + R in bits per pixel, of all of the file and all that is seen; `None` where it is not known.
    """

    data: bytes
    decode: Callable[[], tuple[np.ndarray, np.ndarray | None]]
    mask: np.ndarray | None = None
    exact: bool = False
    errors: np.ndarray | None = None
    objective: float | None = None

    @cached_property
    def decoded(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Once, what `decode` gives."""
        return self.decode()


def on_backgrounds(rgb: np.ndarray, alpha: np.ndarray | None) -> Iterable[np.ndarray]:
    """A picture as it is seen, `[H, W, 3]` uint8; with alpha on each of `BACKGROUNDS`."""
    return [rgb] if alpha is None else (blended(rgb, background, alpha) for background in BACKGROUNDS)


class Describer:
    """Describes a picture at any quality, with the latents of any model.

    Args:
        codec: the model's.
        planes: of the picture.
    """

    def __init__(self, codec: BaseCodec, planes: Planes, options: Options):
        self.codec, self.planes, self.options = codec, planes, options

    def at(self, quality: int, limit: float = math.inf) -> Description:
        """The best description at a quality code, of those of at most `limit` bytes; the smallest if none is."""
        options = self.options
        latents = self.codec.encode(
            self.planes.rgb, quality, effort=options.effort, coding=options.coding, progress=options.progress
        )
        chunks = {} if self.planes.alpha is None else {SOFT_ALPHA: self.exact_alpha}
        return Description(self.file(latents, chunks), lambda: (self.codec.synthesize(latents), self.planes.alpha))

    def whole(self, quality: int = QUALITY_MAX) -> Description | None:
        """The picture without loss, if that is worth a trial; for a quality code at which it is held to be best."""
        return None

    def file(self, latents: Latents, chunks: dict[bytes, bytes]) -> bytes:
        """A file that holds latents, and in chunks what else of the picture there is."""
        return container.pack(
            width=latents.size[0],
            height=latents.size[1],
            mode=self.planes.mode,
            quality=latents.quality,
            coding=latents.coding,
            model_id=self.codec.stored.info.file_id(latents.coding),
            symbols_crc=latents.symbols_crc,
            payload=latents.payload,
            chunks=self.planes.metadata | chunks,
        )

    @cached_property
    def exact_alpha(self) -> bytes:
        """The chunk of alpha without loss."""
        assert self.planes.alpha is not None
        return alpha_plane.pack_exact(self.planes.alpha)


class PictureDescriber(Describer):
    """The same with all that a picture may be described by."""

    codec: Codec

    def __init__(self, codec: Codec, planes: Planes, options: Options):
        super().__init__(codec, planes, options)
        self.encoder = codec.encoder
        self._tiles_made: dict[bytes, bytes] = {}
        self._planes_made: dict[tuple[int, int], Plane] = {}
        self._compared: list[Comparison] = []

    def at(self, quality: int, limit: float = math.inf) -> Description:
        """See `Describer.at`. Of drawn pictures level 0 is compared, and the best of that improved."""
        effort, mask = self.options.effort, self.proposal.mask
        if not self.proposal:
            return self._guarded(self._described(quality, effort), quality, limit)
        candidates = [self._described(quality, 0)]
        if mask is not None:
            candidates.append(self._described(quality, 0, mask))
        if whole := self.whole(quality):
            candidates.append(whole)
        best = self._best(candidates, quality, limit)
        if best is whole or not effort:
            return best
        return self._best([self._described(quality, effort, best.mask), best], quality, limit)

    def _guarded(self, plain: Description, quality: int, limit: float) -> Description:
        """With tiles that come out much worse than any of a photograph made exact."""
        known = plain.errors is not None or self.planes.alpha is not None
        if not known or not (bad := self._bad(plain, quality)).any():
            return plain
        made = self.whole(quality) if bad.all() else self._described(quality, self.options.effort, bad)
        return made if made and len(made.data) <= limit else plain

    def _best(self, candidates: list[Description], quality: int, limit: float) -> Description:
        fitting = [c for c in candidates if len(c.data) <= limit]
        if not fitting:
            return min(candidates, key=lambda c: len(c.data))
        sound = [c for c in fitting if not self._bad(c, quality).any()]
        return min(sound or fitting, key=lambda c: self._cost(c, quality))

    def _cost(self, description: Description, quality: int) -> float:
        """The objective, and what speaks for and against a description of a drawn picture."""
        if description.objective is None:
            description.objective = self._objective(len(description.data), *description.decoded, quality)
        illegible = not description.exact and self._looks(description) < LEGIBLE
        share = 0.0 if description.mask is None else description.mask.mean()
        bonus = 1 + (EXACT_BONUS - 1) * (1.0 if description.exact else share)
        return description.objective * (ILLEGIBLE_COST if illegible else 1) / bonus

    def _looks(self, description: Description) -> float:
        """SSIMULACRA2, on the worse background."""
        pairs = zip(self._originals(), on_backgrounds(*description.decoded), strict=True)
        return min(ssimulacra2(*pair) for pair in pairs)

    def _bad(self, description: Description, quality: int) -> np.ndarray:
        """Tiles that come out much worse than any of a photograph."""
        if not self.options.graphics:
            return np.zeros(1, bool)
        if description.errors is None:
            description.errors = self._errors(description)
        model = self.codec.model
        lmbda = float(model.config.lmbda(torch.tensor(quality / QUALITY_MAX)))
        return description.errors > MOST_ERROR * model.distortion.usual_error(lmbda)

    def _errors(self, description: Description) -> np.ndarray:
        pairs = zip(self._originals(), on_backgrounds(*description.decoded), strict=True)
        return np.maximum.reduce([metrics.tile_errors(*pair) for pair in pairs])

    def _originals(self) -> Iterable[np.ndarray]:
        return on_backgrounds(self.planes.rgb, self.planes.alpha)

    def _comparisons(self) -> Iterable[Comparison]:
        """With each of the originals; kept where the picture is small."""
        if self._compared:
            return self._compared
        made = map(self.codec.model.distortion.against, self._originals())
        if self.planes.rgb[..., 0].size > KEPT_PIXELS:
            return made
        self._compared = list(made)
        return self._compared

    def _objective(self, size: int, rgb: np.ndarray, alpha: np.ndarray | None, quality: int) -> float:
        """λ·d + R of a decoded picture that takes so many bytes."""
        pairs = zip(self._comparisons(), on_backgrounds(rgb, alpha), strict=True)
        d = float(np.mean([comparison.of(seen) for comparison, seen in pairs]))
        return self.encoder.trade(d, size, self.planes.rgb[..., 0].size, quality)

    # --- what there is to choose from

    @cached_property
    def proposal(self) -> Proposal:
        """What looks drawn."""
        rgb, alpha = self.planes.rgb, self.planes.alpha
        if not self.options.graphics:
            return Proposal()
        return propose(rgb if alpha is None else np.dstack([np.where(alpha[..., None] > 0, rgb, 0), alpha]))

    def whole(self, quality: int = QUALITY_MAX) -> Description | None:
        """See `Describer.whole`."""
        if not self.proposal.whole:
            return None
        data = exact.file_of(self.planes, self._exact_whole, quality)
        return Description(data, lambda: (self.planes.rgb, self.planes.alpha), exact=True, errors=np.zeros(1))

    @cached_property
    def _exact_whole(self) -> bytes:
        """The chunk of all of the picture."""
        return exact.pack_all(self.planes, keep_invisible=self.options.keep_invisible)

    def _described(self, quality: int, effort: int, mask: np.ndarray | None = None) -> Description:
        """The model's description, with exact tiles over it where there is a mask."""
        options, planes = self.options, self.planes
        original, chunks = self._original(mask), {} if mask is None else {EXACT: self._exact_tiles(mask)}
        encoded = self.encoder.encode(
            original, quality, effort=effort, coding=options.coding, progress=options.progress if effort else None
        )
        latents = encoded.latents

        def rgb() -> np.ndarray:
            decoded = self.encoder.shown(latents)
            if mask is not None:
                there = exact.as_pixels(mask, decoded.shape)
                decoded[there] = planes.rgb[there]
            return decoded

        if planes.alpha is None:
            return Description(self.file(latents, chunks), lambda: (rgb(), None), mask, errors=encoded.errors)
        shown = rgb()
        chunk, alpha = self._alpha(shown, latents.quality, effort)
        return Description(self.file(latents, chunks | {SOFT_ALPHA: chunk}), lambda: (shown, alpha), mask)

    def _original(self, mask: np.ndarray | None) -> Original:
        """The picture and what is seen of it, without what a mask leaves to exact tiles.

        There the networks are given the commonest colour of those: that of the paper, or the window, which is also what
        is around a picture on it.
        """
        rgb = self.planes.rgb
        alpha = None if self.options.keep_invisible else self.planes.alpha
        if mask is None and alpha is None:
            return Original(rgb, None, rgb)
        seen = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else alpha.copy()
        rgb = given = continued(rgb, seen >= HARDLY_SEEN)
        if mask is not None:
            there = exact.as_pixels(mask, rgb.shape)
            seen[there] = 0
            given = np.where(there[..., None], exact.commonest(rgb[there]), given)
        return Original(rgb, seen, given)

    def _exact_tiles(self, mask: np.ndarray) -> bytes:
        """The chunk of exact tiles; made once for a mask."""
        key = mask.tobytes()
        if key not in self._tiles_made:
            self._tiles_made[key] = exact.pack_tiles(self.planes.rgb, mask)
        return self._tiles_made[key]

    def _alpha(self, rgb: np.ndarray, quality: int, effort: int) -> Plane:
        """Alpha without loss, or with, whichever is better by the objective.

        Args:
            rgb: as a decoder shows it.
            quality: code.
            effort: level.
        """
        alpha = self.planes.alpha
        assert alpha is not None
        made, bits = [(self.exact_alpha, alpha)], 8 * len(self.exact_alpha) / alpha.size
        if quality < QUALITY_MAX and not self.options.keep_invisible and bits >= MUCH_ALPHA:
            made += [self._coded_alpha(round(share * quality), min(effort, 1)) for share in ALPHA_CODES[effort > 1]]
        return min(made, key=lambda plane: self._objective(len(plane[0]), rgb, plane[1], quality))

    def _coded_alpha(self, quality: int, effort: int) -> Plane:
        """Alpha with loss; made once for a quality code and a level."""
        key = (quality, effort)
        if key not in self._planes_made:
            assert self.planes.alpha is not None
            grey = alpha_plane.as_grey(self.planes.alpha)
            coded = self.encoder.encode(grey, quality, effort=effort, coding=ROUNDED).latents
            plane = alpha_plane.from_grey(self.encoder.shown(coded))
            self._planes_made[key] = alpha_plane.pack_coded(coded), plane
        return self._planes_made[key]
