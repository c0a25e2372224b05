"""Arrays as pictures that explain themselves: sheets with labels and captions. Imports no torch."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, PAPER = (30, 30, 30), (255, 255, 255)
FONT_PX = 15
GAP = 4


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def as_bytes(pictures: np.ndarray) -> np.ndarray:
    """[0, 1] to uint8."""
    return np.rint(pictures * 255).clip(0, 255).astype(np.uint8)


def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one that pictures are labelled in."""
    return ImageFont.load_default(FONT_PX)


def _width(text: str) -> int:
    return round(font().getlength(text))


def sheet(
    pictures: np.ndarray,
    *,
    title: str = "",
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    caption: str = "",
    scale: int = 2,
) -> Image.Image:
    """A grid of pictures, each in its place.

    Args:
        pictures: `[rows, columns, H, W]` grey in [0, 1], or `[rows, columns, H, W, 3]`.
        title: above all.
        rows, columns: labels of each row, at the left, and of each column, on top.
        caption: below all.
        scale: screen pixels a side for one pixel, which is repeated and not blurred.
    """
    height, width = pictures.shape[2] * scale, pictures.shape[3] * scale
    line = FONT_PX + 7
    left = max(map(_width, rows)) + 3 * GAP if rows else GAP
    top = GAP + line * (bool(title) + bool(columns))
    right = left + pictures.shape[1] * (width + GAP)
    bottom = top + pictures.shape[0] * (height + GAP)
    total = max(right, *(_width(text) + 2 * GAP for text in (title, caption)))
    canvas = Image.new("RGB", (total, bottom + (line if caption else 0)), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP), title, INK, font())
    for number, text in enumerate(columns):
        x = left + number * (width + GAP) + width / 2
        draw.text((x, top - line / 2 - GAP / 2), text, INK, font(), anchor="mm")
    for number, text in enumerate(rows):
        y = top + number * (height + GAP) + height / 2
        draw.text((left - 2 * GAP, y), text, INK, font(), anchor="rm")
    for i, row in enumerate(as_bytes(pictures)):
        for j, picture in enumerate(row):
            tile = Image.fromarray(picture).convert("RGB").resize((width, height), Image.Resampling.NEAREST)
            canvas.paste(tile, (left + j * (width + GAP), top + i * (height + GAP)))
    if caption:
        draw.text((GAP, bottom + (line - FONT_PX) / 2), caption, INK, font())
    return canvas
