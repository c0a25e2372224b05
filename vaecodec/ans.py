"""Integers to bits and back: an ANS coder over stored integer tables. The one module that imports constriction.

Imports no torch. A symbol is coded with the table of its scale level and mean fraction; the tables hold counts out of
2^16, of which `Categorical(perfect=False)` makes cumulative frequencies out of 2^24 by the rule

    cumulative[k] = floor(sum(counts[:k]) * (2^24 - n) / 2^16) + k,        n = number of entries

which is exact in double precision, and gives every entry at least one count, a stored zero too (docs/format.md).
"""

from __future__ import annotations

import functools

import constriction
import numpy as np

from vaecodec.errors import Corrupt

COUNT_BITS = 16
ESCAPE_LENGTH_BITS = 5
MAX_MAGNITUDE = 2**25 - 1
"""Largest excess of an escaped symbol over its table's radius, for reader and writer alike."""

_Categorical = constriction.stream.model.Categorical
_Uniform = constriction.stream.model.Uniform


class Tables:
    """The probability tables of all scale levels and mean fractions.

    Args:
        counts: `[sum of (2 radius + 2) * fractions]` uint16; for each level and fraction, the counts of the symbols
            -radius to radius and of the escape. They sum to 2^16.
        radii: `[levels]` largest magnitude in each level's tables.
        fractions: mean fractions a level.
    """

    def __init__(self, counts: np.ndarray, radii: np.ndarray, fractions: int):
        self.counts, self.radii, self.fractions = counts, radii.astype(np.int64), fractions
        sizes = np.repeat(2 * self.radii + 2, fractions)
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        if self._ends[-1] != len(counts):
            raise ValueError(f"the tables should have {self._ends[-1]} counts and have {len(counts)}")
        sums = np.add.reduceat(counts.astype(np.int64), self._starts)
        if (sums != 1 << COUNT_BITS).any():
            raise ValueError(f"table {int(np.argmax(sums != 1 << COUNT_BITS))} does not sum to 2^{COUNT_BITS}")
        self._entry_bits = -np.log2(np.maximum(counts / 2.0**COUNT_BITS, 2.0**-24))
        self._model = functools.cache(self._build)
        self.mean_bits = np.add.reduceat(counts / 2.0**COUNT_BITS * self._entry_bits, self._starts)
        """`[tables]` entropy of each table, without the excess of escapes."""

    def __len__(self) -> int:
        return len(self._ends)

    def table(self, number: int) -> np.ndarray:
        """The counts of table `level * fractions + fraction`."""
        return self.counts[self._starts[number] : self._ends[number]]

    def radius(self, number: int) -> int:
        """Largest magnitude that the table codes without an escape."""
        return int(self.radii[number // self.fractions])

    def _build(self, number: int) -> constriction.stream.model.Categorical:
        return _Categorical(self.table(number) / float(1 << COUNT_BITS), perfect=False)

    def bits(self, symbols: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Code length of each symbol with its table, escapes included; the coder comes within 0.01 % of the sum."""
        radii = self.radii[numbers // self.fractions]
        magnitudes = np.abs(symbols)
        escaped = magnitudes > radii
        bits = self._entry_bits[self._starts[numbers] + np.where(escaped, 2 * radii + 1, symbols + radii)]
        excess = magnitudes[escaped] - radii[escaped]
        bits[escaped] += ESCAPE_LENGTH_BITS + 1 + np.floor(np.log2(excess))
        return bits


def _buckets(numbers: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Positions by table, in order of table and position."""
    order = np.argsort(numbers.astype(np.uint16), kind="stable")  # radix sort
    present, starts = np.unique(numbers[order], return_index=True)
    return list(zip(present.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else []


class Encoder:
    """Pushes groups of symbols onto a stack; the last group pushed is the first one popped."""

    def __init__(self) -> None:
        self._coder = constriction.stream.stack.AnsCoder()

    def push(self, symbols: np.ndarray, numbers: np.ndarray, tables: Tables) -> None:
        """Pushes a group: `symbols[i]` with table `numbers[i]`; `int32` and `uint16`, `[n]`."""
        buckets = _buckets(numbers)
        escapes = []
        for number, where in buckets:
            values, radius = symbols[where], tables.radius(number)
            escapes += [int(v) - radius if v > 0 else int(v) + radius for v in values[np.abs(values) > radius]]
        for excess in reversed(escapes):
            self._push_escape(excess)
        for number, where in reversed(buckets):
            radius = tables.radius(number)
            entries = symbols[where] + radius
            entries[np.abs(symbols[where]) > radius] = 2 * radius + 1
            self._coder.encode_reverse(np.ascontiguousarray(entries, dtype=np.int32), tables._model(number))

    def _push_escape(self, excess: int) -> None:
        magnitude = abs(excess)
        if magnitude > MAX_MAGNITUDE:
            raise ValueError(f"symbol out of range: {excess}")
        extra = magnitude.bit_length() - 1
        self.push_bits(int(excess < 0), 1)
        self.push_bits(magnitude - (1 << extra), extra)
        self.push_bits(extra, ESCAPE_LENGTH_BITS)

    def push_bits(self, value: int, bits: int) -> None:
        """Pushes a number below 2^bits."""
        for low in range(0, bits, 16):
            width = min(16, bits - low)
            self._coder.encode_reverse(np.array([value >> low & (1 << width) - 1], np.int32), _uniform(width))

    def getvalue(self) -> bytes:
        """All that was pushed, as little-endian 32-bit words."""
        return self._coder.get_compressed().astype("<u4").tobytes()


class Decoder:
    """Pops groups of symbols, in the reverse of the order in which they were pushed.

    A stack that runs empty is not noticed here: the coder goes on with its lowest state, which a valid file may reach
    too while symbols of nearly no information remain. `finish` and the symbols' checksum tell.
    """

    def __init__(self, data: bytes):
        if len(data) % 4:
            raise Corrupt("the payload is not a whole number of words")
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        if len(words) and words[-1] == 0:
            raise Corrupt("the payload ends in a zero word")
        self._coder = constriction.stream.stack.AnsCoder(words)

    def pop(self, numbers: np.ndarray, tables: Tables) -> np.ndarray:
        """Pops `[n]` int32 symbols whose tables are `numbers`."""
        symbols = np.empty(len(numbers), np.int32)
        escaped: list[np.ndarray] = []
        for number, where in _buckets(numbers):
            radius = tables.radius(number)
            values = self._coder.decode(tables._model(number), len(where)) - radius
            symbols[where] = values
            if (values > radius).any():
                escaped.append(where[values > radius])
        for i in np.concatenate(escaped) if escaped else ():
            excess, radius = self._pop_escape(), tables.radius(int(numbers[i]))
            symbols[i] = excess + radius if excess > 0 else excess - radius
        return symbols

    def _pop_escape(self) -> int:
        extra = self.pop_bits(ESCAPE_LENGTH_BITS)
        if extra > MAX_MAGNITUDE.bit_length() - 1:
            raise Corrupt("the payload holds a symbol that is out of range")
        magnitude = (1 << extra) + self.pop_bits(extra)
        return -magnitude if self.pop_bits(1) else magnitude

    def pop_bits(self, bits: int) -> int:
        """Pops a number below 2^bits."""
        value = 0
        for low in reversed(range(0, bits, 16)):
            width = min(16, bits - low)
            value |= int(self._coder.decode(_uniform(width), 1)[0]) << low
        return value

    def finish(self) -> None:
        """Raises `Corrupt` unless everything that was pushed has been popped."""
        if not self._coder.is_empty():
            raise Corrupt("the payload holds more than the picture's symbols")


@functools.cache
def _uniform(bits: int) -> constriction.stream.model.Uniform:
    return _Uniform(1 << bits)


class Stack(Decoder, Encoder):
    """Both at once, for bits-back coding: pops from what has been pushed, and pushes back.

    Args:
        data: of a stack that is to be gone on with.
    """

    def __init__(self, data: bytes = b""):
        Decoder.__init__(self, data)

    @property
    def bits(self) -> int:
        """How much is on the stack; what is popped beyond that is made up and cannot be returned."""
        return self._coder.num_valid_bits()
