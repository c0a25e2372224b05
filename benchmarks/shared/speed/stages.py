"""Where our codec's time goes, and how near its networks come to what the machine can do."""

from __future__ import annotations

import contextlib
import pkgutil
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np

from shared.speed.sizes import encode_at

HOOKS = {
    "analysis": ("vaecodec.codec.transforms:Transforms.analyse",),
    "hyper-analysis": ("vaecodec.codec.transforms:Transforms.hyper_analyse",),
    "synthesis": ("vaecodec.codec.transforms:Transforms.synthesise",),
    "prior": tuple(f"vaecodec.networks.fixed_point:ExactPrior.{name}" for name in ("at", "hyper", "predict_y")),
    "choice of symbols": ("vaecodec.coding.symbol_choice:RateDistortionChoice.__call__",),
    "gradient": ("vaecodec.inference.gradient_choice:choose",),
    "distance": ("vaecodec.objective.distortion:Comparison.of",),
    "coding": tuple(f"vaecodec.format.ans:{name}" for name in ("Encoder.push", "Encoder.getvalue", "Decoder.pop")),
    "file": ("vaecodec.format.container:pack", "vaecodec.format.container:unpack"),
}
"""Stages, and what belongs to each; what is within another's has its own time, which is not the other's too."""
REST = "other"
NETWORKS = {
    "analysis": ("encode -e 0", "analysis", 1),
    "hyper-analysis": ("encode -e 0", "hyper_analysis", 1),
    "prior": ("decode", "prior", 1),
    "synthesis": ("decode", "synthesis", 1),
    "gradient": ("encode -e 2", "synthesis", 2),
}
"""Stages with networks: where each goes over the picture once, its part of `kmac_per_pixel`, and how often that is
passed: the gradient goes forth and back."""
REPEATS = 5
PRODUCT_SIDE, PRODUCTS = 1024, 20
"""Of matrices whose product tells the machine's limit, and how many are tried."""


class Clock:
    """Seconds by stage; of stages within one another each has its own alone.

    Attributes:
        seconds: by stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._threads = threading.local()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens meanwhile belongs to the stage."""
        within = self._threads.__dict__.setdefault("within", [0.0])
        within.append(0.0)
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            self.seconds[name] += taken - within.pop()
            within[-1] += taken

    def watching(self, stage: str, function: Callable) -> Callable:
        """The function, whose calls belong to the stage."""

        def call(*args, **kwargs):
            with self.stage(stage):
                return function(*args, **kwargs)

        return call


@contextlib.contextmanager
def watched() -> Iterator[Clock]:
    """A clock of our codec's stages, while it lasts."""
    clock = Clock()
    with contextlib.ExitStack() as stack:
        for stage, places in HOOKS.items():
            for place in places:
                function = pkgutil.resolve_name(place)
                module, _, path = place.partition(":")
                owner, _, name = path.rpartition(".")
                owners = [pkgutil.resolve_name(f"{module}:{owner}")] if owner else _modules_with(name, function)
                for patched in owners:
                    stack.enter_context(mock.patch.object(patched, name, clock.watching(stage, function)))
        yield clock


def _modules_with(name: str, function: Callable) -> list[Any]:
    """All modules of the package that have a function by its name: most import it from where it is."""
    modules = [module for key, module in sys.modules.items() if key.partition(".")[0] == "vaecodec"]
    return [module for module in modules if vars(module).get(name) is function]


def measure(model: str, image: np.ndarray, quality: float, efforts: Sequence[int]) -> dict[str, Any]:
    """To be run in a process of its own.

    Returns:
        "stages": by what was done, seconds of each stage, of the run that took the median time. "networks": by stage,
        thousands of multiply-accumulates a pixel, and billions a second. "limits": billions a second in a plain product
        of matrices, by type.
    """
    from vaecodec import Codec

    codec, data = Codec(model), b""
    stages = {}
    for effort in efforts:
        encode = lambda effort=effort: codec.compress(image, quality=quality, effort=effort)
        stages[encode_at(effort)], data = _median_run(encode)
    stages["decode"], _ = _median_run(lambda: codec.decompress(data))
    kmac, pixels = codec.stored.config.kmac_per_pixel(), image.shape[0] * image.shape[1]
    networks = {}
    for stage, (where, part, times) in NETWORKS.items():
        if seconds := stages.get(where, {}).get(stage):
            gmac = kmac[part] * times * pixels / 1e6
            networks[stage] = {"kmac_per_pixel": round(kmac[part] * times, 2), "gmac_per_s": round(gmac / seconds, 2)}
    return {"megapixels": round(pixels / 1e6, 3), "stages": stages, "networks": networks, "limits": limits()}


def _median_run(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds by stage of the run that took the median time, and what a run returns."""
    runs = []
    result = work()  # what is done once does not count
    for _ in range(REPEATS):
        with watched() as clock:
            start = time.perf_counter()
            work()
            total = time.perf_counter() - start
        seconds = clock.seconds | {REST: total - sum(clock.seconds.values())}
        runs.append((total, {stage: round(value, 5) for stage, value in seconds.items()}))
    return sorted(runs, key=lambda run: run[0])[REPEATS // 2][1], result


def limits() -> dict[str, float]:
    """Billions of multiply-accumulates a second in a product of matrices, the best of several, by type of number."""
    import torch

    from vaecodec.networks.precision import fast_type

    types = dict.fromkeys((torch.float32, fast_type("cpu")))
    return {str(dtype).removeprefix("torch."): _product_limit(dtype) for dtype in types}


def _product_limit(dtype: Any) -> float:
    import torch

    a, b = (torch.rand(PRODUCT_SIDE, PRODUCT_SIDE).to(dtype) for _ in range(2))
    best = np.inf
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return round(PRODUCT_SIDE**3 / best / 1e9, 2)
