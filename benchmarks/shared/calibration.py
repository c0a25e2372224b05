"""The map from qualities to places on a model's own scale: made of photographs, and checked on others."""

from __future__ import annotations

import math

import numpy as np

from shared.held_out import picture_of
from shared.results import Store, markdown_table, measure_all

LOWEST, STEP = 30, 2
"""Qualities from here on are calibrated, with a knot every so many."""
ENDS = ([1.0, 0.0], [100.0, 1.0])
SHARES = "0,0.08,0.16,0.24,0.32,0.4,0.5,0.6,0.7,0.8,0.9,1"
REPORTED = tuple(range(LOWEST, 100, 10))


def measure(codec, rgb: np.ndarray, share: float, effort: int) -> dict[str, float]:
    """SSIMULACRA2 and rate of a picture at a place of the model's own scale."""
    from vaecodec.format.container import HEADER_BYTES, QUALITY_MAX
    from vaecodec.objective.distortion import ssimulacra2

    latents = codec.encode(rgb, round(share * QUALITY_MAX), effort=effort)
    size = HEADER_BYTES + len(latents.payload)
    looks = ssimulacra2(rgb, codec.synthesize(latents))
    return {"ssimulacra2": round(looks, 4), "bpp": round(8 * size / rgb[..., 0].size, 5)}


def knots_of(shares: np.ndarray, looks: np.ndarray) -> list[list[float]]:
    """The map: [quality, share], rising in both, from (1, 0) to (100, 1).

    Args:
        shares: places of the scale, from 0 to 1.
        looks: mean SSIMULACRA2 at each.

    Raises:
        ValueError: it does not rise along the scale, or no quality from `LOWEST` on is reached.
    """
    from scipy.interpolate import PchipInterpolator

    if (np.diff(looks) <= 0).any():
        raise ValueError("the mean SSIMULACRA2 does not rise along the model's scale")
    lowest, highest = max(LOWEST, math.floor(looks[0]) + 1), min(math.ceil(looks[-1]) - 1, 99)
    if highest < lowest:
        raise ValueError(f"the model reaches a SSIMULACRA2 of {looks[0]:.1f} to {looks[-1]:.1f} only")
    qualities = sorted({*range(lowest, highest + 1, STEP), highest})
    found = PchipInterpolator(looks, shares)(qualities)
    return [ENDS[0], *([float(q), round(float(s), 6)] for q, s in zip(qualities, found, strict=True)), ENDS[1]]


def share_of(knots: list[list[float]], quality: float) -> float:
    """Where on the scale a quality lies."""
    return float(np.interp(quality, *np.transpose(knots)))


def curves(rows: dict[str, dict[str, dict]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Shares, SSIMULACRA2 `[parts, shares]`, and the parts' names, of rows by share and part."""
    names = list(next(iter(rows.values())))
    looks = [[by_part[name]["ssimulacra2"] for by_part in rows.values()] for name in names]
    return np.array([float(share) for share in rows]), np.array(looks), names


def looks_at(shares: np.ndarray, looks: np.ndarray, share: float) -> np.ndarray:
    """SSIMULACRA2 of each part at any share, between those that were measured."""
    from scipy.interpolate import PchipInterpolator

    return PchipInterpolator(shares, looks, axis=-1)(share)


def check(shares: np.ndarray, looks: np.ndarray, names: list[str]) -> list[dict[str, float]]:
    """For each reported quality: share, spread over parts, how sure the mean is, and the error on other pictures.

    The mean's standard error is over pictures, as parts of one are alike. The error on pictures that the map was not
    made of is twofold: the map of every other picture, on the ones between, and the reverse.
    """
    pictures = sorted({picture_of(name) for name in names})
    belongs = np.array([pictures.index(picture_of(name)) for name in names])
    half = belongs % 2 == 1
    knots = knots_of(shares, looks.mean(0))
    rows = []
    for quality in (q for q in REPORTED if knots[1][0] <= q <= knots[-2][0]):
        row = {"quality": quality, "share": share_of(knots, quality)}
        values = looks_at(shares, looks, row["share"])
        by_picture = np.array([values[belongs == number].mean() for number in range(len(pictures))])
        row["spread"] = float(values.std(ddof=1))
        row["standard_error"] = float(by_picture.std(ddof=1) / len(pictures) ** 0.5)
        row["errors"] = []
        for made_of in (half, ~half):
            share = share_of(knots_of(shares, looks[made_of].mean(0)), quality)
            row["errors"].append(float(looks_at(shares, looks[~made_of], share).mean() - quality))
        rows.append(row)
    return rows


def calibrate(store: Store, codec, photographs: dict[str, np.ndarray], shares: list[str], effort: int) -> dict:
    """The map and what is known of it, measured as far as the store has it not: `knots` and `check`."""
    stamp = {"model_id": codec.stored.model_id.hex(), "effort": effort}
    work = lambda share, rgb: measure(codec, rgb, float(share), effort)
    places, looks, names = curves(measure_all(store, stamp, shares, photographs, work))
    result = {"model_id": stamp["model_id"], "effort": effort, "parts": len(names)}
    result |= {"knots": knots_of(places, looks.mean(0)), "check": check(places, looks, names)}
    result["means"] = {"share": places.tolist(), "ssimulacra2": looks.mean(0).round(3).tolist()}
    store.data["quality_map"] = result
    return result


def scale_of(result: dict):
    """The map as a model file holds it; it is known to tell looks between its first and last knots."""
    from vaecodec.format.qualities import QualityScale

    knots = result["knots"]
    return QualityScale(tuple(map(tuple, knots)), (knots[1][0], knots[-2][0]))


def report(result: dict) -> str:
    """Markdown."""
    cells = []
    for row in result["check"]:
        errors = " and ".join(f"{error:+.1f}" for error in row["errors"]).replace("-", "−")
        spread = [f"{row['spread']:.1f}", f"{row['standard_error']:.1f}"]
        cells.append([f"{row['quality']}", f"{row['share']:.3f}", *spread, errors])
    head = ["quality", "share of the scale", "standard deviation of SSIMULACRA2", "standard error of its mean"]
    means = result["means"]["ssimulacra2"]
    return (
        f"Model {result['model_id']}, effort {result['effort']}, {result['parts']} parts of photographs; "
        f"their mean SSIMULACRA2 goes from {means[0]:.1f} to {means[-1]:.1f} along the model's scale.\n\n"
        f"{markdown_table([*head, 'mean of the other half of the pictures, less the quality'], cells)}\n"
    )
