"""The decoder that was written from docs/format.md alone agrees with the product: on bytes, tables, symbols, pixels."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import GOLDEN, TINY, TINY_BITS_BACK, picture
from PIL import Image
from reference import ans, container, decoder, model, pixels
from skimage import data as photographs
from support import ROOT, in_mode

from vaecodec.codec.codec import Codec
from vaecodec.errors import VaecodecError
from vaecodec.format.catalog import TUNES, find_model, model_path
from vaecodec.format.container import BITS_BACK, ROUNDED, unpack

INDEX = json.loads((GOLDEN / "index.json").read_text())


@pytest.fixture(scope="module")
def stored() -> model.Model:
    return model.load(TINY)


@pytest.fixture(scope="module")
def stored_bits_back() -> model.Model:
    return model.load(TINY_BITS_BACK)


@pytest.fixture
def pair(name: str, tiny, stored, tiny_bits_back, stored_bits_back) -> tuple[Codec, model.Model]:
    """What decodes a golden file, twice."""
    return (tiny_bits_back, stored_bits_back) if "bits-back" in name or name == "coding-2" else (tiny, stored)


def agree(codec: Codec, reference: model.Model, data: bytes) -> decoder.Decoded:
    """Decodes with both, and compares everything up to the latents."""
    decoded, latents = decoder.decode(data, reference), codec.decode(unpack(data))
    assert np.array_equal(decoded.z, 16 * latents.z[0].numpy())
    assert np.array_equal(decoded.y_hat, 16 * latents.y_hat[0].numpy())
    assert decoded.symbols_crc == latents.symbols_crc
    return decoded


@pytest.mark.parametrize("name", INDEX["good"])
def test_it_agrees_on_every_good_golden_file(pair, name: str) -> None:
    decoded = agree(*pair, (GOLDEN / f"{name}.vae").read_bytes())
    expected = INDEX["good"][name]
    assert (decoded.file.mode, decoded.file.quality) == (expected["mode"], expected["quality"])
    assert decoded.symbols_crc == decoded.file.symbols_crc == expected["symbols_crc"]
    golden = np.asarray(Image.open(GOLDEN / f"{name}.png")).astype(int)
    assert np.abs(pixels.picture(decoded, pair[1]) - golden).max() <= 1


@pytest.mark.parametrize("name", INDEX["held"])
def test_it_agrees_on_what_is_held_without_loss(tiny, stored, name: str) -> None:
    data = (GOLDEN / f"{name}.vae").read_bytes()
    rgb, alpha = pixels.whole(data, stored)
    image = tiny.decompress(data)
    if INDEX["held"][name]["mode"] != "CMYK":
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - rgb).max() <= 1
    if alpha is not None:
        assert np.abs(np.asarray(image.getchannel("A")).astype(int) - alpha).max() <= 1
    assert (alpha is None) == ("A" not in image.getbands())


@pytest.mark.parametrize("name", INDEX["bad"])
def test_it_refuses_every_bad_golden_file_that_breaks_the_format(pair, name: str) -> None:
    """What an alpha chunk holds is a matter of PNG, which this decoder does not read."""
    codec, stored = pair
    data = (GOLDEN / f"bad-{name}.vae").read_bytes()
    if name in ("alpha-size", "alpha-text"):
        assert decoder.decode(data, stored).file.chunks[b"ALPH"]
        return
    with pytest.raises(container.Refused):
        pixels.whole(data, stored)
    with pytest.raises(VaecodecError):
        codec.decompress(data)


@pytest.mark.parametrize(("width", "height"), [(1, 17), (17, 1), (16, 33), (50, 49), (81, 64)])
@pytest.mark.parametrize("quality", [1, 60, 100])
def test_it_agrees_on_other_files(tiny, stored, width: int, height: int, quality: int) -> None:
    agree(tiny, stored, tiny.compress(in_mode("RGB", width, height, quality), quality=quality))


@pytest.mark.parametrize(("width", "height"), [(1, 65), (49, 113), (70, 200)])
@pytest.mark.parametrize("quality", [20, 90])
def test_it_agrees_on_bits_back(tiny_bits_back, stored_bits_back, width: int, height: int, quality: int) -> None:
    data = tiny_bits_back.compress(picture(width, height, quality), quality=quality, coding=BITS_BACK)
    assert unpack(data).header.coding == BITS_BACK or width == 1
    agree(tiny_bits_back, stored_bits_back, data)


@pytest.mark.slow
@pytest.mark.parametrize(("coding", "quality"), [(ROUNDED, 20), (ROUNDED, 85), (BITS_BACK, 85)])
@pytest.mark.parametrize("name", TUNES.values())
def test_it_agrees_on_a_file_of_the_shipped_models(name: str, coding: int, quality: int) -> None:
    codec, shipped = Codec(name), model.load(model_path(name))
    assert tuple(mark.hex() for mark in shipped.ids) == codec.stored.info.ids
    photo = photographs.astronaut()[20:100, 190:260]
    decoded = agree(codec, shipped, codec.compress(photo, quality=quality, coding=coding, graphics=False))
    assert (find_model(decoded.file).name, decoded.file.coding) == (name, coding)


@pytest.mark.parametrize("path", [TINY, *map(model_path, TUNES.values())], ids=["tiny", *TUNES.values()])
def test_model_files_keep_the_bounds_of_the_format(path) -> None:
    """Sums below 2^24, shifts of at least 1, gains within 2^±16: then 64 bits are enough for everything."""
    loaded = model.load(path)
    exact = {name: tensor.astype(np.int64) for name, tensor in loaded.part("exact.").items()}
    for name in (name.removesuffix(".weight") for name in exact if name.endswith(".weight")):
        weight, bias, shift = (exact[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        assert (np.abs(weight).sum(1) * (2048 if "stem" in name else 2047) + np.abs(bias)).max() < 2**24
        assert shift.min() >= 1
    assert np.abs(exact["log2_gain"]).max() <= 2**14
    assert exact["exp2"].tolist() == [round(2 ** (15 + i / 1024)) for i in range(1024)]
    tables = ans.Tables(loaded.tensors["tables.counts"].tolist(), loaded.tensors["tables.radii"].tolist())
    assert len(tables) == 64 * 16
    assert min(tables.radii) >= 1


def test_it_imports_nothing_of_the_product() -> None:
    code = (
        "import sys, reference.pixels, reference.model\n"
        "assert not {name.split('.')[0] for name in sys.modules} & {'vaecodec', 'torch', 'constriction', 'safetensors'}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", check=True)


def test_it_runs_as_a_command(tmp_path) -> None:
    command = [sys.executable, "-m", "reference", TINY, GOLDEN / "rgb-odd.vae", tmp_path / "a.png"]
    result = subprocess.run(command, cwd=ROOT / "tests", check=True, capture_output=True, text=True)
    assert f"CRC {INDEX['good']['rgb-odd']['symbols_crc']:08x}" in result.stdout
    assert Image.open(tmp_path / "a.png").size == (47, 33)
