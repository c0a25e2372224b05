"""Which file becomes which: folders are walked, their tree is mirrored, and no two files go to one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vaecodec.cli.done import Made, place_of, suffix_of
from vaecodec.errors import VaecodecError
from vaecodec.format import files
from vaecodec.format.files import FileError, reason


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        targets: source to target.
        walked: whether there are folders among the sources.
        left_out: how many files in folders are no candidates, by their suffix.
        skipped: what in folders cannot be gone into or read as a file, and why.
        failures: what is asked for and cannot be done.
        renamed: targets that keep the suffix of their source, since without it the name is another's.
    """

    targets: dict[str, str] = field(default_factory=dict)
    walked: bool = False
    left_out: int = 0
    skipped: list[str] = field(default_factory=list)
    failures: list[VaecodecError] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)


def into_folder(
    paths: Collection[str],
    folder: Path,
    suffix: str,
    accepted: Collection[str],
    *,
    recursive: bool = True,
    made: Callable[[Path], Made | None] = lambda target: None,
) -> Plan:
    """Plans files and folders into a folder.

    A folder's files go to the same places below `folder`, files that are named themselves directly into it. Of `a.png`
    and `a.jpg` in one place, neither becomes `a.vae`: they become `a.png.vae` and `a.jpg.vae`. What has once got a name
    keeps it, whatever comes to lie beside it.

    Args:
        suffix: of targets.
        accepted: suffixes, in small letters, of the files in folders that are candidates. Files that are named
            themselves may have any; files and folders whose name begins with a dot are not looked at.
        recursive: folders are walked; otherwise they are failures.
        made: how a target that exists was made; `None` if it does not say.
    """
    plan = Plan()
    places: dict[str, Path] = {}
    for path in paths:
        if not os.path.isdir(path):
            places[path] = Path(os.path.basename(os.path.normpath(path)))
            if not path or places[path].name in ("", ".."):
                del places[path]
                plan.failures.append(FileError(f"{path or repr(path)}: is no file's name"))
        elif recursive:
            places |= _walk(Path(path), folder, accepted, plan)
        else:
            plan.failures.append(FileError(f"{path}: is a folder; -r takes the files in it, and in the folders in it"))
    shared = Counter(_key(place.with_suffix(suffix)) for place in places.values())
    inputs = {files.inode(source): source for source in places}
    lie = {place_of(source): source for source in places}

    def is_of(target: Path, source: str) -> bool | None:
        """Whether a target was made of a source; `None` where there is none, or it does not say."""
        if (how := made(folder / target)) is None:
            return None
        return lie[how.place] == source if how.place in lie else how.suffix == suffix_of(source)

    taken: dict[str, str] = {}
    for source, place in places.items():
        short, long = place.with_suffix(suffix), place.with_name(place.name + suffix)
        own = is_of(short, source)
        if own is None and shared[_key(short)] == 1:
            own = not os.path.lexists(folder / long) or is_of(long, source) is False
        target = short if own and _key(short) not in taken else long
        if target == long:
            plan.renamed.append(str(folder / target))
        if other := taken.get(_key(target)):
            why = f"would go to the same file as {other}, {folder / target}"
        elif (there := files.inode(str(folder / target))) and (other := inputs.get(there)):
            why = f"would replace {other}, which is read in the same run"
        else:
            taken[_key(target)] = source
            plan.targets[source] = str(folder / target)
            continue
        plan.failures.append(FileError(f"{source}: {why}"))
    return plan


def _key(path: Path) -> str:
    """The same for paths that are one file on this system."""
    return os.path.normcase(path)


def candidates(folder: Path, accepted: Collection[str], plan: Plan) -> Iterator[str]:
    """Names of the files in a folder, in order, that are of a suffix; others are counted, or named, in the plan."""
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if name.startswith(".") or os.path.isdir(path):
            continue
        if path.suffix.lower() not in accepted:
            plan.left_out += 1
        elif os.path.exists(path) and not os.path.isfile(path):  # a pipe, a socket or a device may have no end
            plan.skipped.append(f"{path}: is no plain file")
        else:
            yield name


def _walk(root: Path, output: Path, accepted: Collection[str], plan: Plan) -> dict[str, Path]:
    """Path to relative path of the candidates below a folder, in order; the output folder within it is left alone."""
    found, plan.walked = {}, True
    inside = os.path.realpath(output)
    inside = "" if inside == os.path.realpath(root) else inside

    def failed(error: OSError) -> None:
        plan.failures.append(FileError(f"{error.filename}: cannot be read: {reason(error)}"))

    for where, folders, _ in os.walk(root, onerror=failed):
        kept = []
        for name in sorted(folders):
            path = Path(where, name)
            if name.startswith(".") or os.path.realpath(path) == inside:
                continue
            if path.is_symlink():
                plan.skipped.append(f"{path}: is a symbolic link to a folder")
            else:
                kept.append(name)
        folders[:] = kept
        try:
            for name in candidates(Path(where), accepted, plan):
                path = Path(where, name)
                found[str(path)] = path.relative_to(root)
        except OSError as error:
            failed(error)
    return found
