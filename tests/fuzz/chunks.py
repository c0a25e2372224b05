"""Fuzzes whole containers against the reference's parser: python tests/fuzz/chunks.py --seconds 30."""

from __future__ import annotations

from harness import instrumented, main

with instrumented():
    from vaecodec.errors import BitstreamError, LimitError
    from vaecodec.format.container import unpack

from conftest import GOLDEN
from reference import container as reference
from support import pack, sealed

METADATA = {
    b"made": bytes(12) + b"png",
    b"ICCP": b"profile",
    b"EXIF": b"Exif\0\0",
    b"XMP ": b"<x/>",
    b"COLR": b"\4\0",
    b"iptc": bytes(99),
    b"reso": b"\1\0",
}
SEEDS = [path.read_bytes() for path in sorted(GOLDEN.glob("*.vae")) if path.stat().st_size < 600]
SEEDS += [pack(chunks=METADATA), pack(mode="LA", chunks=METADATA | {b"ALPH": b"alpha"})]


def target(data: bytes) -> str:
    """What the reference reads too, or a `BitstreamError` or `LimitError` where it refuses."""
    outcome = ""
    for candidate in (data, sealed(data)):
        try:
            expected = reference.parse(candidate)
        except reference.Refused:
            expected = None
        try:
            file = unpack(candidate)
        except (BitstreamError, LimitError) as error:
            assert expected is None, f"refused ({error}) what the reference reads"
            outcome = type(error).__name__
            continue
        assert expected is not None, "read what the reference refuses"
        assert (file.payload, file.chunks) == (expected.payload, expected.chunks)
        for field in ("width", "height", "mode", "quality", "coding", "model_id", "symbols_crc"):
            assert getattr(file.header, field) == getattr(expected, field)
        outcome = "read"
    return outcome


if __name__ == "__main__":
    main(target, SEEDS)
