"""Frozen files: every decoder of this format version gives their symbols exactly and their pixels up to a rounding."""

from __future__ import annotations

import hashlib
import json
import zlib

import numpy as np
import pytest
from conftest import GOLDEN
from PIL import Image

import vaecodec
from vaecodec.codec.codec import Codec
from vaecodec.format.container import unpack
from vaecodec.pictures import exact

INDEX = json.loads((GOLDEN / "index.json").read_text())
GOOD, HELD, BAD = INDEX["good"], INDEX["held"], INDEX["bad"]


def fingerprint(values) -> str:
    return hashlib.sha256((values * 16).numpy().astype("<i4").tobytes()).hexdigest()


@pytest.mark.parametrize("name", GOOD)
def test_headers_say_what_they_said(name: str) -> None:
    header = vaecodec.read_info(GOLDEN / f"{name}.vae")
    fields = ("width", "height", "mode", "quality", "symbols_crc")
    assert {field: getattr(header, field) for field in fields} == {field: GOOD[name][field] for field in fields}


@pytest.fixture
def codec(name: str, tiny, tiny_bits_back) -> Codec:
    """With the model that a file was made by."""
    return tiny_bits_back if "bits-back" in name or name == "coding-2" else tiny


@pytest.mark.parametrize("name", GOOD)
def test_symbols_are_exactly_the_same(codec, name: str) -> None:
    latents = codec.decode(unpack((GOLDEN / f"{name}.vae").read_bytes()))
    assert (fingerprint(latents.z), fingerprint(latents.y_hat)) == (GOOD[name]["z"], GOOD[name]["y_hat"])


@pytest.mark.parametrize("name", GOOD)
def test_pixels_are_within_one(codec, name: str) -> None:
    rgb = codec.synthesize(codec.decode(unpack((GOLDEN / f"{name}.vae").read_bytes())))
    stored = np.asarray(Image.open(GOLDEN / f"{name}.png"))
    assert rgb.shape == stored.shape
    assert np.abs(rgb.astype(int) - stored).max() <= 1


@pytest.mark.parametrize("name", GOOD)
def test_pictures_come_back_in_their_mode(codec, name: str) -> None:
    image = codec.decompress((GOLDEN / f"{name}.vae").read_bytes())
    assert (image.mode, image.size) == (GOOD[name]["decoded_mode"], (GOOD[name]["width"], GOOD[name]["height"]))
    alpha = hashlib.sha256(image.getchannel("A").tobytes()).hexdigest() if image.mode in ("LA", "RGBA") else None
    assert alpha == GOOD[name]["alpha"]
    metadata = GOOD[name].get("metadata", {})
    assert {key: value.hex() for key, value in image.info.items() if isinstance(value, bytes)} == metadata


@pytest.mark.parametrize("name", HELD)
def test_what_is_held_without_loss_comes_back_so(tiny, name: str) -> None:
    expected, file = HELD[name], unpack((GOLDEN / f"{name}.vae").read_bytes())
    assert {kind.decode(): zlib.crc32(content) for kind, content in file.chunks.items()} == expected["chunks"]
    assert exact.share(file) == pytest.approx(expected["share"], abs=1e-6)
    image = tiny.decompress((GOLDEN / f"{name}.vae").read_bytes())
    assert (file.header.mode, image.mode, image.size) == (
        expected["mode"], expected["decoded_mode"], (expected["width"], expected["height"])
    )  # fmt: skip
    stored = Image.open(GOLDEN / f"{name}.png")
    held = exact.of_file(file)
    there = held is not None and (held.mask is None or exact.as_pixels(held.mask, (image.height, image.width)))
    difference = np.abs(np.asarray(image.convert(stored.mode)).astype(int) - np.asarray(stored))
    assert difference.max() <= 1
    assert not difference[there][..., :3].any()


@pytest.mark.parametrize("name", BAD)
def test_bad_files_end_in_their_error(codec, name: str) -> None:
    with pytest.raises(vaecodec.VaecodecError) as caught:
        codec.decompress((GOLDEN / f"bad-{name}.vae").read_bytes())
    assert type(caught.value).__name__ == BAD[name]


def test_the_index_and_the_folder_agree() -> None:
    files = {path.stem for path in GOLDEN.glob("*.vae")}
    assert files == set(GOOD) | set(HELD) | {f"bad-{name}" for name in BAD}
    assert len(GOOD) >= 12
    assert len(BAD) >= 8


def test_the_folder_stays_small() -> None:
    assert sum(path.stat().st_size for path in GOLDEN.iterdir() if path.suffix in (".vae", ".png", ".json")) < 500_000
