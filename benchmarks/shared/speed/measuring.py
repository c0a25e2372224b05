"""Seconds and memory of one codec at one size, in a process of its own, and how they are split by stage."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from shared.pictures import resized

QUIET_S = 2.0
"""A measurement is repeated until it has taken this long, at most five times; the fastest counts."""


@contextlib.contextmanager
def stages() -> Iterator[dict[str, float]]:
    """Seconds by stage of our codec, while it lasts: transform, prior, choice of symbols, coding, file."""
    from vaecodec.coding import symbol_choice
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
        "choice of symbols": [(symbol_choice.RateDistortionChoice, "__call__")],
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
    """Seconds to encode and decode, by stage where the codec is ours, and memory."""
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


def in_a_process(limit_s: float, *args) -> dict:
    """What a process of its own measures, see `_measured`, or why it did not within so many seconds."""
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
