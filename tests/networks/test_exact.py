"""The integer prior against an evaluation in int64 that was written from docs/format.md (tests/reference)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.prior import Prior
from skimage import data as photographs
from support import examples

from vaecodec.errors import ModelError
from vaecodec.format.container import QUALITY_MAX, quality_code
from vaecodec.networks import fixed_point, precision
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.conversion import convert
from vaecodec.networks.fixed_point import ExactPrior, interpolate
from vaecodec.networks.model import ImageVAE
from vaecodec.networks.prior import Cells

CARRIERS = [torch.float32, torch.float64]
QUALITIES = [0, 1, 9_000, 16_384, 20_001, QUALITY_MAX]


def exact_tensors(stored) -> dict[str, torch.Tensor]:
    return {name.removeprefix("exact."): t for name, t in stored.tensors.items() if name.startswith("exact.")}


@pytest.fixture(scope="module")
def stored_tensors(tiny) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in exact_tensors(tiny.stored).items()}


def wild_tensors(stored: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Integers of the shapes of a model's that use all of the range that a file may have."""
    rng = np.random.default_rng(11)
    tensors = {}
    for name, tensor in stored.items():
        part = name.rpartition(".")[2]
        if part == "weight":
            values = rng.integers(-(2**15) + 1, 2**15, tensor.shape)
        elif part == "bias":
            values = rng.integers(-(2**30), 2**30, tensor.shape)
        elif part == "shift":
            values = rng.integers(12, 20, tensor.shape)
        elif name == "exp2":
            values = tensor
        else:
            values = rng.integers(-4000, 4000, tensor.shape)
        tensors[name] = torch.from_numpy(values.astype(tensor.dtype))
    return tensors


def compare_with_reference(prior: ExactPrior, tensors: dict[str, np.ndarray], quality: int, spread: int) -> None:
    """Every step of a random picture of 6 x 10 positions."""
    rng = np.random.default_rng(quality + spread)
    reference, state = Prior(tensors, quality), prior.at(quality)
    m, cz = tensors["log2_gain"].shape[1], tensors["z_mean"].shape[1]

    offset, table = reference.predict_z()
    assert np.array_equal(state.z.offset.numpy().ravel(), offset)
    assert np.array_equal(state.z.numbers.numpy().ravel(), table)

    z = rng.integers(-spread, spread + 1, (cz, 2, 3))
    hyper = prior.hyper(torch.from_numpy(z)[None].double(), state)
    expected_hyper = reference.hyper(16 * z)
    assert np.array_equal(hyper[0].numpy(), expected_hyper)

    y_hat = rng.integers(-16 * spread, 16 * spread + 1, (m, 6, 10))
    quarter = m // 4
    known, coded = np.zeros(y_hat.shape, bool), Cells(torch.empty(1, m, 6, 10))
    steps: list[torch.Tensor] = []
    for step in range(4):
        prediction = prior.predict_y(step, coded.crop(hyper), steps, state)
        offsets, tables = reference.predict(step, expected_hyper, y_hat, known)
        assert np.array_equal(prediction.offset[0].numpy(), offsets.reshape(m, 3, 5))
        assert np.array_equal(prediction.numbers[0].numpy(), tables.reshape(m, 3, 5))
        parts = []
        for p in range(4):
            rows = slice(quarter * ((p + step) % 4), quarter * ((p + step) % 4 + 1))
            known[rows, p // 2 :: 2, p % 2 :: 2] = True
            parts.append(y_hat[rows, p // 2 :: 2, p % 2 :: 2])
        steps.append(torch.from_numpy(np.concatenate(parts))[None].int())
        coded.put(steps[-1])
    assert np.array_equal(coded.merged()[0].numpy(), y_hat)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("spread", [2, 300])
def test_the_stored_prior_computes_what_the_format_says(tiny, stored_tensors, carrier, quality, spread) -> None:
    compare_with_reference(tiny.stored.exact_prior(carrier=carrier), stored_tensors, quality, spread)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("quality", QUALITIES)
def test_a_prior_at_the_limits_computes_what_the_format_says(tiny, stored_tensors, carrier, quality) -> None:
    tensors = wild_tensors(stored_tensors)
    with torch.device("meta"):
        networks = ImageVAE(tiny.stored.config).prior.networks
    prior = ExactPrior(networks, tensors, carrier=carrier)
    compare_with_reference(prior, {name: t.numpy() for name, t in tensors.items()}, quality, 2**15)


# --- layers


def layer(weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, carrier: torch.dtype):
    tensors = (
        torch.from_numpy(weight.astype(np.int16)),
        torch.from_numpy(bias),
        torch.from_numpy(shift.astype(np.uint8)),
    )
    kind = fixed_point._ExactDepthwise if weight.ndim == 4 else fixed_point._ExactPointwise
    return kind(*tensors, carrier, "cpu")


def layer_values(seed: int, shape: tuple[int, ...], limit: int) -> tuple[np.ndarray, ...]:
    """Weights up to a limit, biases, shifts and activations over their whole range, for `shape[0]` channels."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-limit, limit + 1, shape)
    bias, shift = rng.integers(-(2**20), 2**20, shape[0]), rng.integers(1, 20, shape[0])
    inputs = shape[0] if len(shape) == 4 else shape[1]
    activations = rng.choice([-2047, 2047, 0, *rng.integers(-2047, 2048, 5)], (inputs, 7, 9))
    return weight, bias, shift, activations


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(("limit", "fits_float32"), [(100, True), (2**15 - 1, False)])
@pytest.mark.parametrize("kind", ["pointwise", "depthwise"])
def test_layers_compute_in_integers(kind: str, limit: int, fits_float32: bool, carrier: torch.dtype) -> None:
    shape = (24, 40) if kind == "pointwise" else (24, 1, 3, 3)
    weight, bias, shift, a = layer_values(limit, shape, limit)
    module = layer(weight, bias, shift, carrier)
    assert module.carrier == (torch.float32 if fits_float32 and carrier == torch.float32 else torch.float64)
    name = "spatial" if kind == "depthwise" else "mix"
    reference = Prior.__new__(Prior)
    reference.t = {f"{name}.weight": weight, f"{name}.bias": bias, f"{name}.shift": shift}
    result = module(torch.from_numpy(a)[None].float())[0]
    assert result.dtype == torch.float32
    assert np.array_equal(result.numpy(), reference.layer(name, a).astype(np.float32))


def test_layers_compute_some_outputs_of_some_inputs() -> None:
    weight, bias, shift, a = layer_values(3, (32, 16), 100)
    module = layer(weight, bias, shift, torch.float32)
    x = torch.from_numpy(a)[None].float()
    some, part = [slice(12, 16), slice(2, 5)], torch.zeros_like(x)
    for columns in some:
        part[:, columns] = x[:, columns]
    picked = torch.cat([x[:, columns] for columns in some], 1)
    assert torch.equal(module(picked, outputs=slice(8, 24), inputs=some), module(part)[:, 8:24])


def test_a_layer_just_below_its_bound_is_exact_in_float32() -> None:
    """The largest sums that float32 is trusted with, of both signs and odd."""
    weight = np.array([[4097, -4097], [4097, 4097]])
    bias = np.array([2**24 - 1 - 2 * 4097 * 2047, 1])
    module = layer(weight, bias, np.array([1, 1]), torch.float32)
    assert module.carrier == torch.float32
    a = np.array([[2047, -2047], [-2047, 2046]])[:, :, None]
    expected = (weight @ a[:, :, 0] + bias[:, None]) >> 1
    assert np.array_equal(module(torch.from_numpy(a)[None].float())[0, :, :, 0].numpy(), expected)


def test_a_layer_at_its_bound_goes_to_float64() -> None:
    bias = np.array([2**24 - 2 * 4097 * 2047])
    assert layer(np.array([[4097, 4097]]), bias, np.array([1]), torch.float32).carrier == torch.float64


def test_stems_have_the_larger_bound_of_contexts(untrained: ImageVAE, tiny) -> None:
    """`ExactPrior.context` reaches 2048, where other activations end at 2047."""
    prior = tiny.prior
    extreme = torch.tensor([[[[2.0**40, -(2.0**40)]]]], dtype=torch.float64)
    context = prior.context(1, extreme.expand(1, tiny.stored.config.y_channels, 1, 2), prior.at(0))
    assert int(context.max()) == fixed_point.CONTEXT_MAX == -int(context.min())

    stem = untrained.prior.networks.stems[0]
    assert fixed_point.largest_input(stem) == fixed_point.CONTEXT_MAX
    assert fixed_point.largest_input(untrained.prior.networks.heads[0]) == fixed_point.ACTIVATION_MAX
    sums = 2**24 // 2048  # of weights: at the bound for contexts, below it for activations
    parts = torch.tensor([[sums]], dtype=torch.int32), torch.tensor([0]), torch.tensor([1])
    carriers = [fixed_point._ExactLayer(*parts, torch.float32, "cpu", largest).carrier for largest in (2047, 2048)]
    assert carriers == [torch.float32, torch.float64]
    with torch.no_grad():
        stem.weight.fill_(1.0)
    tensors = convert(untrained.prior)
    weight, bias = tensors["stems.0.weight"].long(), tensors["stems.0.bias"].long()
    assert int((weight.abs().sum(1) * fixed_point.CONTEXT_MAX + bias.abs()).max()) < 2**24


def test_a_layer_beyond_float64_is_refused() -> None:
    with pytest.raises(ModelError, match="range"):
        layer(np.array([[1]]), np.array([2**53]), np.array([1]), torch.float64)


# --- conversion


@pytest.fixture
def untrained() -> ImageVAE:
    """With weights that do not come from torch's generator, which differs between machines."""
    model = ImageVAE(CONFIGS["tiny"])
    rng = np.random.default_rng(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape) * 0.1))
    return model


def test_converted_layers_keep_the_bound_of_float32(untrained: ImageVAE) -> None:
    tensors = convert(untrained.prior)
    for name in (name.removesuffix(".weight") for name in tensors if name.endswith(".weight")):
        weight, bias = tensors[f"{name}.weight"].long().flatten(1), tensors[f"{name}.bias"].long()
        assert int((weight.abs().sum(1) * 2047 + bias.abs()).max()) < 2**24


def test_converted_layers_are_close_to_the_floats(untrained: ImageVAE) -> None:
    tensors = convert(untrained.prior)
    layers = untrained.prior.networks.state_dict()
    for name in (name.removesuffix(".weight") for name in tensors if name.endswith(".weight")):
        output_bits = 10 if name.startswith("heads") else 7
        scale = 2.0 ** (7 - output_bits + tensors[f"{name}.shift"].double() * -1)[:, None]
        error = tensors[f"{name}.weight"].double().flatten(1) * scale - layers[f"{name}.weight"].double().flatten(1)
        assert float((error.abs() / scale).max()) <= 0.5


@pytest.mark.parametrize("value", [1e4, -1e4, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["h_s_in", "h_s_block.spatial", "contexts.0.0.reduce", "heads.2"])
def test_weights_too_large_for_integers_are_refused(untrained: ImageVAE, name: str, value: float) -> None:
    with torch.no_grad():
        untrained.prior.networks.get_submodule(name).weight.view(-1)[0] = value
    with pytest.raises(ModelError, match=r"1 channels .* no exact integer form"):
        convert(untrained.prior)


@pytest.mark.parametrize("limit", [2.0**24, 2.0**53])
def test_large_biases_survive_conversion(untrained: ImageVAE, limit: float) -> None:
    with torch.no_grad():
        untrained.prior.networks.h_s_in.weight[0] = 0.001
        untrained.prior.networks.h_s_in.bias[0] = 20.0
    tensors = convert(untrained.prior, limit)
    unit = 2.0 ** -float(tensors["h_s_in.shift"][0])
    assert float(tensors["h_s_in.bias"][0]) * unit == pytest.approx(20.0 * 128, abs=1)


# --- over quality


@pytest.mark.slow
@given(
    st.integers(2, 9).flatmap(lambda k: st.lists(st.integers(-(2**31), 2**31 - 1), min_size=k, max_size=k)),
    st.integers(0, QUALITY_MAX),
)
@examples(500)
def test_interpolation_rounds_the_exact_value(knots: list[int], quality: int) -> None:
    position = Fraction(quality * (len(knots) - 1), QUALITY_MAX)
    row = min(int(position), len(knots) - 2)
    value = knots[row] + (knots[row + 1] - knots[row]) * (position - row)
    expected = (value + Fraction(1, 2)).__floor__()
    assert interpolate(np.array(knots, np.int32)[:, None], quality).tolist() == [expected]


def test_interpolation_meets_the_knots() -> None:
    table = np.array([[5, -7], [100, 3], [-2, 9]])
    assert [interpolate(table, q).tolist() for q in (0, QUALITY_MAX // 2, QUALITY_MAX)] == table.tolist()


# --- against the floats


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_the_exact_prior_is_close_to_the_float_prior(tiny, quality: int) -> None:
    """Over the latents of a photograph: means within hundredths of a deviation, scales at the nearest level."""
    code = quality_code(quality)
    latents = tiny.encode(photographs.astronaut()[:128, :192], code)
    position, state = torch.tensor([code / QUALITY_MAX]), tiny.prior.at(code)
    prior, y_hat = tiny.model.prior, latents.y_hat
    coded, known = Cells(y_hat), []
    with torch.no_grad():
        float_hyper, hyper = prior.hyper(latents.z.float(), position), tiny.prior.hyper(latents.z, state)
        for step, target in enumerate(Cells.split(y_hat)):
            expected = prior.predict_y(step, float_hyper, coded, position)
            prediction = tiny.prior.predict_y(step, coded.crop(hyper), known, state)
            mean = prediction.offset / 16 + (prediction.numbers % 16) / 16 - 0.5
            level = (expected.log2_scale + 3.25) * 7
            error = (mean - expected.mean) * torch.exp2(-expected.log2_scale)
            assert float(error.abs().mean()) < 0.08
            assert float((prediction.numbers // 16 - level).abs().mean()) < 0.5
            coded.put(target.float())
            known.append(target * 16)


def profiled_operators(function) -> set[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    return {event.key for event in profile.key_averages()}


@pytest.mark.slow
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_the_probe_for_plain_float32_runs_the_kernels_that_layers_run() -> None:
    """On a CPU with AMX, oneDNN's kernels are those that a program may have allowed to run in bfloat16."""
    for shape, kernel in (((64, 1, 3, 3), "aten::mkldnn_convolution"), ((64, 64), "aten::addmm")):
        module = layer(*layer_values(1, shape, 50)[:3], torch.float32)
        x = torch.zeros(1, 64, 32, 32).contiguous(memory_format=torch.channels_last)
        assert kernel in profiled_operators(lambda module=module, x=x: module(x))
        assert kernel in profiled_operators(precision.float32_is_plain)
