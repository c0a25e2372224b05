"""What picture files hold that Pillow keeps to itself or leaves aside: frames, bits, second pictures, PNG's cICP."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import IO, Any

from PIL import Image

from vaecodec.errors import ImageError

Info = dict[str | tuple[int, int], Any]
"""`image.info`, as Pillow has it."""
BITS = "sample_bits"
"""Key in `image.info`: bits of a sample in the file, where there are more than eight and the mode does not say so:
Pillow made eight of them, or mode `I` of sixteen, or has twelve in mode `I;16`, as they are."""
LIGHT = "light_levels"
"""Key in `image.info`: a PNG says how bright its light is, in mDCV or cLLI, of which Pillow says nothing."""
RAW_PROFILE = "Raw profile type "
"""How the names of texts begin in which ImageMagick puts metadata into a PNG."""
_MAX_CHUNKS = 2**12
_HEAD_BYTES = 2**16

_CLAIMS = {
    b"hdrgm": "a gain map", b"hdr-gain-map": "a gain map", b"hdrgainmap": "a gain map", b"GainMap": "a gain map",
    b"MotionPhoto": "a video", b"MicroVideo": "a video",
    b"GContainer": "a further picture", b"Container:Directory": "a further picture",
}  # fmt: skip
"""Words of XMP packets that speak of something else in the file, for which there is no place; the first one counts."""
_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
"""How a JPEG's APP2 segment begins that says that there is a gain map (ISO 21496-1)."""


def frames(image: Image.Image) -> int:
    """How many frames or pages a picture has; 1 where that cannot be told."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a later page is damaged: what Pillow has read of the first is read again
        with contextlib.suppress(Exception):
            image.seek(0)
        return 1


def choose_frame(image: Image.Image, frame: int) -> None:
    """Goes to a frame or page, counted from 1.

    Raises:
        ImageError: there is none of that number.
    """
    count = frames(image)
    if not 1 <= frame <= count:
        raise ImageError(f"there is no frame {frame}: the picture has {count}")
    try:
        image.seek(getattr(image, "_min_frame", 0) + frame - 1)
    except EOFError as error:
        raise ImageError(f"there is no frame {frame}, whatever the file says") from error


def untold(image: Image.Image) -> Info:
    """Entries for `image.info`, of a picture that has been opened and not loaded; none of any other.

    Under `BITS`, more than 8 bits a sample; under `LIGHT`, how bright it is; under "cicp", the four bytes of PNG's
    cICP, or the same of an AVIF file that is not sRGB; under "transparency", the value in samples as Pillow gives them,
    where it gives another.
    """
    tile = getattr(image, "tile", None)
    if not tile:
        return {}
    found: Info = {}
    with _rewound(getattr(image, "fp", None)) as file:
        head = file.read(_HEAD_BYTES) if file and image.format in ("JPEG2000", "AVIF") else b""
        if file and image.format == "PNG":
            chunks = _png_chunks(file, (b"cICP", b"mDCV", b"cLLI"))
            found |= _cicp(chunks.pop(b"cICP", b""))
            found |= {LIGHT: True} if chunks else {}
            found |= _transparency(image.info.get("transparency"), _rawmode(tile[0].args))
    if image.format == "AVIF":
        found |= _cicp(_nclx(head))
    bits = _bits(image, tile[0], head)
    if bits > 8 and (_rawmode(tile[0].args) == "I;12" or not image.mode.startswith("I;16")):
        found[BITS] = bits
    return found


def _bits(image: Image.Image, tile: Any, head: bytes) -> int:
    """Bits of a sample in a file, as far as can be told; `head` is where JPEG 2000 and AVIF say it."""
    rawmode, said = _rawmode(tile.args), image.info.get("bit_depth")  # as a plug-in for HEIF has it
    if ";16" in rawmode or tile.codec_name == "SGI16" or (tile.codec_name.startswith("ppm") and tile.args[1] > 255):
        return 16
    if rawmode == "I;12":
        return 12
    if image.format == "JPEG2000" and not image.mode.startswith("I;16"):
        return _codestream_bits(head)
    return _av1_bits(head) if image.format == "AVIF" else said if isinstance(said, int) else 8


def beside(image: Image.Image, xmp: bytes) -> list[str]:
    """What else a file holds than the picture at hand, for a message: frames, layers, gain maps, second pictures.

    Args:
        xmp: of the picture.
    """
    claimed = list(dict.fromkeys(thing for word, thing in _CLAIMS.items() if word in xmp))[:1]
    if any(content.startswith(_GAIN_MAP) for _, content in getattr(image, "applist", ())):
        claimed = ["a gain map"]
    if (sizes := len(image.info.get("sizes", ()))) > 1 and image.format in ("ICO", "ICNS"):
        return [f"{sizes - 1} of {sizes} sizes"]
    count = frames(image)
    first = image.format == "MPO" and image.tell() == 0
    if count == 1 or (claimed and first):
        return claimed
    if image.format == "MPO":
        return ["a second picture" if first and count == 2 else f"{count - 1} of {count} pictures"]
    return ["the layers" if image.format == "PSD" else f"{count - 1} of {count} frames", *claimed]


def without_place(image: Image.Image, info: Info, xmp: bytes) -> list[str]:
    """What a file says beside its picture for which there is no place, for a message: texts, comments.

    Args:
        info: the picture's `image.info`.
        xmp: of the picture.
    """
    texts = [name for name in getattr(image, "text", {}) if not name.startswith((RAW_PROFILE, "XML:com.adobe.xmp"))]
    names = ", ".join(map(str, texts[:3])) + ", …" * (len(texts) > 3)
    lost = [f"the text{'s' * (len(texts) > 1)} {names}"] if texts else []
    lost += ["the comment"] if info.get("comment") and image.format in ("JPEG", "MPO", "GIF") else []
    lost += ["the rest of the XMP, which is extended"] if b"HasExtendedXMP" in xmp else []
    return lost + (["how bright its light is (mDCV, cLLI)"] if info.get(LIGHT) else [])


def speaks_of_more(xmp: bytes) -> bool:
    """Whether an XMP packet says that its file holds more than a picture."""
    return any(word in xmp for word in _CLAIMS)


@contextlib.contextmanager
def _rewound(file: IO[bytes] | None) -> Iterator[IO[bytes] | None]:
    """A file at its beginning, and back to where it was after it; `None` if it cannot be read."""
    try:
        place = file.tell() if file else 0
        if file:
            file.seek(0)
    except (OSError, ValueError):
        file = None
    yield file
    if file:
        file.seek(place)


def _rawmode(args: Any) -> str:
    """The layout of samples in a file, from a tile's arguments."""
    first = args[0] if isinstance(args, (tuple, list)) and args else args
    return first if isinstance(first, str) else ""


def _png_chunks(file: IO[bytes], kinds: Collection[bytes]) -> dict[bytes, bytes]:
    """What small chunks before a PNG's pixels hold, of those that are there."""
    found: dict[bytes, bytes] = {}
    file.seek(8)
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or name in (b"IDAT", b"IEND") or size >= 2**31:
            break
        content = file.read(min(size, _HEAD_BYTES)) if name in kinds else b""
        if content:
            found.setdefault(name, content)
        file.seek(size - len(content) + 4, 1)
    return found


def _transparency(value: Any, rawmode: str) -> Info:
    """A PNG's transparent value, where Pillow's samples are others than the file's."""
    if rawmode == "RGB;16B" and isinstance(value, tuple):
        return {"transparency": tuple(sample >> 8 for sample in value)}
    if rawmode in ("L;2", "L;4") and isinstance(value, int):
        return {"transparency": min(value * (85 if rawmode == "L;2" else 17), 255)}
    return {}


def _cicp(content: bytes) -> Info:
    return {"cicp": tuple(content)} if len(content) == 4 else {}


def _nclx(head: bytes) -> bytes:
    """What an AVIF file says in H.273's codes, as a PNG of the same RGB would; nothing if that is sRGB."""
    at = head.find(b"colrnclx") + 8
    primaries, transfer = head[at + 1 : at + 2], head[at + 3 : at + 4]
    return primaries + transfer + b"\0\1" if at >= 8 and (primaries, transfer) != (b"\1", b"\x0d") else b""


def _codestream_bits(head: bytes) -> int:
    """Bits of the first component of a JPEG 2000 codestream."""
    at = head.find(b"\xff\x4f\xff\x51")
    depth = head[at + 42 : at + 43] if at >= 0 else b""
    return (depth[0] & 127) + 1 if depth else 8


def _av1_bits(head: bytes) -> int:
    """More than 8 if the configuration of an AV1 picture has its flag for that."""
    at = head.find(b"av1C") + 4
    flags = head[at + 2 : at + 3] if at >= 4 else b""
    return 8 if not flags or not flags[0] & 0x40 else 12 if flags[0] & 0x20 else 10
