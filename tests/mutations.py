"""Files with one or two things changed on purpose and every checksum made to fit: a picture or a `VaecodecError`.

    python tests/mutations.py --count 50000 --json benchmarks/results/mutations.json

Half of the mutations are decoded as they are, and half by a codec that believes the symbols' checksum and
does not mind words left over (`support.trusting`), since an attacker can make both fit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from conftest import GOLDEN, TINY, TINY_BITS_BACK
from support import alpha_plane, chunk, in_mode, png_alpha, trusting, with_body, with_fields

import vaecodec
from vaecodec.codec.codec import Codec
from vaecodec.errors import VaecodecError
from vaecodec.format.container import ALPHA, BITS_BACK, HEADER_BYTES

SMALL = {
    "rgb": ("RGB", 24, 17, 50),
    "alpha": ("LA", 9, 5, 20),
    "grey": ("L", 40, 40, 100),
    "one pixel": ("I;16", 1, 1, 1),
}
"""Mode, width, height and quality of the originals."""


HELD = ("exact-rgb", "exact-la", "exact-png-palette", "exact-png-rgba", "tiles-alpha-coded", "metadata-deflated")
"""Golden files that hold something without loss."""


def original(codec: Codec, name: str) -> bytes:
    """One of the files from which mutations are made."""
    if name in HELD:
        return (GOLDEN / f"{name}.vae").read_bytes()
    mode, width, height, quality = SMALL[name]
    return codec.compress(in_mode(mode, width, height), quality=quality, graphics=False, keep_invisible=True)


def bits_back_original() -> tuple[Codec, bytes]:
    """A codec with a posterior, and a file whose hyperlatents are coded with bits-back."""
    codec = Codec(TINY_BITS_BACK)
    data = codec.compress(in_mode("RGB", 20, 150), quality=60, coding=BITS_BACK, graphics=False)
    assert vaecodec.read_info(data).coding == BITS_BACK
    return codec, data


def raw_body(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytearray]:
    """Chunks as they stand in a sound file, deflated or not, and the payload."""
    chunks, at = [], HEADER_BYTES
    for _ in range(data[7]):
        end = at + 12 + int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append((data[at : at + 4], data[at + 12 : end]))
        at = end
    return chunks, bytearray(data[at:])


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One or two things changed on purpose, and the checksums of header, payload and chunks made to fit."""
    chunks, payload = raw_body(data)
    fields, exact = {}, not any(data[8:12])
    kinds = ["words", "length", "noise", "size", "field", "chunk"]
    weights = np.array([0, 0, 0.02, 0.1, 0.1, 0.78] if exact else [1 / 6] * 6)
    kinds = rng.choice(kinds, rng.integers(1, 3), replace=False, p=weights)
    for kind in kinds:
        if kind == "words":
            for place in rng.integers(0, len(payload), rng.integers(1, 4)) if payload else ():
                payload[place] = rng.integers(0, 256)
        elif kind == "length":
            payload = bytearray(
                payload[: 4 * rng.integers(0, len(payload) // 4 + 1)] + rng.bytes(4 * rng.integers(0, 9))
            )
        elif kind == "noise":
            payload = bytearray(rng.bytes(4 * rng.integers(0, 60)))
        elif kind == "size":
            fields |= {name: int(rng.integers(0, 200)) for name in ("width", "height") if rng.random() < 0.7}
        elif kind == "field":
            name, limit = [("quality", 40_000), ("mode", 15), ("coding", 3), ("version", 3), ("width", 2**24)][
                rng.integers(5)
            ]
            fields[name] = int(rng.integers(0, limit))
        else:
            kind, content = chunks.pop(rng.integers(len(chunks))) if chunks else (ALPHA, png_alpha(alpha_plane(24, 17)))
            content = bytearray(content)
            for place in rng.integers(0, len(content), rng.integers(0, 6)):
                content[place] = rng.integers(0, 256)
            if rng.random() < 0.3:
                del content[rng.integers(0, len(content) + 1) :]
            chunks.append((kind, bytes(content)))
    if rng.random() < 0.5 and not exact:
        fields["symbols_crc"] = int(rng.integers(0, 2**32))
    if rng.random() < 0.05:
        chunks.append((rng.bytes(4), rng.bytes(8)))
    chunks = [chunk(*each) for each in chunks]
    return with_body(with_fields(data, **fields), chunks, bytes(payload))


def try_mutations(
    codec: Codec, data: bytes, count: int, *, seed: int, trusted: bool, max_pixels: int = 2**15
) -> Counter[str]:
    """What came of so many mutations of a file: "decoded", or the name of the `VaecodecError`; all else is raised."""
    outcomes: Counter[str] = Counter()
    rng = np.random.default_rng(seed)
    with trusting() if trusted else contextlib.nullcontext():
        for _ in range(count):
            mutated = mutate(data, rng)
            if trusted and any(mutated[8:12]):
                mutated = with_fields(mutated, symbols_crc=7)
            try:
                image = codec.decompress(mutated, max_pixels=max_pixels)
            except VaecodecError as error:
                outcomes[type(error).__name__] += 1
                continue
            header = vaecodec.read_info(mutated)
            assert image.size == (header.width, header.height)
            outcomes["decoded"] += 1
    return outcomes


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow's about damaged metadata
    codec = Codec(TINY)
    originals = {name: (codec, original(codec, name)) for name in (*SMALL, *HELD)} | {"bits-back": bits_back_original()}
    for codec, data in originals.values():
        codec.decompress(data)
    loaded, start = peak_mb(), time.perf_counter()
    result: dict = {"count": 0, "outcomes": {}}
    for number, (name, (codec, data)) in enumerate(originals.items()):
        for trusted in (False, True):
            share = options.count // (2 * len(originals))
            outcomes = try_mutations(codec, data, share, seed=options.seed + 100 * number, trusted=trusted)
            result["outcomes"][f"{name}, {'symbols trusted' if trusted else 'as it is'}"] = dict(outcomes.most_common())
            result["count"] += outcomes.total()
            print(name, trusted, dict(outcomes), flush=True)
    result |= {"peak_growth_mb": round(peak_mb() - loaded), "seconds": round(time.perf_counter() - start)}
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
