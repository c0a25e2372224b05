"""Training pictures, held decoded in memory, and the crops that are taken from them."""

from __future__ import annotations

import io
import queue
import tarfile
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ppm"}
SCALES = (1.0, 0.7, 0.5)
"""Every picture is kept at these scales; crops come from the first one half of the time."""
VALIDATION_ONE_IN = 40
"""A picture is for validation if the CRC of its name is a multiple of this: the same ones in every run."""


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield path.name, path.read_bytes()
            elif path.suffix.lower() == ".tar":
                yield from _files(path)
    else:
        with tarfile.open(source) as tar:
            for member in tar:
                if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                    yield Path(member.name).name, tar.extractfile(member).read()


def is_held_out(name: str) -> bool:
    """Whether a picture is for validation; see `VALIDATION_ONE_IN`."""
    return zlib.crc32(name.encode()) % VALIDATION_ONE_IN == 0


def held_out(sources: list[Path], *, minimum: int = 256) -> dict[str, Tensor]:
    """The pictures that training holds out, by name, `[3, H, W]` uint8; no other one is decoded."""
    pictures = {}
    for source in sources:
        for name, data in _files(source):
            if is_held_out(name):
                scaled = _decode((name, data))[1]
                if scaled and min(scaled[0].shape[1:]) >= minimum:
                    pictures[name] = scaled[0]
    return pictures


def _decode(item: tuple[str, bytes]) -> tuple[str, list[Tensor]]:
    name, data = item
    try:
        with Image.open(io.BytesIO(data)) as image:
            image = image.convert("RGB")
            sizes = [(round(image.width * s), round(image.height * s)) for s in SCALES]
            scaled = [image.resize(size, Image.Resampling.LANCZOS) if size != image.size else image for size in sizes]
    except (OSError, ValueError, Image.DecompressionBombError):
        return name, []
    return name, [torch.from_numpy(np.array(im)).permute(2, 0, 1) for im in scaled]


class Pictures:
    """Pictures as uint8 tensors `[3, H, W]`, split into training and validation by name.

    Args:
        sources: folders, of pictures and tar files, or tar files.
        minimum: pictures with a side below this are left out.
        workers: decoding threads.

    Attributes:
        train: lists of pictures, each at those of `SCALES` at which it is large enough.
        validation: pictures.
        left_out: names of files that could not be read or were too small.
    """

    def __init__(self, sources: list[Path], *, minimum: int = 256, workers: int = 2):
        self.train: list[list[Tensor]] = []
        self.validation: list[Tensor] = []
        self.left_out: list[str] = []
        with ThreadPoolExecutor(workers) as pool:
            for source in sources:
                for name, scaled in pool.map(_decode, _files(source)):
                    scaled = [picture for picture in scaled if min(picture.shape[1:]) >= minimum]
                    if not scaled:
                        self.left_out.append(name)
                    elif is_held_out(name):
                        self.validation.append(scaled[0])
                    else:
                        self.train.append(scaled)
        if not self.train:
            raise ValueError(
                f"no training pictures of at least {minimum} pixels a side in {', '.join(map(str, sources))}"
            )

    def crops(self, count: int, size: int, generator: np.random.Generator, part: slice = slice(None)) -> Tensor:
        """Random crops `[count, 3, size, size]` uint8: pictures by the root of their area, flipped and turned.

        Args:
            part: of these crops, the ones that are wanted.
        """
        areas = [p[0].shape[1] * p[0].shape[2] if min(p[0].shape[1:]) >= size else 0 for p in self.train]
        weights = np.sqrt(areas)
        chosen = generator.choice(len(self.train), count, p=weights / weights.sum())
        generators = generator.spawn(count)
        return torch.stack([_crop(self.train[chosen[i]], size, generators[i]) for i in range(count)[part]])

    def validation_crops(self, size: int) -> Tensor:
        """The middle of each validation picture, `[N, 3, size, size]` in [0, 1]; smaller ones are left out."""
        crops = []
        for picture in self.validation:
            top, left = ((side - size) // 2 for side in picture.shape[1:])
            if top >= 0 and left >= 0:
                crops.append(picture[:, top : top + size, left : left + size])
        if not crops:
            raise ValueError(f"no validation picture of at least {size} pixels a side")
        return torch.stack(crops).float() / 255

    def patches(self, count: int, side: int, generator: np.random.Generator) -> Tensor:
        """Random patches `[count, 3 side²]` in [-1/2, 1/2], in `space_to_depth`'s order."""
        rows = []
        for i in generator.integers(len(self.train), size=count):
            picture = self.train[i][0]
            top, left = (generator.integers(s - side + 1) for s in picture.shape[1:])
            rows.append(picture[:, top : top + side, left : left + side].permute(1, 2, 0).reshape(-1))
        return torch.stack(rows).float() / 255 - 0.5


def _crop(scaled: list[Tensor], size: int, generator: np.random.Generator) -> Tensor:
    usable = [picture for picture in scaled if min(picture.shape[1:]) >= size]
    picture = usable[generator.integers(len(usable)) if generator.random() < 0.5 else 0]
    top, left = (generator.integers(s - size + 1) for s in picture.shape[1:])
    crop = torch.rot90(picture[:, top : top + size, left : left + size], int(generator.integers(4)), (1, 2))
    return crop.flip(2) if generator.integers(2) else crop


class Batches:
    """Makes batches one ahead, in a thread.

    Args:
        seed: of the choice of crops and qualities.
        rank, size: of how many processes this is which. Together their batches are the one that a single process would
            have had.
    """

    def __init__(self, pictures: Pictures, seed: list[int], rank: int = 0, size: int = 1):
        self.pictures, self.generator = pictures, np.random.default_rng(seed)
        self.rank, self.size = rank, size
        self.queue: queue.Queue = queue.Queue(2)
        self.shape = (0, 0)
        self.thread: threading.Thread | None = None

    def _run(self) -> None:
        while True:
            count, side = self.shape
            part = slice(count * self.rank, count * (self.rank + 1))
            crops = self.pictures.crops(count * self.size, side, self.generator, part)
            qualities = torch.from_numpy(self.generator.random(count * self.size, np.float32)[part])
            self.queue.put(((count, side), crops, qualities))

    def next(self, count: int, size: int) -> tuple[Tensor, Tensor]:
        """The next `[count, 3, size, size]` uint8 crops, and for each a quality in [0, 1)."""
        self.shape = (count, size)
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, daemon=True)
            self.thread.start()
        while True:
            shape, crops, qualities = self.queue.get()
            if shape == (count, size):
                return crops, qualities
