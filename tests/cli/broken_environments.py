"""A process that has imported all of the command line, and runs it again and again as shells with odd ideas would.

For every environment a child is forked, which runs all commands: processes of their own would take minutes. Reads lines
of JSON, `[environment, [arguments, …]]`, and answers each with one: `[[exit code, standard output, standard error], …]`
of bytes, each a character.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

LIMIT_S = 60


def _full(*descriptors: int) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(full, descriptor)
    os.close(full)


def _unread() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    os.close(writer)


def _in_a_folder_that_is_gone() -> None:
    gone = tempfile.mkdtemp()
    os.chdir(gone)
    os.rmdir(gone)


def _close(*descriptors: int) -> Callable[[], None]:
    return lambda: [os.close(descriptor) for descriptor in descriptors] and None


def _set(**variables: str) -> Callable[[], None]:
    return lambda: os.environ.update(variables)


def _limit(what: int, count: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (count, count))


ENVIRONMENTS: dict[str, Callable[[], object]] = {
    "as usual": lambda: None,
    "stdin closed": _close(0),
    "stdout closed": _close(1),
    "stderr closed": _close(2),
    "all closed": _close(0, 1, 2),
    "stdout full": lambda: _full(1),
    "stderr full": lambda: _full(2),
    "both full": lambda: _full(1, 2),
    "stdout unread": _unread,
    "ascii": _set(PYTHONIOENCODING="ascii"),
    "latin-1": _set(PYTHONIOENCODING="latin-1"),
    "LC_ALL=C": _set(LC_ALL="C", LANG="C"),
    "no HOME": lambda: os.environ.pop("HOME", None),
    "HOME unwritable": _set(HOME="/proc"),
    "folder gone": _in_a_folder_that_is_gone,
    "no TMPDIR": _set(TMPDIR="/nowhere/at/all"),
    "OMP_NUM_THREADS=junk": _set(OMP_NUM_THREADS="junk"),
    "COLUMNS=0": _set(COLUMNS="0", TERM="dumb"),
    "few files": _limit(resource.RLIMIT_NOFILE, 16),
    "no room in files": _limit(resource.RLIMIT_FSIZE, 0),
}


def _open_streams() -> None:
    """As Python does at its start."""
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    strict = "surrogateescape" if os.environ.get("LC_ALL") == "C" else "strict"
    for number, (name, mode, errors) in enumerate(
        (("stdin", "r", strict), ("stdout", "w", strict), ("stderr", "w", "backslashreplace"))
    ):
        try:
            os.fstat(number)
            stream = os.fdopen(number, mode, encoding=encoding, errors=errors, closefd=False)
        except OSError:
            stream = None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _run(environment: str, arguments: list[str]) -> int:
    """The exit code of a command, which finds descriptors, variables and limits as in that environment."""
    from vaecodec.cli.main import main

    signal.alarm(LIMIT_S)
    ENVIRONMENTS[environment]()
    _open_streams()
    sys.argv = ["vaecodec", *arguments]
    code = 0
    try:
        main()
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:  # what Python would show
        traceback.print_exc()
        code = 1
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except BaseException as error:
            os.write(2, f"Exception ignored in: {error}".encode())
            code = 120
    return code


def _child(environment: str, commands: list[list[str]], outputs: list[tuple[int, int]], codes: int) -> None:
    folder, picture, null = os.getcwd(), os.open("a.png", os.O_RDONLY), os.open(os.devnull, os.O_RDWR)
    for arguments, (out, err) in zip(commands, outputs, strict=True):
        os.lseek(picture, 0, os.SEEK_SET)
        for kept, number in ((picture, 0), (out, 1), (err, 2)):
            os.dup2(kept, number)
        os.chdir(folder)
        os.write(codes, bytes([_run(environment, arguments)]))
        for number, pipe in ((1, out), (2, err)):
            os.dup2(null, number)
            os.close(pipe)


def _answers(environment: str, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    codes, told = os.pipe()
    pipes = [(os.pipe(), os.pipe()) for _ in commands]  # not files: there is a limit to these
    child = os.fork()
    if not child:
        for ends in pipes:
            for reader, _ in ends:
                os.close(reader)
        try:
            _child(environment, commands, [(out[1], err[1]) for out, err in pipes], told)
        finally:
            os._exit(0)
    os.close(told)
    texts = []
    for ends in pipes:
        for _, writer in ends:
            os.close(writer)
    for ends in pipes:
        for reader, _ in ends:
            with os.fdopen(reader, "rb") as pipe:
                texts.append(pipe.read().decode("latin-1"))
    with os.fdopen(codes, "rb") as pipe:
        found = list(pipe.read())
    os.waitpid(child, 0)
    found += [-1] * (len(commands) - len(found))  # it was killed
    return list(zip(found, texts[::2], texts[1::2], strict=True))


def serve(models: Path) -> None:
    """Answers until there are no more questions; `models` is the folder where those that are installed lie."""
    import torch
    from click.testing import CliRunner

    from vaecodec.cli.main import main
    from vaecodec.format import catalog

    assert torch.get_num_threads() == 1  # the threads of a parent are not there in its children
    catalog.FOLDERS = (models,)
    for warm_up in (
        "compress a.png warm.vae --graphics off", "compare a.png warm.vae --html warm.html",
        "evaluate photos --qualities 50", "sample -n 1 --size 16 16 --qualities 50 -o warm.png",
        "digits sample -n 1 -o digits.png", "train --data none --hours 0.01 --resume run",
    ):  # fmt: skip
        CliRunner().invoke(main, warm_up.split())  # imports what each takes
    for line in sys.stdin:
        print(json.dumps(_answers(*json.loads(line))), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]).resolve())
