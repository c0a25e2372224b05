"""Pictures that are drawn stand for what they should, and what is promised of them is told from the numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import graphics
import numpy as np
import pytest
from bench_support import run
from conftest import TINY
from PIL import Image
from shared.drawn import KINDS

from vaecodec.baselines import classic


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_drawn_the_same_every_time(kind: str) -> None:
    for name, draw in KINDS[kind].items():
        image = draw()
        assert image.mode == ("RGBA" if kind == "cut-out" else "RGB") and image.tobytes() == draw().tobytes(), name
        assert 512 <= image.width <= 1200 and 400 <= image.height <= 800
        if kind == "cut-out":
            assert image.getchannel("A").getextrema() >= (0, 200)


def test_there_are_ten_with_alpha_and_ten_without() -> None:
    assert {kind: len(pictures) for kind, pictures in KINDS.items()} == {
        "graphics": 7, "scan": 1, "mixed": 2, "cut-out": 10,
    }  # fmt: skip


@pytest.mark.slow
def test_graphics_are_measured_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(graphics, "others", lambda: [replace(classic.webp(), name="AVIF")])
    for kind, name in (("graphics", "icons"), ("cut-out", "overlay")):
        part = KINDS[kind][name]().crop((60, 30, 220, 150))
        monkeypatch.setitem(KINDS[kind], name, lambda part=part: part)
    arguments = ("icons", "terminal", "overlay", "-o", tmp_path / "g", "-m", TINY, "--every", "2")
    result = run("graphics", *arguments, "--pictures", tmp_path / "drawn")
    assert result.exit_code == 0, result.output
    rows = next(iter(json.loads((tmp_path / "g.json").read_text())["measured"]["points"].values())).values()
    assert [row["ours"]["bytes"] > 36 for row in rows] == [True, True]
    assert all(row["AVIF"]["ssimulacra2"] >= row["ours"]["ssimulacra2"] for row in rows if row["AVIF"]["as_good"])
    assert "| icons | graphics | " in result.output and "| overlay | cut-out | " in result.output
    with Image.open(tmp_path / "drawn" / "overlay.png") as image:
        assert image.mode == "RGBA"
    monkeypatch.setattr(graphics, "ours", lambda *_: pytest.fail("measured again"))
    assert run("graphics", *arguments).exit_code == 0
    assert "no picture 'poem'" in run("graphics", "poem").output


def test_colours_that_nobody_sees_need_not_come_back() -> None:
    pixels = np.full((70, 130, 4), 200, np.uint8)
    pixels[:, :64, 3] = 0
    decoded = pixels.copy()
    decoded[:, :64, :3] = 7
    assert graphics.same(pixels, decoded).all() and (graphics.seen(pixels, 255) == graphics.seen(decoded, 255)).all()
    decoded[69, 129, 0] += 1
    assert graphics.exact_share(graphics.same(pixels, decoded)) == pytest.approx(5 / 6)
    decoded[0, 0, 3] = 1
    assert graphics.exact_share(graphics.same(pixels, decoded)) == pytest.approx(4 / 6)


def row(size: int, score: float = 100.0, avif: int = 1000) -> dict:
    """Of a picture that takes 1000 bytes as lossless WebP."""
    ours = {"bytes": size, "exact": score == 100, "exact_share": 0.5, "ssimulacra2": score, "worse_ssimulacra2": score}
    other = {"bytes": avif, "ssimulacra2": 90.0, "as_good": score < 90, "within": None}
    decibels = {"psnr_db": None, "worse_psnr_db": None}
    return {"ours": ours | decibels, "lossless": {"lossless WebP": 1000}, "AVIF": other}


def test_claims_name_what_breaks_them() -> None:
    rows = {
        "map": row(1060),
        "comic": row(1061),
        "chart": row(900, 99),
        "slide": row(100, 70) | {"better": {"bytes": 600}},
        "photo page": row(500, 80) | {"better": {"bytes": 700}},
    }
    said = graphics.claims(rows).splitlines()
    assert "not hold**: 1 of 3, not comic (exact, +61 bytes); chart (not exact, -100 bytes)." in said[0]
    assert "and so: slide 10% and 60%, photo page 50% and 70%. " in said[1]
    assert "not hold**: 1 of 2, not photo page (70%)." in said[1]
    assert graphics.claims({"scan": row(9)}) == ""
    names = list(KINDS["cut-out"])
    cutouts = {name: row(500) for name in names[:8]} | {name: row(1100) for name in names[8:]}
    assert "It holds: 8 of 10, not overlay (+10.0%); shaded (+10.0%)." in graphics.claims(cutouts)
    assert "**It does not hold**: 8 of 10" in graphics.claims(cutouts | {names[9]: row(10**6)})
    assert "**It does not hold**: 7 of 10" in graphics.claims(cutouts | {names[0]: row(1001)})


def test_the_table_says_what_there_is_not() -> None:
    said = graphics.table({"map": row(1060), "soft matte": row(20_000, 88)}).splitlines()
    assert said[-2] == "| map | graphics | 1 060 | 50% | 100.0 | – | 1 000 | – | – | > 1 000 | – |"
    assert "| soft matte | cut-out | 20 000 | 50% | 88.0 |" in said[-1] and said[-1].endswith("| 1 000 | – |")
