"""Pictures as people draw them: text, screens, charts and icons, cut-outs; the same in every run, smaller than real."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data as photographs

WORDS = "Sphinx of black quartz, judge my vow: 0123456789. "


def photo(name: str, width: int, height: int) -> np.ndarray:
    """A photograph `[height, width, 3]` uint8, resized."""
    full = Image.fromarray(np.ascontiguousarray(getattr(photographs, name)()[..., :3]))
    return np.asarray(full.resize((width, height), Image.Resampling.LANCZOS))


def page(width: int = 384, height: int = 256) -> Image.Image:
    """Black on white, and a coloured box."""
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for line, top in enumerate(range(6, height - 10, 17)):
        draw.text((8, top), (WORDS * 3)[line % 20 :], fill=(20, 20, 20), font=font)
    draw.rectangle((width // 2, height // 3, width * 3 // 4, height // 2), fill=(30, 120, 220))
    return image


def page_with_photo(width: int = 512, height: int = 384) -> Image.Image:
    """A page in which a photograph lies, by tiles of 64 pixels but for the last ones."""
    image = page(width, height)
    image.paste(Image.fromarray(photo("coffee", 210, 140)), (width - 256, height - 192))
    return image


def terminal(width: int = 384, height: int = 256) -> Image.Image:
    """Words in bright colours on a dark ground."""
    image = Image.new("RGB", (width, height), (30, 30, 46))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    colours = [(203, 166, 247), (166, 227, 161), (250, 179, 135), (205, 214, 244)]
    for line in range(height // 17):
        for word in range(width // 78 + 1):
            text = ["let", "fn(x)", "=> 42;", "// why", "return"][(line + word) % 5]
            draw.text((10 + 78 * word, 8 + 17 * line), text, fill=colours[(line * 3 + word) % 4], font=font)
    return image


def checks(width: int, height: int, side: int = 1) -> Image.Image:
    """Of red and blue."""
    rows, columns = np.mgrid[:height, :width] // side
    odd = ((rows + columns) % 2 == 1)[..., None]
    return Image.fromarray(np.where(odd, (255, 0, 0), (0, 0, 255)).astype(np.uint8))


def sprite(side: int = 16, scale: int = 1) -> Image.Image:
    """An icon of six colours."""
    colours = np.array([[0, 0, 0], [255, 255, 255], [230, 30, 30], [30, 160, 60], [40, 80, 230], [250, 220, 40]])
    numbers = np.random.default_rng(4).integers(0, 6, (side, side))
    return Image.fromarray(np.kron(colours[numbers], np.ones((scale, scale, 1))).astype(np.uint8))


def shaded(width: int = 315, height: int = 240) -> Image.Image:
    """A drawing with smooth shades and outlines."""
    image = Image.new("RGB", (3 * width, 3 * height), "white")
    draw, disc = ImageDraw.Draw(image), lambda x, y, r: (x - r, y - r, x + r, y + r)
    for x, y, r, colour in (
        (0.3, 0.5, 0.27, (220, 60, 50)),
        (0.65, 0.42, 0.25, (60, 130, 220)),
        (0.5, 0.66, 0.2, (250, 200, 60)),
    ):
        left, top, size = 3 * width * x, 3 * height * y, 3 * height * r
        for step in range(60, 0, -1):
            share = step / 60
            lighter = tuple(int(v + (255 - v) * (1 - share) * 0.8) for v in colour)
            draw.ellipse(disc(left - size * (1 - share) / 6, top - size * (1 - share) / 4, size * share), lighter)
        draw.ellipse(disc(left, top, size), outline=(20, 20, 30), width=10)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def silhouette(side: int = 256) -> Image.Image:
    """A black shape with smooth edges, all of it alpha."""
    shape = Image.new("L", (4 * side, 4 * side), 0)
    draw = ImageDraw.Draw(shape)
    draw.ellipse((side // 3, side // 3, 2 * side, 2 * side), fill=255)
    draw.polygon([(2 * side, side), (3.7 * side, 1.5 * side), (2.7 * side, 3.5 * side), (side, 3 * side)], fill=255)
    shape = shape.resize((side, side), Image.Resampling.LANCZOS)
    return Image.merge("LA", (Image.new("L", shape.size, 0), shape))


def cut_out(width: int = 240, height: int = 160, *, noise: bool = False) -> Image.Image:
    """A photograph in a circle; around it nothing is seen, which is black or noise."""
    rgb = photo("chelsea", width, height).copy()
    rows, columns = np.mgrid[:height, :width]
    outside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 > (0.36 * height) ** 2
    rgb[outside] = np.random.default_rng(0).integers(0, 256, (outside.sum(), 3)) if noise else 0
    return Image.fromarray(np.dstack([rgb, np.where(outside, 0, 255).astype(np.uint8)]))


def soft(width: int = 240, height: int = 160) -> Image.Image:
    """A photograph that fades away, with a little noise in its alpha."""
    rows, columns = np.mgrid[:height, :width]
    edge = 1 / (1 + np.exp((np.hypot((columns - width / 2) / 1.4, rows - height / 2) - 0.4 * height) / 6))
    noise = np.random.default_rng(0).normal(0, 3, edge.shape) * (edge > 0.01) * (edge < 0.995)
    alpha = (255 * edge + noise).clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(np.dstack([photo("coffee", width, height), alpha]))
