"""What of a picture a file holds without loss: the chunk, parts of pictures, and files of every mode without torch."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from conftest import TINY, picture
from PIL import Image
from support import MODES, alpha_plane, assert_no_torch, drawn, in_mode

import vaecodec
from vaecodec.codec.codec import Codec
from vaecodec.codec.descriptions import Options, PictureDescriber
from vaecodec.errors import Corrupt
from vaecodec.format.container import EXACT, HEADER_BYTES, unpack
from vaecodec.pictures import exact, images, lossless
from vaecodec.pictures.exact import Exact, as_pixels, pack_all, pack_tiles
from vaecodec.pictures.graphics import tile_grid

WIDTH, HEIGHT = 203, 150
MASK = np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
"""Of a picture of that size, whose last tiles are narrow and low."""


@pytest.fixture
def small_strips(monkeypatch) -> None:
    """Strips are of one tile."""
    monkeypatch.setattr(lossless, "STRIP_SIDE", 64)
    monkeypatch.setattr(lossless, "STRIP_PIXELS", 64 * 64)


def parsed(chunk: bytes, *, alpha: bool = False) -> Exact:
    return Exact.parse(chunk, (WIDTH, HEIGHT), alpha=alpha)


@pytest.mark.parametrize("seed", range(4))
def test_tiles_come_back_and_nothing_else_is_touched(seed: int) -> None:
    rgb, under = drawn(WIDTH, HEIGHT, seed), picture(WIDTH, HEIGHT, seed)
    mask = MASK if not seed else np.random.default_rng(seed).random(MASK.shape) < 0.4
    held = parsed(pack_tiles(rgb, mask))
    assert np.array_equal(held.mask, mask)
    over = held.lay_over(under.copy(), (slice(0, HEIGHT), slice(0, WIDTH)))
    assert np.array_equal(over, np.where(as_pixels(mask, rgb.shape)[..., None], rgb, under))


def test_strips_without_tiles_are_left_out(small_strips) -> None:
    held = parsed(pack_tiles(drawn(WIDTH, HEIGHT), MASK))
    assert [[s.start // 64 for s in area] for area in held.strips.areas] == np.argwhere(MASK).tolist()
    there, spent = held.bits_per_pixel()
    assert np.array_equal(there, MASK) and np.array_equal(spent > 0, MASK)
    assert spent[2, 3] == 8 * held.strips.sizes[-1] / ((WIDTH - 192) * (HEIGHT - 128))


@pytest.mark.parametrize("all_of_it", [False, True])
def test_bits_are_those_of_the_streams(all_of_it: bool) -> None:
    rgb = drawn(WIDTH, HEIGHT)
    planes = images.Planes(rgb, None, "RGB", None)
    held = parsed(pack_all(planes) if all_of_it else pack_tiles(rgb, MASK))
    there, spent = held.bits_per_pixel()
    assert there.all() == all_of_it and there.shape == tile_grid(HEIGHT, WIDTH)
    tall, wide = np.array([64, 64, HEIGHT - 128]), np.array([64, 64, 64, WIDTH - 192])
    assert (spent * tall[:, None] * wide).sum() == pytest.approx(8 * sum(held.strips.sizes))


def test_the_share_is_that_of_pixels() -> None:
    rgb = drawn(WIDTH, HEIGHT)
    assert parsed(pack_tiles(rgb, MASK)).share == as_pixels(MASK, rgb.shape).mean()
    assert parsed(pack_all(images.Planes(rgb, None, "RGB", None))).share == 1
    assert exact.share(unpack(vaecodec.compress(rgb, model=TINY, graphics=False))) == 0
    assert exact.share(unpack(vaecodec.compress(rgb, lossless=True))) == 1


def test_other_chunks_are_refused() -> None:
    chunk = pack_tiles(drawn(WIDTH, HEIGHT), MASK)
    mask = chunk[1:3]
    bad = {
        b"": "empty",
        chunk[:2]: "mask of the exact part is not whole",
        b"\0\0\0" + chunk[3:]: "not whole, empty",
        chunk[:2] + bytes([mask[1] | 1]) + chunk[3:]: "larger than the picture",
        chunk[:-1]: "ends early",
        chunk + b"\0": "follow the end",
        chunk[:3]: "ends early",
    }
    for content, says in bad.items():
        with pytest.raises(Corrupt, match=re.escape(says)):
            parsed(content)


# --- tiles over what the generator draws


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(TINY)


def with_tiles(codec: Codec, rgb: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
    """A file whose tiles of `MASK` are exact."""
    planes = images.Planes(rgb, alpha, "RGB" if alpha is None else "RGBA", None)
    return PictureDescriber(codec, planes, Options(effort=0))._described(5000, 0, MASK).data


@pytest.mark.parametrize(
    ("scale", "with_alpha"),
    [
        (1, False),
        (1 / 4, True),
        *(pytest.param(s, a, marks=pytest.mark.slow) for s, a in ((1 / 2, False), (1 / 8, True))),
    ],
)
def test_parts_and_smaller_pictures_have_the_exact_pixels(codec, small_strips, scale: float, with_alpha: bool) -> None:
    rgb = drawn(WIDTH, HEIGHT)
    data = with_tiles(codec, rgb, alpha_plane(WIDTH, HEIGHT) if with_alpha else None)
    step = round(1 / scale)
    expected = np.asarray(Image.fromarray(rgb).reduce(step))
    there = as_pixels(MASK, rgb.shape)[::step, ::step]
    whole = np.asarray(codec.decompress(data, scale=scale))
    assert np.array_equal(whole[..., :3][there], expected[there])
    assert not np.array_equal(whole[..., :3], expected)
    for left, top, width, height in ((0, 0, 1, 1), (60, 60, 10, 70), (130, 3, 73, 147), (199, 127, 4, 23)):
        part = np.asarray(codec.decompress(data, region=(left, top, width, height), scale=scale))
        rows, columns = slice(top // step, -(-(top + height) // step)), slice(left // step, -(-(left + width) // step))
        assert np.array_equal(part[..., :3][there[rows, columns]], expected[rows, columns][there[rows, columns]])
        assert np.abs(part.astype(int) - whole[rows, columns]).max() <= 1


def test_what_the_codec_says_of_it_is_what_a_decoder_shows(codec) -> None:
    planes = images.Planes(drawn(WIDTH, HEIGHT), alpha_plane(WIDTH, HEIGHT), "RGBA", None)
    for options in (Options(0), Options(1, keep_invisible=True)):
        for mask in (None, MASK):
            made = PictureDescriber(codec, planes, options)._described(6000, options.effort, mask)
            shown = np.asarray(codec.decompress(made.data))
            assert np.array_equal(shown, np.dstack(made.decoded))


def test_damage_in_exact_pixels_is_found_when_they_are_wanted(codec) -> None:
    data = with_tiles(codec, drawn(WIDTH, HEIGHT))
    with mock.patch.object(lossless, "_from_vp8l", side_effect=ValueError("no")), pytest.raises(Corrupt, match="no"):
        codec.decompress(data)


# --- files that are exact as a whole


@pytest.mark.parametrize("mode", MODES)
def test_a_file_of_any_mode_gives_back_what_is_kept(mode: str) -> None:
    image = in_mode(mode, 75, 66)
    planes = images.take_apart(image)
    expected = images.put_together(planes.rgb, planes.alpha, planes.mode)
    data = vaecodec.compress(image, lossless=True, keep_invisible=True)
    again = vaecodec.decompress(data)
    assert (again.mode, again.size) == (expected.mode, image.size)
    assert np.array_equal(np.asarray(again), np.asarray(expected))
    header = vaecodec.read_info(data)
    assert header.exact and (header.payload_bytes, header.model_id) == (0, bytes(4))
    part = vaecodec.decompress(data, region=(10, 20, 33, 31))
    assert np.array_equal(np.asarray(part), np.asarray(expected.crop((10, 20, 43, 51))))
    assert vaecodec.decompress(data, scale=1 / 4).size == (19, 17)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (65, 64)])
def test_noise_is_hardly_larger_than_its_pixels(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    data = vaecodec.compress(noise, lossless=True)
    assert np.array_equal(np.asarray(vaecodec.decompress(data)), noise)
    assert len(data) <= 1.05 * noise.size + HEADER_BYTES + 60


def test_metadata_is_kept(tmp_path: Path) -> None:
    in_mode("RGB", 40, 30).save(tmp_path / "a.png", dpi=(300, 300), exif=b"Exif\0\0" + Image.Exif().tobytes()[6:])
    again = vaecodec.decompress(vaecodec.compress(tmp_path / "a.png", lossless=True))
    assert again.info["dpi"] == pytest.approx((300, 300), rel=1e-3)


def test_lossless_excludes_what_else_can_be_asked_for() -> None:
    for asked in ({"quality": 50}, {"size": 900}, {"bpp": 1}, {"psnr": 40}, {"ssimulacra2": 70}):
        with pytest.raises(ValueError, match="ask for lossless, or for one of"):
            vaecodec.compress(picture(8, 8), lossless=True, **asked)


NO_TORCH = """
import sys, numpy as np, vaecodec
from PIL import Image
image = Image.open(sys.argv[1])
data = vaecodec.compress(image, lossless=True)
assert np.array_equal(vaecodec.decompress(data), image)
assert vaecodec.decompress(data, region=(3, 4, 5, 6)).size == (5, 6)
"""
COMMANDS = """
import os, sys
os.chdir(sys.argv[1])
from vaecodec.cli.main import main
for command in ("compress a.png a.vae --lossless", "info a.vae", "test a.vae", "decompress a.vae b.png"):
    try:
        main(command.split())
    except SystemExit as end:
        assert not end.code, command
"""


def test_no_torch_is_needed_for_them(tmp_path: Path) -> None:
    drawn_in_colours = Image.fromarray(drawn(90, 70))
    drawn_in_colours.save(tmp_path / "a.png")
    assert_no_torch(NO_TORCH, str(tmp_path / "a.png"))
    assert_no_torch(COMMANDS, str(tmp_path))
    with Image.open(tmp_path / "b.png") as again:
        assert np.array_equal(again, drawn_in_colours)


def test_an_exact_part_is_a_chunk_of_its_own() -> None:
    assert list(unpack(vaecodec.compress(in_mode("LA", 20, 20), lossless=True)).chunks) == [EXACT]
