"""A release does each step once for its weights; cards and pictures are made of what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_support import BENCHMARKS, held_out_folder, run, shifts
from conftest import TINY, TINY_BITS_BACK
from PIL import Image
from shared import judge
from shared.rates import curves as rd_curves

from vaecodec.format.catalog import read_model_info


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


@pytest.mark.slow
def test_release_stops_at_weights_that_are_refused(tmp_path, monkeypatch):
    import release

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


@pytest.mark.slow
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
