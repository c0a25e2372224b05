"""What several processes gain on a folder: `vaecodec compress -r -j N` against one process with one thread.

    python benchmarks/folders.py photos/ -j 2 -o benchmarks/results/folders

Both take turns, so that what else the machine does meets both alike; the fastest run of each counts. Each run is a
whole run of the command line, from its start to its last file, loading included.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from common import SETTINGS, Store, model_option, output_option, publish, section


def timed(folder: Path, processes: int, threads: int | None, model: str | None) -> float:
    """Seconds of one run; `None` leaves the threads to the program."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as out:
        command = ["compress", str(folder), "-o", out, "-r", "-j", str(processes), *(["-m", model] if model else [])]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "vaecodec", *command], env=environment, capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise click.ClickException(f"vaecodec {' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
        return seconds


def report(part: dict) -> str:
    """Markdown: one process with one thread, one that has all cores, and several."""
    alone = min(part["seconds"]["1 process, 1 thread"])
    lines = [f"{part['files']} files, {part['megabytes']:.1f} MB; {part['machine']}\n"]
    lines += [
        "| processes | seconds, fastest of {} | times as fast |".format(len(next(iter(part["seconds"].values()))))
    ]
    lines += ["| --- | ---: | ---: |"]
    lines += [f"| {name} | {min(values):.2f} | {alone / min(values):.2f} |" for name, values in part["seconds"].items()]
    return "\n".join(lines) + "\n"


@click.command(context_settings=SETTINGS)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-j", "--jobs", type=click.IntRange(min=2), default=os.cpu_count(), show_default=True, help="Processes.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each.")
@model_option
@output_option("folders")
def main(folder: Path, jobs: int, repeats: int, model: str | None, output: Path) -> None:
    """Time compressing FOLDER by one process and by several."""
    from vaecodec.images import PICTURE_SUFFIXES

    sizes = [p.stat().st_size for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES]
    store = Store(output.with_suffix(".json"))
    machine = f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores"
    stamp = {"machine": machine, "files": len(sizes), "megabytes": round(sum(sizes) / 1e6, 3), "jobs": jobs}
    part = section(store.data, "results", stamp)
    runs = {"1 process, 1 thread": (1, 1), "1 process": (1, None), f"{jobs} processes": (jobs, None)}
    seconds = part.setdefault("seconds", {name: [] for name in runs})
    for number in range(repeats):
        for name, (processes, threads) in runs.items():
            if len(seconds[name]) <= number:
                seconds[name].append(round(timed(folder, processes, threads, model), 2))
                store.save(now=True)
    publish(store, output, report(part))


if __name__ == "__main__":
    main()
