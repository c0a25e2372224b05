"""Imports go one way, modules stay small, and what must start light does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, run_python

PACKAGE = ROOT / "vaecodec"
ROOMS = (
    "errors", "version", "format", "pictures", "objective", "networks", "coding", "inference", "codec", "training",
    "baselines", "digits", "plugins", "cli", "",
)  # fmt: skip
"""From the bottom up, last the package's own modules, which are the API. A room imports from those before it."""
MODULES = sorted(PACKAGE.rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return first if first in ROOMS else ""


def imports(path: Path) -> Iterator[str]:
    """Modules and names that a module imports, anywhere in it, for type checking and by strings too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            assert isinstance(node.args[0], ast.Constant), f"{path}: an import that cannot be followed"
            yield node.args[0].value


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_downwards(path: Path) -> None:
    below = ROOMS[: ROOMS.index(room_of(path)) + 1]
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package == "vaecodec":
            first = rest.partition(".")[0]
            assert (first if first in ROOMS else "") in below, f"{room_of(path)} imports {name}"


def test_all_rooms_say_what_they_are_for() -> None:
    for folder in {path.parent for path in MODULES}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
    assert {room_of(path) for path in MODULES} == set(ROOMS)


def test_rooms_modules_and_functions_stay_small() -> None:
    for folder in {path.parent for path in MODULES}:
        assert len(list(folder.glob("*.py"))) <= 12, folder
    for path in MODULES:
        lines = path.read_text()
        assert lines.count("\n") <= 400, path
        for node in ast.walk(ast.parse(lines)):
            if isinstance(node, FUNCTIONS):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                assert not body or body[-1].end_lineno - body[0].lineno < 50, f"{path}: {node.name}"


def test_one_module_imports_constriction() -> None:
    users = {path.name for path in MODULES if any(name.partition(".")[0] == "constriction" for name in imports(path))}
    assert users == {"ans.py"}


HEAVY = ("numpy", "PIL", "torch", "safetensors", "tqdm", "constriction", "matplotlib", "vaecodec.training")
NO_TORCH = ("torch", "safetensors", "vaecodec.training")


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import vaecodec.cli.main", HEAVY),
        ("from vaecodec.cli.main import main; main(['digits', '--help'])", NO_TORCH),
        ("from vaecodec.cli.main import main; main(['models'])", NO_TORCH),
        ("import vaecodec.pillow_plugin", NO_TORCH),
        ("import vaecodec.ray", (*NO_TORCH, "ray")),
        ("from vaecodec.cli import batch, output_plan, transcode, workers", NO_TORCH),
        ("from vaecodec.format import ans, catalog, container, files, qualities, tables", NO_TORCH),
        ("from vaecodec.inference import effort, targets", NO_TORCH),
        ("from vaecodec.codec.codec import Codec; Codec()", ("vaecodec.training", "vaecodec.baselines", "click")),
        ("from vaecodec.training import loop, run", ("constriction", "click", "vaecodec.codec.codec", "vaecodec.cli")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_only_what_is_needed_is_imported(code: str, unwanted: tuple[str, ...]) -> None:
    """In a fresh interpreter: help, headers and the coder wait for no torch, decoding for no training."""
    check = f"import sys\nfound = [name for name in {unwanted} if name in sys.modules]\nassert not found, found"
    result = run_python(f"try:\n    {code}\nexcept SystemExit:\n    pass\n{check}")
    assert result.returncode == 0, result.stderr.decode()


def test_decoding_imports_no_more_of_torch_than_torch_does() -> None:
    """`torch._dynamo`, sympy and their like take a second; `nn.init` on meta tensors would import them, for one."""
    code = (
        "import sys, torch\nbefore = {*sys.modules}\nimport vaecodec\n"
        "vaecodec.decompress(sys.argv[1], model=sys.argv[2])\n"
        "new = {name for name in {*sys.modules} - before if name.partition('.')[0] in ('torch', 'sympy', 'networkx')}\n"
        "assert new <= {'torch.utils._device'}, new"
    )
    golden = ROOT / "tests" / "golden"
    result = run_python(code, str(golden / "rgb-q50.vae"), str(golden / "tiny.safetensors"), text=True)
    assert result.returncode == 0, result.stderr
