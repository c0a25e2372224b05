"""Fuzzes the coder against the reference's: python tests/fuzz/coder.py --seconds 30."""

from __future__ import annotations

from harness import instrumented, main

with instrumented():
    from vaecodec.errors import Corrupt
    from vaecodec.format.ans import Decoder, Encoder, Tables
    from vaecodec.format.tables import FRACTIONS, gaussian_tables

import numpy as np
from reference import ans as reference
from reference.container import Refused

TABLES = Tables(*gaussian_tables(), FRACTIONS)
REFERENCE = reference.Tables(*(array.tolist() for array in gaussian_tables()))
GROUPS = 3


def _seed(number: int) -> bytes:
    """Table numbers and the words of symbols about as wide as their tables, some of them beyond."""
    rng = np.random.default_rng(number)
    raw = rng.bytes(2 * (1 + number))
    numbers = np.frombuffer(raw, "<u2").astype(np.int64) % len(TABLES)
    encoder = Encoder()
    for _ in range(GROUPS):
        radii = TABLES.radii[numbers // FRACTIONS] + number % 3
        encoder.push(rng.integers(-radii, radii + 1).astype(np.int32), numbers.astype(np.int32), TABLES)
    return bytes([number]) + raw + encoder.getvalue()


SEEDS = [_seed(number) for number in range(40)]


def target(data: bytes) -> str:
    """The reference's symbols, or `Corrupt` where it refuses; what is whole is written again as it was."""
    count = 1 + data[0] % 64 if data else 1
    raw, words = data[1 : 1 + 2 * count].ljust(2 * count, b"\0"), data[1 + 2 * count :]
    numbers = np.frombuffer(raw, "<u2").astype(np.int32) % len(TABLES)
    try:
        stack = reference.Stack.from_bytes(words)
        expected = [reference.pop_group(stack, numbers.tolist(), REFERENCE) for _ in range(GROUPS)]
    except Refused:
        expected = None
    try:
        decoder = Decoder(words)
        symbols = [decoder.pop(numbers, TABLES) for _ in range(GROUPS)]
    except Corrupt:
        assert expected is None, "refused what the reference reads"
        return "Corrupt"
    assert expected is not None, "read what the reference refuses"
    assert [group.tolist() for group in symbols] == expected
    try:
        decoder.finish()
    except Corrupt:
        assert not stack.is_empty
        return "words left over"
    assert stack.is_empty
    encoder = Encoder()
    for group in reversed(symbols):
        encoder.push(group, numbers, TABLES)
    assert encoder.getvalue() == words
    return "read"


if __name__ == "__main__":
    main(target, SEEDS)
