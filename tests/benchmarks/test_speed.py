"""Programs that measure time: speed.py and folders.py."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np
import pytest
from bench_support import run, usable_picture
from conftest import TINY, picture
from PIL import Image
from shared import pictures
from shared.places import PHOTO
from shared.speed import cold_starts, measuring, processes, session, sizes, small_pictures, stages, versions
from shared.speed import report as speed_report

from vaecodec.cli import workers

ONCE = measuring.Turns(1, 1, 60)
TINY_ONLY = sizes.Subject("tiny", {"model": str(TINY)}, (0, 2))


def photograph(width: int, height: int, number: int = 0) -> np.ndarray:
    """A part of the photograph in the repository; what `picture` makes would be held without loss."""
    left, top = 9 * number, 5 * number
    return np.asarray(Image.open(PHOTO).convert("RGB"))[top : top + height, left : left + width]


@pytest.fixture
def good(tmp_path) -> Path:
    return usable_picture(tmp_path / "pictures")


def test_turns_are_taken_in_turn_and_the_first_warms_up():
    calls = []

    def says(name: str, seconds: list[float]) -> measuring.Run:
        def call() -> dict:
            calls.append(name)
            return {"seconds": seconds[calls.count(name) - 1]} | ({"peak_mb": 5} if calls.count(name) == 1 else {})

        return call

    def fails() -> dict:
        calls.append("c")
        raise measuring.Failed("no")

    runs = {"a": says("a", [9, 1, 3, 2]), "b": says("b", [4] * 4), "c": fails}
    found = measuring.Turns(3, 2, 60).take(runs)
    assert "".join(calls) == "abcababab"
    assert found["a"] == {"seconds": 2, "turns": 3, "peak_mb": 5, "spread": 1.667} and found["c"] == {"failed": "no"}
    calls.clear()
    assert measuring.Turns(3, 1, 0).take({"a": says("a", [9, 1, 3, 2])})["a"]["seconds"] == 9  # no time for another


def test_ratios_of_what_was_disturbed_are_marked():
    quiet, disturbed = {"seconds": 2.0, "spread": 1.1}, {"seconds": 4.0, "spread": 3.0}
    assert measuring.ratio(disturbed, quiet) == "2.00?" and measuring.ratio(quiet, {"seconds": 0.1}) == "20.0"
    assert measuring.ratio(quiet, {"failed": "no"}) == measuring.ratio(None, quiet) == "–"


def test_a_large_picture_is_measured_at_the_default_effort():
    assert TINY_ONLY.at("100").efforts == (2,) and TINY_ONLY.at("12").efforts == (0, 2)
    assert sizes.Subject("JPEG XL", {}).at("100").encodes == {"encode": None}


def test_sizes_are_made_of_a_picture():
    large = pictures.resized(picture(50, 40), 0.1)
    assert large.shape[0] * large.shape[1] == pytest.approx(1e5, rel=0.02)
    assert (pictures.continued(picture(50, 40), 80, 30)[40:] == picture(50, 40)[::-1, :30]).all()


def test_stages_within_one_another_are_counted_once():
    clock = stages.Clock()
    with clock.stage("outer"):
        with clock.stage("inner"), clock.stage("innermost"):
            time.sleep(0.02)
        time.sleep(0.01)
    assert clock.seconds["innermost"] >= 0.02 > clock.seconds["outer"] >= 0.01 > clock.seconds["inner"]


@pytest.mark.slow
def test_all_stages_are_seen():
    from vaecodec.codec.codec import Codec

    codec = Codec("light")
    with stages.watched() as clock:
        codec.decompress(codec.compress(picture(64, 64), graphics=False))
    assert set(clock.seconds) == set(stages.HOOKS) and min(clock.seconds.values()) > 0


@pytest.mark.slow
def test_a_worker_says_what_fails_and_which_package_it_has(tmp_path):
    with TINY_ONLY.worker(1, 60) as worker:
        with pytest.raises(measuring.Failed, match="FileNotFoundError"):
            worker.ask("decompress", data=str(tmp_path / "none"))
        with pytest.raises(measuring.Failed, match="AttributeError"):
            worker.ask("sing")
    with pytest.raises(measuring.Failed, match="ended with code"):
        worker.ask("decompress", data="")
    with pytest.raises(measuring.Failed, match=r"should have the package|No module named"):
        TINY_ONLY.worker(1, 60, tmp_path)  # there is no package
    with pytest.raises(measuring.Failed, match="ModelError"):
        sizes.Subject("none", {"model": "none"}).worker(1, 60)
    with pytest.raises(measuring.Failed, match=r"took more than 0\.01 s"):
        TINY_ONLY.worker(1, 0.01)
    assert processes.in_a_process(60, sum, ()) == 0
    assert processes.in_a_process(60, int, "x")["failed"].startswith("ValueError")


@pytest.mark.slow
def test_versions_are_set_side_by_side(tmp_path):
    """The version before is a copy of this one, but for what its decoder shows."""
    import shutil

    root = tmp_path / "before"
    shutil.copytree(processes.package_root() / "vaecodec", root / "vaecodec")
    transforms = root / "vaecodec" / "codec" / "transforms.py"
    transforms.write_text(transforms.read_text().replace(".add_(0.5).mul_(255)", ".add_(0.52).mul_(255)"))
    found = versions.measure(TINY_ONLY, 50, photograph(96, 64), root, tmp_path, 1, ONCE, 60)
    assert set(found["runs"]) == {"encode -e 0", "encode -e 2", "decode"}
    assert all(runs[version]["seconds"] > 0 for runs in found["runs"].values() for version in runs)
    assert found["files"]["encode -e 0"] == {"same": True, "larger": 0}
    assert 4 <= found["pixels"]["before"] <= 6
    data = {"machine": "", "threads": 1, "image": "a", "bpp": 1, "models": {"tiny": "0123"}, "others": {}}
    text = speed_report.report(data | {"against": {"commit": "f00", "models": {"tiny": {"0.1": found}}}})
    assert "| tiny | 0.1 | same bytes |" in text
    with pytest.raises(click.ClickException, match="git rev-parse"):
        versions.full_name("no-such-commit")


@pytest.mark.slow
def test_speed_runs_and_goes_on(tmp_path, monkeypatch):
    import speed

    image, target = tmp_path / "a.png", tmp_path / "speed"
    Image.fromarray(photograph(200, 150)).save(image)
    target.with_suffix(".json").write_text('{"machine": "another", "codecs": {"1": {}}}')
    monkeypatch.setattr(workers, "cores", lambda: 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(speed, "QUICK", session.Plan([], [], ONCE, 2, 1))
    monkeypatch.setattr(session, "FITTED_MPX", 0.01)
    monkeypatch.setattr(speed, "STAGES_MPX", 0.01)
    monkeypatch.setattr(cold_starts, "cold_starts", lambda *_: {"failed": "too cold"})
    arguments = [image, "-o", target, "-m", TINY, "--quick", "--sizes", "0.01", "--codecs", "JPEG 4:4:4,WebP"]
    result = run("speed", *arguments)
    assert result.exit_code == 1 and "failed: cold tiny: too cold" in result.stderr
    assert "left out: against: no commit" in result.stderr and "left out: plug-in: no folder" in result.stderr
    data = json.loads(target.with_suffix(".json").read_text())
    of_size = data["codecs"]["1"]["0.01"]
    assert set(of_size["tiny"]) == {"encode -e 0", "encode -e 1", "encode -e 2", "decode"}
    assert all(row["seconds"] > 0 and row["peak_mb"] > 10 for runs in of_size.values() for row in runs.values())
    assert {"encode -e 0", "decode"} < set(data["stages"]["tiny"]["stages"])
    assert data["small"]["tiny"]["encode"]["many"]["seconds"] > 0
    for heading in ("Against other codecs", "Peak memory", "Pictures of 256x256", "Where the time goes", "How near"):
        assert f"### {heading}" in result.stdout
    assert "| 0.01 | JPEG 4:4:4 |" in result.stdout and target.with_suffix(".png").exists()
    monkeypatch.setattr(speed, "in_a_process", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(sizes.Subject, "worker", lambda *_: pytest.fail("measured again"))
    assert run("speed", *arguments, "--only", "stages,small,codecs").exit_code == 1  # the same has failed
    assert "no part" in run("speed", image, "--only", "all").output


@pytest.mark.slow
def test_plug_ins_are_set_side_by_side(tmp_path):
    pytest.importorskip("pillow_jxl", reason="pillow-jxl-plugin is not installed (extra bench)")
    from shared.speed import plugin

    for number in plugin.NUMBERS:
        Image.fromarray(photograph(96, 64, number)).save(tmp_path / f"kodim{number:02}.png")
    assert plugin.four_of(tmp_path).shape == (128, 192, 3)
    found = plugin.measure(tmp_path, ["light"], ONCE)
    assert found["runs"]["decode"]["light"]["seconds"] > 0 and found["kmac_per_pixel"]["light"]["decoder"] > 1
    data = {"machine": "", "threads": 1, "image": "a", "bpp": 1, "models": {}, "others": {}, "plug-in": found}
    assert "| JPEG XL | " in speed_report.report(data)


@pytest.mark.slow
def test_cold_starts_are_set_against_torch_and_decoding():
    seconds = cold_starts.cold_starts(str(TINY), picture(64, 48), repeats=1)
    assert 0 < seconds[cold_starts.DECODE] < seconds[cold_starts.DECOMPRESS]
    data = {"machine": "", "threads": 1, "image": "a", "bpp": 1, "models": {}, "others": {}}
    text = speed_report.report(data | {"cold": {"tiny": seconds}})
    assert "times as long as importing torch and decoding together" in text
    with pytest.raises(measuring.Failed, match="vaecodec compress: "):
        cold_starts.cold_starts("no-such-model", picture(64, 48), repeats=1)


@pytest.mark.slow
def test_small_pictures_are_parts_of_the_one():
    found = small_pictures.measure(str(TINY), picture(90, 60), 2, ONCE)
    assert found["pictures"] == 4 and all(found[name]["many"]["seconds"] > 0 for name in ("encode", "decode"))


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
