"""Other codecs behind one small interface, to measure this one against. Nothing that decodes `.vae` files imports this.

codecs, left_out = collect()            what is installed here, and why the rest is not
data = codec.compress(image, 50)        bytes, all that a decoder needs
decoded = codec.decompress(data)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from vaecodec.errors import ModelError
from vaecodec.format.catalog import FOLDERS

TWINS = ("autoencoder", "vae-factorised")
"""Names of the trained pair's weights."""
OTHER_TUNES = {"psnr": "light-psnr"}
"""Models beside the default one, by what they are tuned for."""


class ImageCodec(Protocol):
    """What every codec in a benchmark is."""

    @property
    def name(self) -> str:
        """Short, fit for the label of a curve."""

    @property
    def settings(self) -> str:
        """Of the encoder, for the record."""

    @property
    def version(self) -> str:
        """Of the library or the weights that did it, for the record."""

    @property
    def qualities(self) -> tuple[float, ...]:
        """At least eight settings that span the useful rates, ascending, small files first."""

    @property
    def quality_range(self) -> tuple[float, float]:
        """The lowest and the highest; files grow with quality."""

    @property
    def whole_qualities(self) -> bool:
        """Only integers mean something."""

    def compress(self, image: np.ndarray, quality: float) -> bytes:
        """`[H, W, 3]` uint8 to bytes."""

    def decompress(self, data: bytes) -> np.ndarray:
        """Bytes to `[H, W, 3]` uint8."""


Makers = dict[str, Callable[[], ImageCodec]]
"""What makes each codec, by its name."""


def baseline_path(name: str) -> Path | None:
    """The weights of a baseline that is fitted here, or `None` where there are none."""
    return next((path for folder in FOLDERS if (path := folder / "baselines" / f"{name}.safetensors").is_file()), None)


def makers(model: str | Path | None = None) -> Makers:
    """Every codec by name, ours first; each is made, and what it needs imported, only when called.

    Ours is the default model, and the other tune's beside it, named as tunes of other codecs are. They raise
    `ModelError` or `ImportError`, with the reason, where weights or a library are missing.

    Args:
        model: of our codec, by name or path, alone; `None` for those that are shipped.
    """

    def ours(kind: str, name: str, model: str | Path | None) -> ImageCodec:
        from vaecodec.baselines import ours

        return getattr(ours, kind)(model, name)

    tunes = {"vaecodec": model} | ({} if model else {f"vaecodec, tune={tune}": m for tune, m in OTHER_TUNES.items()})

    def twin(name: str) -> ImageCodec:
        from vaecodec.baselines.autoencoder import AutoencoderCodec

        return AutoencoderCodec.load(name)

    def pca(name: str) -> ImageCodec:
        from vaecodec.baselines.pca import PCACodec

        return PCACodec.load(name)

    from vaecodec.baselines import classic

    whole: Makers = {name: partial(ours, "VaeCodec", name, model) for name, model in tunes.items()}
    factorised: Makers = {
        f"{name}, factorised": partial(ours, "FactorisedCodec", f"{name}, factorised", model)
        for name, model in tunes.items()
    }
    fitted: Makers = {
        "VAE, factorised prior": lambda: twin("vae-factorised"),
        "Autoencoder": lambda: twin("autoencoder"),
        "PCA 16x16": lambda: pca("pca16"),
        "PCA 8x8": lambda: pca("pca8"),
    }
    return {**whole, **factorised, **fitted, **classic.MAKERS}


def collect(model: str | Path | None = None) -> tuple[list[ImageCodec], dict[str, str]]:
    """Every codec that can be had here, and for every other one the reason why not; see `makers`."""
    codecs: list[ImageCodec] = []
    left_out: dict[str, str] = {}
    for name, make in makers(model).items():
        try:
            codecs.append(make())
        except (ModelError, ImportError) as error:
            left_out[name] = str(error)
    return codecs, left_out
