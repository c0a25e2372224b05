"""How a decoded picture is measured: what each measure needs, and the scale on which rates are compared by it.

Butteraugli and CVVDP live here and not in the package, which runs no other programs.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BUTTERAUGLI = "butteraugli_main"
"""Of libjxl's tools (Debian: libjxl-devtools)."""
FLAWLESS_JOD = 10.0


def butteraugli(original: np.ndarray, decoded: np.ndarray) -> float:
    """Butteraugli's distance, 3-norm, of two `[H, W, 3]` uint8 arrays; 0 where they are equal."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, name)) for name in ("original.ppm", "decoded.ppm")]
        for path, image in zip(paths, (original, decoded), strict=True):
            Image.fromarray(image).save(path)
        run = subprocess.run([BUTTERAUGLI, *paths], capture_output=True, text=True, check=True)
    return float(run.stdout.rpartition("3-norm:")[2])


def _cvvdp(original: np.ndarray, decoded: np.ndarray) -> float:
    from shared.rates.cvvdp_stills import cvvdp

    return cvvdp(original, decoded)


def _from_package(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def compute(original: np.ndarray, decoded: np.ndarray) -> float:
        from vaecodec.pictures import metrics

        return getattr(metrics, name)(original, decoded)

    return compute


def _packages(*names: str) -> Callable[[], str | None]:
    def lacking() -> str | None:
        absent = [name for name in names if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else None

    return lacking


def _program(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"the program {name} is not installed"


@dataclass(frozen=True)
class Measure:
    """One way to say how good a decoded picture is.

    Attributes:
        title: for heads of tables.
        axis: for axes, with the unit.
        compute: of original and decoded picture, `[H, W, 3]` uint8.
        scale: of values, to something that rises with quality and is smooth in the logarithm of the rate. Rates are
            compared, and means of them taken, on this scale (docs/benchmarks.md says why it is which).
        restore: the inverse.
        lacking: what it needs and is not installed, or `None`.
        digits: after the point, in tables.
    """

    title: str
    axis: str
    compute: Callable[[np.ndarray, np.ndarray], float]
    scale: Callable = lambda value: value
    restore: Callable = lambda value: value
    lacking: Callable[[], str | None] = lambda: None
    digits: int = 1


MEASURES = {
    "psnr_db": Measure("PSNR", "PSNR, dB", _from_package("psnr_db")),
    "ms_ssim": Measure(
        "MS-SSIM",
        "MS-SSIM, dB: −10 log10(1 − MS-SSIM)",
        _from_package("ms_ssim"),
        lambda value: -10 * np.log10(1 - np.minimum(value, 1 - 1e-9)),
        lambda scaled: 1 - 10 ** (-np.asarray(scaled) / 10),
        _packages("pytorch_msssim"),
        digits=4,
    ),
    "ssimulacra2": Measure(
        "SSIMULACRA2", "SSIMULACRA2", _from_package("ssimulacra2"), lacking=_packages("ssimulacra2")
    ),
    "butteraugli": Measure(
        "Butteraugli",
        "Butteraugli: −ln(3-norm)",
        butteraugli,
        lambda value: -np.log(np.maximum(value, 1e-3)),
        lambda scaled: np.exp(-np.asarray(scaled)),
        _program(BUTTERAUGLI),
        digits=2,
    ),
    "cvvdp": Measure(
        "CVVDP", "CVVDP, JOD", _cvvdp, lacking=_packages("pycvvdp", "ffmpeg", "imageio"), digits=2
    ),
}  # fmt: skip
"""By their name in results."""


def available(names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Those of some measures that can be taken here, and why the others cannot."""
    reasons = {name: MEASURES[name].lacking() for name in names}
    left_out = {MEASURES[name].title: reason for name, reason in reasons.items() if reason}
    return [name for name in names if not reasons[name]], left_out


def rounded(value: float) -> float | None:
    """As results store it: JSON has no NaN."""
    return round(value, 6) if math.isfinite(value) else None
