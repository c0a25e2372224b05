"""One file to another, whole or not at all: the work of `compress` and `decompress`, in any process.

Imports no torch before there is a picture to code; what is found done needs none.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vaecodec.cli import done, interruption
from vaecodec.cli.done import Found, Made
from vaecodec.codec import api
from vaecodec.errors import ImageError, TargetError, VaecodecError
from vaecodec.format import catalog, container, files
from vaecodec.inference.effort import DEFAULT_EFFORT
from vaecodec.pictures import exact, images
from vaecodec.pictures.exchange import metadata as beside
from vaecodec.pictures.exchange import output
from vaecodec.pictures.region import Region

ALL = tuple(container.METADATA)
Find = Callable[[str, bytes], Found | None]
"""Of a path and what is there: how it was made, see `done`."""


@dataclass(frozen=True)
class Report:
    """What became of a file.

    Attributes:
        source, target: paths, or `-`.
        size: (width, height) in pixels; of what had been done already, nothing.
        read_bytes, written_bytes: sizes of the two files.
        seconds: that it took.
        lost: what of the picture is not kept; `None` if all is.
        skipped: it had been done already.
        exact: share of the picture that a `.vae` file holds without loss.
    """

    source: str
    target: str
    size: tuple[int, int] = (0, 0)
    read_bytes: int = 0
    written_bytes: int = 0
    seconds: float = 0.0
    lost: str | None = None
    skipped: bool = False
    exact: float = 0.0


@dataclass(frozen=True)
class Writing:
    """How outputs are written.

    Attributes:
        in_folder: they are of many: folders that they lie in are made, and how they were made is written down.
        force: replace a target that exists.
        resume: leave a target alone that is done, and replace one that is outdated, see `done`.
        preserve: a target gets the times of its source, unless either is a stream.
    """

    in_folder: bool = False
    force: bool = False
    resume: bool = False
    preserve: bool = False


class _Output:
    """One output, from before it is made until it is there.

    Args:
        find: how what is there was made.
        model: a name or a path, which is not written over.

    Raises:
        FileError: it cannot be written, or is not to be.
    """

    def __init__(self, source: str, target: str, writing: Writing, find: Find, model: str | Path | None):
        self.source, self.target, self.writing, self._find = source, target, writing, find
        self.recorded = (writing.in_folder or writing.resume) and not files.is_stream(target)
        self._over: files.Version | None = None
        if writing.in_folder:
            files.make_folder(Path(target).parent)
        files.check_target(target, force=writing.force or writing.resume, sources=[source, model])
        preserve = writing.preserve and files.STREAM not in (source, target)
        self._times = files.times_of(source) if preserve else None

    def is_done(self, made: Made) -> bool:
        """Whether it is there already, made as it would be now."""
        if not (self.writing.resume and self.recorded and os.path.exists(self.target)):
            return False
        self._over = files.version(self.target)
        data = files.read(self.target)
        found = self._find(self.target, data) if data else done.EMPTY
        is_done = done.is_done(self.source, self.target, made, found, force=self.writing.force)
        if is_done and self._times:
            files.set_times(self.target, self._times)
        return is_done

    def write(self, data: bytes, made: Made) -> bool:
        """Writes it; `False` if meanwhile another run has done so, in the same way."""
        try:
            files.write(self.target, data, self._times, force=self.writing.force, over=self._over)
        except files.Exists:
            if not self.is_done(made):
                raise
            return False
        return True


def compress_file(
    source: str,
    target: str,
    *,
    asked: dict[str, float | None],
    model: str | Path,
    metadata: Collection[str] = ALL,
    frame: int | None = None,
    effort: int = DEFAULT_EFFORT,
    coding: int | None = None,
    graphics: bool = True,
    lossless: bool = False,
    keep_invisible: bool = False,
    max_pixels: int | None = container.DEFAULT_MAX_PIXELS,
    writing: Writing = Writing(),
) -> Report:
    """Compresses a picture to a `.vae` file.

    Args:
        source, target: paths, or `-` for a standard stream.
        asked: at most one of quality, size, bpp, psnr and ssimulacra2, as `vaecodec.compress` takes them.
        model: a name or a path, see `catalog.model_for`.
        metadata: kinds to keep.
        frame, max_pixels: see `images.open_image`.
        effort, coding, graphics, lossless, keep_invisible: see `vaecodec.compress`.

    Raises:
        VaecodecError: with the reason; nothing has been written.
    """
    start = time.perf_counter()
    out = _Output(source, target, writing, done.find_file, model)
    data = files.read(source)
    how = {"lossless": True} if lossless else _asked_of_model(model, asked, effort, coding, graphics=graphics)
    what: dict[str, object] = {"keep-invisible": keep_invisible, "frame": frame, "metadata": _kinds(metadata)}
    made = Made.of(source, data, {**how, **what})
    if out.is_done(made):
        return Report(source, target, skipped=True)
    image = images.open_image(io.BytesIO(data), frame=frame, max_pixels=max_pixels)
    planes = images.take_apart(image, metadata)
    if out.recorded:
        planes = replace(planes, metadata=planes.metadata | {container.MADE: made.to_bytes()})
    try:
        if lossless:
            packed = api.compress_lossless(planes, keep_invisible=keep_invisible, max_pixels=None)
        else:
            with interruption.keeping_the_best(source, effort, stoppable=not out.recorded) as progress:
                options: dict[str, Any] = {"effort": effort, "coding": coding, "progress": progress, "max_pixels": None}
                options |= {"graphics": graphics, "keep_invisible": keep_invisible, **asked}
                packed = api.codecs(model).compress(planes, **options)
    except VaecodecError:
        raise
    except ValueError as error:
        raise TargetError(str(error)) from error
    if not out.write(packed, made):
        return Report(source, target, skipped=True)
    height, width = planes.rgb.shape[:2]
    seconds, held = time.perf_counter() - start, exact.share(container.unpack(packed, max_pixels=None))
    return Report(source, target, (width, height), len(data), len(packed), seconds, planes.lost, exact=held)


def _asked_of_model(
    model: str | Path, asked: dict[str, float | None], effort: int, coding: int | None, *, graphics: bool
) -> dict[str, object]:
    """What is asked of a model, by names and in values that mean the same later."""
    info = catalog.read_model_info(catalog.model_path(model))
    goals: dict[str, object] = {name: float(value) for name, value in asked.items() if value is not None}
    if not goals or "quality" in goals:
        goals = {"code": info.qualities.code(asked.get("quality"))}
    return {
        "model": info.model_id.hex(),
        **goals,
        "effort": effort,
        "coding": coding,
        "graphics": None if graphics else "off",
    }


def _kinds(metadata: Collection[str]) -> str | None:
    """Kinds of metadata as one word, if they are not all."""
    return None if set(metadata) >= set(ALL) else ",".join(sorted(metadata)) or "none"


def decompress_file(
    source: str,
    target: str,
    *,
    format_name: str,
    region: Region | None = None,
    scale: float = 1,
    model: str | None = None,
    max_pixels: int | None = container.DEFAULT_MAX_PIXELS,
    background: str = "white",
    metadata: Collection[str] = ALL,
    writing: Writing = Writing(),
) -> Report:
    """Restores a picture from a `.vae` file.

    Args:
        source, target: paths, or `-` for a standard stream.
        format_name: of the picture, as Pillow names formats.
        background: see `output.written`, which converts what the format cannot hold.
        metadata: kinds to keep.
        region, scale, model, max_pixels: see `vaecodec.decompress`.

    Raises:
        VaecodecError: with the reason; nothing has been written.
    """
    start = time.perf_counter()
    out = _Output(source, target, writing, done.find_picture, model)
    data = files.read(source)
    made = Made.of(source, data, {
        "format": format_name, "region": region, "scale": None if scale == 1 else float(scale),
        "background": None if background == "white" else background, "metadata": _kinds(metadata),
    })  # fmt: skip
    if out.is_done(made):
        return Report(source, target, skipped=True)
    try:
        image = api.decompress(data, region=region, scale=scale, model=model, max_pixels=max_pixels)
    except VaecodecError:
        raise
    except ValueError as error:
        raise ImageError(str(error)) from error
    picture, lost = output.written(beside.only(image, metadata), format_name, background)
    if out.recorded:
        done.record(target, picture, made)
    if not out.write(picture, made):
        return Report(source, target, skipped=True)
    return Report(source, target, image.size, len(data), len(picture), time.perf_counter() - start, lost)
