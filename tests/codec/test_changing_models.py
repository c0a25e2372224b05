"""Model files that change under a running process, and many threads that ask for one at first."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, TINY_BITS_BACK, picture
from PIL import Image
from support import ROOT, run_python

import vaecodec
from vaecodec.baselines.pca import PCACodec
from vaecodec.codec import api, kinds
from vaecodec.codec.codec import Codec
from vaecodec.codec.kinds import Codecs
from vaecodec.digits import weights as digits
from vaecodec.errors import ModelError
from vaecodec.format.catalog import read_model_info

PIXELS = picture(40, 30)


@pytest.fixture
def path(tmp_path: Path, monkeypatch) -> Path:
    """A model that may change, and a process that has loaded none."""
    monkeypatch.setattr(api, "codecs", Codecs())
    return Path(shutil.copy(TINY, tmp_path / "model.safetensors"))


def made_by(data: bytes) -> bytes:
    return vaecodec.read_info(data).model_id


def cut(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """In place, as `cp` does, which a mapped file would show."""
    with open(path, "r+b") as file:
        file.write(b"\xff" * path.stat().st_size)


@pytest.mark.parametrize("harm", [cut, overwrite, Path.unlink])
def test_what_is_loaded_stays_as_it_is(path: Path, harm, tmp_path: Path) -> None:
    codec = Codec(path)
    data = codec.compress(PIXELS, graphics=False)
    shown = np.asarray(codec.decompress(data))
    small = Path(shutil.copy(ROOT / "pretrained" / "digits" / "map.safetensors", tmp_path))
    fitted = Path(shutil.copy(ROOT / "pretrained" / "baselines" / "pca8.safetensors", tmp_path))
    model, pca = digits.load(small), PCACodec.load(fitted)
    expected = [tensor.clone() for tensor in model.tensors.values()], pca.compress(PIXELS, 50)
    for file in (path, small, fitted):
        harm(file)
    assert codec.compress(PIXELS, graphics=False) == data
    assert np.array_equal(codec.decompress(data), shown)
    assert all((a == b).all() for a, b in zip(expected[0], model.tensors.values(), strict=True))
    assert pca.compress(PIXELS, 50) == expected[1]


@pytest.mark.parametrize("harm", [cut, overwrite])
def test_a_process_goes_on_with_what_it_has_loaded(path: Path, harm) -> None:
    data = vaecodec.compress(PIXELS, model=path, graphics=False)
    harm(path)
    assert vaecodec.compress(PIXELS, model=path, graphics=False) == data
    assert vaecodec.decompress(data, model=path).size == (40, 30)
    with pytest.raises(ModelError, match="not a model"):
        Codecs()(path)


def test_another_model_in_a_files_place_is_loaded(path: Path) -> None:
    before = vaecodec.compress(PIXELS, model=path, graphics=False)
    shutil.copy(TINY_BITS_BACK, path)
    after = vaecodec.compress(PIXELS, model=path, graphics=False)
    assert (made_by(before), made_by(after)) == tuple(read_model_info(p).model_id for p in (TINY, TINY_BITS_BACK))
    for data, model in ((before, TINY), (after, TINY_BITS_BACK)):
        assert np.array_equal(vaecodec.decompress(data, model=model), Codec(model).decompress(data))
    assert api.codecs(path) is api.codecs(path)


def test_files_carry_the_id_of_what_made_them(path: Path, monkeypatch) -> None:
    """The model is another one between what is read of it first and its weights."""

    def swapped(name: str | Path) -> type:
        assert read_model_info(Path(name)).model_id == read_model_info(TINY).model_id
        shutil.copy(TINY_BITS_BACK, name)
        return Codec

    monkeypatch.setattr(kinds, "codec_class", swapped)
    data = vaecodec.compress(PIXELS, model=path, graphics=False)
    assert data == Codec(TINY_BITS_BACK).compress(PIXELS, graphics=False)
    assert made_by(data) == read_model_info(TINY_BITS_BACK).model_id


FIRST_USE = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import vaecodec
from PIL import Image
start = threading.Barrier(8)
def work(i):
    start.wait()
    options = {"lossless": True} if i % 4 == 3 else {"model": sys.argv[1], "graphics": False, "effort": 0}
    return vaecodec.compress(sys.argv[2], **options)
with ThreadPoolExecutor(8) as pool:
    files = list(pool.map(work, range(8)))
assert len({*files[0:3], *files[4:7]}) == 1 and files[3] == files[7]
assert Image.MAX_IMAGE_PIXELS == 2**30 // 12
print(files[0].hex())
"""


@pytest.mark.slow
def test_many_threads_may_come_first(tiny, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.webp", lossless=True)
    result = run_python(FIRST_USE, str(TINY), str(tmp_path / "a.webp"), text=True)
    assert result.returncode == 0, result.stderr
    assert (result.stdout.strip(), result.stderr) == (tiny.compress(PIXELS, effort=0).hex(), "")
