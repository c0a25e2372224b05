"""Types and values of all options, refused by name before anything is read, whatever kind of picture it is."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from conftest import TINY, picture

import vaecodec
from vaecodec.codec.codec import Codec
from vaecodec.inference import arguments
from vaecodec.plugins.ray_data import Compress

NUMBERS = ("quality", "size", "bpp", "psnr", "ssimulacra2")
WHOLE = ("effort", "coding", "max_pixels", "frame")
FLAGS = ("graphics", "keep_invisible")
WRONG_TYPES = [
    *((name, value) for name in NUMBERS for value in ("50", True, [50], 5j, b"5", np.ones(2))),
    *((name, value) for name in WHOLE for value in ("2", True, 2.0, np.float32(2))),
    *((name, value) for name in (*FLAGS, "lossless") for value in (None, 1, "yes")),
    ("effort", None), ("progress", 5), ("tune", 5), ("model", 5), ("model", b"light"),
    *(("region", value) for value in (5, "0,0,4,4", (0, 0, 4.0, 4), (0, 0, True, 4), {0: 1}, {1, 2, 3, 4})),
    *(("scale", value) for value in (None, "1/2", True)),
]  # fmt: skip
WRONG_VALUES = [
    *((name, value) for name in NUMBERS for value in (math.nan, math.inf, -math.inf, np.float64("nan"))),
    *(("quality", value) for value in (0, 0.99, 100.01, -5, 10**400)),
    ("size", 0), ("size", -1), ("size", 10**400), ("bpp", 0), ("bpp", -0.1), ("ssimulacra2", 100.1),
    ("effort", -1), ("effort", 10), ("coding", 2), ("coding", -1), ("max_pixels", 0), ("max_pixels", -1),
    ("tune", "ssim"), ("tune", ""),
    ("region", ()), ("region", (0, 0, 4)), ("region", [0, 0, 4, 4, 4]),
    *(("scale", value) for value in (0, 2, 0.3, -1, math.nan, math.inf)),
]  # fmt: skip
DECODING = {"region", "scale"}


@pytest.fixture(scope="module")
def sources(tiny) -> tuple[str | bytes, ...]:
    """A file that is not there, one without loss, and one of a model."""
    return "none.vae", vaecodec.compress(picture(8, 8), lossless=True), tiny.compress(picture(8, 8))


def entrances(tiny, sources: tuple[str | bytes, ...], name: str):
    """All functions that take an option, without a picture: what is wrong is told before one is looked for."""
    nothing = "nothing.png"
    for reads in (vaecodec.decompress, tiny.decompress):
        if name in DECODING | {"max_pixels"} | ({"model"} if reads is vaecodec.decompress else set()):
            yield from (lambda reads=reads, data=data, **given: reads(data, **given) for data in sources)
    if name in DECODING:
        return
    yield lambda **given: vaecodec.compress(nothing, **given)
    yield lambda **given: vaecodec.compress(nothing, **{"lossless": True} | given)
    if name in ("tune", "model"):
        yield Codec
    if name not in ("tune", "model", "frame", "lossless"):
        yield lambda **given: tiny.compress(nothing, **given)
    if name not in ("coding", "progress"):
        yield Compress


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES, ids=repr)
def test_wrong_types_are_type_errors(tiny, sources, name: str, value: object) -> None:
    calls = list(entrances(tiny, sources, name))
    assert len(calls) >= 3
    for call in calls:
        with pytest.raises(TypeError, match=f"^{name} .+ is not [^\n]+$"):
            call(**{name: value})


@pytest.mark.parametrize(("name", "value"), WRONG_VALUES, ids=repr)
def test_wrong_values_are_value_errors(tiny, sources, name: str, value: object) -> None:
    for call in entrances(tiny, sources, name):
        with pytest.raises(ValueError, match=f"^{name} .+ is not [^\n]+$"):
            call(**{name: value})


def test_every_option_is_in_the_tables() -> None:
    tried = {name for name, _ in WRONG_TYPES + WRONG_VALUES}
    assert tried == set(arguments.OPTIONS) - {"metadata", "threads", "precision"}


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"metadata": "exif"}, TypeError, "metadata 'exif' is not some of icc, exif"),
        ({"metadata": ["thumbnail"]}, ValueError, "metadata .* is not some of"),
        ({"threads": 0}, ValueError, "threads 0"),
        ({"qualty": 50}, TypeError, "no option 'qualty'"),
    ],
)
def test_what_only_ray_takes_is_looked_at_too(given: dict[str, object], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        Compress(**given)


def test_one_thing_can_be_asked_for(tiny) -> None:
    for call in (tiny.compress, vaecodec.compress):
        with pytest.raises(ValueError, match=r"ask for one of quality, .*, not for quality and bpp"):
            call("nothing.png", quality=50, bpp=1)
    with pytest.raises(ValueError, match="lossless, or for one of"):
        vaecodec.compress("nothing.png", lossless=True, psnr=30)
    with pytest.raises(ValueError, match="not both"):
        vaecodec.compress("nothing.png", lossless=True, model=TINY, tune="looks")
    with pytest.raises(vaecodec.ModelError, match="unknown model ''"):
        vaecodec.compress(picture(8, 8), model="")
    with pytest.raises(vaecodec.ImageError, match="no frame 0"):
        vaecodec.compress(picture(8, 8), lossless=True, frame=0)


def test_numbers_of_numpy_are_taken_as_pythons(tiny) -> None:
    whole, half = np.int64, np.float16
    data = tiny.compress(picture(24, 17), quality=half(50.5), effort=np.uint8(1), graphics=np.bool_(True))
    assert data == tiny.compress(picture(24, 17), quality=50.5, effort=1)
    assert len(tiny.compress(picture(24, 17), size=np.int32(1000))) <= 1000
    part = tiny.decompress(data, region=np.array([2, 4, 8, 6]), scale=half(0.5), max_pixels=whole(408))
    assert np.array_equal(part, tiny.decompress(data, region=(2, 4, 8, 6), scale=Fraction(1, 2)))


@pytest.mark.parametrize(("precision", "error"), [(16, TypeError), ("float16", ValueError)])
def test_precisions_have_names(precision: object, error: type) -> None:
    with pytest.raises(error, match=r"^precision .* is not"):
        Codec(TINY, precision=precision)
