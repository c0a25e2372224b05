"""Transforms in bfloat16: the same symbols, and pixels that are as good."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data as photographs

from vaecodec.codec.codec import Codec
from vaecodec.format.container import unpack
from vaecodec.networks import precision
from vaecodec.pictures.metrics import psnr_db

LARGEST, MEAN = 3, 0.3
"""Of differences between pixels, of 255."""


@pytest.fixture(scope="module", params=["light", "light-psnr"])
def pair(request) -> tuple[Codec, Codec]:
    """A shipped model in both precisions."""
    return Codec(request.param, precision="float32"), Codec(request.param, precision="bfloat16")


def close(a: np.ndarray, b: np.ndarray) -> bool:
    difference = np.abs(a.astype(int) - b)
    return difference.max() <= LARGEST and difference.mean() <= MEAN


@pytest.mark.slow
@pytest.mark.parametrize(("quality", "most_db"), [(10, 0.05), (50, 0.01), (100, 0.05)])
def test_pixels_are_close_and_as_good(pair, quality: float, most_db: float) -> None:
    plain, fast = pair
    rgb = np.ascontiguousarray(photographs.astronaut()[:144, 100:308])
    data = plain.compress(rgb, quality=quality, effort=0, graphics=False)
    assert torch.equal(fast.decode(unpack(data)).sixteenths, plain.decode(unpack(data)).sixteenths)
    expected, made = (np.asarray(codec.decompress(data)) for codec in pair)
    assert close(made, expected)
    assert psnr_db(rgb, made) > psnr_db(rgb, expected) - most_db
    for scale in (1 / 2, 1 / 8):
        assert close(*(np.asarray(codec.decompress(data, scale=scale)) for codec in pair))
    part = np.asarray(fast.decompress(data, region=(50, 30, 100, 90)))
    assert close(part, made[30:120, 50:150])

    written = fast.compress(rgb, quality=quality, effort=0, graphics=False)
    assert len(written) < 1.01 * len(data)
    assert psnr_db(rgb, np.asarray(plain.decompress(written))) > psnr_db(rgb, expected) - 0.05


def test_layers_are_cast_but_for_linear_paths(pair) -> None:
    plain, fast = pair
    for transform in (fast.model.analysis, fast.model.synthesis):
        types = {name: layer.weight.dtype for name, layer in transform.named_modules() if hasattr(layer, "weight")}
        assert types.pop("linear") == torch.float32
        assert set(types.values()) == {torch.bfloat16}
    assert {p.dtype for p in plain.model.parameters()} == {torch.float32}
    assert {p.dtype for p in fast.model.prior.parameters()} == {torch.float32}


@pytest.mark.parametrize("supported", [True, False])
def test_the_processor_decides_unless_someone_else_does(monkeypatch, supported: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.delenv(precision.VARIABLE)
    assert precision.chosen_type(None, "cpu") == (torch.bfloat16 if supported else torch.float32)
    assert precision.chosen_type(None, "cuda") == torch.float32
    assert precision.chosen_type("bfloat16", "cpu") == torch.bfloat16
    monkeypatch.setenv(precision.VARIABLE, "bfloat16")
    assert precision.chosen_type(None, "cpu") == torch.bfloat16
    assert precision.chosen_type("float32", "cpu") == torch.float32
    monkeypatch.setenv(precision.VARIABLE, "half")
    with pytest.raises(ValueError, match=r"^precision 'half' is not one of float32, bfloat16"):
        precision.chosen_type(None, "cpu")
