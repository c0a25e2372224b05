"""Pictures without loss: round trips of every shape and form, parts of them, and streams that are none."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import drawn, examples, run_python

from vaecodec.errors import Corrupt, Unsupported
from vaecodec.pictures import lossless
from vaecodec.pictures.lossless import HEAD, PNG, VP8L, Strips, pack, strips

SIZES = [(1, 1), (1, 40_000), (40_000, 1), (2, 3), (63, 65), (64, 64), (65, 63), (130, 200)]
"""Rows and columns."""
NOISE = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), np.uint8)


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Of small strips too, one setting of libwebp is tried; others take their time."""
    monkeypatch.setattr(lossless, "SMALL_SETTINGS", ((0, 4),))
    monkeypatch.setattr(lossless, "THOROUGH_PIXELS", 0)


@pytest.fixture
def no_webp(monkeypatch) -> None:
    """Pillow reads and writes no WebP."""
    monkeypatch.setattr(lossless.features, "check", lambda feature: feature != "webp")


@pytest.fixture
def small_strips(monkeypatch) -> None:
    """Strips are of two tiles by one at most."""
    monkeypatch.setattr(lossless, "STRIP_SIDE", 128)
    monkeypatch.setattr(lossless, "STRIP_PIXELS", 128 * 64)


def original(height: int, width: int, channels: int, draw=picture) -> np.ndarray:
    """`[H, W, C]` uint8 with, as a fourth channel, alpha that is nowhere 0."""
    rgb = draw(width, height)
    return np.dstack([rgb, 255 - rgb[..., 0] // 2])[..., :channels]


def forms(data: bytes) -> list[int]:
    """Of the strips that there are, one after the other."""
    found, at = [], 0
    while at < len(data):
        length, form = HEAD.unpack_from(data, at)
        found.append(form)
        at += HEAD.size + length
    return found


def unpacked(data: bytes, pixels: np.ndarray) -> np.ndarray:
    height, width, channels = pixels.shape
    return Strips(data, (width, height), channels).within((slice(0, height), slice(0, width)))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_shape_comes_back(size: tuple[int, int], channels: int) -> None:
    pixels = original(*size, channels)
    data = pack(pixels)
    assert np.array_equal(unpacked(data, pixels), pixels)
    assert len(forms(data)) == len(list(strips(*size))) == (3 if max(size) > 16_384 else 1)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (64, 65), (130, 200)], ids=str)
def test_every_shape_comes_back_without_webp(no_webp, size: tuple[int, int], channels: int) -> None:
    for draw in (picture, drawn):
        pixels = original(*size, channels, draw)
        data = pack(pixels)
        assert set(forms(data)) == {PNG}
        assert np.array_equal(unpacked(data, pixels), pixels)


@pytest.mark.parametrize("colours", [1, 2, 3, 4, 5, 16, 17, 256, 257])
def test_palettes_of_every_length_come_back(no_webp, colours: int) -> None:
    numbers = np.arange(32 * 32).reshape(32, 32) % colours
    pixels = np.dstack([numbers, numbers * 7 % 256, numbers // 256]).astype(np.uint8)
    data = pack(pixels)
    depth, colour_type = data[HEAD.size : HEAD.size + 2]
    least = next((bits for bits in (1, 2, 4, 8) if colours <= 2**bits), 8)
    assert (depth, colour_type) == (least, lossless.PALETTE if colours <= 256 else lossless.RGB)
    assert np.array_equal(unpacked(data, pixels), pixels)


def test_the_shorter_form_is_taken() -> None:
    dot, page = original(1, 1, 3), original(200, 300, 3, drawn)
    assert forms(pack(page)) == [VP8L]
    assert len(pack(dot)) <= 20
    assert len(pack(page)) < len(lossless._png_stream(page))


@pytest.mark.parametrize(
    ("pixels", "tried"),
    [(drawn(200, 120), True), (drawn(300, 230), False), (NOISE[:64, :64], False), (0 * NOISE[:64, :64], False)],
)
def test_the_thorough_setting_is_tried_where_it_may_pay(monkeypatch, pixels: np.ndarray, tried: bool) -> None:
    """Of drawings of few pixels; not of photographs, however small, nor where there is nothing to save."""
    monkeypatch.undo()
    used, webp = [], lossless._webp
    monkeypatch.setattr(lossless, "_webp", lambda image, *setting: used.append(setting[:2]) or webp(image, *setting))
    pack(pixels)
    assert (lossless.THOROUGH in used) == tried


def test_colours_that_nobody_sees_cost_only_where_they_are_to_be_kept() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    pixels[..., 3] = 0
    pixels[:, :32, 3] = 255
    kept, left = pack(pixels, keep_invisible=True), pack(pixels)
    assert np.array_equal(unpacked(kept, pixels), pixels)
    assert (
        np.array_equal(unpacked(left, pixels)[:, :32], pixels[:, :32]) and not unpacked(left, pixels)[..., 32:, 3].any()
    )
    assert len(left) < 0.6 * len(kept)


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_parts_and_smaller_pictures_are_those_of_the_whole(small_strips, channels: int, reduction: int) -> None:
    height, width = 203, 331
    pixels = original(height, width, channels)
    held = Strips(pack(pixels), (width, height), channels)
    whole = np.asarray(Image.fromarray(pixels[..., 0] if channels == 1 else pixels).reduce(reduction))
    whole = whole.reshape(*whole.shape[:2], channels)
    assert len(held.areas) == 4 * 3
    for top, left, bottom, right in ((0, 0, 1, 1), (3, 5, 9, 17), (60 // reduction, 0, 70 // reduction, 41)):
        area = slice(top, bottom), slice(left, right)
        assert np.array_equal(held.within(area, reduction), whole[area])
    area = slice(0, whole.shape[0]), slice(0, whole.shape[1])
    assert np.array_equal(held.within(area, reduction), whole)
    if channels == 3:
        means = pixels[: height // 8 * 8, : width // 8 * 8].reshape(
            height // 8 * 8 // reduction, reduction, -1, reduction, 3
        )
        assert np.abs(whole[: means.shape[0], : means.shape[2]] - means.mean((1, 3))).max() <= 0.51


def test_a_part_unpacks_no_other_strips(small_strips, monkeypatch) -> None:
    pixels = original(203, 331, 3)
    held, read = Strips(pack(pixels), (331, 203), 3), []
    monkeypatch.setattr(held, "read", lambda number: read.append(number) or Strips.read(held, number))
    held.within((slice(10, 60), slice(130, 200)))
    assert read == [1]


def test_some_strips_can_be_left_out(small_strips) -> None:
    pixels = original(203, 331, 3)
    data = pack(pixels, {1, 4})
    held = Strips(data, (331, 203), 3, {1, 4})
    assert [np.array_equal(held.read(number), pixels[area]) for number, area in enumerate(held.areas)] == [True] * 2
    assert held.sizes == [size for n, size in enumerate(Strips(pack(pixels), (331, 203), 3).sizes) if n in (1, 4)]
    for wanted in ({1}, {1, 2, 4}, None):
        with pytest.raises(Corrupt, match=r"a lossless part ends early|follow the end"):
            Strips(data, (331, 203), 3, wanted)


# --- streams that are none


def test_without_webp_its_streams_are_said_to_need_it(no_webp) -> None:
    held = Strips(HEAD.pack(4, VP8L) + b"abcd", (9, 9), 3)
    with pytest.raises(Unsupported, match="lossless WebP, which Pillow here cannot read"):
        held.read(0)


def test_unknown_forms_and_other_lengths_are_refused() -> None:
    data = pack(original(5, 6, 3))
    with pytest.raises(Unsupported, match="form 2"):
        Strips(HEAD.pack(0, 2), (6, 5), 3)
    for end in range(len(data)):
        with pytest.raises(Corrupt, match="ends early"):
            Strips(data[:end], (6, 5), 3)
    with pytest.raises(Corrupt, match="1 bytes follow"):
        Strips(data + b"\0", (6, 5), 3)


def read(form: int, stream: bytes, size: tuple[int, int], channels: int) -> np.ndarray:
    return Strips(HEAD.pack(len(stream), form) + stream, size, channels).read(0)


@given(st.binary(max_size=120), st.sampled_from((VP8L, PNG)), st.sampled_from((1, 3, 4)), st.booleans())
@examples(400)
def test_any_bytes_are_a_picture_or_refused(data: bytes, form: int, channels: int, begun: bool) -> None:
    """Or bytes that begin as a stream does."""
    colour_type = {1: lossless.GREY, 3: lossless.PALETTE, 4: lossless.RGBA}[channels]
    stream = bytes([8, colour_type]) + data if begun and form == PNG else data
    try:
        assert read(form, stream, (7, 5), channels).shape == (5, 7, channels)
    except (Corrupt, Unsupported) as error:
        assert str(error)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("make", [lossless._vp8l_stream, lossless._png_stream], ids=["VP8L", "PNG"])
def test_changed_streams_are_a_picture_or_refused(make, channels: int) -> None:
    pixels = original(20, 30, channels, drawn)
    stream = make(pixels, False) if make is lossless._vp8l_stream else make(pixels)
    form, rng = VP8L if make is lossless._vp8l_stream else PNG, np.random.default_rng(channels)
    outcomes = set()
    for _ in range(150):
        changed = bytearray(stream)
        changed[rng.integers(len(stream))] ^= 1 << rng.integers(8)
        try:
            outcomes.add(read(form, bytes(changed), (30, 20), channels).shape)
        except Corrupt:
            outcomes.add("refused")
    assert "refused" in outcomes and outcomes <= {"refused", (20, 30, channels)}


@pytest.mark.parametrize("size", [(31, 20), (30, 21), (20, 30), (1, 1), (29, 20)], ids=str)
def test_streams_of_another_size_are_not_taken_for_this_one(size: tuple[int, int]) -> None:
    """A VP8L stream has no size of its own left: what it says for too many pixels ends early."""
    pixels = original(20, 30, 3)
    with pytest.raises(Corrupt, match="its pixels are not those of the whole picture"):
        read(PNG, lossless._png_stream(pixels), size, 3)
    if size[0] * size[1] > 600:
        with pytest.raises(Corrupt):
            read(VP8L, lossless._vp8l_stream(pixels, False), size, 3)


@pytest.mark.parametrize(("depth", "colour_type"), [(16, 0), (8, 4), (4, 2), (3, 3), (16, 3), (8, 0), (8, 6)])
def test_other_kinds_of_png_are_refused(depth: int, colour_type: int) -> None:
    with pytest.raises(Corrupt, match=f"{depth} bits a sample of colour type {colour_type}"):
        read(PNG, bytes([depth, colour_type]) + zlib.compress(bytes(100)), (5, 5), 3)


def test_pixels_beyond_a_palette_are_refused() -> None:
    rows = b"".join(b"\0" + bytes([0, 1, 2, 1]) for _ in range(3))
    good = bytes([8, lossless.PALETTE, 2]) + bytes(9) + zlib.compress(rows)
    assert read(PNG, good, (4, 3), 3).shape == (3, 4, 3)
    for changed in (bytes([8, lossless.PALETTE, 1]) + bytes(6) + zlib.compress(rows), bytes([1, 3, 2]) + bytes(9)):
        with pytest.raises(Corrupt, match="palette"):
            read(PNG, changed, (4, 3), 3)


MEMORY = """
import resource, sys
from vaecodec.errors import Corrupt
from vaecodec.pictures.lossless import HEAD, Strips

form, stream = int(sys.argv[1]), open(sys.argv[2], "rb").read()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
try:
    print(Strips(HEAD.pack(len(stream), form) + stream, (2048, 2048), 3).read(0).shape, end=" ")
except Corrupt:
    print("refused", end=" ")
print(peak() - before)
"""


def zlib_bomb() -> bytes:
    """A gigabyte of zeros."""
    packer = zlib.compressobj(9)
    return b"\x08\x02" + b"".join(packer.compress(bytes(2**20)) for _ in range(1000)) + packer.flush()


@pytest.mark.slow
@pytest.mark.parametrize("form", [VP8L, PNG], ids=["VP8L", "PNG"])
def test_a_bomb_takes_no_more_memory_than_an_honest_strip(tmp_path, form: int) -> None:
    """Of as many pixels as a strip can have: a few bytes that stand for all of them, and for more."""
    rows = lambda pixels: b"".join(b"\0" + row.tobytes() for row in pixels)
    png = lambda pixels: b"\x08\x02" + zlib.compress(rows(pixels), 1)
    make = png if form == PNG else lambda pixels: lossless._webp(Image.fromarray(pixels), 0, 0, False)
    used = {}
    for name, stream in (("honest", make(NOISE)), ("flat", make(0 * NOISE)), ("bomb", zlib_bomb()))[: 2 + form]:
        (tmp_path / name).write_bytes(stream)
        result = run_python(MEMORY, str(form), str(tmp_path / name), text=True)
        shape, _, used[name] = result.stdout.rpartition(" ")
        assert shape == ("refused" if name == "bomb" else "(2048, 2048, 3)"), result.stderr
    assert max(int(used[name]) for name in used if name != "honest") <= 1.05 * int(used["honest"])
    assert int(used["honest"]) < 2048 * 2048 * 16 // 1024
