"""The lecture's claims, each on a small case that fails if its code is broken."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from digits_support import small_model, strokes
from support import ROOT

from vaecodec.digits import train
from vaecodec.digits.data import Digits
from vaecodec.digits.model import LOG2_SCALE_START, PIXELS, DigitsConfig, DigitsVAE, kl_bits
from vaecodec.digits.observation import Bernoulli
from vaecodec.digits.studies import features, inference, uses
from vaecodec.digits.studies.linear import LinearGaussian, fit_linear_autoencoder, largest_angle_degrees
from vaecodec.errors import ModelError
from vaecodec.objective.bound import gaussian_kl_bits, gaussian_observation_bits

pytest.importorskip("matplotlib")
import lecture
from shared.lecture import bounds, codes, posteriors
from shared.lecture import figures as lecture_plot
from shared.lecture import text as lecture_text
from shared.lecture.bench import Bench
from shared.lecture.labels import quadratic

LN2 = math.log(2)


@pytest.fixture(scope="module")
def vae() -> DigitsVAE:
    """Two latents, and noise enough that posteriors are wide."""
    return small_model(2, variance=0.2).requires_grad_(False)


@pytest.fixture(scope="module")
def told() -> DigitsVAE:
    return small_model(2, labels=True, variance=0.1, epochs=24).requires_grad_(False)


@pytest.fixture(scope="module")
def untold() -> DigitsVAE:
    return small_model(2, variance=0.1, epochs=24).requires_grad_(False)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.from_numpy(strokes(60, seed=11).images)


def model_3_in_10(seed: int = 0) -> LinearGaussian:
    torch.manual_seed(seed)
    return LinearGaussian(torch.randn(10, 3).double(), torch.randn(10).double(), 0.3)


@pytest.mark.slow
# 0
def test_black_and_white_are_drawn_as_the_grey_says() -> None:
    torch.manual_seed(0)
    grey = torch.full((50, 28, 28), 64, dtype=torch.uint8)
    drawn = train.binarise(grey)
    assert set(drawn.unique().tolist()) == {0, 255}
    assert float(drawn.mean()) == pytest.approx(64, abs=2)
    theta = torch.randn(50, 1, 28, 28)
    expected = -torch.distributions.Bernoulli(logits=theta[:, 0]).log_prob(drawn / 255).sum((1, 2)) / LN2
    torch.testing.assert_close(Bernoulli(0).bits(drawn, theta), expected)


@pytest.mark.slow
def test_bounds_of_black_and_white_pictures() -> None:
    torch.manual_seed(0)
    config, options = DigitsConfig("x", 4, "bernoulli", hidden=48), train.FitOptions(epochs=10, batch=32)
    model = train.fit(DigitsVAE(config), strokes(1280), options, train.binarised)
    found = bounds.binarised_bound(model, torch.from_numpy(strokes(40, seed=1).images), samples=500)
    assert -PIXELS * LN2 / 3 < found["bound_nats"] < found["bound_nats"] + found["gap_nats"] < 0
    results = {source: found | {"latents": 4, "hidden": 48, "epochs": 10} for source in bounds.BINARISED}
    text = lecture_text.binarised(results)
    assert f"{-found['bound_nats']:.2f}" in text
    assert "86.76 (0.16), Burda" in text


@pytest.mark.slow
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
@pytest.mark.slow
def test_a_deep_autoencoder_reconstructs_better_than_pca(tmp_path: Path) -> None:
    bench = Bench(strokes(1280, wander=0), strokes(200, seed=1, wander=0), tmp_path, epochs=100, hidden=48)
    errors = {kind: codes.rates_and_errors(bench, kind, 2) for kind in ("PCA", "autoencoder")}
    assert errors["autoencoder"]["mse_unquantised"] < 0.9 * errors["PCA"]["mse_unquantised"]
    for curve in errors.values():
        assert curve["bits"][-1] > curve["bits"][0] + 4
        assert curve["mse"][-1] == pytest.approx(curve["mse_unquantised"], rel=0.05)
        assert curve["mse"][0] > curve["mse"][-1]


@pytest.mark.slow
def test_a_vaes_code_is_shorter_than_an_autoencoders_at_equal_error(tmp_path: Path) -> None:
    bench = Bench(strokes(1280, wander=0), strokes(200, seed=1, wander=0), tmp_path, epochs=50, hidden=48)
    curves = {kind: {"8": codes.rates_and_errors(bench, kind, 8)} for kind in ("autoencoder", "VAE")}
    for db in (18, 20):
        bits = {kind: lecture_text.fewest_bits(curve, db) for kind, curve in curves.items()}
        assert bits["VAE"] < 0.85 * bits["autoencoder"]


def test_widths_are_as_fine_as_the_posterior() -> None:
    model = DigitsVAE(DigitsConfig("x", 3, hidden=8)).requires_grad_(False)
    for parameter in model.encoder.output.parameters():
        parameter.zero_()
    variance = 2.0 ** (2 * LOG2_SCALE_START)
    expected = torch.full((3,), 0.5 * math.log2(variance / (1 - variance)))
    torch.testing.assert_close(train.latent_steps(model, strokes(20)).float(), expected)


def test_the_fewest_bits_are_those_of_the_best_number_of_latents() -> None:
    curves = {
        "2": {"bits": [1.0, 3.0, 5.0], "mse": [1e-1, 1e-2, 1e-2]},
        "4": {"bits": [2.0, 4.0, 8.0], "mse": [1e-1, 1e-2, 1e-3]},
    }
    assert [lecture_text.fewest_bits(curves, db) for db in (15, 20, 25, 31)] == [2, 3, 6, None]


def test_where_a_vaes_code_is_shorter_is_said() -> None:
    """By the best of all variances, wherever both kinds reach an error."""
    autoencoder = {"2": {"bits": [0.0, 10.0, 40.0], "mse": [1e-1, 10**-1.5, 10**-2.5]}}
    shorter = {"2": {"bits": [0.0, 9.0, 38.0], "mse": [1e-1, 10**-1.5, 10**-2.2]}}
    finer = {"2": {"bits": [20.0, 36.0], "mse": [1e-2, 10**-2.5]}}
    r = {"autoencoder": autoencoder, "VAE, η = 0.02": shorter}
    text = lecture_text.vae_against_autoencoder(r)
    assert text.startswith("From 12.5 to 22.0 dB")
    assert "It is not shorter at 15.9, 16.0" in text
    text = lecture_text.vae_against_autoencoder(r | {"VAE, η = 0.005": finer})
    assert text.startswith("From 12.5 to 25.0 dB")


def test_code_lengths_are_entropies() -> None:
    random = np.random.default_rng(0)
    symbols = random.choice([-1, 0, 1], (20_000, 2), p=[0.25, 0.5, 0.25])
    assert codes.code_bits(symbols[:10_000], symbols[10_000:]) == pytest.approx(3.0, abs=0.03)


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


@pytest.mark.slow
def test_the_gap_is_a_divergence_in_a_deep_model(vae, pictures) -> None:
    torch.manual_seed(0)
    images = pictures[:4]
    encoders = inference.importance_sampled(vae, images, samples=2000)
    mean, log2_scale = inference.fit_posterior(vae, images, inference.best_of_prior(vae, images), 200)
    fitted = inference.importance_sampled(vae, images, proposal=(mean, log2_scale + 1))
    for number, image in enumerate(images):
        log_p, bound, kl = inference.on_a_grid(vae, image, steps=200)
        assert log_p - bound == pytest.approx(kl, abs=0.01)
        assert float(encoders.log_p[number]) == pytest.approx(log_p, abs=0.3)
        assert float(encoders.bound[number]) == pytest.approx(bound, abs=0.6)
        assert float(fitted.log_p[number]) == pytest.approx(log_p, abs=5 * float(fitted.log_p_error[number]))
    assert (encoders.log_p > encoders.bound).all()
    assert (fitted.log_p_error < 0.2).all()


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
@pytest.mark.slow
def test_reparameterised_gradients_are_right_and_quiet(vae, pictures) -> None:
    torch.manual_seed(0)
    noise = torch.randn(3000, 2)
    found = inference.gradients(vae, pictures[0], noise)
    differences = inference.finite_differences(vae, pictures[0], noise, width=3e-2)
    mean = found.reparameterised.mean(0)
    torch.testing.assert_close(mean, differences.float(), rtol=0.05, atol=0.05 * float(mean.abs().max()))
    score_of_q = noise / torch.exp2(vae.infer(pictures[:1])[1])
    value = found.score / score_of_q
    torch.testing.assert_close(value[:, 0], value[:, 1])
    score = (value - value.mean(0)) * score_of_q  # the same mean, and quieter
    error = score.std(0) / len(noise) ** 0.5
    assert ((score.mean(0) - mean).abs() < 5 * error).all()
    assert ((score.mean(0) + mean).abs() > 5 * error).all()  # near enough to tell the sign
    assert (found.score.var(0) > 3 * found.reparameterised.var(0)).all()


# 7
@pytest.mark.slow
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


@pytest.mark.slow
def test_the_first_strategy_learns() -> None:
    torch.manual_seed(0)
    model = DigitsVAE(DigitsConfig("toy", 2, hidden=16, variance=0.05))
    course = inference.alternate(model, torch.from_numpy(strokes(60).images), rounds=100, inner=4, rate=1e-2)
    assert course[-1] > course[0] + 100
    assert course[-1] > 180  # with posteriors that are fitted and not kept: 144
    torch.manual_seed(0)
    model = DigitsVAE(DigitsConfig("toy", 2, hidden=16, variance=0.05))
    course = posteriors.together(model, torch.from_numpy(strokes(60).images), 60)
    assert course[-1] > course[0] + 100


# 8
@pytest.mark.slow
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
    means = torch.stack((torch.randn(1000) - 1, 0.01 * torch.randn(1000) + 1), 1)
    assert inference.active_units(means).tolist() == [True, False]


# 9
@pytest.mark.slow
def test_generated_pictures_have_the_label_that_was_asked_for(told) -> None:
    judge = features.train_classifier(strokes(1280), epochs=12)
    test = strokes(300, seed=4)
    assert features.accuracy(judge, features.inputs(test.images), torch.from_numpy(test.labels).long()) > 0.9
    for label in (0, 3, 7):
        made = uses.sample(told, 100, label)
        found = judge(features.inputs(made * 255)).argmax(1)
        assert float((found == label).double().mean()) > 0.7
    recognised = uses.recognise(told, test.images)
    assert (recognised == test.labels).mean() > 0.8


@pytest.mark.slow
def test_analogies_keep_the_style_and_take_the_label(told) -> None:
    judge = features.train_classifier(strokes(1280), epochs=12)
    given = strokes(40, seed=5)
    made = uses.analogy(told, given.images, given.labels)
    assert made.shape == (40, 10, 28, 28)
    found = judge(features.inputs(made.reshape(400, 28, 28) * 255)).argmax(1).reshape(40, 10)
    assert float((found == torch.arange(10)).double().mean()) > 0.7
    own = made[np.arange(40), given.labels] - given.images / 255
    swapped = made[np.roll(np.arange(40), 10), given.labels] - given.images / 255  # another's style, the same label
    assert np.square(own).mean() < 0.8 * np.square(swapped).mean()


@pytest.mark.slow
def test_style_and_content_separate(told, untold) -> None:
    """A probe finds the label in z where the model had to keep it there, and hardly where it was told."""
    known, test = strokes(1280), strokes(500, seed=4)
    found = []
    for model in (told, untold):
        z = []
        for part in (known, test):
            with torch.no_grad():
                labels = torch.from_numpy(part.labels).long() if model.config.labels else None
                z.append(quadratic(model.infer(torch.from_numpy(part.images), labels)[0]))
        x, y = features.standardise(*z)
        probe = features.linear_classifier(x, torch.from_numpy(known.labels).long())
        found.append(features.accuracy(probe, y, torch.from_numpy(test.labels).long()))
    assert found[0] < found[1] - 0.1


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


@pytest.mark.slow
def test_m2_sums_over_labels_and_learns_from_few() -> None:
    torch.manual_seed(0)
    model = features.M2(DigitsVAE(DigitsConfig("m2", 2, "bernoulli", labels=True, hidden=32)), weight=300.0)
    images = torch.from_numpy(strokes(4).images)
    torch.manual_seed(1)
    unlabelled = model.unlabelled(images)
    torch.manual_seed(1)
    with torch.no_grad():  # by hand, with the same noise
        q = model.classifier(features.inputs(images)).softmax(1)
        labels = torch.arange(10).repeat_interleave(4)
        each = model.vae(images.repeat(10, 1, 1), labels).total_bpp * PIXELS * LN2 + math.log(10)
        expected = (q * each.view(10, 4).T).sum(1) + (q * q.log()).sum(1)
    torch.testing.assert_close(unlabelled.detach(), expected, rtol=1e-4, atol=1e-2)
    data = strokes(1000)
    features.train_m2(model, data, features.few_labels(data.labels, 200), epochs=12, batch=50)
    test = strokes(300, seed=3)
    assert features.accuracy(model.classifier, features.inputs(test.images), torch.from_numpy(test.labels).long()) > 0.5


# training and figures
def test_training_goes_on_where_it_was(tmp_path: Path) -> None:
    data, options = strokes(320), train.FitOptions(epochs=2, batch=32)
    fresh = lambda: (torch.manual_seed(0), DigitsVAE(DigitsConfig("x", 2, hidden=8)))[1]
    train.fit(fresh(), data, train.FitOptions(epochs=1, batch=32), folder=tmp_path)
    steps: list[float] = []
    train.fit(fresh(), data, options, folder=tmp_path, report=lambda progress, loss: steps.append(progress))
    assert steps == [1.0]  # the second epoch only
    with pytest.raises(ModelError, match="the run of another model"):
        train.fit(DigitsVAE(DigitsConfig("y", 3, hidden=8)), data, options, folder=tmp_path)


@pytest.mark.slow
def test_every_claim_has_a_figure(tmp_path: Path) -> None:
    """The results that are committed draw, and are what the text beside them says."""
    import json

    assert set(lecture.CLAIMS) == {"0-shipped", "0-binarised", *lecture_plot.FIGURES} == set(lecture_text.PARAGRAPHS)
    folder = ROOT / "benchmarks" / "results"
    results = json.loads((folder / "lecture.json").read_text())
    assert results
    for name in set(results) & set(lecture_plot.FIGURES):
        part = results[name]
        lecture_plot.draw(name, part["results"], tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert (folder / "lecture.md").read_text() == lecture_text.describe(results)


def test_strokes_have_ten_balanced_labels() -> None:
    data = strokes(100)
    assert isinstance(data, Digits)
    assert (np.bincount(data.labels) == 10).all()
