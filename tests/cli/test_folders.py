"""Folders of pictures: mirrored, by several processes, interrupted in every way, and gone on with."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import worker_tasks
from conftest import TINY, picture
from PIL import Image
from support import ROOT, assert_no_torch, without_record
from support import run_command as run

import vaecodec
from vaecodec.cli import workers
from vaecodec.cli.done import LEDGER
from vaecodec.cli.output_plan import into_folder

MODEL = ("-m", str(TINY))
COMMAND = [sys.executable, "-m", "vaecodec"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
unix = pytest.mark.skipif(os.name == "nt", reason="signals are those of Unix")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with pictures at two depths, one that is broken, and files that are none."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.png", "photos/b.jpg", "photos/deep/er/c.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40, 30, len(name))).save(name)
    Path("photos/notes.txt").write_text("no picture")
    Path("photos/.hidden.png").write_text("not looked at")
    return tmp_path


def tree(root: str) -> dict[str, bytes]:
    """Everything below a folder, hidden files too, but for what says how pictures were made."""
    paths = [p for p in sorted(Path(root).rglob("*")) if p.is_file() and p.name != LEDGER]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in paths}


# --- what goes where


def test_a_folder_is_mirrored_there_and_back() -> None:
    there = run("compress", "photos", "-o", "out", "-r", *MODEL)
    assert (there.exit_code, there.stdout) == (0, "")
    assert list(tree("out")) == ["a.vae", "b.vae", "deep/er/c.vae"]
    assert without_record(tree("out")["deep/er/c.vae"]) == vaecodec.compress("photos/deep/er/c.png", model=TINY)
    summary = there.stderr.splitlines()[-1]
    assert summary.startswith("3 files  ") and summary.endswith("  1 other file left out") and ":1  " in summary
    assert run("decompress", "out", "-o", "back", "-r", "--format", "webp", *MODEL).exit_code == 0
    assert list(tree("back")) == ["a.webp", "b.webp", "deep/er/c.webp"]
    assert Image.open("back/a.webp").format == "WEBP"


def test_names_that_differ_by_their_suffix_keep_it() -> None:
    Image.fromarray(picture(20, 20)).save("photos/a.jpg")
    result = run("compress", "photos", "-o", "out", "-r", *MODEL)
    assert list(tree("out")) == ["a.jpg.vae", "a.png.vae", "b.vae", "deep/er/c.vae"]
    assert "2 files keep their suffix, as the name without it is another's: out/a.jpg.vae, out/a" in result.stderr


def test_of_sources_that_would_share_a_file_the_first_gets_it() -> None:
    plan = into_folder(["photos/deep/../b.jpg", "photos"], Path("out"), ".vae", [".jpg", ".png"])
    assert "out/b.jpg.vae" in plan.targets.values() and len(plan.targets) == 3
    (failure,) = map(str, plan.failures)
    assert failure == "photos/b.jpg: would go to the same file as photos/deep/../b.jpg, out/b.jpg.vae"


def test_an_output_folder_within_the_input_is_not_an_input() -> None:
    assert run("compress", "photos", "-o", "photos/deep/out", "-r", *MODEL).exit_code == 0
    assert run("decompress", "photos", "-o", "photos/deep/out/back", "-r", *MODEL).exit_code == 0
    again = run("compress", "photos/deep", "-o", "photos/deep/out", "-r", "-f", *MODEL)
    assert again.stderr.splitlines()[-1].startswith("1 file  ")


def test_a_folder_without_pictures_is_said() -> None:
    result = run("decompress", "photos", "-o", "out", "-r")
    assert result.exit_code == 1
    assert "photos: nothing in it ends in one of .vae, among 4 files" in result.stderr
    assert not Path("out").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_a_failure() -> None:
    Path("photos/deep").chmod(0)
    try:
        result = run("compress", "photos", "-o", "out", "-r", *MODEL)
    finally:
        Path("photos/deep").chmod(0o755)
    assert (result.exit_code, list(tree("out"))) == (1, ["a.vae", "b.vae"])


def test_failures_are_listed_and_the_rest_is_done() -> None:
    Path("photos/broken.png").write_bytes(Path("photos/a.png").read_bytes()[:100])
    Path("photos/text.jpg").write_text("only text")
    result = run("compress", "photos", "-o", "out", "-r", *MODEL)
    assert (result.exit_code, list(tree("out"))) == (1, ["a.vae", "b.vae", "deep/er/c.vae"])
    listed = result.stderr.split("vaecodec: 2 of 5 files failed:\n")[1].splitlines()
    assert sorted(line.split(":")[0] for line in listed) == ["  photos/broken.png", "  photos/text.jpg"]


# --- resume


def test_resume_does_what_is_missing_broken_outdated_or_other() -> None:
    run("compress", "photos", "-o", "out", "-r", *MODEL)
    whole = tree("out")
    Path("out/a.vae").write_bytes(whole["a.vae"][:-5])
    Path("out/b.vae").unlink()
    times = os.stat("out/deep/er/c.vae").st_mtime_ns
    result = run("compress", "photos", "-o", "out", "-r", "--resume", *MODEL)
    assert result.exit_code == 0 and "2 files  " in result.stderr and "1 done before" in result.stderr
    assert tree("out") == whole
    assert os.stat("out/deep/er/c.vae").st_mtime_ns == times

    Image.fromarray(picture(40, 30, 9)).save("photos/a.png")
    os.utime("photos/a.png", (time.time() + 5,) * 2)
    assert "2 done before" in run("compress", "photos", "-o", "out", "-r", "--resume", *MODEL).stderr
    assert without_record(tree("out")["a.vae"]) == vaecodec.compress("photos/a.png", model=TINY)
    assert "3 files  " in run("compress", "photos", "-o", "out", "-r", "--resume", "-q", 20, *MODEL).stderr
    assert without_record(tree("out")["b.vae"]) == vaecodec.compress("photos/b.jpg", model=TINY, quality=20)


def test_resume_restores_what_is_missing_or_empty() -> None:
    run("compress", "photos", "-o", "out", "-r", *MODEL)
    run("decompress", "out", "-o", "back", "-r", *MODEL)
    whole = tree("back")
    Path("back/a.png").write_bytes(b"")
    Path("back/b.png").unlink()
    result = run("decompress", "out", "-o", "back", "-r", "--resume", *MODEL)
    assert "2 files  " in result.stderr and "1 done before" in result.stderr
    assert tree("back") == whole


def test_resume_takes_a_file_with_the_time_of_its_source_for_done() -> None:
    for age, name in enumerate(("photos/a.png", "photos/b.jpg", "photos/deep/er/c.png")):
        os.utime(name, ns=(0, 10**18 + age))
    there = ("compress", "photos", "-o", "out", "-r", "--preserve", "--resume", *MODEL)
    back = ("decompress", "out", "-o", "back", "-r", "--preserve", "--resume", *MODEL)
    assert run(*there).exit_code == run(*back).exit_code == 0
    assert [os.stat(f"back/{n}.png").st_mtime_ns - 10**18 for n in ("a", "b", "deep/er/c")] == [0, 1, 2]
    assert all("3 done before" in run(*command).stderr for command in (there, back))
    os.utime("photos/b.jpg", ns=(0, 10**18 + 7))
    for command, name in ((there, "out/b.vae"), (back, "back/b.png")):
        assert "3 done before" in run(*command).stderr
        assert os.stat(name).st_mtime_ns == 10**18 + 7


def test_nothing_to_do_needs_no_torch() -> None:
    run("compress", "photos", "-o", "out", "-r", *MODEL)
    args = ["compress", "photos", "-o", "out", "-r", "--resume", *MODEL]
    code = f"import sys; sys.argv[1:] = {args!r}\nfrom vaecodec.cli.main import main\ntry: main()\n"
    assert_no_torch(code + "except SystemExit as e: assert not e.code, e.code")


# --- interrupted

COUNT = 16
LAST = f"{COUNT - 1:02}.png"


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory) -> Path:
    """Sixteen pictures in `many`, and in `whole` what a run in one go makes of them."""
    folder = tmp_path_factory.mktemp("folders")
    (folder / "many").mkdir()
    for number in range(COUNT):
        Image.fromarray(picture(60 + number, 40, number)).save(folder / f"many/{number:02}.png")
    assert run("compress", folder / "many", "-o", folder / "whole", "-r", *MODEL).exit_code == 0
    return folder


@pytest.fixture
def many(in_one_go: Path) -> dict[str, bytes]:
    """The pictures in `many`, and what a run in one go makes of them."""
    shutil.copytree(in_one_go / "many", "many")
    return bare(tree(str(in_one_go / "whole")))


def bare(files: dict[str, bytes]) -> dict[str, bytes]:
    """`.vae` files that do not say how they were made."""
    return {name: without_record(data) for name, data in files.items()}


def begin(*command: str) -> subprocess.Popen:
    """Starts compressing `many` into `out` by two processes, and waits until some are done.

    All never are: the last picture is a pipe that nobody writes to.
    """
    os.rename(f"many/{LAST}", "held.png")
    os.mkfifo(LAST)
    process = subprocess.Popen(
        [*command, "compress", "many", LAST, "-o", "out", "-r", "-j", "2", *MODEL],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for _ in range(4):
        assert process.stderr.readline()
    return process


def in_session(leader: int) -> list[int]:
    """Processes of a session that are alive, by /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def wait_for_the_last(leader: int) -> None:
    deadline = time.monotonic() + 30
    while left := in_session(leader):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_killed_half_way_and_resumed_it_ends_as_in_one_go(many: dict[str, bytes]) -> None:
    process = begin(*COMMAND)
    assert len(in_session(process.pid)) >= 3
    process.kill()
    process.communicate()
    wait_for_the_last(process.pid)  # the workers end by themselves
    before = tree("out")
    assert 0 < len(before) < COUNT
    assert all(many[name] == data for name, data in bare(before).items())  # no half files, no temporary ones
    os.replace("held.png", f"many/{LAST}")
    result = run("compress", "many", "-o", "out", "-r", "-j", 2, "--resume", *MODEL)
    assert f"{len(before)} done before" in result.stderr
    assert bare(tree("out")) == many


@pytest.mark.slow
@unix
@pytest.mark.parametrize("everybody", [True, False], ids=["as a terminal does", "the parent only"])
def test_interrupted_it_leaves_whole_files_and_ends_in_130(many: dict[str, bytes], everybody: bool) -> None:
    process = begin(*COMMAND)
    (os.killpg if everybody else os.kill)(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith("vaecodec: interrupted\n") and "Traceback" not in said
    done = tree("out")
    assert 0 < len(done) < COUNT
    assert all(many[name] == data for name, data in bare(done).items())


@unix
def test_a_worker_that_dies_fails_its_file_only() -> None:
    jobs = {"1": "one", "dies": "", "raises": "", "2": "two", "3": "three"}
    results = {source: str(result) for source, result in workers.work(worker_tasks.fatal, jobs, 2)}
    assert results == {
        "1": "one", "2": "two", "3": "three",
        "raises": "raises: a defect: RuntimeError: a defect; VAECODEC_TRACEBACK=1 shows where",
        "dies": "dies: its process was ended (killed; there may have been too little memory)",
    }  # fmt: skip


def test_workers_share_the_cores(monkeypatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 5)
    for given, expected in (("8", "2"), ("1", "1")):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert {count for _, count in workers.work(worker_tasks.threads, {"a": "", "b": ""}, 2)} == {expected}


# --- on a terminal


@pytest.mark.slow
@unix
def test_a_terminal_gets_a_bar_and_one_summary() -> None:
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    Path("photos/text.jpg").write_text("only text")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, "compress", "photos", "-o", "out", "-r", *MODEL],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # what the end of a terminal is on Linux
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    text = shown.decode()
    assert process.wait() == 1
    assert "100 %|" in text and "4/4 files, 1 failed" in text and " MB, 4/4" in text and " left" in text
    assert " → out/a.vae" not in text
    lines = [line.split("\r")[-1] for line in text.splitlines()]
    assert [line for line in lines if line.startswith("3 files  ")]
    assert lines[-1].strip() == "photos/text.jpg: not an image that Pillow can read"
