"""Fuzzes the whole way from bytes to pixels: python tests/fuzz/decode.py --seconds 30."""

from __future__ import annotations

import functools
from pathlib import Path

from harness import instrumented, main

with instrumented():
    from vaecodec.codec.codec import Codec
    from vaecodec.errors import VaecodecError
    from vaecodec.format.container import HEADER_BYTES, unpack

import numpy as np
from conftest import GOLDEN, TINY, TINY_BITS_BACK
from reference import decoder, model
from reference.container import Refused
from support import sealed, trusting, with_fields

MAX_PIXELS = 2**12
SEEDS = [path.read_bytes() for path in sorted(GOLDEN.glob("*.vae")) if path.stat().st_size < 1500]


@functools.cache
def _models(path: Path) -> tuple[Codec, model.Model]:
    return Codec(path), model.load(path)


def target(data: bytes) -> str:
    """A picture of the stated size and the reference's latents, or a `VaecodecError`; also if the symbols' CRC fits."""
    codec, stored = _models(TINY_BITS_BACK if data[5:6] == b"\1" else TINY)
    data = sealed(data)
    if len(data) >= HEADER_BYTES:
        data = with_fields(data, model_id=stored.ids[0][:4])
    outcome = _decode(codec, stored, data, False)
    if outcome == "Corrupt":
        with trusting():
            return f"Corrupt, then {_decode(codec, stored, with_fields(data, symbols_crc=7), True)}"
    return outcome


def _decode(codec: Codec, stored: model.Model, data: bytes, trusted: bool) -> str:
    try:
        expected = decoder.decode(data, stored, MAX_PIXELS, trusting=trusted)
    except Refused:
        expected = None
    try:
        file = unpack(data, max_pixels=MAX_PIXELS)
        latents = codec.decode(file)
        assert expected is not None, "read what the reference refuses"
        assert np.array_equal(16 * latents.y_hat[0].numpy(), expected.y_hat)
        image = codec.decompress(data, max_pixels=MAX_PIXELS)
    except VaecodecError as error:
        alpha = expected is not None and b"ALPH" in expected.file.chunks
        assert expected is None or alpha, f"refused ({error}) what the reference reads"
        return type(error).__name__
    assert image.size == (file.header.width, file.header.height)
    return "decoded"


if __name__ == "__main__":
    main(target, SEEDS)
