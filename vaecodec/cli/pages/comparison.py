"""Pictures side by side: files against their original, codecs at one file size; and a sheet of them as one picture.

`compare_page` makes a page of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vaecodec.baselines.collection import ImageCodec
from vaecodec.cli.terminal import shown
from vaecodec.errors import TargetError
from vaecodec.pictures import metrics

MAX_TRIALS = 14
TOLERANCE = 0.005
"""Closer to the target than this share of it, the search ends."""


@dataclass(frozen=True)
class Entry:
    """A picture as a codec gives it back.

    Attributes:
        label: name of the codec.
        detail: rate, error and setting, in words.
        image: `[H, W, 3]` uint8.
        bits: `[rows, columns]` bits a pixel that each square of `cell` pixels a side cost, if that is known.
        exact: `[rows, columns]` bool, which of those are held without loss; `None` where none are.
        cell: their side; squares begin at the upper left.
    """

    label: str
    detail: str
    image: np.ndarray
    bits: np.ndarray | None = None
    exact: np.ndarray | None = None
    cell: int = 16


def to_size(codec: ImageCodec, image: np.ndarray, size: int) -> tuple[bytes, float]:
    """The largest file of at most `size` bytes that bisection over the quality finds, and its quality.

    Raises:
        TargetError: even the smallest file is larger.
    """
    low, high = (float(q) for q in codec.quality_range)
    best, quality = codec.compress(image, low), low
    if len(best) > size:
        raise TargetError(f"{codec.name}: the smallest file has {len(best)} bytes, more than {size}")
    resolution = 1.0 if codec.whole_qualities else (high - low) / 5000
    for _ in range(MAX_TRIALS):
        if high - low <= resolution or len(best) > size * (1 - TOLERANCE):
            break
        middle = (low + high) / 2
        middle = float(round(middle)) if codec.whole_qualities else middle
        data = codec.compress(image, middle)
        if len(data) > size:
            high = middle
        else:
            low = middle
            if len(data) >= len(best):
                best, quality = data, middle
    return best, quality


def original_entry(image: np.ndarray) -> Entry:
    """The picture as it was."""
    return Entry("Original", f"{image.shape[1]}x{image.shape[0]} pixels", image)


def measured_entry(
    label: str,
    image: np.ndarray,
    measures: metrics.Measures,
    bits: np.ndarray | None = None,
    exact: np.ndarray | None = None,
) -> Entry:
    """A decoded file with its figures in words; those that are not known are left out."""
    parts = [f"{measures.bytes} bytes", f"{measures.bpp:.3f} bpp", f"{measures.psnr_db:.2f} dB"]
    parts += [f"MS-SSIM {measures.ms_ssim:.4f}"] if math.isfinite(measures.ms_ssim) else []
    parts += [f"SSIMULACRA2 {measures.ssimulacra2:.1f}"] if math.isfinite(measures.ssimulacra2) else []
    return Entry(label, ", ".join(parts), image, bits, exact)


# --- where the bits went

HEAT = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Colours from no bits to the most, evenly spaced; darkest to brightest, so that they can be told apart in grey."""


EXACT_GREEN = np.array([0.0, 110.0, 60.0])
"""Of what is held without loss; lighter where it took more bits."""


def most_bits(entries: Iterable[Entry]) -> float:
    """Bits a pixel of the brightest colour: all but one in a hundred squares are below it."""
    known = [entry.bits.ravel() for entry in entries if entry.bits is not None]
    return max(float(np.percentile(np.concatenate(known), 99)), 0.01) if known else 1.0


def heat(bits: np.ndarray, most: float, exact: np.ndarray | None = None) -> np.ndarray:
    """`[rows, columns]` bits to colours `[rows, columns, 3]` uint8; green where squares are held without loss."""
    where = np.clip(bits / most, 0, 1) * (len(HEAT) - 1)
    channels = [np.interp(where, range(len(HEAT)), values) for values in zip(*HEAT, strict=True)]
    colours = np.stack(channels, 2)
    if exact is not None:
        colours[exact] = EXACT_GREEN + (255 - EXACT_GREEN) * (where[exact] / (2 * len(HEAT)))[:, None]
    return colours.round().astype(np.uint8)


def _map_entry(entry: Entry, bits: np.ndarray, most: float) -> Entry:
    height, width = entry.image.shape[:2]
    colours = heat(bits, most, entry.exact).repeat(entry.cell, 0).repeat(entry.cell, 1)[:height, :width]
    detail = f"bits a pixel, black 0 to yellow {most:.2g}" + (
        "; green: without loss" if entry.exact is not None else ""
    )
    return replace(entry, label=f"{entry.label}: bits", detail=detail, image=colours, bits=None)


# --- one sheet -------------------------------------------------------------------------------------------------------


def sheet(entries: list[Entry], *, columns: int = 3, crop: int = 512) -> Image.Image:
    """All pictures in one, each labelled, and maps of bits after their pictures; larger ones by their middle."""
    top_bits = most_bits(entries)
    entries = [
        drawn
        for entry in entries
        for drawn in ([entry, _map_entry(entry, entry.bits, top_bits)] if entry.bits is not None else [entry])
    ]
    height, width = (min(side, crop) for side in entries[0].image.shape[:2])
    top, left = ((side - kept) // 2 for side, kept in zip(entries[0].image.shape[:2], (height, width), strict=True))
    columns = min(columns, len(entries))
    gap, text, cell = 8, 44, max(width, 330)
    rows = -(-len(entries) // columns)
    result = Image.new("RGB", (columns * (cell + gap) + gap, rows * (height + text + gap) + gap), "white")
    draw, bold, small = ImageDraw.Draw(result), ImageFont.load_default(18), ImageFont.load_default(12)
    for number, entry in enumerate(entries):
        x, y = gap + number % columns * (cell + gap), gap + number // columns * (height + text + gap)
        draw.text((x, y), shown(entry.label), "black", bold)
        draw.text((x, y + 23), shown(entry.detail), "black", small)
        result.paste(
            Image.fromarray(np.ascontiguousarray(entry.image[top : top + height, left : left + width])), (x, y + text)
        )
    return result
