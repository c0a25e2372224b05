"""Documents say what the committed results say, and those are of the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bench_support import BENCHMARKS, run, usable_picture
from shared.rates import curves as rd_curves
from shared.rates import tables as rd_tables
from support import ROOT

from vaecodec.format.catalog import TUNES, read_model_info


@pytest.fixture
def good(tmp_path) -> Path:
    return usable_picture(tmp_path / "pictures")


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
    root = ROOT
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
    card = (ROOT / "pretrained" / "light.md").read_text()
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
    docs = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = [line for line in docs[docs.index("## Against published") :].splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    assert all(row in results for row in rows)
