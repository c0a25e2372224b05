"""One file, the same symbols: whatever instructions, threads, kernels and carriers decode it.

By default nine processes cover every pair of (ATen's instruction set, oneDNN's, threads), and in each of them all
combinations of carrier and oneDNN on or off; `VAECODEC_FULL_MATRIX=1` runs all 27.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, picture
from support import run_python, symbol_choice

from vaecodec.codec.codec import Codec
from vaecodec.coding.latents import Latents
from vaecodec.format.container import quality_code, unpack

CHILD = """
import hashlib, json, sys
import torch
torch.set_num_threads(int(sys.argv[5]))
exec(sys.argv[4])
from vaecodec.codec.codec import Codec
from vaecodec.format.container import unpack

def digest(latents):
    parts = ((v * 16).int().numpy().tobytes() for v in (latents.z, latents.y_hat))
    return hashlib.sha256(b"".join(parts)).hexdigest()

file, picture, out = unpack(open(sys.argv[1], "rb").read()), sys.argv[2], sys.argv[3]
result = {"decoded": {}, "threads": torch.get_num_threads()}
for carrier in (torch.float32, torch.float64):
    codec = Codec(sys.argv[6], carrier=carrier)
    for enabled in (True, False):
        torch.backends.mkldnn.enabled = enabled
        result["decoded"][f"{carrier}, oneDNN {enabled}"] = digest(codec.decode(file))
    torch.backends.mkldnn.enabled = True
codec = Codec(sys.argv[6])
result["decoded"]["as it comes"] = digest(codec.decode(file))
import numpy as np
from vaecodec.format import container
latents = codec.encode(np.load(picture), 20000)
result["encoded"] = digest(latents)
open(out, "wb").write(container.pack(width=latents.size[0], height=latents.size[1], mode="RGB", quality=20000,
    coding=latents.coding, model_id=codec.stored.model_id, symbols_crc=latents.symbols_crc, payload=latents.payload))
result["capability"] = torch.backends.cpu.get_cpu_capability()
print(json.dumps(result))
"""

ATEN, ONEDNN, THREADS = ("default", "avx2", None), ("SSE41", "AVX2", None), (1, 2, 4)
ALL = list(itertools.product(ATEN, ONEDNN, THREADS))
PAIRS = [(ATEN[i], ONEDNN[j], THREADS[(i + j) % 3]) for i in range(3) for j in range(3)]
SETTINGS = ALL if os.environ.get("VAECODEC_FULL_MATRIX") == "1" else PAIRS


def digest(latents: Latents) -> str:
    """As the child computes it."""
    parts = ((v * 16).int().numpy().tobytes() for v in (latents.z, latents.y_hat))
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture(scope="module")
def original() -> np.ndarray:
    """Large enough for oneDNN to take over, which leaves small tensors to ATen, with some noise."""
    noise = np.random.default_rng(6).integers(-40, 41, (352, 400, 3))
    return (picture(400, 352).astype(int) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def file(tiny, original, tmp_path_factory) -> tuple[Path, str]:
    """A file made here, and the digest of its latents."""
    path = tmp_path_factory.mktemp("determinism") / "here.vae"
    path.write_bytes(tiny.compress(original, quality=65))
    np.save(path.with_suffix(".npy"), original)
    return path, digest(tiny.encode(original, quality_code(65)))


def run_child(file: Path, out: Path, *, aten=None, onednn=None, threads=1, before="", model=TINY) -> dict:
    environment = {name: v for name, v in (("ATEN_CPU_CAPABILITY", aten), ("ONEDNN_MAX_CPU_ISA", onednn)) if v}
    environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    arguments = (file, file.with_suffix(".npy"), out, before, threads, model)
    child = run_python(CHILD, *map(str, arguments), env=environment, text=True)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def check(tiny, file: tuple[Path, str], result: dict, out: Path) -> None:
    assert len(result["decoded"]) == 5
    assert set(result["decoded"].values()) == {file[1]}
    assert digest(tiny.decode(unpack(out.read_bytes()))) == result["encoded"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch) -> None:
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("aten", "onednn", "threads"), SETTINGS)
def test_symbols_are_the_same(tiny, file, tmp_path: Path, aten, onednn, threads) -> None:
    """The child decodes what was encoded here, and what it encodes is decoded here."""
    result = run_child(file[0], tmp_path / "there.vae", aten=aten, onednn=onednn, threads=threads)
    assert result["threads"] == threads
    if aten and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        assert result["capability"] == aten.upper()
    check(tiny, file, result, tmp_path / "there.vae")


@pytest.mark.parametrize(
    "before",
    [
        "torch.set_float32_matmul_precision('medium')",
        "if hasattr(torch.backends.mkldnn, 'fp32_precision'): torch.backends.mkldnn.fp32_precision = 'bf16'\n"
        "torch.set_num_threads(2)",
    ],
    ids=["medium matrix products", "bfloat16 convolutions"],
)
def test_symbols_are_the_same_where_reduced_precision_is_allowed(tiny, file, tmp_path: Path, before: str) -> None:
    """Only CPUs with AMX take that permission; see also the probe's test in test_exact."""
    check(tiny, file, run_child(file[0], tmp_path / "there.vae", before=before), tmp_path / "there.vae")


def test_symbols_are_the_same_under_other_defaults(tiny, file, tmp_path: Path) -> None:
    before = "torch.set_default_dtype(torch.float64); torch.set_flush_denormal(True)"
    check(tiny, file, run_child(file[0], tmp_path / "there.vae", before=before), tmp_path / "there.vae")


def test_the_selection_covers_every_pair() -> None:
    """Otherwise the nine would prove less than they say."""
    for a, b in itertools.combinations(range(3), 2):
        assert {(row[a], row[b]) for row in PAIRS} == {(row[a], row[b]) for row in ALL}


def test_carriers_encode_the_same_latents_to_the_same_words(tiny, original) -> None:
    y, z = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 32, 9, 11)) * 3), torch.ones(1, 8, 3, 3).double()
    codecs = [Codec(TINY, carrier=carrier) for carrier in (torch.float32, torch.float64)]
    first, second = (codec.coder.encode(z, y, (176, 144), 12345, symbol_choice(codec, 12345, 1)) for codec in codecs)
    assert first.payload == second.payload
    assert torch.equal(first.y_hat, second.y_hat)
