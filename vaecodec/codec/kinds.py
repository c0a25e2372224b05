"""Which class codes with a model, by the kind that its configuration names; each is loaded when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vaecodec.errors import ModelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from vaecodec.codec.base import BaseCodec

_loaders: dict[str | None, Callable[[], Callable[..., BaseCodec]]] = {}


def register(kind: str | None, load: Callable[[], Callable[..., BaseCodec]]) -> None:
    """Says how to get at the class for a kind of models; `None` is the photo codec's. `vaecodec/__init__` does so."""
    _loaders[kind] = load


def codec_class(name: str | Path) -> Callable[..., BaseCodec]:
    """What codes with a model: `Codec`, or its like for another kind of models.

    Raises:
        ModelError: the model is unknown, or of an unknown kind.
    """
    from vaecodec.format.catalog import model_path, read_model_info  # takes longer than to register

    path = model_path(name)
    kind = read_model_info(path).config.get("kind")
    if not isinstance(kind, (str, type(None))) or kind not in _loaders:
        raise ModelError(f"{path}: a model of the unknown kind {kind!r}")
    return _loaders[kind]()


class Codecs:
    """Codecs by model, each loaded when it is first asked for, and kept; for several threads too.

    A file that has become another model is loaded anew; one that is no longer a sound one leaves the codec as it was.

    Args:
        options: of `Codec`.
    """

    def __init__(self, **options: Any):
        self._options, self._lock = options, threading.Lock()
        self._codecs: dict[Path, tuple[tuple[int, ...], BaseCodec]] = {}

    def __call__(self, model: str | Path) -> BaseCodec:
        """The codec of a model, by name or path.

        Raises:
            ModelError: it is unknown or damaged.
        """
        from vaecodec.format.catalog import file_version, model_path

        path = model_path(model)
        with self._lock:
            version = file_version(path)  # of before, so that what changes meanwhile is noticed the next time
            loaded, codec = self._codecs.get(path, (None, None))
            if codec is None or loaded != version:
                try:
                    codec = codec_class(path)(path, **self._options)
                    self._codecs[path] = version, codec
                except ModelError:
                    if codec is None:
                        raise
            return codec
