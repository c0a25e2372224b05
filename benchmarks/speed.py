"""How long does it take, and how much memory? Against other codecs, the version before, a cold start, the processor.

    python benchmarks/speed.py kodim05.png --kodak kodak/ --against COMMIT -o benchmarks/results/speed

What is compared runs side by side: processes of their own, kept warm, are given turns one after the other, and medians
are divided by each other, so that what else the machine does meets all alike. Stopped, it goes on where it was; what
failed is tried again. The picture is continued by mirror images, or cropped, to each size. All of it takes an hour on
two cores, `--quick` some minutes.
"""

from __future__ import annotations

import platform
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from shared.codecs import chosen
from shared.options import SETTINGS, numbers_option, output_option
from shared.pictures import resized
from shared.results import Store, checksum, publish, say, section
from shared.speed import cold_starts, plugin, small_pictures, stages, versions
from shared.speed import sizes as by_size
from shared.speed.processes import in_a_process, package_root, source_id
from shared.speed.report import draw, report
from shared.speed.session import FULL, QUICK, Session, failures
from shared.speed.sizes import LARGE_MPX, Subject

MODELS = ("light", "light-psnr")
OTHERS = ("JPEG XL", "AVIF", "WebP")
EFFORTS = (0, 1, 2)
COLD_MPX, STAGES_MPX = 0.24, 1.6
"""Sizes of the pictures of cold starts and of stages."""
PARTS = ("plug-in", "against", "stages", "cold", "small", "codecs")


# --- parts of the report ---------------------------------------------------------------------------------------------


def measure_plug_in(session: Session, kodak: Path) -> None:
    """Pillow's plug-ins, by Kodak's pictures."""
    names = tuple(subject.name for subject in session.ours)
    work = partial(in_a_process, session.limit_s, plugin.measure, kodak, names, session.plan.turns)
    session.once(session.store.data, "plug-in", "plug-in", work)


def measure_against(session: Session, commit: str) -> None:
    """The version before."""
    part = section(session.store.data, "against", {"commit": commit})
    with versions.checked_out(commit) as root:
        for size in session.plan.against:
            for subject in session.ours:

                def work(size: str = size, subject: Subject = subject) -> dict[str, Any]:
                    image, quality = resized(session.image, float(size)), session.quality(subject)
                    return versions.measure(
                        subject.at(size), quality, image, root, session.folder, session.threads,
                        session.turns_at(float(size)), session.limit_s,
                    )  # fmt: skip

                models = part.setdefault("models", {}).setdefault(subject.name, {})
                session.once(models, size, f"against {commit[:8]}: {subject.name}, {size} MP", work)


def measure_stages(session: Session) -> None:
    """Stages, and networks against the processor."""
    image = resized(session.image, STAGES_MPX)
    for subject in session.ours:

        def work(subject: Subject = subject) -> dict[str, Any]:
            quality = session.quality(subject)
            return in_a_process(session.limit_s, stages.measure, subject.what["model"], image, quality, EFFORTS)

        session.once(session.part("stages"), subject.name, f"stages: {subject.name}", work)


def measure_cold_starts(session: Session) -> None:
    """Starts of the command line."""
    first, image = session.ours[0], resized(session.image, COLD_MPX)
    work = partial(cold_starts.cold_starts, first.what["model"], image, session.plan.starts)
    session.once(session.part("cold"), first.name, "cold starts", work)


def measure_small_pictures(session: Session) -> None:
    """Many small pictures against one."""
    across = session.plan.across
    turns = session.turns_at((across * small_pictures.SIDE) ** 2 / 1e6)
    for subject in session.ours:
        arguments = (subject.what["model"], session.image, across, turns)
        work = partial(in_a_process, session.limit_s, small_pictures.measure, *arguments)
        session.once(session.part("small"), subject.name, f"small pictures: {subject.name}", work)


def measure_codecs(session: Session) -> None:
    """All codecs by size."""
    for threads, asked in {session.threads: session.plan.sizes, 1: session.plan.with_one_thread}.items():
        for size in asked:

            def work(threads: int = threads, size: str = size) -> dict[str, Any]:
                subjects = [subject.at(size) for subject in (*session.ours, *session.others)]
                qualities = {subject.name: session.quality(subject) for subject in subjects}
                return by_size.measure(
                    subjects, qualities, resized(session.image, float(size)), session.folder, threads,
                    session.turns_at(float(size)), session.limit_s,
                )  # fmt: skip

            session.once(session.part("codecs", str(threads)), size, f"codecs: {size} MP, threads: {threads}", work)


# --- the program -----------------------------------------------------------------------------------------------------


def parse_parts(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
    """Names of parts."""
    names = [name.strip() for name in text.split(",")]
    if unknown := set(names) - set(PARTS):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: no part; there are: {', '.join(PARTS)}")
    return names


def other_codecs(names: str | None) -> list[Any]:
    """The codecs that ours is measured against; says which are not installed."""
    from vaecodec.baselines import classic

    found, missing = [], {}
    for name, make in classic.MAKERS.items():
        try:
            found.append(make())
        except ImportError as error:
            missing[name] = str(error)
    if names is not None:
        return chosen(found, names)
    for name in missing.keys() & set(OTHERS):
        say(f"left out: {name}: {missing[name]}")
    return sorted((codec for codec in found if codec.name in OTHERS), key=lambda codec: OTHERS.index(codec.name))


def megapixels_option(flag: str, what: str, default: str):
    """Sizes for a part of the plan."""
    return numbers_option(flag, None, f"Megapixels {what}, by default {default}", 0.001, 1000)


@click.command(context_settings=SETTINGS)
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option("speed")
@click.option(
    "-m", "--model", "models", multiple=True, default=MODELS, show_default=True, help="Name or file; may be repeated."
)
@click.option("--codecs", "names", help=f"Others, comma-separated; {', '.join(OTHERS)} by default.")
@megapixels_option("--sizes", "with all threads", ",".join(FULL.sizes))
@megapixels_option("--one-thread", "with one thread", f"the same up to {LARGE_MPX:g}")
@click.option("--against", "commit", help="Commit of the version before.")
@megapixels_option("--against-sizes", "of both versions", ",".join(FULL.against))
@click.option("--kodak", type=click.Path(path_type=Path), help="Folder of Kodak's pictures, for the plug-in.")
@click.option(
    "--only", default=",".join(PARTS), show_default=True, callback=parse_parts, help="Parts, comma-separated."
)
@click.option("--quick", is_flag=True, help="Smaller pictures and fewer turns.")
@click.option("--limit", "limit_s", default=900.0, show_default=True, help="Seconds that one thing may take.")
@click.option("--bpp", default=1.0, show_default=True, help="Bits per pixel at which codecs are timed.")
def main(
    image: Path,
    output: Path,
    models: tuple[str, ...],
    names: str | None,
    sizes: list[str] | None,
    one_thread: list[str] | None,
    commit: str | None,
    against_sizes: list[str] | None,
    kodak: Path | None,
    only: list[str],
    quick: bool,
    limit_s: float,
    bpp: float,
) -> None:
    """Measure encode and decode at sizes made from IMAGE."""
    from vaecodec.cli.workers import cores
    from vaecodec.format.catalog import model_path, read_model_info
    from vaecodec.pictures import images

    rgb, rivals = images.planes_of(image).rgb, other_codecs(names)
    files = {path.stem: path.resolve() for path in map(model_path, models)}
    stamp = {
        "machine": f"{platform.machine()}, {platform.system()}", "threads": cores(), "bpp": bpp, "quick": quick,
        "image": f"{image.name} {checksum(rgb)}", "package": source_id(package_root()),
        "models": {name: read_model_info(path).model_id.hex() for name, path in files.items()},
        "others": {codec.name: codec.version for codec in rivals},
    }  # fmt: skip
    store = Store(output.with_suffix(".json"))
    if any(store.data.get(key) != value for key, value in stamp.items()):
        store.data.clear()
    store.data |= stamp
    plan = QUICK if quick else FULL
    plan = replace(plan, sizes=sizes or plan.sizes, one_thread=one_thread, against=against_sizes or plan.against)
    ours = [Subject(name, {"model": str(path)}, EFFORTS) for name, path in files.items()]
    others = [Subject(codec.name, {"codec": codec.name}) for codec in rivals]
    with tempfile.TemporaryDirectory() as folder:
        session = Session(store, rgb, ours, others, plan, bpp, cores(), Path(folder), limit_s)
        parts = {
            "plug-in": kodak and kodak.is_dir() and partial(measure_plug_in, session, kodak),
            "against": commit and partial(measure_against, session, versions.full_name(commit)),
            "stages": partial(measure_stages, session),
            "cold": partial(measure_cold_starts, session),
            "small": partial(measure_small_pictures, session),
            "codecs": partial(measure_codecs, session),
        }
        wanting = {"plug-in": "no folder of Kodak's pictures (--kodak)", "against": "no commit (--against)"}
        for name in only:
            if measure := parts[name]:
                measure()
            else:
                say(f"left out: {name}: {wanting[name]}")
    publish(store, output, report(store.data))
    draw(store.data, output.with_suffix(".png"))
    if failed := failures(store.data):
        for text in failed:
            say(f"failed: {text}")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
