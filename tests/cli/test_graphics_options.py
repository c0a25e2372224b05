"""What is held without loss, on the command line: options, result lines, `info`, `--resume`, maps; and in plug-ins."""

from __future__ import annotations

import json
import re
from pathlib import Path

import drawings
import numpy as np
import pytest
from conftest import TINY
from PIL import Image
from support import drawn
from support import run_command as run

import vaecodec
from vaecodec.cli.pages.comparison import EXACT_GREEN, Entry, heat, sheet
from vaecodec.cli.pages.gallery import bit_map
from vaecodec.codec.codec import Codec
from vaecodec.format.container import EXACT, unpack
from vaecodec.pictures import exact

MODEL = ("-m", str(TINY))


def photograph(width: int = 176, height: int = 112) -> Image.Image:
    return Image.fromarray(drawings.photo("coffee", width, height))


def mixed() -> Image.Image:
    """A photograph of 5 by 4 tiles; the upper rows are a page."""
    image = photograph(320, 256)
    image.paste(drawings.page(320, 128), (0, 0))
    return image


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with a page `page.png`, a photograph `photo.png` and a page with one, `mixed.png`."""
    monkeypatch.chdir(tmp_path)
    drawings.page(130, 90).save("page.png")
    photograph().save("photo.png")
    mixed().save("mixed.png")
    return tmp_path


def share(path: str) -> float:
    return exact.share(unpack(Path(path).read_bytes()))


def same(path: str, again: str) -> bool:
    return np.array_equal(Image.open(path), Image.open(again))


# --- compress


def test_what_is_drawn_is_exact_unless_that_is_off() -> None:
    auto, off = (
        run("compress", "page.png", "a.vae", *MODEL),
        run("compress", "page.png", "b.vae", "--graphics=off", *MODEL),
    )
    assert (share("a.vae"), share("b.vae")) == (1, 0)
    assert "  without loss" in auto.stderr
    assert "without loss" not in off.stderr
    assert Path("b.vae").read_bytes() == vaecodec.compress("page.png", model=TINY, graphics=False)


def test_the_result_line_says_how_much_is_exact() -> None:
    result = run("compress", "mixed.png", "a.vae", "-q50", "-e0", *MODEL)
    assert 0 < share("a.vae") < 1
    assert f"  {share('a.vae'):.0%} without loss" in result.stderr


@pytest.mark.parametrize("name", ["page.png", "photo.png"])
def test_lossless_holds_any_picture(name: str) -> None:
    result = run("compress", name, "a.vae", "--lossless")
    assert result.exit_code == 0 and "  without loss" in result.stderr
    assert run("decompress", "a.vae", "b.png").exit_code == 0
    assert same(name, "b.png")


@pytest.mark.parametrize(
    "others", ["-q 50", "-m light", "--tune psnr", "--size 9k", "--bpp 1", "--psnr 40", "--ssimulacra2 70"]
)
def test_lossless_excludes_what_else_can_be_asked_for(others: str) -> None:
    result = run("compress", "page.png", "a.vae", "--lossless", *others.split())
    assert result.exit_code == 2 and "--lossless" in result.stderr
    assert not Path("a.vae").exists()


def test_graphics_has_two_values() -> None:
    assert run("compress", "page.png", "a.vae", "--graphics", "on").exit_code == 2


@pytest.mark.parametrize("lossless", [True, False])
def test_invisible_colours_are_kept_where_that_is_asked_for(lossless: bool) -> None:
    pixels = np.dstack([drawn(60, 50), np.zeros((50, 60), np.uint8)])
    pixels[:20, :, 3] = 255
    Image.fromarray(pixels).save("a.png")
    options = ["--lossless"] if lossless else ["-e0", *MODEL]
    run("compress", "a.png", "kept.vae", "--keep-invisible", *options)
    run("compress", "a.png", "left.vae", *options)
    kept, left = (
        np.asarray(vaecodec.decompress(Path(name).read_bytes(), model=TINY)) for name in ("kept.vae", "left.vae")
    )
    assert np.array_equal(kept, pixels)
    assert np.array_equal(left[:20], pixels[:20]) and not left[20:, :, 3].any()
    assert not np.array_equal(left, pixels)


# --- info


def test_info_says_how_much_is_exact() -> None:
    run("compress", "page.png", "page.vae", "--lossless")
    run("compress", "photo.png", "photo.vae", "-e0", *MODEL)
    run("compress", "mixed.png", "mixed.vae", "-q50", "-e0", *MODEL)
    names = ["page.vae", "photo.vae", "mixed.vae"]
    lines = run("info", *names).stdout.splitlines()
    assert "130×90 RGB  without loss  " in lines[0] and "model" not in lines[0]
    assert "without loss" not in lines[1]
    assert f", {share('mixed.vae'):.0%} without loss  " in lines[2]
    found = [json.loads(line) for line in run("info", "--json", *names).stdout.splitlines()]
    assert [row["exact"] for row in found] == [1, 0, round(share("mixed.vae"), 4)]
    assert (found[0]["model"], found[0]["model_id"], found[0]["payload_bytes"]) == (None, "00000000", 0)


def test_info_of_a_file_that_is_damaged_there_says_what_the_header_does() -> None:
    run("compress", "page.png", "page.vae", "--lossless")
    Path("cut.vae").write_bytes(Path("page.vae").read_bytes()[:-9])
    result = run("info", "--json", "cut.vae")
    assert result.exit_code == 0 and json.loads(result.stdout)["exact"] == 0
    assert run("test", "cut.vae").exit_code == 3 and run("test", "page.vae").exit_code == 0


# --- maps of bits


def test_a_map_is_green_where_it_is_exact() -> None:
    bits, there = np.array([[0.0, 0.5, 1.0, 9.0]]), np.array([[False, True, True, False]])
    colours = heat(bits, 1.0, there).astype(int)
    assert (colours[0, [0, 3]] == heat(bits, 1.0)[0, [0, 3]]).all()
    assert (colours[0, 1:3, 1] > colours[0, 1:3][:, [0, 2]].max(1)).all() and colours[0, 2].sum() > colours[0, 1].sum()
    assert (heat(0 * bits, 1.0, there)[0, 1] == EXACT_GREEN).all()
    green = np.asarray(
        sheet([Entry("a", "", np.zeros((32, 64, 3), np.uint8), 0 * bits.repeat(2, 0), there.repeat(2, 0))])
    )
    assert (green == EXACT_GREEN).all(2).sum() == 32 * 32


@pytest.mark.parametrize("name", ["page.png", "mixed.png", "photo.png"])
def test_the_bits_of_a_map_are_those_of_the_file(name: str) -> None:
    codec = Codec(TINY)
    data = codec.compress(name, quality=50, effort=0)
    bits, there = bit_map(codec, data)
    width, height = Image.open(name).size
    assert bits.shape == (-(-height // 16), -(-width // 16)) == (bits if there is None else there).shape
    sides = [np.diff([*range(0, side, 16), side]) for side in (height, width)]
    file = unpack(data)
    inside = (bits * (256 if there is None else np.where(there, np.outer(*sides), 256))).sum() / 8
    known = len(file.payload) + len(file.chunks.get(EXACT, b""))
    assert inside == pytest.approx(known, abs=40, rel=0.02)
    assert (there is None) == (name == "photo.png") and (name != "page.png" or there.all())


@pytest.mark.slow
def test_compare_shows_exact_files_and_tiles() -> None:
    run("compress", "mixed.png", "tiles.vae", "-q50", "-e0", *MODEL)
    run("compress", "mixed.png", "exact.vae", "--lossless")
    result = run("compare", "mixed.png", "tiles.vae", "exact.vae", "--html", "c.html", "--png", "c.png", *MODEL)
    assert result.exit_code == 0 and re.search(r"exact.vae .* inf .* 100.00", result.stdout)
    text = Path("c.html").read_text()
    assert text.count('"bits": "data:image/png') == 2
    sheet = np.asarray(Image.open("c.png").convert("RGB")).astype(int)
    green = (sheet[..., 1] > sheet[..., 0] + 20) & (sheet[..., 1] > sheet[..., 2] + 8)
    there = exact.of_file(unpack(Path("tiles.vae").read_bytes())).mask.mean()
    assert green.sum() > 0.95 * 320 * 256 * (1 + there)
    assert run("compare", "mixed.png", "exact.vae").exit_code == 0


def test_transparent_pictures_are_compared_as_they_are_seen() -> None:
    """What is fully transparent may come back in other colours, and counts for nothing."""
    Path("all").mkdir()
    drawings.cut_out(noise=True).save("all/a.png")
    run("compress", "all/a.png", "a.vae", "-q90", "-e0", "-m", "light")
    run("compress", "all/a.png", "b.vae", "--lossless")
    lines = run("compare", "all/a.png", "a.vae", "b.vae").stdout.splitlines()
    assert float(lines[1].split()[3]) > 35 and lines[2].split()[3] == "inf"
    run("evaluate", "all", "--qualities", "90", "-e0", "--json", "r.json", "-m", "light")
    assert json.loads(Path("r.json").read_text())["images"][0]["psnr_db"] == pytest.approx(
        float(lines[1].split()[3]), abs=0.01
    )


@pytest.mark.slow
def test_evaluate_takes_screenshots_too() -> None:
    Path("all").mkdir()
    photograph().save("all/a.png")
    drawings.terminal(256, 192).save("all/b.png")
    result = run("evaluate", "all", "--qualities", "70", "-e0", "--json", "r.json", "--html", "e.html", *MODEL)
    assert result.exit_code == 0, result.stderr
    images = json.loads(Path("r.json").read_text())["images"]
    assert [row["image"] for row in images] == ["a.png", "b.png"] and images[1]["ssimulacra2"] == 100
    assert Path("e.html").read_text().count('"label": "quality 70"') == 2


@pytest.mark.slow
def test_folders_of_both_kinds_say_what_is_exact() -> None:
    result = run("compress", ".", "-r", "-o", "out", "-e0", *MODEL)
    assert result.exit_code == 0 and [share(f"out/{n}.vae") > 0 for n in ("page", "photo")] == [True, False]
    assert run("decompress", "out", "-r", "-o", "back", *MODEL).exit_code == 0
    assert same("page.png", "back/page.png") and not same("photo.png", "back/photo.png")


# --- elsewhere


def test_pillow_opens_exact_files_lazily_and_smaller() -> None:
    vaecodec.register_pillow()
    image = Image.fromarray(drawn(200, 120))
    image.save("a.vae", lossless=True)
    again = Image.open("a.vae")
    assert (again.format, again.size, again.mode, bool(again.tile)) == ("VAE", (200, 120), "RGB", True)
    assert np.array_equal(again, image)
    small = Image.open("a.vae")
    small.draft(None, (50, 30))
    assert small.size == (50, 30) and np.array_equal(small, image.reduce(4))
    thumbnail = Image.open("a.vae")
    thumbnail.thumbnail((40, 40))
    assert thumbnail.size == (40, 24)
    with pytest.raises(ValueError, match="lossless"):
        image.save("b.vae", lossless=True, quality=40)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "CMYK"])
def test_pillow_saves_any_mode_without_loss(mode: str) -> None:
    vaecodec.register_pillow()
    image = Image.fromarray(drawn(70, 66)).convert(mode)
    image.save("a.vae", lossless=True, keep_invisible=True)
    again = Image.open("a.vae")
    assert again.mode == mode
    assert mode == "CMYK" or np.array_equal(again, image)


def test_ray_compresses_without_loss_too() -> None:
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow, which comes with ray[data]")
    from vaecodec.plugins.ray_data import Compress

    table = pa.table({"path": ["page.png", "photo.png", "missing.png"]})
    *rows, missing = Compress(lossless=True)(table).to_pylist()
    for row in rows:
        assert row["error"] is None and np.array_equal(vaecodec.decompress(row["vae"]), Image.open(row["path"]))
    assert missing["vae"] is None and missing["error"]
    for asked in ({"quality": 50}, {"model": TINY}, {"tune": "psnr"}):
        with pytest.raises(ValueError, match="lossless takes no model"):
            Compress(lossless=True, **asked)
