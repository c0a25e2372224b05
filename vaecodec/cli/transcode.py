"""One file to another, whole or not at all: the work of `compress` and `decompress`, in any process.

Imports no torch before there is a picture to code; what is found done needs none.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaecodec.cli import interruption
from vaecodec.codec import api
from vaecodec.errors import BitstreamError, ImageError, TargetError, VaecodecError
from vaecodec.format import catalog, container, files
from vaecodec.inference.effort import DEFAULT_EFFORT
from vaecodec.pictures import exact, images
from vaecodec.pictures.exchange import output
from vaecodec.pictures.region import Region, reduction_of, squares


@dataclass(frozen=True)
class Report:
    """What became of a file.

    Attributes:
        source, target: paths, or `-`.
        size: (width, height) in pixels.
        read_bytes, written_bytes: sizes of the two files.
        seconds: that it took.
        lost: what of the picture is not kept; `None` if all is.
        skipped: it had been done already.
        exact: share of the picture that a `.vae` file holds without loss.
    """

    source: str
    target: str
    size: tuple[int, int]
    read_bytes: int
    written_bytes: int
    seconds: float
    lost: str | None = None
    skipped: bool = False
    exact: float = 0.0


def compress_file(
    source: str,
    target: str,
    *,
    asked: dict[str, float | None],
    model: str | Path,
    metadata: Collection[str] = tuple(container.METADATA),
    frame: int | None = None,
    effort: int = DEFAULT_EFFORT,
    coding: int | None = None,
    graphics: bool = True,
    lossless: bool = False,
    keep_invisible: bool = False,
    force: bool = False,
    resume: bool = False,
    preserve: bool = False,
) -> Report:
    """Compresses a picture to a `.vae` file.

    Args:
        source, target: paths, or `-` for a standard stream.
        asked: at most one of quality, size, bpp, psnr and ssimulacra2, as `vaecodec.compress` takes them.
        model: a name or a path, see `catalog.model_for`.
        metadata: kinds to keep.
        frame: see `images.open_image`.
        effort, coding, graphics, lossless, keep_invisible: see `vaecodec.compress`.
        force: overwrite a target that exists.
        resume: leave a target alone that is whole, not older than its source, and what would be made now as far as a
            header tells: of the same model, and of the same quality or within the size that is asked for, or without
            loss where that is asked for. Any other is overwritten.
        preserve: the target gets the times of the source, unless either is a stream.

    Raises:
        VaecodecError: with the reason; nothing has been written.
    """
    start = time.perf_counter()
    files.check_target(target, force=force or resume)
    if resume and (header := _compressed(source, target, asked, model, graphics=graphics, lossless=lossless)):
        return _skipped(source, target, (header.width, header.height), start)
    times = files.times_of(source) if preserve else None
    data = files.read(source)
    with images.pixel_limit(container.DEFAULT_MAX_PIXELS):
        planes = images.take_apart(images.open_image(io.BytesIO(data), frame=frame), metadata)
    try:
        if lossless:
            packed = api.compress_lossless(planes, keep_invisible=keep_invisible)
        else:
            with interruption.keeping_the_best(source, effort) as progress:
                options: dict[str, Any] = {"effort": effort, "coding": coding, "progress": progress}
                options |= {"graphics": graphics, "keep_invisible": keep_invisible, **asked}
                packed = api.codecs(model).compress(planes, **options)
    except VaecodecError:
        raise
    except ValueError as error:
        raise TargetError(str(error)) from error
    files.write(target, packed, times)
    height, width = planes.rgb.shape[:2]
    seconds, held = time.perf_counter() - start, exact.share(container.unpack(packed, max_pixels=None))
    return Report(source, target, (width, height), len(data), len(packed), seconds, planes.lost, exact=held)


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
    force: bool = False,
    resume: bool = False,
    preserve: bool = False,
) -> Report:
    """Restores a picture from a `.vae` file.

    Args:
        source, target: paths, or `-` for a standard stream.
        format_name: of the picture, as Pillow names formats.
        background: see `output.written`, which converts what the format cannot hold.
        resume: leave a target alone that can be read, has the right size and is not older than its source.
        region, scale, model, max_pixels, force, preserve: as elsewhere.

    Raises:
        VaecodecError: with the reason; nothing has been written.
    """
    start = time.perf_counter()
    files.check_target(target, force=force or resume)
    if resume and (size := _restored(source, target, region, scale)):
        return _skipped(source, target, size, start)
    times = files.times_of(source) if preserve else None
    data = files.read(source)
    try:
        image = api.decompress(data, region=region, scale=scale, model=model, max_pixels=max_pixels)
    except VaecodecError:
        raise
    except ValueError as error:
        raise ImageError(str(error)) from error
    picture, lost = output.written(image, format_name, background)
    files.write(target, picture, times)
    return Report(source, target, image.size, len(data), len(picture), time.perf_counter() - start, lost)


def _is_newer(source: str, target: str) -> bool:
    """Whether the target exists and is not older than its source."""
    with contextlib.suppress(OSError):
        return files.STREAM not in (source, target) and os.stat(target).st_mtime_ns >= os.stat(source).st_mtime_ns
    return False


def _compressed(
    source: str, target: str, asked: dict[str, float | None], model: str | Path, *, graphics: bool, lossless: bool
) -> container.Header | None:
    """The header of a target that is done; see `compress_file`."""
    if not _is_newer(source, target):
        return None
    try:
        data = files.read(target)
        file = container.unpack(data, max_pixels=None)
    except (BitstreamError, files.FileError):
        return None
    header = file.header
    if lossless:
        return header if header.exact else None
    wanted = catalog.read_model_info(catalog.model_path(model))
    if not (header.exact or wanted.made(header)) or (container.EXACT in file.chunks and not graphics):
        return None
    goals = {name: value for name, value in asked.items() if value is not None}
    limit = goals.get("size", goals.get("bpp", float("inf")) * header.pixels / 8)
    quality = wanted.qualities.code(goals.get("quality"))
    done = len(data) <= limit and (header.quality == quality or (goals and "quality" not in goals))
    return header if done else None


def _restored(source: str, target: str, region: Region | None, scale: float) -> tuple[int, int] | None:
    """The size of a target that is done; see `decompress_file`."""
    if not _is_newer(source, target):
        return None
    try:
        header = api.read_info(source)
        rows, columns = squares((header.width, header.height), region, reduction_of(scale))
        with images.pixel_limit(header.pixels):
            image = images.open_image(target)
    except (OSError, VaecodecError, ValueError):
        return None
    return image.size if image.size == (columns.stop - columns.start, rows.stop - rows.start) else None


def _skipped(source: str, target: str, size: tuple[int, int], start: float) -> Report:
    sizes = os.stat(source).st_size, os.stat(target).st_size
    return Report(source, target, size, *sizes, time.perf_counter() - start, skipped=True)
