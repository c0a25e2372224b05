"""Programs that ask what our codec does with pictures: its parts, its honesty, its choices, its targets."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench_support import held_out_folder, run, usable_picture
from conftest import TINY
from PIL import Image


@pytest.fixture
def good(tmp_path) -> Path:
    return usable_picture(tmp_path / "pictures")


@pytest.mark.slow
def test_ablations_add_up(good, tmp_path):
    target = tmp_path / "ablations"
    result = run("ablations", good, "-o", target, "-m", TINY, "--qualities", "30,80")
    assert result.exit_code == 0, result.output
    for row in json.loads(target.with_suffix(".json").read_text())["means"].values():
        groups = [row[f"exact_bpp.{group}"] for group in ("z", "y0", "y1", "y2", "y3")]
        pixels = 176 * 164
        assert row["header_bpp"] + sum(groups) == pytest.approx(row["bpp"], abs=64 / pixels + 1e-3 * row["bpp"])
        assert sum(row[f"float_bpp.{group}"] for group in ("z", "y0", "y1", "y2", "y3")) == pytest.approx(
            sum(groups), rel=0.05
        )
        assert row["bf16_psnr_db"] == pytest.approx(row["psnr_db"], abs=0.5)
        assert 0 < row["own_tables_bpp"] < 10 and row["nearest_bpp"] == pytest.approx(row["bpp"], rel=0.2)
    assert "Parts of the rate" in target.with_suffix(".md").read_text()


@pytest.mark.slow
def test_honesty_measures_once(good, tmp_path, monkeypatch):
    target = tmp_path / "honesty"
    arguments = (good, "-o", target, "-m", TINY, "--qualities", "10,50,90")
    assert run("honesty", *arguments).exit_code == 0
    data = json.loads(target.with_suffix(".json").read_text())["measured"]
    rows = [row for point in data["points"].values() for row in point.values()]
    assert list(data["points"]) == ["10", "50", "90"] and len(rows) == 3
    assert [row["file_bits"] for row in rows] == sorted(row["file_bits"] for row in rows)
    with Image.open(target.with_suffix(".png")) as drawn:
        assert min(drawn.size) > 300
    monkeypatch.setattr("honesty.measure", lambda *_: pytest.fail("measured again"))
    assert run("honesty", *arguments).exit_code == 0


def test_honesty_fails_for_files_that_are_too_large(good, tmp_path, monkeypatch):
    row = {"file_bits": 20000, "payload_bits": 19000, "bound_bits": 10000.0}
    monkeypatch.setattr("honesty.measure", lambda *_: row)
    result = run("honesty", good, "-o", tmp_path / "h", "-m", TINY, "--qualities", "50")
    assert result.exit_code == 1 and "beyond the allowance: good.png, quality 50" in result.output
    assert "Within it: 0 of 1" in result.output


@pytest.mark.slow
def test_symbol_choice_sweeps_weights(tmp_path):
    data = held_out_folder(tmp_path / "data", 2)
    arguments = ("--data", data, "-o", tmp_path / "c", "-m", TINY, "--width", 64, "--height", 64)
    result = run("symbol_choice", *arguments, "--weights", "0.01,1e6", "--times", "10", "--qualities", "20,50,80")
    assert result.exit_code == 0, result.output
    means = json.loads((tmp_path / "c.json").read_text())["means"]
    assert "| 1e+06 | +0.0 % | 0 of " in result.output and "| 0.01 | " in result.output
    assert all(
        n >= t >= s
        for n, t, s in zip(
            *(means[key]["bpp"] for key in ("nearest", "as shipped, times 10", "as shipped")), strict=True
        )
    )
    assert means["1e+06"]["bpp"] == pytest.approx(means["nearest"]["bpp"])  # an error is dearer than any rate
    assert all(b < n for b, n in zip(means["0.01"]["bpp"], means["nearest"]["bpp"], strict=True))


@pytest.mark.slow
def test_inference_compares_efforts(good, tmp_path, monkeypatch):
    target = tmp_path / "inference"
    arguments = (good, "-o", target, "-m", TINY, "--qualities", "10,40,60,90", "--efforts", "1,3")
    result = run("inference", *arguments)
    assert result.exit_code == 0, result.output
    data = json.loads(target.with_suffix(".json").read_text())
    assert data["pictures"] == ["good.png"] and list(data["efforts"]) == ["0", "1", "3"]
    none, most = data["efforts"]["0"], data["efforts"]["3"]
    assert (none["saved_percent"], none["closed_percent"]) == (0, 0)
    assert most["saved_percent"] > 0 and most["closed_percent"] > 50 and most["bd_rate_percent"] < 0
    assert max(row["worst_percent"] for row in data["efforts"].values()) <= 0
    for point in data["measured"]["points"].values():
        for row in point.values():
            assert row["objective_bpp"] == pytest.approx(row["rate_bpp"] + row["distortion_bpp"], abs=1e-5)
    with Image.open(target.with_suffix(".png")) as drawn:
        assert min(drawn.size) > 300
    monkeypatch.setattr("inference.measure", lambda *_: pytest.fail("measured again"))
    assert run("inference", *arguments).exit_code == 0


@pytest.mark.slow
def test_programs_judge_a_model_by_what_it_is_trained_for(good, tmp_path, monkeypatch):
    """BD-rates of one that is trained for looks are by SSIMULACRA2, and it has no likelihood of photographs."""
    import inference

    looks = SimpleNamespace(name="x", model=SimpleNamespace(config=SimpleNamespace(distortion="looks")))
    assert inference.measure_of(looks) == "ssimulacra2"
    monkeypatch.setattr(inference, "measure_of", lambda _: "ssimulacra2")
    arguments = (good, "-o", tmp_path / "i", "-m", TINY, "--qualities", "10,40,60,90", "--efforts", "1")
    result = run("inference", *arguments)
    assert result.exit_code == 0, result.output
    points = json.loads((tmp_path / "i.json").read_text())["measured"]["points"]
    assert all(row["ssimulacra2"] < 100 for point in points.values() for row in point.values())
    monkeypatch.setattr("symbol_choice.measure_of", lambda _: "ssimulacra2")
    data = held_out_folder(tmp_path / "data", 1)
    arguments = ("--data", data, "-o", tmp_path / "c", "-m", TINY, "--width", 64, "--height", 64, "--weights", "1")
    result = run("symbol_choice", *arguments, "--times", "1", "--qualities", "20,50,80")
    assert result.exit_code == 0 and "BD-rate by SSIMULACRA2" in result.output, result.output
    monkeypatch.setattr("vaecodec.codec.codec.Codec", lambda _: looks)
    assert "no likelihood" in run("photo_prior", good, "-o", tmp_path / "p").output


def test_targets_are_counted(good, tmp_path):
    result = run("targets", good, "-o", tmp_path / "t", "-m", TINY, "--bpp", "0.001,0.4", "--psnr", "20", "-e", "0")
    assert result.exit_code == 0, result.output
    points = json.loads((tmp_path / "t.json").read_text())["measured"]["points"]
    (impossible,), (size,), (psnr,) = (points[key].values() for key in ("0.001 bpp", "0.4 bpp", "20 dB"))
    assert "cannot be reached" in impossible["unreachable"]
    assert 0.95 * size["asked"] <= size["bytes"] <= size["asked"] and size["encodes"] <= 8
    assert psnr["psnr_db"] >= 20
    assert "1 of 1" in result.output
