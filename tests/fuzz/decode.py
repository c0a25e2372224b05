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
from reference import decoder, exact, model
from reference.container import File, Refused, parse
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
    if len(data) >= HEADER_BYTES and any(data[8:12]):
        data = with_fields(data, model_id=stored.ids[0][:4])
    outcome = _decode(codec, stored, data, False)
    if outcome == "Corrupt":
        with trusting():
            return f"Corrupt, then {_decode(codec, stored, with_fields(data, symbols_crc=7), True)}"
    return outcome


def _expected(data: bytes, stored: model.Model, trusted: bool) -> tuple[File, np.ndarray | None] | None:
    """What the reference reads: the file, and its latents if it has any."""
    try:
        file = parse(data, MAX_PIXELS)
        latents = decoder.decode_file(file, stored, trusting=trusted).y_hat if any(file.model_id) else None
        exact.exact_tiles(file)
        exact.exact_alpha(file)
        if grey := exact.alpha_file(file):
            decoder.decode_file(grey, stored, trusting=trusted)
        return file, latents
    except Refused:
        return None


def _decode(codec: Codec, stored: model.Model, data: bytes, trusted: bool) -> str:
    expected = _expected(data, stored, trusted)
    try:
        file = unpack(data, max_pixels=MAX_PIXELS)
        image = codec.decompress(data, max_pixels=MAX_PIXELS)
        assert expected is not None, "read what the reference refuses"
        if not file.header.exact:
            assert np.array_equal(16 * codec.decode(file).y_hat[0].numpy(), expected[1])
    except VaecodecError as error:  # PNG and metadata the reference does not read, and alpha has a checksum of its own
        beyond = expected is not None and {b"ALPH", b"COLR", b"reso", *[b"ALPC"] * trusted} & set(expected[0].chunks)
        assert expected is None or beyond, f"refused ({error}) what the reference reads"
        return type(error).__name__
    assert image.size == (file.header.width, file.header.height)
    return "decoded"


if __name__ == "__main__":
    main(target, SEEDS)
