"""The lecture's claims about autoencoders and VAEs, measured on MNIST; docs/lecture.md walks through them.

    python benchmarks/lecture.py --data mnist/ --runs build/lecture -o benchmarks/results/lecture

Trains what is not shipped, a few epochs a model, and keeps it in --runs. Stopped, it goes on where it was: a claim
whose settings have not changed is not measured again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import torch
from shared.lecture import figures as lecture_plot
from shared.lecture import text as lecture_text
from shared.results import Store, numbers_option, output_option, publish, say, section

from vaecodec.baselines.pca import principal_axes
from vaecodec.digits import CLASSES, pack, train, weights
from vaecodec.digits.data import Digits, read_digits
from vaecodec.digits.model import PIXELS, DigitsConfig, DigitsVAE
from vaecodec.digits.studies import features, inference, linear, uses
from vaecodec.objective.bound import gaussian_kl_bits

TEST = 2000
"""Test pictures in claims that compare many models."""
BINARISED = {
    "Townsend et al. 2019": (DigitsConfig("binarised-40", 40, "bernoulli", hidden=100), train.FitOptions(epochs=20)),
    "Burda et al. 2016": (
        DigitsConfig("binarised-50", 50, "bernoulli", hidden=200),
        train.FitOptions(epochs=140, batch=256, rate=1.5),
    ),
}
"""VAEs of about the size of published ones. Townsend et al. have one hidden layer on each side, not two."""
VARIANCES = (0.02, 0.005)
"""η of the VAEs whose codes are compared with autoencoders': with the smaller one a VAE comes as near as those do."""
LN2 = math.log(2)


@dataclass
class Bench:
    """What the claims share: data, and models that are trained once.

    Attributes:
        epochs: of each model that is trained here.
        latents: numbers of them, in claims that compare several.
        hidden: length of their hidden layers.
    """

    train: Digits
    test: Digits
    runs: Path
    epochs: float
    latents: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    hidden: int = 128
    _models: dict[str, DigitsVAE] = field(default_factory=dict)

    def model(self, kind: str, latents: int, variance: float = 0.02) -> DigitsVAE:
        """A `vae`, or the same networks as a plain `autoencoder`: squared error only, and no noise."""
        name = f"{kind}-{latents}-{variance:g}-{self.epochs:g}"
        if name not in self._models:
            say(f"training {name}")
            torch.manual_seed(0)
            model = DigitsVAE(DigitsConfig(name, latents, hidden=self.hidden, variance=variance))
            loss = autoencoder_loss if kind == "autoencoder" else train.negative_bound
            options = train.FitOptions(epochs=self.epochs)
            with torch.enable_grad():
                self._models[name] = train.fit(model, self.train, options, loss, folder=self.runs / name)
        return self._models[name]

    def images(self, count: int = TEST) -> torch.Tensor:
        """The first test pictures, `[count, 28, 28]` uint8."""
        return torch.from_numpy(self.test.images[:count].copy())

    def labels(self, part: Digits) -> torch.Tensor:
        return torch.from_numpy(part.labels.copy()).long()


def autoencoder_loss(model: DigitsVAE, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Squared error at the encoder's mean."""
    return (model.picture(model.infer(images)[0]) - images / 255).square().mean()


@torch.no_grad()
def means(model: DigitsVAE, images: np.ndarray, labels: torch.Tensor | None = None) -> torch.Tensor:
    """`[N, K]` means of the posteriors."""
    x = torch.from_numpy(images.copy())
    labels = [None] * len(x.split(5000)) if labels is None else labels.split(5000)
    return torch.cat([model.infer(*pair)[0] for pair in zip(x.split(5000), labels, strict=True)])


# --- 0 ---------------------------------------------------------------------------------------------------------------


def shipped_models(bench: Bench) -> dict:
    """0: the bounds of the shipped models, and a real pack of the test part."""
    images, labels = torch.from_numpy(bench.test.images.copy()), bench.labels(bench.test)
    result: dict = {"pictures": len(images), "bounds": {}}
    torch.manual_seed(0)
    for name in ("lossless", "digits", "map"):
        model = weights.load(name).model()
        with torch.no_grad():
            parts = [model(x, y).total_bpp for x, y in zip(images.split(1000), labels.split(1000), strict=True)]
        bpp = float(torch.cat(parts).double().mean())
        result["bounds"][name] = (-bpp * PIXELS * LN2, bpp)
    stored = weights.load("lossless")
    data, account = pack.pack(bench.test.images, stored)
    identical = bool((pack.unpack(data, stored) == bench.test.images).all())
    result |= {"bytes": len(data), "bpp": 8 * len(data) / bench.test.images.size, "identical": identical}
    return result | {"bound_bpp": account.bound_bpp, "initial_bits": account.initial_bits}


def binarised(bench: Bench) -> dict:
    """0: bounds of pictures in black and white, by models of published sizes."""
    result = {}
    for source, (config, options) in BINARISED.items():
        say(f"training {config.name}")
        torch.manual_seed(0)
        folder = bench.runs / f"{config.name}-{options.epochs:g}"
        with torch.enable_grad():
            model = train.fit(DigitsVAE(config), bench.train, options, train.binarised, folder=folder)
        result[source] = {"latents": config.latents, "hidden": config.hidden, "epochs": options.epochs}
        result[source] |= binarised_bound(model, bench.images(len(bench.test)))
    return result


@torch.no_grad()
def binarised_bound(model: DigitsVAE, images: torch.Tensor, samples: int = 5000) -> dict:
    """F of all pictures, each binarised once, and what importance samples add to it on 250 of them."""
    torch.manual_seed(1)
    images = train.binarise(images)
    bound = float(torch.cat([inference.bound_nats(model, x, model.infer(x)) for x in images.split(1000)]).mean())
    gaps = []
    for x in images[:: max(1, len(images) // 250)].split(50):
        found = inference.importance_sampled(model, x, samples=samples)
        gaps.append(found.log_p - found.bound)
    gap = torch.cat(gaps)
    return {
        "pictures": len(images), "bound_nats": bound, "gap_pictures": len(gap), "gap_nats": float(gap.mean()),
        "gap_standard_error": float(gap.std() / len(gap) ** 0.5), "samples": samples,
    }  # fmt: skip


# --- 1 to 3 ----------------------------------------------------------------------------------------------------------


def linear_autoencoder(bench: Bench) -> dict:
    """1: a linear autoencoder is PCA."""
    x = bench.train.images.reshape(-1, PIXELS) / np.float32(255)
    mean, axes, variance = principal_axes(x)
    covariance = torch.from_numpy((axes * variance) @ axes.T)
    test = bench.test.images.reshape(-1, PIXELS) / 255 - mean
    result: dict = {"latents": [], "angle_degrees": [], "mse_pca": [], "mse_linear_autoencoder": []}
    for latents in (2, 4, 8):
        decoder = linear.fit_linear_autoencoder(covariance, latents, iterations=400)
        basis = np.linalg.qr(decoder.numpy())[0]
        result["latents"].append(latents)
        pca = torch.from_numpy(axes[:, :latents].copy())
        result["angle_degrees"].append(linear.largest_angle_degrees(decoder, pca))
        for name, b in (("pca", axes[:, :latents]), ("linear_autoencoder", basis)):
            result[f"mse_{name}"].append(float(np.square(test - test @ b @ b.T).mean()))
    return result


def code_bits(known: np.ndarray, symbols: np.ndarray) -> float:
    """Bits a picture for `[N, K]` symbols, by a table a dimension that is counted on `known` symbols, one added."""
    bits = 0.0
    for a, b in zip(known.T, symbols.T, strict=True):
        low, high = min(a.min(), b.min()), max(a.max(), b.max())
        counts = np.bincount(a - low, minlength=high - low + 1) + 1
        bits -= np.log2(counts[b - low] / counts.sum()).mean()
    return float(bits)


@torch.no_grad()
def rates_and_errors(bench: Bench, kind: str, latents: int, variance: float = VARIANCES[0]) -> dict:
    """Rate and distortion of quantised codes at widths from fine to coarse; all kinds with the same sort of tables."""
    known, test = bench.train.images[:10_000], bench.test.images[:TEST]
    x = torch.from_numpy(test.copy()).float() / 255
    if kind == "PCA":
        flat = known.reshape(-1, PIXELS) / 255
        mean, axes, _ = principal_axes(flat)
        basis = axes[:, :latents]
        codes = (flat - mean) @ basis, (test.reshape(-1, PIXELS) / 255 - mean) @ basis
        decode = lambda z: torch.from_numpy((z @ basis.T + mean).reshape(-1, 28, 28)).clamp(0, 1)
        widths = np.full(latents, codes[0].std(0)[0])
    else:
        model = bench.model(kind.lower(), latents, variance)
        codes = means(model, known).double().numpy(), means(model, test).double().numpy()
        decode = lambda z: model.picture(torch.from_numpy(z).float()).double()
        steps = train.latent_steps(model, bench.train).numpy()
        widths = codes[0].std(0) if kind == "autoencoder" else np.exp2(steps)
    error = lambda z: float((decode(z) - x).square().mean())
    curve = []
    for octave in np.arange(6, -5.5, -0.5):
        step = widths * 2**octave
        symbols = [np.rint(code / step).astype(np.int64) for code in codes]
        curve.append((code_bits(*symbols), error(symbols[1] * step)))
    bits, mse = zip(*curve, strict=True)
    return {"mse_unquantised": error(codes[1]), "bits": list(bits), "mse": list(mse)}


def against_pca(bench: Bench) -> dict:
    """2: deep autoencoders reconstruct better than PCA, and a VAE's code is shorter at equal error."""
    kinds = {"PCA": ("PCA",), "autoencoder": ("autoencoder",)}
    kinds |= {f"VAE, η = {variance:g}": ("VAE", variance) for variance in VARIANCES}
    return {
        name: {str(k): rates_and_errors(bench, kind, k, *variance) for k in bench.latents}
        for name, (kind, *variance) in kinds.items()
    }


def observation_noise(bench: Bench) -> dict:
    """3: without observation noise p(x) vanishes off the manifold; with it the bound is finite."""
    weight = torch.tensor([[1.0], [0.5]], dtype=torch.float64)
    normal = torch.tensor([-0.5, 1.0], dtype=torch.float64) / math.sqrt(1.25)
    variances, distances = np.logspace(0, -6, 25), (0.0, 0.05, 0.2)
    result: dict = {"variance": variances.tolist(), "log_p": {}, "bound_mnist": []}
    for distance in distances:
        x = (0.4 * weight[:, 0] + distance * normal)[None]
        models = [linear.LinearGaussian(weight, torch.zeros(2, dtype=torch.float64), float(v)) for v in variances]
        result["log_p"][f"{distance:g}"] = [float(model.log_evidence(x)) for model in models]
    model = bench.model("vae", 8)
    with torch.no_grad():
        bound = model(bench.images(500))
    kl, mse = float(bound.rate_bpp["z"].mean()) * PIXELS * LN2, float(bound.distortion.mean())
    for v in variances:
        likelihood = -PIXELS * (mse / (2 * v) + 0.5 * math.log(2 * math.pi * v))
        result["bound_mnist"].append(likelihood - kl)
    result["mse_mnist"] = mse
    return result


# --- 4 to 8 ----------------------------------------------------------------------------------------------------------


def the_gap(bench: Bench) -> dict:
    """4: log p(x) − F = KL(q ‖ p(z | x))."""
    torch.manual_seed(0)
    model = linear.LinearGaussian(
        torch.randn(10, 3, dtype=torch.float64), torch.randn(10, dtype=torch.float64), variance=0.3
    )
    x = torch.randn(200, 10, dtype=torch.float64) * 2
    mean, deviation = torch.randn(200, 3, dtype=torch.float64), torch.rand(200, 3, dtype=torch.float64) + 0.1
    left = model.log_evidence(x) - model.bound(x, mean, deviation)
    result: dict = {"linear": {"log_p_minus_bound": left.tolist(), "kl": model.gap(x, mean, deviation).tolist()}}
    vae, images = weights.load("map").model(), bench.images(24)
    encoders = inference.importance_sampled(vae, images)
    mean, log2_scale = inference.fit_posterior(vae, images, inference.best_of_prior(vae, images), 300)
    fitted = inference.importance_sampled(vae, images, proposal=(mean, log2_scale + 1))
    grid = [inference.on_a_grid(vae, image) for image in images]
    result["map"] = {
        "log_p_sampled": fitted.log_p.tolist(), "log_p_error": fitted.log_p_error.tolist(),
        "log_p_encoders_q": encoders.log_p.tolist(), "log_p_grid": [g[0] for g in grid],
        "bound_grid": [g[1] for g in grid], "kl_grid": [g[2] for g in grid],
    }  # fmt: skip
    result["deep"] = {}
    for name, deep, count in (("VAE, K = 8", bench.model("vae", 8), 500), ("lossless", _lossless(), 200)):
        found = inference.importance_sampled(deep, bench.images(count))
        result["deep"][name] = {
            "pictures": count, "log_p": float(found.log_p.mean()), "bound": float(found.bound.mean()),
            "gap": float((found.log_p - found.bound).mean()),
            "standard_error": float(found.gap_error.square().mean().sqrt() / count**0.5),
        }  # fmt: skip
    return result


def _lossless() -> DigitsVAE:
    return weights.load("lossless").model()


def point_mass(bench: Bench) -> dict:
    """5: a point mass has infinite KL; on a lattice it has a finite code."""
    log2_sigma = torch.arange(0, -41, -1.0)
    zero = torch.zeros_like(log2_sigma)
    kl = gaussian_kl_bits(zero + 0.7, log2_sigma, zero, zero)
    lattice = [float(-torch.log2(_interval(0.7, 2.0**-bits))) for bits in range(11)]
    return {"log2_sigma": log2_sigma.tolist(), "kl_bits": kl.tolist(), "code_bits_at_width_log2": lattice}


def _interval(z: float, width: float) -> torch.Tensor:
    """P of the lattice's cell around z under N(0, 1)."""
    middle = round(z / width) * width
    edges = torch.tensor([middle - width / 2, middle + width / 2], dtype=torch.float64)
    return torch.special.ndtr(edges).diff()[0]


def gradient_estimators(bench: Bench) -> dict:
    """6: reparameterised gradients agree with finite differences and vary less than the score function's."""
    torch.manual_seed(0)
    model, result = bench.model("vae", 8), {"latent": [], "reparameterised": [], "score": [], "differences": []}
    noise = torch.randn(4000, 8)
    errors, ratios = [], []
    for image in bench.images(4):
        found = inference.gradients(model, image, noise)
        differences = inference.finite_differences(model, image, noise)
        errors.append(float((found.reparameterised.mean(0) - differences).norm() / differences.norm()))
        ratios.append(float(found.score.var(0).sum() / found.reparameterised.var(0).sum()))
    result["latent"] = list(range(8))
    for name in ("reparameterised", "score"):
        samples = getattr(found, name)
        result[name] = {"mean": samples.mean(0).tolist(), "deviation": samples.std(0).tolist()}
    result |= {"differences": differences.tolist(), "samples": len(noise)}
    return result | {"relative_error": errors, "variance_ratio": ratios}


def timed(work: Callable, *arguments) -> tuple:
    """What a call returns, and the seconds that it took."""
    start = time.perf_counter()
    result = work(*arguments)
    return result, time.perf_counter() - start


def inference_per_picture(bench: Bench) -> dict:
    """7: q fitted for each picture against amortised q; and the lecture's first strategy at toy size."""
    torch.manual_seed(0)
    model, images = bench.model("vae", 8).requires_grad_(False), bench.images(100)
    passes = [timed(model.infer, images) for _ in range(200)]
    amortised, one_pass = passes[0][0], float(np.median([seconds for _, seconds in passes]))
    prior = torch.zeros_like(amortised[0]), torch.full_like(amortised[1], -1.0)
    steps, starts = (0, 10, 30, 100, 300, 1000), {"from_encoder": amortised, "from_prior": prior}
    result: dict = {"steps": list(steps), "passes": [1.0], **{name: [] for name in starts}}
    for count in steps:
        for name, start in starts.items():
            q, seconds = timed(inference.fit_posterior, model, images, start, count) if count else (start, 0)
            result[name].append(float(inference.bound_nats(model, images, q, 50).mean()))
        if count:
            result["passes"].append(1 + seconds / one_pass)
    some = torch.from_numpy(bench.train.images[:300].copy())
    for name, learn in (("alternating", inference.alternate), ("amortised", together)):
        torch.manual_seed(0)
        toy = DigitsVAE(DigitsConfig("toy", 2, hidden=32, variance=0.05))
        result[name], result[f"{name}_seconds"] = timed(learn, toy, some, 120)
    result["alternating_work"] = result.pop("alternating_seconds") / result.pop("amortised_seconds")
    return result


def together(model: DigitsVAE, images: torch.Tensor, rounds: int) -> list[float]:
    """As `inference.alternate`, but q by the encoder, which learns by the same gradient as the decoder."""
    optimizer, course = torch.optim.Adam(model.parameters(), 3e-3), []
    for _ in range(rounds):
        optimizer.zero_grad()
        model(images).total_bpp.mean().backward()
        optimizer.step()
        with torch.no_grad():
            course.append(float(inference.bound_nats(model, images, model.infer(images), 1).mean()))
    return course


def switched_off(bench: Bench) -> dict:
    """8: the KL term switches latents off."""
    result: dict = {"latents": list(bench.latents), "variance": {}}
    for variance in (0.02, 0.1):
        part: dict = {"active": [], "bound_nats": [], "kl_nats": []}
        for latents in bench.latents:
            model = bench.model("vae", latents, variance)
            part["active"].append(int(inference.active_units(means(model, bench.test.images)).sum()))
            with torch.no_grad():
                q = model.infer(bench.images())
                part["bound_nats"].append(float(inference.bound_nats(model, bench.images(), q, 5).mean()))
                zero = torch.zeros_like(q[0])
                kl = gaussian_kl_bits(*q, zero, zero).mean(0) * LN2
            part["kl_nats"].append(sorted(kl.tolist(), reverse=True))
        result["variance"][f"{variance:g}"] = part
    return result


# --- 9, 10 -----------------------------------------------------------------------------------------------------------


def quadratic(z: torch.Tensor) -> torch.Tensor:
    """Latents and their products, for a probe that is not only linear."""
    i, j = torch.triu_indices(z.shape[1], z.shape[1])
    return torch.cat((z, z[:, i] * z[:, j]), 1)


def style_and_content(bench: Bench) -> dict:
    """9: generated digits are recognised at the asked label; style and content separate."""
    judge = features.train_classifier(bench.train)
    labels = bench.labels(bench.test)
    conditional, count = weights.load("digits").model(), 500
    made = [uses.sample(conditional, count, label, seed=label) for label in range(CLASSES)]
    asked = torch.arange(CLASSES).repeat_interleave(count)
    found = judge(features.inputs(np.concatenate(made) * 255)).argmax(1)
    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.long)
    confusion.index_put_((asked, found), torch.ones(len(asked), dtype=torch.long), accumulate=True)
    by_bound = uses.recognise(conditional, bench.test.images[:TEST])
    result: dict = {
        "judge_accuracy": features.accuracy(judge, features.inputs(bench.test.images), labels),
        "recognised": float((found == asked).double().mean()), "confusion": confusion.tolist(), "probe": {},
        "recognised_by_bound": float((by_bound == bench.test.labels[:TEST]).mean()),
    }  # fmt: skip
    known = bench.labels(bench.train)
    pairs = {
        "labels given": (means(conditional, bench.train.images, known), means(conditional, bench.test.images, labels)),
        "no labels": tuple(means(bench.model("vae", 8), part.images) for part in (bench.train, bench.test)),
    }
    for name, (a, b) in pairs.items():
        for probe, form in (("linear", lambda z: z), ("quadratic", quadratic)):
            x, y = features.standardise(form(a), form(b))
            model = features.linear_classifier(x, known)
            result["probe"].setdefault(name, {})[probe] = features.accuracy(model, y, labels)
    return result


def few_labels(bench: Bench) -> dict:
    """10: features for a supervised task, and M2."""
    labels, test = bench.labels(bench.train), bench.labels(bench.test)
    flat = [part.images.reshape(-1, PIXELS) / np.float32(255) for part in (bench.train, bench.test)]
    mean, axes, _ = principal_axes(flat[0])
    latents = 32
    sets = {
        "raw pixels": flat,
        f"PCA, {latents}": [((x - mean) @ axes[:, :latents]).astype(np.float32) for x in flat],
        f"VAE, {latents}": [means(bench.model("vae", latents), part.images) for part in (bench.train, bench.test)],
    }
    counts = (100, 1000, len(labels))
    result: dict = {"labels": list(counts), "accuracy": {name: [] for name in sets}}
    for name, (a, b) in sets.items():
        for count in counts:
            found = []
            for seed in range(1 if count == len(labels) else 5):
                chosen = torch.from_numpy(features.few_labels(bench.train.labels, min(count, len(labels)), seed))
                chosen = torch.arange(len(labels)) if count == len(labels) else chosen
                x, y = features.standardise(torch.as_tensor(a)[chosen], torch.as_tensor(b))
                decay = 1.0 / len(chosen)
                found.append(features.accuracy(features.linear_classifier(x, labels[chosen], decay=decay), y, test))
            result["accuracy"][name].append(found)
    chosen = features.few_labels(bench.train.labels, 100)
    torch.manual_seed(0)
    vae = DigitsVAE(DigitsConfig("m2", 16, "bernoulli", labels=True, hidden=bench.hidden))
    m2 = features.M2(vae, weight=60.0)
    features.train_m2(m2, bench.train, chosen, epochs=bench.epochs / 2)
    result["m2"] = features.accuracy(m2.classifier, features.inputs(bench.test.images), test)
    return result


CLAIMS: dict[str, Callable[[Bench], dict]] = {
    "0-shipped": shipped_models,
    "0-binarised": binarised,
    "1-linear": linear_autoencoder,
    "2-pca": against_pca,
    "3-noise": observation_noise,
    "4-gap": the_gap,
    "5-point": point_mass,
    "6-gradients": gradient_estimators,
    "7-inference": inference_per_picture,
    "8-latents": switched_off,
    "9-labels": style_and_content,
    "10-features": few_labels,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="MNIST's IDX files."
)
@click.option(
    "--runs", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where trained models are kept."
)
@click.option(
    "--figures", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/lecture"), show_default=True
)
@click.option("--epochs", default=8.0, show_default=True, help="Of each model that is trained.")
@numbers_option("--latents", "2,4,8,16,32,64", "Numbers of latents to compare", 1, 512)
@click.option("--only", help="Comma-separated numbers of claims.")
@output_option("lecture")
def main(data: Path, runs: Path, figures: Path, epochs: float, latents, only: str | None, output: Path) -> None:
    """Measure the ten claims and draw a figure for each."""
    torch.set_flush_denormal(True)
    bench = Bench(
        read_digits(data, "train"), read_digits(data, "test"), runs, epochs, tuple(int(float(k)) for k in latents)
    )
    store = Store(output.with_suffix(".json"))
    used = {"0-shipped": ("lossless", "digits", "map"), "4-gap": ("map", "lossless"), "9-labels": ("digits",)}
    figures.mkdir(parents=True, exist_ok=True)
    for name, claim in CLAIMS.items():
        if only and name.split("-")[0] not in only.split(","):
            continue
        stamp = {"epochs": epochs, "latents": list(bench.latents), "pictures": [len(bench.train), len(bench.test)]}
        stamp["models"] = {model: weights.load(model).fingerprint for model in used.get(name, ())}
        if name == "2-pca":
            stamp["variances"] = list(VARIANCES)
        if name == "0-binarised":
            stamp["epochs"] = [options.epochs for _, options in BINARISED.values()]
        part = section(store.data, name, stamp)
        if "results" not in part:
            say(f"claim {name}")
            part["results"] = claim(bench)
            store.save(now=True)
        if name in lecture_plot.FIGURES:
            lecture_plot.draw(name, part["results"], figures / f"{name}.png")
    publish(store, output, lecture_text.describe(store.data))


if __name__ == "__main__":
    main()
