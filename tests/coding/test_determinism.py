"""One file, the same symbols: whatever instructions, threads, kernels and carriers decode it.

By default nine processes cover every pair of (ATen's instruction set, oneDNN's, threads), and in each of them all
combinations of carrier and oneDNN on or off; `VAECODEC_FULL_MATRIX=1` runs all 27.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_BITS_BACK, picture
from support import run_python, symbol_choice

from vaecodec.codec.codec import Codec
from vaecodec.coding.latents import Latents
from vaecodec.format.container import BITS_BACK, quality_code, unpack

CHILD = """
import hashlib, json, sys
import torch
torch.set_num_threads(int(sys.argv[1]))
exec(sys.argv[2])
import numpy as np
from vaecodec.codec.codec import Codec
from vaecodec.format import container

def digest(latents):
    parts = ((v * 16).int().numpy().tobytes() for v in (latents.z, latents.y_hat))
    return hashlib.sha256(b"".join(parts)).hexdigest()

results = []
for path, model in zip(sys.argv[4::2], sys.argv[5::2]):
    file, decoded = container.unpack(open(path, "rb").read()), {}
    for carrier in (torch.float32, torch.float64):
        codec = Codec(model, carrier=carrier)
        for enabled in (True, False):
            torch.backends.mkldnn.enabled = enabled
            decoded[f"{carrier}, oneDNN {enabled}"] = digest(codec.decode(file))
        torch.backends.mkldnn.enabled = True
    codec = Codec(model)
    decoded["as it comes"] = digest(codec.decode(file))
    latents = codec.encode(np.load(path + ".npy"), 20000)
    out = f"{sys.argv[3]}/{len(results)}.vae"
    open(out, "wb").write(container.pack(width=latents.size[0], height=latents.size[1], mode="RGB", quality=20000,
        coding=latents.coding, model_id=codec.stored.model_id, symbols_crc=latents.symbols_crc,
        payload=latents.payload))
    results.append({"decoded": decoded, "encoded": digest(latents), "out": out})
print(json.dumps({"files": results, "threads": torch.get_num_threads(),
    "capability": torch.backends.cpu.get_cpu_capability()}))
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


@dataclass(frozen=True)
class Made:
    """A file made here: its codec and that one's model, where it lies, and the digest of its latents."""

    codec: Codec
    model: Path
    path: Path
    latents: str


@pytest.fixture(scope="module")
def rounded(tiny, original, tmp_path_factory) -> Made:
    path = tmp_path_factory.mktemp("determinism") / "rounded.vae"
    path.write_bytes(tiny.compress(original, quality=65))
    np.save(f"{path}.npy", original)
    return Made(tiny, TINY, path, digest(tiny.encode(original, quality_code(65))))


@pytest.fixture(scope="module")
def bits_back(tiny_bits_back, tmp_path_factory) -> Made:
    """The posterior decides what is popped next, so it has to be exact too."""
    path, original = tmp_path_factory.mktemp("determinism") / "bits-back.vae", picture(400, 352)
    data = tiny_bits_back.compress(original, quality=65, coding=BITS_BACK)
    assert unpack(data).header.coding == BITS_BACK
    path.write_bytes(data)
    np.save(f"{path}.npy", original)
    return Made(tiny_bits_back, TINY_BITS_BACK, path, digest(tiny_bits_back.decode(unpack(data))))


def run_child(out: Path, *files: Made, aten=None, onednn=None, threads=1, before="") -> dict:
    """The child decodes what was encoded here, and what it encodes is decoded here."""
    environment = {name: v for name, v in (("ATEN_CPU_CAPABILITY", aten), ("ONEDNN_MAX_CPU_ISA", onednn)) if v}
    environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    arguments = (threads, before, out, *(argument for made in files for argument in (made.path, made.model)))
    child = run_python(CHILD, *map(str, arguments), env=environment, text=True)
    assert child.returncode == 0, child.stderr
    result = json.loads(child.stdout)
    for made, found in zip(files, result["files"], strict=True):
        assert len(found["decoded"]) == 5
        assert set(found["decoded"].values()) == {made.latents}
        assert digest(made.codec.decode(unpack(Path(found["out"]).read_bytes()))) == found["encoded"]
    return result


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch) -> None:
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
@pytest.mark.parametrize(("aten", "onednn", "threads"), SETTINGS)
def test_symbols_are_the_same(rounded, bits_back, tmp_path: Path, aten, onednn, threads) -> None:
    result = run_child(tmp_path, rounded, bits_back, aten=aten, onednn=onednn, threads=threads)
    assert result["threads"] == threads
    if aten and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        assert result["capability"] == aten.upper()


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        "torch.set_float32_matmul_precision('medium')",
        "if hasattr(torch.backends.mkldnn, 'fp32_precision'): torch.backends.mkldnn.fp32_precision = 'bf16'\n"
        "torch.set_num_threads(2)",
    ],
    ids=["medium matrix products", "bfloat16 convolutions"],
)
def test_symbols_are_the_same_where_reduced_precision_is_allowed(rounded, tmp_path: Path, before: str) -> None:
    """Only CPUs with AMX take that permission; see also the probe's test in test_exact."""
    run_child(tmp_path, rounded, before=before)


@pytest.mark.slow
def test_symbols_are_the_same_under_other_defaults(rounded, tmp_path: Path) -> None:
    run_child(tmp_path, rounded, before="torch.set_default_dtype(torch.float64); torch.set_flush_denormal(True)")


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
