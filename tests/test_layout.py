"""Imports go one way, and what the README says is what the repository holds."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from support import run_python

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "vaecodec"
NO_TORCH = (
    "batch",
    "plan",
    "transcode",
    "workers",
    "ans",
    "catalog",
    "cli",
    "console",
    "container",
    "errors",
    "files",
    "images",
    "memory",
    "pillow_plugin",
    "qualities",
    "tables",
    "targets",
)
NETWORKS = ("blocks", "bound", "exact", "model", "posterior", "prior", "refine")


def imported(module: str, *, lazily: bool) -> set[str]:
    """Modules that a module imports, at its top or (`lazily`) within functions too; not for type checking only."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    checking = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    skipped = {id(inner) for node in checking for inner in ast.walk(node)}
    names: set[str] = set()
    for node in ast.walk(tree) if lazily else tree.body:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reached(module: str) -> set[str]:
    """All modules that importing a module of the package imports."""
    found, waiting = set(), [module]
    while waiting:
        for name in imported(waiting.pop(), lazily=False):
            inner = name.removeprefix("vaecodec.").replace(".", "/")
            if name not in found and name.startswith("vaecodec.") and (PACKAGE / f"{inner}.py").exists():
                waiting.append(inner)
            found.add(name)
    return found


@pytest.mark.parametrize("module", NO_TORCH)
def test_what_reads_headers_imports_no_torch(module: str) -> None:
    assert not {name for name in reached(module) if name.split(".")[0] in ("torch", "safetensors")}


def test_the_command_line_starts_light() -> None:
    """Help, headers and completion wait for nothing that they do not need."""
    heavy = "numpy", "PIL", "torch", "safetensors", "tqdm", "constriction"
    result = run_python(
        f"import sys, vaecodec.cli\nprint([name for name in {heavy} if name in sys.modules])", text=True
    )
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("module", NETWORKS)
def test_networks_know_nothing_of_files(module: str) -> None:
    above = {"ans", "codec", "cli", "files", "images", "evaluation", "weights", "training"}
    assert not {name for name in imported(module, lazily=True) if name.removeprefix("vaecodec.").split(".")[0] in above}


def test_one_module_imports_constriction() -> None:
    modules = [p.relative_to(PACKAGE).with_suffix("").as_posix() for p in PACKAGE.rglob("*.py")]
    users = {m for m in modules if any(n.split(".")[0] == "constriction" for n in imported(m, lazily=True))}
    assert users == {"ans"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "training").glob("*.py")), ids=lambda p: p.stem)
def test_training_needs_neither_coder_nor_command_line(path: Path) -> None:
    names = reached(f"training/{path.stem}")
    assert not names & {"constriction", "click", "vaecodec.ans", "vaecodec.codec", "vaecodec.cli"}


def test_nothing_that_decodes_imports_training() -> None:
    for path in PACKAGE.glob("*.py"):
        names = imported(path.stem, lazily=True)
        assert not any(name.startswith("vaecodec.training") for name in names), path.name


def _shipped() -> dict[str, str]:
    from vaecodec.catalog import read_model_info

    return {p.stem: read_model_info(p).fingerprint for p in (REPOSITORY / "pretrained").glob("*.safetensors")}


@pytest.mark.parametrize("tune", ["looks", "psnr"])
def test_a_model_for_each_tune_is_shipped_and_has_a_card(tune: str) -> None:
    from vaecodec.catalog import TUNES

    assert _shipped()[TUNES[tune]] in (REPOSITORY / "pretrained" / f"{TUNES[tune]}.md").read_text()


def test_the_wheel_stays_small() -> None:
    assert sum(p.stat().st_size for p in (REPOSITORY / "pretrained").rglob("*")) < 64e6


def test_committed_results_are_of_the_shipped_model_and_in_the_card_and_readme() -> None:
    """A number that a document names is the one in the results that the commands beside it wrote."""
    from vaecodec import metrics
    from vaecodec.catalog import TUNES

    model = TUNES["psnr"]
    results = json.loads((REPOSITORY / "benchmarks" / "results" / "kodak-evaluate.json").read_text())
    assert _shipped()[model] in results["description"]
    card = (REPOSITORY / "pretrained" / f"{model}.md").read_text()
    means = results["results"]
    for row in zip(means["quality"], means["bpp"], means["psnr-rgb"], means["ms-ssim-rgb"], strict=True):
        assert "| {:g} | {:.3f} | {:.2f} | {:.4f} |".format(*row) in card
    published = json.loads((REPOSITORY / "benchmarks" / "published.json").read_text())
    vtm = published["curves"]["VTM 18.0"]
    rate = metrics.bd_rate_percent(vtm["bpp"], vtm["psnr_db"], means["bpp"], means["psnr-rgb"])
    readme = (REPOSITORY / "README.md").read_text()
    said = re.search(r"`--tune psnr`: by PSNR its files are (\d+\.\d) % larger than those of H.266", readme)
    assert said, "the README says how far the model for PSNR is from H.266"
    assert float(said[1]) == pytest.approx(rate, abs=0.06)
    assert f"+{said[1]} %" in card
