"""rate_distortion.py goes on where it stopped, and names what fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench_support import run, some_pictures, usable_picture
from conftest import TINY, picture
from PIL import Image
from shared.rates import measures, measuring

from vaecodec.baselines.classic import PillowCodec


@pytest.fixture
def folder(tmp_path) -> Path:
    return some_pictures(tmp_path / "pictures")


@pytest.fixture
def good(tmp_path) -> Path:
    return usable_picture(tmp_path / "pictures")


@pytest.mark.slow
def test_rate_distortion_goes_on_and_reports(folder, tmp_path, monkeypatch):
    calls = []
    measure = measuring.measure

    def counted(codec, *rest):
        calls.append(codec.name)
        return measure(codec, *rest)

    monkeypatch.setattr(measuring, "measure", counted)
    target = tmp_path / "out" / "rd"
    arguments = [
        folder,
        "-o",
        target,
        "-m",
        TINY,
        "--measures",
        "psnr_db,ms_ssim",
        "--anchor",
        "JPEG 4:4:4",
        "--codecs",
    ]
    result = run("rate_distortion", *arguments, "JPEG 4:4:4")
    assert result.exit_code == 1, result.output  # the broken picture
    first = len(calls)
    assert first >= 8
    result = run("rate_distortion", *arguments, "WebP,JPEG 4:4:4")
    assert result.exit_code == 1, result.output
    assert set(calls[first:]) == {"WebP"}
    data = json.loads(target.with_suffix(".json").read_text())
    assert set(data["codecs"]) == {"WebP", "JPEG 4:4:4"} and len(data["means"]["WebP"]["bpp"]) >= 8
    for part in data["codecs"].values():
        assert part["settings"] and "Pillow" in part["version"]
    text = target.with_suffix(".md").read_text()
    assert "BD-rate against JPEG 4:4:4" in text and "broken.png" in text and "grey.png: greyscale" in text
    with Image.open(target.with_suffix(".png")) as image:
        assert min(image.size) > 500
    monkeypatch.setattr("shared.rates.plot.draw", lambda *_: None)  # drawing takes most of the time
    (folder / "broken.png").unlink()
    done = len(calls)
    assert run("rate_distortion", *arguments, "JPEG 4:4:4").exit_code == 0
    assert len(calls) == done
    Image.fromarray(picture(176, 164, 3)).save(folder / "good.png")  # other content under the same name
    assert run("rate_distortion", *arguments, "JPEG 4:4:4").exit_code == 0
    assert len(calls) == done + first


def test_a_codec_that_fails_is_named_and_the_rest_measured(good, tmp_path, monkeypatch):
    compress = PillowCodec.compress

    def fail(codec, image, quality):
        if codec.name == "WebP" and quality > 90:
            raise OSError("no space")
        return compress(codec, image, quality)

    monkeypatch.setattr(PillowCodec, "compress", fail)
    monkeypatch.setattr("shared.rates.plot.draw", lambda *_: None)
    result = run(
        "rate_distortion",
        good,
        "-o",
        tmp_path / "rd",
        "-m",
        TINY,
        "--measures",
        "psnr_db,ms_ssim",
        "--codecs",
        "WebP,JPEG 4:2:0",
    )
    assert result.exit_code == 1 and "WebP, quality 92, good.png: OSError: no space" in result.output
    assert "JPEG 4:2:0" in json.loads((tmp_path / "rd.json").read_text())["means"]


def test_unknown_names_are_refused(folder):
    result = run("rate_distortion", folder, "-m", TINY, "--codecs", "JPEG 4:4:4,PNG")
    assert result.exit_code == 2 and "png" in result.output
    result = run("rate_distortion", folder, "--measures", "psnr_db,vmaf")
    assert result.exit_code == 2 and "vmaf: unknown" in result.output


def test_a_measure_is_added_to_what_is_stored(good, tmp_path, monkeypatch):
    """And one that is not installed is left out and said, or refused if it was asked for by name."""
    monkeypatch.setattr("shared.rates.plot.draw", lambda *_: None)
    target, taken = tmp_path / "rd", []
    arguments = [good, "-o", target, "-m", TINY, "--codecs", "WebP"]
    assert run("rate_distortion", *arguments, "--measures", "ms_ssim").exit_code == 0
    counted = lambda name, value: replace(
        measures.MEASURES[name], lacking=lambda: None, compute=lambda *_: taken.append(name) or value
    )
    absent = replace(measures.MEASURES["cvvdp"], lacking=lambda: "not installed: pycvvdp")
    table = {"butteraugli": counted("butteraugli", 1.5), "ms_ssim": counted("ms_ssim", 0.5), "cvvdp": absent}
    for name, value in table.items():
        monkeypatch.setitem(measures.MEASURES, name, value)
    monkeypatch.setitem(measures.MEASURES, "ssimulacra2", counted("ssimulacra2", 50.0))
    result = run("rate_distortion", *arguments)
    assert result.exit_code == 0 and "left out: CVVDP: not installed: pycvvdp" in result.output
    assert set(taken) == {"butteraugli", "ssimulacra2"}  # what was there is not measured again
    data = json.loads(target.with_suffix(".json").read_text())
    row = dict(zip(data["columns"], data["codecs"]["WebP"]["points"]["55"]["good.png"], strict=True))
    assert (row["butteraugli"], row["ssimulacra2"], row["cvvdp"]) == (1.5, 50.0, None) and row["ms_ssim"] != 0.5
    assert "not installed: pycvvdp" in target.with_suffix(".md").read_text()
    result = run("rate_distortion", *arguments, "--measures", "cvvdp")
    assert result.exit_code == 1 and "CVVDP: not installed" in result.output
