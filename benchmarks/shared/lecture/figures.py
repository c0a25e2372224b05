"""A figure for each of the lecture's claims, from the results of lecture.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def _axes(count: int, width: float = 4.2):
    figure, axes = plt.subplots(1, count, figsize=(width * count, 3.3), layout="constrained", squeeze=False)
    for axis in axes[0]:
        axis.grid(alpha=0.3)
    return figure, axes[0]


def _powers(axis, values) -> None:
    """A logarithmic axis of numbers of latents, with those numbers as ticks."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(values, [str(v) for v in values])
    axis.set_xlabel("latents, K")


def _psnr(mse) -> np.ndarray:
    return -10 * np.log10(np.asarray(mse))


def linear(r: dict):
    """1."""
    figure, (left, right) = _axes(2)
    left.plot(r["latents"], r["mse_pca"], "o-", color="C7", label="PCA", markersize=9)
    left.plot(r["latents"], r["mse_linear_autoencoder"], "x--", color="C3", label="linear autoencoder")
    left.set(ylabel="squared error on test pictures", ylim=(0, 1.1 * max(r["mse_pca"])))
    left.legend()
    right.semilogy(r["latents"], r["angle_degrees"], "o-", color="C3")
    right.set_ylabel("largest angle to PCA's space, °")
    for axis in (left, right):
        _powers(axis, r["latents"])
    return figure


def envelope(curves: dict[str, dict]) -> tuple[np.ndarray, np.ndarray]:
    """The best that any number of latents gives: points that no other beats in bits and error both."""
    points = sorted((b, m) for curve in curves.values() for b, m in zip(curve["bits"], curve["mse"], strict=True))
    best, kept = np.inf, []
    for bits, mse in points:
        if mse < best:
            best = mse
            kept.append((bits, mse))
    return tuple(np.array(kept).T)


def pca(r: dict):
    """2."""
    figure, (left, right) = _axes(2, 4.8)
    for (kind, curves), colour in zip(r.items(), ("C7", "C1", "C0", "C2"), strict=True):
        latents = [int(k) for k in curves]
        left.plot(latents, _psnr([c["mse_unquantised"] for c in curves.values()]), "o-", color=colour, label=kind)
        for curve in curves.values():
            right.plot(curve["bits"], _psnr(curve["mse"]), color=colour, alpha=0.2, linewidth=0.8)
        bits, mse = envelope(curves)
        right.plot(bits, _psnr(mse), color=colour, label=f"{kind}, best K at each rate", linewidth=2)
    _powers(left, latents)
    left.set_ylabel("PSNR of the reconstruction, dB")
    right.set(xlabel="bits a picture, quantised code", ylabel="PSNR, dB", xlim=(0, 250), ylim=(9, 23))
    left.legend()
    right.legend()
    return figure


def noise(r: dict):
    """3."""
    figure, (left, right) = _axes(2)
    for (distance, values), colour in zip(r["log_p"].items(), ("C0", "C1", "C3"), strict=True):
        left.semilogx(r["variance"], values, color=colour, label=distance)
    left.set(
        xlabel="observation variance η", ylabel="log p(x), nats", ylim=(-60, 15), title="z in 1, x in 2 dimensions"
    )
    left.invert_xaxis()
    left.legend(loc="lower left", title="distance from the line", fontsize=8, title_fontsize=8)
    right.semilogx(r["variance"], r["bound_mnist"], color="C0")
    right.axvline(r["mse_mnist"], color="0.5", linestyle=":", label="η = squared error")
    right.set(xlabel="observation variance η", ylabel="F, nats", ylim=(-4000, 2000), title="MNIST, VAE with K = 8")
    right.invert_xaxis()
    right.legend(loc="lower left")
    return figure


def gap(r: dict):
    """4."""
    figure, (left, right) = _axes(2)
    pairs = (
        (left, r["linear"]["kl"], r["linear"]["log_p_minus_bound"], "linear-Gaussian model, exact", "C2"),
        (right, r["map"]["kl_grid"], np.subtract(r["map"]["log_p_sampled"], r["map"]["bound_grid"]),
         "deep model, K = 2: log p by 1,000 samples,\nF and KL by integrals", "C0"),
    )  # fmt: skip
    for axis, kl, difference, title, colour in pairs:
        top = 1.05 * max(max(kl), max(difference))
        axis.plot((0, top), (0, top), color="0.6", linewidth=1)
        axis.plot(kl, difference, "o", color=colour, markersize=4)
        axis.set(xlabel="KL(q ‖ p(z | x)), nats", ylabel="log p(x) − F, nats", title=title)
        axis.title.set_fontsize(10)
    return figure


def point(r: dict):
    """5."""
    figure, (axis,) = _axes(1, 5)
    sigma = 2.0 ** np.array(r["log2_sigma"])
    widths = 2.0 ** -np.arange(len(r["code_bits_at_width_log2"]))
    axis.semilogx(sigma, r["kl_bits"], color="C0", label="KL(N(0.7, σ²) ‖ N(0, 1)): no end, σ → 0")
    axis.semilogx(
        widths, r["code_bits_at_width_log2"], "o", color="C1", markersize=4, label="code on a lattice of that width"
    )
    axis.set(xlabel="σ, or width of the lattice", ylabel="bits")
    axis.invert_xaxis()
    axis.legend()
    return figure


def gradients(r: dict):
    """6."""
    figure, (left, right) = _axes(2)
    latent, error = np.array(r["latent"]), np.sqrt(r["samples"])
    for name, label, colour, shift in (
        ("reparameterised", "reparameterised", "C0", -0.12), ("score", "score function", "C1", 0.12)
    ):  # fmt: skip
        deviation = np.array(r[name]["deviation"])
        left.errorbar(
            latent + shift, r[name]["mean"], deviation / error, fmt="o", color=colour, label=label, markersize=4
        )
        right.semilogy(latent, deviation**2, "o-", color=colour, label=label)
    left.plot(latent, r["differences"], "k_", markersize=16, label="finite differences")
    left.set(xlabel="latent", ylabel="gradient, nats", title=f"mean of {r['samples']} samples, ± standard error")
    right.set(xlabel="latent", ylabel="variance of one sample")
    left.title.set_fontsize(10)
    bottom, top = left.get_ylim()
    left.set_ylim(bottom, top + 0.6 * (top - bottom))
    left.legend(loc="upper left")
    right.legend()
    return figure


def inference(r: dict):
    """7."""
    figure, (left, right) = _axes(2)
    left.semilogx(r["passes"], r["from_encoder"], "o-", color="C0", label="from the encoder's q")
    left.plot(r["passes"][1:], r["from_prior"][1:], "s-", color="C1", label="from one q for all")
    left.axhline(r["from_encoder"][0], color="C0", linestyle=":", label="amortised q")
    for steps, passes, value in zip(r["steps"][1:], r["passes"][1:], r["from_encoder"][1:], strict=True):
        left.annotate(f"{steps}", (passes, value), (0, 5), textcoords="offset points", ha="center", fontsize=8)
    low = min(r["from_encoder"][0], r["from_prior"][-1])
    span = max(r["from_encoder"]) - low
    left.set(
        xlabel="time, in passes of the encoder (at points: gradient steps)", ylabel="F, nats a picture",
        ylim=(low - 2.5 * span, low + 1.6 * span),
    )  # fmt: skip
    left.xaxis.label.set_fontsize(9)
    left.legend(loc="lower left")
    rounds = np.arange(1, len(r["alternating"]) + 1)
    right.plot(rounds, r["alternating"], color="C1", label="q fitted for each picture, then θ")
    right.plot(rounds, r["amortised"], color="C0", label="amortised: both at once")
    right.set(xlabel="steps of θ", ylabel="F, nats a picture", title="300 pictures, K = 2", ylim=(-1000, 150))
    right.title.set_fontsize(10)
    right.legend(loc="lower right")
    return figure


def latents(r: dict):
    """8."""
    figure, (left, middle, right) = _axes(3, 3.6)
    left.plot(r["latents"], r["latents"], color="0.7", label="all")
    for (variance, part), colour in zip(r["variance"].items(), ("C0", "C1"), strict=True):
        label = f"η = {variance}"
        left.plot(r["latents"], part["active"], "o-", color=colour, label=label)
        gain = np.subtract(part["bound_nats"], part["bound_nats"][0])
        middle.plot(r["latents"], gain, "o-", color=colour, label=label)
        values = part["kl_nats"][-1]
        right.plot(np.arange(1, len(values) + 1), values, ".-", color=colour, label=label)
    left.set_yscale("log", base=2)
    left.set_yticks(r["latents"], [str(v) for v in r["latents"]])
    left.set_ylabel("latents that say something")
    middle.set_ylabel(f"F over that of K = {r['latents'][0]}, nats")
    for axis in (left, middle):
        _powers(axis, r["latents"])
    right.set(xlabel=f"latents of K = {r['latents'][-1]}, by KL", ylabel="KL of a latent, nats")
    for axis in (left, middle, right):
        axis.legend()
    return figure


def labels(r: dict):
    """9."""
    figure, (left, right) = _axes(2)
    confusion = np.array(r["confusion"], float)
    left.grid(False)
    left.imshow(confusion / confusion.sum(1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(confusion / confusion.sum(1, keepdims=True)):
        for j, share in enumerate(row):
            if share >= 0.005:
                left.text(
                    j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color="w" if share > 0.5 else "k"
                )
    left.set(xlabel="recognised as", ylabel="asked for", xticks=range(10), yticks=range(10))
    left.set_title(f"generated digits, %: {100 * r['recognised']:.1f} at the asked label", fontsize=10)
    for number, (name, colour) in enumerate((("labels given", "C0"), ("no labels", "C1"))):
        values = [100 * v for v in r["probe"][name].values()]
        bars = right.bar(np.arange(2) + 0.38 * number - 0.19, values, 0.36, color=colour, label=f"model with {name}")
        right.bar_label(bars, fmt="%.0f")
    right.axhline(10, color="k", linestyle=":", label="chance")
    right.set(
        xticks=(0, 1), xticklabels=("linear probe", "quadratic probe"), ylabel="label found in z, %", ylim=(0, 128)
    )
    right.legend(loc="upper center", fontsize=8, ncols=2)
    return figure


def features(r: dict):
    """10."""
    figure, (axis,) = _axes(1, 5.5)
    names = [*r["accuracy"], "M2"]
    for number, name in enumerate(names):
        groups = r["accuracy"].get(name, [[r.get("m2")]])
        values = [100 * np.mean(g) for g in groups]
        spread = [100 * np.std(g) for g in groups]
        bars = axis.bar(np.arange(len(values)) + 0.2 * number - 0.3, values, 0.19, yerr=spread, label=name)
        axis.bar_label(bars, fmt="%.1f", fontsize=7)
    axis.set(xticks=range(len(r["labels"])), xticklabels=[f"{n:,} labels" for n in r["labels"]], ylim=(50, 108))
    axis.set_ylabel("accuracy on test, %")
    axis.legend(loc="upper left", ncols=4, fontsize=8)
    return figure


FIGURES: dict[str, Callable] = {
    "1-linear": linear, "2-pca": pca, "3-noise": noise, "4-gap": gap, "5-point": point, "6-gradients": gradients,
    "7-inference": inference, "8-latents": latents, "9-labels": labels, "10-features": features,
}  # fmt: skip


def draw(name: str, results: dict, path: Path) -> None:
    """Draws a claim's figure."""
    figure = FIGURES[name](results)
    figure.savefig(path, dpi=90)
    plt.close(figure)
