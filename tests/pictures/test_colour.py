"""What a PNG says of its colours: kept in few bytes, written back as it was, made into profiles that mean the same."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from conftest import picture
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from support import examples
from support import png as png_of

from vaecodec.errors import Corrupt
from vaecodec.format.container import METADATA
from vaecodec.pictures.exchange.colour import Colour, misfit, to_srgb
from vaecodec.pictures.exchange.metadata import saving
from vaecodec.pictures.images import open_image, put_together, take_apart

SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3, P3_PQ = (12, 13, 0, 1), (9, 16, 0, 1)
COLOURS = [
    Colour(gamma=100000),
    Colour(gamma=45455, primaries=SRGB_PRIMARIES),
    Colour(primaries=(34567, 35850, 73470, 26530, 15960, 84040, 3660, 10)),
    *(Colour(srgb=intent) for intent in range(4)),
    Colour(cicp=P3),
    Colour(cicp=P3_PQ),
]


def png(
    chunks: list[tuple[bytes, bytes]], *, depth: int = 8, kind: int = 2, samples: np.ndarray | None = None
) -> bytes:
    """A PNG with these chunks before its pixels, which are of an RGB picture unless told otherwise."""
    samples = picture(16, 12) if samples is None else samples
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return png_of([(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Of a PNG, in their order."""
    found, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def profile(space: bytes) -> bytes:
    """Something that looks like an ICC profile for a colour space."""
    return bytes(16) + space + bytes(16) + b"acsp" + bytes(100)


@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_colours_are_kept_in_a_few_bytes(colour: Colour) -> None:
    data = colour.to_bytes()
    assert 2 <= len(data) <= 28
    assert Colour.from_bytes(data) == colour == Colour.from_info(colour.info())


def test_the_bytes_are_those_of_the_specification() -> None:
    assert Colour(gamma=45455).to_bytes() == bytes([1, 0x8F, 0xB1, 0])
    assert Colour(primaries=SRGB_PRIMARIES).to_bytes()[:7] == bytes([2]) + (31270).to_bytes(3, "little") + b"\x84\x80\0"
    assert Colour(srgb=1).to_bytes() == b"\4\1"
    assert Colour(cicp=P3).to_bytes() == b"\x08\x0c\x0d\0\1"


@given(data=st.one_of(st.binary(max_size=40), st.builds(bytes.__add__, st.sampled_from([b"\1", b"\2", b"\3", b"\4", b"\x08"]), st.binary(min_size=1, max_size=27))))  # fmt: skip  # noqa: E501
@example(data=b"")
@example(data=b"\x0c\1" + bytes(P3))
@example(data=b"\1\0\0\0")
@example(data=b"\4\4")
@example(data=b"\x08\x0c\x0d\1\1")
@examples(500)
def test_hostile_bytes_are_colours_or_corrupt(data: bytes) -> None:
    try:
        colour = Colour.from_bytes(data)
    except Corrupt:
        return
    assert colour.to_bytes() == data
    for grey in (False, True):
        made = colour.icc_profile(grey=grey)
        assert made is None or ImageCms.ImageCmsProfile(io.BytesIO(made))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"gamma": 0},
        {"gamma": 2**24},
        {"srgb": 4},
        {"srgb": 0, "gamma": 45455},
        {"cicp": (12, 13, 1, 1)},
        {"cicp": (2, 13, 0, 1)},
        {"cicp": (12, 13, 0)},
        {"primaries": (0,) * 8},
        {"primaries": (90000, 90000, *SRGB_PRIMARIES[2:])},
        {"primaries": (*SRGB_PRIMARIES[:7], 100001)},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_no_colour(fields: dict) -> None:
    with pytest.raises(ValueError, match="no colours"):
        Colour(**fields)


@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_a_png_comes_back_with_the_chunks_that_it_had(colour: Colour) -> None:
    source = png(colour.png_chunks())
    planes = take_apart(open_image(io.BytesIO(source)))
    assert planes.lost is None and len(planes.metadata[b"COLR"]) + 12 <= 40
    image = put_together(planes.rgb, planes.alpha, planes.mode, planes.metadata)
    assert Colour.from_info(image.info) == colour
    image, options, lost = saving(image, "PNG")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    names = [name for name, _ in chunks_of(buffer.getvalue())]
    assert not lost and [c for c in chunks_of(buffer.getvalue()) if c in colour.png_chunks()] == colour.png_chunks()
    assert max(names.index(name) for name, _ in colour.png_chunks()) < names.index(b"IDAT")


@pytest.mark.parametrize("mode", ["L", "P"])
def test_chunks_on_colours_stand_before_a_palette(mode: str) -> None:
    image = Image.new(mode, (4, 4))
    image.info |= Colour(cicp=P3).info()
    image, options, _ = saving(image, "PNG")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    names = [name for name, _ in chunks_of(buffer.getvalue())]
    assert names.index(b"cICP") < min(names.index(name) for name in (b"PLTE", b"IDAT") if name in names)


def test_a_pillow_image_that_is_not_loaded_yet_tells_too() -> None:
    for source in (
        io.BytesIO(png([(b"cICP", bytes(P3))])),
        io.BytesIO(png([(b"eXIf", bytes(9)), (b"cICP", bytes(P3))])),
    ):
        assert take_apart(Image.open(source)).metadata[b"COLR"] == b"\x08" + bytes(P3)


def test_the_first_of_pngs_ways_counts() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    every = [
        (b"cICP", bytes(P3)),
        (b"iCCP", b"name\0\0" + zlib.compress(srgb)),
        (b"sRGB", b"\1"),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", *SRGB_PRIMARIES)),
    ]
    found = [take_apart(open_image(io.BytesIO(png(every[start:])))).metadata for start in range(6)]
    assert found == [
        {b"ICCP": srgb, b"COLR": Colour(cicp=P3).to_bytes()},
        {b"ICCP": srgb},
        {b"COLR": Colour(srgb=1).to_bytes()},
        {b"COLR": Colour(45455, SRGB_PRIMARIES).to_bytes()},
        {b"COLR": Colour(primaries=SRGB_PRIMARIES).to_bytes()},
        {},
    ]
    assert take_apart(open_image(io.BytesIO(png(every))), set(METADATA) - {"icc"}).metadata == {}


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"cICP", b"\x0c\x0d\1\1")],
        [(b"cICP", b"\x0c\x0d")],
        [(b"cICP", b"\2\2\0\1")],
        [(b"gAMA", bytes(4))],
        [(b"cHRM", bytes(32))],
        [(b"sRGB", b"\7")],
        [(b"tEXt", b"gamma\0a text"), (b"tEXt", b"srgb\0a text"), (b"tEXt", b"chromaticity\0a text")],
        [(b"tEXt", b"icc_profile\0a text"), (b"tEXt", b"dpi\0a text")],
    ],
    ids=lambda chunks: str(chunks[0]),
)
def test_nonsense_is_not_kept(chunks: list[tuple[bytes, bytes]]) -> None:
    assert take_apart(open_image(io.BytesIO(png(chunks)))).metadata == {}


# --- profiles


def converted(image: Image.Image, made: bytes) -> np.ndarray:
    result = to_srgb(image, made)
    assert result is not None
    return np.asarray(result).astype(int)


def test_profiles_mean_what_the_chunks_say() -> None:
    image = Image.fromarray(picture(32, 24))
    values = np.asarray(image).astype(float) / 255
    assert np.abs(converted(image, Colour(srgb=0).icc_profile()) - np.asarray(image)).max() <= 1
    theirs = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.abs(converted(image, theirs) - np.asarray(image)).max() <= 1
    encoded = np.where(values > 0.0031308, 1.055 * values ** (1 / 2.4) - 0.055, 12.92 * values)
    assert np.abs(converted(image, Colour(gamma=100000).icc_profile()) - 255 * encoded).max() <= 1
    grey = converted(image.convert("L"), Colour(gamma=100000).icc_profile(grey=True))
    assert (
        np.abs(grey - converted(image.convert("L").convert("RGB"), Colour(gamma=100000).icc_profile())[..., 0]).max()
        <= 1
    )


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((255, 255, 255), (255, 255, 255)), ((128, 128, 128), (128, 128, 128)), ((0, 128, 0), (0, 131, 0))],
)
def test_display_p3_is_wider_than_srgb(rgb: tuple[int, ...], expected: tuple[int, ...]) -> None:
    made = Colour(cicp=P3).icc_profile()
    assert np.abs(converted(Image.new("RGB", (1, 1), rgb), made)[0, 0] - expected).max() <= 2


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_other_formats_get_a_profile(name: str, mode: str) -> None:
    image = Image.fromarray(picture(16, 12)).convert(mode)
    image.info |= Colour(cicp=P3).info()
    image, options, lost = saving(image, name)
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    assert not lost
    assert Image.open(buffer).info["icc_profile"] == Colour(cicp=P3).icc_profile(grey=mode == "L")


@pytest.mark.parametrize("name", ["BMP", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_formats_without_profiles_get_pixels_in_srgb(name: str, mode: str) -> None:
    image = Image.new(mode, (2, 1), 128 if mode == "L" else (128, 128, 128))
    plain = saving(image, name)
    image.info |= Colour(srgb=0).info()
    assert plain[0] is image and plain[2] == [] == saving(image, name)[2]
    del image.info["srgb"]
    image.info |= Colour(gamma=100000).info()
    made, options, lost = saving(image, name)
    assert made.getpixel((0, 0)) in (188, (188, 188, 188))
    assert lost == ["the description of colours (colours are those of sRGB now)"]
    made.save(io.BytesIO(), name, **options)


def test_alpha_is_no_colour() -> None:
    for mode, value in (("LA", (128, 7)), ("RGBA", (128, 128, 128, 7))):
        made = converted(Image.new(mode, (1, 1), value), Colour(gamma=100000).icc_profile(grey=mode == "LA"))
        assert made[0, 0].tolist() == [188] * (len(value) - 1) + [7]


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_what_no_profile_can_say_is_said(transfer: int, name: str) -> None:
    image = Image.new("RGB", (2, 1))
    image.info |= Colour(cicp=(9, transfer, 0, 1)).info()
    assert saving(image, "PNG")[2] == []
    for other in ("JPEG", "BMP"):
        _, options, (said,) = saving(image, other)
        assert name in said and not options["icc_profile"]


@pytest.mark.parametrize(
    ("mode", "space", "says"),
    [
        ("L", b"RGB ", "for RGB"),
        ("LA", b"RGB ", "for RGB"),
        ("RGB", b"GRAY", "for grey"),
        ("RGB", b"CMYK", "for CMYK"),
        ("CMYK", b"RGB ", "for RGB"),
        ("RGB", b"LAB ", "for LAB"),
    ],
)
def test_a_profile_that_does_not_fit_is_left_out_and_said(mode: str, space: bytes, says: str) -> None:
    image = Image.new(mode, (8, 8))
    image.info["icc_profile"] = profile(space)
    planes = take_apart(image)
    assert f"the ICC profile, which is {says}" in planes.lost
    assert planes.metadata == {}
    assert "ICC" not in (take_apart(image, []).lost or "")


@pytest.mark.parametrize(("mode", "space"), [("L", b"GRAY"), ("RGB", b"RGB "), ("CMYK", b"CMYK"), ("P", b"RGB ")])
def test_a_profile_that_fits_is_kept(mode: str, space: bytes) -> None:
    image = Image.new(mode, (8, 8))
    image.info["icc_profile"] = profile(space)
    assert take_apart(image).metadata == {b"ICCP": profile(space)}


def test_what_is_no_profile_is_left_out_and_said() -> None:
    assert misfit(b"a profile", "RGB") == misfit(bytes(200), "RGB") == "which is none"


@pytest.mark.parametrize("name", ["PNG", "TIFF", "AVIF", "JPEG", "WEBP"])
def test_a_profile_that_does_not_fit_is_not_written(name: str) -> None:
    image = Image.new("RGB", (8, 8))
    image.info["icc_profile"] = profile(b"CMYK")
    image, options, _ = saving(image, name)
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    assert "icc_profile" not in Image.open(buffer).info


def test_an_avif_file_without_a_profile_says_its_colours() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(16, 12)).save(buffer, "AVIF")
    plain = buffer.getvalue()
    assert plain.count(b"colrnclx") == 1
    at = plain.index(b"colrnclx") + 8
    wide = plain[:at] + b"\0\x0c\0\x0d" + plain[at + 4 :]
    assert take_apart(open_image(io.BytesIO(plain))).metadata == {}
    assert take_apart(open_image(io.BytesIO(wide))).metadata == {b"COLR": Colour(cicp=P3).to_bytes()}
