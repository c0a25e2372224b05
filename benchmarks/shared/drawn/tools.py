"""What drawings are made of: letters, noise, gradients, and edges that are smooth."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shared.places import PHOTO

TEXT = (
    "harbour lantern meadow copper signal orchard winter bridge paper engine garden river stone market window thunder "
    "velvet compass letter valley ribbon basket mirror canal ladder silver pocket anchor candle forest needle saddle "
    "a the of and in to by on it was had from with as no or"
)


@functools.cache
def font(size: float) -> ImageFont.FreeTypeFont:
    """The one that comes with Pillow, so that it is everywhere; it has the letters of ASCII."""
    return ImageFont.load_default(size)


@functools.cache
def photograph() -> Image.Image:
    """600x400 pixels of coffee."""
    with Image.open(PHOTO) as image:
        return image.convert("RGB")


def words(rng: np.random.Generator, count: int) -> str:
    """A sentence that means nothing."""
    return " ".join(rng.choice(TEXT.split(), count)).capitalize()


def paragraph(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: tuple, size: int, fill="black") -> None:
    """Fills a box of left, top, right and bottom with lines of words."""
    left, top, right, bottom = box
    while top + size <= bottom:
        line = words(rng, 1)
        while font(size).getlength(line + " " + (word := str(rng.choice(TEXT.split())))) <= right - left:
            line += " " + word
        draw.text((left, top), line, fill, font(size))
        top += round(1.45 * size)


def noise(rng: np.random.Generator, width: int, height: int, *grains: int) -> np.ndarray:
    """`[height, width]` float, a sum of clouds whose grains have so many pixels, coarse ones the stronger."""
    total = np.zeros((height, width), np.float32)
    for grain in grains:
        coarse = rng.standard_normal((height // grain + 4, width // grain + 4)).astype(np.float32)
        cloud = Image.fromarray(coarse).resize((coarse.shape[1] * grain, coarse.shape[0] * grain), Image.BICUBIC)
        total += np.asarray(cloud)[:height, :width] * grain / max(grains)
    return total


def gradient(width: int, height: int, first: tuple, last: tuple, slant: float = 0) -> Image.Image:
    """From one colour at the top to another at the bottom, or as far to the right as `slant` says."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    place = ((1 - slant) * rows + slant * columns)[..., None]
    return Image.fromarray(np.rint(np.array(first) * (1 - place) + np.array(last) * place).astype(np.uint8))


@contextmanager
def smooth(image: Image.Image, times: int = 4) -> Iterator[ImageDraw.ImageDraw]:
    """Draws at several times the size, in the same coordinates times that; then the picture has anti-aliased edges.

    A picture with alpha gets its colours weighted by it, as they have to be.
    """
    large = image.resize((image.width * times, image.height * times), Image.NEAREST)
    yield ImageDraw.Draw(large)
    if image.mode == "RGBA":
        image.paste(large.convert("RGBa").reduce(times).convert("RGBA"))
    else:
        image.paste(large.reduce(times))


def scaled(points, times: float = 4, left: float = 0, top: float = 0) -> list[tuple[float, float]]:
    """Points, moved and then multiplied, as `smooth` needs them."""
    return [((x + left) * times, (y + top) * times) for x, y in points]


def star(points: int, outer: float, inner: float, turn: float = -0.25) -> list[tuple[float, float]]:
    """The corners of a star or of a gear about the origin; `turn` is a part of a whole one."""
    angles = 2 * np.pi * (np.arange(2 * points) / (2 * points) + turn)
    radii = np.where(np.arange(2 * points) % 2, inner, outer)
    return list(zip((radii * np.cos(angles)).tolist(), (radii * np.sin(angles)).tolist(), strict=True))
