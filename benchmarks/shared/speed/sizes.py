"""Our codec and others at one size of picture, warm and in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shared.speed.measuring import Failed, Run, Turns
from shared.speed.processes import Worker
from vaecodec.inference.effort import DEFAULT_EFFORT

LARGE_MPX = 25.0
"""Larger pictures are coded at the default effort only."""


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        name: a model's or a codec's.
        what: it is, as `worker.Subject.begin` is told.
        efforts: of its encoder, if it has such.
    """

    name: str
    what: dict[str, Any]
    efforts: tuple[int, ...] = ()

    @property
    def encodes(self) -> dict[str, int | None]:
        """Names of what its encoder is measured at."""
        return {encode_at(effort): effort for effort in self.efforts} or {"encode": None}

    def at(self, size: str) -> Subject:
        """What of it is measured at a size in megapixels."""
        efforts = tuple(effort for effort in self.efforts if effort == DEFAULT_EFFORT)
        return replace(self, efforts=efforts) if float(size) > LARGE_MPX else self

    def worker(self, threads: int, limit_s: float, root: Path | None = None) -> Worker:
        """A process that measures it; see there."""
        return Worker(self.what, threads, limit_s, root)


def encode_at(effort: int) -> str:
    """Names an encode at a level of effort."""
    return f"encode -e {effort}"


def fitted(subject: Subject, picture: Path, bpp: float, threads: int, limit_s: float) -> dict[str, Any]:
    """The "quality" at which a codec takes about so many bits per pixel for a picture.

    Raises:
        Failed: it could not be found.
    """
    with subject.worker(threads, limit_s) as worker:
        return worker.ask("fit", picture=str(picture), bpp=bpp)


def measure(
    subjects: Sequence[Subject],
    qualities: dict[str, float],
    image: np.ndarray,
    folder: Path,
    threads: int,
    turns: Turns,
    limit_s: float,
) -> dict[str, dict[str, dict[str, Any]]]:
    """By subject, and by what was done ("encode -e 2", "encode", "decode"): what `Turns.take` says.

    Args:
        qualities: of the subjects.
        folder: for pictures and files.
    """
    picture, pixels = folder / "picture.npy", image.shape[0] * image.shape[1]
    np.save(picture, image)
    results: dict[str, dict[str, dict[str, Any]]] = {subject.name: {} for subject in subjects}
    with contextlib.ExitStack() as stack:
        runs: dict[tuple[str, str], Run] = {}
        for number, subject in enumerate(subjects):
            try:
                worker = stack.enter_context(subject.worker(threads, limit_s))
            except Failed as error:
                results[subject.name] = {name: {"failed": str(error)} for name in (*subject.encodes, "decode")}
                continue
            coded, quality = folder / f"{number}.coded", qualities[subject.name]
            for name, effort in subject.encodes.items():
                runs[name, subject.name] = encoding(worker, picture, quality, coded, effort)
            runs["decode", subject.name] = decoding(worker, coded)
        encodes_first = dict(sorted(runs.items(), key=lambda run: run[0][0] == "decode"))
        for (name, subject_name), result in turns.take(encodes_first).items():
            if "bytes" in result:
                result["bpp"] = round(8 * result["bytes"] / pixels, 4)
            results[subject_name][name] = result
    return results


def encoding(worker: Worker, picture: Path, quality: float, to: Path, effort: int | None) -> Run:
    """A run in which a worker encodes a picture to a file."""
    return lambda: worker.ask("compress", picture=str(picture), quality=quality, to=str(to), effort=effort)


def decoding(worker: Worker, data: Path, to: Path | None = None) -> Run:
    """A run in which a worker decodes a file, and writes its pixels if asked for."""
    return lambda: worker.ask("decompress", data=str(data), to=to and str(to))
