"""Curves of rate and distortion, their BD-rates and tables, and published ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bench_support import Steps
from shared.rates import curves as rd_curves
from shared.rates import tables as rd_tables

from vaecodec.pictures import metrics


def test_rows_of_before_new_measures_are_read(tmp_path):
    """A stored row without the newest columns is one whose measures are missing."""
    codec = Steps()
    codec.qualities = (10, 20, 30)
    points = {f"{q}": {"a.png": [10 * q, 20.0 + q, 0.9, 2.0 * q, 0.1, 0.1]} for q in codec.qualities}
    columns = ["bytes", "psnr_db", "ms_ssim", "ssimulacra2", "encode_s", "decode_s"]
    data = {"images": {"a.png": "0-40x30"}, "columns": columns, "codecs": {"steps": {"points": points}}}
    curve = rd_curves.measured_curves(data, [codec], ["a.png"])["steps"]
    assert curve.ssimulacra2 == [20.0, 40.0, 60.0] and curve.butteraugli == [] == curve.cvvdp


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
