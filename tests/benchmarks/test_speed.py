"""Programs that measure time: speed.py and folders.py."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from bench_support import run, usable_picture
from conftest import TINY, picture
from PIL import Image
from shared import pictures
from shared.speed import measuring as speed_measuring
from shared.speed import report as speed_report


@pytest.fixture
def good(tmp_path) -> Path:
    return usable_picture(tmp_path / "pictures")


@pytest.mark.slow
def test_speed_runs_and_goes_on(tmp_path):
    image = tmp_path / "a.png"
    Image.fromarray(picture(200, 150)).save(image)
    import speed

    large = pictures.resized(picture(50, 40), 0.1)
    assert large.shape[0] * large.shape[1] == pytest.approx(1e5, rel=0.02)
    with speed_measuring.stages() as seconds:
        from vaecodec.codec.codec import Codec

        codec = Codec(TINY)
        codec.decompress(codec.compress(picture(64, 64)))
    assert {"transform", "prior", "coding", "file"} <= set(seconds) and min(seconds.values()) > 0
    target = tmp_path / "speed"
    target.with_suffix(".json").write_text("{}")
    arguments = [image, "-o", target, "-m", TINY, "--sizes", "0.01", "--threads", 1, "--codecs", "JPEG 4:4:4"]
    starts = pytest.MonkeyPatch()
    starts.setattr(speed, "cold_starts", lambda *_: {"--version": 0.1})
    try:
        result = run("speed", *arguments)
        assert result.exit_code == 0, result.output
        row = json.loads(target.with_suffix(".json").read_text())["codecs"]["JPEG 4:4:4"]["runs"]["0.01"]
        assert row["encode_s"] > 0 and row["peak_mb"] > 10
        starts.setattr(speed, "in_a_process", lambda *_: pytest.fail("measured again"))
        assert run("speed", *arguments).exit_code == 0
    finally:
        starts.undo()


@pytest.mark.slow
def test_folders_sets_several_processes_against_one(good, tmp_path, monkeypatch):
    import folders

    seconds, cpu_seconds = folders.timed(good, 1, str(TINY))
    assert seconds > 0 and cpu_seconds > 0
    calls = []
    monkeypatch.setattr(folders, "timed", lambda _, n, model: calls.append(n) or (12.0 / n + 1, 12.0 + n))
    arguments = (good, "--repeats", 2, "-o", tmp_path / "f")
    result = run("folders", *arguments)
    assert result.exit_code == 0 and calls == [1, 2, 1, 2]
    assert "| 1 | 13.00 | 1.00 | 13.00 | 1.00 |\n| 2 | 7.00 | 1.86 | 14.00 | 1.86 |" in result.output
    assert run("folders", *arguments).exit_code == 0 and len(calls) == 4  # nothing is measured again
    with pytest.raises(click.ClickException, match="nothing in it ends in"):
        monkeypatch.undo()
        (tmp_path / "none").mkdir()
        folders.timed(tmp_path / "none", 1, str(TINY))


@pytest.mark.slow
def test_cold_starts_are_set_against_torch_and_decoding():
    import speed

    seconds = speed.cold_starts(TINY, picture(64, 48), repeats=1)
    assert 0 < seconds[speed_report.DECODE] < seconds["vaecodec decompress"]
    text = speed_report.report({"machine": "", "threads": 1, "sizes": [], "codecs": {}, "cold_start_s": seconds})
    assert "times as long as importing torch and decoding together" in text
