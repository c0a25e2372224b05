"""The benchmark programs: what they measure, what they leave out, and that they go on where they stopped."""

from __future__ import annotations

import json
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
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

from shared import calibration, pictures, results  # noqa: E402
from shared.rates import curves as rd_curves  # noqa: E402
from shared.rates import measures, measuring  # noqa: E402
from shared.rates import tables as rd_tables  # noqa: E402
from shared.speed import measuring as speed_measuring  # noqa: E402

from vaecodec.baselines.classic import PillowCodec  # noqa: E402
from vaecodec.cli.pages.compare_page import page  # noqa: E402
from vaecodec.cli.pages.comparison import Entry, sheet, to_size  # noqa: E402
from vaecodec.errors import TargetError  # noqa: E402
from vaecodec.format.catalog import read_model_info  # noqa: E402
from vaecodec.pictures import metrics  # noqa: E402

PROGRAMS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if "click.command" in path.read_text())


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
    read = pictures.read_pictures((folder,))
    assert list(read.images) == ["good.png"]
    assert set(read.left_out) == {"grey.png", "one.png", "notes.txt", "alpha.png"}
    assert "greyscale" in read.left_out["grey.png"] and "1x1" in read.left_out["one.png"]
    assert set(read.failed) == {"broken.png"} and read.failed["broken.png"]


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


def test_a_codec_that_fails_is_named_and_the_rest_measured(folder, tmp_path, monkeypatch):
    (folder / "broken.png").unlink()
    compress = PillowCodec.compress

    def fail(codec, image, quality):
        if codec.name == "WebP" and quality > 90:
            raise OSError("no space")
        return compress(codec, image, quality)

    monkeypatch.setattr(PillowCodec, "compress", fail)
    monkeypatch.setattr("shared.rates.plot.draw", lambda *_: None)
    result = run(
        "rate_distortion",
        folder,
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


def test_rows_of_before_new_measures_are_read(tmp_path):
    """A stored row without the newest columns is one whose measures are missing."""
    codec = Steps()
    codec.qualities = (10, 20, 30)
    points = {f"{q}": {"a.png": [10 * q, 20.0 + q, 0.9, 2.0 * q, 0.1, 0.1]} for q in codec.qualities}
    columns = ["bytes", "psnr_db", "ms_ssim", "ssimulacra2", "encode_s", "decode_s"]
    data = {"images": {"a.png": "0-40x30"}, "columns": columns, "codecs": {"steps": {"points": points}}}
    curve = rd_curves.measured_curves(data, [codec], ["a.png"])["steps"]
    assert curve.ssimulacra2 == [20.0, 40.0, 60.0] and curve.butteraugli == [] == curve.cvvdp


@pytest.fixture
def noisy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture, a little noise on it, and much."""
    image, noise = picture(176, 164), np.random.default_rng(0).normal(0, 1, (164, 176, 3))
    return (image, *(np.clip(image + level * noise, 0, 255).astype(np.uint8) for level in (4, 12)))


@pytest.mark.parametrize("name", measures.MEASURES)
def test_scaled_measures_rise_with_quality(name, noisy):
    measure = measures.MEASURES[name]
    if reason := measure.lacking():
        pytest.skip(reason)
    image, little, much = noisy
    same, better, worse = (measure.compute(image, other) for other in (image, little, much))
    assert measure.scale(np.array(same)) > measure.scale(np.array(better)) > measure.scale(np.array(worse))
    assert measure.restore(measure.scale(better)) == pytest.approx(better)
    if name == "butteraugli":
        assert same == 0
    if name == "cvvdp":
        assert same == measures.FLAWLESS_JOD


def test_the_blur_for_cvvdp_is_a_gaussian():
    """A point becomes a bell, flat pictures stay flat up to their edges."""
    torch = pytest.importorskip("torch")
    from shared.rates.cvvdp_stills import GaussianBlur

    blur, point = GaussianBlur(13, 3.0), torch.zeros(1, 2, 31, 31)
    point[..., 15, 15] = 1
    bell = blur(point)[0, 1]
    assert float(bell.sum()) == pytest.approx(1, abs=1e-5)
    assert float(bell[15, 18] / bell[15, 15]) == pytest.approx(np.exp(-0.5), abs=1e-5)
    assert torch.allclose(blur(torch.ones(3, 1, 20, 16)), torch.ones(3, 1, 20, 16))


def test_ssimulacra2():
    pytest.importorskip("ssimulacra2", reason="the package ssimulacra2 is not installed")
    image = picture(176, 164)
    noisy = np.clip(image.astype(int) + np.random.default_rng(0).normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    assert metrics.ssimulacra2(image, image) == pytest.approx(100, abs=0.01)
    assert metrics.ssimulacra2(image, noisy) < 90


# --- tables


def test_bd_rate_of_a_known_shift():
    bpp, db = [0.1, 0.2, 0.4, 0.8, 1.6], [26.0, 29.0, 32.0, 35.0, 38.0]
    result = rd_curves.bd_rate(rd_curves.Curve(bpp, db), rd_curves.Curve([1.1 * b for b in bpp], db), "psnr_db")
    assert result == pytest.approx((10.0, 26.0, 38.0))
    apart = rd_curves.Curve(bpp, [value + 20 for value in db])
    assert rd_curves.bd_rate(rd_curves.Curve(bpp, db), apart, "psnr_db") is None


@pytest.mark.parametrize("within", [None, (27.0, 33.0)])
def test_bd_rate_is_what_the_package_says(within):
    import bjontegaard

    rng = np.random.default_rng(1)
    first, second = ([np.sort(rng.uniform(*span, 7)) for span in ((0.1, 2), (25, 40))] for _ in range(2))
    made = metrics.bd_rate_percent(*first, *second, within=within)
    if within is None:
        options = {"method": "akima", "require_matching_points": False, "min_overlap": 0}
        assert made == pytest.approx(bjontegaard.bd_rate(*first, *second, **options))
    scaled = metrics.bd_rate_percent(*first, 1.25 * first[0], first[1], within=within)
    assert scaled == pytest.approx(25)


def test_useful_range_is_the_same_span_for_every_measure():
    looks, bpp = [10.0, 30.0, 60.0, 88.0, 95.0], [0.1, 0.2, 0.4, 0.8, 1.6]
    distance = [8.0, 4.0, 2.0, 1.0, 0.5]
    anchor = rd_curves.Curve(bpp, [26, 29, 32, 35, 38], [], looks, distance)
    assert rd_curves.useful_range(anchor, "ssimulacra2") == (30, 88)
    assert rd_curves.useful_range(anchor, "psnr_db") == pytest.approx((29, 35))
    test = rd_curves.Curve([0.5 * rate for rate in bpp], anchor.psnr_db, [], looks, distance)
    result = rd_curves.bd_rate(anchor, test, "butteraugli", rd_curves.useful_range(anchor, "butteraugli"))
    assert result == pytest.approx((-50, 4, 1))
    assert rd_curves.useful_range(rd_curves.Curve(bpp, looks), "psnr_db") is None


def test_the_table_of_looks_has_what_people_choose_between():
    looks, bpp = [10.0, 30.0, 60.0, 88.0, 95.0], np.array([0.1, 0.2, 0.4, 0.8, 1.6])
    curve = lambda factor: rd_curves.Curve(list(factor * bpp), looks, [], looks)
    factors = {"AVIF": 1, "WebP": 1.4, "vaecodec": 0.7, "vaecodec, tune=psnr": 1.1, "vaecodec, factorised": 2}
    curves = {name: curve(factor) for name, factor in (factors | {"PCA 8x8": 3}).items()}
    assert rd_tables.looks_table(curves["AVIF"], curves).splitlines()[2:] == [
        "| **vaecodec** | −30.0 % | −30.0 % |",
        "| vaecodec, tune=psnr | +10.0 % | +10.0 % |",
        "| WebP | +40.0 % | +40.0 % |",
    ]
    assert rd_tables.models(curves) == ["vaecodec", "vaecodec, tune=psnr"]


def test_pictures_are_listed_worst_first():
    looks, bpp = [10.0, 40.0, 60.0, 88.0, 95.0], np.array([0.1, 0.2, 0.4, 0.8, 1.6])
    curve = lambda factors: rd_curves.Curve(
        list(bpp), looks, [], looks, images={k: rd_curves.Curve(list(f * bpp), looks, [], looks) for k, f in factors}
    )
    anchor, test = curve([("a", 1), ("b", 1), ("c", 1)]), curve([("a", 0.5), ("b", 1.2), ("c", 0.9)])
    rows = rd_tables.pictures_table(anchor, test).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| b", "| c", "| a", "| all"]
    assert "| b | +20.0 % | +20.0 % |" in rows[0] and "| all | 2 of 3 smaller | 2 of 3 smaller |" in rows[3]


def test_ahead_at_every_rate_or_not():
    db = [26.0, 29.0, 32.0, 35.0]
    curves = {
        "vaecodec": rd_curves.Curve([0.1, 0.2, 0.4, 0.8], db),
        "PCA 16x16": rd_curves.Curve([0.2, 0.3, 0.5, 0.9], db),
        "Autoencoder": rd_curves.Curve([0.2, 0.3, 0.4, 0.7], db),
    }
    text = rd_tables.baseline_table(curves)
    assert "| vaecodec | PCA 16x16 | PSNR | −50.0 % | −11.1 % | yes | 26.0 to 35.0 |" in text
    assert "| vaecodec | Autoencoder | PSNR | −50.0 % | +14.3 % | no | 26.0 to 35.0 |" in text


def test_points_that_give_no_more_are_dropped():
    curve = rd_curves.Curve([0.1, 0.2, 0.3, 0.4], [20.0, 25.0, 24.0, 30.0])
    assert rd_curves.rising(curve, "psnr_db") == ([0.1, 0.2, 0.4], [20.0, 25.0, 30.0])


def test_published_curves_are_whole_and_named():
    data = json.loads(rd_curves.PUBLISHED.read_text())
    assert data["images"] == 24
    for name, entry in data["curves"].items():
        assert entry["source"] and entry["role"] in ("curve", "check"), name
        assert len(entry["bpp"]) == len(entry["psnr_db"]) >= 4
        assert entry["bpp"] == sorted(entry["bpp"])
    curves, checks = rd_curves.published_curves()
    assert {"VTM 18.0", "BPG", "bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-attn", "ELIC", "QARV"} <= set(curves)
    assert {"EVC-S", "Cool-Chic 5", "MLIC++", "HPCM-Large"} <= set(curves)
    assert {of for of, _ in checks.values()} == {"JPEG 4:2:0", "WebP", "AVIF, tune=psnr"}
    evc = rd_curves.bd_rate(curves["VTM 18.0"], curves["EVC-S"], "psnr_db")
    assert evc[0] == pytest.approx(7.7, abs=1.0)


# --- the other programs


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


def test_folders_sets_several_processes_against_one(folder, tmp_path, monkeypatch):
    import folders

    (folder / "broken.png").unlink()
    seconds, cpu_seconds = folders.timed(folder, 1, str(TINY))
    assert seconds > 0 and cpu_seconds > 0
    calls = []
    monkeypatch.setattr(folders, "timed", lambda _, n, model: calls.append(n) or (12.0 / n + 1, 12.0 + n))
    arguments = (folder, "--repeats", 2, "-o", tmp_path / "f")
    result = run("folders", *arguments)
    assert result.exit_code == 0 and calls == [1, 2, 1, 2]
    assert "| 1 | 13.00 | 1.00 | 13.00 | 1.00 |\n| 2 | 7.00 | 1.86 | 14.00 | 1.86 |" in result.output
    assert run("folders", *arguments).exit_code == 0 and len(calls) == 4  # nothing is measured again
    with pytest.raises(click.ClickException, match="nothing in it ends in"):
        monkeypatch.undo()
        (tmp_path / "none").mkdir()
        folders.timed(tmp_path / "none", 1, str(TINY))


def test_cold_starts_are_set_against_torch_and_decoding():
    import speed
    from shared.speed import report as speed_report

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
        assert 0 < row["own_tables_bpp"] < 10 and row["nearest_bpp"] == pytest.approx(row["bpp"], rel=0.2)
    assert "Parts of the rate" in target.with_suffix(".md").read_text()


def held_out_folder(path: Path, count: int, side: int = 80) -> Path:
    """Pictures with names that training holds out, and one that it does not."""
    path.mkdir()
    names = [f"{n}.png" for n in range(2000) if zlib.crc32(f"{n}.png".encode()) % 40 == 0][:count]
    for seed, name in enumerate(names):
        Image.fromarray(picture(side, side - 4, seed)).save(path / name)
    Image.fromarray(picture(side, side - 4, 9)).save(path / "1.png")
    return path


@pytest.fixture
def good(folder) -> Path:
    (folder / "broken.png").unlink()
    return folder


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


# --- what hangs on weights


def test_held_out_parts_are_apart_and_the_same(tmp_path):
    from shared import held_out

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


def shifts(*percents: float) -> dict:
    from shared import judge

    return {n: judge.Change(p, 0.0, {}) for n, p in zip(judge.JUDGES, percents, strict=True)}


def test_weights_that_gain_by_one_measure_alone_are_refused():
    from shared import judge

    assert not judge.refusals("photographs", shifts(-5, -5, -5))
    assert not judge.refusals("photographs", shifts(-5, -5, 3)) and not judge.refusals(
        "photographs", shifts(0, 0.3, 0.4)
    )
    (reason,) = judge.refusals("graphics", shifts(-9, 2, 3))
    assert reason == "graphics, mean: files grow by Butteraugli +2.0 % and CVVDP +3.0 %; gained: SSIMULACRA2 −9.0 %"
    worst = {name: replace(c, mean=-1.0, worst=5.0) for name, c in shifts(-5, -5, -5).items()}
    assert "worst picture" in judge.refusals("photographs", worst)[0]


def test_colour_shifts_and_worse_posteriors_are_refused():
    from shared import judge

    shift = np.array([[0.1, -0.2, 0.3], [0.0, 0.0, -0.6], [0.4, 0.4, 0.4]])
    (reason,) = judge.shift_refusals(shift)
    assert reason.startswith("quality 50:") and "blue -0.60" in reason
    assert judge.posterior_refusals(0.1, 0.1) == [] == judge.posterior_refusals(None, 3.0)
    assert "+0.50 %" in judge.posterior_refusals(0.1, 0.5)[0] and judge.posterior_refusals(0.1, None)


def test_bits_back_is_set_against_rounding(tmp_path, tiny, tiny_bits_back):
    from shared import judge

    assert judge.bits_back_cost(results.Store(tmp_path / "a.json"), tiny, {}) is None
    store = results.Store(tmp_path / "b.json")
    cost = judge.bits_back_cost(store, tiny_bits_back, {"a": picture(128, 160)})
    assert -20 < cost < 50 and judge.bits_back_cost(store, tiny_bits_back, {"a": picture(128, 160)}) == cost


def test_mean_colours_of_a_shifting_codec(tmp_path):
    from shared import judge

    class Shifting(Steps):
        def compress(self, image, quality):
            return image.tobytes()

        def decompress(self, data):
            return np.frombuffer(data, np.uint8).reshape(30, 40, 3) + np.array([0, 1, 2], np.uint8)

    shift = judge.colour_shift(results.Store(tmp_path / "c.json"), Shifting(), {"a": picture(40, 30) // 2})
    assert shift == pytest.approx(np.array([[0, 1, 2]] * len(judge.SHIFT_QUALITIES)))


def test_change_is_against_the_shipped_weights():
    from shared import judge

    def curve(*factors: float) -> rd_curves.Curve:
        bpp, looks = np.array([0.1, 0.2, 0.4, 0.8, 1.6]), [20.0, 40.0, 60.0, 80.0, 92.0]
        images = {str(n): rd_curves.Curve(list(f * bpp), looks, [], looks) for n, f in enumerate(factors)}
        return rd_curves.Curve(list(np.mean(factors) * bpp), looks, [], looks, images=images)

    known = {"AVIF": curve(1, 1), "JPEG XL": curve(2, 2)}
    change = judge.change(known, curve(0.9, 1.1), curve(0.6, 1.2), "ssimulacra2")
    assert change.mean == pytest.approx(-10) and change.worst == pytest.approx(100 * (1.2 / 1.1 - 1))
    assert change.anchors == pytest.approx({"AVIF": -10, "JPEG XL": -55})


def test_anchors_stay_what_they_were(monkeypatch):
    """Another version of a library does not measure them again; half a measurement is refused."""
    from shared import judge

    image = {"a": picture(16, 16)}
    pytest.importorskip("pillow_jxl", reason="pillow-jxl-plugin is not installed")
    row = [1.0] * len(json.loads(json.dumps(measuring.COLUMNS)))
    store = results.Store(Path("nowhere.json"))
    codecs = judge.anchors(store, image)
    part = lambda codec: {"version": "old", "points": {f"{q:g}": {"a": row} for q in codec.qualities}}
    store.data["codecs"] = {codec.name: part(codec) for codec in codecs}
    assert {codec.version for codec in judge.anchors(store, image)} == {"old"}
    with pytest.raises(click.ClickException, match="half measured with old"):
        judge.anchors(store, image | {"b": picture(16, 16)})


@pytest.fixture
def releasing(tmp_path, monkeypatch):
    """A release into a temporary folder, and the steps that were done in it."""
    import release

    made, done = tmp_path / "repository", []
    (made / "results").mkdir(parents=True)
    monkeypatch.setattr(release, "RESULTS", made / "results")
    monkeypatch.setattr(release, "HELD_OUT", made / "held-out.json")

    def steps(job):
        def do(name: str):
            return lambda _: (done.append(name), (made / name).write_text(job.model_id))

        return [
            release.Step("check", do("check"), made / "check", quick=True),
            release.Step("all", do("all"), made / "all"),
        ]

    monkeypatch.setattr(release, "steps", steps)
    arguments = ("--data", tmp_path, "--kodak", tmp_path, "--folder", tmp_path / "build", "--against", TINY)
    return made, done, arguments


def test_release_does_each_step_once_for_a_model(releasing):
    from conftest import TINY_BITS_BACK

    made, done, arguments = releasing
    assert run("release", TINY, *arguments, "--quick").exit_code == 0 and done == ["check"]
    assert run("release", TINY, *arguments, "--list").exit_code == 0 and done == ["check"]
    assert run("release", TINY, *arguments).exit_code == 0 and done == ["check", "all"]
    (made / "all").unlink()  # what it made is gone
    assert run("release", TINY, *arguments).exit_code == 0 and done == ["check", "all", "all"]
    assert run("release", TINY_BITS_BACK, *arguments).exit_code == 0 and done[3:] == ["check", "all"]
    recorded = json.loads((made / "results" / "release.json").read_text())
    assert {step["model_id"] for step in recorded.values()} == {read_model_info(TINY_BITS_BACK).model_id.hex()}


def test_release_names_programs_that_there_are(tmp_path):
    import release

    where = (tmp_path, "light", "01234567", TINY, (tmp_path,), tmp_path, 1, tmp_path)
    steps = release.steps(release.Release(*where))
    for step in steps:
        if isinstance(step.work, list) and "benchmarks" in step.work[1]:
            program, arguments = Path(step.work[1]).stem, step.work[2:]
            options = run(program, *(arguments[:1] if program == "fit_baselines" else ()), "--help").output
            assert all(word in options for word in arguments if word.startswith("-")), step.name
    assert [step.name for step in steps if step.quick][:3] == ["held-out check", "map of qualities", "install"]
    assert steps[1].name == "posterior check" and not steps[1].quick


def test_release_stops_at_weights_that_are_refused(tmp_path, monkeypatch):
    import release
    from shared import judge

    data = held_out_folder(tmp_path / "data", 1, side=260)
    monkeypatch.setattr(release, "HELD_OUT", tmp_path / "held-out.json")
    monkeypatch.setattr(release, "RESULTS", tmp_path)
    monkeypatch.setattr(judge, "compare", lambda *_: {"photographs": shifts(-9, 2, 3)})
    arguments = ("--data", data, "--kodak", tmp_path, "--folder", tmp_path / "build", "--against", TINY, "--quick")
    result = run("release", TINY, *arguments)
    assert result.exit_code == 1 and "refused: photographs, mean: files grow by" in result.output
    assert "Refused" in next((tmp_path / "build").rglob("refused.md")).read_text()
    assert not (tmp_path / "release.json").exists()


def test_a_card_is_brought_up_to_date(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(TINY.read_bytes())
    columns = {"quality": [1.0, 50.0], "bpp": [0.1, 0.5], "psnr-rgb": [25.0, 33.0], "ms-ssim-rgb": [0.9, 0.98]}
    columns["ssimulacra2-rgb"] = [20.0, 71.0]
    evaluated = tmp_path / "e.json"
    evaluated.write_text(json.dumps({"description": read_model_info(TINY).fingerprint, "results": columns}))
    table = "| | |\n|---|---|\n| fingerprint | `old` |\n| data | ours |\n"
    (tmp_path / "m.md").write_text(f"# m\n\n{table}\nText.\n\n| quality | bpp |\n|---|\n| 1 |\n\nEnd.\n")
    for _ in range(2):  # the second changes nothing
        assert run("card", "m", evaluated, "--folder", tmp_path).exit_code == 0
        card = (tmp_path / "m.md").read_text()
        assert "`old`" not in card and read_model_info(TINY).fingerprint in card and "| data | ours |" in card
        assert card.count("| trained for | mse |") == 1 and "\n\nText.\n\n| quality | bpp | PSNR, dB |" in card
        assert "| 50 | 0.500 | 33.00 | 0.9800 | 71.0 |\n\nEnd.\n" in card
    (tmp_path / "m.md").unlink()
    assert run("card", "m", evaluated, "--folder", tmp_path).exit_code == 0
    assert (tmp_path / "m.md").read_text().startswith("# m\n\n| | |\n|---|---|\n| fingerprint |")
    evaluated.write_text(json.dumps({"description": "another", "results": columns}))
    assert "is not of the model" in run("card", "m", evaluated, "--folder", tmp_path).output


def test_a_card_has_the_rates_of_its_own_model():
    import card

    looks, bpp = [10.0, 30.0, 60.0, 88.0, 95.0], [0.1, 0.2, 0.4, 0.8, 1.6]
    means = lambda factor: {"bpp": [factor * rate for rate in bpp], "psnr_db": looks, "ssimulacra2": looks}
    versions = {"AVIF": "1", "vaecodec, factorised": "model id aa", "vaecodec": "model id aa"}
    data = {"codecs": {name: {"version": version} for name, version in versions.items()}}
    data["means"] = {"AVIF": means(1), "vaecodec, factorised": means(3), "vaecodec": means(0.6)}
    (text,) = card.kodak_fact("aa", data).values()
    assert text.startswith("PSNR −40.0 %, SSIMULACRA2 −40.0 % (BD-rate") and card.kodak_fact("bb", data) == {}


def test_the_picture_of_looks_is_drawn_from_results(tmp_path):
    results = BENCHMARKS / "results" / "kodak.json"
    assert run("looks_plot", results, "-o", tmp_path / "looks.png").exit_code == 0
    with Image.open(tmp_path / "looks.png") as drawn:
        assert min(drawn.size) > 500
    (tmp_path / "none.json").write_text('{"means": {}}')
    assert "fewer than two" in run("looks_plot", tmp_path / "none.json", "-o", tmp_path / "looks.png").output


def test_scaling_keeps_runs_and_models(tmp_path):
    stored, target = read_model_info(TINY), tmp_path / "scaling"
    log, kodak = tmp_path / "log.jsonl", tmp_path / "kodak.json"
    checks = [{"crops": crops, "validation": {"loss": [10 / crops, 20 / crops]}} for crops in (10, 20)]
    log.write_text("\n".join(map(json.dumps, [{"loss": 1.0}, *checks])) + "\n")
    published, _ = rd_curves.published_curves()
    means = {"bpp": [2 * rate for rate in published["VTM 18.0"].bpp], "psnr-rgb": published["VTM 18.0"].psnr_db}
    kodak.write_text(json.dumps({"description": f"model tiny {stored.fingerprint}", "results": means}))
    assert "no run yet" in run("scaling", "-o", target).output
    assert run("scaling", "-o", target, "--run", "a", log).exit_code == 0
    result = run("scaling", "-o", target, "--run", "b", log, "--after", "a", "--model", TINY, kodak, "--crops", "40")
    assert result.exit_code == 0, result.output
    assert "| b | 30 to 40 | 100.0 | 50.0 |" in result.output
    assert f"tiny {stored.fingerprint[:8]}" in result.output and "| +100.0 % |" in result.output
    assert run("scaling", "-o", target).output == result.output
    assert target.with_suffix(".png").exists()
    kodak.write_text(json.dumps({"description": "model of others", "results": means}))
    assert "not of the model" in run("scaling", "-o", target, "--model", TINY, kodak, "--crops", "40").output
    assert "there is no run 'c'" in run("scaling", "-o", target, "--run", "b", log, "--after", "c").output


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


def test_published_check_reports_steps(good, tmp_path, monkeypatch):
    import published_check

    few = {name: steps for name, steps in published_check.ladders().items() if name in ("JPEG", "WebP")}
    monkeypatch.setattr(published_check, "ladders", lambda: few)
    result = run("published_check", good, "-o", tmp_path / "p")
    assert result.exit_code == 0, result.output
    steps = json.loads((tmp_path / "p.json").read_text())["results"]["JPEG"]
    assert steps[0]["against_first_percent"] == pytest.approx(0, abs=1e-6)
    assert steps[1]["against_first_percent"] < -0.5  # optimised tables make the same picture smaller


def test_readme_has_what_the_committed_results_say():
    """Rows of the README's table of results are those that rate_distortion.py would write from its stored points."""
    from vaecodec.format.catalog import TUNES, read_model_info

    root = BENCHMARKS.parent
    ids = {t: read_model_info(root / "pretrained" / f"{name}.safetensors").model_id.hex() for t, name in TUNES.items()}
    data = json.loads((BENCHMARKS / "results" / "kodak.json").read_text())
    for codec, tune in (("vaecodec", "looks"), ("vaecodec, tune=psnr", "psnr")):
        assert data["codecs"][codec]["version"] == f"model id {ids[tune]}"
    ablations = json.loads((BENCHMARKS / "results" / "ablations.json").read_text())
    assert ablations["measured"]["model_id"] == ids["psnr"]
    quality_map = json.loads((BENCHMARKS / "results" / "quality-map.json").read_text())["quality_map"]
    assert quality_map["model_id"] == ids["looks"]
    published, _ = rd_curves.published_curves()
    curves = {name: rd_curves.Curve(**means) for name, means in data["means"].items()}
    results = (BENCHMARKS / "results" / "kodak.md").read_text()
    assert rd_tables.short_table(published["VTM 18.0"], curves, published) in results
    table = rd_tables.looks_table(curves["AVIF"], curves)
    assert table in results
    readme = (root / "README.md").read_text()
    section = readme[readme.index("## Results") : readme.index("## Use")]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 7
    assert all(row in table for row in rows), "a row is not in the results"


def test_the_card_for_looks_has_what_was_measured():
    """Means of the stored points, and the BD-rates that kodak.md says."""
    data = json.loads((BENCHMARKS / "results" / "kodak.json").read_text())
    card = (BENCHMARKS.parent / "pretrained" / "light.md").read_text()
    for quality, points in data["codecs"]["vaecodec"]["points"].items():
        row = dict(zip(data["columns"], np.mean(list(points.values()), axis=0), strict=True))
        means = f"{row['psnr_db']:.2f} | {row['ssimulacra2']:.1f} | {row['butteraugli']:.2f} | {row['cvvdp']:.2f}"
        assert f"| {quality} | {8 * row['bytes'] / (768 * 512):.3f} | {means} |" in card
    (ours,) = (line for line in card.splitlines() if "BD-rate against AVIF" in line)
    table = (BENCHMARKS / "results" / "kodak.md").read_text()
    said = [part.strip() for part in table[table.index("| **vaecodec** |") :].split("|")[2:5]]
    for measure, value in zip(("SSIMULACRA2", "Butteraugli", "CVVDP"), said, strict=True):
        assert f"{measure} {value}" in ours


def test_docs_have_the_steps_that_were_measured():
    results = (BENCHMARKS / "results" / "published_check.md").read_text()
    docs = (BENCHMARKS.parent / "docs" / "benchmarks.md").read_text()
    rows = [line for line in docs[docs.index("## Against published") :].splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    assert all(row in results for row in rows)


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
    from shared.equal_size import crop_at

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


def entries() -> list[Entry]:
    return [Entry("Original", "as it is", picture(60, 40)), Entry("</script><b>", "worse", picture(60, 40, 2))]


def test_sheet_shows_pictures_unscaled():
    drawn = np.asarray(sheet(entries(), crop=1000))
    image = picture(60, 40)
    assert any(np.array_equal(drawn[y : y + 40, 8:68], image) for y in range(drawn.shape[0] - 40))


def test_names_cannot_break_the_page():
    text = page(entries(), "a <b> & c")
    assert text.count("</script>") == 1 and "a &lt;b&gt; &amp; c" in text


@pytest.fixture
def shown(browser, tmp_path):
    """Opens a page of an original of all 200 and another picture of all 190, in a window of some width."""

    def show(width: int, side: int = 240) -> None:
        pair = [Entry(name, "", np.full((90, side, 3), v, np.uint8)) for name, v in (("Original", 200), ("other", 190))]
        (tmp_path / "page.html").write_text(page(pair, "A test"), encoding="utf-8")
        browser.open((tmp_path / "page.html").as_uri(), width, 600)

    return show


def shares(pixels: np.ndarray) -> tuple[float, float]:
    """Of the original and of the other picture."""
    return (pixels == 200).all(2).mean(), (pixels == 190).all(2).mean()


def test_page_moves_its_divider_in_a_browser(browser, shown):
    shown(800)
    assert browser.evaluate("document.querySelector('h1').textContent") == "A test"
    assert shares(browser.pixels("#stage")) == pytest.approx((0.5, 0.5), abs=0.03)
    browser.set("#at", "20")
    assert shares(browser.pixels("#stage")) == pytest.approx((0.2, 0.8), abs=0.03)
    left, top, right, bottom = browser.box("#stage")
    middle = (top + bottom) / 2
    browser.drag((left + 5, middle), (left + 0.7 * (right - left), middle))
    assert shares(browser.pixels("#stage")) == pytest.approx((0.7, 0.3), abs=0.03)
    assert float(browser.evaluate("document.querySelector('#at').value")) == pytest.approx(70, abs=1)
    browser.set("#b", "0")  # the original on both sides
    assert shares(browser.pixels("#stage")) == pytest.approx((1, 0), abs=0.03)


def test_page_shows_differences_in_a_browser(browser, shown):
    shown(800)
    browser.set("#diff", True)
    assert (browser.pixels("#stage") == 80).all(2).mean() == pytest.approx(1, abs=0.03)  # eight times 200 - 190
    browser.set("#b", "0")
    assert (browser.pixels("#stage") == 0).all(2).mean() == pytest.approx(1, abs=0.03)
    browser.set("#diff", False)
    assert shares(browser.pixels("#stage"))[0] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("width", [400, 1200])
def test_page_fits_its_window(browser, shown, width):
    shown(width, side=900)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("h1", "#a", "#b", "#at", "#zoom", "#diff"):
        left, _, right, _ = browser.box(name)
        assert 0 <= left < right <= width, name


def test_page_loads_nothing(browser, shown):
    shown(800)
    names = browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(name.startswith("data:") for name in names), names
