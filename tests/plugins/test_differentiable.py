"""The codec as a torch module: its values are the codec's, and gradients flow."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from conftest import TINY, picture
from skimage import data as photographs

from vaecodec.codec.codec import Codec
from vaecodec.pictures.metrics import psnr_db
from vaecodec.plugins import differentiable
from vaecodec.plugins.differentiable import DifferentiableCodec


def batch(*pictures: np.ndarray) -> torch.Tensor:
    return torch.stack([torch.from_numpy(p).permute(2, 0, 1).float() / 255 for p in pictures])


def to_pixels(x: torch.Tensor) -> np.ndarray:
    return (x * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "effort"),
    [(TINY, 0), (TINY, 1), ("light-psnr", 0), ("light-psnr", 1), ("light", 0)],
    ids=["tiny-0", "tiny-1", "psnr-0", "psnr-1", "looks-0"],
)
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_picture_and_rate_are_the_codecs(model, effort: int, quality: int) -> None:
    """With a model for looks the codec compares what effort 1 chose, and may take the nearest symbols."""
    codec, module = Codec(model), DifferentiableCodec(model, effort=effort)
    original = np.ascontiguousarray(photographs.astronaut()[:250, :203])
    data = codec.compress(original, quality=quality, effort=effort, coding=0)
    decoded = np.asarray(codec.decompress(data))
    with torch.no_grad():
        x_hat, rate_bpp = module(batch(original), quality)
    assert float(rate_bpp) == pytest.approx(8 * (len(data) - 36) / (250 * 203), rel=0.03)
    assert psnr_db(to_pixels(x_hat[0]), decoded) > psnr_db(original, decoded) + 5
    within_db = 0.2 if codec.model.config.distortion == "looks" else 0.1  # of which squared error is a small part
    assert psnr_db(original, to_pixels(x_hat[0])) == pytest.approx(psnr_db(original, decoded), abs=within_db)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["straight-through", "noise"])
@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 64)])
def test_gradients_flow(mode: str, trainable: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module = DifferentiableCodec(TINY, mode=mode, trainable=trainable)
    x = batch(picture(*size), picture(*size, seed=3)).requires_grad_()
    x_hat, rate_bpp = module(x, torch.tensor([20.0, 80.0]))
    assert (x_hat.shape, rate_bpp.shape) == (x.shape, (2,))
    for value in (x_hat.square().sum(), rate_bpp.sum()):
        (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
        assert gradient.isfinite().all()
        assert all(g.abs().sum() > 0 for g in gradient), "each picture has one"
    rate_bpp.sum().backward()
    weights = dict(module.model.named_parameters())
    assert (weights["analysis.linear.weight"].grad is not None) == trainable


def test_following_the_gradient_of_the_rate_makes_the_file_smaller(tiny) -> None:
    """Of an actual file, by the codec."""
    module = DifferentiableCodec(TINY)
    x = batch(np.ascontiguousarray(photographs.astronaut()[:96, :128])).requires_grad_()
    before = len(tiny.compress(to_pixels(x.detach()[0]), quality=70))
    for _ in range(10):
        _, rate_bpp = module(x, 70)
        (gradient,) = torch.autograd.grad(rate_bpp.sum(), x)
        x = (x - 0.003 * gradient.sign()).detach().requires_grad_()
    assert len(tiny.compress(to_pixels(x.detach()[0]), quality=70)) < 0.95 * before


def test_wrong_arguments_are_refused() -> None:
    module = DifferentiableCodec(TINY)
    for call in (
        lambda: module(torch.zeros(3, 8, 8)),
        lambda: module(torch.zeros(1, 4, 8, 8)),
        lambda: module(torch.zeros(1, 3, 8, 8), 0),
        lambda: DifferentiableCodec(TINY, mode="hard"),
    ):
        with pytest.raises(ValueError):
            call()


def test_the_example_in_the_documentation_runs() -> None:
    assert doctest.testmod(differentiable).failed == 0
