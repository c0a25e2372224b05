"""The benchmark programs: what they measure, what they leave out, and that they go on where they stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import TINY, picture
from PIL import Image

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra bench)")
pytest.importorskip("bjontegaard", reason="bjontegaard is not installed (extra bench)")
pytest.importorskip("pytorch_msssim", reason="pytorch-msssim is not installed (extra bench)")

import common  # noqa: E402
import rd_tables  # noqa: E402

from vaecodec.compare import Entry, page, sheet, to_size  # noqa: E402
from vaecodec.errors import TargetError  # noqa: E402

PROGRAMS = ("rate_distortion", "visual", "speed", "ablations", "fit_baselines", "train_autoencoder")


def run(program: str, *arguments: object):
    """Runs a program within this process."""
    return CliRunner().invoke(__import__(program).main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path) -> Path:
    """A good picture, a broken one, a grey one, one of 1x1, one with alpha, and a text file."""
    path = tmp_path / "pictures"
    path.mkdir()
    Image.fromarray(picture(176, 164)).save(path / "good.png")
    (path / "broken.png").write_bytes((path / "good.png").read_bytes()[:300])
    Image.fromarray(picture(176, 164)).convert("L").save(path / "grey.png")
    Image.fromarray(picture(1, 1)).save(path / "one.png")
    Image.fromarray(picture(176, 164)).convert("RGBA").save(path / "alpha.png")
    (path / "notes.txt").write_text("not a picture")
    return path


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(program):
    result = run(program, "--help")
    assert result.exit_code == 0 and "Usage" in result.output


def test_what_cannot_be_measured_is_named(folder):
    read = common.read_pictures((folder,))
    assert list(read.images) == ["good.png"]
    assert set(read.left_out) == {"grey.png", "one.png", "notes.txt", "alpha.png"}
    assert "greyscale" in read.left_out["grey.png"] and "1x1" in read.left_out["one.png"]
    assert set(read.failed) == {"broken.png"} and read.failed["broken.png"]


def test_rate_distortion_goes_on_and_reports(folder, tmp_path, monkeypatch):
    import rate_distortion

    calls = []
    measure = rate_distortion.measure

    def counted(codec, *rest):
        calls.append(codec.name)
        return measure(codec, *rest)

    monkeypatch.setattr(rate_distortion, "measure", counted)
    target = tmp_path / "out" / "rd"
    arguments = [folder, "-o", target, "-m", TINY, "--no-ssimulacra2", "--anchor", "JPEG 4:4:4", "--codecs"]
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
    monkeypatch.setattr("rd_plot.draw", lambda *_: None)  # drawing takes most of the time
    (folder / "broken.png").unlink()
    done = len(calls)
    assert run("rate_distortion", *arguments, "JPEG 4:4:4").exit_code == 0
    assert len(calls) == done
    Image.fromarray(picture(176, 164, 3)).save(folder / "good.png")  # other content under the same name
    assert run("rate_distortion", *arguments, "JPEG 4:4:4").exit_code == 0
    assert len(calls) == done + first


def test_a_codec_that_fails_is_named_and_the_rest_measured(folder, tmp_path, monkeypatch):
    from vaecodec.baselines.classic import PillowCodec

    (folder / "broken.png").unlink()
    compress = PillowCodec.compress

    def fail(codec, image, quality):
        if codec.name == "WebP" and quality > 90:
            raise OSError("no space")
        return compress(codec, image, quality)

    monkeypatch.setattr(PillowCodec, "compress", fail)
    monkeypatch.setattr("rd_plot.draw", lambda *_: None)
    result = run(
        "rate_distortion", folder, "-o", tmp_path / "rd", "-m", TINY, "--no-ssimulacra2", "--codecs", "WebP,JPEG 4:2:0"
    )
    assert result.exit_code == 1 and "WebP, quality 92, good.png: OSError: no space" in result.output
    assert "JPEG 4:2:0" in json.loads((tmp_path / "rd.json").read_text())["means"]


def test_unknown_names_are_refused(folder):
    result = run("rate_distortion", folder, "-m", TINY, "--codecs", "JPEG 4:4:4,PNG")
    assert result.exit_code == 2 and "png" in result.output


def test_ssimulacra2():
    pytest.importorskip("ssimulacra2", reason="the package ssimulacra2 is not installed")
    image = picture(176, 164)
    noisy = np.clip(image.astype(int) + np.random.default_rng(0).normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    assert common.ssimulacra2(image, image) == pytest.approx(100, abs=0.01)
    assert common.ssimulacra2(image, noisy) < 90


# --- tables


def test_bd_rate_of_a_known_shift():
    bpp, db = [0.1, 0.2, 0.4, 0.8, 1.6], [26.0, 29.0, 32.0, 35.0, 38.0]
    result = rd_tables.bd_rate(rd_tables.Curve(bpp, db), rd_tables.Curve([1.1 * b for b in bpp], db), "psnr_db")
    assert result == pytest.approx((10.0, 26.0, 38.0))
    apart = rd_tables.Curve(bpp, [value + 20 for value in db])
    assert rd_tables.bd_rate(rd_tables.Curve(bpp, db), apart, "psnr_db") is None


def test_points_that_give_no_more_are_dropped():
    curve = rd_tables.Curve([0.1, 0.2, 0.3, 0.4], [20.0, 25.0, 24.0, 30.0])
    assert rd_tables.rising(curve, "psnr_db") == ([0.1, 0.2, 0.4], [20.0, 25.0, 30.0])


def test_published_curves_are_whole_and_named():
    data = json.loads(rd_tables.PUBLISHED.read_text())
    assert data["images"] == 24
    for name, entry in data["curves"].items():
        assert entry["source"] and entry["role"] in ("curve", "check"), name
        assert len(entry["bpp"]) == len(entry["psnr_db"]) >= 4
        assert entry["bpp"] == sorted(entry["bpp"])
    curves, checks = rd_tables.published_curves()
    assert {"VTM 18.0", "BPG", "bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-attn", "ELIC", "QARV"} <= set(curves)
    assert {"EVC-S", "Cool-Chic 5", "MLIC++", "HPCM-Large"} <= set(curves)
    assert {of for of, _ in checks.values()} == {"JPEG 4:2:0", "WebP", "AVIF"}
    evc = rd_tables.bd_rate(curves["VTM 18.0"], curves["EVC-S"], "psnr_db")
    assert evc[0] == pytest.approx(7.7, abs=1.0)


# --- the other programs


def test_speed_runs_and_goes_on(tmp_path):
    image = tmp_path / "a.png"
    Image.fromarray(picture(200, 150)).save(image)
    import speed

    large = speed.resized(picture(50, 40), 0.1)
    assert large.shape[0] * large.shape[1] == pytest.approx(1e5, rel=0.02)
    with speed.stages() as seconds:
        from vaecodec.codec import Codec

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
        starts.setattr(speed, "_in_a_process", lambda *_: pytest.fail("measured again"))
        assert run("speed", *arguments).exit_code == 0
    finally:
        starts.undo()


def test_cold_starts_are_set_against_torch_and_decoding():
    import speed
    import speed_report

    seconds = speed.cold_starts(TINY, picture(64, 48), repeats=1)
    assert 0 < seconds[speed_report.DECODE] < seconds["vaecodec decompress"]
    text = speed_report.report({"machine": "", "threads": 1, "sizes": [], "codecs": {}, "cold_start_s": seconds})
    assert "times as long as importing torch and decoding together" in text


def test_ablations_add_up(folder, tmp_path):
    (folder / "broken.png").unlink()
    target = tmp_path / "ablations"
    result = run("ablations", folder, "-o", target, "-m", TINY, "--qualities", "30,80")
    assert result.exit_code == 0, result.output
    for row in json.loads(target.with_suffix(".json").read_text())["means"].values():
        groups = [row[f"exact_bpp.{group}"] for group in ("z", "y0", "y1", "y2", "y3")]
        pixels = 176 * 164
        assert row["header_bpp"] + sum(groups) == pytest.approx(row["bpp"], abs=64 / pixels + 1e-3 * row["bpp"])
        assert sum(row[f"float_bpp.{group}"] for group in ("z", "y0", "y1", "y2", "y3")) == pytest.approx(
            sum(groups), rel=0.05
        )
        assert row["bf16_psnr_db"] == pytest.approx(row["psnr_db"], abs=0.5)
    assert "Parts of the rate" in target.with_suffix(".md").read_text()


# --- side by side


class Steps:
    """A codec whose files have 10 bytes a quality; it knows whole ones only."""

    name, settings, version = "steps", "", ""
    qualities, quality_range, whole_qualities = tuple(range(1, 101)), (1, 100), True

    def compress(self, image, quality):
        return bytes(10 * int(quality))

    def decompress(self, data):
        return picture(40, 30)


@pytest.mark.parametrize("size,quality", [(10, 1), (19, 1), (555, 55), (1000, 100), (99999, 100)])
def test_bisection_finds_the_largest_that_fits(size, quality):
    data, found = to_size(Steps(), picture(40, 30), size)
    assert len(data) <= size and found == pytest.approx(quality, abs=1)


def test_a_size_that_cannot_be_reached_is_said():
    with pytest.raises(TargetError, match="smallest file has 10 bytes"):
        to_size(Steps(), picture(40, 30), 9)


def test_visual_writes_a_page_and_a_sheet(tmp_path):
    image = tmp_path / "a.png"
    Image.fromarray(picture(176, 164)).save(image)
    result = run("visual", image, "--bpp", 0.8, "-m", TINY, "--codecs", "vaecodec,WebP", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "visual-a.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "") and "@" + "ENTRIES@" not in text
    with Image.open(tmp_path / "visual-a.png") as drawn:
        assert drawn.width > 3 * 176
    done = json.loads((tmp_path / "visual-a.json").read_text())
    assert set(done["codecs"]) | set(done["left_out"]) == {"Original", "vaecodec", "WebP"}


def entries() -> list[Entry]:
    return [Entry("Original", "as it is", picture(60, 40)), Entry("</script><b>", "worse", picture(60, 40, 2))]


def test_sheet_shows_pictures_unscaled():
    drawn = np.asarray(sheet(entries(), crop=1000))
    image = picture(60, 40)
    assert any(np.array_equal(drawn[y : y + 40, 8:68], image) for y in range(drawn.shape[0] - 40))


def test_names_cannot_break_the_page():
    text = page(entries(), "a <b> & c")
    assert text.count("</script>") == 1 and "a &lt;b&gt; &amp; c" in text


def test_page_in_a_browser(tmp_path):
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no headless browser is installed")
    path = tmp_path / "page.html"
    pair = [
        Entry("Original", "", np.full((40, 60, 3), 200, np.uint8)),
        Entry("other", "", np.zeros((40, 60, 3), np.uint8)),
    ]
    path.write_text(page(pair, "test"), encoding="utf-8")
    shot = tmp_path / "page.png"
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--screenshot={shot}",
        "--window-size=800,600",
        path.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    half = 60 * 40 / 2
    assert (pixels == 200).all(1).sum() == pytest.approx(half, rel=0.1)  # left of the divider, the original
    assert (pixels == 0).all(1).sum() >= 0.9 * half
