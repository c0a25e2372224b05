"""What a user's quality means to a model: maps, defaults, and what is said of files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import MAP, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import examples
from support import run_command as run

import vaecodec
from vaecodec.codec import api
from vaecodec.codec.kinds import Codecs
from vaecodec.format.container import QUALITY_MAX, quality_code, quality_of, read_header
from vaecodec.format.qualities import QualityScale
from vaecodec.networks.weights import write_quality_map

RISING = st.lists(st.integers(1, 999).map(lambda number: number / 1000), unique=True, max_size=6).map(sorted)


@given(RISING, RISING)
@examples(100)
def test_maps_rise_and_can_be_inverted(qualities: list[float], shares: list[float]) -> None:
    inner = [(1 + 99 * quality, share) for quality, share in zip(qualities, shares, strict=False)]
    scale = QualityScale(((1, 0), *inner, (100, 1)))
    assert (scale.code(1), scale.code(100)) == (0, QUALITY_MAX)
    codes = [scale.code(q) for q in np.linspace(1, 100, 400)]
    assert codes == sorted(codes)
    assert all(scale.code(scale.quality(code)) == code for code in range(0, QUALITY_MAX + 1, 997))


def test_a_model_without_a_map_has_the_scale_of_before() -> None:
    scale = QualityScale()
    assert scale.default == 50
    for quality in np.linspace(1, 100, 200):
        assert scale.code(quality) == quality_code(quality)
        assert scale.quality(scale.code(quality)) == quality_of(quality_code(quality))
    assert scale.code() == quality_code(50) and scale.meaning(0) is None and scale.to_dict() is None


@pytest.mark.parametrize("quality", [0.9, 101, float("nan"), -3])
def test_qualities_out_of_range_are_refused(quality: float) -> None:
    for scale in (QualityScale(), MAP):
        with pytest.raises(ValueError, match="between 1 and 100"):
            scale.code(quality)


@pytest.mark.parametrize(
    "knots",
    [
        ((1, 0),),
        ((1, 0.1), (100, 1)),
        ((0, 0), (100, 1)),
        ((1, 0), (50, 0.5), (50, 0.6), (100, 1)),
        ((1, 0), (50, 0.5), (60, 0.5), (100, 1)),
        ((1, 0), (50, float("nan")), (100, 1)),
    ],
)
def test_what_is_no_map_is_refused(knots) -> None:
    with pytest.raises(ValueError, match="map of qualities"):
        QualityScale(knots)


def test_meanings_are_said_within_what_was_measured() -> None:
    said = [MAP.meaning(MAP.code(q)) for q in (10, 30, 59.9, 90, 95)]
    numbers = [f"SSIMULACRA2 {what}" for what in ("below 30", "about 30", "about 60", "about 90", "above 90")]
    assert said == numbers


def test_the_default_quality_is_the_models(two_models: Path) -> None:
    assert read_header(vaecodec.compress(picture(70, 140))).quality == MAP.code(70)
    assert read_header(vaecodec.compress(picture(70, 140), tune="psnr")).quality == quality_code(50)


def test_info_says_what_a_quality_means(two_models: Path) -> None:
    for quality, said in ((50, "quality 50: SSIMULACRA2 about 50  "), (95, "quality 95: SSIMULACRA2 above 90  ")):
        assert run("compress", "a.png", "a.vae", "-f", "--graphics", "off", "-q", quality).exit_code == 0
        assert said in run("info", "a.vae").stdout
    told = json.loads(run("info", "--json", "a.vae").stdout)
    assert (round(told["quality"]), told["meaning"], told["range_share"]) == (95, "SSIMULACRA2 above 90", 0.9375)
    (two_models / "light.safetensors").unlink()
    assert "quality at 94% of its model's range  " in run("info", "a.vae").stdout
    told = json.loads(run("info", "--json", "a.vae").stdout)
    assert (told["quality"], told["meaning"], told["model"], told["range_share"]) == (None, None, None, 0.9375)


def test_pillow_tells_the_quality_of_files_whose_model_is_known(two_models: Path) -> None:
    vaecodec.register_pillow()
    Image.open("a.png").save("a.vae", quality=60, graphics=False)
    assert Image.open("a.vae").info["quality"] == pytest.approx(60, abs=0.01)
    (two_models / "light.safetensors").unlink()
    assert "quality" not in Image.open("a.vae").info


@pytest.mark.slow
def test_resume_compares_what_a_quality_means(two_models: Path, format_2: Path, monkeypatch) -> None:
    again = ["compress", "a.png", "-o", "out", "--resume"]
    assert run(*again, "-q", 70).exit_code == 0
    assert "done before" in run(*again).stderr
    assert "done before" not in run(*again, "--tune", "psnr").stderr
    assert "done before" in run(*again, "--tune", "psnr").stderr
    assert "done before" not in run(*again, "-q", 70).stderr
    write_quality_map(format_2, two_models / "light.safetensors", QualityScale(((1, 0), (70, 0.1), (100, 1))))
    monkeypatch.setattr(api, "codecs", Codecs())
    assert "done before" not in run(*again, "-q", 70).stderr
    assert "done before" in run(*again, "-q", 70).stderr
