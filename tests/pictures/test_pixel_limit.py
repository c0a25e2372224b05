"""One limit of pixels, the caller's; and Pillow's own, which is the process's."""

from __future__ import annotations

import io
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image
from support import in_mode

import vaecodec
from vaecodec.errors import LimitError
from vaecodec.pictures import images

WIDTH, HEIGHT = 40, 30
SENTENCE = "the picture has 40x30 pixels, more than the limit of 1199"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Image.fromarray(picture(WIDTH, HEIGHT)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_what_is_refused_is_the_same_for_both_ways_and_every_source(tiny, path: Path) -> None:
    pixels = picture(WIDTH, HEIGHT)
    sources = [path, io.BytesIO(path.read_bytes()), pixels, pixels[..., 0], Image.fromarray(pixels), Image.open(path)]
    calls = [lambda s, **o: vaecodec.compress(s, lossless=True, **o), lambda s, **o: tiny.compress(s, effort=0, **o)]
    for compress in calls:
        for source in (*sources, images.planes_of(pixels))[: None if compress is calls[1] else -1]:
            with pytest.raises(LimitError, match=SENTENCE):
                compress(source, max_pixels=1199)
        data = compress(path, max_pixels=1200)
        assert compress(path, max_pixels=None) == data
        for decompress in (vaecodec.decompress, tiny.decompress):
            with pytest.raises(LimitError, match=SENTENCE):
                decompress(data, max_pixels=1199)


def test_pictures_are_not_read_before_they_are_refused(path: Path) -> None:
    cut = path.read_bytes()[:60]
    with pytest.raises(LimitError, match=SENTENCE):
        images.open_image(io.BytesIO(cut), max_pixels=1199)
    lazy = Image.open(io.BytesIO(cut))
    with pytest.raises(LimitError, match=SENTENCE):
        vaecodec.compress(lazy, max_pixels=1199)


def test_a_larger_page_is_refused_too() -> None:
    pages = [in_mode("L", 8, 8), in_mode("L", WIDTH, HEIGHT)]
    pages[0].save(buffer := io.BytesIO(), "TIFF", save_all=True, append_images=pages[1:])
    assert vaecodec.compress(buffer, frame=1, lossless=True, max_pixels=1199)
    with pytest.raises(LimitError, match=SENTENCE):
        vaecodec.compress(buffer, frame=2, lossless=True, max_pixels=1199)


@pytest.mark.filterwarnings("ignore:Image size")  # of what is refused, outside of where they are errors
@pytest.mark.parametrize("own", [None, 100, 700])
def test_pillows_limit_is_silent_below_ours(path: Path, monkeypatch, own: int | None) -> None:
    """100 is too little for the picture by more than a factor of two, which Pillow refuses; of 700 it warns."""
    monkeypatch.setattr(images, "PILLOWS_LIMIT", own or 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.open_image(path).size == (WIDTH, HEIGHT)
        assert images.open_image(path, max_pixels=None).size == (WIDTH, HEIGHT)
    for limit, says in ((1199, "40x30 pixels, more than the limit of 1199"), (500, "more than the limit of 500")):
        with pytest.raises(LimitError, match=f"a.png: the picture has .*{says}"):
            images.open_image(path, max_pixels=limit)
    assert own == Image.MAX_IMAGE_PIXELS


def test_a_program_that_lowers_pillows_limit_is_heeded(path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for limit in (None, 1200):
        with pytest.raises(LimitError, match="more than the limit of 100"):
            vaecodec.compress(path, lossless=True, max_pixels=limit)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.warns(Image.DecompressionBombWarning):
        assert images.open_image(path).size == (WIDTH, HEIGHT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LimitError, match="more than the limit of 700"):
            images.open_image(path)
    assert vaecodec.compress(np.array(picture(WIDTH, HEIGHT)), lossless=True)


def test_pillows_limit_is_the_programs_again_after_all_threads(path: Path) -> None:
    before, inside, leaving = Image.MAX_IMAGE_PIXELS, threading.Barrier(9), threading.Barrier(9)

    def hold(limit: int) -> None:
        with images.pixel_limit(limit):
            inside.wait()
            leaving.wait()

    with ThreadPoolExecutor(8) as pool:
        held = [pool.submit(hold, before * factor) for factor in (1, 2, 3, 4, 4, 3, 2, 1)]
        inside.wait()
        assert before * 4 == Image.MAX_IMAGE_PIXELS
        leaving.wait()
        for each in held:
            each.result()
        assert before == Image.MAX_IMAGE_PIXELS
        assert len(set(pool.map(lambda _: vaecodec.compress(path, lossless=True), range(16)))) == 1
    assert before == Image.MAX_IMAGE_PIXELS
    with images.pixel_limit(100):
        assert Image.MAX_IMAGE_PIXELS == 100
    assert before == Image.MAX_IMAGE_PIXELS
