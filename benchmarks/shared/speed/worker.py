"""A process that is kept warm, codes pictures when it is told to, and says how long that took.

    python -m shared.speed.worker THREADS

It may have another version of the package, of which it asks for no more than `Codec`, `compress` and `decompress`,
unless it is to be another codec, to fit a quality or to judge, which only processes of this version are. A request is a
line of JSON on standard input, and so is its answer on standard output. Pictures and files are passed by their paths.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.speed.measuring import forget_peak, peak_mb, timed, use_cores


class Ours:
    """The package's codec behind the interface of the benchmarks' codecs, and with efforts."""

    quality_range = (1, 100)

    def __init__(self, model: str):
        from vaecodec import Codec

        self._codec = Codec(model)

    def compress(self, image: Any, quality: float, effort: int | None = None) -> bytes:
        return self._codec.compress(image, quality=quality, **({} if effort is None else {"effort": effort}))

    def decompress(self, data: bytes) -> Any:
        import numpy as np

        return np.asarray(self._codec.decompress(data))

    def quality_of(self, image: Any, size: int) -> float:
        """The quality of the largest file of at most so many bytes."""
        from vaecodec import read_info

        return self._codec.stored.qualities.quality(read_info(self._codec.compress(image, size=size)).quality)


class Subject:
    """What a process measures; `begin` says what that is."""

    codec: Any

    def __init__(self) -> None:
        self._known: set[str] = set()

    def begin(self, model: str | None = None, codec: str | None = None) -> dict[str, Any]:
        """Loads the package's codec with a model file, or another by its name in the benchmarks' collection.

        Returns:
            Where the package is.
        """
        import vaecodec

        if model:
            self.codec = Ours(model)
        else:
            from vaecodec.baselines.collection import makers

            self.codec = makers()[codec]()
        return {"package": vaecodec.__file__}

    def _compress(self, image: Any, quality: float, effort: int | None) -> bytes:
        return self.codec.compress(image, quality, *([] if effort is None else [effort]))

    def _measured(self, name: str, work: Callable[[], Any]) -> tuple[dict[str, Any], Any]:
        """Seconds of a call, memory too when something of that name is done first, and what the call returns."""
        first = name not in self._known
        if first:
            self._known.add(name)
            forget_peak()
        seconds, result = timed(work)
        return {"seconds": seconds} | ({"peak_mb": peak_mb()} if first else {}), result

    def compress(self, picture: str, quality: float, to: str, effort: int | None = None) -> dict[str, Any]:
        """Seconds and memory of encoding a picture, `.npy`, and the size of the file that it writes."""
        import numpy as np

        image = np.load(picture)
        measured, data = self._measured(f"encode {effort}", lambda: self._compress(image, quality, effort))
        Path(to).write_bytes(data)
        return measured | {"bytes": len(data)}

    def decompress(self, data: str, to: str | None = None) -> dict[str, Any]:
        """Seconds and memory of decoding a file; its pixels are written, `.npy`, if asked for."""
        import numpy as np

        content = Path(data).read_bytes()
        measured, pixels = self._measured("decode", lambda: self.codec.decompress(content))
        if to:
            np.save(to, pixels)
        return measured

    def fit(self, picture: str, bpp: float) -> dict[str, Any]:
        """The quality that gives about so many bits per pixel, or the lowest if that gives more."""
        import numpy as np

        from vaecodec.cli.pages.comparison import to_size
        from vaecodec.errors import TargetError

        image = np.load(picture)
        size = int(bpp * image.shape[0] * image.shape[1] / 8)
        try:
            if isinstance(self.codec, Ours):
                return {"quality": self.codec.quality_of(image, size)}
            return {"quality": to_size(self.codec, image, size)[1]}
        except TargetError:
            return {"quality": float(self.codec.quality_range[0])}

    def judge(self, picture: str, data: str) -> dict[str, Any]:
        """How good a file is."""
        import numpy as np

        from vaecodec.objective.distortion import ssimulacra2
        from vaecodec.pictures.metrics import psnr_db

        image, decoded = np.load(picture), self.codec.decompress(Path(data).read_bytes())
        return {"psnr_db": psnr_db(image, decoded), "ssimulacra2": ssimulacra2(image, decoded)}


def answer(subject: Subject, do: str, **arguments: Any) -> dict[str, Any]:
    """What a method of the subject returns, or why it could not."""
    try:
        return getattr(subject, do)(**arguments)
    except Exception as error:  # whatever a library raises; the others go on
        return {"failed": f"{type(error).__name__}: {error}"}


def main(threads: int) -> None:
    """Answers requests until there are no more."""
    use_cores(threads)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    subject = Subject()
    for request in sys.stdin:
        print(json.dumps(answer(subject, **json.loads(request))), file=answers)


if __name__ == "__main__":
    main(int(sys.argv[1]))
