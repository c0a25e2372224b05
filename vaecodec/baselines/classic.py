"""The codecs that people use today, through Pillow, each with settings that do it justice."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np
import PIL
from PIL import Image, features


@dataclass(frozen=True)
class PillowCodec:
    """A format that Pillow, or a plug-in of it, writes and reads; see `ImageCodec` for the attributes.

    Attributes:
        format: Pillow's name of it.
        options: what `Image.save` is told beside the quality.
        quality_option: makes of a quality the option that carries it.
    """

    name: str
    format: str
    version: str
    qualities: tuple[float, ...]
    quality_range: tuple[float, float]
    options: dict[str, Any] = field(default_factory=dict)
    quality_option: Callable[[float], dict[str, Any]] = lambda quality: {"quality": round(quality)}
    whole_qualities: bool = True

    @property
    def settings(self) -> str:
        """The options as text."""
        return f"{self.format}: " + ", ".join(f"{key}={value}" for key, value in self.options.items())

    def compress(self, image: np.ndarray, quality: float) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, self.format, **self.options, **self.quality_option(quality))
        return buffer.getvalue()

    def decompress(self, data: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(data), formats=(self.format,)) as image:
            return np.asarray(image.convert("RGB"))


def _library(feature: str, name: str) -> str:
    """Pillow's version and the library's; an `ImportError` where Pillow was built without it."""
    if not features.check(feature):
        raise ImportError(f"Pillow {PIL.__version__} was built without {name}")
    return f"Pillow {PIL.__version__}, {name} {features.version(feature)}"


JPEG_QUALITIES = (5, 8, 12, 18, 25, 35, 50, 65, 75, 85, 92, 96)


def jpeg(subsampling: str) -> PillowCodec:
    """JPEG with optimised Huffman tables, progressive."""
    version = _library("jpg", "libjpeg")
    if turbo := features.version("libjpeg_turbo"):
        version = f"Pillow {PIL.__version__}, libjpeg-turbo {turbo}"
    options = {"subsampling": subsampling, "optimize": True, "progressive": True}
    return PillowCodec(f"JPEG {subsampling}", "JPEG", version, JPEG_QUALITIES, (1, 96), options)


def jpeg2000() -> PillowCodec:
    """JPEG 2000; quality is the PSNR that it aims at, in dB."""
    # mct, the transform to luma and chroma, is off in Pillow unless asked for, and costs a third of the rate
    options = {"irreversible": True, "mct": 1, "quality_mode": "dB"}
    steps = (22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44)
    make = lambda quality: {"quality_layers": [float(quality)]}
    version = _library("jpg_2000", "OpenJPEG")
    return PillowCodec("JPEG 2000", "JPEG2000", version, steps, (15, 55), options, make, whole_qualities=False)


def webp() -> PillowCodec:
    """WebP, lossy, at its slowest."""
    steps = (0, 5, 15, 25, 40, 55, 70, 80, 87, 92, 96)
    return PillowCodec("WebP", "WEBP", _library("webp", "libwebp"), steps, (0, 100), {"method": 6})


def avif(tune: str | None = None, subsampling: str = "4:4:4") -> PillowCodec:
    """AVIF, speed 6.

    Args:
        tune: what libaom's encoder aims at; by default what libavif chooses, since 1.4 `iq`, the look of it. That costs
            a tenth of the rate at equal PSNR and more, so it is measured with `psnr` too (docs/benchmarks.md).
    """
    steps = (5, 15, 25, 35, 45, 55, 65, 72, 80, 87, 92)
    options = {"speed": 6, "subsampling": subsampling} | ({"advanced": {"tune": tune}} if tune else {})
    version = _library("avif", "libavif")
    from PIL import AvifImagePlugin

    version += f", aom {AvifImagePlugin.get_codec_version('aom')}"
    name = "AVIF" if subsampling == "4:4:4" else f"AVIF {subsampling}"
    return PillowCodec(f"{name}, tune={tune}" if tune else name, "AVIF", version, steps, (0, 100), options)


def jpeg_xl() -> PillowCodec:
    """JPEG XL, effort 7 (the default), by pillow-jxl-plugin."""
    try:
        import pillow_jxl  # noqa: F401  registers the format
    except ImportError as error:
        raise ImportError("the package pillow-jxl-plugin is not installed") from error
    version = f"Pillow {PIL.__version__}, pillow-jxl-plugin {metadata.version('pillow-jxl-plugin')}"
    steps = (5, 15, 25, 35, 45, 55, 65, 75, 82, 88, 93, 96)
    options = {"effort": 7}
    return PillowCodec("JPEG XL", "JXL", version, steps, (1, 99), options, lambda q: {"quality": float(q)}, False)


@dataclass(frozen=True)
class Jpegli:
    """JPEG by jpegli's encoder (package pyjpegli), read by Pillow as any other; see `ImageCodec` for the attributes."""

    name = "JPEG, jpegli"
    settings = "jpegli as pyjpegli sets it: quality alone"
    version: str
    qualities = JPEG_QUALITIES
    quality_range = (1, 96)
    whole_qualities = True

    def compress(self, image: np.ndarray, quality: float) -> bytes:
        import pyjpegli

        height, width = image.shape[:2]
        return pyjpegli.encode(np.ascontiguousarray(image), width, height, quality=round(quality))

    def decompress(self, data: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return np.asarray(image.convert("RGB"))


def jpegli() -> Jpegli:
    """JPEG by jpegli."""
    try:
        return Jpegli(f"pyjpegli {metadata.version('pyjpegli')}")
    except metadata.PackageNotFoundError as error:
        raise ImportError("the package pyjpegli is not installed") from error


MAKERS: dict[str, Callable[[], PillowCodec | Jpegli]] = {
    "JPEG 4:2:0": lambda: jpeg("4:2:0"),
    "JPEG 4:4:4": lambda: jpeg("4:4:4"),
    "JPEG, jpegli": jpegli,
    "JPEG 2000": jpeg2000,
    "WebP": webp,
    "AVIF": avif,
    "AVIF 4:2:0": lambda: avif(subsampling="4:2:0"),
    "AVIF, tune=psnr": lambda: avif("psnr"),
    "JPEG XL": jpeg_xl,
}
"""By name; each raises `ImportError`, with the reason, where its library is missing."""
