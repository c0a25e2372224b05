"""What --resume takes for done, what it replaces, what it leaves alone; and which names outputs keep."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from conftest import TINY, picture
from PIL import Image
from support import run_command as run

from vaecodec.cli import done
from vaecodec.cli.done import LEDGER, Made
from vaecodec.format import files
from vaecodec.format.container import MADE, unpack

MODEL = ("-m", str(TINY), "-e0", "--graphics", "off")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with a picture in `in`."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Image.fromarray(picture(24, 16)).save("in/p.png", dpi=(300, 300))
    return tmp_path


def content(root: str = ".") -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(root).rglob("*")) if path.is_file()}


ASKED = (
    [], ["-q51"], ["-q1"], ["--size=400"], ["--size=300"], ["--bpp=6"], ["--psnr=15"], ["--ssimulacra2=-90"], ["-e1"],
    ["--lossless"], ["--metadata=none"], ["--metadata=icc,exif"], ["--graphics=auto"], ["--coding=rounded"],
    ["--keep-invisible"], ["--frame=1"],
)  # fmt: skip


def test_a_file_is_done_if_it_was_asked_for_in_the_same_way() -> None:
    words = {}
    for asked in ASKED:
        command = ("compress", "in", "-o", "out", "-r", "--resume", *(MODEL if asked != ["--lossless"] else ()), *asked)
        assert "done before" not in run(*command).stderr  # but in another way
        assert "1 done before" in run(*command).stderr
        words[tuple(asked)] = Made.from_bytes(unpack(Path("out/p.vae").read_bytes()).chunks[MADE]).asked
    assert len(set(words.values())) == len(ASKED)
    default = run("compress", "in", "-o", "out", "-r", "--resume", *MODEL, "-q50")
    assert "done before" not in default.stderr
    assert "1 done before" in run("compress", "in", "-o", "out", "-r", "--resume", *MODEL).stderr  # 50 is the default


RESTORED = [[], ["--region=0,0,8,8"], ["--region=8,8,8,8"], ["--scale=1/2"], ["--background=red"], ["--metadata=none"]]


def test_a_picture_is_done_if_it_was_asked_for_in_the_same_way() -> None:
    assert run("compress", "in/p.png", "p.vae", *MODEL).exit_code == 0
    decompress = lambda asked: run("decompress", "p.vae", "-o", "back", "--resume", *asked, "-m", TINY)
    for asked in RESTORED * 2:
        assert "done before" not in decompress(asked).stderr  # but in another way
        assert decompress(asked).stderr == "p.vae → back/p.png  done before\n"
    assert decompress(["--format=webp"]).exit_code == 0
    assert {path.name for path in Path("back").iterdir()} == {"p.png", "p.webp", LEDGER}


def test_originals_are_never_replaced() -> None:
    before = content("in")
    assert run("compress", "in", "-o", "out", "-r", *MODEL).exit_code == 0
    for options in (["--resume"], []):
        back = run("decompress", "out", "-o", "in", "-r", *options, "-m", TINY)
        assert back.exit_code == 1 and "in/p.png: exists already" in back.stderr
        assert {name: data for name, data in content("in").items() if name in before} == before
    assert run("decompress", "out", "-o", "in", "-r", "--resume", "-f", "-m", TINY).exit_code == 0
    assert content("in")["in/p.png"] != before["in/p.png"]


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def _remove(path: Path) -> None:
    path.unlink()


def _text(path: Path) -> None:
    path.write_bytes(b"precious notes")


def _other_picture(path: Path) -> None:
    Image.fromarray(picture(24, 16, 7)).save(path, "PNG")


def _unrecorded(path: Path) -> None:
    assert run("compress", "in/p.png", path, "-f", *MODEL).exit_code == 0


def _of_another(path: Path) -> None:
    Image.fromarray(picture(24, 16, 8)).save("p.png")
    os.utime("p.png", (0, 0))
    assert run("compress", "p.png", "-o", path.parent, "-f", *MODEL).exit_code == 0
    os.utime("in/p.png", (0, 0))


FOUND = [
    # what is done to the output, whether --resume then makes it anew; for .vae files and for pictures
    (_remove, True, True),
    (_empty, True, True),
    (_cut, True, False),  # a .vae file says what it is before what it holds
    (_flip, True, False),
    (_text, False, False),
    (_other_picture, False, False),
    (_unrecorded, False, None),
    (_of_another, False, None),
]


@pytest.mark.parametrize(("change", "anew"), [(c, v) for c, v, _ in FOUND])
def test_what_stands_in_the_place_of_a_file_is_replaced_or_stays(change, anew: bool) -> None:
    command = ("compress", "in", "-o", "out", "-r", *MODEL)
    assert run(*command).exit_code == 0
    whole = Path("out/p.vae").read_bytes()
    change(Path("out/p.vae"))
    changed = content("out")
    result = run(*command, "--resume")
    if anew:
        assert result.exit_code == 0 and Path("out/p.vae").read_bytes() == whole
    else:
        assert result.exit_code == 1 and "out/p.vae: exists already" in result.stderr
        assert content("out") == changed
        assert run(*command, "--resume", "-f").exit_code == 0 and Path("out/p.vae").read_bytes() == whole


@pytest.mark.parametrize(("change", "anew"), [(c, p) for c, _, p in FOUND if p is not None])
def test_what_stands_in_the_place_of_a_picture_is_replaced_or_stays(change, anew: bool) -> None:
    assert run("compress", "in", "-o", "out", "-r", *MODEL).exit_code == 0
    command = ("decompress", "out", "-o", "back", "-r", "-m", TINY)
    assert run(*command).exit_code == 0
    whole = Path("back/p.png").read_bytes()
    change(Path("back/p.png"))
    changed = Path("back/p.png").read_bytes() if Path("back/p.png").exists() else b""
    result = run(*command, "--resume")
    if anew:
        assert result.exit_code == 0 and Path("back/p.png").read_bytes() == whole
    else:
        assert result.exit_code == 1 and "back/p.png: exists already" in result.stderr
        assert Path("back/p.png").read_bytes() == changed


def test_a_picture_that_has_changed_since_is_compressed_anew() -> None:
    command = ("compress", "in", "-o", "out", "-r", "--resume", *MODEL)
    assert run(*command).exit_code == 0
    before = Path("out/p.vae").read_bytes()
    os.utime("in/p.png")  # newer, but the same
    assert "1 done before" in run(*command).stderr
    Image.fromarray(picture(24, 16, 3)).save("in/p.png")
    later = os.stat("out/p.vae").st_mtime + 1
    os.utime("in/p.png", (later, later))
    assert "done before" not in run(*command).stderr
    assert Path("out/p.vae").read_bytes() != before


def test_another_picture_of_the_same_name_is_not_taken_for_a_change() -> None:
    for number, roll in enumerate(("100", "101")):
        Path(roll).mkdir()
        Image.fromarray(picture(24, 16, number)).save(f"{roll}/p.png")
        os.utime(f"{roll}/p.png", (10**9 + number, 10**9 + number))
    command = ("-o", "rolls", "-r", "--preserve", "--resume", *MODEL)
    assert run("compress", "100", *command).exit_code == 0
    first = Path("rolls/p.vae").read_bytes()
    result = run("compress", "101", *command)
    assert result.exit_code == 1 and "rolls/p.vae: exists already, made from another picture" in result.stderr
    assert Path("rolls/p.vae").read_bytes() == first
    os.rename("100", "elsewhere")  # what has only moved is still done
    assert "1 done before" in run("compress", "elsewhere", *command).stderr


def test_what_is_put_there_meanwhile_is_not_replaced(monkeypatch) -> None:
    command = ("compress", "in/p.png", "-o", "out", "--resume", *MODEL)
    assert run(*command).exit_code == 0
    write = files.write

    def meanwhile(path: str, *args, **options) -> None:
        Path(path).write_bytes(b"my only copy")
        write(path, *args, **options)

    monkeypatch.setattr(files, "write", meanwhile)
    result = run(*command, "-q30")
    assert result.exit_code == 1 and "out/p.vae: exists already" in result.stderr
    assert Path("out/p.vae").read_bytes() == b"my only copy"


@pytest.mark.parametrize("name", ["p.vae", LEDGER])
def test_a_pipe_among_outputs_is_not_waited_for(name: str) -> None:
    assert run("compress", "in", "-o", "vae", "-r", *MODEL).exit_code == 0
    Path("out").mkdir()
    os.mkfifo(f"out/{name}")
    command = ("compress", "in") if name == "p.vae" else ("decompress", "vae")
    result = run(*command, "-o", "out", "-r", "--resume", "-m", TINY)
    assert result.exit_code == 1 and f"out/{name}: cannot be written: no such device" in result.stderr.replace(
        "nobody reads from it", "no such device"
    )


@pytest.mark.parametrize(("resume", "same", "code"), [(True, True, 0), (True, False, 1), (False, True, 1)])
def test_what_another_run_has_made_meanwhile_is_done_or_stays(resume: bool, same: bool, code: int, monkeypatch) -> None:
    command = ("compress", "in/p.png", "-o", "out", *MODEL)
    assert run(*command).exit_code == 0
    data = Path("out/p.vae").read_bytes() if same else b"other"
    Path("out/p.vae").unlink()
    write = files.write

    def meanwhile(path: str, *args, **options) -> None:
        Path(path).write_bytes(data)
        write(path, *args, **options)

    monkeypatch.setattr(files, "write", meanwhile)
    result = run(*command, *["--resume"] * resume)
    assert (result.exit_code, Path("out/p.vae").read_bytes()) == (code, data)
    assert ("done before" in result.stderr) == (code == 0)


def test_a_single_file_says_how_it_was_made_only_to_be_gone_on_with() -> None:
    assert run("compress", "in/p.png", "p.vae", *MODEL).exit_code == 0
    refused = run("compress", "in/p.png", "p.vae", "--resume", *MODEL)
    assert refused.exit_code == 1 and "p.vae: exists already, and was not made from in/p.png here" in refused.stderr
    assert run("compress", "in/p.png", "p.vae", "--resume", "-f", *MODEL).exit_code == 0
    assert "done before" in run("compress", "in/p.png", "p.vae", "--resume", *MODEL).stderr


def test_streams_are_never_done_before() -> None:
    data = Path("in/p.png").read_bytes()
    results = [run("compress", "-", "-", "--resume", *MODEL, input=data) for _ in range(2)]
    assert all(result.exit_code == 0 and result.stdout_bytes for result in results)


@pytest.mark.parametrize(
    "damage", [b"", b"\n{", b"\n[1]\n{}\nnull", b'\n{"file": 3, "digest": "x"}', b"\n" + b"[" * 9999]
)
def test_a_ledger_of_any_content_is_read(damage: bytes) -> None:
    assert run("compress", "in", "-o", "out", "-r", *MODEL).exit_code == 0
    command = ("decompress", "out", "-o", "back", "-r", "--resume", "-m", TINY)
    assert run(*command).exit_code == 0
    ledger = Path("back", LEDGER)
    ledger.write_bytes(damage + ledger.read_bytes() + damage)
    assert "1 done before" in run(*command).stderr
    ledger.write_bytes(damage)
    assert "back/p.png: exists already" in run(*command).stderr


def test_a_line_says_what_a_picture_was_made_from() -> None:
    assert run("compress", "in", "-o", "out", "-r", *MODEL).exit_code == 0
    assert run("decompress", "out", "-o", "back", "-r", "--scale", "1/2", "-m", TINY).exit_code == 0
    line = json.loads(Path("back", LEDGER).read_text())
    assert line["file"] == "p.png" and line["asked"] == "vae format=PNG scale=0.5"
    assert line["source"] == done.digest(Path("out/p.vae").read_bytes()).hex()


@pytest.mark.parametrize(
    ("path", "asked", "words"),
    [
        ("a.PNG", {}, "png"),
        ("a", {"lossless": True, "frame": None, "effort": 0}, "- lossless effort=0"),
        ("a.tif", {"size": 20000.0, "psnr": 38.25, "region": (1, 2, 3, 4)}, "tif size=20000 psnr=38.25 region=1,2,3,4"),
        ("a.naïve x", {"background": "rgb(1, 2, 3)"}, "na\\xefvex background=rgb(1,2,3)"),
        ("a.\udcff", {}, "\\udcff"),
    ],
)
def test_what_was_asked_is_words_in_ascii(path: str, asked: dict[str, object], words: str) -> None:
    made = Made.of(path, b"content", asked)
    assert made.asked == words
    assert Made.from_bytes(made.to_bytes()) == made


def test_large_sizes_that_differ_are_told_apart() -> None:
    words = [Made.of("a.png", b"", {"size": size}).asked for size in (1234567.0, 1234568.0)]
    assert words[0] != words[1]


# --- names


def test_a_name_stays_whatever_comes_to_lie_beside() -> None:
    command = ("compress", "in", "-o", "out", "-r", "--resume", *MODEL)
    vae = lambda: sorted(path.name for path in Path("out").iterdir())
    assert run(*command).exit_code == 0 and vae() == ["p.vae"]
    Image.fromarray(picture(24, 16, 2)).save("in/p.jpg")
    result = run(*command)
    assert result.exit_code == 0 and vae() == ["p.jpg.vae", "p.vae"] and "1 done before" in result.stderr
    assert "2 done before" in run(*command).stderr
    os.unlink("in/p.png")  # and what is left keeps its own too
    assert "1 done before" in run(*command).stderr
    assert vae() == ["p.jpg.vae", "p.vae"]


def test_a_file_of_another_suffix_keeps_its_own() -> None:
    command = ("compress", "in", "-o", "out", "-r", "--resume", *MODEL)
    assert run(*command).exit_code == 0
    before = Path("out/p.vae").read_bytes()
    os.unlink("in/p.png")
    Image.fromarray(picture(24, 16, 2)).save("in/p.jpg")
    os.utime("in/p.jpg", (2**32, 2**32))
    assert run(*command).exit_code == 0
    assert Path("out/p.vae").read_bytes() == before and Path("out/p.jpg.vae").exists()


@pytest.mark.parametrize("names", [("b.png", "b.png.png"), ("a.PNG", "a.png", "a.png.png"), ("c", "c.png", "c.jpg")])
def test_names_stay_in_every_later_run(names: tuple[str, ...]) -> None:
    shutil.rmtree("in")
    Path("in").mkdir()
    for number, name in enumerate(names):
        Image.fromarray(picture(24, 16, number)).save(f"in/{name}", "PNG")
    sources = [f"in/{name}" for name in names]
    command = ("compress", *sources, "-o", "out", "--resume", *MODEL)
    assert run(*command).exit_code == 0
    first = content("out")
    assert len(first) == len(names)
    for source in sources:
        later = os.stat(source).st_mtime + 10**6
        os.utime(source, (later, later))
        assert f"{len(names)} done before" in run(*command).stderr
    assert content("out") == first


@pytest.mark.parametrize("path", ["", ".", "..", "missing/", "missing/.", "missing/..", "in/p.png/"])
def test_what_is_no_name_of_a_file_is_said(path: str) -> None:
    for options in ((), ("-r",)):
        result = run("compress", "in/p.png", path, "-o", "out", *options, *MODEL)
        assert result.exit_code in (0, 1) and list(Path("out").rglob("p*.vae"))
        assert "defect" not in result.stderr
        shutil.rmtree("out")


# --- what lies in folders


def test_what_is_no_plain_file_in_a_folder_is_left_out_and_said() -> None:
    os.mkfifo("in/pipe.png")
    Path("elsewhere").mkdir()
    shutil.copy("in/p.png", "elsewhere/linked.png")
    Path("in/elsewhere").symlink_to("../elsewhere")
    Path("in/q.png").symlink_to("../elsewhere/linked.png")
    Path("in/around").symlink_to("around")
    Path("in/x.png").mkdir()
    Path("in/._p.png").write_bytes(b"\0\5\26\7")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("in/socket.png")
    result = run("compress", "in", "-o", "out", "-r", *MODEL)
    assert result.exit_code == 0 and sorted(os.listdir("out")) == ["p.vae", "q.vae"]
    for said in (
        "in/pipe.png: is no plain file",
        "in/socket.png: is no plain file",
        "in/elsewhere: is a symbolic link",
    ):
        assert f"vaecodec: {said}" in result.stderr


def test_a_file_in_the_place_of_a_folder_fails_what_goes_there_only() -> None:
    Path("in/sub").mkdir()
    shutil.copy("in/p.png", "in/sub/q.png")
    Path("out").mkdir()
    Path("out/sub").write_text("a file")
    result = run("compress", "in", "-o", "out", "-r", *MODEL)
    assert result.exit_code == 1 and "out/sub: cannot be made: file exists" in result.stderr
    assert Path("out/p.vae").exists() and Path("out/sub").read_text() == "a file"


def test_a_folder_among_files_fails_alone() -> None:
    result = run("compress", "in", "in/p.png", "-o", "out", *MODEL)
    assert result.exit_code == 1 and "in: is a folder; -r takes the files in it" in result.stderr
    assert os.listdir("out") == ["p.vae"]


def test_what_is_read_in_the_same_run_is_not_replaced() -> None:
    shutil.copy("in/p.png", "in/p.vae")  # a picture by another name
    result = run("compress", "in/p.vae", "-o", "in", "-f", *MODEL)
    assert result.exit_code == 1 and "would replace in/p.vae, which is read in the same run" in result.stderr
    assert Path("in/p.vae").read_bytes() == Path("in/p.png").read_bytes()
    for written in (["-o", "out", "in"], ["in/p.vae"]):
        shutil.copy(TINY, "in/p.vae")
        model = run("compress", "in/p.png", *written, "-f", "-m", "in/p.vae")
        assert model.exit_code in (1, 4) and Path("in/p.vae").read_bytes() == TINY.read_bytes()
    shutil.copy("in/p.png", "in/p.vae")
    alone = run("compress", "in/p.vae", "in/p.vae", "-f", *MODEL)
    assert alone.exit_code == 1 and "is read in the same run" in alone.stderr
