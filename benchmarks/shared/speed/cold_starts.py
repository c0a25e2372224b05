"""Seconds of a cold start of the command line, and of what it is set against."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from shared.speed.report import DECODE, TORCH

EMPTY_START = "python -c pass"
WARM = """
import sys, time
from vaecodec.cli.transcode import Writing, decompress_file
times = []
for _ in range(6):
    start = time.perf_counter()
    decompress_file(*sys.argv[1:3], format_name="PNG", model=sys.argv[3] or None, writing=Writing(force=True))
    times.append(time.perf_counter() - start)
print(min(times))
"""
"""File to file, where everything has been loaded."""


def cold_starts(model: str | None, image: np.ndarray, repeats: int = 5) -> dict[str, float]:
    """Seconds of whole runs of the command line and of what they are set against; the fastest of a few.

    All take turns, so that what else the machine does meets all alike.
    """
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        png, vae, back = (str(Path(folder) / name) for name in ("a.png", "a.vae", "b.png"))
        Image.fromarray(image).save(png)
        which = ["-m", str(model)] if model else []
        cli = lambda *arguments: ["-c", "from vaecodec.cli.main import main; main()", *arguments]
        runs = {
            EMPTY_START: ["-c", "pass"],
            "vaecodec --version": cli("--version"),
            "vaecodec compress": cli("compress", "-f", png, vae, *which),
            "vaecodec info": cli("info", vae),
            TORCH: ["-c", "import torch"],
            "vaecodec decompress": cli("decompress", "-f", vae, back, *which),
            DECODE: ["-c", WARM, vae, back, str(model or "")],
        }
        result = dict.fromkeys(runs, np.inf)
        for _ in range(repeats):
            for name, arguments in runs.items():
                start = time.perf_counter()
                done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
                seconds = time.perf_counter() - start
                if done.returncode:
                    raise click.ClickException(f"{name} failed: {done.stderr.strip()}")
                result[name] = round(min(result[name], float(done.stdout) if name == DECODE else seconds), 3)
    return result
