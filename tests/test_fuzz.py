"""The fuzz targets: inputs that once crashed one are replayed, and each runs for a while.

With atheris (`pip install atheris`) each runs for `VAECODEC_FUZZ_SECONDS`: 30, unless told; 0 leaves it out. Without
hypothesis tries a few inputs, which shows that the targets still run and not much more.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

FUZZ = ROOT / "tests" / "fuzz"
sys.path.append(str(FUZZ))

import harness  # noqa: E402

TARGETS = ("header", "chunks", "coder", "decode", "images")
CRASHERS = sorted(path for path in harness.CRASHERS.glob("*/*") if path.is_file())
SECONDS = int(os.environ.get("VAECODEC_FUZZ_SECONDS", "30"))


def target(name: str):
    """A target's module."""
    return importlib.import_module(name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", CRASHERS, ids=lambda path: f"{path.parent.name} {path.name[-8:]}")
def test_what_once_crashed_no_longer_does(path: Path) -> None:
    assert target(path.parent.name).target(path.read_bytes())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_targets_take_their_seeds_and_what_is_near_them(name: str) -> None:
    module = target(name)
    outcomes = {module.target(data) for data in module.SEEDS}
    assert outcomes & {"read", "decoded"}
    harness.by_hypothesis(module.target, module.SEEDS, examples=60)


@pytest.mark.slow
def test_a_crash_is_found_and_its_input_told() -> None:
    def fragile(data: bytes) -> str:
        if b"\xff" in data:
            raise KeyboardInterrupt
        return "read"

    with pytest.raises(AssertionError, match="KeyboardInterrupt") as caught:
        harness.by_hypothesis(fragile, [bytes(10)], examples=500)
    assert b"\xff" in caught.value.data


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris")
@pytest.mark.skipif(SECONDS == 0, reason="VAECODEC_FUZZ_SECONDS is 0")
@pytest.mark.parametrize("name", TARGETS)
def test_fuzzing_finds_nothing(name: str) -> None:
    command = [sys.executable, FUZZ / f"{name}.py", "--seconds", str(SECONDS)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["inputs"] > SECONDS
