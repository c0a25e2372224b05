"""The map of qualities, and the held-out pictures that it and the judgement are made of."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from bench_support import held_out_folder, run
from conftest import TINY, picture
from PIL import Image
from shared import calibration, held_out

from vaecodec.format.catalog import read_model_info


def test_held_out_parts_are_apart_and_the_same(tmp_path):
    large, small = np.arange(1100 * 700 * 3).reshape(700, 1100, 3), np.zeros((300, 280, 3))
    first, second = held_out.parts(large)
    assert first.shape == second.shape == (512, 512, 3)
    assert np.array_equal(first, large[94:606, :512]) and np.array_equal(second, large[94:606, 588:])
    assert [part.shape for part in held_out.parts(small)] == [(300, 280, 3)]
    data = held_out_folder(tmp_path / "data", 2, side=260)
    name = next(f"graphics-{n}.png" for n in range(2000) if zlib.crc32(f"graphics-{n}.png".encode()) % 40 == 0)
    Image.fromarray(picture(256, 256)).save(data / name)
    photographs, graphics = held_out.held_out_parts((data,))
    assert len(photographs) == 2 and list(graphics) == [f"{name} 0"]
    assert held_out.picture_of(f"{name} 0") == name
    assert set(held_out.calibration_photographs((data,))) == {name for name in photographs if name.endswith(" 0")}


def test_knots_are_monotone_and_say_what_was_measured():
    shares = np.linspace(0, 1, 6)
    looks = np.array([12.0, 33.0, 52.0, 68.0, 80.0, 86.5])
    knots = calibration.knots_of(shares, looks)
    assert knots[0] == [1, 0] and knots[-1] == [100, 1] and knots[1][0] == 30 and knots[-2][0] == 86
    assert (np.diff(knots, axis=0) > 0).all()
    assert calibration.share_of(knots, 52) == pytest.approx(0.4, abs=1e-3)
    assert calibration.knots_of(shares, looks + 25)[1][0] == 38  # nothing so low is reached
    with pytest.raises(ValueError, match="does not rise"):
        calibration.knots_of(shares, looks[::-1])
    with pytest.raises(ValueError, match="only"):
        calibration.knots_of(shares, looks - 70)


def test_the_map_is_checked_on_other_pictures():
    shares, base = np.linspace(0, 1, 6), np.array([12.0, 33.0, 52.0, 68.0, 80.0, 92.0])
    looks = np.array([base + offset for offset in (-2, 2, -2, 2)])
    names = ["a 0", "b 0", "c 0", "d 0"]
    for row in calibration.check(shares, looks, names):
        assert row["spread"] == pytest.approx(np.std([-2, 2, -2, 2], ddof=1), abs=0.05)
        assert row["standard_error"] == pytest.approx(row["spread"] / 2)
        assert sorted(row["errors"]) == pytest.approx([-4, 4], abs=1)
    rows = calibration.check(shares, np.array([base] * 4), names)
    assert [row["quality"] for row in rows] == [30, 40, 50, 60, 70, 80, 90]
    assert max(abs(error) for row in rows for error in row["errors"]) < 0.1


@pytest.mark.slow
def test_calibrate_writes_a_map_and_goes_on(tmp_path, monkeypatch):
    data = held_out_folder(tmp_path / "data", 3, side=260)
    arguments = ("--data", data, "-o", tmp_path / "map", "-m", TINY, "-e", 0, "--shares", "0,0.3,0.6,0.8,1")
    monkeypatch.setattr(calibration, "LOWEST", -100)
    result = run("calibrate", *arguments)
    assert result.exit_code == 0, result.output
    stored = json.loads((tmp_path / "map.json").read_text())["quality_map"]
    assert stored["parts"] == 3 and stored["model_id"] == read_model_info(TINY).model_id.hex()
    assert stored["knots"][-1] == [100, 1] and (tmp_path / "map.png").exists()
    monkeypatch.setattr(calibration, "measure", lambda *_: pytest.fail("measured again"))
    assert run("calibrate", *arguments).exit_code == 0
