"""Small pictures of every kind that suites for PNG hold: what comes back is good or exact, and no larger than a PNG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import vaecodec
from vaecodec.pictures.metrics import psnr_db

QUALITY, LEAST_DB, MOST_OVER_PNG = 90, 30, 60
SIDE = 32
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
RAMP = ((ROWS + COLUMNS) * 255 / (2 * SIDE - 2)).round().astype(np.uint8)
COLOURS = np.stack([8 * ROWS, 8 * COLUMNS, 255 - 4 * (ROWS + COLUMNS)], 2).astype(np.uint8)
CHECKS = {f"checks of {n}": (ROWS // n + COLUMNS // n) % 2 == 1 for n in (1, 2, 4, 8)}
STRIPES = {"stripes across": ROWS // 2 % 2 == 1, "stripes down": COLUMNS % 3 == 0, "slanted": (ROWS + COLUMNS) % 7 < 3}
FLAT = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "blue": (0, 0, 255), "dull": (119, 136, 98)}
SIDES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 37, 40)


def with_alpha(colours: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([colours, alpha]))


def sized(width: int, height: int) -> Image.Image:
    """Rings in eight colours, as a palette."""
    rows, columns = np.mgrid[:height, :width]
    ring = np.minimum(np.minimum(rows, height - 1 - rows), np.minimum(columns, width - 1 - columns))
    image = Image.fromarray((ring % 8).astype(np.uint8))
    image.putpalette([255 * (n >> bit & 1) for n in range(8) for bit in range(3)])
    return image


def pictures() -> dict[str, Image.Image]:
    """By name, in the modes that a PNG of their kind is read in."""
    rng, image = np.random.default_rng(0), Image.fromarray
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    soft = np.rint(255 * np.exp(-((ROWS - 15.5) ** 2 + (COLUMNS - 15.5) ** 2) / 90)).astype(np.uint8)
    made = {f"palette of {bits} bits": image(COLOURS).quantize(2**bits) for bits in (1, 2, 4, 8)}
    made |= {
        f"grey of {bits} bits": image(RAMP >> 8 - bits).point(lambda v, b=bits: v * 255 // (2**b - 1))
        for bits in (2, 4, 8)
    }
    made |= {name: image(pattern) for name, pattern in (CHECKS | STRIPES).items()}
    made |= {
        f"{name} in colour": image(np.where(pattern[..., None], COLOURS, 255 - COLOURS))
        for name, pattern in CHECKS.items()
    }
    made |= {"ramp of colours": image(COLOURS), "ramp across": image((8 * COLUMNS).astype(np.uint8))}
    made |= {
        "noise": image(noise),
        "grey noise": image(noise[..., 0]),
        "black or white noise": image(noise[..., 0] > 127),
    }
    made |= {name: Image.new("RGB", (SIDE, SIDE), colour) for name, colour in FLAT.items()}
    made |= {"colours with soft alpha": with_alpha(COLOURS, soft), "grey with soft alpha": with_alpha(RAMP, soft)}
    made |= {"noise with hard alpha": with_alpha(noise, 255 * (soft > 60).astype(np.uint8))}
    made |= {"noise as alpha": with_alpha(COLOURS, noise[..., 0]), "nothing seen": with_alpha(COLOURS, 0 * soft)}
    return made | {f"{side}x{side}": sized(side, side) for side in SIDES} | {"1x40": sized(1, 40), "40x3": sized(40, 3)}


PICTURES = pictures()


def seen(image: Image.Image, ground: str) -> np.ndarray:
    below = Image.new("RGBA", image.size, ground)
    return np.asarray(Image.alpha_composite(below, image.convert("RGBA")).convert("RGB"))


def png_bytes(image: Image.Image) -> int:
    image.save(buffer := io.BytesIO(), "PNG", optimize=True)
    return buffer.tell()


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_a_small_picture_comes_back_well_and_small(name: str) -> None:
    image = PICTURES[name]
    data = vaecodec.compress(image, quality=QUALITY)
    back = vaecodec.decompress(data)
    assert min(psnr_db(seen(image, ground), seen(back, ground)) for ground in ("white", "black")) >= LEAST_DB
    assert len(data) <= png_bytes(image) + MOST_OVER_PNG
