"""The coder: symbols come back, lengths are those of the tables, and hostile words end in `Corrupt` or in symbols."""

from __future__ import annotations

import constriction
import numpy as np
import pytest
from conftest import TINY
from hypothesis import given
from hypothesis import strategies as st
from reference import ans as reference
from safetensors.numpy import load_file
from support import examples

from vaecodec.errors import Corrupt
from vaecodec.format.ans import MAX_MAGNITUDE, Decoder, Encoder, Stack, Tables, white_words
from vaecodec.format.tables import FRACTIONS, gaussian_tables

TABLES = Tables(*gaussian_tables(), FRACTIONS)
WHITE = [0x92CA2F0E, 0x3CD6E3F3, 0x1B147DCC]
"""The first of the words that whiten."""
REFERENCE = reference.Tables(*(array.tolist() for array in gaussian_tables()))


def draw_group(seed: int, size: int, spread: int) -> tuple[np.ndarray, np.ndarray]:
    """Symbols about as wide as their tables for spread 0; up to ± 2^spread otherwise."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, len(TABLES), size)
    limit = TABLES.radii[numbers // FRACTIONS] if spread == 0 else np.full(size, 2**spread)
    return rng.integers(-limit, limit + 1).astype(np.int32), numbers.astype(np.int32)


GROUP = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 150), st.integers(0, 20))


def encode(groups: list[tuple[np.ndarray, np.ndarray]]) -> bytes:
    encoder = Encoder()
    for symbols, numbers in reversed(groups):
        encoder.push(symbols, numbers, TABLES)
    return encoder.getvalue()


@pytest.mark.slow
@given(st.lists(GROUP, max_size=4))
@examples(250)
def test_groups_come_back_and_take_the_bits_of_their_tables(specs: list[tuple[int, int, int]]) -> None:
    groups = [draw_group(*spec) for spec in specs]
    data = encode(groups)
    ideal = sum(float(TABLES.bits(*group).sum()) for group in groups)
    assert abs(8 * len(data) - ideal) <= 0.001 * ideal + 64
    decoder = Decoder(data)
    for symbols, numbers in groups:
        assert np.array_equal(decoder.pop(numbers, TABLES), symbols)
    decoder.finish()


@given(st.lists(GROUP.map(lambda spec: (spec[0], spec[1] % 40, spec[2])), min_size=1, max_size=3))
@examples(60)
def test_python_integers_decode_what_the_encoder_wrote(specs: list[tuple[int, int, int]]) -> None:
    groups = [draw_group(*spec) for spec in specs]
    stack = reference.Stack.from_bytes(encode(groups))
    for symbols, numbers in groups:
        assert reference.pop_group(stack, numbers.tolist(), REFERENCE) == symbols.tolist()
    assert stack.is_empty


@given(st.lists(GROUP.map(lambda spec: (spec[0], spec[1] % 40, spec[2])), max_size=3))
@examples(60)
def test_python_integers_write_the_same_words(specs: list[tuple[int, int, int]]) -> None:
    groups, stack = [draw_group(*spec) for spec in specs], reference.Stack()
    for symbols, numbers in reversed(groups):
        reference.push_group(stack, symbols.tolist(), numbers.tolist(), REFERENCE)
    assert stack.words() == np.frombuffer(encode(groups), "<u4").tolist()


def test_every_entry_of_every_table_has_the_frequency_that_the_rule_gives() -> None:
    """An empty coder that encodes one symbol holds its cumulative frequency."""
    for number in range(len(TABLES)):
        left = REFERENCE.cumulative(number)
        model = TABLES._model(number)
        for entry in range(len(left) - 1):
            coder = constriction.stream.stack.AnsCoder()
            coder.encode_reverse(np.array([entry], np.int32), model)
            assert coder.get_compressed().tolist() == ([left[entry]] if left[entry] else [])


def test_every_entry_has_a_frequency() -> None:
    assert all((np.diff(REFERENCE.cumulative(number)) > 0).all() for number in range(len(TABLES)))


@pytest.mark.parametrize("excess", [1, 2, 3, 2**16 - 1, 2**16, 2**20, MAX_MAGNITUDE - 1, MAX_MAGNITUDE])
@pytest.mark.parametrize("sign", [1, -1])
def test_escapes_reach_the_largest_magnitude(excess: int, sign: int) -> None:
    numbers = np.array([0, len(TABLES) - 1], np.int32)
    symbols = np.array([sign * (excess + TABLES.radius(int(n))) for n in numbers], np.int32)
    decoder = Decoder(encode([(symbols, numbers)]))
    assert np.array_equal(decoder.pop(numbers, TABLES), symbols)
    decoder.finish()


def test_symbols_beyond_the_largest_magnitude_are_refused() -> None:
    with pytest.raises(ValueError, match="out of range"):
        encode([(np.array([2 * MAX_MAGNITUDE], np.int32), np.array([0], np.int32))])


def test_an_escape_longer_than_any_is_corrupt() -> None:
    """32 - 7 extra bits and more cannot be coded; a hostile file may still ask for them."""
    stack = reference.Stack()
    stack.push_bits(31, 5)
    stack.push(REFERENCE.cumulative(0), 2 * TABLES.radius(0) + 1)
    decoder = Decoder(np.array(stack.words(), "<u4").tobytes())
    with pytest.raises(Corrupt, match="out of range"):
        decoder.pop(np.array([0], np.int32), TABLES)


def test_nothing_takes_no_bytes() -> None:
    empty = np.zeros(0, np.int32)
    data = encode([(empty, empty)])
    assert data == b""
    assert len(Decoder(data).pop(empty, TABLES)) == 0


def test_words_are_little_endian() -> None:
    """The state after one symbol on an empty stack is its cumulative frequency."""
    symbol, number = np.array([3], np.int32), np.array([40 * FRACTIONS], np.int32)
    left = REFERENCE.cumulative(int(number[0]))[3 + TABLES.radius(int(number[0]))]
    assert encode([(symbol, number)]) == left.to_bytes(4, "little")


@pytest.mark.slow
@given(st.binary(max_size=60).map(lambda data: data[: len(data) // 4 * 4]), st.integers(0, 2**32 - 1))
@examples(250)
def test_hostile_words_end_in_symbols_or_corrupt(data: bytes, seed: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, len(TABLES), 50).astype(np.int32)
    try:
        decoder = Decoder(data)
        symbols = [decoder.pop(numbers, TABLES) for _ in range(3)]
        decoder.finish()
    except Corrupt:
        return
    assert encode([(group, numbers) for group in symbols]) == data


def test_an_exhausted_coder_ends() -> None:
    """Far more symbols than the words can hold: the coder runs on, the check at the end tells."""
    numbers = np.random.default_rng(5).integers(0, len(TABLES), 200_000).astype(np.int32)
    decoder = Decoder(b"\1\2\3\4")
    assert len(decoder.pop(numbers, TABLES)) == len(numbers)


@pytest.mark.parametrize(("data", "says"), [(b"\1\2\3", "whole number"), (b"\1\2\3\4\0\0\0\0", "zero word")])
def test_payloads_that_no_encoder_writes_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(Corrupt, match=says):
        Decoder(data)


def test_what_is_left_over_is_noticed() -> None:
    symbols, numbers = draw_group(7, 40, 0)
    decoder = Decoder(encode([(symbols, numbers), (symbols, numbers)]))
    decoder.pop(numbers, TABLES)
    with pytest.raises(Corrupt, match="more than"):
        decoder.finish()


def test_what_is_borrowed_can_be_given_back() -> None:
    symbols, numbers = draw_group(8, 3000, 0)
    stack = Stack(encode([(symbols, numbers)]))
    whole, bits = stack.getvalue(), stack.bits
    wanted = np.repeat(np.arange(40, 50, dtype=np.uint16) * FRACTIONS, 40)
    sample = stack.borrow(wanted, TABLES)
    assert bits - stack.bits == pytest.approx(TABLES.bits(sample.astype(np.int64), wanted).sum(), abs=2)
    stack.give_back(sample, wanted, TABLES)
    assert stack.getvalue() == whole


def test_a_stack_that_has_too_little_lends_nothing_and_stays_as_it_was() -> None:
    stack = Stack(encode([draw_group(9, 60, 0)]))
    whole = stack.getvalue()
    assert stack.borrow(np.full(5000, 45 * FRACTIONS, np.uint16), TABLES) is None
    assert stack.getvalue() == whole


def test_white_words_are_those_of_the_format() -> None:
    assert white_words(0).tolist() == []
    assert white_words(3).tolist() == [reference.white(i) for i in range(3)] == WHITE
    assert white_words(50_000)[-1] == reference.white(49_999)


@pytest.mark.parametrize("words", [[], [1], [2**32 - 1], [0, 1], [WHITE[0], 7], [5, 0, 0, 2**31]])
def test_whitening_leaves_the_last_word_and_is_its_own_inverse(words: list[int]) -> None:
    data = np.array(words, "<u4").tobytes()
    stack, again = Stack(data), reference.Stack.from_bytes(data)
    stack.whiten()
    again.whiten()
    white = [word ^ reference.white(i) for i, word in enumerate(words[:-1])] + words[-1:]
    assert np.frombuffer(stack.getvalue(), "<u4").tolist() == again.words() == white
    assert stack.bits == Stack(data).bits
    stack.whiten()
    assert stack.getvalue() == data


@pytest.mark.slow
@given(st.lists(GROUP, max_size=3), GROUP)
@examples(100)
def test_a_whitened_stack_can_be_gone_on_with(specs: list[tuple[int, int, int]], above: tuple[int, int, int]) -> None:
    groups, above = [draw_group(*spec) for spec in specs], draw_group(*above)
    stack = Stack(encode(groups))
    stack.whiten()
    stack.push(*above, TABLES)
    stack = Stack(stack.getvalue())
    assert np.array_equal(stack.pop(above[1], TABLES), above[0])
    stack.whiten()
    for symbols, numbers in groups:
        assert np.array_equal(stack.pop(numbers, TABLES), symbols)
    stack.finish()


@pytest.mark.parametrize("seed", range(3))
def test_only_a_whitened_stack_lends_a_sample_of_the_tables(seed: int) -> None:
    """The symbols are narrower than their tables; how long a sample's code is tells whether it is one."""
    number, count = 40 * FRACTIONS + FRACTIONS // 2, 20_000
    narrow = np.rint(np.random.default_rng(seed).normal(0, 0.6 * 2 ** (-3.25 + 40 / 7), count)).astype(np.int32)
    probabilities, entropy = TABLES.table(number) / 2**16, TABLES.mean_bits[number]
    bits = -np.log2(np.maximum(probabilities, 2.0**-24))
    deviation = np.sqrt((probabilities * (bits - entropy) ** 2).sum())

    def excess(whiten: bool) -> float:
        """Of a sample's mean length over the entropy, in standard errors."""
        stack = Stack()
        stack.push(narrow, np.full(count, number), TABLES)
        if whiten:
            stack.whiten()
        numbers = np.full(count // 2, number)
        sample = stack.borrow(numbers, TABLES)
        return (TABLES.bits(sample.astype(np.int64), numbers).mean() - entropy) / deviation * len(numbers) ** 0.5

    assert abs(excess(whiten=True)) < 3 < 10 < abs(excess(whiten=False))


@pytest.mark.parametrize("change", [1, -1])
def test_tables_that_do_not_sum_are_refused(change: int) -> None:
    counts, radii = gaussian_tables()
    counts[np.argmax((counts > 1000) & (counts < 60000))] += np.array(change).astype(np.uint16)
    with pytest.raises(ValueError, match="does not sum"):
        Tables(counts, radii, FRACTIONS)


def test_tables_of_the_wrong_length_are_refused() -> None:
    counts, radii = gaussian_tables()
    with pytest.raises(ValueError, match="counts"):
        Tables(counts[:-1], radii, FRACTIONS)


def test_stored_tables_are_the_gaussian_ones() -> None:
    """They are stored so that no other machine has to compute them; this one gets the same."""
    stored = load_file(TINY)
    counts, radii = gaussian_tables()
    assert np.array_equal(stored["tables.counts"], counts)
    assert np.array_equal(stored["tables.radii"], radii)


def test_tables_follow_their_gaussians() -> None:
    """Mean and standard deviation of a wide table are those that its level and fraction stand for."""
    number = 40 * FRACTIONS + 3
    counts = TABLES.table(number)[:-1].astype(float) / 2**16
    symbols = np.arange(-TABLES.radius(number), TABLES.radius(number) + 1)
    mean = (counts * symbols).sum()
    assert mean == pytest.approx(3 / FRACTIONS - 0.5, abs=0.01)
    assert np.sqrt((counts * (symbols - mean) ** 2).sum()) == pytest.approx(2 ** (-3.25 + 40 / 7), rel=0.01)
