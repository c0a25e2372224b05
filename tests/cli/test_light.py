"""What is answered without click: in the same words as with it, from few modules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import TINY
from support import drawn, in_mode, run_command, run_python

import vaecodec
from vaecodec.cli import light

CLICK = "import sys; sys.argv[0] = '/bin/vaecodec'; from vaecodec.cli.main import main; main()"
LIGHT = "import sys; sys.argv[0] = '/bin/vaecodec'; from vaecodec.__main__ import main; main()"
MOST_MODULES = 110
"""`python -c pass` has about 35, click with what it imports 110 more."""
UNWANTED = {"click", "ast", "dis", "typing", "hashlib", "tempfile", "importlib.metadata", "numpy", "PIL", "torch"}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory) -> Path:
    """A file by a model, one held without loss that says how it was made, one with tiles, and two that are none."""
    folder = tmp_path_factory.mktemp("light")
    in_mode("RGB", 40, 30).save(folder / "a.png")
    (folder / "a.vae").write_bytes(vaecodec.compress(folder / "a.png", model=TINY))
    (folder / "drawn.vae").write_bytes(vaecodec.compress(drawn(200, 100), lossless=True))
    run_command("compress", folder / "a.png", "-o", folder / "made", "--lossless")
    (folder / "made" / "a.vae").rename(folder / "made.vae")
    (folder / "cut.vae").write_bytes((folder / "a.vae").read_bytes()[:-7])
    (folder / "text.vae").write_text("only text")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["-h"],
        ["--version"],
        ["models"],
        ["info", "a.vae"],
        ["info", "a.vae", "drawn.vae", "text.vae", "made.vae"],
        ["info", "cut.vae", "--json", "drawn.vae", "made.vae"],
        ["info", "none.vae"],
        ["info", "text.vae"],
        ["info", "-"],
        ["info"],
        ["info", "--js", "a.vae"],
        ["info", "--", "a.vae"],
        ["info", "--help"],
        ["models", "--help"],
        ["models", "a"],
        ["--version", "models"],
        ["inf"],
        [],
    ],
    ids=" ".join,
)
def test_it_is_the_same_with_click_and_without(folder: Path, arguments: list[str]) -> None:
    options = {"cwd": folder, "input": (folder / "a.vae").read_bytes()}
    one, other = (run_python(code, *arguments, **options) for code in (CLICK, LIGHT))
    assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)


@pytest.mark.parametrize("columns", ["60", "79", "80", "200"])
def test_the_help_is_what_click_makes_of_it(columns: str) -> None:
    """That at 80 columns is held as a text, which has to follow what the commands say."""
    one, other = (run_python(code, "--help", env={"COLUMNS": columns}) for code in (CLICK, LIGHT))
    assert one.stdout == other.stdout, f"to {light.HELP} goes: {one.stdout.decode()}"


def test_shells_still_get_completions() -> None:
    env = {"_VAECODEC_COMPLETE": "bash_complete", "COMP_WORDS": "vaecodec mod", "COMP_CWORD": "1"}
    for arguments in ([], ["models"]):
        assert run_python(LIGHT, *arguments, env=env).stdout == b"plain,models\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models"], ["info", "a.vae"]], ids=" ".join)
def test_few_modules_are_imported(folder: Path, arguments: list[str]) -> None:
    """A bound on what a start takes, as times are no test."""
    code = (
        "import json, sys\nfrom vaecodec.__main__ import main\ntry: main()\nfinally: print(json.dumps([*sys.modules]))"
    )
    result = run_python(code, *arguments, cwd=folder)
    modules = json.loads(result.stdout.splitlines()[-1])
    assert not UNWANTED & {*modules}
    assert len(modules) <= MOST_MODULES, sorted(modules)


def test_all_that_the_api_offers_is_there() -> None:
    assert {*vaecodec.__all__} <= {*dir(vaecodec)}
    assert all(getattr(vaecodec, name) for name in vaecodec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vaecodec.nothing  # noqa: B018


def test_what_is_late_is_whole_when_it_comes() -> None:
    code = (
        "from vaecodec.__main__ import _Late\n_Late('inspect')\nimport sys\nassert 'dis' not in sys.modules\n"
        "from dataclasses import dataclass\nassert 'dis' not in sys.modules\nimport inspect\n"
        "assert inspect.cleandoc('  a') == 'a' and inspect.__file__ and inspect.isfunction(inspect.isfunction)\n"
    )
    assert run_python(code).returncode == 0
