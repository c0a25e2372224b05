"""What pictures and `.vae` files are read from: paths, binary files, arrays and pictures, told apart everywhere."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image

import vaecodec
from vaecodec.errors import ImageError, NotAVaeFile

PIXELS = picture(33, 20)


def png() -> bytes:
    Image.fromarray(PIXELS).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


class Counting(io.BytesIO):
    """A file that knows how many bytes have been read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


class OnceOnly:
    """A binary file that cannot go back, and hands out little at a time, as a socket may."""

    def __init__(self, data: bytes):
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size if size < 0 else min(size, 7))


class Somewhere(os.PathLike):
    """A path of another make."""

    def __init__(self, path: Path):
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


def at_its_end(data: bytes) -> io.BytesIO:
    file = io.BytesIO(data)
    file.read()
    return file


def test_pictures_from_anywhere_give_the_same_file(tiny, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    sources = [PIXELS, Image.fromarray(PIXELS), path, str(path), Somewhere(path), at_its_end(png())]
    with open(path, "rb") as file:
        assert len({tiny.compress(source, effort=0) for source in (*sources, file)}) == 1
        exact = {vaecodec.compress(source, lossless=True) for source in (*sources, file)}
        assert len(exact) == 1


def test_vae_files_from_anywhere_are_the_same(tiny, tmp_path: Path) -> None:
    path = tmp_path / "a.vae"
    for data in (tiny.compress(PIXELS), vaecodec.compress(PIXELS, lossless=True)):
        path.write_bytes(data)
        header, shown = vaecodec.read_info(data), np.asarray(tiny.decompress(data))
        with open(path, "rb") as file:
            for source in (bytearray(data), memoryview(data), path, str(path), Somewhere(path), at_its_end(data), file):
                assert vaecodec.read_info(source) == header
                assert np.array_equal(tiny.decompress(source), shown)
        assert vaecodec.read_info(OnceOnly(data)) == header
        assert np.array_equal(tiny.decompress(OnceOnly(data)), shown)
    assert np.array_equal(vaecodec.decompress(str(path)), PIXELS)


WRONG = [None, 5, 1.5, ["a.png"], {}, io.StringIO("text"), object()]


@pytest.mark.parametrize("source", [*WRONG, b"a.png", bytearray(4), memoryview(b"")], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("lossless", [False, True])
def test_what_is_no_picture_is_a_type_error(tiny, source: object, lossless: bool) -> None:
    with pytest.raises(
        TypeError, match=r"path, a binary file, a Pillow image or a uint8 array is needed, not ."
    ) as told:
        vaecodec.compress(source, lossless=lossless)
    assert ("io.BytesIO" in str(told.value)) == isinstance(source, (bytes, bytearray, memoryview))
    with pytest.raises(TypeError, match="is needed"):
        tiny.compress(source)


@pytest.mark.parametrize("source", [*WRONG, PIXELS, Image.new("L", (4, 4))], ids=lambda v: type(v).__name__)
def test_what_is_no_vae_file_is_a_type_error(tiny, source: object) -> None:
    for reads in (vaecodec.decompress, tiny.decompress, vaecodec.read_info):
        with pytest.raises(TypeError, match=r"bytes of a \.vae file, its path or a binary file is needed, not ."):
            reads(source)


def test_files_opened_as_text_are_called_so(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    with open(tmp_path / "a") as file:
        for reads in (vaecodec.compress, vaecodec.decompress, vaecodec.read_info):
            with pytest.raises(TypeError, match="not a file opened as text"):
                reads(file)


def test_paths_at_which_nothing_lies_are_named(tiny, tmp_path: Path) -> None:
    for reads in (vaecodec.decompress, tiny.decompress, vaecodec.read_info):
        with pytest.raises(FileNotFoundError, match=r"none\.vae"):
            reads(tmp_path / "none.vae")
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        tiny.compress(str(tmp_path / "none.png"))


def test_no_more_is_read_than_is_needed(tiny) -> None:
    file = Counting(tiny.compress(PIXELS))
    vaecodec.read_info(file)
    assert file.count == 36
    for reads in (vaecodec.decompress, tiny.decompress):
        other = Counting(bytes(10**6))
        with pytest.raises(NotAVaeFile):
            reads(other)
        assert other.count == 36
