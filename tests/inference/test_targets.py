"""The search for a size, a PSNR or a SSIMULACRA2, on curves made for it and on real files."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import picture
from hypothesis import given, settings
from hypothesis import strategies as st

from vaecodec.errors import TargetError
from vaecodec.format.container import QUALITY_MAX
from vaecodec.inference.targets import MAX_TRIALS, Goal, search
from vaecodec.objective.distortion import ssimulacra2
from vaecodec.pictures import metrics


def counted(curve):
    """An encoder for `search` whose value is a function of the code; remembers the codes it was asked for."""
    codes: list[int] = []

    def encode(code: int) -> tuple[float, int]:
        assert 0 <= code <= QUALITY_MAX
        codes.append(code)
        return curve(code / QUALITY_MAX), code

    return encode, codes


@settings(max_examples=300, deadline=None)
@given(
    smallest=st.floats(100, 1e5), rise=st.floats(1.5, 5.0), bend=st.floats(0.6, 1.8), share=st.floats(0.0, 1.0),
)  # fmt: skip
def test_size_is_never_above_and_within_a_percent(smallest, rise, bend, share):
    curve = lambda t: float(round(smallest * math.exp(rise * t**bend)))
    goal = curve(share)
    encode, codes = counted(curve)
    trial = search(encode, Goal.size(goal))
    assert trial.value <= goal
    assert len(codes) <= MAX_TRIALS
    assert trial.value >= 0.98 * goal or curve(min(1.0, (trial.code + 1) / QUALITY_MAX)) > goal


@settings(max_examples=300, deadline=None)
@given(lowest=st.floats(20, 30), rise=st.floats(8, 20), bend=st.floats(0.6, 1.6), share=st.floats(0.0, 1.0))
def test_psnr_is_never_under_and_near(lowest, rise, bend, share):
    curve = lambda t: lowest + rise * t**bend
    goal = curve(share)
    encode, codes = counted(curve)
    trial = search(encode, Goal.psnr(goal))
    assert trial.value >= goal
    assert len(codes) <= MAX_TRIALS
    assert trial.value <= goal + 0.15


@settings(max_examples=300, deadline=None)
@given(
    lowest=st.floats(-40, 50), best=st.floats(80, 95), bend=st.floats(1.0, 2.5), share=st.floats(0.0, 1.0),
    start=st.integers(0, QUALITY_MAX),
)  # fmt: skip
def test_ssimulacra2_is_never_under_and_within_half_a_point(lowest, best, bend, share, start):
    curve = lambda t: best - (best - lowest) * (1 - t) ** bend
    goal = curve(share)
    encode, codes = counted(curve)
    trial = search(encode, Goal.ssimulacra2(goal), start)
    assert goal <= trial.value <= goal + 0.5
    assert len(codes) <= MAX_TRIALS


def test_unreachable_goals_name_the_nearest():
    encode, codes = counted(lambda t: 1000 + 9000 * t)
    with pytest.raises(TargetError, match="the nearest is 1000 bytes"):
        search(encode, Goal.size(999))
    assert len(codes) <= MAX_TRIALS
    with pytest.raises(TargetError, match="the nearest is 40 dB"):
        search(counted(lambda t: 30 + 10 * t)[0], Goal.psnr(41))


def test_a_goal_beyond_the_best_quality_gives_the_best_quality():
    assert search(counted(lambda t: 1000 + 9000 * t)[0], Goal.size(1e9)).code == QUALITY_MAX
    assert search(counted(lambda t: 30 + 10 * t)[0], Goal.psnr(0)).code == 0


@pytest.mark.slow
def test_real_files_keep_their_targets(tiny):
    image = picture(160, 128)
    smallest, largest = (len(tiny.compress(image, quality=q)) for q in (1, 100))
    for share in (0.2, 0.5, 0.8):
        size = int(smallest + share * (largest - smallest))
        assert 0.95 * size <= len(tiny.compress(image, size=size)) <= size
        bpp = 8 * size / (160 * 128)
        assert 8 * len(tiny.compress(image, bpp=bpp)) / (160 * 128) <= bpp
    decoded = {q: np.asarray(tiny.decompress(tiny.compress(image, quality=q))) for q in (1, 100)}
    goal = (metrics.psnr_db(image, decoded[1]) + metrics.psnr_db(image, decoded[100])) / 2
    reached = metrics.psnr_db(image, np.asarray(tiny.decompress(tiny.compress(image, psnr=goal))))
    assert goal <= reached <= goal + 0.3


@pytest.mark.slow
def test_real_files_look_as_good_as_asked_for(tiny):
    image = picture(260, 240)
    looks = lambda data: ssimulacra2(image, np.asarray(tiny.decompress(data)))
    worst, best = (looks(tiny.compress(image, quality=q)) for q in (1, 100))
    goal = worst + 0.6 * (best - worst)
    assert goal <= looks(tiny.compress(image, ssimulacra2=goal)) <= goal + 0.5
    with pytest.raises(TargetError, match=f"the nearest is {best:.6g} by SSIMULACRA2"):
        tiny.compress(image, ssimulacra2=99.5)


def test_only_one_thing_can_be_asked_for(tiny):
    with pytest.raises(ValueError, match="one of"):
        tiny.compress(picture(32, 32), quality=50, size=1000)
