"""Our plug-in of Pillow against JPEG XL's, in one warm process: a picture of four of Kodak's, 1536x1024."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.speed.measuring import Run, Turns, timed

NUMBERS = (1, 5, 13, 23)
QUALITY, EFFORT = 75, 7
"""Of JPEG XL."""
OTHER = "JPEG XL"


def _save(image: np.ndarray, form: str, **options: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


def _load(data: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def four_of(kodak: Path) -> np.ndarray:
    """Four of Kodak's pictures as one, two by two.

    Raises:
        OSError: the folder has not all of them.
    """
    from PIL import Image

    first, second, third, fourth = (
        np.asarray(Image.open(kodak / f"kodim{number:02}.png").convert("RGB")) for number in NUMBERS
    )
    return np.vstack((np.hstack((first, second)), np.hstack((third, fourth))))


def measure(kodak: Path, models: Sequence[str], turns: Turns) -> dict[str, Any]:
    """Encode at the default effort, and decode, all threads; to be run in a process of its own.

    Args:
        models: installed ones, which get the quality that gives about JPEG XL's size.

    Returns:
        "runs": by what was done, and by JPEG XL or model, what `Turns.take` says. By model its "kmac_per_pixel", and
        by both the "bpp".
    """
    import pillow_jxl  # noqa: F401  registers the format

    import vaecodec

    vaecodec.register_pillow()
    picture = four_of(kodak)
    encodes = {OTHER: lambda: _save(picture, "JXL", quality=QUALITY, effort=EFFORT)}
    size = len(encodes[OTHER]())
    encodes |= {model: _encoding(model, picture, size) for model in models}
    saved = {name: encode() for name, encode in encodes.items()}

    def run(work: Callable[[], Any]) -> Run:
        return lambda: {"seconds": timed(work)[0]}

    runs = {("encode", name): run(encode) for name, encode in encodes.items()}
    runs |= {("decode", name): run(_loading(data)) for name, data in saved.items()}
    results: dict[str, dict[str, Any]] = {"encode": {}, "decode": {}}
    for (name, subject), result in turns.take(runs).items():
        results[name][subject] = result
    pixels = picture.shape[0] * picture.shape[1]
    return {
        "runs": results,
        "bpp": {name: round(8 * len(data) / pixels, 4) for name, data in saved.items()},
        "kmac_per_pixel": {model: vaecodec.Codec(model).stored.config.kmac_per_pixel() for model in models},
    }


def _encoding(model: str, picture: np.ndarray, size: int) -> Callable[[], bytes]:
    """What encodes a picture with a model, at the quality that gives a file of about so many bytes."""
    from PIL import Image

    with Image.open(io.BytesIO(_save(picture, "VAE", size=size, model=model))) as image:
        quality = image.info["quality"]
    return lambda: _save(picture, "VAE", quality=quality, model=model)


def _loading(data: bytes) -> Callable[[], np.ndarray]:
    return lambda: _load(data)
