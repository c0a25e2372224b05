"""vaecodec: a lossy image codec that is a variational autoencoder.

    >>> import vaecodec
    >>> data = vaecodec.compress("photo.png", quality=50)      # doctest: +SKIP
    >>> image = vaecodec.decompress(data)                      # doctest: +SKIP

Importing the package, `read_info` and `list_models` do not import torch; the first picture does. docs/architecture.md
shows the rooms that the package is made of.
"""

from __future__ import annotations

from vaecodec.codec import kinds
from vaecodec.errors import (
    BitstreamError,
    Corrupt,
    ImageError,
    LimitError,
    ModelError,
    NotAVaeFile,
    TargetError,
    Truncated,
    Unsupported,
    VaecodecError,
)
from vaecodec.version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaecodec.codec.api import compress, decompress, read_info
    from vaecodec.codec.base import BaseCodec
    from vaecodec.codec.codec import Codec
    from vaecodec.format.catalog import ModelInfo, list_models
    from vaecodec.format.container import DEFAULT_MAX_PIXELS, Header

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "BitstreamError",
    "Codec",
    "Corrupt",
    "Header",
    "ImageError",
    "LimitError",
    "ModelError",
    "ModelInfo",
    "NotAVaeFile",
    "TargetError",
    "Truncated",
    "Unsupported",
    "VaecodecError",
    "compress",
    "decompress",
    "list_models",
    "read_info",
    "register_pillow",
]


def _photographs() -> type[Codec]:
    from vaecodec.codec.codec import Codec

    return Codec


def _digits() -> type[BaseCodec]:
    from vaecodec.digits.codec import DigitsCodec

    return DigitsCodec


kinds.register(None, _photographs)
kinds.register("digits", _digits)


def register_pillow() -> None:
    """Makes `.vae` a format that Pillow opens and saves; the same as `import vaecodec.pillow_plugin`."""
    from vaecodec.plugins.pillow import register

    register()


def __getattr__(name: str) -> object:
    """The rest of the API, from modules that are imported when they are first needed."""
    place: object
    if name in ("compress", "decompress", "read_info"):
        from vaecodec.codec import api as place
    elif name in ("ModelInfo", "list_models"):
        from vaecodec.format import catalog as place
    elif name in ("DEFAULT_MAX_PIXELS", "Header"):
        from vaecodec.format import container as place
    elif name == "Codec":
        return _photographs()
    else:
        raise AttributeError(f"module 'vaecodec' has no attribute {name!r}")
    return getattr(place, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
