"""What Pillow leaves aside in silence is said: further frames and pictures, gain maps, bits below the eighth."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from conftest import TINY, picture
from PIL import Image
from support import in_mode
from test_colour import png

import vaecodec
from vaecodec.errors import ImageError
from vaecodec.pictures.exchange import sources
from vaecodec.pictures.images import open_image, put_together, take_apart

LEVELS = (10, 120, 250)
GAIN_MAP_XMP = b'<x:xmpmeta><rdf:Description hdrgm:Version="1.0"/></x:xmpmeta>'
HUGE = np.array([[[0x1234, 0x00FF, 0xFFFF]] * 4, [[0x12FF, 0, 0]] * 4], ">u2")


def several(name: str, **options) -> bytes:
    """Three flat frames or pages."""
    frames = [Image.new("RGB", (16, 16), (level,) * 3) for level in LEVELS]
    buffer = io.BytesIO()
    frames[0].save(buffer, name, save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


FORMATS = ["GIF", "PNG", "WEBP", "TIFF", "AVIF"]


@pytest.mark.parametrize("name", FORMATS)
def test_frames_that_are_not_kept_are_counted(name: str) -> None:
    for image in (open_image(io.BytesIO(several(name))), Image.open(io.BytesIO(several(name)))):
        planes = take_apart(image)
        assert "2 of 3 frames" in planes.lost
        assert abs(int(planes.rgb[8, 8, 0]) - LEVELS[0]) < 5


@pytest.mark.parametrize("name", FORMATS)
def test_another_frame_can_be_taken(name: str) -> None:
    data = several(name)
    for frame, level in enumerate(LEVELS, 1):
        for source in (io.BytesIO(data), Image.open(io.BytesIO(data))):
            planes = take_apart(open_image(source, frame=frame))
            assert abs(int(planes.rgb[8, 8, 0]) - level) < 5
            assert "2 of 3 frames" in planes.lost


@pytest.mark.parametrize("frame", [-1, 0, 4, 10**9])
@pytest.mark.parametrize("name", FORMATS)
def test_a_frame_that_is_not_there_is_refused(name: str, frame: int) -> None:
    with pytest.raises(ImageError, match=f"no frame {frame}: the picture has 3"):
        open_image(io.BytesIO(several(name)), frame=frame)


def test_pictures_of_one_frame_have_that(tmp_path) -> None:
    Image.fromarray(picture(8, 8)).save(tmp_path / "a.png")
    for source in (picture(8, 8), Image.fromarray(picture(8, 8)), tmp_path / "a.png"):
        assert take_apart(open_image(source, frame=1)).lost is None
        with pytest.raises(ImageError, match="no frame 2"):
            open_image(source, frame=2)


def test_frames_are_chosen_from_python(tiny) -> None:
    data = several("GIF")
    assert vaecodec.compress(Image.open(io.BytesIO(data)), frame=3, model=TINY) == tiny.compress(
        open_image(io.BytesIO(data), frame=3)
    )


def test_a_later_page_that_is_damaged_harms_no_earlier() -> None:
    data = bytearray(several("TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * count, len(data) + 100)
    planes = take_apart(open_image(io.BytesIO(bytes(data))))
    assert planes.rgb[8, 8].tolist() == [LEVELS[0]] * 3


def mpo(pictures: int, xmp: bytes = b"") -> bytes:
    frames = [Image.fromarray(picture(24, 16, seed)) for seed in range(pictures)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:])
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    raw = buffer.getvalue()
    return raw[:2] + (b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment if xmp else b"") + raw[2:]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (mpo(2), "a second picture"),
        (mpo(3), "2 of 3 pictures"),
        (mpo(2, GAIN_MAP_XMP), "a gain map, the XMP that speaks of it"),
        (mpo(2, GAIN_MAP_XMP.replace(b'"', b"'")), "a gain map, the XMP that speaks of it"),
    ],
    ids=["two", "three", "gain map", "gain map in single quotes"],
)
def test_second_pictures_are_said(data: bytes, says: str) -> None:
    planes = take_apart(open_image(io.BytesIO(data)))
    assert (planes.lost, planes.metadata) == (says, {})


def test_a_second_picture_can_be_taken() -> None:
    planes = take_apart(open_image(io.BytesIO(mpo(2)), frame=2))
    assert planes.lost == "1 of 2 pictures"
    assert (
        np.abs(planes.rgb.astype(int) - picture(24, 16, 1)).mean()
        < np.abs(planes.rgb.astype(int) - picture(24, 16, 0)).mean()
    )


@pytest.mark.parametrize(
    ("xmp", "says"),
    [
        (GAIN_MAP_XMP, "a gain map"),
        (b"<a Item:Semantic='GainMap'/><Container:Directory/>", "a gain map"),
        (b"<a GCamera:MotionPhoto='1'/>", "a video"),
        (b"<Container:Directory/>", "a further picture"),
    ],
)
def test_xmp_that_speaks_of_more_is_not_kept(xmp: bytes, says: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(16, 16)).save(buffer, "JPEG", xmp=xmp)
    planes = take_apart(open_image(buffer))
    assert (planes.lost, planes.metadata) == (f"{says}, the XMP that speaks of it", {})
    assert take_apart(open_image(buffer), []).lost == says


def test_a_gain_map_by_iso_21496_is_said() -> None:
    segment = b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"
    buffer = io.BytesIO()
    extra = b"\xff\xe2" + struct.pack(">H", len(segment) + 2) + segment
    Image.fromarray(picture(16, 16)).save(buffer, "JPEG", extra=extra)
    assert take_apart(open_image(buffer)).lost == "a gain map"


# --- bits


def deep_tiff(order: str, samples: np.ndarray = HUGE, bits: int = 16) -> bytes:
    """RGB of 16 bits, or grey of other bits in bytes that are full of them."""
    height, width, channels = samples.shape if samples.ndim == 3 else (*samples.shape, 1)
    data = samples.astype(f"{order}u2").tobytes() if bits == 16 else samples.tobytes()
    width = width if bits == 16 else 8 * width // bits
    short, long = 3, 4
    tags = [
        (256, short, width), (257, short, height), (259, short, 1), (262, short, 2 if channels == 3 else 1),
        (273, long, 14), (277, short, channels), (278, short, height), (279, long, len(data)),
    ]  # fmt: skip
    entries = [
        struct.pack(f"{order}HHI", tag, kind, 1) + struct.pack(f"{order}HH" if kind == short else f"{order}I", *value)
        for tag, kind, *number in tags
        for value in [[*number, 0] if kind == short else number]
    ]
    depth = (bits, 0) if channels == 1 else (8,)
    entries.insert(2, struct.pack(f"{order}HHI{'HH' if channels == 1 else 'I'}", 258, short, channels, *depth))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I3H", 14 + len(data), bits, bits, bits)
    return head + data + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)


ALPHA = np.concatenate([HUGE, HUGE[..., :1]], -1)


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (png([], depth=16, samples=HUGE), "RGB"),
        (png([], depth=16, kind=6, samples=ALPHA), "RGBA"),
        (png([], depth=16, kind=4, samples=HUGE[..., :2]), "RGBA"),
        (deep_tiff("<"), "RGB"),
        (deep_tiff(">"), "RGB"),
        (b"P6 4 2 65535\n" + HUGE.tobytes(), "RGB"),
        (b"P6 4 2 1023\n" + (HUGE & 1023).tobytes(), "RGB"),
    ],
    ids=["PNG", "PNG with alpha", "grey PNG with alpha", "TIFF", "TIFF, big-endian", "PPM", "PPM of ten bits"],
)
def test_bits_below_the_eighth_are_said(data: bytes, mode: str) -> None:
    for image in (open_image(io.BytesIO(data)), Image.open(io.BytesIO(data))):
        planes = take_apart(image)
        assert (planes.mode, planes.lost) == (mode, "bits below the eighth")


def test_eight_bits_are_not_said() -> None:
    for name in ("PNG", "TIFF", "PPM", "JPEG2000", "AVIF", "JPEG"):
        buffer = io.BytesIO()
        in_mode("RGB", 32, 32).save(buffer, name)
        assert take_apart(open_image(buffer)).lost is None, name


@pytest.mark.parametrize(
    ("name", "mark", "place", "flag"), [("AVIF", b"av1C", 6, 0x40), ("JPEG2000", b"\xff\x4f\xff\x51", 42, 8)]
)
def test_what_a_file_says_of_its_bits_is_read(name: str, mark: bytes, place: int, flag: int) -> None:
    buffer = io.BytesIO()
    in_mode("RGB", 32, 32).save(buffer, name)
    image, raw = Image.open(buffer), bytearray(buffer.getvalue())
    raw[raw.index(mark) + place] |= flag
    image.fp = io.BytesIO(bytes(raw))
    assert sources.untold(image)[sources.BITS] > 8


def test_grey_of_sixteen_bits_is_that_in_pgm_too() -> None:
    values = np.array([[0, 255, 256, 65535]], ">u2")
    planes = take_apart(open_image(io.BytesIO(b"P5 4 1 65535\n" + values.tobytes())))
    assert (planes.mode, planes.lost) == ("I;16", "bits below the eighth")
    assert planes.rgb[0, :, 0].tolist() == [0, 1, 1, 255]


def test_grey_of_twelve_bits_goes_from_black_to_white() -> None:
    data = deep_tiff("<", np.array([[0x00, 0x08, 0x00, 0xFF, 0xF0, 0x00]], np.uint8), 12)  # 0, 0x800, 0xFFF, 0
    planes = take_apart(open_image(io.BytesIO(data)))
    assert (planes.mode, planes.lost) == ("I;16", "bits below the eighth")
    assert planes.rgb[0, :, 0].tolist() == [0, 128, 255, 0]


def test_sizes_of_an_icon_that_are_not_kept_are_counted() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(64, 64)).save(buffer, "ICO", sizes=[(16, 16), (32, 32), (64, 64)])
    assert "2 of 3 sizes" in take_apart(open_image(buffer)).lost


# --- values


def test_floats_from_0_to_1_are_scaled_and_that_is_said() -> None:
    planes = take_apart(Image.fromarray(np.array([[0, 0.25, 1]], np.float32)))
    assert planes.rgb[0, :, 0].tolist() == [0, 64, 255]
    assert (planes.mode, planes.lost) == ("F", "fractions (values scaled from 0–1 to 0–255)")


@pytest.mark.parametrize("values", [[0, 1.5], [0, 255], [0, 0]])
def test_other_floats_are_not(values: list[float]) -> None:
    planes = take_apart(Image.fromarray(np.array([values], np.float32)))
    assert planes.lost == "fractions" and planes.rgb.max() == round(max(values))


def test_a_transparent_value_of_sixteen_bits_is_kept() -> None:
    values = np.array([[0x1234, 0x1235, 0, 0xFFFF]], ">u2")
    data = png([(b"tRNS", b"\x12\x34")], depth=16, kind=0, samples=values)
    planes = take_apart(open_image(io.BytesIO(data)))
    assert (planes.mode, planes.lost) == ("LA", "bits below the eighth")
    assert planes.alpha.tolist() == [[0, 255, 255, 255]]
    assert put_together(planes.rgb, planes.alpha, planes.mode).mode == "LA"


def test_a_transparent_colour_of_sixteen_bits_is_kept() -> None:
    data = png([(b"tRNS", HUGE[0, 0].tobytes())], depth=16, samples=HUGE)
    for image in (open_image(io.BytesIO(data)), Image.open(io.BytesIO(data))):
        planes = take_apart(image)
        assert (planes.mode, planes.lost) == ("RGBA", "bits below the eighth")
        assert planes.alpha.tolist() == [[0] * 4, [255] * 4]


@pytest.mark.parametrize("depth", [2, 4])
def test_a_transparent_value_of_few_bits_is_kept(depth: int) -> None:
    samples = np.array([[0b11_10_01_00] if depth == 2 else [0xF0]], np.uint8)
    width = 8 // depth
    head = struct.pack(">IIBBBBB", width, 1, depth, 0, 0, 0, 0)
    data = png([(b"tRNS", bytes([0, 2**depth - 1]))], samples=samples)
    at = data.index(b"IHDR")
    data = data[: at + 4] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[at + 21 :]
    assert take_apart(open_image(io.BytesIO(data))).alpha.tolist() == [[0] + [255] * (width - 1)]
