"""Seconds of a cold start of the command line, and of what it is set against."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from shared.speed.measuring import Failed
from shared.speed.processes import environment, package_root

BARE = "python -c pass"
TORCH = 'python -c "import torch"'
DECODE = "decode, .vae to PNG, all loaded"
COMPRESS, DECOMPRESS = "vaecodec compress", "vaecodec decompress"
WARM = """
import json, sys, time
from vaecodec.cli.transcode import Writing, decompress_file
times = []
for _ in range(6):
    start = time.perf_counter()
    decompress_file(*sys.argv[1:3], format_name="PNG", model=sys.argv[3], writing=Writing(force=True))
    times.append(time.perf_counter() - start)
print(json.dumps(times[1:]))
"""
"""File to file, where everything has been loaded."""


def cold_starts(model: str, image: np.ndarray, repeats: int) -> dict[str, float]:
    """Seconds of whole runs of the command line and of what they are set against; medians.

    All take turns, so that what else the machine does meets all alike.

    Raises:
        Failed: one of them did not work.
    """
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        png, vae, back = (str(Path(folder) / name) for name in ("a.png", "a.vae", "b.png"))
        Image.fromarray(image).save(png)
        cli = lambda *arguments: ["-m", "vaecodec", *arguments]
        runs = {
            BARE: ["-c", "pass"],
            "vaecodec --version": cli("--version"),
            "vaecodec --help": cli("--help"),
            COMPRESS: cli("compress", "-f", png, vae, "-m", model),
            "vaecodec info": cli("info", vae),
            TORCH: ["-c", "import torch"],
            DECOMPRESS: cli("decompress", "-f", vae, back, "-m", model),
            DECODE: ["-c", WARM, vae, back, model],
        }
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, arguments in runs.items():
                start = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, *arguments],
                    env=environment(package_root()), cwd=folder, capture_output=True, text=True,
                )  # fmt: skip
                seconds = time.perf_counter() - start
                if done.returncode:
                    raise Failed(f"{name}: {done.stderr.strip()}")
                times[name] += json.loads(done.stdout) if name == DECODE else [seconds]
    return {name: round(statistics.median(values), 4) for name, values in times.items()}
