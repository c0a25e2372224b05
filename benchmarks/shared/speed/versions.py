"""This version of the package and one before it, side by side: are files and pixels the same, and what got faster?"""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from shared.places import ROOT
from shared.speed.measuring import Failed, Run, Turns
from shared.speed.processes import Worker, package_root
from shared.speed.sizes import Subject, decoding, encoding

BEFORE, NOW = "before", "now"
JUDGED_MPX = 2.0
"""Up to here it is measured how good files are that are not the same."""


def full_name(commit: str) -> str:
    """The whole hash of a commit of this repository."""
    return _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True)
    except OSError as error:
        raise click.ClickException(f"git cannot be run ({error})") from error
    if done.returncode:
        raise click.ClickException(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the package as it was at a commit, while it lasts."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, "vaecodec"))) as archive:
            archive.extractall(folder)
        yield Path(folder).resolve()


def measure(
    subject: Subject,
    quality: float,
    image: np.ndarray,
    root: Path,
    folder: Path,
    threads: int,
    turns: Turns,
    limit_s: float,
) -> dict[str, Any]:
    """Both versions of one model, with the weights of this one, a turn each.

    Args:
        root: the folder of the package before.
        folder: for pictures and files.

    Returns:
        "runs": by what was done, and by version, what `Turns.take` says; both decode the file of the version before at
        the last effort. "pixels": by whose file it is, the largest difference of what both decode it to. "files": by
        encode, whether both are the same, and what this version's has more, as a share of its bytes, and in PSNR and
        SSIMULACRA2 up to `JUDGED_MPX`. Or "failed", with the reason.
    """
    picture = folder / "picture.npy"
    np.save(picture, image)
    file = lambda version, name: folder / f"{version} {name}.vae"
    with contextlib.ExitStack() as stack:
        try:
            workers = {
                version: stack.enter_context(subject.worker(threads, limit_s, place))
                for version, place in ((BEFORE, root), (NOW, package_root()))
            }
        except Failed as error:
            return {"failed": str(error)}
        runs: dict[tuple[str, str], Run] = {
            (name, version): encoding(worker, picture, quality, file(version, name), effort)
            for name, effort in subject.encodes.items()
            for version, worker in workers.items()
        }
        last = list(subject.encodes)[-1]
        for version, worker in workers.items():
            runs["decode", version] = decoding(worker, file(BEFORE, last))
        results: dict[str, dict[str, Any]] = {name: {} for name, _ in runs}
        for (name, version), result in turns.take(runs).items():
            results[name][version] = result
        try:
            return {
                "runs": results,
                "pixels": {v: _largest_difference(workers, file(v, last), folder) for v in workers},
                "files": {
                    name: _compared(workers[NOW], picture, image, file(BEFORE, name), file(NOW, name))
                    for name in subject.encodes
                },
            }
        except (Failed, OSError) as error:
            return {"runs": results, "failed": str(error)}


def _largest_difference(workers: dict[str, Worker], data: Path, folder: Path) -> int:
    """Between the pixels that both versions decode a file to; that it decodes means that its symbols are right."""
    shown = []
    for version, worker in workers.items():
        to = folder / f"{version}.npy"
        decoding(worker, data, to)()
        shown.append(np.load(to).astype(np.int16))
    return int(np.abs(shown[0] - shown[1]).max())


def _compared(judge: Worker, picture: Path, image: np.ndarray, before: Path, now: Path) -> dict[str, Any]:
    contents = [path.read_bytes() for path in (before, now)]
    result: dict[str, Any] = {
        "same": contents[0] == contents[1],
        "larger": round(len(contents[1]) / len(contents[0]) - 1, 6),
    }
    if not result["same"] and image.shape[0] * image.shape[1] <= JUDGED_MPX * 1e6:
        was, is_now = (judge.ask("judge", picture=str(picture), data=str(path)) for path in (before, now))
        result |= {measure: round(is_now[measure] - was[measure], 4) for measure in was}
    return result
