"""Bits-back: what was sampled comes back, costs what the bound says, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import GOLDEN, TINY_BITS_BACK, picture
from hypothesis import given
from hypothesis import strategies as st
from mutations import try_mutations
from PIL import Image
from support import examples, flips, in_mode, with_fields

import vaecodec
from vaecodec.cli.main import main
from vaecodec.codec.codec import Codec
from vaecodec.coding import bits_back
from vaecodec.errors import BitstreamError, Corrupt, Unsupported
from vaecodec.format.ans import Stack
from vaecodec.format.container import BITS_BACK, ROUNDED, quality_code, unpack


def encode(codec: Codec, rgb: np.ndarray, quality: float = 50, effort: int = 1):
    """Latents coded with bits-back and the account of it, or `None`."""
    made = []
    original = codec.bits_back.encode
    codec.bits_back.encode = lambda *args, **kwargs: made.append(original(*args, **kwargs)) or made[-1]
    try:
        codec.encode(rgb, quality_code(quality), effort=effort, coding=BITS_BACK)
    finally:
        del codec.bits_back.encode
    return made[-1]


@pytest.mark.slow
@given(st.integers(1, 200), st.integers(1, 300), st.floats(1, 100), st.integers(0, 1), st.integers(0, 9))
@examples(40)
def test_every_picture_comes_back(tiny_bits_back, width, height, quality, effort, seed) -> None:
    codec = tiny_bits_back
    latents = codec.encode(picture(width, height, seed), quality_code(quality), effort=effort, coding=BITS_BACK)
    assert latents.coding == (ROUNDED if height <= 64 else BITS_BACK) or width * height < 2**13
    file = unpack(codec.compress(picture(width, height, seed), quality=quality, effort=effort, coding=BITS_BACK))
    decoded = codec.decode(file)
    assert (decoded.coding, decoded.symbols_crc) == (latents.coding, latents.symbols_crc)
    assert torch.equal(decoded.z, latents.z)
    assert torch.equal(decoded.y_hat, latents.y_hat)


@pytest.fixture(scope="module")
def accounts(tiny_bits_back) -> list[bits_back.Account]:
    """Of forty pictures."""
    sizes = [(64 + 16 * (i % 5), 130 + 17 * (i % 7)) for i in range(40)]
    made = [encode(tiny_bits_back, picture(w, h, i), 5 + 2 * i) for i, (w, h) in enumerate(sizes)]
    return [pair[1] for pair in made if pair]


@pytest.mark.slow
def test_the_stack_pays_what_the_densities_say(accounts) -> None:
    assert len(accounts) > 35
    for account in accounts:
        expected = account.log2_q - account.log2_p
        assert abs(account.net - expected) < 0.001 * abs(expected) + 64
        assert account.returned > 0.2 * account.pushed


@pytest.mark.slow
def test_on_average_that_is_the_divergence(accounts) -> None:
    surplus = np.array([account.net - account.kl for account in accounts])
    assert abs(surplus.mean()) < 3 * surplus.std(ddof=1) / len(surplus) ** 0.5
    assert sum(account.kl for account in accounts) > 3 * len(accounts)


@pytest.mark.parametrize("name", ["bits-back-q10", "bits-back-odd"])
def test_a_decoder_that_does_not_whiten_is_noticed(tiny_bits_back, monkeypatch, name: str) -> None:
    file = unpack((GOLDEN / f"{name}.vae").read_bytes())
    monkeypatch.setattr(Stack, "whiten", lambda stack: None)
    with pytest.raises(Corrupt):
        tiny_bits_back.decode(file)


def test_an_encoder_that_does_not_whiten_is_noticed(tiny_bits_back, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "whiten", lambda stack: None)
        data = tiny_bits_back.compress(picture(96, 200), coding=BITS_BACK)
    assert unpack(data).header.coding == BITS_BACK
    with pytest.raises(Corrupt):
        tiny_bits_back.decompress(data)


def test_the_divergence_of_equal_tables_is_nothing(tiny_bits_back) -> None:
    tables = tiny_bits_back.stored.tables
    p = tiny_bits_back.bits_back.posterior.predict_z(1000)
    assert bits_back.kl_bits(p, p, tables) == 0
    moved = type(p)(p.offset + 16, p.numbers)
    scale = np.array([2.0 ** (-3.25 + n // 16 / 7) for n in p.numbers.flatten().tolist()])
    assert bits_back.kl_bits(moved, p, tables) == pytest.approx((0.5 / np.log(2) / scale**2).sum(), rel=0.02)


@pytest.mark.parametrize("name", ["bits-back-odd", "bits-back-grey"])
def test_a_committed_file_returns_more_than_half(tiny_bits_back, monkeypatch, name: str) -> None:
    """Seen at the decoder: the stack shrinks when z is popped, and grows when it is pushed back."""
    popped, returned = [], []
    pop, push = Stack.pop, Stack.push

    def watched_pop(self, numbers, tables):
        before = self.bits
        symbols = pop(self, numbers, tables)
        popped.append(before - self.bits)
        return symbols

    def watched_push(self, symbols, numbers, tables):
        before = self.bits
        push(self, symbols, numbers, tables)
        returned.append(self.bits - before)

    monkeypatch.setattr(Stack, "pop", watched_pop)
    monkeypatch.setattr(Stack, "push", watched_push)
    file = unpack((GOLDEN / f"{name}.vae").read_bytes())
    assert file.header.coding == BITS_BACK
    tiny_bits_back.decode(file)
    (returned,) = returned
    assert returned > popped[0] / 2 > 20


@pytest.mark.slow
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_the_smaller_file_is_taken(tiny_bits_back, quality: float) -> None:
    original = picture(100, 200)
    sizes = [len(tiny_bits_back.compress(original, quality=quality, coding=c)) for c in (ROUNDED, BITS_BACK)]
    assert len(tiny_bits_back.compress(original, quality=quality)) == min(sizes)
    assert len(set(sizes)) == 2


def test_low_levels_do_not_try(tiny_bits_back) -> None:
    original = picture(100, 200)
    for effort in (0, 1):
        files = [tiny_bits_back.compress(original, effort=effort, coding=coding) for coding in (None, ROUNDED)]
        assert files[0] == files[1]


@pytest.mark.parametrize(("name", "coding"), [("rounded", ROUNDED), ("bits-back", BITS_BACK)])
def test_the_command_codes_as_it_is_told(tmp_path: Path, name: str, coding: int) -> None:
    source, target = tmp_path / "a.png", tmp_path / "a.vae"
    Image.fromarray(picture(70, 150)).save(source)
    arguments = ["compress", str(source), str(target), "-m", str(TINY_BITS_BACK), "--coding", name, "--graphics", "off"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert vaecodec.read_info(target).coding == coding


def test_pictures_look_the_same_with_both_codings(tiny_bits_back) -> None:
    original = picture(160, 192)
    mse = [
        np.square(original - np.asarray(tiny_bits_back.decompress(data)).astype(float)).mean()
        for data in (tiny_bits_back.compress(original, quality=70, coding=c) for c in (ROUNDED, BITS_BACK))
    ]
    assert mse[0] == pytest.approx(mse[1], rel=0.1)


def test_models_without_a_posterior_round(tiny) -> None:
    assert tiny.compress(picture(80, 140), coding=BITS_BACK) == tiny.compress(picture(80, 140), coding=ROUNDED)
    data = with_fields((GOLDEN / "bits-back-q10.vae").read_bytes(), model_id=tiny.stored.model_id)
    with pytest.raises(Unsupported, match="posterior"):
        tiny.decompress(data)


@pytest.fixture(scope="module")
def small(tiny_bits_back) -> bytes:
    data = tiny_bits_back.compress(in_mode("RGB", 30, 80), quality=30, coding=BITS_BACK)
    assert unpack(data).header.coding == BITS_BACK
    return data


def test_every_truncation_and_every_flipped_bit_is_refused(tiny_bits_back, small) -> None:
    for damaged in [small[:length] for length in range(len(small))] + list(flips(small)):
        with pytest.raises(BitstreamError):
            tiny_bits_back.decompress(damaged)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trusted", [False, True], ids=["as it is", "symbols trusted"])
def test_mutations_give_a_picture_of_the_stated_size_or_an_error(tiny_bits_back, small, trusted) -> None:
    outcomes = try_mutations(tiny_bits_back, small, 100, seed=0, trusted=trusted)
    assert outcomes["decoded"] > 8 if trusted else outcomes["decoded"] < 50
