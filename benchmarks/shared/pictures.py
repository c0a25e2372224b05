"""Pictures that programs are given, and what of them can be measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from shared.results import say

SMALLEST_PX = 161
"""Sides below this have no MS-SSIM."""
ASPECT = 1.5
"""Of pictures that are made to a size."""


@dataclass
class Folder:
    """The pictures among some paths.

    Attributes:
        images: file name to `[H, W, 3]` uint8.
        left_out: what cannot be measured, with the reason; no failure.
        failed: what claims to be a picture and cannot be read, with the reason.
    """

    images: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def report(self) -> None:
        """Says what is not measured, and why."""
        for name, reason in self.left_out.items():
            say(f"left out: {name}: {reason}")
        for name, reason in self.failed.items():
            say(f"failed: {name}: {reason}")


def read_pictures(paths: tuple[Path, ...]) -> Folder:
    """Reads all RGB pictures that are large enough, in files and folders."""
    from vaecodec.errors import ImageError
    from vaecodec.pictures import images

    result = Folder()
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    for path in files:
        if path.is_dir() or path.name.startswith("."):
            continue
        if path.suffix.lower() not in images.PICTURE_SUFFIXES:
            result.left_out[path.name] = "not a picture, by its suffix"
            continue
        if path.name in result.images:
            result.left_out[str(path)] = "another picture has the same name"
            continue
        try:
            planes = images.planes_of(path)
        except ImageError as error:
            result.failed[path.name] = str(error).removeprefix(f"{path}: ")
            continue
        height, width = planes.rgb.shape[:2]
        if planes.mode in ("L", "1", "I;16", "I", "F"):
            result.left_out[path.name] = f"greyscale (mode {planes.mode}); the measures are of RGB"
        elif planes.alpha is not None:
            result.left_out[path.name] = "has an alpha plane, which not every codec keeps"
        elif min(height, width) < SMALLEST_PX:
            result.left_out[path.name] = f"{width}x{height} pixels; MS-SSIM needs sides of {SMALLEST_PX} or more"
        else:
            result.images[path.name] = planes.rgb
    return result


def usable_pictures(paths: tuple[Path, ...]) -> Folder:
    """`read_pictures`, said what is left out, and an error if nothing remains."""
    folder = read_pictures(paths)
    folder.report()
    if not folder.images:
        raise click.ClickException("no picture could be used")
    return folder


def resized(image: np.ndarray, megapixels: float) -> np.ndarray:
    """The picture continued by mirror images, cut to a size of 3:2."""
    height = max(1, round((megapixels * 1e6 / ASPECT) ** 0.5))
    return continued(image, height, max(1, round(height * ASPECT)))


def continued(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture continued by mirror images, or cut, to so many rows and columns."""
    rows, columns = -(-height // image.shape[0]), -(-width // image.shape[1])
    return np.pad(
        image, ((0, (rows - 1) * image.shape[0]), (0, (columns - 1) * image.shape[1]), (0, 0)), mode="symmetric"
    )[:height, :width].copy()
