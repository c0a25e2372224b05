"""Packs: lossless, as short as the bound says, the same on every machine, and safe against what is no pack."""

from __future__ import annotations

import gzip
import itertools
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from digits_support import small_model, strokes
from hypothesis import given
from hypothesis import strategies as st
from support import examples, flips, run_python

from vaecodec.digits import fixed_point, pack, weights
from vaecodec.digits.data import format_idx, parse_idx
from vaecodec.digits.model import DigitsConfig, DigitsVAE, kl_bits
from vaecodec.errors import (
    BitstreamError,
    Corrupt,
    ImageError,
    LimitError,
    ModelError,
    NotAVaeFile,
    Truncated,
    Unsupported,
    VaecodecError,
)
from vaecodec.format.ans import COUNT_BITS, MAX_MAGNITUDE, Stack

MODEL, PACK = GOLDEN / "digits-tiny.safetensors", GOLDEN / "digits.vpk"
"""A small model and a pack that are never made anew: they hold the format."""


@pytest.fixture(scope="module")
def tiny() -> weights.StoredDigits:
    return weights.load(MODEL)


@pytest.fixture(scope="module")
def vae(tiny) -> fixed_point.ExactVAE:
    return tiny.exact_vae


@pytest.fixture(scope="module")
def golden() -> bytes:
    return PACK.read_bytes()


def reseal(data: bytes) -> bytes:
    """A pack with the payload's and the header's checksums made to fit."""
    raw = bytearray(data)
    raw[20:24] = zlib.crc32(raw[32:]).to_bytes(4, "little")
    raw[28:32] = zlib.crc32(raw[:28]).to_bytes(4, "little")
    return bytes(raw)


def test_the_golden_pack_opens_and_is_made_again(tiny, golden) -> None:
    images = pack.unpack(golden, tiny)
    np.testing.assert_array_equal(images, strokes(40, seed=7).images)
    assert pack.pack(images, tiny)[0] == golden


@pytest.mark.parametrize("count", [1, 2, 3, 64, 65, 200])
def test_packs_are_lossless(tiny, count: int) -> None:
    images = strokes(count, seed=count).images
    np.testing.assert_array_equal(pack.unpack(pack.pack(images, tiny)[0], tiny), images)


@pytest.mark.parametrize("kind", ["noise", "black", "white", "mixed"])
def test_pictures_unlike_any_in_training_are_lossless(tiny, kind: str) -> None:
    random = np.random.default_rng(0)
    images = {
        "noise": random.integers(0, 256, (20, 28, 28)),
        "black": np.zeros((150, 28, 28)),
        "white": np.full((20, 28, 28), 255),
        "mixed": random.integers(0, 256, (20, 28, 28)) * (np.arange(20) % 3 == 0)[:, None, None],
    }[kind].astype(np.uint8)
    np.testing.assert_array_equal(pack.unpack(pack.pack(images, tiny)[0], tiny), images)


def test_a_pack_is_as_long_as_the_bound_says(tiny) -> None:
    """And the first picture alone pays for its latents: the initial bits."""
    images = strokes(400, seed=3).images
    data, account = pack.pack(images, tiny)
    assert account.payload_bits == 8 * (len(data) - pack.HEADER_BYTES)
    ideal = account.pixel_bits + account.prior_bits - account.posterior_bits + account.initial_bits
    assert account.payload_bits == pytest.approx(ideal, rel=0.003, abs=200)
    assert 0 < account.initial_bits < 0.01 * account.payload_bits
    model, x = tiny.model(), torch.from_numpy(images)
    torch.manual_seed(0)
    assert account.bound_bpp == pytest.approx(float(model(x).total_bpp.mean()), rel=0.02)


def test_bits_back_pays(tiny) -> None:
    """Without the bits that come back a pack would be longer by what was popped."""
    _, account = pack.pack(strokes(400, seed=3).images, tiny)
    saved = account.posterior_bits - account.initial_bits
    assert saved > 0.012 * account.payload_bits


def test_integers_and_floats_say_the_same(tiny, vae) -> None:
    images = strokes(50, seed=5).images
    model = tiny.model()
    with torch.no_grad():
        mean, log2_scale = model.infer(torch.from_numpy(images))
        q = vae.posterior(images)
        np.testing.assert_allclose(q.means / 64, mean.numpy(), atol=0.1)
        np.testing.assert_allclose(q.numbers / fixed_point.PER_OCTAVE - 6, log2_scale.numpy(), atol=0.2)
        z = torch.from_numpy(q.means / 64).float()
        numbers = vae.pixel_numbers(q.means).reshape(-1)
        bits = vae.pixel_tables.bits(fixed_point.symbols_of(images).astype(np.int64), numbers).sum()
        expected = model.observation.bits(torch.from_numpy(images), model.generate(z)).sum()
        assert bits == pytest.approx(float(expected), rel=0.02)
        assert float(kl_bits(mean, log2_scale).mean()) > 1


def test_tables_are_whole_and_leave_no_grey_level_out(vae) -> None:
    assert len(vae.pixel_tables) == 121 * 57
    counts = np.stack([vae.pixel_tables.table(number) for number in range(0, 121 * 57, 97)])
    assert (counts[:, 256:] == 0).all()
    corner = fixed_point.pixel_counts(DigitsVAE(DigitsConfig("x", 2, "tables")))
    assert (corner.astype(np.int64).sum(2) == 2**COUNT_BITS).all()
    np.testing.assert_array_equal(fixed_point.mix(corner).table(0)[:256], corner[0, 0])
    np.testing.assert_array_equal(fixed_point.mix(corner).table(57 * 120 + 56)[:256], corner[15, 7])
    middle = fixed_point.mix(corner).table(57 * 4 + 4)[:256]  # halfway between four
    np.testing.assert_allclose(middle, corner[:2, :2].astype(float).mean((0, 1)), atol=140)


def test_nothing_that_is_sampled_escapes(vae) -> None:
    for number in range(len(vae.latent_tables)):
        assert vae.latent_tables.table(number)[-1] == 0
    widths = [np.sqrt(_variance(vae.latent_tables, number)) for number in (16, 32, fixed_point.PRIOR)]
    np.testing.assert_allclose(widths, [4, 16, 64], rtol=0.02)


def _variance(tables, number: int) -> float:
    counts, radius = tables.table(number)[:-1].astype(float), tables.radius(number)
    return float((counts * np.arange(-radius, radius + 1) ** 2).sum() / counts.sum())


@given(st.integers(1, 3000))
@examples(100)
def test_batches_cover_a_set(count: int) -> None:
    parts = pack.batches(count)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == count
    assert all(part.stop - part.start <= max(1, min(part.start, 64)) for part in parts)


# --- what is no pack -------------------------------------------------------------------------------------------------


def test_every_truncation_is_refused(tiny, golden) -> None:
    for length in range(len(golden)):
        with pytest.raises((Truncated, NotAVaeFile)):
            pack.unpack(golden[:length], tiny)


def test_every_flipped_bit_is_refused(tiny, golden) -> None:
    head = itertools.islice(flips(golden), 8 * 40)
    tail = (golden[:i] + bytes([golden[i] ^ 1 << i % 8]) + golden[i + 1 :] for i in range(40, len(golden), 3))
    for data in itertools.chain(head, tail):
        with pytest.raises(BitstreamError):
            pack.unpack(data, tiny)


@pytest.mark.slow
@given(st.data())
@examples(60)
def test_mutations_with_repaired_checksums_give_an_error_or_a_set(tiny, golden, data) -> None:
    raw = bytearray(golden)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(32, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with pytest.raises(BitstreamError):
        if reseal(raw) == golden:
            raise Corrupt("unchanged")
        pack.unpack(reseal(raw), tiny)


@pytest.mark.parametrize(
    ("where", "value", "error"),
    [
        (slice(4, 5), b"\2", Unsupported),
        (slice(5, 6), b"\x20", Unsupported),
        (slice(6, 8), b"\1\0", Unsupported),
        (slice(8, 12), b"\0\0\0\0", ModelError),
        (slice(12, 16), b"\0\0\0\0", Corrupt),
        (slice(12, 16), (39).to_bytes(4, "little"), Corrupt),
        (slice(12, 16), (41).to_bytes(4, "little"), Corrupt),
        (slice(12, 16), b"\xff\xff\xff\xff", LimitError),
        (slice(16, 20), b"\1\0\0\0", Corrupt),
        (slice(16, 20), b"\0\0\0\x7f", Truncated),
        (slice(24, 28), b"\0\0\0\0", Corrupt),
    ],
)
def test_fields_that_lie(tiny, golden, where: slice, value: bytes, error: type) -> None:
    raw = bytearray(golden)
    raw[where] = value
    with pytest.raises(error):
        pack.unpack(reseal(raw), tiny)


def test_what_follows_the_end_is_refused(tiny, golden) -> None:
    with pytest.raises(Corrupt, match="4 bytes follow"):
        pack.unpack(golden + b"\0\0\0\0", tiny)


@pytest.mark.parametrize("sign", [1, -1])
def test_latents_that_cannot_be_given_back_are_refused(tiny, vae, sign: int) -> None:
    """The prior's table is wider than a posterior's, so that what it just holds may be too far from a mean."""
    z = np.full(vae.latents, sign * (int(vae.latent_tables.radii[fixed_point.PRIOR]) + MAX_MAGNITUDE), np.int32)
    stack = Stack()
    stack.push(np.full(28 * 28, -128, np.int32), vae.pixel_numbers(z[None]).reshape(-1), vae.pixel_tables)
    stack.push(z, np.full_like(z, fixed_point.PRIOR), vae.latent_tables)
    stack.push_bits(1, 1)
    with pytest.raises(Corrupt, match="out of range"):
        pack.decode(stack.getvalue(), 1, vae)


def test_sets_of_another_kind_are_refused(tiny) -> None:
    for wrong in (np.zeros((0, 28, 28), np.uint8), np.zeros((4, 20, 28), np.uint8), np.zeros((28, 28), np.uint8)):
        with pytest.raises(ImageError, match="not a set of pictures"):
            pack.pack(wrong, tiny)


def test_a_model_without_tables_packs_nothing() -> None:
    with pytest.raises(ModelError, match="no tables"):
        pack.pack(strokes(3).images, weights.load("digits"))


def test_idx_files() -> None:
    images = strokes(5).images
    data = format_idx(images)
    np.testing.assert_array_equal(parse_idx(data), images)
    np.testing.assert_array_equal(parse_idx(gzip.compress(data)), images)
    for broken in (b"", data[:3], data[:10], data[:-1], data + b"\0", b"\1" + data[1:], data[:2] + b"\x0d" + data[3:],
                   gzip.compress(data)[:-9], b"\x1f\x8b" + bytes(40)):  # fmt: skip
        with pytest.raises(ImageError):
            parse_idx(broken)


# --- the same on every machine ---------------------------------------------------------------------------------------

CHILD = """
import sys, torch
torch.set_num_threads(int(sys.argv[3]))
exec(sys.argv[4])
from vaecodec.digits import pack, weights
data = open(sys.argv[2], "rb").read()
stored = weights.load(sys.argv[1])
for enabled in (True, False):
    torch.backends.mkldnn.enabled = enabled
    images = pack.unpack(data, stored)
    assert pack.pack(images, stored)[0] == data, "packed to other bytes"
"""
SETTINGS = [("default", "SSE41", 1), ("avx2", "AVX2", 2), (None, None, 4)]
if os.environ.get("VAECODEC_FULL_MATRIX") == "1":
    SETTINGS = list(itertools.product(("default", "avx2", None), ("SSE41", "AVX2", None), (1, 2, 4)))


@pytest.mark.slow
@pytest.mark.parametrize(("aten", "onednn", "threads"), SETTINGS)
def test_packs_are_the_same_under_other_instructions_and_threads(aten, onednn, threads) -> None:
    environment = {name: v for name, v in (("ATEN_CPU_CAPABILITY", aten), ("ONEDNN_MAX_CPU_ISA", onednn)) if v}
    environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    before = "torch.set_float32_matmul_precision('medium')" if threads == 2 else "torch.set_flush_denormal(True)"
    child = run_python(CHILD, str(MODEL), str(PACK), str(threads), before, env=environment, text=True)
    assert child.returncode == 0, child.stderr


def test_a_trained_model_keeps_its_bound_in_integers(tmp_path: Path) -> None:
    """What is shipped is what was trained: eight-bit weights cost next to nothing."""
    model = small_model(4, observation="tables", epochs=1)
    weights.save(model, tmp_path / "m.safetensors")
    stored = weights.load(tmp_path / "m.safetensors")
    x = torch.from_numpy(strokes(300, seed=9).images)
    with torch.no_grad():
        torch.manual_seed(0)
        before = float(model(x).total_bpp.mean())
        torch.manual_seed(0)
        after = float(stored.model()(x).total_bpp.mean())
    assert after == pytest.approx(before, rel=0.02)
    assert stored.config == replace(model.config)


def test_damaged_packs_raise_nothing_else(tiny, golden) -> None:
    """Random bytes behind a sound header."""
    random = np.random.default_rng(0)
    for _ in range(20):
        raw = golden[:32] + random.bytes(len(golden) - 32)
        with pytest.raises(VaecodecError):
            pack.unpack(reseal(raw), tiny)
