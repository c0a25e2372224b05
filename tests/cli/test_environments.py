"""Whatever a shell makes of streams, variables and limits: no traceback, an exit code that means something, and all
that can be done is done."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import GOLDEN, TINY
from support import ROOT, in_mode

import vaecodec

if not sys.platform.startswith("linux"):
    pytest.skip("descriptors, limits and /dev/full are Linux's", allow_module_level=True)

from broken_environments import ENVIRONMENTS

DIGITS = ["-m", str(GOLDEN / "digits-tiny.safetensors")]
NEVER = ("Traceback", "Exception ignored", "a defect", "Warning")
EXIT_CODES = {0, 1, 2, 3, 4, 130}
COMMANDS = {
    "help": ["--help"],
    "version": ["--version"],
    "usage": ["compress", "a.png"],
    "compress": ["compress", "{here}/a.png", "{here}/o.vae", "-f", "-e", "0"],
    "compress a stream": ["compress", "-", "-", "--graphics", "off", "-e", "0"],
    "compress exactly": ["compress", "{here}/a.png", "{here}/o.vae", "-f", "--lossless"],
    "compress several": ["compress", "{here}/a.png", "{here}/no.png", "-o", "{here}/out", "-f", "-e", "0"],
    "decompress": ["decompress", "{here}/a.vae", "{here}/o.png", "-f"],
    "decompress to a stream": ["decompress", "{here}/exact.vae", "-"],
    "info": ["info", "{here}/a.vae", "{here}/exact.vae"],
    "info as JSON": ["info", "--json", "{here}/a.vae"],
    "info of nothing": ["info", "{here}/no.vae"],
    "test": ["test", "{here}/a.vae", "{here}/text.vae"],
    "models": ["models"],
    "compare": ["compare", "{here}/a.png", "{here}/a.vae", "--html", "{here}/c.html", "-f"],
    "evaluate": ["evaluate", "{here}/photos", "--qualities", "50", "-e", "0", "--json", "-"],
    "sample": ["sample", "-n", "1", "--size", "32", "32", "--qualities", "50", "-o", "-"],
    "interpolate": ["interpolate", "{here}/a.png", "{here}/a.png", "--side", "32", "--steps", "2", "-o", "-"],
    "digits sample": ["digits", "sample", "-n", "1", "-f", "-o", "{here}/d.png", *DIGITS],
    "digits pack": ["digits", "pack", "-", "{here}/o.vpk", "-f", *DIGITS],
    "train": ["train", "--data", "{here}/none", "--hours", "0.01", "--resume", "{here}/run"],
}
HARMLESS = [
    "ascii", "latin-1", "LC_ALL=C", "no HOME", "HOME unwritable", "folder gone", "no TMPDIR", "OMP_NUM_THREADS=junk",
    "COLUMNS=0", "stderr closed", "stderr full",
]  # fmt: skip
"""Environments in which all comes out as usual."""

Answers = dict[str, tuple[int, bytes, str]]
"""Exit code, standard output and standard error by command."""
Run = Callable[[str], Answers]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Run]:
    """Runs all commands in an environment."""
    here = tmp_path_factory.mktemp("environments")
    for folder in ("photos", "none", "models"):
        (here / folder).mkdir()
    shutil.copy(TINY, here / "models/light.safetensors")
    in_mode("RGB", 24, 20).save(here / "a.png")
    shutil.copy(here / "a.png", here / "photos")
    (here / "a.vae").write_bytes(vaecodec.compress(here / "a.png", model=TINY, graphics=False))
    (here / "exact.vae").write_bytes(vaecodec.compress(here / "a.png", lossless=True))
    (here / "text.vae").write_text("only text")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("broken_environments.py"), "models"],
        cwd=here, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip

        @cache
        def run(environment: str) -> Answers:
            commands = [[part.format(here=here) for part in command] for command in COMMANDS.values()]
            server.stdin.write(json.dumps([environment, commands]) + "\n")
            server.stdin.flush()
            answers = [
                (code, out.encode("latin-1"), err.encode("latin-1").decode(errors="replace"))
                for code, out, err in json.loads(server.stdout.readline())
            ]
            return dict(zip(COMMANDS, answers, strict=True))

        yield run
        server.stdin.close()


def comparable(results: bytes, encoding: str = "utf-8") -> bytes:
    """Results as they are in an encoding, without what is another time in each run."""
    with contextlib.suppress(UnicodeDecodeError):  # a file
        results = results.decode().encode(encoding, "backslashreplace")
    return re.sub(rb"\d+\.\d+(e-\d+)?", b"N", results)


@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_traceback_reaches_anybody(run: Run, environment: str) -> None:
    for command, (code, out, err) in run(environment).items():
        told = f"{command}: {code}\n{err}"
        assert code in EXIT_CODES, told
        assert not any(sign in str(out) + err for sign in NEVER), told
        usual, results, _ = run("as usual")[command]
        if environment in HARMLESS:
            encoding = environment if environment in ("ascii", "latin-1") else "utf-8"
            assert (code, comparable(out, encoding)) == (usual, comparable(results, encoding)), told
        elif environment in ("stdout closed", "stdout full", "stdout unread", "both full", "all closed"):
            assert (code, out) == (1 if results else usual, b""), told
        if environment in ("stdout closed", "stdout full") and results:
            reason = "it is closed" if environment == "stdout closed" else "no space left on device"
            assert f"vaecodec: standard output cannot be written: {reason}\n" in err, told
            assert err.count("standard output") == 1, told
        if environment == "stdout unread" and results:
            assert "standard output" not in err, told
        if environment == "stdin closed":
            closed = "vaecodec: standard input cannot be read: it is closed\n"
            assert (err == closed) if "-" in COMMANDS[command][1:2] else (code, out) == (usual, out), told


def test_as_usual_all_is_well(run: Run) -> None:
    codes = {command: code for command, (code, _, _) in run("as usual").items()}
    failing = {"usage": 2, "compress several": 1, "info of nothing": 1, "test": 1, "digits pack": 1, "train": 1}
    assert codes == dict.fromkeys(COMMANDS, 0) | failing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hindrance", "code", "made"),
    [("exec <&- >&- 2>&-", 0, 2), ("exec 2>/dev/full", 0, 2), ("ulimit -n 16", 1, 0)],
    ids=lambda value: str(value),
)
def test_worker_processes_end_as_well(tmp_path: Path, hindrance: str, code: int, made: int) -> None:
    for name in ("a.png", "b.png"):
        in_mode("RGB", 24, 20).save(tmp_path / name)
    command = f'{hindrance}; exec "{sys.executable}" -m vaecodec compress a.png b.png -o out --lossless -j 2'
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (result.returncode, len(list(tmp_path.glob("out/*.vae")))) == (code, made)
    assert result.stderr == ("" if made else "vaecodec: too many open files\n")
