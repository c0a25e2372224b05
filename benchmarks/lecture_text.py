"""What the results of lecture.py say, a paragraph a claim, for benchmarks/results/lecture.md."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from common import markdown_table


def _psnr(mse) -> np.ndarray:
    return -10 * np.log10(np.asarray(mse))


def linear(r: dict) -> str:
    errors = np.abs(np.divide(r["mse_linear_autoencoder"], r["mse_pca"]) - 1)
    return (
        f"K = {', '.join(map(str, r['latents']))}: largest principal angle to PCA's subspace "
        f"{max(r['angle_degrees']):.2g}°, error on test pictures within {max(errors):.1e} of PCA's."
    )


def fewest_bits(curves: dict[str, dict], db: float) -> float | None:
    """Bits a picture at which a PSNR is reached, with whatever number of latents."""
    found = [b for c in curves.values() for b, p in zip(c["bits"], _psnr(c["mse"]), strict=True) if p >= db]
    return min(found, default=None)


def pca(r: dict) -> str:
    latents = list(r["PCA"])
    plain = [[f"K = {k}", *(f"{_psnr(r[kind][k]['mse_unquantised']):.2f}" for kind in r)] for k in latents]
    coded = []
    for db in range(13, 22):
        bits = [fewest_bits(curves, db) for curves in r.values()]
        coded.append([f"{db} dB", *("–" if b is None else f"{b:.0f}" for b in bits)])
    return (
        "PSNR of unquantised codes, dB, test pictures:\n\n"
        + markdown_table(["", *r], plain)
        + "\n\nFewest bits a picture at which quantised codes reach a PSNR, K as one likes:\n\n"
        + markdown_table(["", *r], coded)
    )


def noise(r: dict) -> str:
    on = r["log_p"]["0"][-1]
    lowest = min(values[-1] for distance, values in r["log_p"].items() if float(distance))
    best = r["variance"][int(np.argmax(r["bound_mnist"]))]
    return (
        f"Linear-Gaussian model at η = {r['variance'][-1]:.0e}: log p(x) is {on:.1f} nats on the line, beside it down "
        f"to {lowest:.3g}. MNIST, K = 8: F is best at η = {best:.3g} of those tried; the squared error is "
        f"{r['mse_mnist']:.4f}."
    )


def gap(r: dict) -> str:
    exact = np.abs(np.subtract(r["linear"]["log_p_minus_bound"], r["linear"]["kl"])).max()
    m = r["map"]
    grid = np.abs(np.subtract(m["log_p_grid"], m["bound_grid"]) - m["kl_grid"]).max()
    sampled = np.abs(np.subtract(m["log_p_sampled"], m["log_p_grid"]))
    rows = []
    for name, d in r["deep"].items():
        difference = f"{d['gap']:.2f} ± {d['standard_error']:.2f}"
        rows.append([name, str(d["pictures"]), f"{d['log_p']:.1f}", f"{d['bound']:.1f}", difference])
    return (
        f"Linear-Gaussian model: the two sides differ by {exact:.0e} nats at most. Model `map`, integrals on a grid: "
        f"by {grid:.1e}. log p(x) by 1,000 importance samples differs from the integral by {sampled.mean():.2f} nats "
        f"on average, {sampled.max():.2f} at most. Deep models, nats a picture:\n\n"
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
        [f"{steps:,}", f"{a:.1f}", f"{b:.1f}"]
        for steps, a, b in zip(r["steps"], r["from_encoder"], r["from_prior"], strict=True)
    ]
    return (
        "F, nats a picture, after steps of gradient on each picture's q:\n\n"
        + markdown_table(["steps", "from the encoder's q", "from one q for all"], rows)
        + f"\n\nToy, {len(r['alternating'])} steps of θ: {r['alternating'][-1]:.0f} nats with q fitted for each "
        f"picture in between (ten steps each), {r['amortised'][-1]:.0f} with an encoder."
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


PARAGRAPHS: dict[str, Callable[[dict], str]] = {
    "0-shipped": shipped,
    "1-linear": linear, "2-pca": pca, "3-noise": noise, "4-gap": gap, "5-point": point, "6-gradients": gradients,
    "7-inference": inference, "8-latents": latents, "9-labels": labels, "10-features": features,
}  # fmt: skip


def describe(results: dict[str, dict]) -> str:
    """All claims that have been measured, as Markdown."""
    parts = ["# The lecture's claims: results\n\nWritten by benchmarks/lecture.py; docs/lecture.md explains them.\n"]
    for name, paragraph in PARAGRAPHS.items():
        if "results" in results.get(name, {}):
            number, _, what = name.partition("-")
            epochs = results[name]["epochs"]
            parts.append(
                f"## {number}: {what}\n\n{paragraph(results[name]['results'])}\n\n(epochs a model: {epochs:g})\n"
            )
    return "\n".join(parts)
