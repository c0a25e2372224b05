"""Maps of a set in two dimensions. Imports no torch."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from vaecodec.pictures.contact_sheets import FONT_PX, GAP, INK, PAPER, font

FAINT = (200, 200, 200)
COLOURS = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
)  # fmt: skip
"""One for each label."""


def maps(panels: dict[str, np.ndarray], labels: np.ndarray, *, caption: str = "", side: int = 460) -> Image.Image:
    """Points in two dimensions, coloured by label, one panel beside the other.

    Args:
        panels: title to points `[N, 2]`.
        labels: `[N]`, 0 to 9.
        side: of a panel, in pixels.
    """
    line, legend, margin = FONT_PX + 7, 46, 40
    width = len(panels) * (side + margin) + legend + margin
    canvas = Image.new("RGB", (width, 2 * line + side + 36), PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, (title, points) in enumerate(panels.items()):
        x0, y0 = margin + number * (side + margin), line + GAP
        draw.text((x0, GAP), title, INK, font())
        low, high = np.quantile(points, (0.002, 0.998), axis=0)
        middle, span = (low + high) / 2, 1.08 * (high - low).max()
        places = ((points - middle) / span + 0.5) * side
        large = Image.new("RGB", (2 * side, 2 * side), PAPER)  # twice the size, so that dots are round
        dots = ImageDraw.Draw(large)
        for (x, y), label in zip(2 * places, labels, strict=True):
            dots.ellipse((x - 3, 2 * side - y - 3, x + 3, 2 * side - y + 3), COLOURS[label])
        canvas.paste(large.resize((side, side), Image.Resampling.BOX), (x0, y0))
        draw.rectangle((x0, y0, x0 + side, y0 + side), outline=FAINT)
        for value in np.arange(np.ceil(middle[0] - span / 2), middle[0] + span / 2, _step(span)):
            x = x0 + ((value - middle[0]) / span + 0.5) * side
            draw.line((x, y0 + side, x, y0 + side + 4), INK)
            draw.text((x, y0 + side + 5), f"{value:g}", INK, font(), anchor="mt")
        for value in np.arange(np.ceil(middle[1] - span / 2), middle[1] + span / 2, _step(span)):
            y = y0 + side - ((value - middle[1]) / span + 0.5) * side
            draw.line((x0 - 4, y, x0, y), INK)
            draw.text((x0 - 5, y), f"{value:g}", INK, font(), anchor="rm")
    x = len(panels) * (side + margin) + margin
    for label, colour in enumerate(COLOURS):
        y = line + 2 * GAP + label * line
        draw.ellipse((x, y, x + FONT_PX - 3, y + FONT_PX - 3), colour)
        draw.text((x + FONT_PX + 3, y + FONT_PX / 2 - 1), str(label), INK, font(), anchor="lm")
    draw.text((margin, line + side + 30), caption, INK, font())
    return canvas


def _step(span: float) -> float:
    """Whole numbers between ticks, at most about eight of them."""
    return max(1.0, np.ceil(span / 8))
