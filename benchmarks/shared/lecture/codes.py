"""1 to 3: linear and deep autoencoders as codes, and what noise in the observation is for."""

from __future__ import annotations

import math

import numpy as np
import torch

from shared.lecture.bench import LN2, TEST, VARIANCES, Bench, means
from vaecodec.baselines.pca import principal_axes
from vaecodec.digits import train
from vaecodec.digits.model import PIXELS
from vaecodec.digits.studies import linear


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
