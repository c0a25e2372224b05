"""Pictures as Pillow knows them, to 8-bit RGB planes with alpha beside them, and back. Imports no torch.

| mode                    | coded as                | comes back as | not kept                          |
|-------------------------|-------------------------|---------------|-----------------------------------|
| RGB, L                  | itself                  | the same      |                                   |
| RGBA, LA (RGBa, La)     | itself, alpha lossless  | RGBA, LA      | premultiplication                 |
| RGBX                    | RGB                     | RGB           | the padding channel               |
| 1                       | L, threshold at 128     | 1             |                                   |
| P, PA, P + transparency | RGB or RGBA             | RGB, RGBA     | the palette                       |
| CMYK                    | RGB, by Pillow's rules  | the same      | the black separation              |
| YCbCr, HSV              | RGB, by Pillow's rules  | the same      | what rounding to RGB takes        |
| I;16 (any byte order)   | L, the upper eight bits | I;16          | bits below the eighth             |
| I;16 + transparency     | the same, with alpha    | LA            | bits below the eighth             |
| I, F with 0 to 255      | L                       | I, F          | fractions                         |
| F with 0 to 1           | L, 255 times as large   | F, 0 to 255   | fractions, the scale              |

Anything else is refused with the reason. Of more than eight bits a sample in a file the upper eight are kept, and of
several frames or pages the one at which the picture stands, which is said. Exif orientation is applied, so the picture
that comes back stands upright. What is kept beside the pixels is in `pictures.metadata`.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from vaecodec.errors import Corrupt, ImageError, LimitError, enough_memory
from vaecodec.format.container import ALPHA_MODES, DEFAULT_MAX_PIXELS, MAX_SIDE, METADATA, check_pixels
from vaecodec.format.inputs import FileLike, Kind, kind_of, refusal
from vaecodec.pictures import lossless
from vaecodec.pictures.exchange import metadata as beside
from vaecodec.pictures.exchange import sources

ImageLike = FileLike | Image.Image | np.ndarray

_ROUNDED = "what rounding to RGB takes"
_KEPT_BY_RGB = {
    "RGB": None, "RGBX": "the padding channel", "CMYK": "the black separation", "YCbCr": _ROUNDED, "HSV": _ROUNDED,
}  # fmt: skip
_STORED_AS = {"RGBX": "RGB", "RGBa": "RGBA", "La": "LA", "I;16B": "I;16", "I;16L": "I;16", "I;16N": "I;16"}
_LOW_BITS = "bits below the eighth"
_UPRIGHT = dict(zip(range(2, 9), (
    Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
), strict=True))  # fmt: skip
"""What makes a picture upright, by Exif's orientation."""


PICTURE_SUFFIXES = (
    ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""What is taken for a picture in a folder, in small letters. Some need a plug-in of Pillow's (`.heic`, `.jxl`)."""


@dataclass(frozen=True)
class Planes:
    """A picture, taken apart.

    Attributes:
        rgb: `[H, W, 3]` uint8.
        alpha: `[H, W]` uint8, or `None`.
        mode: the Pillow mode to come back in, as a header stores it.
        lost: what cannot be kept, for a message; `None` if nothing.
        metadata: by chunk type.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    mode: str
    lost: str | None
    metadata: dict[bytes, bytes] = field(default_factory=dict)


PILLOWS_LIMIT = 2**30 // 12
"""What `Image.MAX_IMAGE_PIXELS` is unless a program sets it: a third of what this package takes."""
_changing = threading.Lock()
_limits: list[int | None] = []
"""First the program's own, then those that hold now, of all threads; empty when none does."""


@contextlib.contextmanager
def pixel_limit(pixels: int | None) -> Iterator[None]:
    """Within it, Pillow warns of pictures with more pixels than that, and refuses those with twice as many.

    Its limit is the process's: of several threads' the widest holds, and after the last of them the program's own.
    """
    with _changing:
        if not _limits:
            _limits.append(Image.MAX_IMAGE_PIXELS)
        _limits.append(pixels)
        Image.MAX_IMAGE_PIXELS = _widest(_limits[1:])
    try:
        yield
    finally:
        with _changing:
            del _limits[_limits.index(pixels, 1)]
            Image.MAX_IMAGE_PIXELS = _widest(_limits[1:] or [_limits.pop()])


def _widest(limits: list[int | None]) -> int | None:
    return None if None in limits else max(limit for limit in limits if limit is not None)


@contextlib.contextmanager
def _pillow_allowing(max_pixels: int | None) -> Iterator[None]:
    """Within it, Pillow's limit is no narrower than ours, unless the program has set it lower than Pillow does.

    Raises:
        LimitError: what is opened in it is beyond Pillow's limit.
    """
    own = Image.MAX_IMAGE_PIXELS
    lowered = own is not None and own < PILLOWS_LIMIT
    limit = own if lowered else _widest([own, max_pixels])
    try:
        with contextlib.nullcontext() if lowered else pixel_limit(limit):
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # where warnings are errors
        least = min(value for value in (limit, max_pixels) if value is not None)
        raise LimitError(f"the picture has too many pixels, more than the limit of {least}") from error


@enough_memory()
def open_image(
    source: ImageLike, *, max_pixels: int | None = DEFAULT_MAX_PIXELS, frame: int | None = None
) -> Image.Image:
    """A Pillow image from a path, a file, a Pillow image or a uint8 array `[H, W]`, `[H, W, 2]` to `[H, W, 4]`.

    Args:
        source: a file is read from its beginning.
        max_pixels: refuse larger pictures before they are read; `None` for no limit. Pillow's own limit does not count,
            unless the program has set `Image.MAX_IMAGE_PIXELS` lower than Pillow does: then both do.
        frame: which frame or page, from 1; by default that at which the picture stands, in nearly all files the first.

    Raises:
        ImageError: it cannot be read, or has no such frame.
        LimitError: it is larger than `max_pixels`, or there is not enough memory for it.
        TypeError: it is none of these.
    """
    if isinstance(source, Image.Image):
        check_pixels(*source.size, max_pixels)
        if frame is not None:
            sources.choose_frame(source, frame)
            check_pixels(*source.size, max_pixels)
        return source
    if isinstance(source, np.ma.MaskedArray):
        raise ImageError("a masked array is no picture; `filled` makes it one")
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8:
            raise ImageError(f"the array has dtype {source.dtype}; uint8 is needed")
        if source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (2, 3, 4)) or 0 in source.shape:
            raise ImageError(f"the array has shape {source.shape}; [H, W] or [H, W, 2 to 4] is needed")
        check_pixels(source.shape[1], source.shape[0], max_pixels)
        return open_image(Image.fromarray(np.ascontiguousarray(source)), max_pixels=None, frame=frame)
    kind = kind_of(source)
    if kind not in (Kind.PATH, Kind.FILE):
        raise refusal(source, "a picture's path, a binary file, a Pillow image or a uint8 array")
    name = f"{os.fsdecode(source)}: " if kind == Kind.PATH else ""  # type: ignore[arg-type]
    try:
        with _pillow_allowing(max_pixels):
            image = open_image(Image.open(source), max_pixels=max_pixels, frame=frame)
            told = sources.untold(image)
            image.load()
            image.info |= told
    except FileNotFoundError as error:
        raise ImageError(f"{name}no such file") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}not an image that Pillow can read") from error
    except MemoryError:
        raise
    except (ImageError, LimitError) as error:
        raise type(error)(f"{name}{error}") from error
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise ImageError(f"{name}cannot be read as an image ({error})") from error
    return image


@enough_memory()
def planes_of(
    source: ImageLike | Planes, *, max_pixels: int | None = DEFAULT_MAX_PIXELS, frame: int | None = None
) -> Planes:
    """`open_image` and `take_apart`; an array `[H, W, 3]` takes neither, nor the memory for it, nor do `Planes`."""
    if isinstance(source, np.ndarray) and _are_planes(source):
        source = Planes(source, None, "RGB", None)
    if not isinstance(source, Planes):
        return take_apart(open_image(source, max_pixels=max_pixels, frame=frame))
    height, width = source.rgb.shape[:2]
    check_pixels(width, height, max_pixels)
    if frame not in (None, 1):
        raise ImageError(f"there is no frame {frame}: the picture has 1")
    return source


def _are_planes(array: np.ndarray) -> bool:
    """Whether an array is a picture in RGB as it is, which a header can hold, and there are pixels in it."""
    if isinstance(array, np.ma.MaskedArray) or array.dtype != np.uint8 or array.shape[2:] != (3,):
        return False
    return min(array.shape) > 0 and max(array.shape) <= MAX_SIDE


@enough_memory()
def take_apart(image: Image.Image, metadata: Collection[str] = tuple(METADATA)) -> Planes:
    """Applies the Exif orientation and splits a picture by the table above.

    Args:
        metadata: which of the kinds in `container.METADATA` to keep.

    Raises:
        ImageError: the mode, the values or the size cannot be coded.
        LimitError: there is not enough memory for it.
    """
    if max(image.size) > MAX_SIDE:
        raise ImageError(f"a picture of {image.width}x{image.height} is too large: sides go up to {MAX_SIDE}")
    if min(image.size) == 0:
        raise ImageError("the picture has no pixels")
    try:
        told = sources.untold(image)
        image.load()
        turn, info = _UPRIGHT.get(_orientation(image)), image.info | told
        upright = image if turn is None else image.transpose(turn)
        if told:
            upright = upright.copy()
            upright.info |= told
        planes = _take_apart(upright)
        kept = beside.read(image, info, planes.mode, turned=turn is not None, kinds=metadata)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # as above
        raise ImageError(f"the picture cannot be read ({error})") from error
    shallow = _LOW_BITS if sources.BITS in info and planes.mode != "I;16" else None
    lost = ", ".join(filter(None, [planes.lost, shallow, *kept.lost]))
    return replace(planes, lost=lost or None, metadata=kept.chunks)


def _orientation(image: Image.Image) -> int:
    """Exif's, or XMP's; 1 where neither can be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow raises many kinds on damaged Exif
        return 1


def _take_apart(image: Image.Image) -> Planes:
    mode = _STORED_AS.get(image.mode, image.mode)
    if image.mode == "P" and image.palette is None:  # as Pillow reads some ICNS
        image, mode = image.convert("RGB"), "RGB"
    transparent = image.has_transparency_data
    if image.mode in ("P", "PA") or (image.mode in ("RGB", "L", "1") and transparent):
        lost = "the palette" if image.mode in ("P", "PA") else None
        mode = "P" if lost and not transparent else "PA" if lost else "RGBA"
        image = image.convert("RGBA" if transparent else "RGB")
        pixels = np.asarray(image)
        return Planes(pixels[..., :3], pixels[..., 3] if transparent else None, mode, lost)
    if image.mode in _KEPT_BY_RGB:
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return Planes(np.asarray(rgb), None, mode, _KEPT_BY_RGB[image.mode])
    if image.mode in ("RGBA", "RGBa", "LA", "La"):
        lost = "premultiplication" if image.mode.endswith("a") else None
        pixels = np.asarray(image.convert(mode).convert("RGBA"))
        return Planes(pixels[..., :3], pixels[..., 3], mode, lost)
    if image.mode in ("L", "1"):
        return Planes(_grey(np.asarray(image.convert("L"))), None, mode, None)
    if image.mode.startswith("I;16") or (image.mode == "I" and sources.BITS in image.info):
        values = np.clip(np.asarray(image.convert("I")), 0, 65535)
        if image.info.get(sources.BITS) == 12:
            values = values * 65535 // 4095
        hidden = image.info.get("transparency") if transparent else None
        alpha = None if hidden is None else np.where(values == hidden, 0, 255).astype(np.uint8)
        return Planes(_grey((values + 128) // 257), alpha, "I;16" if alpha is None else "LA", _LOW_BITS)
    if image.mode in ("I", "F"):
        return _numbers(np.asarray(image), mode)
    raise ImageError(f"pictures of mode {image.mode} are not supported; convert to RGB first")


def _numbers(values: np.ndarray, mode: str) -> Planes:
    """A picture of whole numbers or fractions `[H, W]`."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        raise ImageError(f"a picture of mode {mode} needs values from 0 to 255 to be coded as 8-bit grey")
    lost = "fractions" if mode == "F" else None
    if mode == "F" and 0 < values.max() <= 1:
        values, lost = values * 255, "fractions (values scaled from 0–1 to 0–255)"
    return Planes(_grey(np.rint(values)), None, mode, lost)


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def put_together(
    rgb: np.ndarray, alpha: np.ndarray | None, mode: str, chunks: dict[bytes, bytes] | None = None
) -> Image.Image:
    """The picture of a decoded `[H, W, 3]` uint8 array and alpha `[H, W]`, in the mode that comes back.

    Args:
        chunks: by type; metadata among them goes into `image.info`.

    Raises:
        Corrupt: a chunk of metadata is not as the format has it.
    """
    image = _in_mode(Image.fromarray(rgb), alpha, mode)
    image.info |= beside.to_info(chunks or {})
    return image


def seen(source: ImageLike | Planes) -> np.ndarray:
    """A picture as it is seen on white, `[H, W, 3]` uint8; colours of what is fully transparent do not matter.

    Raises:
        ImageError, LimitError: see `planes_of`.
    """
    planes = planes_of(source)
    if planes.alpha is None:
        return planes.rgb
    ground = Image.new("RGB", planes.rgb.shape[1::-1], "white")
    ground.paste(Image.fromarray(np.ascontiguousarray(planes.rgb)), mask=Image.fromarray(planes.alpha))
    return np.asarray(ground)


def writes(suffix: str) -> str | None:
    """The name of the format that Pillow writes for a suffix such as `.png`; `None` if there is none."""
    Image.preinit()  # the usual formats; the rest takes its time
    if suffix.lower() not in Image.EXTENSION:
        Image.init()
    name = Image.EXTENSION.get(suffix.lower())
    return name if name in Image.SAVE else None


def luma(rgb: np.ndarray) -> np.ndarray:
    """`[H, W, 3]` uint8 to grey `[H, W]`, as Pillow does."""
    return np.asarray(Image.fromarray(rgb).convert("L"))


def _in_mode(image: Image.Image, alpha: np.ndarray | None, mode: str) -> Image.Image:
    if mode in ALPHA_MODES:
        if alpha is None:
            raise ValueError(f"a picture of mode {mode} needs an alpha plane")
        image = image.convert("L").convert("LA") if mode == "LA" else image.convert("RGBA")
        image.putalpha(Image.fromarray(alpha))
        return image
    if mode in ("RGB", "P"):
        return image
    if mode in ("CMYK", "YCbCr", "HSV"):
        return image.convert(mode)
    grey = image.convert("L")
    if mode == "1":
        return grey.point(lambda v: 255 * (v >= 128), "1")
    if mode == "I;16":
        return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return grey.convert(mode)


def unpack_alpha(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """An alpha plane `[H, W]` uint8 of a picture of (width, height), from a PNG; later files have `lossless` ones.

    What else the PNG holds does not matter.

    Raises:
        Corrupt: it is not a whole grey PNG of that size, of eight bits a sample and not interlaced.
    """
    try:
        (kind, head), *others = lossless.png_chunks(data)
        if (kind, head) != (b"IHDR", struct.pack(">II5B", *size, 8, lossless.GREY, 0, 0, 0)):
            raise ValueError("it is not grey, 8 bits, {}x{}, not interlaced".format(*size))
        stream = b"".join(content for kind, content in others if kind == b"IDAT")
        with PngImageFile(io.BytesIO(lossless.png_file(size, 8, lossless.GREY, stream))) as image:
            return np.array(image)  # not by Image.open, which has a limit of its own
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on hostile input
        raise Corrupt(f"the alpha plane cannot be read ({error})") from error
