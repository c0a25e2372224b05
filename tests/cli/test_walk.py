"""A walk over commands, options and accidents: whatever is done in whichever order, no file is lost.

After every step each file that existed is as it was or was allowed to change, and each output is what its options ask
for: the same as a run of its own makes of the source, byte for byte.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from conftest import TINY, picture
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from PIL import Image
from support import examples, run_command, without_record

from vaecodec.cli.done import LEDGER, Made
from vaecodec.format import files
from vaecodec.format.container import MADE, MAGIC, unpack

SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".bmp")
SOURCES = tuple(
    f"in/{folder}{stem or suffix[1:]}{suffix}"
    for folder in ("", "deep/")
    for stem in ("same", "")
    for suffix in SUFFIXES
)
MODEL = ("-m", str(TINY), "-e0", "--graphics", "off")
COMPRESS = [("--lossless",), ("--lossless", "--metadata=none"), MODEL, (*MODEL, "-q20"), (*MODEL, "--size=300")]
DECOMPRESS = [(), ("--region=0,0,5,4",), ("--region=3,3,5,4",), ("--scale=1/2",), ("--metadata=exif",)]
FORMATS = ("png", "bmp")
WRITING = st.sampled_from([(), ("-f",), ("--resume",), ("--resume", "-f"), ("--resume", "--preserve")])
INTERRUPTED = st.one_of(st.none(), st.tuples(st.integers(0, 12), st.booleans()))
"""Never, or at which file, and whether it has been written."""


def snapshot(root: Path) -> dict[str, bytes]:
    """All that there is but what says how pictures were made."""
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != LEDGER)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def a_picture(suffix: str, seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(12 + seed % 5, 10, seed)).save(
        buffer, Image.registered_extensions()[suffix], dpi=(seed + 90,) * 2
    )
    return buffer.getvalue()


class Walk(RuleBasedStateMachine):
    """One folder with pictures, `in`, one with `.vae` files, `out`, and one with pictures again, `back` or `in` too.

    Attributes:
        made: what the program has written last, by path.
        expected: what a run of its own makes, by content, suffix and options.
    """

    expected: dict[tuple[object, ...], tuple[bytes, str]]
    dead: int

    @initialize()
    def begin(self) -> None:
        self.home, self.root = os.getcwd(), Path(tempfile.mkdtemp())
        os.chdir(self.root)
        for number, source in enumerate(SOURCES):
            Path(source).parent.mkdir(parents=True, exist_ok=True)
            Path(source).write_bytes(a_picture(Path(source).suffix, number))
            os.utime(source, (10**9, 10**9))
        self.made: dict[str, bytes] = {}
        self.expected = {}
        self.clock = 10**9

    def teardown(self) -> None:
        os.chdir(self.home)
        shutil.rmtree(self.root)

    # --- commands

    @rule(
        options=st.sampled_from(COMPRESS),
        writing=WRITING,
        interrupted=INTERRUPTED,
        part=st.sampled_from(["in", "in/deep"]),
    )
    def compress(self, options: tuple[str, ...], writing: tuple[str, ...], interrupted, part: str) -> None:
        self.command("compress", part, "out" + part[2:], options, writing, interrupted)

    @rule(
        options=st.sampled_from(DECOMPRESS), writing=WRITING, interrupted=INTERRUPTED,
        into=st.sampled_from(["back", "in"]), suffix=st.sampled_from(FORMATS),
    )  # fmt: skip
    def decompress(self, options, writing: tuple[str, ...], interrupted, into: str, suffix: str) -> None:
        if Path("out").is_dir():
            self.command(
                "decompress", "out", into, ("--format", suffix, *options, "-m", str(TINY)), writing, interrupted
            )

    def command(self, name: str, source: str, target: str, options, writing, interrupted) -> None:
        before, made_before = snapshot(self.root), dict(self.made)
        written: list[str] = []
        write = files.write

        def watched(path: str, data: bytes, *args, **arguments) -> None:
            after = interrupted and len(written) == interrupted[0]
            if after and not interrupted[1]:
                raise KeyboardInterrupt
            write(path, data, *args, **arguments)
            written.append(path)
            self.made[path] = data
            if after:
                raise KeyboardInterrupt

        with mock.patch.object(files, "write", watched):
            result = run_command(name, source, "-o", target, "-r", *options, *writing)
        was_interrupted = interrupted is not None and len(written) + (not interrupted[1]) > interrupted[0]
        assert result.exit_code in ((130,) if was_interrupted and "interrupted" in result.stderr else (0, 1)), (
            result.stderr
        )
        now = snapshot(self.root)
        for path, data in before.items():
            if path.endswith(".part"):
                continue
            assert path in now, f"{path} is gone"
            if now[path] != data:
                assert path in written
                assert self.may_change(path, data, writing, made_before), f"{path} was replaced\n{result.stderr}"
        for path in now.keys() - before.keys():
            assert path in written, f"{path} has come from nowhere"
        self.check_outputs(name, source, options, writing, result, before, now, set(written))

    @staticmethod
    def may_change(path: str, data: bytes, writing: tuple[str, ...], made_before: dict[str, bytes]) -> bool:
        """Whether a file may be replaced: by -f, or as one that was made here, by --resume."""
        if "-f" in writing:
            return True
        if "--resume" not in writing or path not in made_before:
            return False
        return data == made_before[path] or not data or (path.endswith(".vae") and not is_whole(path, data))

    def check_outputs(self, name: str, source: str, options, writing, result, before, now, written: set[str]) -> None:
        """What was written, or is said to be done, is what a run of its own makes; all is, if nothing failed."""
        done = set()
        for line in result.stderr.splitlines():
            of, _, rest = line.partition(" → ")
            if not rest or of not in before:
                continue
            path = rest.partition("  ")[0]
            done.add(of)
            data = now[path]
            key = (before[of], Path(of).suffix, Path(path).suffix, options)
            if key not in self.expected:
                self.expected[key] = self.alone(name, before[of], of, path, options)
            assert bare(data) == self.expected[key], f"{path} is not what {of} {options} makes\n{result.stderr}"
            assert "done before" in line or path in written
            if "--preserve" in writing:
                assert os.stat(path).st_mtime_ns == os.stat(of).st_mtime_ns

        if result.exit_code == 0:
            accepted = SUFFIXES if name == "compress" else (".vae",)
            assert done == {path for path in before if path.startswith(f"{source}/") and path.endswith(accepted)}

    def alone(self, name: str, data: bytes, source: str, target: str, options) -> tuple[bytes, str]:
        """What a run of its own in an empty folder makes of a file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "alone" + Path(source).suffix)
            path.write_bytes(data)
            assert run_command(name, path, "-o", Path(folder, "o"), *options).exit_code == 0
            (made,) = (p for p in Path(folder, "o").iterdir() if p.name != LEDGER)
            assert made.suffix == Path(target).suffix
            return bare(made.read_bytes())

    # --- what happens meanwhile

    @rule(source=st.sampled_from(SOURCES), seed=st.integers(20, 30), later=st.booleans())
    def another_picture(self, source: str, seed: int, later: bool) -> None:
        self.clock += 10**7
        Path(source).write_bytes(a_picture(Path(source).suffix, seed))
        os.utime(source, (2 * self.clock if later else 1,) * 2)

    @rule(data=st.data(), how=st.sampled_from(["remove", "cut", "empty", "notes", "edit"]))
    def accident(self, data: st.DataObject, how: str) -> None:
        outputs = sorted(path for path in snapshot(self.root) if path.startswith(("out", "back")))
        if not outputs:
            return
        path = Path(data.draw(st.sampled_from(outputs)))
        if how == "remove":
            path.unlink()
        elif how == "edit" and path.suffix != ".vae":
            Image.fromarray(255 - np.asarray(Image.open(path).convert("RGB"))).save(path)
        elif how in ("cut", "empty", "notes"):
            content = path.read_bytes()
            path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "notes": b"notes"}[how])

    @rule()
    def killed_and_gone_on_with(self) -> None:
        if Path("out").is_dir():
            Path("out", f"{files._mark()}-{DEAD}-0123abcd.part").write_bytes(b"half")
            self.command("compress", "in", "out", ("--lossless",), ("--resume",), None)

    @invariant()
    def nothing_half_written_lies_about(self) -> None:
        if hasattr(self, "root"):
            assert not [path for path in self.root.rglob(".vaecodec-*") if path.name != LEDGER]


def bare(data: bytes) -> tuple[bytes, str]:
    """A file, and what was asked for if it says so, but not where its source lay."""
    if not data.startswith(MAGIC):
        return data, ""
    return without_record(data), Made.from_bytes(unpack(data).chunks[MADE]).asked


def is_whole(path: str, data: bytes) -> bool:
    """Whether a file can still be read."""
    try:
        if path.endswith(".vae"):
            unpack(data)
        else:
            Image.open(io.BytesIO(data)).load()
    except (OSError, ValueError):
        return False
    return True


_process = subprocess.Popen([sys.executable, "-c", ""])
_process.wait()
DEAD = _process.pid


@pytest.mark.slow
def test_no_file_is_lost_whatever_is_done() -> None:
    from hypothesis import settings
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Walk, settings=settings(examples(int(os.environ.get("WALKS", "6"))), stateful_step_count=12)
    )
