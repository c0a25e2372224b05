"""Pictures to planes and back: every row of the table in `pictures.images`, and pictures of no use."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from conftest import picture
from PIL import Image, ImageCms
from support import alpha_plane, in_mode, png_alpha
from support import png as png_of

from vaecodec.errors import Corrupt, ImageError, LimitError
from vaecodec.format.container import MODES
from vaecodec.pictures.exchange.metadata import saving
from vaecodec.pictures.images import open_image, planes_of, put_together, take_apart, unpack_alpha

WIDTH, HEIGHT = 20, 12
BLACK, PALETTE, LOW_BITS = "the black separation", "the palette", "bits below the eighth"

# mode, mode in the header, mode that comes back, what is lost, has alpha
ROWS = [
    ("RGB", "RGB", "RGB", None, False),
    ("L", "L", "L", None, False),
    ("RGBA", "RGBA", "RGBA", None, True),
    ("LA", "LA", "LA", None, True),
    ("RGBa", "RGBA", "RGBA", "premultiplication", True),
    ("RGBX", "RGB", "RGB", "the padding channel", False),
    ("1", "1", "1", None, False),
    ("P", "P", "RGB", PALETTE, False),
    ("PA", "PA", "RGBA", PALETTE, True),
    ("CMYK", "CMYK", "CMYK", BLACK, False),
    ("YCbCr", "YCbCr", "YCbCr", "what rounding to RGB takes", False),
    ("HSV", "HSV", "HSV", "what rounding to RGB takes", False),
    ("I;16", "I;16", "I;16", LOW_BITS, False),
    ("I", "I", "I", None, False),
    ("F", "F", "F", "fractions", False),
]


@pytest.mark.parametrize(("mode", "stored", "back", "lost", "has_alpha"), ROWS, ids=[row[0] for row in ROWS])
def test_each_mode_is_taken_apart_as_the_table_says(mode, stored, back, lost, has_alpha) -> None:
    planes = take_apart(in_mode(mode, WIDTH, HEIGHT))
    assert (planes.mode, planes.lost, planes.alpha is not None) == (stored, lost, has_alpha)
    assert (planes.rgb.shape, planes.rgb.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize(("mode", "stored", "back", "lost", "has_alpha"), ROWS, ids=[row[0] for row in ROWS])
def test_each_mode_comes_back_as_the_table_says(mode, stored, back, lost, has_alpha) -> None:
    planes = take_apart(in_mode(mode, WIDTH, HEIGHT))
    image = put_together(planes.rgb, planes.alpha, planes.mode)
    assert (image.mode, image.size) == (back, (WIDTH, HEIGHT))
    if has_alpha:
        assert np.array_equal(np.asarray(image.getchannel("A")), alpha_plane(WIDTH, HEIGHT))


def test_the_table_covers_every_mode_of_the_format() -> None:
    assert {row[1] for row in ROWS} == set(MODES)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "1", "I;16", "I", "F"])
def test_values_survive_where_the_table_says_the_mode_is_coded_as_itself(mode: str) -> None:
    image = in_mode(mode, WIDTH, HEIGHT)
    planes = take_apart(image)
    back = np.asarray(put_together(planes.rgb, planes.alpha, planes.mode))
    assert np.array_equal(back, np.asarray(image))


@pytest.mark.parametrize(("mode", "tolerance"), [("YCbCr", 3), ("CMYK", 1)])
def test_colour_spaces_are_converted_by_pillow(mode: str, tolerance: int) -> None:
    image = in_mode(mode, WIDTH, HEIGHT)
    planes = take_apart(image)
    back = put_together(planes.rgb, planes.alpha, planes.mode).convert("RGB")
    difference = np.abs(np.asarray(back).astype(int) - np.asarray(image.convert("RGB")))
    assert difference.max() <= tolerance


def test_premultiplied_grey_is_taken_apart() -> None:
    planes = take_apart(in_mode("La", WIDTH, HEIGHT))
    assert (planes.mode, planes.lost) == ("LA", "premultiplication")


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I;16N"])
def test_sixteen_bits_round_to_eight_in_any_byte_order(mode: str) -> None:
    image = Image.new(mode, (4, 1))
    image.putdata([0, 128, 129, 65535])
    planes = take_apart(image)
    assert planes.mode == "I;16"
    assert planes.rgb[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_becomes_alpha(mode: str) -> None:
    image = Image.new(mode, (2, 1))
    image.putpixel((1, 0), 7 if mode == "L" else (7, 7, 7))
    image.info["transparency"] = 7 if mode == "L" else (7, 7, 7)
    planes = take_apart(image)
    assert planes.mode == "RGBA"
    assert planes.alpha.tolist() == [[255, 0]]


def test_a_palette_with_a_transparent_entry_keeps_its_alpha() -> None:
    image = in_mode("P", WIDTH, HEIGHT)
    image.info["transparency"] = int(np.asarray(image)[0, 0])
    planes = take_apart(image)
    assert (planes.mode, planes.lost) == ("PA", PALETTE)
    assert planes.alpha[0, 0] == 0
    assert planes.alpha.max() == 255


def test_a_palette_of_rgba_keeps_its_alpha() -> None:
    image = in_mode("RGBA", WIDTH, HEIGHT).quantize(16)
    assert image.has_transparency_data
    assert take_apart(image).mode == "PA"


@pytest.mark.parametrize("mode", ["1", "I;16"])
def test_a_transparent_value_is_kept_or_said_to_be_lost(mode: str) -> None:
    buffer = io.BytesIO()
    in_mode(mode, WIDTH, HEIGHT).save(buffer, "PNG", transparency=0)
    image = Image.open(buffer)
    assert "transparency" in image.info
    planes = take_apart(image)
    assert planes.alpha is not None or "transparen" in (planes.lost or "")


UPRIGHT = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, UPRIGHT),
        (2, UPRIGHT[:, ::-1]),
        (3, UPRIGHT[::-1, ::-1]),
        (4, UPRIGHT[::-1]),
        (5, UPRIGHT.T),
        (6, np.rot90(UPRIGHT)),
        (7, UPRIGHT[::-1, ::-1].T),
        (8, np.rot90(UPRIGHT, -1)),
    ],
)
def test_exif_orientation_is_applied(orientation: int, stored: np.ndarray) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(buffer, "PNG", exif=exif)
    assert np.array_equal(take_apart(Image.open(buffer)).rgb[..., 0], UPRIGHT)


def bad_exif(orientation: int) -> Image.Image:
    """A JPEG whose Exif says that a text is a rational: Pillow can read it but not write it again."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\2" + bytes.fromhex(f"0112 0003 00000001 {orientation:04x} 0000")
    exif += bytes.fromhex("0100 000b 00000001 3f800000 00000000")  # ImageWidth as a float
    buffer = io.BytesIO()
    Image.fromarray(picture(16, 8)).save(buffer, "JPEG", exif=exif)
    return Image.open(buffer)


def test_odd_exif_does_not_escape_as_another_error() -> None:
    try:
        planes = take_apart(bad_exif(6))
    except ImageError:
        return
    assert planes.rgb.shape == (16, 8, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int32", "uint16", "bool", "object"])
def test_arrays_of_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(ImageError, match="uint8"):
        open_image(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize("shape", [(4,), (4, 4, 1), (4, 4, 5), (1, 4, 4, 3), (0, 4, 3), (4, 0), (), (3, 4, 0)])
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="shape"):
        open_image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(("shape", "mode"), [((4, 5), "L"), ((4, 5, 2), "LA"), ((4, 5, 3), "RGB"), ((4, 5, 4), "RGBA")])
def test_arrays_are_taken_by_their_channels(shape: tuple[int, ...], mode: str) -> None:
    image = open_image(np.zeros(shape, np.uint8))
    assert (image.mode, image.size) == (mode, (5, 4))


def test_arrays_need_not_be_contiguous() -> None:
    array = picture(30, 20)[::-2, ::3]
    assert np.array_equal(take_apart(open_image(array)).rgb, array)


@pytest.mark.parametrize("values", [[[np.nan]], [[np.inf]], [[-np.inf]], [[-0.5]], [[255.5]], [[0.0, 1e9]]])
def test_float_pictures_outside_of_8_bits_are_refused(values: list[list[float]]) -> None:
    with pytest.raises(ImageError, match="0 to 255"):
        take_apart(Image.fromarray(np.array(values, np.float32)))


@pytest.mark.parametrize("value", [-1, 256, 2**31 - 1, -(2**31)])
def test_integer_pictures_outside_of_8_bits_are_refused(value: int) -> None:
    with pytest.raises(ImageError, match="0 to 255"):
        take_apart(Image.fromarray(np.array([[value]], np.int32)))


def test_fractions_are_rounded() -> None:
    planes = take_apart(Image.fromarray(np.array([[0.4, 0.6, 254.6, 255.0]], np.float32)))
    assert planes.rgb[0, :, 0].tolist() == [0, 1, 255, 255]


def test_other_modes_are_refused_with_advice() -> None:
    with pytest.raises(ImageError, match=r"mode LAB.*convert to RGB"):
        take_apart(Image.new("LAB", (4, 4)))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_pictures_without_pixels_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="no pixels"):
        take_apart(Image.new("RGB", size))


def test_sides_that_no_header_can_hold_are_refused() -> None:
    with pytest.raises(ImageError, match="too large"):
        take_apart(Image.new("1", (2**24, 1)))


@pytest.mark.parametrize("mode", MODES)
def test_one_pixel(mode: str) -> None:
    planes = take_apart(in_mode(mode, 1, 1))
    assert planes.rgb.shape == (1, 1, 3)
    assert put_together(planes.rgb, planes.alpha, planes.mode).size == (1, 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "not an image"),
        (b"only text, whatever the name says", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image|cannot be read"),
        ("cut", "cannot be read"),
    ],
)
def test_files_that_are_no_pictures_are_refused_by_name(tmp_path, content: bytes | str | None, says: str) -> None:
    path = tmp_path / "thing.png"
    if content == "cut":
        Image.fromarray(picture(64, 64)).save(path)
        content = path.read_bytes()[:300]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=f"thing.png: .*({says})"):
        open_image(path)


def test_a_folder_is_no_picture(tmp_path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        open_image(tmp_path)


def test_a_picture_that_pillow_does_not_implement_is_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(8, 8)).save(buffer, "DDS")
    raw = bytearray(buffer.getvalue())
    raw[80:84] = bytes(4)  # pixel format flags: none
    with pytest.raises(ImageError):
        open_image(io.BytesIO(bytes(raw)))


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    raw = bytearray(data)
    for place in rng.integers(0, min(len(raw), 400), rng.integers(1, 6)):
        raw[place] = rng.integers(0, 256)
    return bytes(raw[: rng.integers(1, len(raw))] if rng.random() < 0.3 else raw)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"])
def test_damaged_pictures_are_read_or_refused(name: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(24, 16)).save(buffer, name)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(200):
        try:
            outcomes.add(type(open_image(io.BytesIO(damaged(buffer.getvalue(), rng)))).__mro__[-2])
        except (ImageError, LimitError) as error:
            outcomes.add(type(error))
    assert {Image.Image, ImageError} <= outcomes <= {Image.Image, ImageError, LimitError}


# --- the alpha chunk


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (97, 41)])
def test_alpha_is_lossless(size: tuple[int, int]) -> None:
    alpha = np.random.default_rng(0).integers(0, 256, size[::-1], np.uint8)
    assert np.array_equal(unpack_alpha(png_alpha(alpha), size), alpha)


def test_alpha_beyond_pillows_own_limit_is_read(monkeypatch) -> None:
    """The size is the header's, which has met the caller's limit."""
    data = png_alpha(alpha_plane(64, 64))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert unpack_alpha(data, (64, 64)).shape == (64, 64)


def png(mode: str, size: tuple[int, int], **options) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, **({"format": "PNG"} | options))
    return buffer.getvalue()


def grey_png(
    side: int = 8,
    *,
    depth: int = 8,
    interlaced: int = 0,
    pixels: bytes = bytes(8 * 9),
    after: bytes = b"",
    more=(),
    **options,
) -> bytes:
    """Chunk by chunk: what its pixels inflate to, what follows them, and further chunks before them."""
    head = side.to_bytes(4, "big") * 2 + bytes([depth, 0, 0, 0, interlaced])
    return png_of([(b"IHDR", head), *more, (b"IDAT", zlib.compress(pixels) + after), (b"IEND", b"")], **options)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        png("L", (8, 7)),
        png("RGB", (8, 8)),
        png("1", (8, 8)),
        png("P", (8, 8)),
        png("I;16", (8, 8)),
        png("L", (8, 8), format="GIF"),
        png("L", (8, 8), format="TIFF"),
        png("L", (8, 8), format="JPEG"),
        png("L", (8, 8))[:-26],
        png("L", (8, 8))[:40],
        grey_png(60000, pixels=b""),
        grey_png(depth=4, pixels=bytes(8 * 5)),
        grey_png(interlaced=1, pixels=bytes(64 + 15)),
        grey_png(pixels=bytes(8 * 9 - 1)),
        grey_png(pixels=bytes(8 * 9 + 1)),
        grey_png(pixels=bytes(10**7)),
        grey_png(after=b"more"),
        grey_png(pixels=b"\5" + bytes(8 * 9 - 1)),
        grey_png().replace(b"IHDR", b"IDAT"),
    ],
    ids=[
        *("empty", "text", "size", "RGB", "1", "P", "I;16", "GIF", "TIFF", "JPEG", "cut", "header-only", "bomb"),
        *("4 bits", "interlaced", "too few", "too many", "far too many", "more after", "no such filter", "no head"),
    ],
)
def test_alpha_that_is_not_the_pictures_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt, match="alpha plane"):
        unpack_alpha(data, (8, 8))


def test_what_else_an_alpha_plane_holds_does_not_matter() -> None:
    plain = unpack_alpha(grey_png(pixels=bytes([0, *range(8)] * 8)), (8, 8))
    assert np.array_equal(plain, [list(range(8))] * 8)
    bomb = (b"zTXt", b"key\0\0" + zlib.compress(bytes(10**7)))
    for more in ((b"tEXt", b"no end"), bomb, (b"pHYs", b""), (b"tRNS", b"\0\0"), (b"PLTE", bytes(3))):
        data = grey_png(pixels=bytes([0, *range(8)] * 8), more=[more], wrong_crc=b"tEXt")
        assert np.array_equal(unpack_alpha(data + b"after the end", (8, 8)), plain)


@pytest.mark.filterwarnings("ignore")
def test_damaged_alpha_is_read_or_corrupt() -> None:
    data = png_alpha(alpha_plane(24, 16))
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(1000):
        try:
            assert unpack_alpha(damaged(data, rng), (24, 16)).shape == (16, 24)
        except Corrupt:
            refused += 1
    assert refused > 500


def test_metadata_is_kept_and_can_be_left_out(tiny) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    buffer = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    in_mode("RGB", 40, 24).save(buffer, "JPEG", exif=exif, icc_profile=profile, xmp=b"<xmp/>")
    photo = Image.open(buffer)
    image = tiny.decompress(tiny.compress(photo))
    assert image.size == (24, 40), "the orientation is applied"
    assert image.info["icc_profile"] == profile and image.info["xmp"] == b"<xmp/>"
    assert dict(image.getexif()) == {0x010E: "a description"}
    assert set(take_apart(photo, ["icc"]).metadata) == {b"ICCP"}
    assert take_apart(photo, []).metadata == {}


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_metadata_is_written_where_a_format_can_hold_it(name: str) -> None:
    chunks = {b"XMP ": b"<xmp/>", b"ICCP": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    image = put_together(np.zeros((8, 8, 3), np.uint8), None, "RGB", chunks)
    buffer = io.BytesIO()
    image, options, lost = saving(image, name)
    image.save(buffer, name, **options)
    assert not lost
    again = Image.open(buffer)
    again.load()
    assert again.info["icc_profile"] == chunks[b"ICCP"]
    assert again.info["xmp"] == b"<xmp/>"


def test_a_masked_array_is_refused() -> None:
    masked = np.ma.masked_array(np.zeros((4, 4, 3), np.uint8), mask=True)
    for read in (open_image, planes_of):
        with pytest.raises(ImageError, match="a masked array is no picture"):
            read(masked)


def test_an_icon_whose_palette_is_not_told_is_a_picture() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(64, 64)).quantize(256).save(buffer, "ICNS")
    assert take_apart(open_image(buffer)).rgb.any()
