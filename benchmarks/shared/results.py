"""What the benchmark programs share: pictures, codecs, and results that survive an interruption."""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

if TYPE_CHECKING:
    from vaecodec.baselines.collection import ImageCodec

SMALLEST_PX = 161
"""Sides below this have no MS-SSIM."""
SAVE_S = 10


def say(message: str) -> None:
    """To standard error, as everything that is no result."""
    click.echo(message, err=True)


# --- options that several programs have ------------------------------------------------------------------------------

SETTINGS = {"help_option_names": ["-h", "--help"]}
images_argument = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="IMAGES..."
)
model_option = click.option("-m", "--model", help="Model of vaecodec by name or file; the default is light.")
codecs_option = click.option("--codecs", help="Comma-separated names; all by default.")
data_option = click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="Tar files or folders of training pictures; may be given several times.",
)


def output_option(name: str):
    """Where results go: a path without suffix."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        default=Path(name),
        show_default=True,
        help="Results go to this name with .json, .md and .png.",
    )


def numbers_option(flag: str, default: str, what: str, lowest: float, highest: float):
    """A comma-separated list of numbers, which a program gets as text of one form each, ready to be keys."""

    def parse(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
        try:
            values = [float(value) for value in text.split(",")]
        except ValueError:
            raise click.BadParameter(f"{text}: not a list of numbers") from None
        if any(not lowest <= value <= highest for value in values):
            raise click.BadParameter(f"{text}: not all between {lowest:g} and {highest:g}")
        return [f"{value:g}" for value in values]

    help_text = f"{what}, comma-separated, {lowest:g} to {highest:g}."
    return click.option(flag, default=default, show_default=True, callback=parse, help=help_text)


def qualities_option(default: str):
    """Qualities of vaecodec."""
    return numbers_option("--qualities", default, "Qualities", 1, 100)


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
    from vaecodec.errors import ImageError
    from vaecodec.pictures import images

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
            planes = images.planes_of(path)
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


def usable_pictures(paths: tuple[Path, ...]) -> Folder:
    """`read_pictures`, said what is left out, and an error if nothing remains."""
    folder = read_pictures(paths)
    folder.report()
    if not folder.images:
        raise click.ClickException("no picture could be used")
    return folder


def held_out_crops(
    sources: tuple[Path, ...], width: int, height: int, count: int | None = None
) -> dict[str, np.ndarray]:
    """The middle, `[height, width, 3]` uint8, of pictures that training holds out; smaller ones are left out."""
    from vaecodec.training.data.pictures import held_out

    crops = {}
    for name, picture in held_out(list(sources), minimum=min(width, height)).items():
        top, left = (picture.shape[1] - height) // 2, (picture.shape[2] - width) // 2
        if top >= 0 and left >= 0:
            crops[name] = picture[:, top : top + height, left : left + width].permute(1, 2, 0).numpy().copy()
    if not crops:
        raise click.ClickException(f"no held-out picture of {width}x{height} or more")
    return dict(list(crops.items())[:count])


def checksum(image: np.ndarray) -> str:
    """Names a picture's content."""
    return f"{zlib.crc32(np.ascontiguousarray(image)):08x}-{image.shape[1]}x{image.shape[0]}"


# --- codecs ----------------------------------------------------------------------------------------------------------


def collect_codecs(model: str | None) -> list[ImageCodec]:
    """All that are installed; says which are not, and why."""
    from vaecodec.baselines.collection import collect

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
        from vaecodec.format import files

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
