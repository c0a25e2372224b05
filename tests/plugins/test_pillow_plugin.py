"""`.vae` through Pillow, with the small model standing in for the shipped one."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, picture
from PIL import Image, ImageCms, ImageFile
from support import assert_no_torch, in_mode

import vaecodec
from vaecodec.format import catalog


@pytest.fixture(autouse=True)
def _tiny_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "FOLDERS", (TINY.parent,))
    vaecodec.register_pillow()


def saved(image: Image.Image, **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, "VAE", model=TINY, **options)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "CMYK", "1", "P"])
def test_opens_lazily_and_loads_what_decompress_gives(mode: str) -> None:
    buffer = saved(in_mode(mode, 50, 30), quality=80)
    image = Image.open(buffer)
    expected = vaecodec.decompress(buffer.getvalue())
    assert (image.format, image.size, image.mode) == ("VAE", (50, 30), expected.mode)
    assert np.array_equal(np.asarray(image), np.asarray(expected))
    assert image.mode == expected.mode


def test_options_and_metadata_reach_the_encoder(tmp_path) -> None:
    image = Image.fromarray(picture(64, 64))
    exif = Image.Exif()
    exif[0x010E] = "a description"
    small, large = (saved(image, quality=q, graphics=False).getbuffer().nbytes for q in (5, 95))
    assert small < large
    assert saved(image, size=large).getbuffer().nbytes <= large
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "x.vae", model=TINY, graphics=False, exif=exif, icc_profile=profile)
    again = Image.open(tmp_path / "x.vae")
    assert again.getexif()[0x010E] == "a description"
    assert (again.info["icc_profile"], again.info["quality"]) == (profile, pytest.approx(50, abs=0.01))
    again.load()
    assert (again.info["icc_profile"], again.getexif()[0x010E]) == (profile, "a description")


def test_thumbnails_and_conversions_work() -> None:
    image = Image.open(saved(Image.fromarray(picture(96, 64))))
    image.thumbnail((32, 32))
    assert image.size == (32, 21)
    assert Image.open(saved(Image.fromarray(picture(20, 20)))).convert("L").mode == "L"


def test_damage_is_an_oserror_as_pillow_has_it() -> None:
    data = saved(Image.fromarray(picture(40, 40))).getvalue()
    with pytest.raises(OSError, match="payload"):
        Image.open(io.BytesIO(data[:-4])).load()
    with pytest.raises(OSError, match="checksum"):
        Image.open(io.BytesIO(data[:20] + b"\xff" + data[21:]))
    with pytest.raises(OSError, match="not supported"):
        saved(Image.new("LAB", (8, 8)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of the small model, with a chunk of metadata."""
    (tmp_path / "x.vae").write_bytes(saved(Image.fromarray(picture(40, 30)), graphics=False, dpi=(300, 300)).getvalue())
    return tmp_path / "x.vae"


def test_threads_share_a_lazy_image(path: Path) -> None:
    expected = np.asarray(Image.open(path))
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            image = Image.open(path)
            assert all(np.array_equal(shown, expected) for shown in pool.map(np.asarray, [image] * 4))


def test_verify_passes_what_is_sound_and_closes_it(path: Path) -> None:
    image = Image.open(path)
    file = image.fp
    image.verify()
    assert (file.closed, image.fp) == (True, None)
    loaded = Image.open(path)
    loaded.load()
    for again in (image.verify, loaded.verify):
        with pytest.raises(RuntimeError, match="directly after open"):
            again()
    with pytest.raises(ValueError, match="closed"):
        image.load()
    with open(path, "rb") as given:
        Image.open(given).verify()
        assert not given.closed


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "payload is damaged"),
        (lambda data: data[:-9], "ends within the payload"),
        (lambda data: data + b"more", "4 bytes follow"),
    ],
)
def test_verify_finds_damage(path: Path, damage, says: str) -> None:
    path.write_bytes(damage(path.read_bytes()))
    image = Image.open(path)
    file = image.fp
    with pytest.raises(OSError, match=says):
        image.verify()
    assert file.closed


def test_verify_finds_damage_in_what_is_held_without_loss() -> None:
    data = bytearray(saved(Image.fromarray(picture(40, 30)), lossless=True).getvalue())
    image = Image.open(io.BytesIO(data))
    data[-1] ^= 1
    with pytest.raises(OSError, match="chunk 0 is damaged"):
        Image.open(io.BytesIO(data))
    image.verify()


def test_verify_imports_no_torch(path: Path) -> None:
    code = "import sys, vaecodec.pillow_plugin\nfrom PIL import Image\nImage.open(sys.argv[1]).verify()"
    assert_no_torch(code, str(path))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"save_all": True}, ValueError, "holds one picture"),
        ({"save_all": True, "append_images": [Image.new("L", (4, 4))]}, ValueError, "holds one picture"),
        ({"append_images": [Image.new("L", (4, 4))]}, ValueError, "holds one picture"),
        ({"qualty": 50}, TypeError, "no option 'qualty' for .vae files; there are quality, .*max_pixels.*icc_profile"),
        ({"frame": 1}, TypeError, "no option 'frame'"),
        ({"quality": "high"}, TypeError, "quality 'high' is not"),
        ({"quality": 0}, ValueError, "quality 0.0 is not"),
        ({"max_pixels": 99, "lossless": True}, OSError, "more than the limit of 99"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_no_file(tmp_path, options, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        Image.fromarray(picture(24, 16)).save(tmp_path / "x.vae", **options)
    assert not (tmp_path / "x.vae").exists()


def test_options_of_other_formats_are_let_pass() -> None:
    image = Image.fromarray(picture(24, 16))
    plain = saved(image).getvalue()
    others = {"optimize": True, "progressive": True, "subsampling": 0, "method": 6, "compress_level": 9, "speed": 2}
    assert saved(image, append_images=[], **others).getvalue() == plain
    image.encoderinfo = {"duration": 40}  # on the picture, where all formats find it
    assert saved(image).getvalue() == plain


def test_a_lazy_image_may_be_saved_over_its_own_file(path: Path) -> None:
    shown = np.asarray(Image.open(path))
    Image.open(path).save(path, lossless=True)
    assert np.array_equal(Image.open(path), shown)


def test_it_is_as_lazy_and_as_closed_as_a_png(path: Path) -> None:
    expected = np.asarray(Image.open(path))
    Image.fromarray(expected).save(path.with_suffix(".png"))
    for name in (path, path.with_suffix(".png")):
        with Image.open(name, formats=[name.suffix[1:].upper()]) as image:
            file = image.fp
            image.seek(0)
            assert image.tell() == 0 and image.tile
            with pytest.raises(EOFError):
                image.seek(1)
            image.load()
        assert file.closed and image.fp is None and not image.tile
        for other in (copy.copy(image), copy.deepcopy(image), pickle.loads(pickle.dumps(Image.open(name))), image):
            assert np.array_equal(other, expected)
        image.putpixel((0, 0), (1, 2, 3))
        assert image.getpixel((0, 0)) == (1, 2, 3) and not image.readonly
        image.close()
        closed = Image.open(name)
        closed.close()
        for each in (image, closed):
            with pytest.raises(ValueError, match="closed image"):
                each.load()
        later = Image.open(name)
        name.unlink()
        assert np.array_equal(later, expected)


class Stream(io.BytesIO):
    """A file that cannot go back."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation("seek")

    tell = seek


def test_streams_and_pieces_are_read_and_streams_written(path: Path) -> None:
    expected, data = np.asarray(Image.open(path)), path.read_bytes()
    assert np.array_equal(Image.open(Stream(data)), expected)
    Image.fromarray(picture(40, 30)).save(stream := Stream(), "VAE", model=TINY, graphics=False, dpi=(300, 300))
    assert stream.getvalue() == data
    parser = ImageFile.Parser()
    for start in range(0, len(data), 50):
        parser.feed(data[start : start + 50])
    assert np.array_equal(parser.close(), expected)


@pytest.mark.parametrize("length", [5, 20, 40])
def test_files_that_end_too_soon_do_not_open_and_are_closed(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(OSError, match="ends"):
            Image.open(path)


def test_other_libraries_read_vae_through_pillow(tmp_path) -> None:
    image = Image.fromarray(picture(48, 32))
    image.save(tmp_path / "x.vae", model=TINY)
    expected = np.asarray(Image.open(tmp_path / "x.vae"))
    imageio = pytest.importorskip("imageio.v3")
    assert np.array_equal(imageio.imread(tmp_path / "x.vae", plugin="pillow"), expected)
    io_module = pytest.importorskip("skimage.io")
    assert np.array_equal(io_module.imread(str(tmp_path / "x.vae")), expected)
    matplotlib = pytest.importorskip("matplotlib.image")
    assert np.array_equal(matplotlib.imread(tmp_path / "x.vae"), expected)


def test_registering_and_opening_import_no_torch(tmp_path) -> None:
    (tmp_path / "x.vae").write_bytes(saved(Image.fromarray(picture(24, 16))).getvalue())
    code = "import sys, vaecodec.pillow_plugin\nfrom PIL import Image\nassert Image.open(sys.argv[1]).size == (24, 16)"
    assert_no_torch(code, str(tmp_path / "x.vae"))
