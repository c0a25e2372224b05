"""What documents say is what the repository holds: models have cards, and figures are those of the results."""

from __future__ import annotations

import json
import re

import pytest
from support import ROOT


def _shipped() -> dict[str, str]:
    from vaecodec.format.catalog import read_model_info

    return {p.stem: read_model_info(p).fingerprint for p in (ROOT / "pretrained").glob("*.safetensors")}


@pytest.mark.parametrize("tune", ["looks", "psnr"])
def test_a_model_for_each_tune_is_shipped_and_has_a_card(tune: str) -> None:
    from vaecodec.format.catalog import TUNES

    assert _shipped()[TUNES[tune]] in (ROOT / "pretrained" / f"{TUNES[tune]}.md").read_text()


def test_the_wheel_stays_small() -> None:
    assert sum(p.stat().st_size for p in (ROOT / "pretrained").rglob("*")) < 64e6


def test_committed_results_are_of_the_shipped_model_and_in_the_card_and_readme() -> None:
    """A number that a document names is the one in the results that the commands beside it wrote."""
    from vaecodec.format.catalog import TUNES
    from vaecodec.pictures import metrics

    model = TUNES["psnr"]
    results = json.loads((ROOT / "benchmarks" / "results" / "kodak-evaluate.json").read_text())
    assert _shipped()[model] in results["description"]
    card = (ROOT / "pretrained" / f"{model}.md").read_text()
    means = results["results"]
    for row in zip(means["quality"], means["bpp"], means["psnr-rgb"], means["ms-ssim-rgb"], strict=True):
        assert "| {:g} | {:.3f} | {:.2f} | {:.4f} |".format(*row) in card
    published = json.loads((ROOT / "benchmarks" / "published.json").read_text())
    vtm = published["curves"]["VTM 18.0"]
    rate = metrics.bd_rate_percent(vtm["bpp"], vtm["psnr_db"], means["bpp"], means["psnr-rgb"])
    readme = (ROOT / "README.md").read_text()
    said = re.search(r"`--tune psnr`: by PSNR its files are (\d+\.\d) % larger than those of H.266", readme)
    assert said, "the README says how far the model for PSNR is from H.266"
    assert float(said[1]) == pytest.approx(rate, abs=0.06)
    assert f"+{said[1]} %" in card
