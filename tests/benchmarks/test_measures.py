"""Measures of decoded pictures: they rise with quality, on the scale on which rates are compared."""

from __future__ import annotations

import bench_support  # noqa: F401 - skips where a library is missing
import numpy as np
import pytest
from conftest import picture
from shared.rates import measures

from vaecodec.pictures import metrics


@pytest.fixture
def noisy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture, a little noise on it, and much."""
    image, noise = picture(176, 164), np.random.default_rng(0).normal(0, 1, (164, 176, 3))
    return (image, *(np.clip(image + level * noise, 0, 255).astype(np.uint8) for level in (4, 12)))


@pytest.mark.parametrize("name", measures.MEASURES)
def test_scaled_measures_rise_with_quality(name, noisy):
    measure = measures.MEASURES[name]
    if reason := measure.lacking():
        pytest.skip(reason)
    image, little, much = noisy
    same, better, worse = (measure.compute(image, other) for other in (image, little, much))
    assert measure.scale(np.array(same)) > measure.scale(np.array(better)) > measure.scale(np.array(worse))
    assert measure.restore(measure.scale(better)) == pytest.approx(better)
    if name == "butteraugli":
        assert same == 0
    if name == "cvvdp":
        assert same == measures.FLAWLESS_JOD


def test_the_blur_for_cvvdp_is_a_gaussian():
    """A point becomes a bell, flat pictures stay flat up to their edges."""
    torch = pytest.importorskip("torch")
    from shared.rates.cvvdp_stills import GaussianBlur

    blur, point = GaussianBlur(13, 3.0), torch.zeros(1, 2, 31, 31)
    point[..., 15, 15] = 1
    bell = blur(point)[0, 1]
    assert float(bell.sum()) == pytest.approx(1, abs=1e-5)
    assert float(bell[15, 18] / bell[15, 15]) == pytest.approx(np.exp(-0.5), abs=1e-5)
    assert torch.allclose(blur(torch.ones(3, 1, 20, 16)), torch.ones(3, 1, 20, 16))


def test_ssimulacra2():
    pytest.importorskip("ssimulacra2", reason="the package ssimulacra2 is not installed")
    image = picture(176, 164)
    noisy = np.clip(image.astype(int) + np.random.default_rng(0).normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    assert metrics.ssimulacra2(image, image) == pytest.approx(100, abs=0.01)
    assert metrics.ssimulacra2(image, noisy) < 90
