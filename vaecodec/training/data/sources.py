"""Where training pictures come from: folders, pictures and tar files, which may still be on their way."""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, features

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ppm"}
"""Whatever ends otherwise, in .part for instance, is left alone."""
SCALES = (1.0, 0.7, 0.5)
"""Every picture is kept at these scales; crops come from the first one half of the time."""
VALIDATION_ONE_IN = 40
"""A picture is for validation if the CRC of its name is a multiple of this: the same ones in every run."""
TAR_BLOCK, TAR_PADDING = 512, 1 << 16
"""Zeros at least and at most that end a tar file; room that was only reserved for one has more."""


def is_held_out(name: str) -> bool:
    """Whether a picture is for validation; see `VALIDATION_ONE_IN`."""
    return zlib.crc32(name.encode(errors="surrogatepass")) % VALIDATION_ONE_IN == 0


def is_whole(tar: Path) -> bool:
    """Whether a tar file reads to its end; one that is being copied does not."""
    plain = tar.suffix.lower() == ".tar"
    try:
        with tarfile.open(tar, "r:" if plain else "r") as file:
            for _ in file:
                pass
            end = file.offset
            if not plain:
                return True
        with open(tar, "rb") as file:
            file.seek(end)
            rest = file.read(TAR_PADDING + 1)
    except (OSError, EOFError, tarfile.TarError):
        return False
    return TAR_BLOCK <= len(rest) <= TAR_PADDING and not any(rest)


@dataclass(frozen=True)
class Source:
    """A folder of pictures and tar files, a tar file or a picture.

    Attributes:
        graphics: drawings, icons, pages; see `data.Pictures`.
    """

    path: Path
    graphics: bool = False

    def files(self) -> list[Path]:
        """Pictures and tar files that are there now; no pipes or the like, and nothing that is hidden."""
        if not self.path.is_dir():
            return [self.path] if self.path.is_file() else []
        paths = []
        for where, folders, names in os.walk(self.path):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            paths += [Path(where, name) for name in names if not name.startswith(".")]
        return sorted(path for path in paths if path.suffix.lower() in SUFFIXES | {".tar"} and path.is_file())


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each picture in a file that `Source.files` gave."""
    if path.suffix.lower() in SUFFIXES:
        yield path.name, path.read_bytes()
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if Path(member.name).suffix.lower() in SUFFIXES and member.isfile() and (file := tar.extractfile(member)):
                yield Path(member.name).name, file.read()


def decode(item: tuple[str, bytes]) -> tuple[str, list[np.ndarray]]:
    """A name, and the picture `[H, W, 3]` uint8 at each of `SCALES`; no picture where it cannot be read."""
    name, data = item
    try:
        with Image.open(io.BytesIO(data)) as image:
            image = image.convert("RGB")
            sizes = [(round(image.width * s), round(image.height * s)) for s in SCALES]
            scaled = [image.resize(size, Image.Resampling.LANCZOS) if size != image.size else image for size in sizes]
    except (OSError, ValueError, Image.DecompressionBombError):
        return name, []
    return name, [np.array(picture) for picture in scaled]


def unreadable(names: list[str]) -> str:
    """Why pictures may have been left out, or nothing."""
    if any(name.lower().endswith(".avif") for name in names) and not features.check("avif"):
        return "this Pillow reads no AVIF (11.3 and later do)"
    return ""
