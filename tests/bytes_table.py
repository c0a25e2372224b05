"""The table of what the encoder writes, `golden/bytes.json`: `python tests/bytes_table.py` makes it anew.

A size and a hash for each of 20 small pictures, efforts 0 to 4, qualities 10, 50 and 90; half of the pictures with the
model for looks, half with that for PSNR, in float32, one thread, and
by the model alone: what libwebp writes is its own affair. A change of the table is a change of the encoder:
its commit says which, and why.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from conftest import GOLDEN, picture
from PIL import Image
from support import ROOT

import vaecodec
from vaecodec.networks import precision

TABLE = GOLDEN / "bytes.json"
MODELS, EFFORTS, QUALITIES = ("light", "light-psnr"), range(5), (10, 50, 90)
PHOTO = ROOT / "docs" / "photo" / "coffee.png"


def pictures() -> list[np.ndarray]:
    """Twenty pictures `[H, W, 3]` uint8: of a photograph, smooth, noisy, flat, and of lines; sides from 1 to 96."""
    with Image.open(PHOTO) as file:
        photo = np.asarray(file.convert("RGB"))
    rows, columns = (side // 5 for side in photo.shape[:2])
    crops = [photo[r * rows :, c * columns :][:64, :80] for r, c in ((0, 0), (1, 2), (2, 1), (3, 3))]
    crops += [photo[rows:, columns:][:96, :33], photo[::4, ::4][:48, :70]]
    noise = np.random.RandomState(0).randint(0, 256, (40, 48, 3)).astype(np.uint8)
    lines = np.full((64, 64, 3), 255, np.uint8)
    lines[8::12, 10:56] = lines[8:60, 30::15] = (20, 20, 60)
    made = [picture(w, h, seed) for seed, (w, h) in enumerate(((64, 64), (49, 65), (33, 80), (96, 31), (17, 15)))]
    grey = crops[1].mean(2, keepdims=True).repeat(3, 2).astype(np.uint8)
    flat = [np.full((50, 60, 3), value, np.uint8) for value in (0, 128)]
    rest = [noise, lines, grey, crops[2][:1, :1], crops[3][:9], crops[0][:, ::-1], 255 - crops[2]]
    return [
        np.ascontiguousarray(p) for pair in zip(crops + flat + made[:2], made[2:] + rest, strict=True) for p in pair
    ]


def machine() -> dict[str, str]:
    """What hashes may depend on: the processor, as it names itself and what it can do, and torch."""
    name, flags = platform.machine(), ""
    if (info := Path("/proc/cpuinfo")).exists():
        lines = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in lines.items()}
        name, flags = fields.get("model name", name), fields.get("flags", "")
    able = hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:8]
    return {"processor": f"{name}, flags {able}", "torch": torch.__version__}


def cases(*, every: bool) -> list[tuple[int, int, int]]:
    """Numbers of a model's pictures, efforts and qualities; unless `every`, one quality for each picture and effort."""
    numbers = range(len(pictures()) // len(MODELS))
    return [
        (number, effort, quality)
        for number, effort, (i, quality) in itertools.product(numbers, EFFORTS, enumerate(QUALITIES))
        if every or (number + effort) % len(QUALITIES) == i
    ]


def rows(model: str, chosen: list[tuple[int, int, int]]) -> Iterator[tuple[str, bytes]]:
    """A model's rows of the table for some `cases`: the name of each, and the file."""
    threads, own = torch.get_num_threads(), pictures()[MODELS.index(model) :: len(MODELS)]
    torch.set_num_threads(1)
    try:
        with mock.patch.object(precision, "_BF16_INSTRUCTIONS", ()):
            codec = vaecodec.Codec(model)
            for number, effort, quality in chosen:
                data = codec.compress(own[number], quality=quality, effort=effort, graphics=False)
                yield f"{model} {number:02} e{effort} q{quality}", data
    finally:
        torch.set_num_threads(threads)


def main() -> None:
    """Writes the table."""
    made = (row for model in MODELS for row in rows(model, cases(every=True)))
    files = {name: [len(data), hashlib.sha256(data).hexdigest()[:16]] for name, data in made}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in files.items())
    TABLE.write_text(f'{{"machine": {json.dumps(machine())},\n "files": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
