"""Fuzzes what goes into the encoder, picture files: python tests/fuzz/images.py --seconds 30."""

from __future__ import annotations

import io
import warnings
from unittest import mock

from harness import instrumented, main

with instrumented():
    from vaecodec.errors import ImageError, LimitError
    from vaecodec.pictures.images import open_image, put_together, take_apart

import numpy as np
from PIL import Image
from support import in_mode

MAX_PIXELS = 2**20
"""So that a mutated size costs a message and no gigabyte; Pillow refuses twice as many."""


def _file(mode: str, format_name: str, **options) -> bytes:
    buffer = io.BytesIO()
    in_mode(mode, 24, 16).save(buffer, format_name, **options)
    return buffer.getvalue()


SEEDS = [_file(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
SEEDS += [_file("RGB", name) for name in ("JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "TGA", "PCX", "SGI", "JPEG2000")]
SEEDS += [
    _file("CMYK", "JPEG"),
    _file("F", "TIFF"),
    _file("YCbCr", "TIFF"),
    _file("RGB", "TIFF", compression="tiff_lzw"),
]


def target(data: bytes) -> str:
    """Planes of the picture's size, which go together again, or an `ImageError` or `LimitError`."""
    try:
        with mock.patch.object(Image, "MAX_IMAGE_PIXELS", MAX_PIXELS):
            planes = take_apart(open_image(io.BytesIO(data)))
    except (ImageError, LimitError) as error:
        return type(error).__name__
    height, width = planes.rgb.shape[:2]
    assert planes.rgb.dtype == np.uint8 and planes.rgb.shape == (height, width, 3)
    assert planes.alpha is None or planes.alpha.shape == (height, width)
    assert put_together(planes.rgb, planes.alpha, planes.mode).size == (width, height)
    return "read"


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # Pillow's about damaged metadata
    main(target, SEEDS)
