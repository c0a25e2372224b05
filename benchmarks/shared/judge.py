"""Are weights better than those that are shipped? By three measures that see differently, on held-out pictures.

Each measure flatters what was trained on it, so a gain by one alone is none: weights that lose by two of the three are
refused, in the mean or on the worst picture, on photographs or on graphics, and so are weights that shift colours. The
bits-back posterior must be no worse than the shipped one. AVIF and JPEG XL are measured once and kept, whatever is
installed later, so what weights are measured against does not change. `release.py` calls this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from shared import hyperlatents
from shared.rates.curves import Curve, bd_rate, measured_curves, per_image, useful_range
from shared.rates.measures import MEASURES, available
from shared.rates.measuring import lacking, run
from shared.rates.tables import percent
from shared.results import Store, markdown_table, measure_all, say

JUDGES = ("ssimulacra2", "butteraugli", "cvvdp")
MEASURED = ("psnr_db", *JUDGES)
NOTICED_PERCENT = 0.5
"""Smaller changes in rate are neither gained nor lost."""
MOST_LOST = 1
"""Of the three measures."""
MOST_SHIFT = 0.5
"""Grey levels by which the mean of a colour may move, in the mean over pictures."""
SHIFT_QUALITIES = ("25", "50", "75")
QUALITIES = (1, 15, 30, 45, 60, 75, 90, 100)
POSTERIOR_QUALITIES, POSTERIOR_PARTS = ("20", "50", "80"), 8
NOTICED_POSTERIOR_PERCENT = 0.02


def anchors(store: Store, images: dict[str, np.ndarray]) -> list:
    """AVIF and JPEG XL. Once measured they stay what they were; another version does not measure them again."""
    from vaecodec.baselines import classic

    codecs = []
    for codec in (classic.avif(), classic.jpeg_xl()):
        stored = store.data.get("codecs", {}).get(codec.name)
        if stored and stored["version"] != codec.version:
            points = stored["points"]
            rows = [points.get(f"{q:g}", {}).get(name) for q in codec.qualities for name in images]
            if any(lacking(row, MEASURED) for row in rows):
                raise click.ClickException(
                    f"{store.path}: half measured with {stored['version']}, and this is {codec.version}; "
                    "move the file away to begin anew"
                )
            codec = replace(codec, version=stored["version"])
        codecs.append(codec)
    return codecs


def model_codec(path: Path):
    """A model as a codec whose curve is named by its id."""
    from vaecodec.baselines.ours import VaeCodec

    codec = VaeCodec(path)
    codec.name, codec.qualities = f"model {codec.codec.stored.model_id.hex()}", QUALITIES
    return codec


# --- rate ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """In rate at equal quality by one measure, in per cent; negative is smaller.

    Attributes:
        mean: of the candidate against what is shipped.
        worst: of the candidate's worst picture against that of what is shipped, both as they stand to AVIF.
        anchors: of the candidate against each anchor.
    """

    mean: float
    worst: float
    anchors: dict[str, float]


def change(known: dict[str, Curve], shipped: Curve, candidate: Curve, measure: str) -> Change:
    """By one measure, where the SSIMULACRA2 of AVIF is useful; `known` has the anchors, AVIF first."""
    avif = next(iter(known.values()))
    within = useful_range(avif, measure)
    results = [bd_rate(curve, candidate, measure, within) for curve in (shipped, *known.values())]
    worst = [
        max(per_image(avif, curve, measure, limited=True).values(), default=None) for curve in (shipped, candidate)
    ]
    if None in (*results, *worst):
        raise click.ClickException(f"{MEASURES[measure].title}: the curves have no common range")
    mean, *others = (result[0] for result in results)
    relative = 100 * ((100 + worst[1]) / (100 + worst[0]) - 1)
    return Change(mean, relative, dict(zip(known, others, strict=True)))


def refusals(kind: str, changes: dict[str, Change]) -> list[str]:
    """Why weights are refused for how they do on one kind of picture; nothing if they are not."""
    reasons = []
    for where in ("mean", "worst"):
        values = {MEASURES[name].title: getattr(c, where) for name, c in changes.items()}
        lost = [f"{title} {percent(v)}" for title, v in values.items() if v > NOTICED_PERCENT]
        gained = [f"{title} {percent(v)}" for title, v in values.items() if v < -NOTICED_PERCENT]
        if len(lost) > MOST_LOST:
            what = "mean" if where == "mean" else "worst picture"
            reasons.append(f"{kind}, {what}: files grow by {' and '.join(lost)}; gained: {', '.join(gained) or 'none'}")
    return reasons


def compare(store: Store, shipped, candidate, kinds: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, Change]]:
    """Measures what the store lacks; changes by kind of picture and measure."""
    if left_out := available(list(JUDGES))[1]:
        raise click.ClickException("; ".join(f"{title}: {reason}" for title, reason in left_out.items()))
    images = {name: part for parts in kinds.values() for name, part in parts.items()}
    fixed = anchors(store, images)
    codecs = [*fixed, shipped, candidate]
    if failures := run(store, codecs, images, MEASURED):
        raise click.ClickException("; ".join(failures))
    result = {}
    for kind, parts in kinds.items():
        curves = measured_curves(store.data, codecs, list(parts))
        known = {codec.name: curves[codec.name] for codec in fixed}
        result[kind] = {name: change(known, curves[shipped.name], curves[candidate.name], name) for name in JUDGES}
    return result


# --- colour and posterior --------------------------------------------------------------------------------------------


def colour_shift(store: Store, codec, images: dict[str, np.ndarray]) -> np.ndarray:
    """By how much the means of red, green and blue move, in grey levels: `[qualities, 3]`, means over pictures."""

    def measure(quality: str, rgb: np.ndarray) -> dict:
        decoded = codec.decompress(codec.compress(rgb, float(quality)))
        return {"shift": (decoded.astype(float) - rgb).mean((0, 1)).round(4).tolist()}

    rows = measure_all(store, {"version": codec.version}, list(SHIFT_QUALITIES), images, measure)
    return np.array([np.mean([row["shift"] for row in by_part.values()], axis=0) for by_part in rows.values()])


def shift_refusals(shift: np.ndarray) -> list[str]:
    """One sentence for each quality at which a colour moves too far."""
    rows = zip(SHIFT_QUALITIES, shift, strict=True)
    show = lambda row: ", ".join(f"{name} {v:+.2f}" for name, v in zip(("red", "green", "blue"), row, strict=True))
    return [
        f"quality {q}: mean colours move by {show(row)} grey levels, and {MOST_SHIFT} is the limit"
        for q, row in rows
        if np.abs(row).max() > MOST_SHIFT
    ]


def bits_back_cost(store: Store, codec, images: dict[str, np.ndarray]) -> float | None:
    """By how many per cent bits-back makes files larger than rounding; `None` without a posterior."""
    if codec.bits_back is None:
        return None
    few = dict(list(images.items())[:POSTERIOR_PARTS])
    stamp = {"model": codec.stored.fingerprint}
    work = lambda quality, rgb: hyperlatents.measure(codec, rgb, float(quality))
    points = measure_all(store, stamp, list(POSTERIOR_QUALITIES), few, work)
    rows = [row for by_part in points.values() for row in by_part.values() if row["bits_back_bytes"]]
    if not rows:
        raise click.ClickException("no held-out part is large enough for bits-back")
    return 100 * (sum(row["bits_back_bytes"] for row in rows) / sum(row["rounded_bytes"] for row in rows) - 1)


def posterior_refusals(shipped: float | None, candidate: float | None) -> list[str]:
    """A sentence if the posterior is missing or costs more than the shipped one."""
    if candidate is None:
        return ["the weights have no posterior for bits-back"]
    if shipped is not None and candidate > shipped + NOTICED_POSTERIOR_PERCENT:
        return [f"bits-back changes files by {candidate:+.2f} %, with the shipped posterior by {shipped:+.2f} %"]
    return []


# --- report ----------------------------------------------------------------------------------------------------------


def report(changes: dict[str, dict[str, Change]], shift: np.ndarray, reasons: list[str]) -> str:
    """Markdown."""
    rows = [
        [kind, MEASURES[name].title, *map(percent, (c.mean, c.worst, *c.anchors.values()))]
        for kind, by_measure in changes.items()
        for name, c in by_measure.items()
    ]
    known = next(iter(next(iter(changes.values())).values())).anchors
    head = ["held out", "by", "against the shipped weights", "worst picture", *(f"against {name}" for name in known)]
    verdict = "".join(f"- {reason}\n" for reason in reasons) if reasons else "Nothing speaks against them.\n"
    return (
        f"Rates at equal quality.\n\n{markdown_table(head, rows)}\n\nMean colours move by at most "
        f"{np.abs(shift).max():.2f} grey levels.\n\n{'Refused:' if reasons else ''}\n{verdict}"
    )


def held_out_verdict(
    store: Store, folder: Path, shipped: Path, candidate: Path, kinds: dict[str, dict[str, np.ndarray]]
) -> tuple[str, list[str]]:
    """Text, and the reasons to refuse, of how a candidate does on held-out pictures against what is shipped.

    Args:
        store: of the rows of all models and anchors.
        folder: for what else is measured of the candidate.
        kinds: pictures by kind, photographs first.
    """
    old, new = model_codec(shipped), model_codec(candidate)
    changes = compare(store, old, new, kinds)
    reasons = [reason for kind, by_measure in changes.items() for reason in refusals(kind, by_measure)]
    shift = colour_shift(Store(folder / "colour.json"), new, next(iter(kinds.values())))
    reasons += shift_refusals(shift)
    return report(changes, shift, reasons), reasons


def posterior_verdict(folder: Path, shipped: Path, candidate: Path, photographs: dict[str, np.ndarray]) -> list[str]:
    """The reasons to refuse a candidate for its posterior."""
    from vaecodec.codec.codec import Codec

    costs = []
    for which, path in (("shipped", shipped), ("candidate", candidate)):
        costs.append(bits_back_cost(Store(folder / f"bits-back-{which}.json"), Codec(path), photographs))
        if costs[-1] is not None:
            say(f"bits-back against rounding, {which}: {costs[-1]:+.2f} %")
    return posterior_refusals(*costs)
