"""How an output comes to be, and what is read: files, links, pipes, devices, two runs at once, killed runs."""

from __future__ import annotations

import errno
import io
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vaecodec.format import files
from vaecodec.format.files import Exists, FileError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, pipes and devices are those of Unix")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with something of every kind that a path can be."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"precious")
    Path("folder").mkdir()
    Path("to-file").symlink_to("file")
    Path("to-nothing").symlink_to("folder/new")
    Path("to-nowhere").symlink_to("missing/new")
    Path("loop").symlink_to("loop")
    Path("to-folder").symlink_to("folder")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    return tmp_path


TARGETS = [
    # path, what is said without -f, what with
    ("new", None, None),
    ("folder/new", None, None),
    ("file", "file: exists already; use -f", None),
    ("to-file", "to-file: exists already; use -f", None),
    ("to-nothing", None, None),
    ("to-nowhere", "to-nowhere: cannot be written: no such file", "to-nowhere: cannot be written: no such file"),
    ("loop", "loop: cannot be written: too many", "loop: cannot be written: too many"),
    ("folder", "folder: is a folder", "folder: is a folder"),
    ("to-folder", "to-folder: is a folder", "to-folder: is a folder"),
    ("socket", "socket: is no plain file", "socket: is no plain file"),
    ("pipe", "pipe: cannot be written: nobody reads", "pipe: cannot be written: nobody reads"),
    ("missing/new", "missing/new: the folder missing does not", "missing/new: the folder missing does not"),
    ("file/new", "file/new: the folder file does not exist", "file/new: the folder file does not exist"),
    ("n" * 256, "nn: cannot be written: file name too long", "nn: cannot be written: file name too long"),
    ("n" * 255, None, None),
    ("/dev/null", None, None),
]


def write(path: str, data: bytes, *, force: bool) -> None:
    files.check_target(path, force=force)
    files.write(path, data, force=force)


@pytest.mark.parametrize(("path", "says", "says_forced"), TARGETS, ids=[path[:9] for path, *_ in TARGETS])
@pytest.mark.parametrize("force", [False, True], ids=["", "-f"])
def test_a_target_is_written_once_or_refused(path: str, says: str | None, says_forced: str | None, force: bool) -> None:
    links = {link: os.readlink(link) for link in os.listdir() if os.path.islink(link)}
    if expected := says_forced if force else says:
        with pytest.raises(FileError) as refused:
            write(path, b"new", force=force)
        assert expected in str(refused.value)
        assert Path("file").read_bytes() == b"precious" and not os.listdir("folder")
    else:
        write(path, b"new", force=force)
        assert path == "/dev/null" or Path(path).read_bytes() == b"new"
    assert links == {link: os.readlink(link) for link in links}  # written through, not over
    assert not list(Path().rglob(".vaecodec*"))


def test_what_appears_while_it_is_made_is_not_replaced() -> None:
    files.check_target("late", force=False)
    Path("late").write_bytes(b"another's")
    with pytest.raises(Exists, match="late: exists already; use -f to overwrite it"):
        files.write("late", b"ours")
    assert Path("late").read_bytes() == b"another's"


@pytest.mark.parametrize("links", [True, False])
def test_of_many_that_write_one_file_one_succeeds(links: bool, monkeypatch) -> None:
    def no_links(*args) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if not links:  # as on FAT
        monkeypatch.setattr(files.os, "link", no_links)
    outcomes: list[bytes | None] = []

    def attempt(number: int) -> None:
        try:
            files.write("one", bytes([number]) * 9)
            outcomes.append(bytes([number]) * 9)
        except Exists:
            outcomes.append(None)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for outcome in outcomes if outcome] == [Path("one").read_bytes()]
    assert outcomes.count(None) == 7 and not list(Path().glob(".vaecodec*"))


@pytest.mark.parametrize("source", ["file", "to-file", "hard"])
@pytest.mark.parametrize("target", ["file", "to-file", "hard"])
def test_what_is_read_is_not_replaced_by_any_name(source: str, target: str) -> None:
    os.link("file", "hard")
    with pytest.raises(FileError, match=f"{target}: is read in the same run"):
        files.check_target(target, force=True, sources=["new", source])


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o666)])
def test_permissions_are_those_of_the_umask_or_of_what_is_replaced(umask: int, mode: int) -> None:
    os.chmod("file", 0o640)
    before = os.umask(umask)
    try:
        files.write("new", b"")
        files.write("file", b"", force=True)
    finally:
        os.umask(before)
    assert [os.stat(name).st_mode & 0o777 for name in ("new", "file")] == [mode, 0o640]


def test_a_pipe_that_is_read_gets_all() -> None:
    data = os.urandom(300_000)
    with open("got", "wb") as got, subprocess.Popen(["cat", "pipe"], stdout=got):
        for _ in range(1000):
            try:
                files.write("pipe", data)
                break
            except FileError:  # it has not been opened yet
                time.sleep(0.01)
    assert Path("got").read_bytes() == data


def test_leftovers_of_the_dead_go_and_all_else_stays() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mark = files._mark()
    names = {
        f"{mark}-{dead.pid}-0123abcd.part": False,
        f"{mark}-{10**40}-0123abcd.part": False,
        f"{mark}-{os.getpid()}-0123abcd.part": True,
        f"{mark}-1-0123abcd.part": True,
        f".vaecodec-00000000-{dead.pid}-0123abcd.part": mark != ".vaecodec-00000000",  # another machine's
        f"{mark}-{dead.pid}-0123abcd.part.png": True,
        ".a.vae.abc123_z.part": True,
        "a.part": True,
    }
    for name in names:
        Path("folder", name).write_bytes(b"half")
    files.remove_leftovers([Path("folder"), Path("missing"), Path("file")])
    assert set(os.listdir("folder")) == {name for name, stays in names.items() if stays}


READ = [
    ("folder", "folder: cannot be read: is a directory"),
    ("missing", "missing: cannot be read: no such file"),
    ("to-nowhere", "to-nowhere: cannot be read: no such file"),
    ("loop", "loop: cannot be read: too many"),
    ("socket", "socket: cannot be read"),
    ("/dev/zero", "/dev/zero: is a device, not a file"),
    ("/dev/urandom", "/dev/urandom: is a device, not a file"),
    ("n" * 300, "cannot be read: file name too long"),
    ("large", "large: has 5000000000 bytes, more than the limit of 2147483648"),
]


@pytest.mark.parametrize(("path", "says"), READ, ids=[path[:9] for path, _ in READ])
def test_what_cannot_be_read_is_named(path: str, says: str) -> None:
    with open("large", "wb") as large:
        large.truncate(5 * 10**9)  # takes no room
    with pytest.raises(FileError) as refused:
        files.read(path)
    assert says in str(refused.value)


def test_what_can_be_read_is_whole() -> None:
    assert files.read("file") == files.read("to-file") == b"precious"
    assert files.read("/dev/null") == b""


def test_a_stream_without_end_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 10**6)
    with subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE) as endless:
        monkeypatch.setattr(files.sys, "stdin", io.TextIOWrapper(endless.stdout))
        with pytest.raises(FileError, match="standard input: has more bytes than the limit of 1000000"):
            files.read("-")
        endless.kill()


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_closed_streams_are_said(stream: str, monkeypatch) -> None:
    monkeypatch.setattr(files.sys, stream, None)
    with pytest.raises(FileError, match=r"standard (input|output) cannot be (read|written): it is closed"):
        files.read("-") if stream == "stdin" else files.write("-", b"")


def test_a_line_that_was_cut_off_harms_no_later_one() -> None:
    files.append_line(Path("lines"), b"one")
    with open("lines", "ab") as file:
        file.write(b"\ncut o")
    files.append_line(Path("lines"), b"two")
    assert Path("lines").read_bytes().split(b"\n") == [b"", b"one", b"cut o", b"two"]
