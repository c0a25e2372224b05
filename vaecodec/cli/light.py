"""What is answered without click, whose import takes longer than all that this does.

    vaecodec --help    --version    models    info [--json] FILE...

`answered` takes a command line in these forms. Any other is click's (`cli.main`), which does the same with the same
functions, and has the options' help and errors. The help is held as text, in `help.txt`.
"""

from __future__ import annotations

import os
import sys

from vaecodec.cli.terminal import ending_in_words, own_process
from vaecodec.format.files import STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HELP = os.path.join(os.path.dirname(__file__), "help.txt")
"""What click makes of `cli.main` in a terminal of `HELP_COLUMNS`; a test compares, and says what to write there."""
HELP_COLUMNS = 80
"""From here on click makes no use of more."""


def answered(arguments: list[str]) -> bool:
    """Does what a command line asks for, if it is one of those above; `False` leaves it to click."""
    if any(name.endswith("_COMPLETE") for name in os.environ):  # a shell asks for completions
        return False
    with ending_in_words():
        answer = _answer(arguments)
        if answer:
            own_process()
            answer()
    return answer is not None


def _answer(arguments: list[str]) -> Callable[[], None] | None:
    """What answers a command line, if that is not click."""
    if arguments in (["--help"], ["-h"]):
        return _show_help if _columns() >= HELP_COLUMNS else None
    from vaecodec.cli.commands import headers

    if arguments == ["--version"]:
        return headers.show_version
    if arguments == ["models"]:
        return headers.show_models
    if arguments[:1] == ["info"] and (paths := _paths(arguments[1:])):
        return lambda: headers.show_info(paths, as_json="--json" in arguments)
    return None


def _paths(arguments: list[str]) -> list[str]:
    """Those of `info`; none if something else is among them than `--json`, or where click expands wildcards."""
    paths = [argument for argument in arguments if argument != "--json"]
    plain = os.name == "posix" and all(path == STREAM or path[:1] != "-" for path in paths)
    return paths if plain else []


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _show_help() -> None:
    with open(HELP, encoding="utf-8") as file:
        print(file.read().replace("Usage: vaecodec", f"Usage: {_program()}", 1), end="", flush=True)


def _program() -> str:
    """What this was started as."""
    name = os.path.basename(sys.argv[0])
    return "python -m vaecodec" if name == "__main__.py" else name
