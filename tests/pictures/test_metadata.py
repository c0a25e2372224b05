"""What lies beside the pixels survives, is left out and said, or is nonsense; in each format's own form."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support import examples
from test_colour import png

from vaecodec.errors import Corrupt
from vaecodec.format.container import METADATA
from vaecodec.pictures.exchange.colour import Colour
from vaecodec.pictures.exchange.metadata import IPTC_RESOURCE, saving, to_info
from vaecodec.pictures.images import open_image, put_together, take_apart

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">a title</x:xmpmeta>'
IPTC = bytes.fromhex("1c0250000548656c6c6f")
MAKE, DESCRIPTION, ORIENTATION, TAKEN, PLACE = 0x010F, 0x010E, 0x0112, 0x9003, 0x8825
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "AVIF")
WITH_IPTC, WITH_DPI = ("JPEG", "TIFF"), ("PNG", "JPEG", "TIFF")


def exif(orientation: int = 1) -> Image.Exif:
    made = Image.Exif()
    made[MAKE], made[ORIENTATION] = "a maker", orientation
    made.get_ifd(0x8769)[TAKEN] = "2020:01:02 03:04:05"
    made.get_ifd(PLACE).update({1: "N", 2: (1.0, 2.0, 3.0)})
    return made


def photo(name: str, *, orientation: int = 1, dpi: tuple[float, float] = (300, 300)) -> bytes:
    """A picture of 24×16 with all that a format can hold; some of it in forms that other programs write."""
    options = {"exif": exif(orientation), "icc_profile": Colour(srgb=0).icc_profile(), "xmp": XMP, "dpi": dpi}
    if name == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP, zip=True)
    if name == "JPEG":
        resources = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC
        segment = b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\x10" + bytes(16) + resources
        options["extra"] = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    if name == "TIFF":
        options["tiffinfo"] = Image.Exif()
        options["tiffinfo"].load(exif(orientation).tobytes())
        options["tiffinfo"][700], options["tiffinfo"][33723] = XMP, IPTC
    buffer = io.BytesIO()
    Image.fromarray(picture(24, 16)).save(buffer, name, **options)
    return buffer.getvalue()


def again(data: bytes, name: str) -> tuple[Image.Image, list[str]]:
    """A file taken apart, put together, saved in a format and opened, and what was said when it was saved."""
    planes = take_apart(open_image(io.BytesIO(data)))
    assert planes.lost is None
    image, options, lost = saving(put_together(planes.rgb, planes.alpha, planes.mode, planes.metadata), name)
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return open_image(buffer), lost


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_all_survives_from_each_format_to_each(source: str, target: str) -> None:
    image, lost = again(photo(source), target)
    found = image.getexif()
    assert found[MAKE] == "a maker"
    assert found.get_ifd(0x8769)[TAKEN] == "2020:01:02 03:04:05"
    assert found.get_ifd(PLACE)[2] == (1.0, 2.0, 3.0)
    kept = take_apart(image).metadata
    assert kept[b"XMP "] == XMP and kept[b"ICCP"] == Colour(srgb=0).icc_profile()
    assert kept.get(b"reso") == (struct.pack("<H", 300) if {source, target} <= set(WITH_DPI) else None)
    assert kept.get(b"iptc") == (IPTC if {source, target} <= set(WITH_IPTC) else None)
    assert lost == (["the IPTC data"] if source in WITH_IPTC and target not in WITH_IPTC else [])


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_codec_returns_has_it_all(name: str, tiny) -> None:
    image = tiny.decompress(tiny.compress(open_image(io.BytesIO(photo(name)))))
    assert image.info["xmp"] == XMP and image.getexif()[MAKE] == "a maker"
    assert image.info.get("dpi") == ((300.0, 300.0) if name in WITH_DPI else None)
    assert image.info.get("photoshop") == ({IPTC_RESOURCE: IPTC} if name in WITH_IPTC else None)


@pytest.mark.parametrize("kind", METADATA)
def test_each_kind_can_be_kept_alone(kind: str) -> None:
    assert set(take_apart(open_image(io.BytesIO(photo("JPEG"))), [kind]).metadata) <= set(METADATA[kind])


@pytest.mark.parametrize("name", FORMATS)
def test_an_orientation_that_is_applied_is_said_nowhere(name: str) -> None:
    image, _ = again(photo(name, orientation=6), name)
    assert image.size == (16, 24)
    assert image.getexif().get(ORIENTATION, 1) == 1 and image.getexif()[MAKE] == "a maker"


@pytest.mark.parametrize("form", [b'tiff:Orientation="6"', b"<tiff:Orientation>6</tiff:Orientation>"])
def test_the_orientation_of_xmp_is_applied_too(form: bytes) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(24, 16)).save(buffer, "JPEG", xmp=XMP + form)
    planes = take_apart(open_image(buffer))
    assert planes.rgb.shape == (24, 16, 3)
    assert planes.metadata[b"XMP "] == XMP


BAD_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\2" + bytes.fromhex(
    "0112 0003 00000001 0006 0000  0100 000b 00000001 3f800000 00000000"  # a width that is a float
)


def test_exif_that_cannot_be_written_again_is_left_out_and_said() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(24, 16)).save(buffer, "JPEG", exif=BAD_EXIF)
    planes = take_apart(open_image(buffer))
    assert planes.rgb.shape == (24, 16, 3)
    assert (planes.lost, planes.metadata) == ("the Exif data, which are damaged", {})
    assert take_apart(open_image(buffer), []).lost is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("content", [b"", b"MM", b"no Exif at all", b"Exif\0\0MM\0*\xff\xff\xff\xff", bytes(40)])
def test_damaged_exif_harms_no_picture(content: bytes) -> None:
    data = png([(b"eXIf", content)])
    for kinds in (tuple(METADATA), ()):
        planes = take_apart(open_image(io.BytesIO(data)), kinds)
        assert planes.rgb.shape == (12, 16, 3)
    image = put_together(planes.rgb, None, "RGB", {b"EXIF": content})
    for name in FORMATS:
        image, options, _ = saving(image, name)
        assert name != "TIFF" or not len(options["tiffinfo"])


def in_texts(kind: str, content: bytes) -> bytes:
    """A PNG with metadata where ImageMagick puts them."""
    text = b"\n%s\n%8d\n%s\n" % (kind.encode(), len(content), content.hex().encode())
    return png([(b"zTXt", b"Raw profile type " + kind.encode() + b"\0\0" + zlib.compress(text))])


def resources(record: bytes) -> bytes:
    """Photoshop's resources with an IPTC record among them."""
    entries = [(0x03ED, b"\0\0", bytes(15)), (IPTC_RESOURCE, b"\4name\0", record), (0x040F, b"\0\0", b"x")]
    packed = (struct.pack(">4sH", b"8BIM", n) + name + struct.pack(">I", len(c)) + c + bytes(len(c) % 2)
              for n, name, c in entries)  # fmt: skip
    return b"".join(packed)


@pytest.mark.parametrize(
    ("kind", "content", "chunk", "expected"),
    [
        ("exif", exif().tobytes(), b"EXIF", exif().tobytes()),
        ("xmp", XMP, b"XMP ", XMP),
        ("iptc", resources(IPTC + b"x"), b"iptc", IPTC + b"x"),
    ],
)
def test_metadata_in_a_text_are_read(kind: str, content: bytes, chunk: bytes, expected: bytes) -> None:
    planes = take_apart(open_image(io.BytesIO(in_texts(kind, content))))
    assert planes.metadata[chunk] == expected and planes.lost is None


@pytest.mark.parametrize("cut", [3, 7, 12, 30, 34])
def test_resources_that_are_cut_have_no_record_or_a_part(cut: int) -> None:
    kept = take_apart(open_image(io.BytesIO(in_texts("iptc", resources(IPTC)[:cut])))).metadata
    assert IPTC.startswith(kept.get(b"iptc", b""))


def test_an_iptc_record_among_photoshops_resources_in_a_tiff_file_is_read() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(16, 12)).save(buffer, "TIFF", tiffinfo={34377: resources(IPTC)})
    assert take_apart(open_image(buffer)).metadata[b"iptc"] == IPTC


def saved(name: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(16, 12)).save(buffer, name, **options)
    return buffer.getvalue()


def texts(*names: str) -> PngInfo:
    info = PngInfo()
    for name in names:
        info.add_text(name, "a text")
    return info


WITHOUT_PLACE = [
    (saved("PNG", pnginfo=texts("Author")), "the text Author"),
    (saved("PNG", pnginfo=texts("parameters", "a", "b", "c")), "the texts parameters, a, b, …"),
    (saved("JPEG", comment=b"made by hand"), "the comment"),
    (saved("GIF", comment=b"made by hand"), "the palette, the comment"),
    (saved("JPEG", xmp=b'<x xmpNote:HasExtendedXMP="0"/>'), "the rest of the XMP, which is extended"),
    (png([(b"mDCV", bytes(24)), (b"cLLI", bytes(8))]), "how bright its light is (mDCV, cLLI)"),
]


@pytest.mark.parametrize(("data", "lost"), WITHOUT_PLACE, ids=[lost for _, lost in WITHOUT_PLACE])
def test_what_there_is_no_place_for_is_said(data: bytes, lost: str) -> None:
    assert take_apart(open_image(io.BytesIO(data))).lost == lost
    said = take_apart(open_image(io.BytesIO(data)), ()).lost  # nothing is wanted
    assert said == ("the palette" if "palette" in lost else None)


@pytest.mark.parametrize("content", [b"", b"Exif\0\0", b"MM\0*\0\0\0\x08\0\0\0\0\0\0"])
def test_exif_without_content_is_none(content: bytes) -> None:
    planes = take_apart(open_image(io.BytesIO(png([(b"eXIf", content)]))))
    assert b"EXIF" not in planes.metadata and planes.lost is None


def test_what_is_too_long_for_a_segment_is_left_out_and_said() -> None:
    image = Image.fromarray(picture(16, 16))
    image.info |= {"xmp": bytes(70_000), "exif": bytes(70_000), "photoshop": {IPTC_RESOURCE: bytes(70_000)}}
    image, options, lost = saving(image, "JPEG")
    image.save(io.BytesIO(), "JPEG", **options)
    assert [said.removesuffix(", which is too long for a segment") for said in lost] == [
        "the Exif data", "the XMP", "the IPTC data",
    ]  # fmt: skip


def test_an_iptc_record_that_a_tiff_file_calls_words_is_read() -> None:
    record = IPTC + bytes(2)
    data = bytearray(photo("TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    entry = next(at for at in range(first + 2, first + 12 * count, 12) if data[at : at + 2] == struct.pack("<H", 33723))
    struct.pack_into("<HII", data, entry + 2, 4, 3, len(data))
    kept = take_apart(open_image(io.BytesIO(bytes(data) + record))).metadata
    assert kept[b"iptc"] == record


# --- resolution


@pytest.mark.parametrize(
    ("dpi", "content"),
    [
        ((300, 300), struct.pack("<H", 300)),
        ((299.9994, 299.9994), struct.pack("<H", 300)),
        ((72.009, 72.009), struct.pack("<H", 72)),
        ((300, 150), struct.pack("<II", 300_000, 150_000)),
        ((96.5, 96.5), struct.pack("<II", 96_500, 96_500)),
        ((254_000, 254_000), struct.pack("<II", 254_000_000, 254_000_000)),
    ],
)
def test_a_resolution_takes_two_bytes_or_eight(dpi: tuple[float, float], content: bytes) -> None:
    image = Image.new("RGB", (8, 8))
    image.info["dpi"] = dpi
    assert take_apart(image).metadata == {b"reso": content}
    assert to_info({b"reso": content})["dpi"] == pytest.approx(dpi, abs=0.013)


@pytest.mark.parametrize(
    "dpi",
    [
        (0, 0),
        (1, 1),
        (-300, -300),
        (300, 0),
        (float("nan"),) * 2,
        (float("inf"),) * 2,
        (1e9, 1e9),
        (),
        300,
        "a text",
        (300,),
    ],
    ids=str,
)
def test_a_resolution_of_no_use_is_not_kept(dpi: object) -> None:
    image = Image.new("RGB", (8, 8))
    image.info["dpi"] = dpi
    assert take_apart(image).metadata == {}
    assert "dpi" not in saving(image, "PNG")[1]


def test_what_jpeg_says_by_default_is_no_resolution() -> None:
    assert b"reso" not in take_apart(open_image(io.BytesIO(photo("JPEG", dpi=(72, 72))))).metadata
    assert take_apart(open_image(io.BytesIO(photo("PNG", dpi=(72, 72))))).metadata[b"reso"] == struct.pack("<H", 72)


@given(data=st.binary(max_size=12))
@examples(200)
def test_hostile_resolutions_are_one_or_corrupt(data: bytes) -> None:
    try:
        across, down = to_info({b"reso": data})["dpi"]
    except Corrupt:
        return
    assert len(data) in (2, 8) and across > 0 and down > 0


@pytest.mark.parametrize("chunks", [{b"reso": b"1"}, {b"reso": bytes(2)}, {b"reso": bytes(8)}, {b"COLR": b"\x10"}])
def test_malformed_metadata_makes_a_file_corrupt(chunks: dict[bytes, bytes]) -> None:
    with pytest.raises(Corrupt, match="chunk on"):
        put_together(picture(8, 8), None, "RGB", chunks)
