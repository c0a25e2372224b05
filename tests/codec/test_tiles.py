"""Large pictures: tiles give what one tile gives, and parts and previews what the whole picture gives."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_BITS_BACK
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photographs
from support import MODES, examples, in_mode, run_python, symbol_choice

import vaecodec
from vaecodec.codec.codec import Codec
from vaecodec.format.container import quality_code, unpack
from vaecodec.pictures.tiles import TILE_AREA, tiles

SIZES = [(1, 1), (16, 200), (200, 16), (81, 161), (150, 135), (256, 64), (64, 64)]
"""Width and height."""


def original(width: int, height: int) -> np.ndarray:
    return np.ascontiguousarray(photographs.astronaut()[:height, :width])


def difference(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


@pytest.fixture(scope="module", params=[3, 40])
def tiled(request) -> Codec:
    return Codec(TINY, tile_area=request.param)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.integers(1, 500), st.data())
@examples(200)
def test_tiles_cover_every_place_once_and_see_as_far_as_they_should(rows, columns, halo, area, data) -> None:
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    within = slice(top, data.draw(st.integers(top + 1, rows))), slice(left, data.draw(st.integers(left + 1, columns)))
    covered = np.zeros((rows, columns), int)
    for tile in tiles(rows, columns, halo=halo, area=area, within=within):
        covered[tile.inner] += 1
        assert covered[tile.inner].size <= area
        for inner, outer, crop, end in zip(tile.inner, tile.outer, tile.crop, (rows, columns), strict=True):
            assert (outer.start, outer.stop) == (max(inner.start - halo, 0), min(inner.stop + halo, end))
            assert range(outer.start, outer.stop)[crop] == range(inner.start, inner.stop)
    expected = np.zeros_like(covered)
    expected[within] = 1
    assert np.array_equal(covered, expected)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_tiled_transforms_are_the_untiled_ones(tiny, tiled, size) -> None:
    rgb, code = original(*size), quality_code(60)
    y = tiny.transforms.analyse(rgb, code)
    assert torch.allclose(tiled.transforms.analyse(rgb, code), y, atol=1e-4)
    assert torch.allclose(tiled.transforms.hyper_analyse(y, code), tiny.transforms.hyper_analyse(y, code), atol=1e-4)
    latents = tiny.encode(rgb, code)
    for reduction in (1, 2, 4, 8):
        expected = tiny.synthesize(latents, reduction=reduction)
        assert difference(tiled.synthesize(latents, reduction=reduction), expected) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("effort", [0, 1])
@pytest.mark.parametrize("size", SIZES)
def test_tiled_coding_is_the_untiled_one_to_the_last_bit(tiny, tiled, size, effort) -> None:
    """Both ways: the prior is integer arithmetic."""
    rgb, code = original(*size), quality_code(80)
    y = tiny.transforms.analyse(rgb, code)
    z = tiny.transforms.hyper_analyse(y, code)
    expected, made = (
        codec.coder.encode(z, y, size, code, symbol_choice(codec, code, effort)) for codec in (tiny, tiled)
    )
    assert (made.payload, made.symbols_crc) == (expected.payload, expected.symbols_crc)
    data = tiny.compress(rgb, quality=80, effort=effort)
    assert torch.equal(tiled.decode(unpack(data)).sixteenths, tiny.decode(unpack(data)).sixteenths)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(129, 257), (40, 200)])
def test_bits_back_is_tiled_too(tiny_bits_back, size) -> None:
    tiled = Codec(TINY_BITS_BACK, tile_area=7)
    data = tiny_bits_back.compress(original(*size), quality=80, coding=1)
    assert vaecodec.read_info(data).coding == 1
    assert torch.equal(tiled.decode(unpack(data)).sixteenths, tiny_bits_back.decode(unpack(data)).sixteenths)
    assert tiny_bits_back.decompress(tiled.compress(original(*size), quality=80, coding=1)).size == size


def test_latents_that_need_larger_integers_are_tiled_too(tiny, tiled) -> None:
    rng = np.random.default_rng(0)
    y = torch.from_numpy(rng.normal(size=(1, 32, 5, 7)) * 10.0 ** rng.integers(-3, 7, (1, 32, 5, 7)))
    z = torch.from_numpy(rng.integers(-(2**15), 2**15 + 1, (1, 8, 2, 2))).double()
    expected, made = (
        codec.coder.encode(z, y, (100, 70), 20_000, symbol_choice(codec, 20_000, 1)) for codec in (tiny, tiled)
    )
    assert made.sixteenths.dtype == torch.int32
    assert torch.equal(made.sixteenths, expected.sixteenths)
    assert made.payload == expected.payload


# --- parts and previews


@pytest.fixture(scope="module")
def files(tiny) -> dict[tuple[int, int], bytes]:
    return {size: tiny.compress(original(*size), quality=70) for size in SIZES}


@pytest.fixture(scope="module")
def wholes(tiny, files) -> Callable[[tuple[int, int], int], np.ndarray]:
    """Whole pictures by size and reduction, each decoded once."""
    return functools.cache(lambda size, reduction: np.asarray(tiny.decompress(files[size], scale=1 / reduction)))


@pytest.mark.slow
@given(st.sampled_from(SIZES), st.sampled_from([1, 2, 4, 8]), st.data())
@examples(60)
def test_regions_are_parts_of_the_whole(tiny, files, wholes, size, reduction, data) -> None:
    left, top = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    width, height = data.draw(st.integers(1, size[0] - left)), data.draw(st.integers(1, size[1] - top))
    whole = wholes(size, reduction)
    part = np.asarray(tiny.decompress(files[size], region=(left, top, width, height), scale=1 / reduction))
    rows = slice(top // reduction, -(-(top + height) // reduction))
    columns = slice(left // reduction, -(-(left + width) // reduction))
    assert difference(part, whole[rows, columns]) <= 1


@pytest.mark.parametrize("scale", [1 / 2, 1 / 4, 1 / 8])
@pytest.mark.parametrize("size", SIZES)
def test_previews_are_the_picture_reduced(tiny, files, size, scale) -> None:
    """Up to the rounding of both, and to pixels that were clipped before they were averaged."""
    preview = np.asarray(tiny.decompress(files[size], scale=scale))
    reduced = np.asarray(tiny.decompress(files[size]).reduce(round(1 / scale)))
    assert preview.shape == reduced.shape
    inside = tuple(slice(0, max(1, int(side * scale))) for side in reversed(size))
    if min(size) * scale >= 1:
        assert np.abs(preview[inside].astype(int) - reduced[inside]).mean() < 0.5


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_parts_and_previews(tiny, mode: str) -> None:
    image = in_mode(mode, 61, 45)
    data = tiny.compress(image, quality=60)
    whole = tiny.decompress(data)
    part = tiny.decompress(data, region=(7, 9, 30, 21))
    assert (part.mode, part.size) == (whole.mode, (30, 21))
    preview = tiny.decompress(data, region=(7, 9, 30, 21), scale=0.25)
    assert (preview.mode, preview.size) == (whole.mode, (9, 6))
    if whole.mode in ("LA", "RGBA"):
        expected = whole.getchannel("A")
        assert part.getchannel("A").tobytes() == expected.crop((7, 9, 37, 30)).tobytes()
        assert preview.getchannel("A").tobytes() == expected.reduce(4, (4, 8, 40, 32)).tobytes()


@pytest.mark.parametrize("region", [(0, 0, 0, 5), (0, 0, 5, -1), (-1, 0, 5, 5), (0, 0, 65, 64), (60, 60, 4, 5)])
def test_regions_outside_are_refused(files, region) -> None:
    with pytest.raises(ValueError, match="not within the picture of 64x64"):
        vaecodec.decompress(files[64, 64], region=region, model=TINY)


@pytest.mark.parametrize("scale", [0, 2, 1 / 3, 1 / 16, float("nan")])
def test_other_scales_are_refused(files, scale) -> None:
    with pytest.raises(ValueError, match="scale"):
        vaecodec.decompress(files[64, 64], scale=scale, model=TINY)


def test_thumbnails_through_pillow_decode_no_more_than_they_need(tmp_path, monkeypatch) -> None:
    from vaecodec.format import catalog

    monkeypatch.setattr(catalog, "FOLDERS", (TINY.parent,))
    vaecodec.register_pillow()
    data = vaecodec.compress(original(512, 384), quality=80, model=TINY)
    (tmp_path / "a.vae").write_bytes(data)
    image = Image.open(tmp_path / "a.vae")
    assert image.draft(None, (64, 64)) == ("RGB", (0, 0, 512 / 4, 384 / 4))
    assert image.size == (128, 96)
    assert np.array_equal(np.asarray(image), np.asarray(vaecodec.decompress(data, scale=1 / 4, model=TINY)))
    thumbnail, reference = Image.open(tmp_path / "a.vae"), vaecodec.decompress(data, model=TINY)
    for each in (thumbnail, reference):
        each.thumbnail((60, 60))
    assert thumbnail.size == reference.size
    assert np.abs(np.asarray(thumbnail).astype(int) - np.asarray(reference)).mean() < 2


# --- memory

FRUGAL = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
CHILD = """
import json, resource, sys
import numpy as np
from vaecodec.codec.codec import Codec
import torch
torch.set_num_threads(1)
rgb = np.load(sys.argv[1])
codec = Codec(sys.argv[2], tile_area=512)
codec.decompress(codec.compress(rgb[:300, :300], effort=1))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
before = peak()
data = codec.compress(rgb, quality=50, effort=1)
middle = peak()
picture = codec.decompress(data)
print(json.dumps({"compress_mb": middle - before, "all_mb": peak() - before, "size": picture.size}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs resource.getrusage")
def test_memory_is_a_few_bytes_a_pixel(tmp_path) -> None:
    """A megapixel with the shipped model; the untiled codec takes 300 bytes a pixel and more.

    glibc keeps what is given back, now more of it, now less, unless it is told not to.
    """
    from vaecodec.format.catalog import DEFAULT_MODEL, model_path

    tile = original(512, 512)
    np.save(tmp_path / "a.npy", np.tile(np.concatenate((tile, tile[:, ::-1]), 1), (2, 1, 1)))
    child = run_python(
        CHILD,
        str(tmp_path / "a.npy"),
        str(model_path(DEFAULT_MODEL)),
        text=True,
        timeout=600,
        env=FRUGAL,
    )
    assert child.returncode == 0, child.stderr
    result = json.loads(child.stdout)
    assert result["size"] == [1024, 1024]
    assert result["all_mb"] < 60 * 1024 * 1024 / 1e6


def test_one_tile_is_enough_for_half_a_megapixel() -> None:
    assert TILE_AREA * 256 >= 512 * 1024
