"""What becomes of pictures of every mode in every format that Pillow writes."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from support import MODES, in_mode

from vaecodec.errors import ImageError
from vaecodec.pictures.exchange.output import FORMATS, Format, fitted, held_by, written
from vaecodec.pictures.images import put_together, take_apart

Image.init()
PILLOWS = {name for name in Image.EXTENSION.values() if name in Image.SAVE and "PIL." in Image.SAVE[name].__module__}
WITHOUT_A_WRITER = {"BUFR", "GRIB", "HDF5", "WMF"}
NOT_READ = {"EPS", "PALM", "PDF"}
"""Not without Ghostscript, or not at all."""
BLACK_AND_WHITE = {name for name, form in FORMATS.items() if form.modes == ("1",)}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def decoded(mode: str, width: int = 24, height: int = 16) -> Image.Image:
    """What the file of a picture gives if nothing but what its mode cannot keep is lost."""
    planes = take_apart(in_mode(mode, width, height))
    return put_together(planes.rgb, planes.alpha, planes.mode)


def read(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def shown(image: Image.Image) -> np.ndarray:
    """`[H, W, 3]` int: on white, 16 bits as eight."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.getextrema()[1] > 255):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    image = image.convert("RGBA" if image.has_transparency_data else "RGB").convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB")).astype(int)


# --- modes and formats


def test_the_table_has_the_formats_that_pillow_writes() -> None:
    assert not PILLOWS - WITHOUT_A_WRITER - set(FORMATS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", sorted(PILLOWS & set(FORMATS)))
@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_is_the_same_in_any_format(mode: str, name: str) -> None:
    image = decoded(mode, *((16, 16) if name == "ICNS" else ()))
    before = image.mode, image.tobytes(), dict(image.info)
    data, lost = written(image, name)
    assert (image.mode, image.tobytes(), image.info) == before
    if name in NOT_READ:
        assert len(data) >= 24 * 16 / 8
        return
    again = read(data)
    assert again.size == image.size or name == "ICNS"
    expected, got = shown(image), shown(again.resize(image.size, Image.Resampling.BOX))
    if name in BLACK_AND_WHITE and image.mode != "1":
        assert "all but black and white" in lost and abs(got.mean() - expected.mean()) < 20
    elif lost and "partial transparency" in lost:
        opaque = np.asarray(image.getchannel("A")) >= 128
        assert np.abs(got - expected)[opaque].mean() < 1 and (got[~opaque] == 255).all()
    else:
        lossy = held_by(name).quality or name == "ICNS"
        assert np.abs(got - expected).mean() < (8 if lossy else 0.5)


@pytest.mark.parametrize("name", sorted(PILLOWS & WITHOUT_A_WRITER))
def test_a_format_without_a_writer_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match=f"cannot be written as {name}"):
        written(decoded("RGB"), name)


@pytest.mark.parametrize(
    ("mode", "name", "lost"),
    [
        ("RGB", "PNG", None),
        ("RGB", "JPEG", None),
        ("1", "JPEG", None),
        ("RGBA", "WEBP", None),
        ("LA", "AVIF", None),
        ("I;16", "PNG", None),
        ("RGBA", "JPEG", "transparency (composed on white)"),
        ("LA", "BMP", "transparency (composed on white)"),
        ("I;16", "WEBP", "more than 8 bits a sample"),
        ("F", "PNG", "more than 8 bits a sample"),
        ("CMYK", "PNG", "mode CMYK (now RGB)"),
        ("CMYK", "TIFF", None),
        ("HSV", "TIFF", "mode HSV (now RGB)"),
        ("RGB", "GIF", "all but 256 colours"),
        ("L", "GIF", None),
        ("L", "XBM", "all but black and white"),
        ("RGBA", "GIF", "partial transparency (composed on white), all but 255 colours"),
    ],
)
def test_what_is_lost_is_said(mode: str, name: str, lost: str | None) -> None:
    assert written(decoded(mode), name)[1] == lost


def test_what_no_table_knows_becomes_rgb() -> None:
    assert fitted(Image.new("LAB", (4, 4)), Format(("RGB",)))[0].mode == "RGB"
    assert held_by("A plug-in's").modes == ("RGB", "RGBA")


@pytest.mark.parametrize("name", ["JPEG", "AVIF", "WEBP"])
def test_little_is_lost_a_second_time(name: str) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    again = read(written(Image.fromarray(colours), name)[0])
    assert np.abs(np.asarray(again.convert("RGB")).astype(int) - colours).mean() < 4


# --- transparency


def test_the_background_has_the_colour_that_was_asked_for() -> None:
    clear = Image.new("LA", (8, 8), (0, 0))
    for background, mode, colour in (("white", "L", 255), ("#808080", "L", 128), ("rgb(200,0,0)", "RGB", (200, 0, 0))):
        image, lost = fitted(clear, FORMATS["PPM"], background)
        assert (image.mode, image.getpixel((3, 3)), lost) == (
            mode,
            colour,
            [f"transparency (composed on {background})"],
        )


def test_half_transparent_pixels_are_mixed() -> None:
    image, _ = fitted(Image.new("RGBA", (2, 2), (255, 0, 0, 128)), FORMATS["JPEG"], "blue")
    assert image.getpixel((0, 0)) == (128, 0, 127)


def test_alpha_that_hides_nothing_is_not_missed() -> None:
    assert written(Image.new("RGBA", (8, 8), (1, 2, 3, 255)), "JPEG")[1] is None


def test_a_gif_keeps_what_is_cut_out() -> None:
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    data, lost = written(image, "GIF", "red")
    again = np.asarray(read(data).convert("RGBA"))
    assert lost is None
    assert (again[:, :4, 3] == 0).all() and (again[:, 4:] == (10, 20, 30, 255)).all()


# --- sizes


def test_a_picture_that_is_too_large_for_a_format_is_refused() -> None:
    for name, size in (("ICO", (257, 8)), ("WEBP", (8, 16384)), ("JPEG", (65501, 1)), ("GIF", (65536, 1))):
        with pytest.raises(ImageError, match=rf"{name} holds up to \d+x\d+ pixels; these are {size[0]}x{size[1]}"):
            written(Image.new("L", size), name)
    with pytest.raises(ImageError, match="ICNS holds square pictures; this one has 24x16 pixels"):
        written(decoded("RGB"), "ICNS")


def test_an_icon_keeps_its_size() -> None:
    assert read(written(decoded("RGBA", 200, 100), "ICO")[0]).size == (200, 100)


# --- profiles


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2, of a printer or of a screen in grey."""
    table, content = b"", b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, 128 + 4 + 12 * len(tags) + len(content), len(tag))
        content += tag + b"\0" * (-len(tag) % 4)
    body = struct.pack(">I", len(tags)) + table + content
    kind, connection = (b"prtr", b"Lab ") if space == b"CMYK" else (b"mntr", b"XYZ ")
    white = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    head = struct.pack(">II4s4s4s4s12x4s", 128 + len(body), 0, *(b"\2\x40\0\0", kind, space, connection), b"acsp")
    return head.ljust(68, b"\0") + white + bytes(48) + body


def printers(paper: tuple[int, int, int]) -> bytes:
    """A CMYK profile of a paper, in L*a*b* as eight bits, whose L* is halved by an ink, a third with two, and so on."""
    ramp = bytes(range(256))
    lightness, *colour = paper
    grid = b"".join(bytes([lightness // (1 + inks.bit_count()), *colour]) for inks in range(16))
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    return profile(b"CMYK", {b"A2B0": b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + grid + ramp * 3})


GREY = profile(
    b"GRAY",
    {
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D),
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, 256),
    },
)
"""Of linear grey."""


def with_profile(image: Image.Image, data: bytes) -> Image.Image:
    image.info["icc_profile"] = data
    return image


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_a_profile_that_fits_stays(name: str) -> None:
    data, lost = written(with_profile(decoded("RGB"), SRGB), name)
    assert (read(data).info["icc_profile"], lost) == (SRGB, None)


def test_cmyk_becomes_srgb_by_its_profile() -> None:
    cyan = with_profile(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), printers((200, 128, 200)))
    data, lost = written(cyan, "PNG")
    red, green, blue = read(data).getpixel((4, 4))
    assert red > green > blue + 50  # b* is 72: mustard, whatever Pillow would have
    assert "icc_profile" not in read(data).info
    assert lost == "mode CMYK (now RGB), the ICC profile (colours are converted to sRGB)"
    assert read(written(cyan, "TIFF")[0]).info["icc_profile"] == cyan.info["icc_profile"]


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_becomes_srgb_by_its_profile(mode: str) -> None:
    image = with_profile(Image.new(mode, (8, 8), 64 if mode == "L" else (64, 255)), GREY)
    assert read(written(image, "PNG")[0]).info["icc_profile"] == GREY
    for name in ("WEBP", "TGA"):
        again = read(written(image, name)[0])
        assert np.abs(shown(again) - 137).max() <= 1, name  # a quarter of the light


def test_a_profile_that_does_not_fit_is_left_out() -> None:
    for image, name in ((decoded("L"), "PNG"), (decoded("I;16"), "PPM")):
        data, lost = written(with_profile(image, SRGB), name)
        assert image.info["icc_profile"] == SRGB
        assert "icc_profile" not in read(data).info and lost == "the ICC profile"
        assert np.array_equal(shown(read(data)), shown(image))


@pytest.mark.parametrize("damaged", [b"p" * 1500, SRGB[:200], printers((1, 2, 3))[:600]], ids=["p", "rgb", "cmyk"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_a_damaged_profile_stops_nothing(damaged: bytes, mode: str) -> None:
    for name in ("PNG", "BMP"):
        assert read(written(with_profile(decoded(mode), damaged), name)[0]).size == (24, 16)


def test_webp_keeps_the_colours_of_what_is_transparent() -> None:
    image = in_mode("RGBA", 24, 16)
    image.putalpha(Image.new("L", image.size, 0))
    again, lost = written(image, "WEBP")
    assert lost is None and np.array_equal(np.asarray(Image.open(io.BytesIO(again))), np.asarray(image))
