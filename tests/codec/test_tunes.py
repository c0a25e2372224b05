"""`tune` and `model` everywhere, and codecs that decode the files of several models."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image
from support import pack, with_fields
from support import run_command as run

import vaecodec
from vaecodec.codec.codec import Codec
from vaecodec.errors import ModelError
from vaecodec.format import catalog
from vaecodec.format.container import read_header
from vaecodec.plugins.differentiable import DifferentiableCodec
from vaecodec.plugins.ray_data import Compress

ORIGINAL = picture(70, 140)
LOOKS, PSNR = "light", "light-psnr"


def made_by(data: bytes) -> str:
    return catalog.find_model(read_header(data)).name


def test_a_tune_or_a_model_is_meant() -> None:
    assert catalog.model_for() == catalog.model_for(tune="looks") == catalog.DEFAULT_MODEL == LOOKS
    assert catalog.model_for(tune="psnr") == catalog.model_for(psnr=30) == PSNR
    assert catalog.model_for(psnr=30, tune="looks") == catalog.model_for("light", psnr=30) == LOOKS
    assert catalog.model_for("a.safetensors") == "a.safetensors"
    with pytest.raises(ValueError, match="not both"):
        catalog.model_for("light", "looks")
    with pytest.raises(ValueError, match="not one of looks, psnr"):
        catalog.model_for(tune="ssim")


def _pillow(**options) -> bytes:
    vaecodec.register_pillow()
    Image.fromarray(ORIGINAL).save(buffer := io.BytesIO(), "VAE", graphics=False, **options)
    return buffer.getvalue()


def _ray(**options) -> bytes:
    return Compress(graphics=False, **options)._row("a.png")[0]


def _command(**options) -> bytes:
    result = run("compress", "a.png", "a.vae", "-f", "--graphics=off", *(f"--{k}={v}" for k, v in options.items()))
    if result.exit_code == 2:
        raise ValueError(result.stderr)
    return Path("a.vae").read_bytes()


def _folder(**options) -> bytes:
    result = run("compress", "a.png", "-o", "out", "-f", "--graphics=off", *(f"--{k}={v}" for k, v in options.items()))
    if result.exit_code == 2:
        raise ValueError(result.stderr)
    return Path("out/a.vae").read_bytes()


def _held(tune: str | None = None, model: str | None = None, **options) -> bytes:
    return Codec(model, tune=tune).compress(ORIGINAL, graphics=False, **options)


WAYS = [
    lambda **options: vaecodec.compress(ORIGINAL, graphics=False, **options),
    _held,
    _pillow,
    _ray,
    _command,
    _folder,
]


@pytest.mark.slow
@pytest.mark.parametrize("compress", WAYS, ids=["function", "codec", "pillow", "ray", "command", "folder"])
def test_every_way_takes_a_tune(two_models: Path, compress: Callable[..., bytes]) -> None:
    assert made_by(compress()) == made_by(compress(tune="looks")) == LOOKS
    assert made_by(compress(tune="psnr")) == made_by(compress(model="light-psnr")) == PSNR
    assert made_by(compress(psnr=20, effort=0)) == PSNR
    for asked in ({"tune": "looks"}, {"model": "light"}):
        assert made_by(compress(psnr=20, effort=0, **asked)) == LOOKS
    assert made_by(compress(size=2000, effort=0)) == LOOKS
    with pytest.raises(ValueError, match="not both"):
        compress(tune="psnr", model="light")


def test_a_differentiable_codec_takes_a_tune(two_models: Path) -> None:
    by_default, for_psnr = DifferentiableCodec(), DifferentiableCodec(tune="psnr")
    assert by_default.model.config.bits_back and not for_psnr.model.config.bits_back
    x = torch.from_numpy(ORIGINAL).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        for codec, default in ((by_default, 70), (for_psnr, 50)):
            assert torch.equal(codec(x)[1], codec(x, default)[1])
    with pytest.raises(ValueError, match="not both"):
        DifferentiableCodec("light", tune="psnr")


def test_evaluate_takes_a_tune(two_models: Path) -> None:
    Path("photos").mkdir()
    Image.fromarray(picture(170, 170)).save("photos/a.png")
    for tune, name in catalog.TUNES.items():
        command = ["evaluate", "photos", "--qualities", "40", "--json", "a.json", "-f", "--tune", tune]
        assert run(*command).exit_code == 0
        assert json.loads(Path("a.json").read_text())["name"] == f"vaecodec-{name}"
    assert run(*command, "-m", "light").exit_code == 2


@pytest.mark.slow
def test_a_codec_decodes_files_of_any_two_models_model(two_models: Path) -> None:
    data = {tune: vaecodec.compress(ORIGINAL, tune=tune, graphics=False) for tune in catalog.TUNES}
    for tune, others in (("looks", "psnr"), ("psnr", "looks")):
        codec = Codec(tune=tune)
        for content in data.values():
            expected = vaecodec.decompress(content, region=(3, 4, 20, 30))
            assert np.array_equal(codec.decompress(content, region=(3, 4, 20, 30)), expected)
        assert codec.codec_of(read_header(data[tune])) is codec
        other = codec.codec_of(read_header(data[others]))
        assert other.name == catalog.TUNES[others] and other is codec.codec_of(read_header(data[others]))
        with pytest.raises(ModelError, match=r"deadbeef.*not installed"):
            codec.decompress(with_fields(data[tune], model_id=b"\xde\xad\xbe\xef"))


@pytest.mark.slow
@pytest.mark.parametrize("model", [(), ("-m", LOOKS)], ids=["", "with a model"])
def test_files_of_both_are_compared(two_models: Path, model: tuple[str, ...]) -> None:
    for tune in catalog.TUNES:
        Path(f"{tune}.vae").write_bytes(vaecodec.compress(ORIGINAL, tune=tune, graphics=False))
    result = run("compare", "a.png", "looks.vae", "psnr.vae", "--html", "a.html", "-f", *model)
    assert result.exit_code == 0 and all(f"\n{tune}.vae" in result.stdout for tune in catalog.TUNES)


def test_find_model_names_what_there_is(two_models: Path) -> None:
    with pytest.raises(ModelError, match=r"not installed; there are: light \([0-9a-f]{8}\), light-psnr \("):
        catalog.find_model(read_header(pack()))


def test_models_say_how_to_ask_for_them(two_models: Path) -> None:
    first, second = run("models").stdout.splitlines()
    assert "--tune looks (default)" in first and "--tune psnr  " in second
    assert all("  distortion mse  " in line for line in (first, second))
