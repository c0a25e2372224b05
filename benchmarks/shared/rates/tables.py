"""Tables of rate and distortion: BD-rates by each measure, picture by picture, and against the baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from shared.rates.curves import USEFUL_SSIMULACRA2, Curve, bd_rate, per_image, rate_at, rate_ratio, useful_range
from shared.rates.measures import MEASURES
from shared.results import markdown_table

OURS = "vaecodec"
"""Begins the names of our codecs: the default model alone, other tunes and ablations behind a comma."""
TWIN = "VAE, factorised prior"
BASELINES = ("PCA 16x16", "PCA 8x8", "Autoencoder", TWIN)
ABLATION = ", factorised"
IN_SHORT = ("ELIC", "mbt2018-mean", "BPG", "bmshj2018-hyperprior")
"""The published curves that the short table has."""
LOOKS_FIRST = ("ssimulacra2", "butteraugli", "cvvdp", "psnr_db")
"""Measures of the table of looks."""
EQUAL_LOOKS = (60.0, 75.0)
"""SSIMULACRA2 at which sizes of single pictures are compared."""


def percent(value: float) -> str:
    """With a sign, and a real minus."""
    return f"{value:+.1f} %".replace("-", "−")


def models(names: Iterable[str]) -> list[str]:
    """Our models among some curves' names, without their ablations."""
    return [name for name in names if name.split(",")[0] == OURS and not name.endswith(ABLATION)]


def _measured(curves: dict[str, Curve]) -> list[str]:
    return [name for name in MEASURES if any(getattr(curve, name) for curve in curves.values())]


def _range(result: tuple[float, float, float], measure: str) -> str:
    digits = MEASURES[measure].digits
    return f"{result[1]:.{digits}f} to {result[2]:.{digits}f}".replace("-", "−")


# --- against one anchor ----------------------------------------------------------------------------------------------


def short_table(anchor: Curve, curves: dict[str, Curve], published: dict[str, Curve]) -> str:
    """BD-rates by PSNR alone."""
    shown = curves | {f"{name} (published)": published[name] for name in IN_SHORT if name in published}
    results = {name: bd_rate(anchor, curve, "psnr_db") for name, curve in shown.items() if curve is not anchor}
    rows = sorted((result[0], name) for name, result in results.items() if result is not None)
    bold = lambda name: f"**{name}**" if name == OURS else name
    return "\n".join(
        ["| codec | BD-rate |", "|---|---:|", *(f"| {bold(name)} | {percent(rate)} |" for rate, name in rows)]
    )


def looks_table(anchor: Curve, curves: dict[str, Curve]) -> str:
    """BD-rates of what people would choose between, by the measures of looks first; where the anchor's is useful."""
    names = [name for name in LOOKS_FIRST if name in _measured(curves)]
    rows = []
    for codec, curve in curves.items():
        if curve is anchor or codec.startswith(BASELINES) or codec.endswith(ABLATION):
            continue
        results = [bd_rate(anchor, curve, name, useful_range(anchor, name)) for name in names]
        cells = ["–" if result is None else percent(result[0]) for result in results]
        label = f"**{codec}**" if codec == OURS else codec
        rows.append((math.inf if results[0] is None else results[0][0], [label, *cells]))
    return markdown_table(["codec", *(MEASURES[name].title for name in names)], [row for _, row in sorted(rows)])


def psnr_table(anchor: Curve, curves: dict[str, Curve], published: dict[str, Curve], pictures: int) -> str:
    """BD-rates by PSNR of what was measured and what was published; `pictures` is how many there are."""
    rows = []
    for name, curve in (curves | published).items():
        if curve is anchor:
            continue
        count, label = len(curve.images), name if name in curves else f"{name} (published)"
        if name in curves and count != pictures:
            label += f" ({count} of {pictures} pictures)"
        result, single = bd_rate(anchor, curve, "psnr_db"), list(per_image(anchor, curve, "psnr_db").values())
        spread = f"{percent(np.mean(single))} ({percent(min(single))} to {percent(max(single))})" if single else "–"
        cells = ["–", "–"] if result is None else [percent(result[0]), _range(result, "psnr_db")]
        rows.append((math.inf if result is None else result[0], [label, *cells, spread]))
    head = ["codec", "by PSNR", "common range, dB", "per picture: mean (extremes)"]
    return markdown_table(head, [row for _, row in sorted(rows)])


def measures_table(anchor: Curve, curves: dict[str, Curve], *, limited: bool) -> str:
    """BD-rates by every measure, best by SSIMULACRA2 first.

    Args:
        limited: to where the anchor's SSIMULACRA2 is useful, and with the worst picture; otherwise over all of the
            common range, and with that.
    """
    names, rows = _measured(curves), []
    for codec, curve in curves.items():
        if curve is anchor:
            continue
        cells, first = [], math.inf
        for name in names:
            result = bd_rate(anchor, curve, name, useful_range(anchor, name) if limited else None)
            if result is None:
                cells.append("–")
                continue
            worst = per_image(anchor, curve, name, limited=True).values() if limited else ()
            note = _range(result, name) if not limited else percent(max(worst)) if worst else "–"
            cells.append(f"{percent(result[0])} ({note})")
            if name == ("ssimulacra2" if "ssimulacra2" in names else "psnr_db"):
                first = result[0]
        rows.append((first, [codec, *cells]))
    return markdown_table(["codec", *(MEASURES[name].title for name in names)], [row for _, row in sorted(rows)])


# --- picture by picture ----------------------------------------------------------------------------------------------


def size_changes(anchor: Curve, test: Curve, looks: float) -> dict[str, float]:
    """By picture: per cent of bytes against the anchor where both have that SSIMULACRA2."""
    changes = {}
    for name in anchor.images:
        if name in test.images:
            rates = [rate_at(curve.images[name], "ssimulacra2", looks) for curve in (anchor, test)]
            if None not in rates:
                changes[name] = 100 * (rates[1] / rates[0] - 1)
    return changes


def pictures_table(anchor: Curve, test: Curve) -> str:
    """Sizes at equal SSIMULACRA2 and BD-rates of every picture, the worst first; then how many are smaller."""
    at = {looks: size_changes(anchor, test, looks) for looks in EQUAL_LOOKS}
    names = _measured({"": test})
    rates = {name: per_image(anchor, test, name, limited=True) for name in names}
    pictures = sorted(test.images, key=lambda p: max(at[looks].get(p, -math.inf) for looks in EQUAL_LOOKS))[::-1]
    show = lambda values, picture: percent(values[picture]) if picture in values else "–"
    rows = [[p, *(show(at[v], p) for v in EQUAL_LOOKS), *(show(rates[name], p) for name in names)] for p in pictures]
    counts = [f"{sum(change < 0 for change in at[v].values())} of {len(at[v])} smaller" for v in EQUAL_LOOKS]
    rows.append(["all", *counts, *(show({"": np.mean(list(r.values()))} if r else {}, "") for r in rates.values())])
    head = ["picture", *(f"size at SSIMULACRA2 {v:g}" for v in EQUAL_LOOKS)]
    return markdown_table([*head, *(f"BD-rate, {MEASURES[name].title}" for name in names)], rows)


# --- what is learned -------------------------------------------------------------------------------------------------


def baseline_table(curves: dict[str, Curve]) -> str:
    """Whether our models and the VAE twin are ahead of PCA and the autoencoder at every rate.

    By PSNR and SSIMULACRA2, for models of both tunes: the first is what the baselines were made for, so a model of
    theirs shows the architecture, and both measures together show the objective.
    """
    lines = []
    for vae in [*models(curves), *(name for name in (TWIN,) if name in curves)]:
        for name in (*BASELINES, f"{vae}{ABLATION}"):
            for measure in ("psnr_db", "ssimulacra2"):
                if name not in curves or name == vae:
                    continue
                ratio = rate_ratio(curves[name], curves[vae], measure)
                if ratio is not None:
                    least, largest = (percent(100 * (f(ratio[1]) - 1)) for f in (min, max))
                    ahead = "yes" if max(ratio[1]) < 1 else "no"
                    title, span = MEASURES[measure].title, f"{ratio[0][0]:.1f} to {ratio[0][-1]:.1f}".replace("-", "−")
                    lines.append([vae, name, title, least, largest, ahead, span])
    head = ["", "against", "at equal", "rate: least", "largest", "ahead at every rate", "common range"]
    return markdown_table(head, lines) if lines else ""


# --- all of it -------------------------------------------------------------------------------------------------------


def report(
    curves: dict[str, Curve],
    published: dict[str, Curve],
    checks: dict[str, tuple[str, Curve]],
    anchors: tuple[str, ...],
    data: dict,
    count: int,
) -> str:
    """All tables, what was measured with, and what was left out."""
    known = [name for name in anchors if name in curves]
    low, high = USEFUL_SSIMULACRA2
    parts = [
        f"Means over {count} pictures of bits per pixel (whole files) and of each measure, at constant setting; "
        "8-bit RGB. BD-rate: mean difference in rate at equal quality; negative is smaller.\n"
    ]
    if known:
        parts.append(f"### In short: BD-rate against {known[0]}, where its SSIMULACRA2 is {low:g} to {high:g}\n")
        parts.append(f"{looks_table(curves[known[0]], curves)}\n")
    for name in known:
        parts.append(
            f"### BD-rate against {name}, by each measure\n\nWhere the SSIMULACRA2 of {name} is {low:g} to {high:g}; "
            f"in brackets the worst picture.\n\n{measures_table(curves[name], curves, limited=True)}\n\n"
            f"Over all of the common range, which is in brackets.\n\n"
            f"{measures_table(curves[name], curves, limited=False)}\n"
        )
    for anchor in (name for name in known if curves[name].ssimulacra2):
        for model in (name for name in models(curves) if name not in known):
            parts.append(f"### {model} against {anchor}, picture by picture\n")
            parts.append(f"{pictures_table(curves[anchor], curves[model])}\n")
    everything = curves | published
    for number, name in enumerate(name for name in anchors if name in everything):
        if not number:
            parts.append(f"### In short: BD-rate by PSNR against {name}\n")
            parts.append(f"{short_table(everything[name], curves, published)}\n")
        if published:
            parts.append(f"### BD-rate by PSNR against {name}, published curves too\n")
            parts.append(f"{psnr_table(everything[name], curves, published, count)}\n")
    if baselines := baseline_table(curves):
        parts.append(f"### What is learned, against PCA and the plain autoencoder\n\n{baselines}\n")
    agreement = [
        (name, of, bd_rate(curve, curves[of], "psnr_db")) for name, (of, curve) in checks.items() if of in curves
    ]
    if agreement:
        rows = [
            [name, of, *(["–", "–"] if result is None else [percent(result[0]), _range(result, "psnr_db")])]
            for name, of, result in agreement
        ]
        parts.append("### Measured here against published measurements of the same codec\n")
        parts.append(markdown_table(["published", "here", "BD-rate by PSNR", "common range, dB"], rows) + "\n")
    settings = [[name, data["codecs"][name]["settings"], data["codecs"][name]["version"]] for name in curves]
    parts.append(f"### Settings\n\n{markdown_table(['codec', 'settings', 'version'], settings)}\n")
    for title, key in (("Left out", "left_out"), ("Failed", "failed")):
        if data.get(key):
            items = "\n".join(f"- {name}: {reason}" for name, reason in data[key].items())
            parts.append(f"### {title}\n\n{items}\n")
    return "\n".join(parts)
