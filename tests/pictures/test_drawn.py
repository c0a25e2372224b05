"""Which pictures and parts of them are proposed to be held without loss: what is drawn, and no photograph."""

from __future__ import annotations

import drawings
import numpy as np
import pytest
from drawings import photo
from PIL import Image
from skimage import data as photographs
from support import ROOT

from vaecodec.pictures.graphics import FEW_PIXELS, propose

DRAWN = {
    "text": drawings.page(),
    "screen": drawings.terminal(),
    "screen and text, wide": Image.fromarray(np.hstack([drawings.terminal(), drawings.page()])),
    "checks": drawings.checks(200, 130),
    "large checks": drawings.checks(333, 221, 23),
    "pixels": drawings.sprite(32, 6),
    "one colour": Image.new("RGB", (300, 200), (200, 30, 90)),
    "black and white": drawings.page().convert("1").convert("RGB"),
    "silhouette": drawings.silhouette().convert("RGBA"),
    "one row": drawings.page().crop((0, 12, 384, 13)),
}
PHOTOGRAPHS = (
    "astronaut", "coffee", "chelsea", "rocket", "camera", "brick", "coins", "moon", "hubble_deep_field", "clock",
    "grass", "gravel", "immunohistochemistry", "page", "text",
)  # fmt: skip
"""Some are scans of printed pages."""


def pixels(name: str) -> np.ndarray:
    found = getattr(photographs, name)()
    return found if found.ndim == 3 else found[..., None].repeat(3, 2)


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_drawn_is_proposed_as_a_whole(name: str) -> None:
    assert propose(np.asarray(DRAWN[name])).whole


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_for_photographs_nothing_is_proposed(name: str) -> None:
    full = pixels(name)
    assert not propose(full)
    for scale in (0.71, 0.5):
        size = [round(scale * side) for side in full.shape[1::-1]]
        smaller = np.asarray(Image.fromarray(full).resize(size, Image.Resampling.LANCZOS))
        assert smaller[..., 0].size <= FEW_PIXELS or not propose(smaller)
    assert not propose(full.mean(2, keepdims=True).astype(np.uint8).repeat(3, 2))


def test_neither_for_the_photograph_of_the_guide_nor_its_jpeg(tmp_path) -> None:
    with Image.open(ROOT / "docs/photo/coffee.png") as image:
        rgb = image.convert("RGB")
    for quality in (10, 50, 95):
        rgb.save(tmp_path / "a.jpg", quality=quality)
        with Image.open(tmp_path / "a.jpg") as again:
            assert not propose(np.asarray(again))
    assert not propose(np.asarray(rgb))


@pytest.mark.parametrize("draw", [drawings.cut_out, drawings.soft])
def test_neither_for_cut_outs_of_photographs(draw) -> None:
    rgba = np.array(draw())
    rgba[rgba[..., 3] == 0] = 0
    assert not propose(rgba)


def test_small_pictures_are_worth_a_trial_whatever_they_show() -> None:
    tall = FEW_PIXELS // 128
    assert propose(photo("coffee", 128, tall)).whole
    assert not propose(photo("coffee", 128, tall + 1))


def test_of_a_page_with_a_photograph_the_text_is_proposed() -> None:
    page = drawings.page_with_photo()
    mask = propose(np.asarray(page)).mask
    assert mask.shape == (6, 8)
    assert mask[:3].all() and mask[:, :4].all() and not mask[3:5, 4:7].any()


def test_a_few_words_in_a_photograph_are_proposed_and_alone() -> None:
    rgb = photo("rocket", 512, 384).copy()
    rgb[64:128, 128:384] = np.asarray(drawings.page(256, 64))
    proposal = propose(rgb)
    assert not proposal.whole
    assert np.argwhere(proposal.mask).tolist() == [[1, 2], [1, 3], [1, 4], [1, 5]]


@pytest.mark.parametrize(("tiles", "proposed"), [([(1, 1)], 0), ([(1, 1), (2, 2)], 0), ([(1, 1), (1, 2)], 2)])
def test_lone_tiles_are_left_out(tiles: list[tuple[int, int]], proposed: int) -> None:
    rgb = photo("coffee", 320, 256).copy()
    for row, column in tiles:
        rgb[64 * row : 64 * row + 64, 64 * column : 64 * column + 64] = drawings.page(64, 64)
    mask = propose(rgb).mask
    assert (0 if mask is None else mask.sum()) == proposed


def test_flat_tiles_belong_to_what_is_drawn_beside_them() -> None:
    rgb = photo("coffee", 448, 256).copy()
    rgb[:64, :128] = drawings.page(128, 64)
    rgb[:64, 128:257] = 255  # and the first column of the next tile: neighbours beyond the edge count too
    rgb[192:, 384:] = 90  # flat too, but beside a photograph only
    assert np.argwhere(propose(rgb).mask).tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]


def test_few_colours_are_worth_a_trial_and_few_greys() -> None:
    image = Image.fromarray(photo("coffee", 300, 200))
    assert propose(np.asarray(image.quantize(16).convert("RGB"))).whole
    grey = image.convert("L")
    assert not propose(np.asarray(grey.convert("RGB")))
    assert propose(np.asarray(grey.point(lambda v: v // 32 * 36).convert("RGB"))).whole


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (64, 1), (1, 30_000), (30_000, 1), (65, 300), (257, 65)])
def test_any_size_can_be_looked_at(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 4), dtype=np.uint8)
    assert propose(noise).whole == (size[0] * size[1] <= FEW_PIXELS)
    assert propose(0 * noise).whole
