"""Strips of rows: networks make of them what they make of whole maps, and take nothing away that others hold."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import examples

from vaecodec.networks import blocks
from vaecodec.networks.blocks import Depthwise, TransformBlock, all_by_strips, by_strips, strips
from vaecodec.networks.prior import PriorBlock


def features(channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(seed))
    return values.contiguous(memory_format=torch.channels_last)


@given(st.integers(1, 90), st.integers(1, 70), st.integers(1, 3000))
@examples(200)
def test_strips_are_all_rows_once_in_equal_parts(height: int, width: int, size: int) -> None:
    with torch.no_grad():
        parts = strips(torch.empty(1, 1, height, width), size)
    assert parts[0].start == 0 and parts[-1].stop == height
    assert all(a.stop == b.start for a, b in itertools.pairwise(parts))
    lengths = {part.stop - part.start for part in parts}
    assert min(lengths) >= 1 and max(lengths) - min(lengths) <= 1
    assert (min(lengths) - 1) * width < size


def test_with_gradients_or_several_pictures_there_is_one_strip() -> None:
    assert strips(torch.empty(1, 1, 64, 64), 64) == [slice(0, 64)]
    with torch.no_grad():
        assert strips(torch.empty(2, 1, 64, 64), 64) == [slice(0, 64)]


@torch.no_grad()
def test_functions_of_strips_may_refine_and_give_several_maps() -> None:
    x = features(3, 13, 8)
    finer = by_strips(lambda rows: x[..., rows, :].repeat_interleave(2, -2).repeat_interleave(4, -1), x, 16)
    assert torch.equal(finer, x.repeat_interleave(2, -2).repeat_interleave(4, -1))
    both = all_by_strips(lambda rows: (x[..., rows, :] + 1, x[:, :1, rows].int()), x, 16)
    assert torch.equal(both[0], x + 1) and torch.equal(both[1], x[:, :1].int())
    assert finer.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_some_rows_of_a_depthwise_layer_see_their_neighbours() -> None:
    layer, x = Depthwise(5), features(5, 9, 6)
    for start, stop in itertools.combinations(range(10), 2):
        assert torch.allclose(layer(x, slice(start, stop)), layer(x)[..., start:stop, :], atol=1e-6)


@pytest.mark.parametrize("block", [TransformBlock, PriorBlock])
def test_blocks_do_the_same_in_strips_and_with_gradients(monkeypatch, block: type) -> None:
    layers, x = block(8), features(8, 23, 10)
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    before = x.clone()
    expected = layers(x).detach()
    assert torch.equal(x, before)
    for size in (7, 50, 10_000):
        monkeypatch.setattr(blocks.strips, "__defaults__", (size,))
        with torch.no_grad():
            assert torch.allclose(layers(x.clone(memory_format=torch.channels_last)), expected, atol=1e-5)


@pytest.mark.parametrize("size", [3, 40])
def test_the_exact_prior_gives_the_same_integers_in_strips(monkeypatch, tiny, size: int) -> None:
    state = tiny.prior.at(9000)
    z = torch.randint(-5, 6, (1, 8, 3, 4), generator=torch.Generator().manual_seed(1)).double()
    known = [
        torch.randint(-200, 200, (1, 32, 6, 8), generator=torch.Generator().manual_seed(s)).int() for s in range(3)
    ]

    def predicted() -> list[torch.Tensor]:
        hyper = tiny.prior.hyper(z, state)
        steps = [tiny.prior.predict_y(step, hyper, known[:step], state) for step in range(4)]
        return [hyper, *(t for prediction in steps for t in (prediction.offset, prediction.numbers))]

    expected, given_known = predicted(), [values.clone() for values in known]
    for function in (blocks.strips, blocks.by_strips, blocks.all_by_strips):
        monkeypatch.setattr(function, "__defaults__", (size,))
    for made, wanted in zip(predicted(), expected, strict=True):
        assert torch.equal(made, wanted)
    for made, wanted in zip(known, given_known, strict=True):
        assert torch.equal(made, wanted)
