"""Pictures that training holds out, by which weights are judged: always the same parts, photographs and graphics apart.

`is_held_out` picks pictures by their names, so the same folder of tar files gives the same parts for ever.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import click
import numpy as np

SIDE = 512
"""Pixels a side of a part, at most."""
LEAST_SIDE = 256
MOST_PARTS = 2
"""Of one picture, so that large ones do not count for more."""
CALIBRATION_ONE_IN = 20
"""Of the pictures, by the CRC of their names: half of those are held out (`training.sources.VALIDATION_ONE_IN`)."""
GRAPHICS = ("graphics-", "nonphoto-")
"""Names of drawings, pages and screenshots begin so."""


def parts(picture: np.ndarray) -> list[np.ndarray]:
    """The middle of `[H, W, 3]`, at most `SIDE` a side; of a large picture both ends of the longer side's middle."""
    height, width = picture.shape[:2]
    rows, columns = (min(SIDE, side) for side in (height, width))
    count = min(MOST_PARTS, max(height, width) // SIDE) or 1
    places = [n / (count - 1) for n in range(count)] if count > 1 else [0.5]
    starts = [
        [round((side - kept) * (place if long else 0.5)) for place in places]
        for side, kept, long in ((height, rows, height > width), (width, columns, height <= width))
    ]
    return [picture[top : top + rows, left : left + columns].copy() for top, left in zip(*starts, strict=True)]


def calibration_photographs(sources: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """One part of every photograph that training holds out, and of as many others again that it does not.

    For the mean over photographs that is surer than the held-out ones alone, and of it weights have learned nothing.
    """
    from vaecodec.training.data.pictures import held_out

    wanted = lambda name: zlib.crc32(name.encode()) % CALIBRATION_ONE_IN == 0 and not name.startswith(GRAPHICS)
    pictures = held_out(list(sources), minimum=LEAST_SIDE, wanted=wanted)
    if not pictures:
        raise click.ClickException("no photograph for the map among these")
    return {f"{name} 0": parts(picture.permute(1, 2, 0).numpy())[0] for name, picture in pictures.items()}


def held_out_parts(sources: tuple[Path, ...]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Photographs and graphics, `[H, W, 3]` uint8 by picture and number of the part."""
    from vaecodec.training.data.pictures import held_out

    photographs: dict[str, np.ndarray] = {}
    graphics: dict[str, np.ndarray] = {}
    for name, picture in held_out(list(sources), minimum=LEAST_SIDE).items():
        kind = graphics if name.startswith(GRAPHICS) else photographs
        for number, part in enumerate(parts(picture.permute(1, 2, 0).numpy())):
            kind[f"{name} {number}"] = part
    if not photographs:
        raise click.ClickException("no held-out photograph among these")
    return photographs, graphics


def picture_of(part: str) -> str:
    """The picture that a part is of."""
    return part.rpartition(" ")[0]


def held_out_crops(
    sources: tuple[Path, ...], width: int, height: int, count: int | None = None
) -> dict[str, np.ndarray]:
    """The middle, `[height, width, 3]` uint8, of pictures that training holds out; smaller ones are left out."""
    from vaecodec.training.data.pictures import held_out

    crops = {}
    for name, picture in held_out(list(sources), minimum=min(width, height)).items():
        top, left = (picture.shape[1] - height) // 2, (picture.shape[2] - width) // 2
        if top >= 0 and left >= 0:
            crops[name] = picture[:, top : top + height, left : left + width].permute(1, 2, 0).numpy().copy()
    if not crops:
        raise click.ClickException(f"no held-out picture of {width}x{height} or more")
    return dict(list(crops.items())[:count])
