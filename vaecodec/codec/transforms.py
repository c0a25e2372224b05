"""The transforms on whole pictures, in tiles: pixels to latents and back, in memory that does not grow with them.

What grows is the picture, a byte a sample, and y. Only a tile at a time is anything more.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaecodec.coding.latents import Latents
from vaecodec.format.container import QUALITY_MAX
from vaecodec.format.tables import FRACTIONS
from vaecodec.networks.blocks import STRIP, all_by_strips, by_strips, space_to_depth
from vaecodec.networks.config import HYPER, PATCH
from vaecodec.networks.model import ImageVAE
from vaecodec.pictures.region import Region, squares
from vaecodec.pictures.tiles import TILE_AREA, Area, gather, scaled, tiles, window

HYPER_ANALYSIS_HALO = 2
"""In positions of z: a 3x3 at half of z's grid and one on it reach three halves of a position."""

PIXELS = STRIP // 8
"""Positions of y in a strip, about, where it is pixels."""


class Transforms:
    """Analysis, hyper-analysis and synthesis of a model, tile by tile.

    Args:
        model: its networks.
        device: where they run, and where latents are kept.
        area: positions of y in a tile, about.
    """

    def __init__(self, model: ImageVAE, device: torch.device, area: int = TILE_AREA):
        self.model, self.device, self.area = model, device, area
        self._analysis_halo = -(-model.config.analysis_blocks // 2)  # a block reaches 8 pixels, half a position of y
        self._synthesis_halo = -(-model.config.synthesis_blocks // 2)

    def _condition(self, quality: int) -> Tensor:
        return torch.tensor([quality / QUALITY_MAX], dtype=torch.float32, device=self.device)

    @torch.no_grad()
    def analyse(self, rgb: np.ndarray, quality: int) -> Tensor:
        """`[H, W, 3]` uint8 to y `[1, M, ceil(H/16), ceil(W/16)]`, normalised, not rounded; float32, channels last.

        Edges are replicated up to multiples of 16 pixels.
        """

        condition, analysis = self._condition(quality), self.model.analysis

        def analyse(area: Area) -> Tensor:
            part = rgb[scaled(area, PATCH)]
            part = np.pad(part, (*((0, -side % PATCH) for side in part.shape[:2]), (0, 0)), "edge")
            x = torch.from_numpy(part).to(self.device).permute(2, 0, 1)[None]

            def enter(rows: slice) -> tuple[Tensor, ...]:
                strip = x[..., PATCH * rows.start : PATCH * rows.stop, :]
                patches, quarters = (space_to_depth(strip, side).float() / 255 - 0.5 for side in (PATCH, PATCH // 2))
                return analysis.enter(patches, quarters, condition)

            return analysis.leave(*all_by_strips(enter, x[..., ::PATCH, ::PATCH], PIXELS))

        rows, columns = (-(-side // PATCH) for side in rgb.shape[:2])
        return gather(analyse, rows, columns, halo=self._analysis_halo, area=self.area)

    @torch.no_grad()
    def hyper_analyse(self, y: Tensor, quality: int) -> Tensor:
        """y as `analyse` gives it to z `[1, Cz, ceil(H/4), ceil(W/4)]`, not rounded."""

        def analyse(area: Area) -> Tensor:
            return self.model.hyper_analysis(window(y, area, HYPER), self._condition(quality))

        rows, columns = (-(-side // HYPER) for side in y.shape[-2:])
        return gather(analyse, rows, columns, halo=HYPER_ANALYSIS_HALO, area=-(-self.area // HYPER**2))

    def picture(
        self, latents: Latents, gain: Tensor, *, region: Region | None = None, reduction: int = 1
    ) -> np.ndarray:
        """The picture that latents stand for, or a part of it, or a smaller one; see `synthesise`.

        Args:
            gain: symbols in one unit of the normalised latents, `[1, M, 1, 1]`, by the exact prior.
        """
        unit = gain * FRACTIONS
        return self.synthesise(
            latents.sixteenths, unit, latents.size, latents.quality, region=region, reduction=reduction
        )

    @torch.no_grad()
    def synthesise(
        self,
        y_hat: Tensor,
        unit: Tensor,
        size: tuple[int, int],
        quality: int,
        *,
        region: Region | None = None,
        reduction: int = 1,
    ) -> np.ndarray:
        """Latents to pixels.

        Args:
            y_hat: `[1, M, H, W]` numbers of any type,
            unit: and `[1, M, 1, 1]` how many of them are one unit of the normalised latents.
            size: (width, height) of the picture.
            region, reduction: what is wanted, see `region.squares`. Squares at the lower and right edges count in what
                the generator drew beyond them.

        Returns:
            `[height, width, 3]` uint8.
        """
        wanted = squares(size, region, reduction)
        side = PATCH // reduction
        rows, columns = (slice(s.start // side, -(-s.stop // side)) for s in wanted)
        rgb = np.empty((*(s.stop - s.start for s in wanted), 3), np.uint8)
        condition, synthesis, one = self._condition(quality), self.model.synthesis, (1 / unit).float()
        for tile in tiles(*y_hat.shape[-2:], halo=self._synthesis_halo, area=self.area, within=(rows, columns)):
            y = window(y_hat, tile.outer).float().mul_(one).contiguous(memory_format=torch.channels_last)
            features = window(synthesis.enter(y, condition), tile.crop, 2)
            y = window(y, tile.crop)

            def pixels(strip: slice, y: Tensor = y, features: Tensor = features) -> Tensor:
                part = features[..., 2 * strip.start : 2 * strip.stop, :]
                return synthesis.leave(y[..., strip, :], part, condition, reduction, _to_bytes)

            x = by_strips(pixels, y, PIXELS)[0].permute(1, 2, 0).cpu().numpy()
            target, source = zip(*map(_overlap, wanted, scaled(tile.inner, side)), strict=True)
            rgb[target] = x[source]
        return rgb


def _to_bytes(values: Tensor) -> Tensor:
    """From [-1/2, 1/2], which is overwritten, to uint8."""
    return values.add_(0.5).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def _overlap(wanted: slice, there: slice) -> tuple[slice, slice]:
    """Where the common part of two ranges lies in each of them."""
    start, stop = max(wanted.start, there.start), min(wanted.stop, there.stop)
    return slice(start - wanted.start, stop - wanted.start), slice(start - there.start, stop - there.start)
