"""Pictures as files: what each format that Pillow writes can hold, and what becomes of what it cannot.

A picture keeps its mode where `FORMATS` has it, and else takes the first of `_INSTEAD` that the format has:

| what a format lacks     | becomes                                                                     |
|-------------------------|-----------------------------------------------------------------------------|
| alpha                   | composed on a background; GIF keeps what is (nearly) transparent as that    |
| more than eight bits    | 8-bit grey                                                                  |
| CMYK, YCbCr, HSV        | RGB                                                                         |
| the place for a profile | sRGB (`metadata.saving`); so does a picture whose profile is not for its mode |
| more than 256 colours   | a palette                                                                   |
| more than two           | black and white, dithered                                                   |

What is lost by that is said. Imports no torch.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from vaecodec.errors import ImageError, enough_memory
from vaecodec.format.container import MAX_SIDE
from vaecodec.pictures.exchange import colour, metadata

QUALITY = 95
"""Of formats with loss, which get as many samples of colour as of lightness: a picture should not lose much twice."""


@dataclass(frozen=True)
class Format:
    """What a format holds, as Pillow writes it and reads it again.

    Attributes:
        modes: those that come back as the same picture.
        options: of `Image.save`.
        cut_out: a colour of a palette may be transparent.
        side: the longest, in pixels.
        square: both sides have to be the same.
    """

    modes: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    cut_out: bool = False
    side: int = MAX_SIDE
    square: bool = False

    @property
    def quality(self) -> int | None:
        """At which it is written; `None` without loss."""
        return None if self.options.get("lossless") else self.options.get("quality")


_PLAIN = ("1", "L", "RGB")
_WITH_ALPHA = ("L", "LA", "RGB", "RGBA")
_LOSSY = {"quality": QUALITY, "subsampling": 0}
_JPEG = Format(("L", "RGB", "CMYK", "YCbCr"), _LOSSY, side=65500)
FORMATS = {
    "AVIF": Format(_WITH_ALPHA, {"quality": QUALITY, "subsampling": "4:4:4"}, side=65536),
    "BLP": Format(("P",)),
    "BMP": Format(_PLAIN),
    "DDS": Format(_WITH_ALPHA),
    "DIB": Format(_PLAIN),
    "EPS": Format(("L", "RGB", "CMYK")),
    "GIF": Format(("1", "L", "P"), cut_out=True, side=65535),
    "ICNS": Format(("1", *_WITH_ALPHA), square=True),
    "ICO": Format(("1", *_WITH_ALPHA), side=256),
    "IM": Format(("1", *_WITH_ALPHA, "CMYK", "YCbCr", "I;16", "I", "F")),
    "JPEG": _JPEG,
    "JPEG2000": Format((*_WITH_ALPHA, "CMYK", "I;16")),
    "MPO": _JPEG,
    "MSP": Format(("1",), side=65535),
    "PALM": Format(("1",), side=65535),
    "PCX": Format(_PLAIN, side=65535),
    "PDF": Format(("1", *_WITH_ALPHA, "CMYK"), _LOSSY, side=65500),
    "PNG": Format(("1", *_WITH_ALPHA, "I;16")),
    "PPM": Format((*_PLAIN, "I;16", "F")),
    "QOI": Format(("RGB", "RGBA")),
    "SGI": Format(("L", "RGB", "RGBA"), side=65535),
    "TGA": Format(("1", *_WITH_ALPHA), side=65535),
    "TIFF": Format(("1", *_WITH_ALPHA, "CMYK", "YCbCr", "I;16", "I", "F")),
    "WEBP": Format(("RGB", "RGBA"), {"lossless": True, "exact": True, "quality": 50}, side=16383),  # 50: of the search
    "XBM": Format(("1",)),
}
"""By Pillow's names. Modes that Pillow writes are left out where it drops the alpha or reads another picture again."""

_FROM_A_PLUGIN = Format(("RGB", "RGBA"), {"quality": QUALITY})

_COLOUR = ("RGB", "P", "1")
_INSTEAD = {
    "1": ("1", "L", *_COLOUR),
    "L": ("L", *_COLOUR),
    "LA": ("LA", "RGBA", "L", *_COLOUR),
    "RGB": _COLOUR,
    "RGBA": ("RGBA", *_COLOUR),
    **{mode: (mode, *_COLOUR) for mode in ("CMYK", "YCbCr", "HSV")},
    **{mode: (mode, "L", *_COLOUR) for mode in ("I;16", "I", "F")},
}
_ALPHA = ("LA", "RGBA")
_DEEP = ("I;16", "I", "F")
_SAID = {
    **{mode: f"mode {mode} (now RGB)" for mode in ("CMYK", "YCbCr", "HSV")},
    **dict.fromkeys(_DEEP, "more than 8 bits a sample"),
}
"""What is lost with a mode, beside what else the conversion loses."""


def held_by(format_name: str) -> Format:
    """What a format, by Pillow's name, holds; of one that a plug-in has brought, what all do."""
    return FORMATS.get(format_name, _FROM_A_PLUGIN)


@enough_memory()
def written(image: Image.Image, format_name: str, background: str = "white") -> tuple[bytes, str | None]:
    """A picture as a file of a format, and what of it is not kept; `None` if all is.

    Args:
        format_name: as Pillow names formats.
        background: a colour that `PIL.ImageColor` knows, for behind what is transparent where a format has no alpha.

    Raises:
        ImageError: the format cannot hold it.
        LimitError: there is not enough memory for it.
    """
    form = held_by(format_name)
    if max(image.size) > form.side:
        raise ImageError(f"{format_name} holds up to {form.side}x{form.side} pixels; these are {_sides(image)}")
    if form.square and image.width != image.height:
        raise ImageError(f"{format_name} holds square pictures; this one has {_sides(image)} pixels")
    image, lost = _by_its_profile(image, _mode_in(form, _known(image).mode, background))
    image, options, unsaved = metadata.saving(image, format_name)
    image, changed = fitted(image, form, background)
    lost += unsaved + changed
    options = ({} if image.mode == "1" else form.options) | options
    if format_name == "ICO":
        options["sizes"] = [image.size]
    if format_name == "ICNS" and image.width != 1024:
        lost.append("the size (icons are scaled to 16 to 1024 pixels)")
    buffer = io.BytesIO()
    try:
        image.save(buffer, format_name, **options)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's writers raise many kinds, struct.error among them
        raise ImageError(f"a picture of mode {image.mode} cannot be written as {format_name} ({error})") from error
    return buffer.getvalue(), ", ".join(lost) or None


def _sides(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"


def fitted(image: Image.Image, form: Format, background: str = "white") -> tuple[Image.Image, list[str]]:
    """A picture in a mode that a format holds, and what that loses."""
    image, lost = _known(image), []
    mode = _mode_in(form, image.mode, background)
    if image.mode != mode and image.mode in _SAID:
        lost.append(_SAID[image.mode])
    if image.mode in _ALPHA and mode not in _ALPHA:
        image = (_cut_out if form.cut_out else _composed)(image, background, lost)
    return (image if image.mode == mode else _converted(image, mode, lost)), lost


def _known(image: Image.Image) -> Image.Image:
    """A picture in a mode of the table above."""
    if image.mode in _INSTEAD:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _mode_in(form: Format, mode: str, background: str) -> str:
    """The mode that a picture is written in. What is behind a grey one may have a colour."""
    grey_stays = not form.cut_out and len(set(_colour(background))) == 1
    return next(m for m in _INSTEAD[mode] if m in form.modes and (m != "L" or mode != "LA" or grey_stays))


def _colour(name: str) -> tuple[int, ...]:
    return ImageColor.getrgb(name)[:3]


def _by_its_profile(image: Image.Image, mode: str) -> tuple[Image.Image, list[str]]:
    """A picture whose profile is not for the mode that it is written in: in sRGB, as far as the profile tells."""
    profile = image.info.get("icc_profile")
    if not profile or not colour.misfit(profile, mode):
        return image, []
    converted = colour.to_srgb(image, profile)
    kept = {key: value for key, value in image.info.items() if key != "icc_profile"}
    lost = [_SAID[image.mode]] if converted and converted.mode != image.mode else []
    image = converted or image.copy()
    image.info = kept
    return image, [*lost, "the ICC profile" + " (colours are converted to sRGB)" * bool(converted)]


def _composed(image: Image.Image, background: str, lost: list[str], what: str = "transparency") -> Image.Image:
    """On a background, as RGB."""
    alpha = image.getchannel("A")
    if alpha.getextrema() != (255, 255):
        lost.append(f"{what} (composed on {background})")
    composed = Image.new("RGB", image.size, _colour(background))
    composed.paste(image.convert("RGB"), mask=alpha)
    return composed


def _cut_out(image: Image.Image, background: str, lost: list[str]) -> Image.Image:
    """With a palette whose last colour is transparent, where alpha is below its half; the rest is composed."""
    alpha = image.getchannel("A")
    shades = {value for value, count in enumerate(alpha.histogram()) if count}
    composed = _composed(image, background, lost if shades - {0, 255} else [], "partial transparency")
    if min(shades) >= 128:
        return composed
    cut = _converted(composed, "P", lost, colours=255)
    cut.paste(255, mask=alpha.point(lambda a: 255 * (a < 128)))
    cut.info["transparency"] = 255
    return cut


def _converted(image: Image.Image, mode: str, lost: list[str], colours: int = 256) -> Image.Image:
    """An opaque picture in another mode."""
    if image.mode in _DEEP:
        values = np.asarray(image)
        eight = (values.astype(np.uint32) + 128) // 257 if image.mode == "I;16" else np.clip(np.rint(values), 0, 255)
        image = Image.fromarray(eight.astype(np.uint8))
    if mode == "P":
        image = image.convert("RGB")
        lost += [f"all but {colours} colours"] * (image.getcolors(colours) is None)
        return image.quantize(colours)
    lost += ["all but black and white"] * (mode == "1")
    return image.convert(mode)
