"""`.vae` through Pillow, with the small model standing in for the shipped one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from conftest import TINY, picture
from PIL import Image, ImageCms
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
