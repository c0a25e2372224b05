"""Tables of probabilities, the stack, and groups of symbols, in Python's integers."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from reference.container import require

FRACTIONS = 16


def cumulative(counts: Sequence[int]) -> list[int]:
    """Cumulative frequencies out of 2^24, one more than there are counts, of counts that sum to 2^16."""
    n = len(counts)
    below = [0, *accumulate(int(count) for count in counts)]
    require(below[-1] == 2**16, "sum of a table")
    return [total * (2**24 - n) // 2**16 + k for k, total in enumerate(below[:-1])] + [2**24]


class Tables:
    """All tables of a model: `[n]` counts and `[levels]` radii, as stored."""

    def __init__(self, counts: Sequence[int], radii: Sequence[int]):
        self.radii = [int(radius) for radius in radii]
        starts = [0, *accumulate(2 * radius + 2 for radius in self.radii for _ in range(FRACTIONS))]
        require(starts[-1] == len(counts), "number of counts")
        self.counts = [counts[a:b] for a, b in pairwise(starts)]
        self.cumulative = functools.cache(lambda number: cumulative(self.counts[number]))

    def __len__(self) -> int:
        return len(self.counts)

    def radius(self, number: int) -> int:
        return self.radii[number // FRACTIONS]


def white(place: int) -> int:
    """The mask of the word at a place, counted from 0."""
    x = (place + 1) * 0x9E3779B9 % 2**32
    x = (x ^ x >> 16) * 0x85EBCA6B % 2**32
    x = (x ^ x >> 13) * 0xC2B2AE35 % 2**32
    return x ^ x >> 16


class Stack:
    """A state of 64 bits and the words below it."""

    def __init__(self, words: Sequence[int] = ()):
        require(not words or words[-1] != 0, "last word")
        self._load(words)

    def _load(self, words: Sequence[int]) -> None:
        self._words, self._state = list(words), 0
        for _ in range(min(2, len(words))):
            self._state = self._state << 32 | self._words.pop()

    @classmethod
    def from_bytes(cls, data: bytes) -> Stack:
        """The stack of a payload."""
        require(len(data) % 4 == 0, "payload length")
        return cls([int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)])

    @property
    def is_empty(self) -> bool:
        return self._state == 0 and not self._words

    def words(self) -> list[int]:
        """What a file holds of this stack."""
        upper, lower = self._state >> 32, self._state & 2**32 - 1
        return self._words + ([lower, upper] if upper else [lower] if lower else [])

    def whiten(self) -> None:
        """Masks all words but the last; its own inverse."""
        words = self.words()
        self._load([word ^ white(i) for i, word in enumerate(words[:-1])] + words[-1:])

    def pop(self, table: Sequence[int]) -> int:
        """An entry of a table of cumulative frequencies."""
        q = self._state & 2**24 - 1
        k = bisect_right(table, q) - 1
        self._state = (table[k + 1] - table[k]) * (self._state >> 24) + q - table[k]
        if self._state < 2**32 and self._words:
            self._state = self._state << 32 | self._words.pop()
        return k

    def push(self, table: Sequence[int], k: int) -> None:
        """The inverse of `pop`."""
        frequency = table[k + 1] - table[k]
        if self._state >> 40 >= frequency:
            self._words.append(self._state & 2**32 - 1)
            self._state >>= 32
        quotient, remainder = divmod(self._state, frequency)
        self._state = (quotient << 24) + table[k] + remainder

    def pop_bits(self, bits: int) -> int:
        """A number of 0 to 32 bits: 16 at a time, from above, the uppermost piece what is left over."""
        value = 0
        for width in _pieces(bits):
            value = value << width | self.pop(_uniform(width))
        return value

    def push_bits(self, value: int, bits: int) -> None:
        """The inverse of `pop_bits`."""
        for width in reversed(_pieces(bits)):
            self.push(_uniform(width), value & 2**width - 1)
            value >>= width


def _pieces(bits: int) -> list[int]:
    return ([bits % 16] if bits % 16 else []) + [16] * (bits // 16)


@functools.cache
def _uniform(bits: int) -> range:
    return range(0, 2**24 + 1, 2 ** (24 - bits))


def pop_group(stack: Stack, numbers: Sequence[int], tables: Tables) -> list[int]:
    """The symbols of a group, whose tables are `numbers`, in the group's order."""
    symbols, escapes = [0] * len(numbers), []
    for i in _by_table(numbers):
        entry, radius = stack.pop(tables.cumulative(numbers[i])), tables.radius(numbers[i])
        symbols[i] = entry - radius
        if entry == 2 * radius + 1:
            escapes.append(i)
    for i in escapes:
        n = stack.pop_bits(5)
        require(n <= 24, "escape out of range")
        magnitude = tables.radius(numbers[i]) + 2**n + stack.pop_bits(n)
        symbols[i] = -magnitude if stack.pop_bits(1) else magnitude
    return symbols


def push_group(stack: Stack, symbols: Sequence[int], numbers: Sequence[int], tables: Tables) -> None:
    """The inverse of `pop_group`: all of it in the opposite order."""
    backwards = _by_table(numbers)[::-1]
    for i in backwards:
        excess = abs(symbols[i]) - tables.radius(numbers[i])
        if excess > 0:
            n = excess.bit_length() - 1
            require(n <= 24, "escape out of range")
            stack.push_bits(int(symbols[i] < 0), 1)
            stack.push_bits(excess - 2**n, n)
            stack.push_bits(n, 5)
    for i in backwards:
        radius = tables.radius(numbers[i])
        entry = symbols[i] + radius if abs(symbols[i]) <= radius else 2 * radius + 1
        stack.push(tables.cumulative(numbers[i]), entry)


def _by_table(numbers: Sequence[int]) -> list[int]:
    return sorted(range(len(numbers)), key=lambda i: numbers[i])
