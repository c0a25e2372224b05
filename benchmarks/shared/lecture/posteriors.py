"""4 to 8: the gap, point masses, gradients, inference for each picture, and latents that say nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from shared.lecture.bench import LN2, Bench, means
from vaecodec.digits import weights
from vaecodec.digits.model import DigitsConfig, DigitsVAE
from vaecodec.digits.studies import inference, linear
from vaecodec.objective.bound import gaussian_kl_bits


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
