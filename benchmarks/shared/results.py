"""Results that survive an interruption, and how they are told."""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

SAVE_S = 10


def say(message: str) -> None:
    """To standard error, as everything that is no result."""
    click.echo(message, err=True)


def checksum(image: np.ndarray) -> str:
    """Names a picture's content."""
    return f"{zlib.crc32(np.ascontiguousarray(image)):08x}-{image.shape[1]}x{image.shape[0]}"


class Store:
    """A JSON file that is written every few seconds, whole or not at all."""

    def __init__(self, path: Path):
        self.path, self._saved = path, time.monotonic()
        self.data: dict = {}
        if path.exists():
            try:
                self.data = json.loads(path.read_text())
            except ValueError as error:
                raise click.ClickException(f"{path}: not JSON ({error}); move it away to begin anew") from error

    def save(self, *, now: bool = False) -> None:
        """Writes if it is time to, or if told so."""
        from vaecodec.format import files

        if now or time.monotonic() - self._saved > SAVE_S:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            files.write(str(self.path), _dump(self.data).encode(), force=True)
            self._saved = time.monotonic()


def section(parent: dict, name: str, stamp: dict) -> dict:
    """What is stored under a name, emptied if it was made under another stamp (settings, versions, content)."""
    part = parent.get(name)
    if part is None or any(part.get(key) != value for key, value in stamp.items()):
        part = parent[name] = dict(stamp)
    return part


def measure_all(
    store: Store,
    stamp: dict,
    settings: list[str],
    images: dict[str, np.ndarray],
    work: Callable[[str, np.ndarray], dict],
) -> dict[str, dict[str, dict]]:
    """Rows of numbers by setting and picture; what the store has already is not measured again.

    Args:
        stamp: what the rows depend on beside setting and picture; rows under another stamp are thrown away.
        work: from setting and picture to a row.
    """
    points = section(store.data, "measured", stamp).setdefault("points", {})
    keys = {name: f"{name} {checksum(image)}" for name, image in images.items()}
    todo = [(s, name) for s in settings for name in images if keys[name] not in points.setdefault(s, {})]
    show = lambda item: item and " ".join(item)
    try:
        with click.progressbar(todo, label="measuring", file=sys.stderr, item_show_func=show) as bar:
            for setting, name in bar:
                points[setting][keys[name]] = work(setting, images[name])
                store.save()
    finally:
        store.save(now=True)
    return {setting: {name: points[setting][keys[name]] for name in images} for setting in settings}


def publish(store: Store, output: Path, text: str) -> None:
    """Writes the results as JSON and Markdown, and says the latter."""
    store.save(now=True)
    output.with_suffix(".md").write_text(text, encoding="utf-8")
    click.echo(text)


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, the first column to the left."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _dump(value, indent: int = 0) -> str:
    """JSON with lists of plain values on one line."""
    if isinstance(value, dict) and value:
        pad = " " * (indent + 1)
        items = (f"{pad}{json.dumps(str(k))}: {_dump(v, indent + 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"
    return json.dumps(value)
