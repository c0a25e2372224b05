"""What tests share: the small frozen model, and pictures made from arithmetic alone."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaecodec.cli.workers import cores
from vaecodec.format.qualities import QualityScale

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # before torch comes: workers, and what they start, share the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))

os.environ["VAECODEC_PRECISION"] = "float32"  # what is frozen was made so; test_precision has the other one

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; tests send interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"
TINY = GOLDEN / "tiny.safetensors"
"""A model of a few thousand weights, trained for a minute and never to be changed: golden files depend on it."""
TINY_BITS_BACK = GOLDEN / "tiny-bits-back.safetensors"
"""The same with a posterior, for files coded with bits-back."""

MAP = QualityScale(((1, 0), (30, 0.125), (60, 0.5), (90, 0.875), (100, 1)), (30, 90))
"""A map of qualities, as models for looks have one."""


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth, coloured `[height, width, 3]` uint8 picture with an edge and some texture, the same everywhere."""
    rows, columns = np.mgrid[:height, :width]
    planes = [(rows * (3 + c + seed) + columns * (5 - c)) // 4 % 256 for c in range(3)]
    x = np.stack(planes, 2).astype(np.int64)
    x[(rows + columns) % 37 < 9] //= 2
    return x.astype(np.uint8)


def alone(model: Path):
    """A `Codec` whose model describes pictures alone: small ones, as in most tests, would be held without loss."""
    from vaecodec.codec.codec import Codec

    class Alone(Codec):
        def describer(self, planes, options):
            return super().describer(planes, replace(options, graphics=False))

    return Alone(model)


@pytest.fixture(scope="session")
def tiny():
    """A `Codec` with the frozen model, `alone`."""
    return alone(TINY)


@pytest.fixture(scope="session")
def looks():
    """A `Codec` with the shipped model for how people see."""
    from vaecodec.codec.codec import Codec

    return Codec("light")


@pytest.fixture(scope="session")
def tiny_bits_back():
    """A `Codec` with the frozen model that has a posterior, `alone`."""
    return alone(TINY_BITS_BACK)


@pytest.fixture(scope="session")
def format_2(tmp_path_factory) -> Path:
    """The model of `tiny_bits_back` as a file of format 2, with a map of qualities."""
    from vaecodec.networks.weights import load_model, save_model

    path = tmp_path_factory.mktemp("models") / "base.safetensors"
    save_model(load_model(TINY_BITS_BACK).model(), path, MAP)
    return path


@pytest.fixture
def two_models(format_2: Path, tmp_path: Path, monkeypatch) -> Path:
    """The folder of models, in which small ones stand for the shipped ones; the current folder has `a.png`."""
    from vaecodec.codec import api
    from vaecodec.codec.kinds import Codecs
    from vaecodec.format import catalog

    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(format_2, models / "light.safetensors")
    shutil.copy(TINY, models / "light-psnr.safetensors")
    monkeypatch.setattr(catalog, "FOLDERS", (models,))
    monkeypatch.setattr(api, "codecs", Codecs())
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(70, 140)).save("a.png")
    return models


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A window of a headless Chromium."""
    from browser import Browser, find_browser

    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium is installed")
    with Browser(executable, tmp_path_factory.mktemp("profile")) as window:
        yield window


# --- what was skipped can be run alone, when what it needs is there

SKIPPED = "vaecodec/skipped"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skipped", action="store_true", help="Run only what was skipped in the last run.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("skipped"):
        wanted = set(config.cache.get(SKIPPED, []))
        items[:] = [item for item in items if wanted & {item.nodeid, item.nodeid.partition("::")[0]}]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not hasattr(config, "cache"):
        return
    config.cache.set(SKIPPED, sorted({report.nodeid for report in terminalreporter.stats.get("skipped", [])}))
