"""Which weights are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from bench_support import Steps, shifts
from conftest import picture
from shared import judge, results
from shared.rates import curves as rd_curves
from shared.rates import measuring


def test_weights_that_gain_by_one_measure_alone_are_refused():
    assert not judge.refusals("photographs", shifts(-5, -5, -5))
    assert not judge.refusals("photographs", shifts(-5, -5, 3)) and not judge.refusals(
        "photographs", shifts(0, 0.3, 0.4)
    )
    (reason,) = judge.refusals("graphics", shifts(-9, 2, 3))
    assert reason == "graphics, mean: files grow by Butteraugli +2.0 % and CVVDP +3.0 %; gained: SSIMULACRA2 −9.0 %"
    worst = {name: replace(c, mean=-1.0, worst=5.0) for name, c in shifts(-5, -5, -5).items()}
    assert "worst picture" in judge.refusals("photographs", worst)[0]


def test_colour_shifts_and_worse_posteriors_are_refused():
    shift = np.array([[0.1, -0.2, 0.3], [0.0, 0.0, -0.6], [0.4, 0.4, 0.4]])
    (reason,) = judge.shift_refusals(shift)
    assert reason.startswith("quality 50:") and "blue -0.60" in reason
    assert judge.posterior_refusals(0.1, 0.1) == [] == judge.posterior_refusals(None, 3.0)
    assert "+0.50 %" in judge.posterior_refusals(0.1, 0.5)[0] and judge.posterior_refusals(0.1, None)


def test_bits_back_is_set_against_rounding(tmp_path, tiny, tiny_bits_back):
    assert judge.bits_back_cost(results.Store(tmp_path / "a.json"), tiny, {}) is None
    store = results.Store(tmp_path / "b.json")
    cost = judge.bits_back_cost(store, tiny_bits_back, {"a": picture(128, 160)})
    assert -20 < cost < 50 and judge.bits_back_cost(store, tiny_bits_back, {"a": picture(128, 160)}) == cost


def test_mean_colours_of_a_shifting_codec(tmp_path):
    class Shifting(Steps):
        def compress(self, image, quality):
            return image.tobytes()

        def decompress(self, data):
            return np.frombuffer(data, np.uint8).reshape(30, 40, 3) + np.array([0, 1, 2], np.uint8)

    shift = judge.colour_shift(results.Store(tmp_path / "c.json"), Shifting(), {"a": picture(40, 30) // 2})
    assert shift == pytest.approx(np.array([[0, 1, 2]] * len(judge.SHIFT_QUALITIES)))


def test_change_is_against_the_shipped_weights():
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
