"""Smooth continuations of what is known of a picture."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st
from support import examples

from vaecodec.pictures.fill import ROWS, continued


def scattered(height: int, width: int, share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) < share


@given(st.integers(1, 70), st.integers(1, 70), st.floats(0.001, 1), st.integers(0, 99), st.sampled_from((1, 3, 4)))
@examples(80)
def test_what_is_known_stays_and_the_rest_lies_within_it(height, width, share, seed, channels) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    known = scattered(height, width, share, seed)
    known.flat[seed % known.size] = True
    before, filled = pixels.copy(), continued(pixels, known)
    assert filled.dtype == np.uint8 and np.array_equal(pixels, before)
    assert np.array_equal(filled[known], pixels[known])
    assert (filled >= pixels[known].min(0)).all() and (filled <= pixels[known].max(0)).all()


@pytest.mark.parametrize("value", [0, 1, 77, 254, 255])
def test_a_constant_stays_constant(value: int) -> None:
    pixels = np.where(known := scattered(100, 91, 0.01), value, 255 - value).astype(np.uint8)[..., None]
    assert (continued(pixels, known) == value).all()


def test_nothing_known_is_grey_and_all_known_is_the_picture() -> None:
    pixels = picture(40, 30)
    assert (continued(pixels, np.zeros((30, 40), bool)) == 128).all()
    assert np.array_equal(continued(pixels, np.ones((30, 40), bool)), pixels)


@pytest.mark.parametrize("noisy", [False, True])
def test_what_is_filled_is_smooth(noisy: bool) -> None:
    """Noise in a circle that is not known; around it a slope, which goes on."""
    rows, columns = np.mgrid[:200, :300]
    pixels = (rows // 2 + columns // 3)[..., None].repeat(3, 2).astype(np.uint8)
    hole = (rows - 100) ** 2 + (columns - 150) ** 2 < 60**2
    truth = pixels.copy()
    if noisy:
        pixels[hole] = np.random.default_rng(0).integers(0, 256, (hole.sum(), 3))
    filled = continued(pixels, ~hole).astype(int)
    assert max(np.abs(np.diff(filled, axis=axis)).max() for axis in (0, 1)) <= 12
    assert np.abs(filled - truth)[hole].mean() < 6


def test_a_lone_pixel_is_known_everywhere() -> None:
    pixels, known = picture(65, 33), np.zeros((33, 65), bool)
    known[20, 60] = True
    assert (continued(pixels, known) == pixels[20, 60]).all()


def test_rows_are_interpolated_some_at_a_time_as_all_at_once(monkeypatch) -> None:
    pixels, known = picture(50, ROWS + 77), scattered(ROWS + 77, 50, 0.05)
    filled = continued(pixels, known)
    monkeypatch.setattr("vaecodec.pictures.fill.ROWS", 7)
    assert np.array_equal(continued(pixels, known), filled)
