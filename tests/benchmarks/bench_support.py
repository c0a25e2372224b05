"""What tests of the benchmark programs share: the programs, pictures for them, and what they need installed."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import picture
from PIL import Image
from support import ROOT

for package in ("matplotlib", "bjontegaard", "pytorch_msssim"):
    pytest.importorskip(package, reason=f"{package} is not installed (extras bench and test)")

BENCHMARKS = ROOT / "benchmarks"
PROGRAMS = sorted(path.stem for path in BENCHMARKS.glob("*.py"))


def run(program: str, *arguments: object) -> Result:
    """Runs a program within this process."""
    return CliRunner().invoke(__import__(program).main, [str(argument) for argument in arguments])


def usable_picture(folder: Path) -> Path:
    """A folder of a good picture, and of what is left out: a grey one, one of 1x1, one with alpha, and a text file."""
    folder.mkdir()
    Image.fromarray(picture(176, 164)).save(folder / "good.png")
    Image.fromarray(picture(176, 164)).convert("L").save(folder / "grey.png")
    Image.fromarray(picture(1, 1)).save(folder / "one.png")
    Image.fromarray(picture(176, 164)).convert("RGBA").save(folder / "alpha.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def some_pictures(folder: Path) -> Path:
    """The same, and a picture that is broken."""
    usable_picture(folder)
    (folder / "broken.png").write_bytes((folder / "good.png").read_bytes()[:300])
    return folder


def held_out_folder(path: Path, count: int, side: int = 80) -> Path:
    """Pictures with names that training holds out, and one that it does not."""
    path.mkdir()
    names = [f"{n}.png" for n in range(2000) if zlib.crc32(f"{n}.png".encode()) % 40 == 0][:count]
    for seed, name in enumerate(names):
        Image.fromarray(picture(side, side - 4, seed)).save(path / name)
    Image.fromarray(picture(side, side - 4, 9)).save(path / "1.png")
    return path


def shifts(*percents: float) -> dict:
    """Changes in the mean rate, in per cent, by each of the judges; none of the worst picture."""
    from shared import judge

    return {n: judge.Change(p, 0.0, {}) for n, p in zip(judge.JUDGES, percents, strict=True)}


class Steps:
    """A codec whose files have 10 bytes a quality; it knows whole ones only."""

    name, settings, version = "steps", "", ""
    qualities, quality_range, whole_qualities = tuple(range(1, 101)), (1, 100), True

    def compress(self, image, quality):
        return bytes(10 * int(quality))

    def decompress(self, data):
        return picture(40, 30)
