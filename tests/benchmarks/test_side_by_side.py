"""Codecs at one size: the search for it, pages and pairs for readers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bench_support import Steps, run, usable_picture
from conftest import TINY, picture
from PIL import Image
from shared.equal_size import crop_at

from vaecodec.baselines.classic import PillowCodec
from vaecodec.cli.pages.comparison import to_size
from vaecodec.errors import TargetError


@pytest.fixture
def good(tmp_path) -> Path:
    return usable_picture(tmp_path / "pictures")


@pytest.mark.parametrize("size,quality", [(10, 1), (19, 1), (555, 55), (1000, 100), (99999, 100)])
def test_bisection_finds_the_largest_that_fits(size, quality):
    data, found = to_size(Steps(), picture(40, 30), size)
    assert len(data) <= size and found == pytest.approx(quality, abs=1)


def test_a_size_that_cannot_be_reached_is_said():
    with pytest.raises(TargetError, match="smallest file has 10 bytes"):
        to_size(Steps(), picture(40, 30), 9)


@pytest.mark.slow
def test_visual_writes_a_page_and_a_sheet_and_goes_on(good, tmp_path, monkeypatch):
    Image.fromarray(picture(180, 170, 4)).save(good / "more.png")
    arguments = (good, "--bpp", "0.4,0.55", "-m", TINY, "--codecs", "vaecodec,WebP", "--crop", 100, "-o", tmp_path)
    result = run("visual", *arguments)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "visual.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "") and "@" + "ENTRIES@" not in text
    with Image.open(tmp_path / "visual.png") as drawn:
        assert drawn.width > 3 * 100 and drawn.height > 4 * 100
    done = json.loads((tmp_path / "visual.json").read_text())
    assert set(done) == {f"{name}.png, {rate} bpp" for name in ("good", "more") for rate in ("0.4", "0.55")}
    for part in done.values():
        sizes = {name: codec["bytes"] for name, codec in part["codecs"].items()}
        assert 0.98 * sizes["WebP"] <= sizes["vaecodec"] <= sizes["WebP"] <= part["bytes"]
    first, tries = (tmp_path / "visual.png").read_bytes(), []
    compress = PillowCodec.compress
    monkeypatch.setattr(PillowCodec, "compress", lambda *args: (tries.append(args[-1]), compress(*args))[1])
    assert run("visual", *arguments).exit_code == 0
    assert len(tries) == 4 and (tmp_path / "visual.png").read_bytes() == first  # nothing is searched for again


def test_crops_lie_where_they_are_put():
    assert crop_at((100, 200, 3), 50, (0.5, 1.0)) == (slice(50, 100), slice(75, 125))
    assert crop_at((40, 200, 3), 50, (0.0, 0.7)) == (slice(0, 40), slice(0, 50))


def test_blind_pairs_are_dealt_evenly():
    import blind

    names = [f"{n}.png" for n in range(24)]
    pairs = blind.draw_pairs(names, ["0.15", "0.4"], ["AVIF", "JPEG XL"], 24, 1)
    assert {pair.image for pair in pairs} == set(names) and sum(pair.first for pair in pairs) == 12
    kinds = [(pair.bpp, pair.rival) for pair in pairs]
    assert len(set(kinds)) == 4 and all(kinds.count(kind) == 6 for kind in kinds)
    assert pairs == blind.draw_pairs(names, ["0.15", "0.4"], ["AVIF", "JPEG XL"], 24, 1)
    assert pairs != blind.draw_pairs(names, ["0.15", "0.4"], ["AVIF", "JPEG XL"], 24, 2)
    twice = blind.draw_pairs(names, ["0.15", "0.4"], ["AVIF", "JPEG XL"], 48, 1)
    assert len({(pair.image, pair.bpp, pair.rival) for pair in twice}) == 48


@pytest.mark.slow
def test_a_blind_page_says_nothing_and_its_key_everything(good, tmp_path):
    page_folder, key = tmp_path / "blind", tmp_path / "key.json"
    arguments = (good, "--bpp", 0.55, "--against", "WebP", "-o", page_folder, "--key", key, "-m", TINY, "--pairs", 2)
    result = run("blind", *arguments, "--side", 64)
    assert result.exit_code == 0, result.output
    text = (page_folder / "index.html").read_text()
    assert "WebP" not in text and "vaecodec" not in text and text.count("<img") == 2
    pairs = json.loads(key.read_text())["pairs"]
    assert {pair["A"] for pair in pairs.values()} == {"vaecodec", "WebP"}
    for number, pair in pairs.items():
        assert 0.99 * pair["bytes"]["WebP"] <= pair["bytes"]["vaecodec"] <= pair["bytes"]["WebP"]
        drawn = np.asarray(Image.open(page_folder / f"pair-{int(number):02}.png"))
        assert drawn.shape[1] > 3 * 64
    ours = next(side for side in ("A", "B") if pairs["1"][side] == "vaecodec")
    (tmp_path / "answers.txt").write_text(f"Well:\n1 {ours}: sharper bricks\n2. =\n3 B\n")
    result = run("blind", *arguments, "--answers", tmp_path / "answers.txt")
    assert "| 0.55 | WebP | 1 | 0 | 1 |" in result.output and "ours): sharper bricks" in result.output
