"""One picture through several codecs at one file size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.results import section

FAIR_SHARE = 0.01
"""What counts as equal, of the size."""


@dataclass(frozen=True)
class Made:
    """A file of about the size that was asked for.

    Attributes:
        size_bytes: of the file.
        quality: that it took.
        image: decoded, `[H, W, 3]` uint8.
    """

    size_bytes: int
    quality: float
    image: np.ndarray


def _made(codec, rgb: np.ndarray, most: int, parts: dict) -> Made:
    """The largest file of at most so many bytes; its quality is searched for unless `parts` has it."""
    from vaecodec.cli.pages.comparison import to_size

    part = section(parts, codec.name, {"settings": codec.settings, "version": codec.version, "at_most": most})
    if "quality" in part:
        data = codec.compress(rgb, part["quality"])
    else:
        data, part["quality"] = to_size(codec, rgb, most)
    part["bytes"] = len(data)
    return Made(len(data), part["quality"], codec.decompress(data))


def at_one_size(codecs: list, rgb: np.ndarray, size: int, parts: dict) -> tuple[dict[str, Made], dict[str, str]]:
    """Each codec's largest file of at most `size` bytes, by name, and why there is none of the others.

    Codecs whose qualities are whole numbers hit a size roughly. They go first, and the others get no more bytes than
    the smallest file of those.

    Args:
        codecs: see `vaecodec.baselines.ImageCodec`.
        parts: what a store keeps of this picture and size; qualities that are in it are not searched for again.
    """
    from vaecodec.errors import TargetError

    made, unable, most = {}, {}, size
    for codec in sorted(codecs, key=lambda codec: not codec.whole_qualities):
        try:
            made[codec.name] = _made(codec, rgb, size if codec.whole_qualities else most, parts)
        except TargetError as error:
            unable[codec.name] = str(error)
            continue
        if codec.whole_qualities:
            most = min(most, made[codec.name].size_bytes)
    return {codec.name: made[codec.name] for codec in codecs if codec.name in made}, unable


def crop_at(shape: tuple[int, ...], side: int, place: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns of a square, or what there is of it.

    Args:
        place: from the left and from the top, as shares of the room that there is; (0.5, 0.5) is the middle.
    """
    height, width = (min(side, length) for length in shape[:2])
    left, top = round(place[0] * (shape[1] - width)), round(place[1] * (shape[0] - height))
    return slice(top, top + height), slice(left, left + width)
