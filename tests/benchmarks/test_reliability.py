"""The programs behind docs/reliability.md and docs/scale.md: that they see what they are there to see."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import exactness
import numpy as np
import pytest
import soak
from click.testing import CliRunner
from conftest import TINY, TINY_BITS_BACK, picture
from PIL import Image

from vaecodec.codec.codec import Codec
from vaecodec.format.container import unpack


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_soak_finds_nothing_wrong(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(soak, "ROUND", 16)
    models = ["-m", TINY, "-m", TINY_BITS_BACK]
    arguments = [
        "--minutes",
        0.01,
        "--threads",
        2,
        "--largest",
        60,
        "-e",
        0,
        "-e",
        2,
        *models,
        "--json",
        tmp_path / "a.json",
    ]
    result = CliRunner().invoke(soak.main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "a.json").read_text())
    assert figures["pictures"] >= soak.ROUND
    assert (figures["mismatches"], figures["what"]) == (0, {})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sixteenths": lambda y: y + 1}, "other latents"),
        ({"z": lambda z: z + 1}, "other latents"),
    ],
)
def test_a_soak_notices_other_latents(monkeypatch, change: dict, says: str) -> None:
    codec = Codec(TINY)
    right = codec.decode
    wrong = lambda file: replace(decoded := right(file), **{k: f(getattr(decoded, k)) for k, f in change.items()})
    image = Image.fromarray(picture(30, 20))
    assert soak.there_and_back(codec, image, 50.0, 0) is None
    monkeypatch.setattr(codec, "decode", wrong)
    assert soak.there_and_back(codec, image, 50.0, 0) == says


def test_a_batch_decodes_to_the_symbols_of_each_file(tiny) -> None:
    files = [unpack(tiny.compress(picture(50, 70, seed), quality=60)) for seed in range(3)]
    expected = [file.header.symbols_crc for file in files]
    assert len(set(expected)) == 3
    assert exactness.decode_batch(tiny, files) == expected
    assert exactness.decode_batch(tiny, files[1:2]) == expected[1:2]


def test_the_table_of_exactness_counts_what_differs() -> None:
    rows = [{"by": "SSE4.1", "threads": 1, "runs": 4, "same": 3, "crc": "0011, 2233"}]
    text = exactness.report({"rows": rows, "gpu": False})
    assert "| SSE4.1 | 1 | 4 | 3 | `0011, 2233` |" in text
    assert "there was none" in text


def test_rates_between_measured_points_and_no_others() -> None:
    import click

    scale = pytest.importorskip("scale", reason="needs the extra bench")
    rates = {"means": {"x": {"psnr_db": [30.0, 32.0], "bpp": [0.25, 1.0]}}}
    assert scale.rate_at(rates, "x", 31.0) == pytest.approx(0.5)
    assert np.isclose(scale.rate_at(rates, "x", 32.0), 1.0)
    with pytest.raises(click.UsageError, match="30"):
        scale.rate_at(rates, "x", 29.0)
