"""Pictures to bytes and back in one call each, with the model that is meant; `vaecodec` itself offers what is here.

Imports no torch: the first picture does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vaecodec.codec.kinds import Codecs
from vaecodec.errors import enough_memory
from vaecodec.format import inputs
from vaecodec.format.catalog import find_model, model_for, model_path
from vaecodec.format.container import DEFAULT_MAX_PIXELS, Header, VaeFile, read_header, unpack
from vaecodec.inference import arguments
from vaecodec.inference.effort import DEFAULT_EFFORT, Progress
from vaecodec.pictures.region import Region, reduction_of, squares

if TYPE_CHECKING:
    from PIL import Image

    from vaecodec.pictures.images import ImageLike, Planes

codecs = Codecs()
"""The codecs of this process, by model."""


def compress(
    image: ImageLike,
    *,
    quality: float | None = None,
    size: float | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    ssimulacra2: float | None = None,
    effort: int = DEFAULT_EFFORT,
    coding: int | None = None,
    progress: Progress | None = None,
    graphics: bool = True,
    lossless: bool = False,
    keep_invisible: bool = False,
    tune: Literal["looks", "psnr"] | None = None,
    model: str | Path | None = None,
    frame: int | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> bytes:
    """A picture as the bytes of a `.vae` file.

    Args:
        image: a path, a binary file, which is read from its beginning, a Pillow image, or a uint8 array `[H, W]` or
            `[H, W, 2 to 4]`.
        quality: 1 (smallest) to 100; need not be whole. With `tune="looks"`, from 30 on, photographs come out at a
            SSIMULACRA2 of about that number. If nothing is asked for: 70, with `tune="psnr"` 50.
        size: instead of a quality, the largest file of at most so many bytes,
        bpp: the same in bits per pixel,
        psnr: or the smallest file of at least so many dB (RGB); it means `tune="psnr"` unless told otherwise,
        ssimulacra2: or the smallest file of at least that SSIMULACRA2.
        effort: 0 (one pass of the encoder) to 9 (most steps of descent for this picture); see `effort.EFFORTS`. From
            2 on no level gives a picture with a larger λ·D + R than 0, and none makes decoding slower.
        coding: of the hyperlatents: 0 rounds them, 1 codes them with bits-back where that is possible; `None` takes
            what gives the smaller file, from effort 3 on, and 0 below.
        progress: called after each step of the levels from 4 on with how many of how many are done; if it returns
            `False`, the best so far is taken.
        graphics: hold what looks drawn (text, screens, icons), all of the picture or tiles of it, without loss where
            that is the better bargain.
        lossless: hold all of it without loss; takes no model, and excludes what else can be asked for.
        keep_invisible: keep the colours of what is fully transparent, and alpha without loss.
        tune: for what the model was trained: "looks" (the default), or "psnr", least squared error.
        model: instead of a tune: a name from `list_models` or a path.
        frame: of an animation or a file of several pages, from 1; by default the first, or where the picture stands.
        max_pixels: refuse larger pictures, before they are read, as `decompress` does; `None` for no limit. Pillow's
            own limit does not count, unless the program has set `Image.MAX_IMAGE_PIXELS` lower than Pillow does: then
            both do, for paths and files.

    Raises:
        ImageError: the picture cannot be used, or has no such frame.
        LimitError: it is larger than `max_pixels`, or there is not enough memory for it.
        ModelError: the model is unknown or damaged.
        TargetError: no quality gives what is asked for; the message names the nearest.
        TypeError: the image, or what is given for an option, is of a type that is not taken.
        ValueError: an option is out of range, more than one thing is asked for, or both a model and a tune.
    """
    goals = {"quality": quality, "size": size, "bpp": bpp, "psnr": psnr, "ssimulacra2": ssimulacra2}
    arguments.checked(lossless=lossless, tune=tune, model=model, **goals)
    how = arguments.checked(
        effort=effort, coding=coding, progress=progress, graphics=graphics, keep_invisible=keep_invisible, **goals
    )
    opening = arguments.checked(frame=frame, max_pixels=max_pixels)
    meant = model_for(model, tune, psnr=psnr)
    if not lossless:
        model_path(meant)  # before a picture is read for it
    from vaecodec.pictures import images  # numpy and Pillow take their time

    planes = images.planes_of(image, **opening)
    if lossless:
        return compress_lossless(planes, keep_invisible=how["keep_invisible"], max_pixels=None)
    return codecs(meant).compress(planes, max_pixels=None, **how)


@enough_memory()
def compress_lossless(
    image: ImageLike | Planes, *, keep_invisible: bool = False, max_pixels: int | None = DEFAULT_MAX_PIXELS
) -> bytes:
    """A picture as the bytes of a `.vae` file that holds all of it without loss; see `compress`. Imports no torch."""
    from vaecodec.pictures import exact, images

    planes = images.planes_of(image, max_pixels=max_pixels)
    data = exact.file_of(planes, exact.pack_all(planes, keep_invisible=keep_invisible))
    exact.check(unpack(data, max_pixels=None), planes)
    return data


def decompress(
    data: inputs.Source,
    *,
    region: Region | None = None,
    scale: float = 1,
    model: str | Path | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> Image.Image:
    """The picture in a `.vae` file, in the size and mode that it had.

    Args:
        data: the file's content (bytes), its path, or a binary file, which is read from its beginning.
        region: only this part, (left, top, width, height) in pixels.
        scale: 1, 1/2, 1/4 or 1/8: a smaller picture, means of squares of 2, 4 or 8 pixels a side. Of a region, all
            squares that it touches.
        model: for a model that is not installed: its file. By default the file says which one.
        max_pixels: refuse larger pictures; `None` for no limit.

    Raises:
        BitstreamError: the data is not a whole and sound `.vae` file.
        LimitError: the picture is larger than `max_pixels`.
        ModelError: the model that made the file is not installed, or the one that is given unknown.
        OSError: the file cannot be read.
        TypeError: the data, or what is given for an option, is of a type that is not taken.
        ValueError: the region is not within the picture, or there is no such scale.
    """
    asked = arguments.checked(region=region, scale=scale, max_pixels=max_pixels)
    arguments.checked(model=model)
    region, scale, max_pixels = asked.values()
    chosen = None if model is None else model_path(model)
    data = inputs.content_of(data)
    file = unpack(data, max_pixels=max_pixels)
    header = file.header
    squares((header.width, header.height), region, reduction_of(scale))
    if header.exact:
        return restore(file, region, scale)
    return codecs(chosen or find_model(header).path).decompress(data, **asked)


@enough_memory()
def restore(file: VaeFile, region: Region | None = None, scale: float = 1) -> Image.Image:
    """The picture of a file that is exact as a whole; see `decompress`. Imports no torch."""
    from vaecodec.pictures import exact

    return exact.restore(file, region, scale)


def read_info(data: inputs.Source) -> Header:
    """The header of a `.vae` file, from its content, its path or a binary file; nothing else of it is read.

    Raises:
        BitstreamError: there is no sound header.
        OSError: the file cannot be read.
        TypeError: it is none of these.
    """
    return read_header(inputs.head_of(data))
