"""Rate and distortion of a model over a folder of pictures: every picture to real bytes and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vaecodec.codec.base import BaseCodec
from vaecodec.errors import ImageError, LimitError, VaecodecError
from vaecodec.format import files
from vaecodec.inference.effort import DEFAULT_EFFORT
from vaecodec.objective.distortion import ssimulacra2
from vaecodec.pictures import images, metrics
from vaecodec.pictures.images import PICTURE_SUFFIXES

Show = Callable[[Path, float, np.ndarray, bytes, np.ndarray], None]
"""Is shown path, quality, original, file and decoded picture; pictures `[H, W, 3]` uint8, on white."""


@dataclass(frozen=True)
class Result:
    """One picture at one quality; SSIMULACRA2 by the project's own measure."""

    image: str
    quality: float
    bytes: int
    bpp: float
    psnr_db: float
    ms_ssim: float
    ssimulacra2: float
    encode_s: float
    decode_s: float


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, by name: files with a picture's suffix that are not hidden."""
    named = (path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    return sorted(path for path in named if path.is_file() and not path.name.startswith("."))


def evaluate(
    codec: BaseCodec,
    paths: list[Path],
    qualities: list[float],
    failed: Callable[[Path, VaecodecError], None],
    *,
    effort: int = DEFAULT_EFFORT,
    show: Show | None = None,
) -> Iterator[Result]:
    """Codes every picture at every quality, without metadata.

    Args:
        failed: is told of pictures that cannot be used.
        show: see `Show`.
    """
    for path in paths:
        try:
            with files.naming(str(path)):
                planes = replace(images.planes_of(path), metadata={})
                yield from _at_every_quality(codec, path, planes, qualities, effort, show)
        except (ImageError, LimitError) as error:
            failed(path, error)


def _at_every_quality(
    codec: BaseCodec, path: Path, planes: images.Planes, qualities: list[float], effort: int, show: Show | None
) -> Iterator[Result]:
    original = images.seen(planes)
    for quality in qualities:
        start = time.perf_counter()
        data = codec.compress(planes, quality=quality, effort=effort)
        middle = time.perf_counter()
        decoded = images.seen(codec.decompress(data))
        end = time.perf_counter()
        if show:
            show(path, quality, original, data, decoded)
        yield Result(
            path.name,
            quality,
            len(data),
            8 * len(data) / (original.shape[0] * original.shape[1]),
            metrics.psnr_db(original, decoded),
            metrics.ms_ssim(original, decoded),
            ssimulacra2(original, decoded),
            middle - start,
            end - middle,
        )


def summary(results: list[Result], codec: BaseCodec) -> dict[str, Any]:
    """Means over the pictures for each quality, in the schema of CompressAI's result files, and each picture's own."""
    qualities = sorted({result.quality for result in results})
    columns = {
        "quality": lambda r: r.quality,
        "bpp": lambda r: r.bpp,
        "psnr-rgb": lambda r: r.psnr_db,
        "ms-ssim-rgb": lambda r: r.ms_ssim,
        "ssimulacra2-rgb": lambda r: r.ssimulacra2,
        "encoding_time": lambda r: r.encode_s,
        "decoding_time": lambda r: r.decode_s,
    }
    groups = [[r for r in results if r.quality == quality] for quality in qualities]
    return {
        "name": f"vaecodec-{codec.name}",
        "description": f"vaecodec, model {codec.name} {codec.stored.fingerprint}; bytes of the files; "
        "means over pictures of bpp and of the measures of decoded 8-bit RGB",
        "results": {key: [float(np.mean([get(r) for r in group])) for group in groups] for key, get in columns.items()},
        "images": [vars(result) for result in results],
    }
