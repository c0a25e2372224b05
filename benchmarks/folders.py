"""What do several processes gain on a folder? `vaecodec compress -r -j N` against one process with one thread.

    python benchmarks/folders.py photos/ -j 2 -o benchmarks/results/folders

Both take turns, so that what else the machine does meets both alike; the fastest run of each counts. Each run is a
whole run of the command line, from its start to its last file, loading included. Seconds of the processor tell what
the same work would take where nothing else runs: an equal share of them for each process.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from shared.options import SETTINGS, model_option, output_option
from shared.results import Store, markdown_table, publish, section


def timed(folder: Path, processes: int, model: str | None) -> tuple[float, float]:
    """Seconds of one run, and seconds that processors worked for it. Each process gets one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as out:
        command = ["compress", str(folder), "-o", out, "-r", "-j", str(processes), *(["-m", model] if model else [])]
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "vaecodec", *command], env=environment, capture_output=True, text=True
        )
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise click.ClickException(f"vaecodec {' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
    return round(seconds, 2), round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


def report(part: dict) -> str:
    """Markdown: both kinds of run, and how they compare."""
    fastest = {
        int(count): [min(values) for values in zip(*runs, strict=True)] for count, runs in part["seconds"].items()
    }
    alone, alone_cpu = fastest[1]
    head = ["processes", "seconds", "times as fast", "seconds of processors", "times as fast, undisturbed"]
    rows = [
        [str(count), f"{wall:.2f}", f"{alone / wall:.2f}", f"{cpu:.2f}", f"{alone_cpu / (cpu / count):.2f}"]
        for count, (wall, cpu) in fastest.items()
    ]
    runs = len(part["seconds"]["1"])
    return f"{part['files']} files, {part['megabytes']:.1f} MB; {part['machine']}; fastest of {runs} runs\n\n" + (
        markdown_table(head, rows) + "\n"
    )


@click.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-j", "--jobs", type=click.IntRange(min=2), default=2, show_default=True, help="Processes, a thread each."
)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each.")
@model_option
@output_option("folders")
def main(folder: Path, jobs: int, repeats: int, model: str | None, output: Path) -> None:
    """Time compressing FOLDER by one process and by several."""
    from vaecodec.pictures.images import PICTURE_SUFFIXES

    sizes = [p.stat().st_size for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES]
    store = Store(output.with_suffix(".json"))
    machine = f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores"
    stamp = {"machine": machine, "files": len(sizes), "megabytes": round(sum(sizes) / 1e6, 3), "jobs": jobs}
    part = section(store.data, "results", stamp)
    seconds = part.setdefault("seconds", {"1": [], str(jobs): []})
    for number in range(repeats):
        for processes, runs in seconds.items():
            if len(runs) <= number:
                runs.append(timed(folder, int(processes), model))
                store.save(now=True)
    publish(store, output, report(part))


if __name__ == "__main__":
    main()
