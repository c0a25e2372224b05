"""Time and memory of every codec against picture size, of our stages, and of a cold start of the command line.

    python benchmarks/speed.py kodim05.png -o benchmarks/results/speed

Every measurement runs in a process of its own, so that its peak memory is its own; stopped, it goes on where it was.
The picture is tiled by mirror images, or cropped, to each size. Ratios are to JPEG XL and AVIF in the same run.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
import numpy as np
from shared.results import (
    SETTINGS,
    Store,
    chosen,
    codecs_option,
    collect_codecs,
    model_option,
    numbers_option,
    output_option,
    publish,
    section,
)
from shared.speed import report as speed_report
from shared.speed.report import DECODE, TORCH

SIZES_MPX = "0.1,0.4,1,2,5,12,25,50,100"
ASPECT = 1.5
EMPTY_START = "python -c pass"
COLD_MPX = 768 * 512 / 1e6
"""Size of the picture of cold starts: one of Kodak's."""
QUIET_S = 2.0
"""A measurement is repeated until it has taken this long, at most five times; the fastest counts."""


def resized(image: np.ndarray, megapixels: float) -> np.ndarray:
    """The picture continued by mirror images, cut to a size of 3:2."""
    height = max(1, round((megapixels * 1e6 / ASPECT) ** 0.5))
    width = max(1, round(height * ASPECT))
    rows, columns = -(-height // image.shape[0]), -(-width // image.shape[1])
    return np.pad(
        image, ((0, (rows - 1) * image.shape[0]), (0, (columns - 1) * image.shape[1]), (0, 0)), mode="symmetric"
    )[:height, :width].copy()


@contextlib.contextmanager
def stages() -> Iterator[dict[str, float]]:
    """Seconds by stage of our codec, while it lasts: transform, prior, choice of symbols, coding, file."""
    from vaecodec.coding import latent_coder as latents
    from vaecodec.format import ans, container
    from vaecodec.networks import fixed_point, model

    seconds: dict[str, float] = defaultdict(float)
    watched = {
        "transform": [(model.Analysis, "forward"), (model.HyperAnalysis, "forward"), (model.Synthesis, "forward")],
        "prior": [
            (fixed_point.ExactPrior, "at"),
            (fixed_point.ExactPrior, "hyper"),
            (fixed_point.ExactPrior, "predict_y"),
        ],
        "choice of symbols": [(latents.RateDistortionChoice, "__call__")],
        "coding": [(ans.Encoder, "push"), (ans.Encoder, "getvalue"), (ans.Decoder, "pop")],
        "file": [(container, "pack"), (container, "unpack")],
    }

    def timed(stage: str, function):
        def call(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[stage] += time.perf_counter() - start

        return call

    with contextlib.ExitStack() as stack:
        for stage, methods in watched.items():
            for owner, name in methods:
                stack.enter_context(mock.patch.object(owner, name, timed(stage, getattr(owner, name))))
        yield seconds


def _fastest(work, watch: bool) -> tuple[float, dict[str, float], object]:
    best, split, result, spent = np.inf, {}, None, 0.0
    for _ in range(5):
        with stages() if watch else contextlib.nullcontext({}) as seconds:
            start = time.perf_counter()
            result = work()
            taken = time.perf_counter() - start
        if taken < best:
            best, split = taken, dict(seconds)
        spent += taken
        if spent > QUIET_S:
            break
    return best, split, result


def against_synthesis(codec, data: bytes) -> dict[str, float]:
    """Medians of whole decodes and of bare float synthesis of the same latents, in turn, to divide one by the other.

    Args:
        codec: a `vaecodec.codec.codec.Codec`.
    """
    import torch

    from vaecodec.format import container

    latents = codec.decode(container.unpack(data, max_pixels=None))
    condition = torch.tensor([latents.quality / container.QUALITY_MAX], device=codec.device)
    gain = codec.prior.at(latents.quality).gain
    y = (latents.y_hat / gain).float().contiguous(memory_format=torch.channels_last)
    del latents
    times: dict[str, list[float]] = {"decode": [], "synthesis": []}

    def timed(name: str, work) -> None:
        start = time.perf_counter()
        work()
        times[name].append(time.perf_counter() - start)

    with torch.no_grad():
        codec.model.synthesis(y, condition)  # warm
        while len(times["decode"]) < 11 and sum(map(sum, times.values())) < 3 * QUIET_S:
            timed("decode", lambda: codec.decompress(data, max_pixels=None))
            timed("synthesis", lambda: codec.model.synthesis(y, condition))
    return {f"{name}_median_s": float(np.median(values)) for name, values in times.items()}


def _measure(name: str, model: str | None, source: str, megapixels: float, quality: float, threads: int, out) -> None:
    """In a process of its own: encode and decode, and what they took, or why not."""
    try:
        out.put(_measured(name, model, source, megapixels, quality, threads))
    except Exception as error:  # whatever a library raises; the others go on
        out.put({"failed": f"{type(error).__name__}: {error}"})


def _measured(name: str, model: str | None, source: str, megapixels: float, quality: float, threads: int) -> dict:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    from vaecodec.baselines.collection import makers
    from vaecodec.pictures import images

    codec, ours = makers(model)[name](), name.startswith("vaecodec")
    if "torch" in sys.modules:  # codecs without it shall not pay for its import
        sys.modules["torch"].set_num_threads(threads)
    image = resized(images.planes_of(source).rgb, megapixels)
    small = resized(image, min(megapixels, 0.1))
    codec.decompress(codec.compress(small, quality))  # what is done once does not count
    before = _peak_mb()
    encode_s, encode_stages, data = _fastest(lambda: codec.compress(image, quality), ours)
    decode_s, decode_stages, _ = _fastest(lambda: codec.decompress(data), ours)
    result = {
        "megapixels": image.shape[0] * image.shape[1] / 1e6, "bpp": 8 * len(data) / (image.shape[0] * image.shape[1]),
        "encode_s": encode_s, "decode_s": decode_s, "peak_mb": _peak_mb(), "start_mb": before,
    }  # fmt: skip
    if ours:
        for key, total, parts in (("encode", encode_s, encode_stages), ("decode", decode_s, decode_stages)):
            parts = parts | {"other": total - sum(parts.values())}
            result[f"{key}_stages_s"] = {stage: round(value, 5) for stage, value in parts.items()}
    if name == "vaecodec":  # after the peak was taken
        result |= against_synthesis(codec.codec, data)
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in result.items()}


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # Linux; there ru_maxrss also counts what the parent held when it forked
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def _in_a_process(limit_s: float, *args) -> dict:
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=_measure, args=(*args, out))
    process.start()
    deadline = time.monotonic() + limit_s
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):  # queue.Empty
                return out.get(timeout=0.5)
            if not process.is_alive() and out.empty():
                return {"failed": f"the process ended with code {process.exitcode}"}
        return {"failed": f"took more than {limit_s:g} s"}
    finally:
        process.join(1)
        if process.is_alive():
            process.kill()
            process.join()


WARM = """
import sys, time
from vaecodec.cli.transcode import decompress_file
times = []
for _ in range(6):
    start = time.perf_counter()
    decompress_file(*sys.argv[1:3], format_name="PNG", model=sys.argv[3] or None, force=True)
    times.append(time.perf_counter() - start)
print(min(times))
"""
"""File to file, where everything has been loaded."""


def cold_starts(model: str | None, image: np.ndarray, repeats: int = 5) -> dict[str, float]:
    """Seconds of whole runs of the command line and of what they are set against; the fastest of a few.

    All take turns, so that what else the machine does meets all alike.
    """
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        png, vae, back = (str(Path(folder) / name) for name in ("a.png", "a.vae", "b.png"))
        Image.fromarray(image).save(png)
        which = ["-m", str(model)] if model else []
        cli = lambda *arguments: ["-c", "from vaecodec.cli.main import main; main()", *arguments]
        runs = {
            EMPTY_START: ["-c", "pass"],
            "vaecodec --version": cli("--version"),
            "vaecodec compress": cli("compress", "-f", png, vae, *which),
            "vaecodec info": cli("info", vae),
            TORCH: ["-c", "import torch"],
            "vaecodec decompress": cli("decompress", "-f", vae, back, *which),
            DECODE: ["-c", WARM, vae, back, str(model or "")],
        }
        result = dict.fromkeys(runs, np.inf)
        for _ in range(repeats):
            for name, arguments in runs.items():
                start = time.perf_counter()
                done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
                seconds = time.perf_counter() - start
                if done.returncode:
                    raise click.ClickException(f"{name} failed: {done.stderr.strip()}")
                result[name] = round(min(result[name], float(done.stdout) if name == DECODE else seconds), 3)
    return result


@click.command(context_settings=SETTINGS)
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option("speed")
@model_option
@codecs_option
@numbers_option("--sizes", SIZES_MPX, "Megapixels", 0.001, 1000)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=os.cpu_count(),
    show_default=True,
    help="CPUs that a codec may use.",
)
@click.option(
    "--limit", "limit_s", type=float, default=900.0, show_default=True, help="Seconds that one measurement may take."
)
@click.option("--bpp", type=float, default=1.0, show_default=True, help="Bits per pixel at which codecs are timed.")
def main(
    image: Path,
    output: Path,
    model: str | None,
    codecs: str | None,
    sizes: list[str],
    threads: int,
    limit_s: float,
    bpp: float,
) -> None:
    """Measure encode and decode at sizes made from IMAGE."""
    from vaecodec.cli.pages.comparison import to_size
    from vaecodec.errors import TargetError
    from vaecodec.pictures import images

    rgb = images.planes_of(image).rgb
    wanted, store = chosen(collect_codecs(model), codecs), Store(output.with_suffix(".json"))
    stamp = {
        "machine": f"{platform.machine()}, {platform.system()}",
        "threads": threads,
        "bpp": bpp,
        "image": image.name,
    }
    if any(store.data.get(key) != value for key, value in stamp.items()):
        store.data.clear()
    store.data |= stamp | {"sizes": sizes}
    parts, todo = store.data.setdefault("codecs", {}), []
    for codec in wanted:
        part = section(parts, codec.name, {"settings": codec.settings, "version": codec.version})
        part.setdefault("runs", {})
        if "quality" not in part:
            probe = resized(rgb, 0.4)
            try:
                part["quality"] = to_size(codec, probe, int(bpp * probe.shape[0] * probe.shape[1] / 8))[1]
            except TargetError:
                part["quality"] = float(codec.quality_range[0])
        todo += [(codec.name, size) for size in sizes if "encode_s" not in part["runs"].get(size, {})]
    with click.progressbar(
        todo, label="measuring", file=sys.stderr, item_show_func=lambda i: i and f"{i[0]} {i[1]} MP"
    ) as bar:
        for name, size in bar:
            arguments = (name, model, str(image), float(size), parts[name]["quality"], threads)
            parts[name]["runs"][size] = _in_a_process(limit_s, *arguments)
            store.save(now=True)
    if "cold_start_s" not in store.data:
        store.data["cold_start_s"] = cold_starts(model, resized(rgb, COLD_MPX))
    publish(store, output, speed_report.report(store.data))
    speed_report.draw(store.data, output.with_suffix(".png"))
    failed = [f"{n} {s}" for n, p in parts.items() for s, r in p["runs"].items() if "failed" in r]
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
