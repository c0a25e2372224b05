"""The lecture's claims, each on a small case that fails if its code is broken."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from digits_support import small_model, strokes

from vaecodec.bound import gaussian_kl_bits, gaussian_observation_bits
from vaecodec.digits import features, inference, train
from vaecodec.digits.data import Digits
from vaecodec.digits.linear import LinearGaussian, fit_linear_autoencoder, largest_angle_degrees
from vaecodec.digits.model import PIXELS, DigitsConfig, DigitsVAE, kl_bits
from vaecodec.errors import ModelError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
pytest.importorskip("matplotlib")
import lecture

LN2 = math.log(2)


@pytest.fixture(scope="module")
def vae() -> DigitsVAE:
    """Two latents, and noise enough that posteriors are wide."""
    return small_model(2, variance=0.2).requires_grad_(False)


@pytest.fixture(scope="module")
def told() -> DigitsVAE:
    return small_model(4, labels=True, variance=0.02, epochs=60).requires_grad_(False)


@pytest.fixture(scope="module")
def untold() -> DigitsVAE:
    return small_model(4, variance=0.02, epochs=60).requires_grad_(False)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.from_numpy(strokes(60, seed=11).images)


def model_3_in_10(seed: int = 0) -> LinearGaussian:
    torch.manual_seed(seed)
    return LinearGaussian(torch.randn(10, 3).double(), torch.randn(10).double(), 0.3)


# 1
def test_a_linear_autoencoder_is_pca() -> None:
    torch.manual_seed(0)
    x = (
        torch.randn(500, 12, dtype=torch.float64)
        @ torch.diag(torch.linspace(3, 0.5, 12).double())
        @ torch.randn(12, 12).double()
    )
    covariance = torch.cov(x.T)
    axes = torch.linalg.eigh(covariance)[1].flip(1)
    decoder = fit_linear_autoencoder(covariance, 3)
    assert largest_angle_degrees(decoder, axes[:, :3]) < 0.5
    assert largest_angle_degrees(decoder, axes[:, 1:4]) > 80
    q = torch.linalg.qr(decoder)[0]
    left_over = covariance.trace() - (q.T @ covariance @ q).trace()
    assert float(left_over) == pytest.approx(float(torch.linalg.eigvalsh(covariance)[:-3].sum()), rel=1e-4)


# 2
def test_a_deep_autoencoder_reconstructs_better_than_pca(tmp_path: Path) -> None:
    bench = lecture.Bench(strokes(1280), strokes(200, seed=1), tmp_path, epochs=200, hidden=48)
    errors = {kind: lecture.rates_and_errors(bench, kind, 2) for kind in ("PCA", "autoencoder")}
    assert errors["autoencoder"]["mse_unquantised"] < 0.9 * errors["PCA"]["mse_unquantised"]
    for curve in errors.values():
        assert curve["bits"][-1] > curve["bits"][0] + 4
        assert curve["mse"][-1] == pytest.approx(curve["mse_unquantised"], rel=0.05)
        assert curve["mse"][0] > curve["mse"][-1]


def test_code_lengths_are_entropies() -> None:
    random = np.random.default_rng(0)
    symbols = random.choice([-1, 0, 1], (20_000, 2), p=[0.25, 0.5, 0.25])
    assert lecture.code_bits(symbols[:10_000], symbols[10_000:]) == pytest.approx(3.0, abs=0.03)


# 3
def test_without_observation_noise_p_vanishes_off_the_manifold() -> None:
    weight, centre = torch.tensor([[1.0], [0.5]]).double(), torch.zeros(2).double()
    on, off = torch.tensor([[0.4, 0.2]]).double(), torch.tensor([[0.3, 0.4]]).double()
    values = [[float(LinearGaussian(weight, centre, v).log_evidence(x)) for v in (1e-2, 1e-4, 1e-6)] for x in (on, off)]
    assert values[0] == sorted(values[0])
    assert values[1][2] < values[1][1] < values[1][0]
    assert values[1][2] < -1e4
    assert math.isfinite(float(gaussian_observation_bits(torch.tensor(0.01), 0.01, PIXELS)))


def test_observation_bits_are_a_density() -> None:
    mse, variance = torch.tensor(0.04), 0.09
    expected = -torch.distributions.Normal(0.0, 0.3).log_prob(torch.tensor(0.2)) / LN2
    assert float(gaussian_observation_bits(mse, variance, 1)) == pytest.approx(float(expected), rel=1e-5)


# 4
def test_the_gap_is_a_divergence_exactly_in_a_linear_model() -> None:
    model = model_3_in_10()
    x = 2 * torch.randn(50, 10).double()
    mean, deviation = torch.randn(50, 3).double(), torch.rand(50, 3).double() + 0.1
    difference = model.log_evidence(x) - model.bound(x, mean, deviation)
    torch.testing.assert_close(difference, model.gap(x, mean, deviation), rtol=1e-9, atol=1e-9)
    assert (difference > 0).all()


def test_the_gap_is_a_divergence_in_a_deep_model(vae, pictures) -> None:
    torch.manual_seed(0)
    sampled, bound, _ = inference.importance_sampled(vae, pictures[:6], samples=2000)
    for number, image in enumerate(pictures[:6]):
        log_p, exact_bound, kl = inference.on_a_grid(vae, image, steps=240)
        assert log_p - exact_bound == pytest.approx(kl, abs=0.02)
        assert float(sampled[number]) == pytest.approx(log_p, abs=0.3)
        assert float(bound[number]) == pytest.approx(exact_bound, abs=0.6)
    assert (sampled > bound).all()


# 5
def test_a_point_mass_has_infinite_divergence() -> None:
    log2_sigma, zero = -torch.arange(0.0, 60.0, 10.0), torch.zeros(6)
    bits = gaussian_kl_bits(zero, log2_sigma, zero, zero)
    np.testing.assert_allclose(bits.diff().numpy()[1:], 10, atol=0.01)  # a bit for each halving, without end
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(0.7, 0.5), normal(0.0, 1.0)) / LN2
    one = torch.ones(1)
    assert float(kl_bits(0.7 * one[None], -one[None])) == pytest.approx(float(expected), rel=1e-5)


# 6
def test_reparameterised_gradients_are_right_and_quiet(vae, pictures) -> None:
    torch.manual_seed(0)
    noise = torch.randn(3000, 2)
    found = inference.gradients(vae, pictures[0], noise)
    differences = inference.finite_differences(vae, pictures[0], noise, width=3e-2)
    mean = found.reparameterised.mean(0)
    torch.testing.assert_close(mean, differences.float(), rtol=0.05, atol=0.05 * float(mean.abs().max()))
    error = found.score.std(0) / len(noise) ** 0.5
    assert ((found.score.mean(0) - mean).abs() < 5 * error).all()
    assert (found.score.var(0) > 3 * found.reparameterised.var(0)).all()


# 7
def test_fitting_q_for_each_picture_raises_the_bound(vae, pictures) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        amortised = vae.infer(pictures)
    before = inference.bound_nats(vae, pictures, amortised, 100).mean()
    after = inference.bound_nats(vae, pictures, inference.fit_posterior(vae, pictures, amortised, 150), 100).mean()
    assert float(after) > float(before)
    bad = torch.zeros_like(amortised[0]), torch.zeros_like(amortised[1])
    fitted = inference.fit_posterior(vae, pictures, bad, 300, rate=0.05)
    from_nothing = inference.bound_nats(vae, pictures, fitted, 100).mean()
    assert float(from_nothing) > float(inference.bound_nats(vae, pictures, bad, 100).mean()) + 1


def test_the_first_strategy_learns() -> None:
    torch.manual_seed(0)
    model = DigitsVAE(DigitsConfig("toy", 2, hidden=16, variance=0.05))
    course = inference.alternate(model, torch.from_numpy(strokes(60).images), rounds=25, inner=4, rate=1e-2)
    assert course[-1] > course[0] + 100


# 8
def test_the_kl_term_switches_latents_off() -> None:
    """With more noise in the observation fewer latents pay."""
    images = torch.from_numpy(strokes(300, seed=2).images)
    counts = []
    for variance in (0.02, 2.0):
        model = small_model(8, variance=variance, epochs=8)
        with torch.no_grad():
            counts.append(int(inference.active_units(model.infer(images)[0]).sum()))
    assert counts[1] < counts[0]
    assert counts[1] < 8
    means = torch.stack((torch.randn(1000), 0.01 * torch.randn(1000)), 1)
    assert inference.active_units(means).tolist() == [True, False]


# 10
def test_a_linear_classifier_separates_what_is_separable() -> None:
    torch.manual_seed(0)
    labels = torch.arange(400) % 10
    x = torch.eye(10)[labels] * 3 + 0.1 * torch.randn(400, 10)
    model = features.linear_classifier(x[:200], labels[:200])
    assert features.accuracy(model, x[200:], labels[200:]) == 1.0
    shuffled = labels[torch.randperm(400)]
    assert features.accuracy(features.linear_classifier(x, shuffled), x, shuffled) < 0.3


def test_few_labels_are_balanced() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    chosen = features.few_labels(labels, 50)
    assert len(set(chosen.tolist())) == 50
    assert (np.bincount(labels[chosen]) == 5).all()


def test_training_goes_on_where_it_was(tmp_path: Path) -> None:
    data, options = strokes(320), train.FitOptions(epochs=2, batch=32)
    fresh = lambda: (torch.manual_seed(0), DigitsVAE(DigitsConfig("x", 2, hidden=8)))[1]
    train.fit(fresh(), data, train.FitOptions(epochs=1, batch=32), folder=tmp_path)
    steps: list[float] = []
    train.fit(fresh(), data, options, folder=tmp_path, report=lambda progress, loss: steps.append(progress))
    assert steps == [1.0]  # the second epoch only
    with pytest.raises(ModelError, match="the run of another model"):
        train.fit(DigitsVAE(DigitsConfig("y", 3, hidden=8)), data, options, folder=tmp_path)


def test_strokes_have_ten_balanced_labels() -> None:
    data = strokes(100)
    assert isinstance(data, Digits)
    assert (np.bincount(data.labels) == 10).all()
