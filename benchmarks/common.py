"""What the benchmark programs share: pictures, codecs, and results that survive an interruption."""

from __future__ import annotations

import io
import json
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

if TYPE_CHECKING:
    from vaecodec.baselines import ImageCodec

SMALLEST_PX = 161
"""Sides below this have no MS-SSIM."""
SAVE_S = 10


def say(message: str) -> None:
    """To standard error, as everything that is no result."""
    click.echo(message, err=True)


# --- pictures --------------------------------------------------------------------------------------------------------


@dataclass
class Folder:
    """The pictures among some paths.

    Attributes:
        images: file name to `[H, W, 3]` uint8.
        left_out: what cannot be measured, with the reason; no failure.
        failed: what claims to be a picture and cannot be read, with the reason.
    """

    images: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def report(self) -> None:
        """Says what is not measured, and why."""
        for name, reason in self.left_out.items():
            say(f"left out: {name}: {reason}")
        for name, reason in self.failed.items():
            say(f"failed: {name}: {reason}")


def read_pictures(paths: tuple[Path, ...]) -> Folder:
    """Reads all RGB pictures that are large enough, in files and folders."""
    from vaecodec import images
    from vaecodec.errors import ImageError

    result = Folder()
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    for path in files:
        if path.is_dir() or path.name.startswith("."):
            continue
        if path.suffix.lower() not in images.PICTURE_SUFFIXES:
            result.left_out[path.name] = "not a picture, by its suffix"
            continue
        if path.name in result.images:
            result.left_out[str(path)] = "another picture has the same name"
            continue
        try:
            planes = images.take_apart(images.open_image(path))
        except ImageError as error:
            result.failed[path.name] = str(error).removeprefix(f"{path}: ")
            continue
        height, width = planes.rgb.shape[:2]
        if planes.mode in ("L", "1", "I;16", "I", "F"):
            result.left_out[path.name] = f"greyscale (mode {planes.mode}); the measures are of RGB"
        elif planes.alpha is not None:
            result.left_out[path.name] = "has an alpha plane, which not every codec keeps"
        elif min(height, width) < SMALLEST_PX:
            result.left_out[path.name] = f"{width}x{height} pixels; MS-SSIM needs sides of {SMALLEST_PX} or more"
        else:
            result.images[path.name] = planes.rgb
    return result


def checksum(image: np.ndarray) -> str:
    """Names a picture's content."""
    return f"{zlib.crc32(np.ascontiguousarray(image)):08x}-{image.shape[1]}x{image.shape[0]}"


def ssimulacra2(a: np.ndarray, b: np.ndarray) -> float:
    """SSIMULACRA2 of two `[H, W, 3]` uint8 arrays (100 is perfect), by the package ssimulacra2.

    Raises:
        ImportError: it is not installed.
    """
    from PIL import Image
    from ssimulacra2 import compute_ssimulacra2

    buffers = io.BytesIO(), io.BytesIO()
    for buffer, image in zip(buffers, (a, b), strict=True):
        Image.fromarray(image).save(buffer, "PPM")
    return float(compute_ssimulacra2(*buffers))


# --- codecs ----------------------------------------------------------------------------------------------------------


def collect_codecs(model: str | None) -> list[ImageCodec]:
    """All that are installed; says which are not, and why."""
    from vaecodec.baselines import collect

    codecs, missing = collect(model)
    for name, reason in missing.items():
        say(f"left out: {name}: {reason}")
    return codecs


def chosen(codecs: list[ImageCodec], names: str | None) -> list[ImageCodec]:
    """Those of a comma-separated list of names, or all.

    Raises:
        click.UsageError: a name is unknown.
    """
    if names is None:
        return codecs
    known = {codec.name.lower(): codec for codec in codecs}
    # names may hold commas themselves, so the longest match first
    rest, found = names.lower().strip(), []
    while rest:
        name = max((n for n in known if rest == n or rest.startswith(f"{n},")), key=len, default=None)
        if name is None:
            raise click.UsageError(f"--codecs: unknown at {rest!r}; there are: {', '.join(c.name for c in codecs)}")
        found.append(known[name])
        rest = rest[len(name) :].lstrip(", ")
    return found


# --- results ---------------------------------------------------------------------------------------------------------


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
        from vaecodec import files

        if now or time.monotonic() - self._saved > SAVE_S:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            files.write(str(self.path), _dump(self.data).encode())
            self._saved = time.monotonic()


def section(parent: dict, name: str, stamp: dict) -> dict:
    """What is stored under a name, emptied if it was made under another stamp (settings, versions, content)."""
    part = parent.get(name)
    if part is None or any(part.get(key) != value for key, value in stamp.items()):
        part = parent[name] = dict(stamp)
    return part


def _dump(value, indent: int = 0) -> str:
    """JSON with lists of plain values on one line."""
    if isinstance(value, dict) and value:
        pad = " " * (indent + 1)
        items = (f"{pad}{json.dumps(str(k))}: {_dump(v, indent + 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"
    return json.dumps(value)
