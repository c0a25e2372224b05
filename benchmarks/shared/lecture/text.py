"""What the results of lecture.py say, a paragraph a claim, for benchmarks/results/lecture.md."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shared.results import markdown_table
from vaecodec.digits.model import PIXELS

LN2 = np.log(2)


def _psnr(mse) -> np.ndarray:
    return -10 * np.log10(np.asarray(mse))


def linear(r: dict) -> str:
    errors = np.abs(np.divide(r["mse_linear_autoencoder"], r["mse_pca"]) - 1)
    return (
        f"K = {', '.join(map(str, r['latents']))}: largest principal angle to PCA's subspace "
        f"{max(r['angle_degrees']):.2g}°, error on test pictures within {max(errors):.1e} of PCA's."
    )


def fewest_bits(curves: dict[str, dict], db: float) -> float | None:
    """Bits a picture at which a PSNR is reached, with whatever number of latents; between two widths, by a line."""
    found = []
    for curve in curves.values():
        psnr, bits = _psnr(curve["mse"]), curve["bits"]
        for i in np.flatnonzero((psnr[:-1] < db) & (db <= psnr[1:])):
            found.append(float(np.interp(db, psnr[i : i + 2], bits[i : i + 2])))
    return min(found, default=None)


def pca(r: dict) -> str:
    latents = list(r["PCA"])
    plain = [[f"K = {k}", *(f"{_psnr(r[kind][k]['mse_unquantised']):.2f}" for kind in r)] for k in latents]
    coded = []
    for db in range(13, 23):
        bits = [fewest_bits(curves, db) for curves in r.values()]
        coded.append([f"{db} dB", *("–" if b is None else f"{b:.1f}" for b in bits)])
    return (
        "PSNR of unquantised codes, dB, test pictures:\n\n"
        + markdown_table(["", *r], plain)
        + "\n\nFewest bits a picture at which quantised codes reach a PSNR, K as one likes:\n\n"
        + markdown_table(["", *r], coded)
        + f"\n\n{vae_against_autoencoder(r)}"
    )


def vae_against_autoencoder(r: dict) -> str:
    """How much shorter the VAE's code is, with the best K and η, wherever both reach a PSNR."""
    vaes = {f"{name}, {k}": curve for name in r if name.startswith("VAE") for k, curve in r[name].items()}
    grid = np.arange(12.5, 30, 0.1)
    pairs = {db: (fewest_bits(vaes, db), fewest_bits(r["autoencoder"], db)) for db in grid}
    longer = {db: 100 * (a / b - 1) for db, (a, b) in pairs.items() if a is not None and b is not None}
    percent = np.array(list(longer.values()))
    where = ", ".join(f"{db:.1f}" for db, value in longer.items() if value >= 0)
    worst = f"{abs(percent.max()):.1f} % {'longer' if percent.max() > 0 else 'shorter'}"
    return (
        f"From {min(longer):.1f} to {max(longer):.1f} dB, η as one likes, the VAE's code is {-np.median(percent):.0f} "
        f"% shorter than the autoencoder's in the median: from {-percent.min():.0f} % shorter to {worst}. "
        + (f"It is not shorter at {where} dB." if where else "It is shorter everywhere.")
    )


def noise(r: dict) -> str:
    on = r["log_p"]["0"][-1]
    lowest = min(values[-1] for distance, values in r["log_p"].items() if float(distance))
    best = r["variance"][int(np.argmax(r["bound_mnist"]))]
    return (
        f"Linear-Gaussian model at η = {r['variance'][-1]:.0e}: log p(x) is {on:.1f} nats on the line, and beside it "
        f"down to {lowest:.3g}. MNIST, K = 8: F is best at η = {best:.3g} of those tried; the squared error is "
        f"{r['mse_mnist']:.4f}."
    )


def gap(r: dict) -> str:
    exact = np.abs(np.subtract(r["linear"]["log_p_minus_bound"], r["linear"]["kl"])).max()
    m = r["map"]
    grid = np.abs(np.subtract(m["log_p_grid"], m["bound_grid"]) - m["kl_grid"]).max()
    sampled, encoders = (np.abs(np.subtract(m[k], m["log_p_grid"])) for k in ("log_p_sampled", "log_p_encoders_q"))
    error = np.array(m["log_p_error"])
    rows = []
    for name, d in r["deep"].items():
        difference = f"{d['gap']:.2f} ± {d['standard_error']:.2f}"
        rows.append([name, str(d["pictures"]), f"{d['log_p']:.1f}", f"{d['bound']:.1f}", difference])
    return (
        f"Linear-Gaussian model: the two sides differ by {exact:.0e} nats at most. Model `map`, {len(error)} pictures, "
        f"by integrals on a grid: by {grid:.1e}. log p(x) by 1,000 importance samples differs from the integral by "
        f"{np.median(sampled):.3f} nats in the median and {sampled.max():.3f} at most, by no more than two standard "
        f"errors for {(sampled < 2 * error).sum()} pictures (standard errors up to {error.max():.3f}; KL up to "
        f"{max(m['kl_grid']):.0f} nats). They are drawn from q fitted to each picture, from the best of 1,000 draws of "
        f"the prior on, and widened to twice its σ. Drawn from the encoder's q they differ by "
        f"{np.median(encoders):.2f} in the median and {encoders.max():.1f} at most. Deep models, drawn from the "
        f"encoder's q, nats a picture:\n\n"
        + markdown_table(["model", "pictures", "log p(x), 1,000 samples", "F", "log p(x) − F"], rows)
    )


def point(r: dict) -> str:
    rise = np.diff(r["kl_bits"])[-10:].mean()
    return f"KL rises by {rise:.3f} bits each time that σ is halved, to {r['kl_bits'][-1]:.0f} bits at σ = 2^-40."


def gradients(r: dict) -> str:
    return (
        f"{r['samples']:,} samples, 4 pictures: relative error of the reparameterised gradient against finite "
        f"differences {max(r['relative_error']):.1e} at most; variance of the score function's estimate "
        f"{min(r['variance_ratio']):,.0f} to {max(r['variance_ratio']):,.0f} times as large."
    )


def inference(r: dict) -> str:
    rows = [
        [f"{steps:,}", f"{passes:,.0f}", f"{a:.1f}", f"{b:.1f}"]
        for steps, passes, a, b in zip(r["steps"], r["passes"], r["from_encoder"], r["from_prior"], strict=True)
    ]
    return (
        "F, nats a picture, after steps of gradient on each picture's q, and the time that they take, with one pass "
        "of the encoder over the same pictures as the unit:\n\n"
        + markdown_table(["steps", "time", "from the encoder's q", "from one q for all"], rows)
        + f"\n\nToy, {len(r['alternating'])} steps of θ: {r['alternating'][-1]:.0f} nats with q fitted for each "
        f"picture in between (ten steps each), {r['amortised'][-1]:.0f} with an encoder, which takes "
        f"1/{r['alternating_work']:.0f} of the time."
    )


def latents(r: dict) -> str:
    rows = [
        [f"K = {k}", *(str(part["active"][i]) for part in r["variance"].values()),
         *(f"{part['bound_nats'][i]:.1f}" for part in r["variance"].values())]
        for i, k in enumerate(r["latents"])
    ]  # fmt: skip
    head = ["", *(f"active, η = {v}" for v in r["variance"]), *(f"F, η = {v}" for v in r["variance"])]
    return markdown_table(head, rows)


def labels(r: dict) -> str:
    rows = []
    for name, probe in r["probe"].items():
        rows.append([f"z of a model with {name}", *(f"{100 * value:.1f}" for value in probe.values())])
    return (
        f"Generated digits that a classifier of real ones ({100 * r['judge_accuracy']:.1f} % on test pictures) "
        f"recognises at the asked label: {100 * r['recognised']:.1f} %. Labels by the highest bound: "
        f"{100 * r['recognised_by_bound']:.1f} % right. Label found by a probe, % of test pictures:\n\n"
        + markdown_table(["", "linear", "quadratic"], rows)
    )


def features(r: dict) -> str:
    rows = [[name, *(f"{100 * np.mean(v):.1f}" for v in values)] for name, values in r["accuracy"].items()]
    rows.append(["M2", f"{100 * r['m2']:.1f}", "", ""])
    return "Accuracy on test pictures, %:\n\n" + markdown_table(["", *(f"{n:,} labels" for n in r["labels"])], rows)


def shipped(r: dict) -> str:
    rows = [[name, f"{nats:.1f}", f"{bpp:.4f}"] for name, (nats, bpp) in r["bounds"].items()]
    return (
        f"Pack of {r['pictures']:,} test pictures: {r['bytes']:,} bytes, {r['bpp']:.4f} bits a pixel; the "
        f"model's bound by the latents that were coded {r['bound_bpp']:.4f}, difference "
        f"{100 * (r['bpp'] / r['bound_bpp'] - 1):.2f} %; "
        f"initial bits {r['initial_bits']:.0f}; unpacked identically: {'yes' if r['identical'] else 'no'}.\n\n"
        "F of the shipped models on the test part (8-bit pictures for `lossless`, densities for the others):\n\n"
        + markdown_table(["model", "F, nats a picture", "−F, bits a pixel"], rows)
    )


BINARISED = {"Townsend et al. 2019": ("−F", 0.19 * PIXELS * LN2), "Burda et al. 2016": ("−log p(x)", 86.76)}
"""Nats a picture.

Townsend, Bird, Barber, ICLR 2019, arXiv:1901.04866: 0.19 bits a pixel of binarised MNIST, bound and BB-ANS both (and
1.39 and 1.41 of MNIST in 8 bits). Sizes by their program: github.com/bits-back/bits-back,
torch_vae/torch_bin_mnist_compress.py.

Burda, Grosse, Salakhutdinov, ICLR 2016, arXiv:1509.00519, table 1: VAE, one stochastic layer, k = 1, by 5,000 samples.
Sizes and epochs (1 + 3 + 9 + … + 3^7 = 3,280) by their program: github.com/yburda/iwae, experiments.py.

Both figures as others quote them beside their own: B. Keng's article on bits-back coding at bjlkeng.io (1.41), and
github.com/nbip/IWAE (86.76).
"""


def binarised(r: dict) -> str:
    rows = []
    for source, d in r.items():
        what, published = BINARISED[source]
        found = {"−F": -d["bound_nats"], "−log p(x)": -d["bound_nats"] - d["gap_nats"]}
        rows.append([
            f"{d['latents']} latents, two hidden layers of {d['hidden']}", f"{d['epochs']:g}",
            *(f"{value:.2f} ({value / PIXELS / LN2:.4f})" for value in found.values()),
            f"{what} {published:.2f} ({published / PIXELS / LN2:.2g}), {source}",
            f"{what} {100 * (found[what] / published - 1):+.1f} %",
        ])  # fmt: skip
    return (
        f"Binarised pictures: each pixel of the {d['pictures']:,} test pictures is drawn once as white with the "
        "probability that its grey level says, those of training anew each time. Nats a picture, and bits a pixel:\n\n"
        + markdown_table(["", "epochs", "−F", "−log p(x)", "published", "difference"], rows)
        + f"\n\nlog p(x) is F and what {d['samples']:,} importance samples add to it, on {d['gap_pictures']:,} of the "
        f"pictures (standard error {max(d['gap_standard_error'] for d in r.values()):.2f})."
    )


PARAGRAPHS: dict[str, Callable[[dict], str]] = {
    "0-shipped": shipped, "0-binarised": binarised,
    "1-linear": linear, "2-pca": pca, "3-noise": noise, "4-gap": gap, "5-point": point, "6-gradients": gradients,
    "7-inference": inference, "8-latents": latents, "9-labels": labels, "10-features": features,
}  # fmt: skip

UNTRAINED = ("0-shipped", "0-binarised", "1-linear", "5-point")
"""These train no model for the epochs that all others have in common."""


def describe(results: dict[str, dict]) -> str:
    """All claims that have been measured, as Markdown."""
    parts = ["# The lecture's claims: results\n\nWritten by benchmarks/lecture.py; docs/lecture.md explains them.\n"]
    for name, paragraph in PARAGRAPHS.items():
        if "results" in results.get(name, {}):
            number, _, what = name.partition("-")
            parts.append(f"## {number}: {what}\n\n{paragraph(results[name]['results'])}\n")
            if name not in UNTRAINED:
                parts.append(f"(epochs a model: {results[name]['epochs']:g})\n")
    return "\n".join(parts)
