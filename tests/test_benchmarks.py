"""The benchmark programs: what they measure, what they leave out, and that they go on where they stopped."""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

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

import common  # noqa: E402
import rd_tables  # noqa: E402

from vaecodec import metrics  # noqa: E402
from vaecodec.baselines.classic import PillowCodec  # noqa: E402
from vaecodec.catalog import read_model_info  # noqa: E402
from vaecodec.compare import Entry, sheet, to_size  # noqa: E402
from vaecodec.compare_page import page  # noqa: E402
from vaecodec.errors import TargetError  # noqa: E402

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
    assert metrics.ssimulacra2(image, image) == pytest.approx(100, abs=0.01)
    assert metrics.ssimulacra2(image, noisy) < 90


# --- tables


def test_bd_rate_of_a_known_shift():
    bpp, db = [0.1, 0.2, 0.4, 0.8, 1.6], [26.0, 29.0, 32.0, 35.0, 38.0]
    result = rd_tables.bd_rate(rd_tables.Curve(bpp, db), rd_tables.Curve([1.1 * b for b in bpp], db), "psnr_db")
    assert result == pytest.approx((10.0, 26.0, 38.0))
    apart = rd_tables.Curve(bpp, [value + 20 for value in db])
    assert rd_tables.bd_rate(rd_tables.Curve(bpp, db), apart, "psnr_db") is None


def test_ahead_at_every_rate_or_not():
    db = [26.0, 29.0, 32.0, 35.0]
    curves = {
        "vaecodec": rd_tables.Curve([0.1, 0.2, 0.4, 0.8], db),
        "PCA 16x16": rd_tables.Curve([0.2, 0.3, 0.5, 0.9], db),
        "Autoencoder": rd_tables.Curve([0.2, 0.3, 0.4, 0.7], db),
    }
    text = rd_tables.baseline_table(curves)
    assert "| vaecodec | PCA 16x16 | −50.0 % | −11.1 % | yes | 26.0 to 35.0 |" in text
    assert "| vaecodec | Autoencoder | −50.0 % | +14.3 % | no | 26.0 to 35.0 |" in text


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
    assert {of for of, _ in checks.values()} == {"JPEG 4:2:0", "WebP", "AVIF, tune=psnr"}
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
        assert 0 < row["own_tables_bpp"] < 10 and row["nearest_bpp"] == pytest.approx(row["bpp"], rel=0.2)
    assert "Parts of the rate" in target.with_suffix(".md").read_text()


def held_out_folder(path: Path, count: int) -> Path:
    """Pictures with names that training holds out, and one that it does not."""
    path.mkdir()
    names = [f"{n}.png" for n in range(2000) if zlib.crc32(f"{n}.png".encode()) % 40 == 0][:count]
    for seed, name in enumerate(names):
        Image.fromarray(picture(80, 64, seed)).save(path / name)
    Image.fromarray(picture(80, 64, 9)).save(path / "1.png")
    return path


@pytest.fixture
def good(folder) -> Path:
    (folder / "broken.png").unlink()
    return folder


@pytest.mark.parametrize("program", ["honesty", "knob"])
def test_programs_of_pictures_measure_once(good, tmp_path, program, monkeypatch):
    target = tmp_path / program
    arguments = (good, "-o", target, "-m", TINY, "--qualities", "10,50,90")
    assert run(program, *arguments).exit_code == 0
    data = json.loads(target.with_suffix(".json").read_text())["measured"]
    rows = [row for point in data["points"].values() for row in point.values()]
    assert list(data["points"]) == ["10", "50", "90"] and len(rows) == 3
    size = "file_bits" if program == "honesty" else "bytes"
    assert [row[size] for row in rows] == sorted(row[size] for row in rows)
    with Image.open(target.with_suffix(".png")) as drawn:
        assert min(drawn.size) > 300
    monkeypatch.setattr(f"{program}.measure", lambda *_: pytest.fail("measured again"))
    assert run(program, *arguments).exit_code == 0


def test_honesty_fails_for_files_that_are_too_large(good, tmp_path, monkeypatch):
    row = {"file_bits": 20000, "payload_bits": 19000, "bound_bits": 10000.0}
    monkeypatch.setattr("honesty.measure", lambda *_: row)
    result = run("honesty", good, "-o", tmp_path / "h", "-m", TINY, "--qualities", "50")
    assert result.exit_code == 1 and "beyond the allowance: good.png, quality 50" in result.output
    assert "Within it: 0 of 1" in result.output


def test_surrogate_on_held_out_pictures(tmp_path):
    data = held_out_folder(tmp_path / "data", 3)
    result = run("surrogate", "--data", data, "-o", tmp_path / "s", "-m", TINY, "--crop", 64, "--shares", "0.2,0.8")
    assert result.exit_code == 0, result.output
    stored = json.loads((tmp_path / "s.json").read_text())
    assert len(stored["measured"]["points"]["0.2"]) == 3  # and not the fourth, which training sees
    for row in stored["means"].values():
        assert row["noise"][0] > 0 and row["nearest"][0] >= row["chosen"][0] > 0
        assert all(objective > bpp for bpp, objective in row.values())


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


def test_scaling_keeps_runs_and_models(tmp_path):
    stored, target = read_model_info(TINY), tmp_path / "scaling"
    log, kodak = tmp_path / "log.jsonl", tmp_path / "kodak.json"
    checks = [{"crops": crops, "validation": {"loss": [10 / crops, 20 / crops]}} for crops in (10, 20)]
    log.write_text("\n".join(map(json.dumps, [{"loss": 1.0}, *checks])) + "\n")
    published, _ = rd_tables.published_curves()
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
    from vaecodec.catalog import TUNES, read_model_info

    root = BENCHMARKS.parent
    shipped = read_model_info(root / "pretrained" / f"{TUNES['psnr']}.safetensors").fingerprint[:8]
    data = json.loads((BENCHMARKS / "results" / "kodak.json").read_text())
    assert data["codecs"]["vaecodec"]["version"] == f"model id {shipped}"
    ablations = json.loads((BENCHMARKS / "results" / "ablations.json").read_text())
    assert ablations["measured"]["model_id"] == shipped
    published, _ = rd_tables.published_curves()
    curves = {name: rd_tables.Curve(**means) for name, means in data["means"].items()}
    table = rd_tables.short_table(published["VTM 18.0"], curves, published)
    assert table in (BENCHMARKS / "results" / "kodak.md").read_text()
    readme = (root / "README.md").read_text()
    section = readme[readme.index("## Results") : readme.index("## Use")]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("|") and "%" in line]
    assert len(rows) > 5
    for name, rate in rows:
        label = name.split(",")[0].strip() if "**" in name else name.strip()
        assert f"| {label} |{rate}|" in table, f"{name.strip()}: {rate.strip()} is not in the results"


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


def test_visual_writes_a_page_and_a_sheet_and_goes_on(tmp_path, monkeypatch):
    image = tmp_path / "a.png"
    Image.fromarray(picture(176, 164)).save(image)
    arguments = (image, "--bpp", 0.8, "-m", TINY, "--codecs", "vaecodec,WebP", "-o", tmp_path)
    result = run("visual", *arguments)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "visual-a.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "") and "@" + "ENTRIES@" not in text
    with Image.open(tmp_path / "visual-a.png") as drawn:
        assert drawn.width > 3 * 176
    done = json.loads((tmp_path / "visual-a.json").read_text())["results"]
    assert set(done["codecs"]) == {"vaecodec", "WebP"}
    first, tries = (tmp_path / "visual-a.png").read_bytes(), []
    compress = PillowCodec.compress
    monkeypatch.setattr(PillowCodec, "compress", lambda *args: (tries.append(args[-1]), compress(*args))[1])
    assert run("visual", *arguments).exit_code == 0
    assert len(tries) == 1 and (tmp_path / "visual-a.png").read_bytes() == first  # nothing is searched for again


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
