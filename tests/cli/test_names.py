"""Names may hold any bytes: they are shown and do not act, in lines, tables, JSON and pages."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, picture
from PIL import Image
from support import in_mode
from support import run_command as run

import vaecodec
from vaecodec.cli import interruption
from vaecodec.cli.evaluation import pictures
from vaecodec.cli.pages.compare_page import page
from vaecodec.cli.pages.comparison import Entry, sheet
from vaecodec.cli.terminal import in_words, shown
from vaecodec.errors import VaecodecError
from vaecodec.training.data.sources import Source, is_held_out

MODEL = ("-m", str(TINY))
SHOWN = {
    "plain.png": "plain.png", "Ä 画像 ’.png": "Ä 画像 ’.png", "a\\b": "a\\b",
    "\u0645\u200c\u062e": "\u0645\u200c\u062e", "a\xa0b\u3000": "a\xa0b\u3000", "a\nb\r\t": r"a\nb\r\t",
    "\x1b[31m\x07": r"\x1b[31m\x07",
    "\x7f\x9b": r"\x7f\x9b", "a\u2028\u2029": r"a\u2028\u2029",
    "\u202egnp.exe\u2066": r"\u202egnp.exe\u2066", "\U000e0041": r"\U000e0041",
    os.fsdecode(b"\xff\x80"): r"\xff\x80", "\ud800": r"\ud800",
}  # fmt: skip
ODD = [
    "a\x1b[31m\nb", "a\u202eb\u2028\x9b", "<img src=x onerror=document.title=1>", "@PICTURES@ & @TITLE@",
    os.fsdecode(b"\xff\xfe"),
]  # fmt: skip
ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("text", "expected"), SHOWN.items(), ids=SHOWN.values())
def test_what_would_act_on_a_terminal_is_shown(text: str, expected: str) -> None:
    assert shown(text) == shown(expected) == expected


@pytest.mark.parametrize("name", ODD, ids=shown)
def test_no_line_acts_on_a_terminal(name: str) -> None:
    source, made = f"{name}.png", f"{name}.vae"
    try:
        in_mode("RGB", 24, 20).save(source, "PNG")
    except OSError:
        pytest.skip("the file system has no such names")
    for command, names in (
        (["compress", source, made, "--lossless"], 2), (["info", made], 1), (["test", made], 1),
        (["decompress", made, f"{name}.jpg"], 2), (["compare", source, made], 1), (["info", f"no {name}"], 1),
        (["compress", source, name], 1), (["models", name], 1), (["compress", source, source, "-o", "d"], 1),
        (["compress", source, "o.vae", "-m", name], 1),
    ):  # fmt: skip
        result = run(*command)
        text = result.stdout + result.stderr
        assert not ACTING.search(text), command
        assert text.count(shown(name)) >= names or repr(name)[1:-1] in text, command
    [found] = [json.loads(line) for line in run("info", "--json", made).stdout.splitlines()]
    assert os.fsencode(found["file"]) == os.fsencode(made)
    assert run("info", "--json", made).stdout.isascii()


def test_tables_are_aligned_by_what_is_shown() -> None:
    in_mode("RGB", 24, 20).save("a.png")
    names = ["b.jpg", "a\x1b\x1bb.jpg"]
    for name in names:
        in_mode("RGB", 24, 20).save(name)
    assert len({len(line) for line in run("compare", "a.png", *names).stdout.splitlines()}) == 1


# --- pages


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD, ids=shown)
def test_names_are_text_on_a_page_and_on_a_sheet(browser, folder: Path, name: str) -> None:
    in_mode("RGB", 24, 20).save("a.png")
    shutil.copy("a.png", f"{name}.png")
    Path(f"{name}.vae").write_bytes(vaecodec.compress("a.png", lossless=True))
    assert run("compare", f"{name}.png", f"{name}.vae", "--html", "c.html", "--png", "c.png").exit_code == 0
    browser.open((folder / "c.html").as_uri(), 800, 600)
    assert browser.evaluate("document.querySelector('h1').textContent") == shown(f"{name}.png, compared")
    assert browser.evaluate("document.title").split() == shown(f"{name}.png, compared").split()
    assert browser.evaluate("document.querySelector('#b').options[1].text").split() == shown(f"{name}.vae").split()
    assert browser.evaluate("document.querySelectorAll('img').length") == 2
    assert Image.open("c.png").width > 24


def test_a_page_has_no_markup_but_its_own() -> None:
    image = picture(20, 10)
    bad = "</script><!--<script>&\u2028"
    plain, text = (page({name: [Entry(name, name, image)]}, name) for name in ("name", bad))
    assert {mark: text.count(mark) for mark in "<>"} == {mark: plain.count(mark) for mark in "<>"}
    assert json.loads(re.search("const pictures = (.*);", text)[1])[0]["name"] == shown(bad)
    assert np.asarray(sheet([Entry("\ud800\n", "\udcff", image)])).any()


# --- folders that hold more than pictures


@pytest.fixture
def mixed(folder: Path) -> Path:
    """A folder with a picture and much that is called like one."""
    (folder / "mixed/b.png").mkdir(parents=True)
    (folder / "mixed/.hidden").mkdir()
    in_mode("RGB", 24, 20).save("mixed/a.png")
    shutil.copy("mixed/a.png", "mixed/.hidden/a.png")
    for name in ("._a.png", "text.txt"):
        (folder / "mixed" / name).write_text("only text")
    if hasattr(os, "mkfifo"):
        os.mkfifo("mixed/c.png")
    return folder / "mixed"


def test_only_files_that_are_to_be_seen_are_pictures(mixed: Path) -> None:
    assert pictures(mixed) == Source(mixed).files() == [mixed / "a.png"]
    assert Source(mixed / "a.png").files() == [mixed / "a.png"]
    assert Source(mixed / "c.png").files() == []
    assert not is_held_out(os.fsdecode(b"\xff.png"))


@pytest.mark.parametrize(("output", "begins"), [("--json", b"{"), ("--html", b"<!doctype html>")])
def test_only_what_is_asked_for_goes_to_standard_output(mixed: Path, output: str, begins: bytes) -> None:
    result = run("evaluate", mixed, "--qualities", "50", "-e", "0", output, "-", *MODEL)
    assert result.exit_code == 0 and result.stdout_bytes.startswith(begins)
    assert b"quality     bpp" not in result.stdout_bytes and "quality     bpp" in result.stderr
    assert run("evaluate", mixed, "--json", "-", "--html", "-", *MODEL).exit_code == 2
    shutil.copy(mixed / "a.png", "b.png")
    result = run("compare", mixed / "a.png", "b.png", "--png", "-")
    assert result.stdout_bytes.startswith(b"\x89PNG") and "b.png  " in result.stderr


def test_a_picture_that_a_model_cannot_take_does_not_end_an_evaluation(mixed: Path) -> None:
    in_mode("L", 28, 28).save(mixed / "b.jpg")
    result = run("evaluate", mixed, "--qualities", "50", "-m", "digits")
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 2)
    assert "a.png: the model digits takes grey pictures" in result.stderr


# --- info reads no more than it needs


def test_info_reads_no_more_than_it_needs(folder: Path) -> None:
    in_mode("RGB", 24, 20).save("a.png")
    data = vaecodec.compress("a.png", lossless=True)
    with open("huge.vae", "wb") as file:
        file.write(data)
        file.truncate(1 << 40)  # all but the beginning takes no room
    assert json.loads(run("info", "--json", "huge.vae").stdout)["bytes"] == 1 << 40
    assert json.loads(run("info", "--json", "-", input=data).stdout)["bytes"] == len(data)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="/dev/zero is Unix's")
def test_info_of_a_device_ends() -> None:
    result = run("info", "/dev/zero")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)


# --- errors

IN_WORDS = [
    (VaecodecError("a.png: no"), "a.png: no"),
    (OSError(24, "Too many open files"), "too many open files"),
    (FileNotFoundError(2, "No such file or directory", "a"), "a: no such file or directory"),
    (FileNotFoundError(2, "No such file or directory", b"\xff"), "\udcff: no such file or directory"),
    (MemoryError(), "there is too little memory"),
    (TypeError("no"), "a defect: TypeError: no; VAECODEC_TRACEBACK=1 shows where"),
    (OSError("no"), "a defect: OSError: no; VAECODEC_TRACEBACK=1 shows where"),
]


@pytest.mark.parametrize(("error", "words"), IN_WORDS, ids=lambda value: shown(str(value)))
def test_every_error_is_a_sentence(error: Exception, words: str) -> None:
    assert in_words(error) == words


# --- Ctrl-C


@pytest.mark.parametrize(("handler", "stoppable"), [(signal.SIG_IGN, True), (signal.default_int_handler, False)])
def test_ctrl_c_stays_what_it_is(handler: object, stoppable: bool) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with interruption.keeping_the_best("a.png", 9, stoppable=stoppable) as progress:
            assert signal.getsignal(signal.SIGINT) is handler
            assert progress(1, 10)
    finally:
        signal.signal(signal.SIGINT, before)
