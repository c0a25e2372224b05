"""Fuzzes the header: python tests/fuzz/header.py --seconds 30."""

from __future__ import annotations

from harness import instrumented, main

with instrumented():
    from vaecodec.errors import BitstreamError
    from vaecodec.format.container import MAX_SIDE, MODES, QUALITY_MAX, read_header

from conftest import GOLDEN
from support import sealed

SEEDS = [path.read_bytes()[:36] for path in sorted(GOLDEN.glob("*.vae"))]


def target(data: bytes) -> str:
    """A header within the bounds of the format, or a `BitstreamError`; also with CRCs repaired."""
    outcome = "refused"
    for candidate in (data, sealed(data)):
        try:
            header = read_header(candidate)
        except BitstreamError as error:
            outcome = type(error).__name__
            continue
        assert 1 <= header.width <= MAX_SIDE and 1 <= header.height <= MAX_SIDE
        assert header.mode in MODES and 0 <= header.quality <= QUALITY_MAX
        assert header.payload_bytes % 4 == 0 and 0 <= header.chunks <= 16 and len(header.model_id) == 4
        outcome = "read"
    return outcome


if __name__ == "__main__":
    main(target, SEEDS)
