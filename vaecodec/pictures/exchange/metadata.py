"""What is kept beside the pixels: from Pillow's `image.info` to chunks, back, and into the files that can hold it.

| kind | chunk      | in `image.info`                            |
|------|------------|--------------------------------------------|
| icc  | ICCP, COLR | icc_profile; gamma, chromaticity, srgb, cicp |
| exif | EXIF       | exif                                       |
| xmp  | XMP        | xmp                                        |
| iptc | iptc       | photoshop, a dictionary, under 0x0404      |
| dpi  | reso       | dpi                                        |

A TIFF file has Exif and IPTC in tags, a PNG that ImageMagick wrote has them and XMP in texts. What makes no sense, or
does not fit the picture, is left out.
"""

from __future__ import annotations

import contextlib
import math
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from vaecodec.errors import Corrupt
from vaecodec.format.container import COLOUR, EXIF, ICC, IPTC, METADATA, RESOLUTION, XMP
from vaecodec.pictures.exchange import colour, sources
from vaecodec.pictures.exchange.colour import Colour
from vaecodec.pictures.exchange.sources import Info

IPTC_RESOURCE = 0x0404
"""Number of the IPTC record among Photoshop's resources, which JPEG files hold it in."""
_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG = 700, 33723, 34377
_EXIF_MARK = b"Exif\0\0"
_DESCRIPTIVE_TAGS = (
    0x010D, 0x010E, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298, 0x8769, 0x8825,
    0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,
)  # fmt: skip
"""TIFF's tags that are about the picture and not about how the file holds it, Exif's and the place's among them."""
_ORIENTATION = re.compile(rb'tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>')
_DPI = (1.0, 1e6)
"""Resolutions that are more than 1 and at most this many pixels an inch are kept."""

_HOLDS: dict[str, Collection[bytes]] = {
    "PNG": {ICC, COLOUR, EXIF, XMP, RESOLUTION}, "BMP": {RESOLUTION}, "DIB": {RESOLUTION},
    **{name: {ICC, EXIF, XMP, IPTC, RESOLUTION} for name in ("JPEG", "MPO", "TIFF")},
    **{name: {ICC, EXIF, XMP} for name in ("WEBP", "AVIF", "HEIF", "JXL")},
}  # fmt: skip
"""Chunks whose content Pillow writes into files of a format, by its name; into others none."""
_SEGMENTED, _SEGMENT_BYTES = ("JPEG", "MPO"), 65_500
"""Most that goes into one segment of a JPEG file."""
_CALLED = {ICC: "the ICC profile", EXIF: "the Exif data", XMP: "the XMP", IPTC: "the IPTC data"}


@dataclass
class Kept:
    """What is kept of a picture's metadata.

    Attributes:
        chunks: by type.
        lost: what is not, for a message.
    """

    chunks: dict[bytes, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def read(image: Image.Image, info: Info, mode: str, *, turned: bool, kinds: Collection[str]) -> Kept:
    """What is kept of a picture's metadata.

    Args:
        image: as it came, for TIFF's tags and what lies beside the picture.
        info: its `image.info`, with what `sources.untold` adds.
        mode: that the picture comes back in.
        turned: it was not upright: what says so is taken out.
        kinds: of `METADATA`, which to keep.
    """
    kept = Kept()
    xmp = _xmp(image, info)
    kept.lost += sources.beside(image, xmp)
    kept.lost += sources.without_place(image, info, xmp) if set(kinds) >= set(METADATA) else []
    found = {
        ICC: _as_bytes(info.get("icc_profile")), EXIF: _exif(image, info), XMP: xmp, IPTC: _iptc(image, info),
        RESOLUTION: _resolution(info.get("dpi"), image.format),
    }  # fmt: skip
    if sources.speaks_of_more(xmp):
        found[XMP] = b""
        kept.lost += ["the XMP that speaks of it"] * ("xmp" in kinds)
    if info.get("icc_profile") and (reason := colour.misfit(found[ICC], mode)):
        found[ICC] = b""
        kept.lost += [f"the ICC profile, {reason}"] * ("icc" in kinds)
    if said := Colour.from_info(info, profiled=bool(found[ICC])):
        found[COLOUR] = said.to_bytes()
    if found[EXIF] and "exif" in kinds:
        found[EXIF], damage = _sound_exif(found[EXIF], turned=turned)
        kept.lost += damage
    if turned:
        found[XMP] = _ORIENTATION.sub(b"", found[XMP])
    wanted = [chunk for kind in kinds for chunk in METADATA[kind]]
    kept.chunks = {chunk: found[chunk] for chunk in wanted if found.get(chunk)}
    return kept


def to_info(chunks: dict[bytes, bytes]) -> Info:
    """What the metadata among chunks are in Pillow's `image.info`.

    Raises:
        Corrupt: colours or the resolution are not as the format has them.
    """
    info: Info = {}
    for chunk, key in ((ICC, "icc_profile"), (EXIF, "exif"), (XMP, "xmp")):
        if chunk in chunks:
            info[key] = chunks[chunk]
    if COLOUR in chunks:
        info.update(Colour.from_bytes(chunks[COLOUR]).info())
    if IPTC in chunks:
        info["photoshop"] = {IPTC_RESOURCE: chunks[IPTC]}
    if RESOLUTION in chunks:
        info["dpi"] = _dpi(chunks[RESOLUTION])
    return info


_IN_INFO = {
    "icc": ("icc_profile", "gamma", "chromaticity", "srgb", "cicp"), "exif": ("exif",), "xmp": ("xmp",),
    "iptc": ("photoshop",), "dpi": ("dpi",),
}  # fmt: skip


def only(image: Image.Image, kinds: Collection[str]) -> Image.Image:
    """A picture without what of its metadata is of other kinds."""
    dropped = {key for kind, keys in _IN_INFO.items() if kind not in kinds for key in keys}
    if dropped & image.info.keys():
        image = image.copy()
        image.info = {key: value for key, value in image.info.items() if key not in dropped}
    return image


def saving(image: Image.Image, format_name: str) -> tuple[Image.Image, dict[str, Any], list[str]]:
    """How a picture with its metadata is saved in a format, by Pillow's name.

    Returns:
        The picture, in sRGB where the format holds no profile; arguments of `image.save`, which write what the format
        can hold; what it cannot, for a message.
    """
    holds, info = _HOLDS.get(format_name, frozenset()), image.info
    image, content, lost = _coloured(image, holds)
    for kind, value in ((EXIF, info.get("exif")), (XMP, info.get("xmp")), (IPTC, _iptc(image, info))):
        if not value:
            continue
        too_long = format_name in _SEGMENTED and len(value) > _SEGMENT_BYTES
        if kind in holds and not too_long:
            content[kind] = value
        else:
            lost.append(_CALLED[kind] + ", which is too long for a segment" * too_long)
    if RESOLUTION in holds and _resolution(info.get("dpi"), None):
        content[RESOLUTION] = info["dpi"]
    return image, _options(content, format_name), lost


def _coloured(image: Image.Image, holds: Collection[bytes]) -> tuple[Image.Image, dict[bytes, Any], list[str]]:
    """The part of `saving` that is about colours: the picture, what is written of it, what is lost."""
    own = _as_bytes(image.info.get("icc_profile"))
    own = b"" if colour.misfit(own, image.mode) else own
    said = Colour.from_info(image.info, profiled=bool(own))
    if COLOUR in holds:
        return image, {ICC: own, COLOUR: said}, []
    profile = own or (said.icc_profile(grey=image.mode in colour.GREY_MODES) if said else None)
    if ICC in holds and profile:
        return image, {ICC: profile}, []
    if not profile:
        return image, {}, [said.beyond_profiles] if said and said.beyond_profiles else []
    if said and said.srgb is not None:
        return image, {}, []
    converted = colour.to_srgb(image, profile)
    lost = _CALLED[ICC] if own else "the description of colours"
    return converted or image, {}, [lost + " (colours are those of sRGB now)" * bool(converted)]


def _options(content: dict[bytes, Any], format_name: str) -> dict[str, Any]:
    """Arguments of `image.save`, by format."""
    names = {ICC: "icc_profile", EXIF: "exif", XMP: "xmp", RESOLUTION: "dpi"}
    options: dict[str, Any] = {"icc_profile": None}  # or some formats take it from `image.info`
    options |= {names[key]: value for key, value in content.items() if key in names and value}
    if format_name == "PNG":
        options["pnginfo"] = PngInfo()
        for kind, data in content[COLOUR].png_chunks() if content[COLOUR] else ():
            options["pnginfo"].add(kind, data)
        if XMP in content:
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp"))
    elif format_name in _SEGMENTED:
        if EXIF in content:
            options["exif"] = _EXIF_MARK + content[EXIF].removeprefix(_EXIF_MARK)
        if IPTC in content:
            options["extra"] = _photoshop_segment(content[IPTC])
    elif format_name == "TIFF":
        options["tiffinfo"] = _tags(options.pop("exif", b""))
        for tag, key in ((_XMP_TAG, XMP), (_IPTC_TAG, IPTC)):
            if key in content:
                options["tiffinfo"][tag] = content[key]
        options.pop("xmp", None)
    return options


def _as_bytes(value: Any) -> bytes:
    """What a text chunk of the same name could have put there is nothing."""
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else b""


def _xmp(image: Image.Image, info: Info) -> bytes:
    value = info.get("xmp") or (getattr(image, "tag_v2", None) or {}).get(_XMP_TAG) or _raw_profile(info, "xmp")
    return value.encode("utf-8", "replace") if isinstance(value, str) else _as_bytes(value)


def _raw_profile(info: Info, kind: str) -> bytes:
    """What ImageMagick writes into a PNG's texts as lines in hexadecimal, after its name and its length."""
    text = info.get(f"{sources.RAW_PROFILE}{kind}")
    with contextlib.suppress(ValueError):
        return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else b""
    return b""


def _exif(image: Image.Image, info: Info) -> bytes:
    """Exif as it stands in a file, or of a TIFF file's tags, or of the text that ImageMagick puts into PNG."""
    if exif := _as_bytes(info.get("exif")):
        return exif
    if hasattr(image, "tag_v2"):
        with contextlib.suppress(Exception):  # tags that Pillow reads but cannot write
            return _written(_only(image.getexif(), _DESCRIPTIVE_TAGS))
    return _raw_profile(info, "exif")


def _sound_exif(exif: bytes, *, turned: bool) -> tuple[bytes, list[str]]:
    """Exif without an orientation that has been applied; none, and what is to be said, if it cannot be read."""
    try:
        parsed = Image.Exif()
        parsed.load(exif)
        if not len(parsed):
            return b"", []
        if turned and ExifTags.Base.Orientation in parsed:
            del parsed[ExifTags.Base.Orientation]
            return _written(parsed), []
    except Exception:  # Pillow raises many kinds
        return b"", ["the Exif data, which are damaged"]
    return exif, []


def _written(exif: Image.Exif) -> bytes:
    return exif.tobytes() if len(exif) else b""


def _only(exif: Image.Exif, tags: Collection[int]) -> Image.Exif:
    """Of Exif's tags and their directories, those that are named."""
    chosen = Image.Exif()
    for tag in tags:
        if tag in exif:
            chosen[tag] = dict(exif.get_ifd(tag)) if tag in (0x8769, 0x8825) else exif[tag]
    return chosen


def _tags(exif: bytes) -> Image.Exif:
    """Exif for a TIFF file, whose own tags it must not touch; what cannot be read is left out."""
    parsed, tags = Image.Exif(), Image.Exif()
    with contextlib.suppress(Exception):
        parsed.load(exif)
        tags.load(_written(_only(parsed, _DESCRIPTIVE_TAGS)))
    return tags


def _iptc(image: Image.Image, info: Info) -> bytes:
    """An IPTC record as JPEG and TIFF files have it."""
    resources = info.get("photoshop")
    if isinstance(resources, dict) and (record := _as_bytes(resources.get(IPTC_RESOURCE))):
        return record
    raw = getattr(getattr(image, "tag_v2", None), "_tagdata", {})  # some programs call bytes words, which Pillow cuts
    return (
        _as_bytes(raw.get(_IPTC_TAG))
        or _resource(_as_bytes(raw.get(_PHOTOSHOP_TAG)))
        or _resource(_raw_profile(info, "iptc"))
    )


def _resource(resources: bytes) -> bytes:
    """The IPTC record among Photoshop's resources, if there is one; what is no such list has none."""
    at = 0
    while resources[at : at + 4] == b"8BIM":
        number = int.from_bytes(resources[at + 4 : at + 6], "big")
        name_bytes = 1 + resources[at + 6] if at + 6 < len(resources) else 1
        at += 6 + name_bytes + name_bytes % 2
        size = int.from_bytes(resources[at : at + 4], "big")
        if number == IPTC_RESOURCE:
            return resources[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
    return b""


def _photoshop_segment(record: bytes) -> bytes:
    """An IPTC record as the APP13 segment of a JPEG file."""
    resource = struct.pack(">4sHHI", b"8BIM", IPTC_RESOURCE, 0, len(record)) + record + bytes(len(record) % 2)
    body = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def _resolution(dpi: Any, format_name: str | None) -> bytes:
    """Pixels an inch as the chunk has them; nothing if that makes no sense, or is what JPEG files say by default."""
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return b""
    if not all(math.isfinite(value) and _DPI[0] < value <= _DPI[1] for value in (across, down)):
        return b""
    if format_name in ("JPEG", "MPO") and (across, down) == (72, 72):
        return b""
    whole = round(across)
    if max(abs(across - whole), abs(down - whole)) < 0.0127 and whole < 2**16:  # half of PNG's pixel a metre
        return struct.pack("<H", whole)
    return struct.pack("<II", round(across * 1000), round(down * 1000))


def _dpi(data: bytes) -> tuple[float, float]:
    """The inverse of `_resolution`.

    Raises:
        Corrupt: it is neither one nor two numbers, or they are zero.
    """
    if len(data) == 2:
        (whole,) = struct.unpack("<H", data)
        found = (float(whole), float(whole))
    elif len(data) == 8:
        across, down = struct.unpack("<II", data)
        found = (across / 1000, down / 1000)
    else:
        raise Corrupt(f"the chunk on resolution has {len(data)} bytes; 2 or 8 are needed")
    if 0 in found:
        raise Corrupt("the chunk on resolution says that it is zero")
    return found
