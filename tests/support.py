"""Helpers that several tests share: child processes, pictures in every mode, and files with one thing wrong."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
from click.testing import CliRunner, Result
from conftest import picture
from hypothesis import HealthCheck, settings
from PIL import Image

from vaecodec.cli.main import main
from vaecodec.coding import latent_coder, latents
from vaecodec.coding.symbol_choice import RateDistortionChoice, nearest
from vaecodec.format import container

TESTS = Path(__file__).parent
ROOT = TESTS.parent

MODES = ("L", "RGB", "LA", "RGBA", "1", "CMYK", "YCbCr", "HSV", "I;16", "P", "I", "F", "PA")
"""All modes of a header, written out: that list is part of the format and never changes its order."""


def examples(count: int) -> settings:
    """Hypothesis settings: the same examples in every run, without a time limit for each."""
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def run_python(code: str, *args: str, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess:
    """Runs code in a fresh interpreter that finds the package; bytes in and out unless `text=True` is among options."""
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | (env or {})
    options = {"timeout": 120} | options
    return subprocess.run(
        [sys.executable, "-c", code, *args], env=variables, capture_output=True, check=False, **options
    )


def run_command(*args: object, **options) -> Result:
    """Runs `vaecodec` in this process; anything but a clean exit fails the test."""
    result = CliRunner().invoke(main, [str(arg) for arg in args], **options)
    assert "a defect: " not in result.stderr, result.stderr
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def assert_no_torch(code: str, *args: str) -> None:
    """Runs code in a fresh interpreter and fails if it raises or has imported torch."""
    result = run_python(
        f"{code}\nimport sys\nassert 'torch' not in sys.modules, 'torch was imported'", *args, text=True
    )
    assert result.returncode == 0, result.stderr


def png(chunks: list[tuple[bytes, bytes]], wrong_crc: bytes = b"") -> bytes:
    """A PNG file of chunks, of which one kind gets a wrong checksum."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        crc = zlib.crc32(kind + content) ^ (kind == wrong_crc)
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", crc)]
    return b"".join(parts)


def png_alpha(alpha: np.ndarray) -> bytes:
    """A plane `[H, W]` uint8 as the PNG that an `ALPH` chunk holds."""
    buffer = io.BytesIO()
    Image.fromarray(alpha).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def alpha_plane(width: int, height: int) -> np.ndarray:
    """`[height, width]` uint8 with every kind of transparency."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows * 7 + columns * 3) % 256).astype(np.uint8)


def drawn(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A `[height, width, 3]` uint8 picture of a few colours: boxes, and strokes of one pixel."""
    rng = np.random.RandomState(seed)
    x = np.full((height, width, 3), 250, np.uint8)
    for _ in range(6):
        top, left = rng.randint(height), rng.randint(width)
        x[top : top + 1 + height // 3, left : left + 1 + width // 4] = rng.randint(0, 256, 3)
    x[3::7, ::2] = (20, 20, 60)
    return x


def in_mode(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    """`conftest.picture` in a Pillow mode."""
    rgb = Image.fromarray(picture(width, height, seed))
    if mode == "I;16":
        return Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    if mode in ("LA", "RGBA", "PA"):
        image = rgb.convert({"LA": "L", "RGBA": "RGB", "PA": "P"}[mode]).convert(mode)
        image.putalpha(Image.fromarray(alpha_plane(width, height)))
        return image
    if mode in ("RGBa", "La"):
        return in_mode(mode.upper(), width, height, seed).convert(mode)
    return (rgb.convert("L") if mode in ("I", "F") else rgb).convert(mode)


def pack(**changes) -> bytes:
    """A small file that `container` finds whole and sound, unless told otherwise; its payload means nothing."""
    fields = {
        "width": 20, "height": 10, "mode": "RGB", "quality": 1234, "coding": 0, "model_id": b"\1\2\3\4",
        "symbols_crc": 0x12345678, "payload": bytes(range(1, 25)), "chunks": {},
    }  # fmt: skip
    return container.pack(**fields | changes)


FIELDS = {
    "magic": slice(0, 4), "version": slice(4, 5), "coding": slice(5, 6), "mode": slice(6, 7), "chunks": slice(7, 8),
    "model_id": slice(8, 12), "width": slice(12, 15), "height": slice(15, 18), "quality": slice(18, 20),
    "payload_bytes": slice(20, 24), "payload_crc": slice(24, 28), "symbols_crc": slice(28, 32),
    "header_crc": slice(32, 36),
}  # fmt: skip
"""Where the fields of a header lie, from the specification and not from the code."""


def with_fields(data: bytes, **fields: int | bytes) -> bytes:
    """A file with header fields overwritten and the header's CRC made to fit again."""
    raw = bytearray(data)
    for name, value in fields.items():
        where = FIELDS[name]
        raw[where] = value if isinstance(value, bytes) else value.to_bytes(where.stop - where.start, "little")
    raw[32:36] = zlib.crc32(raw[:32]).to_bytes(4, "little")
    return bytes(raw)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk whose CRC fits."""
    head = kind + len(content).to_bytes(4, "little") + zlib.crc32(kind + content).to_bytes(4, "little")
    return head + content


def without_record(data: bytes) -> bytes:
    """A `.vae` file that does not say how it was made, of one that may."""
    file = container.unpack(data)
    fields = {name: getattr(file.header, name) for name in ("width", "height", "mode", "quality", "coding", "model_id")}
    chunks = {kind: content for kind, content in file.chunks.items() if kind != container.MADE}
    return container.pack(**fields, symbols_crc=file.header.symbols_crc, payload=file.payload, chunks=chunks)


def with_body(data: bytes, chunks: list[bytes], payload: bytes) -> bytes:
    """A file with other chunks and another payload, and all counts, lengths and CRCs but the symbols' made to fit."""
    sealed = with_fields(data[:36], chunks=len(chunks), payload_bytes=len(payload), payload_crc=zlib.crc32(payload))
    return b"".join([sealed, *chunks, payload])


def sealed(data: bytes) -> bytes:
    """Bytes as a file whose signature, lengths and CRCs fit wherever they can be made to; what was there is kept else.

    So mutated bytes get past the checks that stop nearly all damage, and reach what lies behind.
    """
    if len(data) < 36:
        return data
    chunks, at = [], 36
    for _ in range(data[7]):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if len(data) - at < 12 or len(data) - at - 12 < size:
            break
        chunks.append(chunk(data[at : at + 4], data[at + 12 : at + 12 + size]))
        at += 12 + size
    payload = data[at:]
    fields = {"payload_bytes": len(payload), "payload_crc": zlib.crc32(payload)}
    return b"".join([with_fields(data[:36], magic=b"\x89VAE", **fields), *chunks, payload])


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """While it lasts, the codec believes the symbols' checksum and does not mind words left over.

    An attacker can make both fit: what lies behind them must not depend on them.
    """
    patched = types.SimpleNamespace(crc32=lambda data, value=0: 7)
    with (
        mock.patch.object(latent_coder.Decoder, "finish", lambda self: None),
        mock.patch.object(latents, "zlib", patched),
    ):
        yield


def flips(data: bytes):
    """Every file that differs from this one in a single bit."""
    for bit in range(8 * len(data)):
        raw = bytearray(data)
        raw[bit // 8] ^= 1 << bit % 8
        yield bytes(raw)


def symbol_choice(codec, quality: int, effort: int):
    """How level 0 or 1 chooses symbols at a quality code."""
    if not effort:
        return nearest
    return RateDistortionChoice(codec.coder.tables, quality)
