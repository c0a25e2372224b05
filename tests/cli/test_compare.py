"""`compare` and `evaluate --html`: figures, where the bits went, and pages that a browser shows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, TINY_BITS_BACK, picture
from PIL import Image
from support import run_command as run

import vaecodec
from vaecodec.cli.pages.compare_page import page
from vaecodec.cli.pages.comparison import Entry, heat, most_bits, sheet
from vaecodec.codec.bit_map import position_bits
from vaecodec.codec.codec import Codec
from vaecodec.format.container import BITS_BACK, ROUNDED, unpack
from vaecodec.pictures import metrics

MODEL = ("-m", str(TINY))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with a picture `a.png` and files of it in three formats."""
    monkeypatch.chdir(tmp_path)
    image = Image.fromarray(picture(180, 170))
    image.save("a.png")
    image.save("a.jpg", quality=40)
    for quality in (20, 80):
        Path(f"{quality}.vae").write_bytes(vaecodec.compress("a.png", quality=quality, model=TINY, graphics=False))
    return tmp_path


# --- where the bits went


@pytest.mark.parametrize(
    ("model", "coding", "size"),
    [(TINY, ROUNDED, (177, 90)), (TINY, ROUNDED, (16, 16)), (TINY_BITS_BACK, BITS_BACK, (333, 210))],
)
def test_the_bits_of_all_positions_are_those_of_the_payload(model: Path, coding: int, size: tuple[int, int]) -> None:
    codec = Codec(model)
    latents = codec.decode(unpack(codec.compress(picture(*size), quality=70, coding=coding, graphics=False)))
    bits = position_bits(codec, latents)
    assert (latents.coding, bits.shape) == (coding, (-(-size[1] // 16), -(-size[0] // 16)))
    assert bits.sum() == pytest.approx(8 * len(latents.payload), abs=80, rel=0.005)


def test_bits_go_where_something_is_to_be_seen(tiny) -> None:
    rgb = np.full((128, 256, 3), 90, np.uint8)
    rgb[:, 128:] = np.random.default_rng(1).integers(0, 256, (128, 128, 3))
    bits = position_bits(tiny, tiny.decode(unpack(tiny.compress(rgb, quality=60))))
    assert bits[:, 9:].mean() > 5 * bits[:, :7].mean()


def test_colours_rise_with_the_bits() -> None:
    colours = heat(np.array([[0.0, 0.3, 0.6, 1.0, 9.0, -1.0]]), 1.0).astype(int).sum(2)[0]
    assert (np.diff(colours[:4]) > 0).all() and colours[4] == colours[3] and colours[5] == colours[0]
    assert most_bits([Entry("", "", picture(8, 8))]) == 1


# --- the command


def test_a_table_has_size_and_measures_of_every_file() -> None:
    result = run("compare", "a.png", "20.vae", "a.jpg", *MODEL)
    assert result.exit_code == 0
    header, vae, jpeg = result.stdout.splitlines()
    assert header.split() == ["file", "bytes", "bpp", "PSNR", "MS-SSIM", "SSIMULACRA2"]
    size, original = Path("20.vae").stat().st_size, np.asarray(Image.open("a.png"))
    decoded = np.asarray(vaecodec.decompress(Path("20.vae").read_bytes(), model=TINY))
    assert vae.split()[:4] == [
        "20.vae", str(size), f"{8 * size / (180 * 170):.3f}", f"{metrics.psnr_db(original, decoded):.2f}",
    ]  # fmt: skip
    assert jpeg.split()[:2] == ["a.jpg", str(Path("a.jpg").stat().st_size)]


def test_grey_of_sixteen_bits_is_measured_as_what_it_is() -> None:
    grey = np.linspace(300, 65000, 48 * 40).reshape(40, 48).astype(np.uint16)
    Image.fromarray(grey).save("16.png")
    Image.fromarray(((grey.astype(int) + 128) // 257).astype(np.uint8)).save("8.png")
    rows = [run("compare", name, "8.png").stdout.splitlines()[1].split() for name in ("16.png", "8.png")]
    assert rows[0] == rows[1] and rows[0][3] == "inf"


def test_a_file_whose_latents_lie_nowhere_has_no_map() -> None:
    Image.fromarray(picture(28, 28)).convert("L").save("d.png")
    Path("d.vae").write_bytes(vaecodec.compress("d.png", model="digits"))
    assert run("compare", "d.png", "d.vae", "--html", "d.html").exit_code == 0
    assert '"bits": ' not in Path("d.html").read_text()


def test_measures_whose_package_is_missing_are_named(monkeypatch) -> None:
    def missing(*_) -> float:
        raise ImportError

    monkeypatch.setattr(metrics, "PERCEPTUAL", {"MS-SSIM": (missing, "no-such"), "SSIMULACRA2": (missing, "no-such")})
    result = run("compare", "a.png", "a.jpg")
    assert (result.exit_code, result.stdout.split()[-2:]) == (0, ["–", "–"])
    assert "vaecodec: no MS-SSIM: the package no-such is not installed" in result.stderr


def test_what_cannot_be_compared_is_said_and_the_rest_is() -> None:
    Image.fromarray(picture(170, 180)).save("b.png")
    Path("text.vae").write_text("only text")
    result = run("compare", "a.png", "b.png", "text.vae", "missing.jpg", "a.jpg", "--html", "c.html")
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 2)
    assert "b.png: has 170×180 pixels, the original 180×170\n" in result.stderr
    assert "text.vae: not a .vae file" in result.stderr and "missing.jpg: " in result.stderr
    assert Path("c.html").exists()
    assert run("compare", "a.png", "text.vae").exit_code == 3
    assert run("compare", "a.png", "a.jpg", "--html", "c.html").exit_code == 1  # exists already
    assert run("compare", "missing.png", "a.jpg").exit_code == 1


def test_a_sheet_shows_pictures_and_where_the_bits_went() -> None:
    assert run("compare", "a.png", "20.vae", "80.vae", "--png", "sheet.png", *MODEL).exit_code == 0
    image = np.asarray(Image.open("a.png"))
    drawn = np.asarray(Image.open("sheet.png"))
    assert any(np.array_equal(drawn[y : y + 170, 8:188], image) for y in range(drawn.shape[0] - 170))
    bits = [Entry(name, "", image, np.full((11, 12), value)) for name, value in (("a", 1.0), ("b", 0.0))]
    drawn = np.asarray(sheet(bits))
    assert ((drawn == heat(np.ones((1, 1)), 1.0)).all(2).sum(), (drawn == (0, 0, 4)).all(2).sum()) == (180 * 170,) * 2


@pytest.mark.slow
def test_evaluate_writes_a_page_of_all_pictures() -> None:
    Path("photos").mkdir()
    for name in ("a", "b"):
        Image.fromarray(picture(180, 170, ord(name))).save(f"photos/{name}.png")
    arguments = ["evaluate", "photos", "--qualities", "10,30,60,90,95", "--html", "e.html"]
    assert run(*arguments, *MODEL).exit_code == 0
    text = Path("e.html").read_text()
    assert re.findall(r'"name": "(\w.png)"', text) == ["a.png", "b.png"]
    assert re.findall(r'"label": "([^"]*)"', text) == ["Original", "quality 10", "quality 60", "quality 95"] * 2
    assert run(*arguments, *MODEL).exit_code == 1  # exists already


# --- in a browser


@pytest.mark.slow
def test_the_page_of_compare_divides_and_shows_bits(browser, folder: Path) -> None:
    assert run("compare", "a.png", "20.vae", "80.vae", "a.jpg", "--html", "c.html", *MODEL).exit_code == 0
    browser.open((folder / "c.html").as_uri(), 800, 600)
    original = np.asarray(Image.open("a.png")).astype(int)
    decoded = np.asarray(vaecodec.decompress(Path("20.vae").read_bytes(), model=TINY)).astype(int)

    def shown(left: np.ndarray, right: np.ndarray, edge: int) -> bool:
        """Whether the stage shows these, but for the line between."""
        pixels = browser.pixels("#stage").astype(int)
        return np.array_equal(pixels[:, : edge - 2], left[:, : edge - 2]) and np.array_equal(
            pixels[:, edge + 2 :], right[:, edge + 2 :]
        )

    assert shown(original, decoded, 90)
    browser.set("#at", "25")
    assert shown(original, decoded, 45)
    browser.set("#bits", True)
    codec = Codec(TINY)
    maps = [
        position_bits(codec, codec.decode(unpack(Path(f"{quality}.vae").read_bytes()))) / 256 for quality in (20, 80)
    ]
    most = most_bits([Entry("", "", original, bits) for bits in maps])
    colours = heat(maps[0], most).repeat(16, 0).repeat(16, 1)[:170, :180].astype(int)
    assert shown(original, colours, 45)
    assert not browser.evaluate("document.querySelector('#legend').hidden")
    browser.set("#a", "1")
    browser.set("#b", "3")
    jpeg = np.asarray(Image.open("a.jpg")).astype(int)
    assert shown(colours, jpeg, 45)
    browser.set("#bits", False)
    assert shown(decoded, jpeg, 45)
    about = browser.evaluate("document.querySelector('#about').textContent")
    assert f"20.vae: {Path('20.vae').stat().st_size} bytes, " in about and "a.jpg: " in about


def test_zoom_is_whole_pixels_and_fit_is_the_window(browser, folder: Path) -> None:
    wide = [Entry("Original", "", picture(900, 90)), Entry("other", "", picture(900, 90, 2))]
    small = [Entry("Original", "", picture(40, 30)), Entry("other", "", picture(40, 30, 2))]
    (folder / "w.html").write_text(page({"wide": wide, "small": small}, "Two pictures"), encoding="utf-8")
    browser.open((folder / "w.html").as_uri(), 400, 600)
    left, top, right, bottom = browser.box("#stage")
    assert (left, right) == (16, 384) and bottom - top == pytest.approx(90 * 368 / 900, abs=1)
    browser.set("#picture", "1")
    browser.set("#zoom", "4")
    assert np.array_equal(browser.pixels("#stage")[:, :70], picture(40, 30).repeat(4, 0).repeat(4, 1)[:, :70])
    browser.set("#zoom", "fit")
    left, top, right, bottom = browser.box("#stage")
    assert (right - left, bottom - top) == (40, 30)


@pytest.mark.slow
@pytest.mark.parametrize("width", [340, 1200])
def test_all_controls_fit_the_window(browser, folder: Path, width: int) -> None:
    assert run("compare", "a.png", "20.vae", "a.jpg", "--html", "c.html", *MODEL).exit_code == 0
    browser.open((folder / "c.html").as_uri(), width, 600)
    browser.set("#bits", True)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("h1", "#a", "#b", "#at", "#zoom", "#diff", "#bits", "#legend", "#stage"):
        left, _, right, _ = browser.box(name)
        assert 0 <= left < right <= width, name
