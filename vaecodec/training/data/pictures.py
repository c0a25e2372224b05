"""Training pictures: read, split into training and validation, and looked for again while training runs."""

from __future__ import annotations

import contextlib
import os
import queue
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaecodec.training.data.sources import SCALES, SUFFIXES, Source, decode, is_held_out, is_whole, members, unreadable
from vaecodec.training.data.store import NUMBERS, Store

LOOK_S = 2.0
"""Time between two looks at the sources; a tar file is taken if it has not grown between them."""
MEMORY_BYTES = 6e9
"""For pixels, by default; 942 pictures of 684 megapixels and 330 of graphics take 3.9 GB."""
WAITING = 64
"""Decoded pictures that wait to be taken over, at most."""
News = tuple[str, list[np.ndarray], bool]
"""Name of a picture, it at all scales, and whether it is one of graphics."""


def held_out(
    sources: list[Path], *, minimum: int = 256, wanted: Callable[[str], bool] = is_held_out
) -> dict[str, Tensor]:
    """The pictures that training holds out, by name, `[3, H, W]` uint8; no other one is decoded.

    Args:
        wanted: by its name, whether a picture is; other ones can be had so, too.
    """
    pictures = {}
    for source in sources:
        for path in Source(source).files():
            for name, data in members(path):
                if wanted(name):
                    scaled = decode((name, data))[1]
                    if scaled and min(scaled[0].shape[:2]) >= minimum:
                        pictures[name] = torch.from_numpy(scaled[0]).permute(2, 0, 1)
    return pictures


class Pictures:
    """Pictures on a device, split into training and validation by name.

    Args:
        sources: folders, of pictures and tar files, or tar files.
        minimum: pictures with a side below this are left out.
        workers: decoding threads; as many as there are processors by default.
        graphics: sources of drawings, icons and pages, from which `graphics_share` of the crops come.
        memory_bytes: for pixels; what finds no room is left out.

    Attributes:
        store: what crops are taken from.
        validation, validation_graphics: pictures `[H, W, 3]` uint8, by name.
        incomplete: names of tar files that do not read to their end.
        left_out: names of files that could not be read, were too small, or found no room.

    Raises:
        ValueError: no picture can be used.
    """

    def __init__(
        self,
        sources: list[Path],
        *,
        minimum: int = 256,
        workers: int | None = None,
        graphics: tuple[Path, ...] = (),
        graphics_share: float = 1 / 6,
        memory_bytes: float = MEMORY_BYTES,
        device: torch.device | str = "cpu",
    ):
        self.sources = [Source(path) for path in sources] + [Source(path, graphics=True) for path in graphics]
        self.minimum, self.workers, self.graphics_share = minimum, workers or os.cpu_count(), graphics_share
        self.store = Store(memory_bytes, len(SCALES), device)
        self.validation: dict[str, np.ndarray] = {}
        self.validation_graphics: dict[str, np.ndarray] = {}
        self.left_out: list[str] = []
        self.incomplete: set[str] = set()
        self._taken: dict[Path, tuple[int, int]] = {}
        self._queue: queue.Queue[News] = queue.Queue(WAITING)
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        with ThreadPoolExecutor(self.workers) as pool:
            for item in self._news(pool, None):
                self._put(*item)
        if not self.store.count:
            raise ValueError(self._why_none())
        self.store.choose(graphics_share)

    def _why_none(self) -> str:
        where = ", ".join(str(source.path) for source in self.sources)
        reasons = [f"no training pictures of at least {self.minimum} pixels a side in {where}"]
        if self.incomplete:
            reasons.append(f"not whole: {', '.join(sorted(self.incomplete))}")
        if reason := unreadable(self.left_out):
            reasons.append(reason)
        return "; ".join(reasons)

    @property
    def count(self) -> int:
        """Pictures to train on."""
        return self.store.count

    def _news(self, pool: ThreadPoolExecutor, seen: dict[Path, tuple[int, int]] | None) -> Iterator[News]:
        """Name, picture at all scales and kind, of what is new in the sources.

        Args:
            seen: size and time of each file at the look before, brought up to date here: what has changed since then
                is left for the next look. `None` takes all that is whole.
        """
        for source in self.sources:
            for path in source.files():
                status = path.stat()
                mark = (status.st_size, status.st_mtime_ns)
                still = seen is None or seen.get(path) == mark
                if seen is not None:
                    seen[path] = mark
                if not still or self._taken.get(path) == mark:
                    continue
                if path.suffix.lower() not in SUFFIXES and not is_whole(path):
                    self.incomplete.add(path.name)
                    continue
                self.incomplete.discard(path.name)
                self._taken[path] = mark
                for name, scaled in pool.map(decode, members(path)):
                    yield name, scaled, source.graphics

    def _put(self, name: str, scaled: list[np.ndarray], graphics: bool) -> None:
        scaled = [picture for picture in scaled if min(picture.shape[:2]) >= self.minimum]
        if scaled and is_held_out(name):
            (self.validation_graphics if graphics else self.validation)[name] = scaled[0]
        elif not scaled or not self.store.add(scaled, graphics=graphics):
            self.left_out.append(name)

    def watch(self) -> None:
        """Looks for new pictures from now on, in a thread; `take_news` adds them."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        seen: dict[Path, tuple[int, int]] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            while not self._stopping.wait(LOOK_S):
                # a file may vanish or be written anew while it is read
                with contextlib.suppress(OSError, tarfile.TarError):
                    for item in self._news(pool, seen):
                        while not self._stopping.is_set():
                            with contextlib.suppress(queue.Full):
                                self._queue.put(item, timeout=LOOK_S)
                                break

    def take_news(self) -> int:
        """Adds pictures that have been found since; returns how many. For between two steps."""
        count = self._queue.qsize()
        for _ in range(count):
            self._put(*self._queue.get())
        if count:
            self.store.choose(self.graphics_share)
        return count

    def close(self) -> None:
        """Ends the look-out."""
        self._stopping.set()

    def crops(self, count: int, size: int, generator: np.random.Generator) -> Tensor:
        """Random crops `[count, 3, size, size]` uint8: pictures by the root of their area, flipped and turned."""
        self.store.prepare(size)
        numbers = torch.from_numpy(generator.random((count, NUMBERS), np.float32))
        return self.store.crops(numbers.to(self.store.device), size)

    def patches(self, count: int, side: int, generator: np.random.Generator) -> Tensor:
        """Random patches `[count, 3 side²]` in [-1/2, 1/2], in `space_to_depth`'s order."""
        crops = self.crops(count, side, generator).cpu()
        return crops.permute(0, 2, 3, 1).reshape(count, -1).float() / 255 - 0.5
