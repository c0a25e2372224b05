"""Other codecs behind one small interface, to measure this one against. Nothing that decodes `.vae` files imports this.

    codecs, left_out = collect()            what is installed here, and why the rest is not
    data = codec.compress(image, 50)        bytes, all that a decoder needs
    decoded = codec.decompress(data)
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from vaecodec.catalog import FOLDERS


class ImageCodec(Protocol):
    """What every codec in a benchmark is.

    Attributes:
        name: short, fit for the label of a curve.
        settings: of the encoder, for the record.
        version: of the library or the weights that did it, for the record.
        qualities: at least eight settings that span the useful rates, ascending, small files first.
        quality_range: the lowest and the highest; files grow with quality.
        whole_qualities: only integers mean something.
    """

    name: str
    settings: str
    version: str
    qualities: tuple[float, ...]
    quality_range: tuple[float, float]
    whole_qualities: bool

    def compress(self, image: np.ndarray, quality: float) -> bytes:
        """`[H, W, 3]` uint8 to bytes."""

    def decompress(self, data: bytes) -> np.ndarray:
        """Bytes to `[H, W, 3]` uint8."""


def baseline_path(name: str) -> Path | None:
    """The weights of a baseline that is fitted here, or `None` where there are none."""
    return next((path for folder in FOLDERS if (path := folder / "baselines" / f"{name}.safetensors").is_file()), None)


def collect(model: str | Path | None = None) -> tuple[list[ImageCodec], dict[str, str]]:
    """Every codec that can be had here, ours first, and for every other one the reason why not.

    Args:
        model: of our codec, by name or path; `None` for the default.
    """
    from vaecodec.baselines import autoencoder, classic, ours, pca
    from vaecodec.errors import ModelError

    makers = {"vaecodec": lambda: ours.VaeCodec(model), "vaecodec-factorised": lambda: ours.FactorisedCodec(model)}
    makers |= {name: (lambda name=name: autoencoder.AutoencoderCodec.load(name)) for name in autoencoder.NAMES}
    makers |= {name: (lambda name=name: pca.PCACodec.load(name)) for name in pca.NAMES}
    makers |= classic.MAKERS
    codecs: list[ImageCodec] = []
    left_out: dict[str, str] = {}
    for name, make in makers.items():
        try:
            codecs.append(make())
        except (ModelError, ImportError) as error:
            left_out[name] = str(error)
    return codecs, left_out
