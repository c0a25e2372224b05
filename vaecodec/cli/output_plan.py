"""Which file becomes which: folders are walked, their tree is mirrored, and no two files go to one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from vaecodec.format.files import FileError, reason


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        targets: source to target.
        walked: whether there are folders among the sources.
        left_out: how many files in folders are no candidates, by their suffix.
        failures: folders that cannot be read.
        renamed: targets that keep the suffix of their source, since another source has the same name without it.
    """

    targets: dict[str, str] = field(default_factory=dict)
    walked: bool = False
    left_out: int = 0
    failures: list[FileError] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)


def into_folder(paths: Collection[str], folder: Path, suffix: str, accepted: Collection[str]) -> Plan:
    """Plans files and folders into a folder.

    A folder's files go to the same places below `folder`, files that are named themselves directly into it. Of
    `a.png` and `a.jpg` in one place, neither becomes `a.vae`: they become `a.png.vae` and `a.jpg.vae`.

    Args:
        suffix: of targets.
        accepted: suffixes, in small letters, of the files in folders that are candidates. Files that are named
            themselves may have any; files and folders whose name begins with a dot are not looked at.

    Raises:
        FileError: two sources would go to one target.
    """
    plan = Plan()
    places: dict[str, Path] = {}
    for path in paths:
        if Path(path).is_dir():
            places |= _walk(Path(path), folder, accepted, plan)
        else:
            places[path] = Path(Path(path).name)
    shared = Counter(_key(place.with_suffix(suffix)) for place in places.values())
    taken: dict[str, str] = {}
    for source, place in places.items():
        target = place.with_suffix(suffix)
        if shared[_key(target)] > 1:
            target = place.with_name(place.name + suffix)
            plan.renamed.append(str(folder / target))
        if other := taken.get(_key(target)):
            raise FileError(f"{source}: would go to the same file as {other}, {folder / target}")
        taken[_key(target)] = source
        plan.targets[source] = str(folder / target)
    return plan


def _key(path: Path) -> str:
    """The same for paths that are one file on this system."""
    return os.path.normcase(path)


def _walk(root: Path, output: Path, accepted: Collection[str], plan: Plan) -> dict[str, Path]:
    """Path to relative path of the candidates below a folder, in order; the output folder within it is left alone."""
    found, plan.walked = {}, True
    inside = output.resolve() if output.resolve() != root.resolve() else None

    def failed(error: OSError) -> None:
        plan.failures.append(FileError(f"{error.filename}: cannot be read: {reason(error)}"))

    for where, folders, names in os.walk(root, onerror=failed):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and Path(where, f).resolve() != inside)
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(where, name)
            if path.suffix.lower() in accepted:
                found[str(path)] = path.relative_to(root)
            else:
                plan.left_out += 1
    return found
