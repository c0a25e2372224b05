"""Integers to bits and back: an ANS coder over stored integer tables. The one module that imports constriction.

Imports no torch. A symbol is coded with the table of its scale level and mean fraction; the tables hold counts out of
2^16, of which `Categorical(perfect=False)` makes cumulative frequencies out of 2^24 by the rule

    cumulative[k] = floor(sum(counts[:k]) * (2^24 - n) / 2^16) + k,        n = number of entries

which is exact in double precision, and gives every entry at least one count, a stored zero too (docs/format.md).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import compress

import constriction
import numpy as np

from vaecodec.errors import Corrupt

COUNT_BITS = 16
ESCAPE_LENGTH_BITS = 5
MAX_MAGNITUDE = 2**25 - 1
"""Largest excess of an escaped symbol over its table's radius, for reader and writer alike."""
CHUNK = 2**20
"""Symbols that are sorted and coded at a time."""

RESERVE_BITS = 64
"""What has to be left on a stack when a sample has been popped from it, so that nothing was made up."""

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


class _ByTable:
    """The order in which a group is coded: by table, and within a table as the symbols come.

    A counting sort in chunks, since numpy's indices are eight bytes each: only a chunk's are ever held.

    Args:
        numbers: `[n]` tables of the symbols.
        tables: how many there are.
    """

    def __init__(self, numbers: np.ndarray, tables: int):
        self._numbers = numbers.astype(np.uint16, copy=False)  # sorted by radix
        self._chunks = [slice(i, min(i + CHUNK, len(numbers))) for i in range(0, len(numbers), CHUNK)]
        counts = [np.bincount(self._numbers[chunk], minlength=tables) for chunk in self._chunks]
        self._counts = np.array(counts, np.int64).reshape(-1, tables)
        totals = self._counts.sum(0)
        ends = np.cumsum(totals)
        self._starts = ends - totals + np.cumsum(self._counts, 0) - self._counts
        self.occurring = np.flatnonzero(totals)
        """The tables that occur,"""
        self.starts = (ends - totals)[self.occurring]
        """and where their symbols start in the sorted order."""
        self.buckets = list(
            zip(self.occurring.tolist(), self.starts.tolist(), ends[self.occurring].tolist(), strict=True)
        )
        """Table, start and end, for each table that occurs."""

    def _places(self) -> Iterator[tuple[slice, np.ndarray, slice | np.ndarray]]:
        """For each chunk: where it lies, its own order, and the places of that in the whole order."""
        for chunk, counts, starts in zip(self._chunks, self._counts, self._starts, strict=True):
            order = np.argsort(self._numbers[chunk], kind="stable")
            if len(self._chunks) == 1:
                yield chunk, order, chunk
            else:
                yield chunk, order, np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(len(order))

    def sort(self, values: np.ndarray) -> np.ndarray:
        """`[n]` values in the order of coding."""
        result = np.empty_like(values)
        for chunk, order, places in self._places():
            result[places] = values[chunk][order]
        return result

    def extremes(self, values: np.ndarray) -> np.ndarray:
        """The largest magnitude of sorted values in each bucket, int64."""
        if not len(values):
            return self.starts
        low, high = (
            reduce(values, self.starts).astype(np.int64) for reduce in (np.minimum.reduceat, np.maximum.reduceat)
        )
        return np.maximum(-low, high)

    def restore(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `sort`."""
        result = np.empty_like(values)
        for chunk, order, places in self._places():
            result[chunk][order] = values[places]
        return result


def _pieces(start: int, end: int) -> list[slice]:
    """Of at most `CHUNK` symbols."""
    if end - start <= CHUNK:  # nearly always, and small pictures have as many buckets as large ones
        return [slice(start, end)]
    return [slice(i, min(i + CHUNK, end)) for i in range(start, end, CHUNK)]


class Encoder:
    """Pushes groups of symbols onto a stack; the last group pushed is the first one popped."""

    def __init__(self) -> None:
        self._coder = constriction.stream.stack.AnsCoder()

    def push(self, symbols: np.ndarray, numbers: np.ndarray, tables: Tables) -> None:
        """Pushes a group: `symbols[i]` with table `numbers[i]`; integers of any type, `[n]`."""
        order = _ByTable(numbers, len(tables))
        symbols = order.sort(symbols)
        radii = tables.radii[order.occurring // tables.fractions]
        beyond = order.extremes(symbols) > radii
        for (_, start, end), radius in reversed(
            list(compress(zip(order.buckets, radii.tolist(), strict=True), beyond))
        ):
            values = symbols[start:end].astype(np.int64)
            values = values[np.abs(values) > radius]
            for excess in reversed((values - radius * np.sign(values)).tolist()):
                self._push_escape(excess)
        for (number, start, end), radius, escapes in reversed(
            list(zip(order.buckets, radii.tolist(), beyond.tolist(), strict=True))
        ):
            model = tables._model(number)
            for piece in reversed(_pieces(start, end)):
                entries = symbols[piece].astype(np.int32) + radius
                if escapes:
                    entries[(entries < 0) | (entries > 2 * radius)] = 2 * radius + 1
                self._coder.encode_reverse(entries, model)

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
        order = _ByTable(numbers, len(tables))
        symbols = np.empty(len(numbers), np.int32)
        radii = tables.radii[order.occurring // tables.fractions]
        for (number, start, end), radius in zip(order.buckets, radii.tolist(), strict=True):
            model = tables._model(number)
            for piece in _pieces(start, end):
                np.subtract(self._coder.decode(model, piece.stop - piece.start), radius, out=symbols[piece])
        for (_, start, end), radius in compress(
            zip(order.buckets, radii.tolist(), strict=True), order.extremes(symbols) > radii
        ):
            for i in start + np.flatnonzero(symbols[start:end] > radius):
                excess = self._pop_escape()
                symbols[i] = excess + radius if excess > 0 else excess - radius
        return order.restore(symbols)

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


def white_words(count: int) -> np.ndarray:
    """`[count]` uint32, pseudo-random: of 1, 2, …, times 2^32 / golden ratio, what MurmurHash3's `fmix32` makes."""
    words = np.arange(1, count + 1, dtype=np.uint32) * np.uint32(0x9E3779B9)
    words ^= words >> np.uint32(16)
    words *= np.uint32(0x85EBCA6B)
    words ^= words >> np.uint32(13)
    words *= np.uint32(0xC2B2AE35)
    words ^= words >> np.uint32(16)
    return words


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

    def whiten(self) -> None:
        """XORs all words but the uppermost, which must not become 0, with `white_words`; twice is not at all.

        What was pushed is not quite uniform where tables do not quite fit their symbols, and neither would what is
        borrowed from it be quite a sample of its tables. This takes from the words what they have in common, and
        changes neither their number nor `bits`.
        """
        words = self._coder.get_compressed()
        words[:-1] ^= white_words(len(words))[:-1]
        self._coder = constriction.stream.stack.AnsCoder(words)

    def borrow(self, numbers: np.ndarray, tables: Tables) -> np.ndarray | None:
        """Pops `[n]` int32 symbols as a sample of tables `numbers`, from what has been pushed.

        `None`, and the stack as it was, where it holds too little for them, or gives one that is beyond its table.
        """
        before = self._coder.clone()
        try:
            sample = self.pop(numbers, tables)
        except Corrupt:
            sample = None
        within = sample is not None and (np.abs(sample) <= tables.radii[numbers // tables.fractions]).all()
        if not within or self.bits < RESERVE_BITS:
            self._coder = before
            return None
        return sample

    def give_back(self, symbols: np.ndarray, numbers: np.ndarray, tables: Tables) -> None:
        """The inverse of `borrow`, by the decoder.

        Raises:
            Corrupt: a symbol is none that can have been borrowed.
        """
        try:
            self.push(symbols, numbers, tables)
        except ValueError as error:
            raise Corrupt("the payload holds a latent that is out of range") from error
