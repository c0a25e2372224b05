"""What all benchmark programs have in common: they help, say their question, and name what they leave out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from bench_support import BENCHMARKS, PROGRAMS, run, some_pictures
from shared import pictures
from support import ROOT

SHARED = sorted((BENCHMARKS / "shared").rglob("*.py"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return some_pictures(tmp_path / "pictures")


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(program):
    result = run(program, "--help")
    assert result.exit_code == 0 and "Usage" in result.output


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_answers_a_question_and_a_document_names_it(program):
    said = ast.get_docstring(ast.parse((BENCHMARKS / f"{program}.py").read_text()))
    assert re.match(r"[A-Z][^.:;?]*\?", said), said
    assert f"python benchmarks/{program}.py" in said
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "pretrained").glob("*.md")]
    assert any(re.search(rf"\b{program}\.py", path.read_text()) for path in documents)


def test_programs_and_what_they_share_stay_small():
    for path in (*BENCHMARKS.glob("*.py"), *SHARED):
        assert path.read_text().count("\n") <= 300, path
    for folder in {path.parent for path in SHARED}:
        assert len(list(folder.glob("*.py"))) <= 12, folder


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.relative_to(BENCHMARKS).as_posix())
def test_what_programs_share_imports_none_of_them(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", ())]
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not {name.partition(".")[0] for name in names} & set(PROGRAMS)


def test_what_cannot_be_measured_is_named(folder):
    read = pictures.read_pictures((folder,))
    assert list(read.images) == ["good.png"]
    assert set(read.left_out) == {"grey.png", "one.png", "notes.txt", "alpha.png"}
    assert "greyscale" in read.left_out["grey.png"] and "1x1" in read.left_out["one.png"]
    assert set(read.failed) == {"broken.png"} and read.failed["broken.png"]
