"""Does it hold out, and keep its memory? Random pictures there and back for as long as one likes, in several threads.

    python benchmarks/soak.py --minutes 60 --json benchmarks/results/soak.json

Sizes, modes, qualities, models and efforts are drawn anew for each picture. Encoding twice must give the same bytes,
decoding the encoder's latents, symbol for symbol, and the picture that comes back must be the encoder's, pixel for
pixel. A picture is made from its number and the seed alone, so a mismatch can be looked at again: the result names it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
from PIL import Image
from shared.places import PHOTO
from shared.results import say

CACHES = {"LRU_CACHE_CAPACITY": "32", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32"}
"""Torch and oneDNN keep up to 1024 kernels each, by shape and thread, some ten kB each: with sizes that never come
twice that is growth for hours, and hides any other. A service of such pictures would set these too."""
ROUND = 48
"""Pictures between two looks at the memory, which is looked at while nothing is under way."""
WARM_UP_SHARE = 0.2


def resident_mb() -> float:
    """Memory of this process, when glibc has given back what is free: what four threads leave varies by 60 MB."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def draw_picture(rng: np.random.Generator, photo: Image.Image, largest: int) -> Image.Image:
    """A crop of the photograph in some size and mode, with some noise; small ones are as likely as large ones."""
    from vaecodec.format.container import MODES

    width, height = (int(2 ** rng.uniform(0, np.log2(largest))) for _ in range(2))
    left, top = rng.integers(0, photo.width // 2), rng.integers(0, photo.height // 2)
    box = (left, top, left + int(rng.integers(1, photo.width // 2)), top + int(rng.integers(1, photo.height // 2)))
    pixels = np.asarray(photo.resize((width, height), box=box)).astype(int)
    pixels += rng.integers(-1, 2) * rng.integers(0, 80, pixels.shape)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    mode = MODES[rng.integers(len(MODES))]
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "PA":
        return image.convert("P").convert("PA")
    return (image.convert("L") if mode in ("I", "F", "LA") else image).convert(mode)


def there_and_back(codec, image: Image.Image, quality: float, effort: int) -> str | None:
    """What is wrong with a picture that was compressed and decompressed; `None` if nothing is."""
    import torch

    from vaecodec.format.container import unpack
    from vaecodec.pictures import images

    planes = images.take_apart(image)
    latents = codec.encode(planes.rgb, codec.stored.qualities.code(quality), effort=effort)
    data = codec.compress(planes, quality=quality, effort=effort, graphics=False, keep_invisible=True)
    file = unpack(data)
    if file.payload != latents.payload:
        return "encoded twice, two payloads"
    decoded = codec.decode(file)
    if not (torch.equal(decoded.z, latents.z) and torch.equal(decoded.sixteenths.int(), latents.sixteenths.int())):
        return "other latents"
    expected = images.put_together(codec.synthesize(latents), planes.alpha, planes.mode, file.chunks)
    back = codec.decompress(data)
    if (back.mode, back.size) != (expected.mode, image.size):
        return "another mode or size"
    return None if np.array_equal(np.asarray(back), np.asarray(expected)) else "other pixels"


def soak(models: list[str], minutes: float, threads: int, largest: int, efforts: list[int], seed: int) -> dict:
    """Runs, and returns the figures."""
    os.environ |= CACHES  # read when torch is loaded
    import torch

    from vaecodec.codec.codec import Codec

    torch.set_num_threads(1)
    codecs, photo = [Codec(model) for model in models], Image.open(PHOTO).convert("RGB")
    photo.load()

    def work(number: int) -> str | None:
        rng = np.random.default_rng([seed, number])
        codec, effort = codecs[rng.integers(len(codecs))], efforts[rng.integers(len(efforts))]
        quality, image = float(rng.uniform(1, 100)), draw_picture(rng, photo, largest)
        try:
            return there_and_back(codec, image, quality, effort)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    start, memory, done, wrong = time.monotonic(), [], 0, {}
    with ThreadPoolExecutor(threads) as pool:
        while (elapsed := time.monotonic() - start) < 60 * minutes:
            numbers = range(done, done + ROUND)
            wrong |= {number: what for number, what in zip(numbers, pool.map(work, numbers), strict=True) if what}
            done += ROUND
            memory.append((elapsed, resident_mb()))
            if len(memory) % 20 == 0:
                say(f"{done} pictures, {len(wrong)} wrong, {memory[-1][1]:.0f} MB")
    warm = [size for elapsed, size in memory if elapsed >= WARM_UP_SHARE * 60 * minutes]
    tenth = max(1, len(warm) // 10)
    growth = float(np.median(warm[-tenth:]) - np.median(warm[:tenth])) if warm else None
    peak, every = max(size for _, size in memory), max(1, len(memory) // 60)
    return {
        "models": models, "minutes": minutes, "threads": threads, "efforts": efforts, "largest_side": largest,
        "seed": seed, "pictures": done, "mismatches": len(wrong), "what": dict(Counter(wrong.values())),
        "numbers": list(wrong)[:20], "growth_mb": growth and round(growth, 1), "peak_mb": round(peak),
        "memory_mb": [[round(elapsed), round(size)] for elapsed, size in memory[::every]],
    }  # fmt: skip


@click.command()
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--threads", default=4, show_default=True)
@click.option("-m", "--model", "models", multiple=True, help="Names or files of models; all that are installed.")
@click.option("-e", "--effort", "efforts", multiple=True, type=int, help="Efforts; all that there are.")
@click.option("--largest", default=400, show_default=True, help="Longest side of a picture.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "output", type=click.Path(path_type=Path))
def main(models: tuple[str, ...], minutes, threads, efforts, largest, seed, output: Path | None) -> None:
    """Prints figures; fails on a mismatch, and on memory that grows by 20 MB or more."""
    from vaecodec.format.catalog import list_models
    from vaecodec.inference.effort import LEVELS

    names = list(models) or [model.name for model in list_models()]
    result = soak(names, minutes, threads, largest, list(efforts or range(LEVELS)), seed)
    text = json.dumps(result) + "\n"
    click.echo(text)
    if output:
        output.write_text(text)
    if result["mismatches"] or (result["growth_mb"] or 0) >= 20:
        raise SystemExit("mismatches or growing memory")


if __name__ == "__main__":
    main()
