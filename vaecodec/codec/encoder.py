"""Pixels to latents as a file holds them, and what a level of effort makes of a picture on the way.

infer ── improve ── choose symbols ── code          a description of the picture, or several
                                      compare       by λ·d + R, each decoded as a decoder would
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vaecodec.codec.original import Original
from vaecodec.codec.transforms import Transforms
from vaecodec.coding.bits_back import BitsBackCoder
from vaecodec.coding.latent_coder import Hyperlatents, LatentCoder
from vaecodec.coding.latents import Latents
from vaecodec.coding.symbol_choice import RateDistortionChoice, SymbolChoice, nearest
from vaecodec.format import container
from vaecodec.format.container import QUALITY_MAX
from vaecodec.format.tables import FRACTIONS
from vaecodec.inference import latent_descent
from vaecodec.inference.effort import EFFORTS, Effort, Progress
from vaecodec.inference.gradient_choice import PictureGradient, choose
from vaecodec.objective import distortion
from vaecodec.objective.bound import Bound
from vaecodec.objective.rounding import rdo_weight
from vaecodec.pictures import metrics

LARGE_PIXELS = 2**24
"""Above this one description is held at a time, and bits-back is tried only where it is asked for."""
LEAST_SAVED = 0.025
"""Share of its payload that level 1 must save, or else the nearest symbols are taken: costs may be as large."""
CLEAR_BYTES, CLEAR_RATIO = 1000, 2.0
"""From which payload and which relation of savings to costs on level 1 is then taken to be better than level 0."""


class PictureEncoder:
    """What makes latents of pictures, with one model; holds no state between calls.

    Args:
        transforms, coder: the model's.
        bits_back: the model's, if it has a posterior.
    """

    def __init__(self, transforms: Transforms, coder: LatentCoder, bits_back: BitsBackCoder | None):
        self.transforms, self.coder, self.bits_back = transforms, coder, bits_back
        self.model, self.device = transforms.model, transforms.device

    @torch.no_grad()
    def encode(
        self,
        picture: np.ndarray | Original,
        quality: int,
        *,
        effort: int,
        coding: int | None = None,
        progress: Progress | None = None,
    ) -> Encoded:
        """Infers, improves, rounds and codes the latents of a picture at a quality code; see `Codec.encode`."""
        level, original = EFFORTS[self.model.config.distortion][effort], Original.of(picture)
        large = original.pixels > LARGE_PIXELS
        if self.bits_back is None or (coding is None and (large or not level.both_codings)):
            coding = container.ROUNDED
        at_work = _Picture(self, original, quality)
        best = at_work.sparingly(level, progress) if large and level.improves else at_work.best(level, progress)
        latents = best.latents if coding == container.ROUNDED else at_work.with_bits_back(best, coding)
        return Encoded(latents, best.errors if best.is_measured else None)

    def infer(self, rgb: np.ndarray, quality: int) -> tuple[Tensor, Tensor]:
        """z and y, normalised, as the networks infer them of `[H, W, 3]` uint8 at a quality code; neither rounded."""
        y = self.transforms.analyse(rgb, quality)
        return self.transforms.hyper_analyse(y, quality), y

    def shown(self, latents: Latents) -> np.ndarray:
        """The picture `[H, W, 3]` uint8 that a decoder makes of latents."""
        return self.transforms.picture(latents, self.coder.prior.at(latents.quality).gain)

    def objective(self, picture: np.ndarray | Original, latents: Latents) -> float:
        """λ·d + R in bits per pixel, of the bytes that are written and the 8-bit picture that a decoder shows."""
        return _Picture(self, Original.of(picture), latents.quality).objective(latents)

    def trade(self, distortion: float, size: int, pixels: int, quality: int) -> float:
        """λ·d + R in bits per pixel, of a picture of so many pixels that takes so many bytes at a quality code."""
        bound = Bound(torch.tensor([distortion]), {"bytes": torch.tensor([8 * size / pixels], dtype=torch.float64)})
        return float(bound.objective(self.model.config.lmbda(torch.tensor([quality / QUALITY_MAX]))))


@dataclass(frozen=True)
class Encoded:
    """What the encoder made of a picture.

    Attributes:
        latents: coded.
        errors: what they leave of it, as `metrics.tile_errors` has it; `None` where it was not looked at.
    """

    latents: Latents
    errors: np.ndarray | None


@dataclass
class Description:
    """A picture as latents would hold it, and what those were rounded from.

    Attributes:
        latents: coded.
        hyper, y: as they were given to the coder, and
        choice: how their symbols were chosen.
    """

    picture: _Picture
    latents: Latents
    hyper: Hyperlatents
    y: Tensor
    choice: SymbolChoice

    @cached_property
    def _measured(self) -> tuple[float, np.ndarray]:
        return self.picture.measured(self.latents)

    @property
    def is_measured(self) -> bool:
        """Whether objective and errors are known; to get to know them takes a synthesis."""
        return "_measured" in vars(self)

    @property
    def objective(self) -> float:
        """λ·d + R, see `PictureEncoder.objective`."""
        return self._measured[0]

    @property
    def errors(self) -> np.ndarray:
        """See `metrics.tile_errors`."""
        return self._measured[1]


class _Picture:
    """A picture at a quality code, on its way to latents."""

    def __init__(self, encoder: PictureEncoder, original: Original, quality: int):
        self.original, self.quality = original, quality
        self.encoder, self.coder, self.model = encoder, encoder.coder, encoder.model
        self.comparison = self.model.distortion.against(original.rgb)

    def measured(self, latents: Latents) -> tuple[float, np.ndarray]:
        """The objective, see `PictureEncoder.objective`, and the errors, see `metrics.tile_errors`."""
        shown = self.shown(latents)
        return self.objective_of(shown, latents), metrics.tile_errors(self.original.rgb, shown)

    def objective(self, latents: Latents) -> float:
        """See `PictureEncoder.objective`."""
        return self.objective_of(self.shown(latents), latents)

    def objective_of(self, shown: np.ndarray, latents: Latents) -> float:
        """The same of latents that have been decoded."""
        size = len(latents.payload)
        return self.encoder.trade(self.comparison.of(shown), size, self.original.pixels, self.quality)

    def shown(self, latents: Latents) -> np.ndarray:
        """What is seen of the picture that latents stand for."""
        return self.original.shown(self.encoder.shown(latents))

    # --- the policy of levels: what is compared with what

    def best(self, level: Effort, progress: Progress | None) -> Description:
        """Of what the level makes and level 0's, the one with the least λ·d + R; the first of equal ones."""
        z, y = self.infer()
        hyper = self.hyper(z)
        if not level.optimised:
            return self.code(hyper, y, nearest)
        if not level.compared:
            return self.unless_in_doubt(hyper, y)
        plain = y.clone() if level.improves else y  # which is overwritten then

        def descriptions() -> Iterator[Description]:
            better, better_y, choice = self.improve(z, y, level, progress, hyper)
            yield self.code(better, better_y, choice)
            if level.steps:  # after descent symbols that are chosen may be worse
                yield self.code(better, better_y, nearest)
            yield self.code(hyper, plain, nearest)

        return min(descriptions(), key=lambda description: description.objective)

    def unless_in_doubt(self, hyper: Hyperlatents, y: Tensor) -> Description:
        """Symbols chosen for rate and distortion together, compared with the nearest only where that is in doubt.

        The rule was found on crops of training pictures (docs/training-log.md); there is no proof of it.
        """
        chosen = self.code(hyper, y, choice := self.optimised_choice())
        payload = len(chosen.latents.payload)
        if choice.saved < LEAST_SAVED * 8 * payload:
            return self.code(hyper, y, nearest)
        if payload >= CLEAR_BYTES and choice.saved > CLEAR_RATIO * choice.paid:
            return chosen
        return min(chosen, self.code(hyper, y, nearest), key=lambda description: description.objective)

    def sparingly(self, level: Effort, progress: Progress | None) -> Description:
        """As `best`, but of level 0 only the objective is held; where that is less, it is made again."""
        least = self.plain().objective
        improved = self.code(*self.improve(*self.infer(), level, progress))
        if improved.objective < least:
            return improved
        del improved
        return self.plain()

    def with_bits_back(self, best: Description, coding: int | None) -> Latents:
        """Its latents with bits-back where that is possible, and asked for or else smaller and no worse."""
        assert self.encoder.bits_back
        y, choice = best.y, best.choice
        if choice is not nearest:  # z will be another one there, and with it the lattices
            y, choice = self.halfway(best.hyper, y, choice), nearest
        made = self.encoder.bits_back.encode(best.latents, best.hyper.z, y, choice)
        if made is None:
            return best.latents
        latents, _ = made
        if coding == container.BITS_BACK:
            return latents
        smaller = len(latents.payload) < len(best.latents.payload)
        return latents if smaller and self.objective(latents) <= best.objective else best.latents

    # --- the steps

    def infer(self) -> tuple[Tensor, Tensor]:
        """See `PictureEncoder.infer`."""
        return self.encoder.infer(self.original.given, self.quality)

    def hyper(self, z: Tensor) -> Hyperlatents:
        """What the prior makes of z, rounded; once for all descriptions that have it in common."""
        return self.coder.hyperlatents(z, self.quality)

    def plain(self) -> Description:
        """Level 0's."""
        z, y = self.infer()
        return self.code(self.hyper(z), y, nearest)

    def improve(
        self, z: Tensor, y: Tensor, level: Effort, progress: Progress | None, hyper: Hyperlatents | None = None
    ) -> tuple[Hyperlatents, Tensor, SymbolChoice]:
        """Better latents, and how to choose their symbols; y is overwritten.

        Args:
            hyper: z's, if they are known.
        """
        hyper = hyper or self.hyper(z)
        condition = torch.tensor([self.quality / QUALITY_MAX], dtype=torch.float32, device=self.encoder.device)
        choice = self.optimised_choice()
        if level.choices:
            gradient = PictureGradient(self.model, self.target, self.original.rgb.shape[:2], condition, self.seen)
            told = None if level.steps else progress
            choice = choose(self.coder, gradient, hyper, y, choice, level.choices, told)
        if level.steps:
            y = self.halfway(hyper, y, choice)
            z, y = latent_descent.refine(self.model, self.target, z, y, condition, level.steps, progress, self.seen)
            hyper, choice = self.hyper(z), self.optimised_choice()
        return hyper, y, choice

    def code(self, hyper: Hyperlatents, y: Tensor, choice: SymbolChoice) -> Description:
        """Latents rounded and coded."""
        latents = self.coder.encode_at(hyper, y, self.original.rgb.shape[1::-1], choice)
        return Description(self, latents, hyper, y, choice)

    def optimised_choice(self) -> RateDistortionChoice:
        """Symbols chosen at the weight that suits the quality, the same everywhere."""
        return RateDistortionChoice(self.coder.tables, rdo_weight(self.quality / QUALITY_MAX, self.model.config))

    def halfway(self, hyper: Hyperlatents, y: Tensor, choice: SymbolChoice) -> Tensor:
        """Latents half-way to the symbols that are chosen for them; on the same lattice those are the nearest."""
        coded, _ = self.coder.code_y(hyper, y, choice)
        y_hat = coded.merged().to(y) / (hyper.state.gain.to(y) * FRACTIONS)
        return y_hat.add_(y).div_(2)

    def target(self, rows: slice, columns: slice) -> Tensor:
        """A part of the picture, `[1, 3, h, w]` float32 in [0, 1]."""
        return distortion.to_tensor(self.original.rgb[rows, columns]).to(self.encoder.device)

    def seen(self, rows: slice, columns: slice) -> Tensor | None:
        """How much of an error shows in a part, `[1, 1, h, w]` float32 in [0, 1]; `None` if all of it does."""
        if self.original.seen is None:
            return None
        part = np.array(self.original.seen[rows, columns])
        return torch.from_numpy(part)[None, None].to(self.encoder.device).float() / 255
