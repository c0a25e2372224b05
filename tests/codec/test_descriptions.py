"""How pictures are described that are drawn, in whole or in part, or transparent: by the shipped model, small ones."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from unittest import mock

import drawings
import numpy as np
import pytest
from drawings import photo
from PIL import Image

from vaecodec.codec import descriptions
from vaecodec.codec.codec import Codec
from vaecodec.codec.descriptions import Options, PictureDescriber
from vaecodec.errors import TargetError
from vaecodec.format.container import EXACT, SOFT_ALPHA, unpack
from vaecodec.objective.distortion import ssimulacra2
from vaecodec.pictures import exact, images, lossless
from vaecodec.pictures.metrics import psnr_db

MORE_THAN_WEBP = 60
SIZES: dict[tuple, int] = {}
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def squares() -> Codec:
    return Codec("light-psnr")


@pytest.fixture(scope="module")
def mixed() -> Image.Image:
    """A page of 6 by 4 tiles, in seven of which a photograph lies."""
    return drawings.page_with_photo(384, 256)


def webp_bytes(image: Image.Image) -> int:
    """Of the smallest lossless file; it takes its time."""
    if (key := (image.mode, image.size, image.tobytes())) not in SIZES:
        image.save(buffer := io.BytesIO(), "WEBP", lossless=True, quality=100, method=6)
        SIZES[key] = buffer.tell()
    return SIZES[key]


def seen(image: Image.Image, ground: str) -> np.ndarray:
    below = Image.new("RGBA", image.size, ground)
    return np.asarray(Image.alpha_composite(below, image.convert("RGBA")).convert("RGB"))


def score(image: Image.Image, again: Image.Image) -> float:
    """SSIMULACRA2 on the worse of black and white."""
    return min(ssimulacra2(seen(image, ground), seen(again, ground)) for ground in ("black", "white"))


def same_to_see(image: Image.Image, again: Image.Image) -> bool:
    return all(np.array_equal(seen(image, ground), seen(again, ground)) for ground in ("black", "white"))


def held(data: bytes) -> exact.Exact:
    found = exact.of_file(unpack(data))
    assert found
    return found


# --- photographs do not notice


@contextlib.contextmanager
def nothing_lossless() -> Iterator[None]:
    """Within it, to hold anything without loss fails the test."""
    refuse = mock.Mock(side_effect=AssertionError("something was packed without loss"))
    with (
        mock.patch.object(exact, "pack_all", refuse),
        mock.patch.object(exact, "pack_tiles", refuse),
        mock.patch.object(lossless, "pack", refuse),
    ):
        yield


SLOW = ("grey text", "one colour")


@pytest.mark.parametrize(
    ("name", "effort"),
    [("astronaut", 0), ("coffee", 1), pytest.param("chelsea", 2, marks=slow), pytest.param("rocket", 2, marks=slow)],
)
def test_a_photograph_takes_no_lossless_work_and_the_same_file(looks, name: str, effort: int) -> None:
    rgb = photo(name, 176, 112)
    for quality in (1, 95) if effort == 0 else (50,):
        with nothing_lossless():
            data = looks.compress(rgb, quality=quality, effort=effort)
        assert data == looks.compress(rgb, quality=quality, effort=effort, graphics=False)


@pytest.mark.parametrize("effort", [0, pytest.param(1, marks=slow), pytest.param(2, marks=slow)])
def test_nor_with_the_model_for_psnr(squares, effort: int) -> None:
    rgb = photo("astronaut", 176, 112)
    with nothing_lossless():
        data = squares.compress(rgb, effort=effort)
    assert data == squares.compress(rgb, effort=effort, graphics=False)


@slow
@pytest.mark.parametrize("asked", [{"size": 900}, {"psnr": 26}, {"ssimulacra2": 50}], ids=str)
def test_nor_with_targets(looks, asked: dict) -> None:
    rgb = photo("astronaut", 176, 112)
    with nothing_lossless():
        data = looks.compress(rgb, effort=0, **asked)
    assert data == looks.compress(rgb, effort=0, graphics=False, **asked)


# --- what is drawn


DRAWN = {
    "text": drawings.page(200, 120),
    "checks": drawings.checks(32, 32),
    "icon": drawings.sprite(),
    "one colour": Image.new("RGB", (300, 200), (200, 30, 90)),
    "grey text": drawings.page(200, 120).convert("L"),
    "black or white": drawings.page(200, 120).convert("1"),
}


@pytest.mark.parametrize(
    ("name", "effort"),
    [
        *((name, 0) for name in DRAWN if name not in SLOW),
        *(pytest.param(name, 0, marks=slow) for name in SLOW),
        ("icon", 2),
        ("icon", 1),
    ],
)
def test_what_is_drawn_is_exact_and_no_larger_than_a_lossless_file(looks, name: str, effort: int) -> None:
    image = DRAWN[name]
    data = looks.compress(image, effort=effort)
    assert len(data) <= webp_bytes(image) + MORE_THAN_WEBP
    again = looks.decompress(data)
    assert again.mode == image.mode and np.array_equal(again, image)


@slow
@pytest.mark.parametrize("quality", [50, 70, 90])
def test_it_is_so_at_any_usual_quality_and_for_squared_error(looks, squares, quality: float) -> None:
    image = drawings.page(160, 100)
    for codec in (looks, squares):
        data = codec.compress(image, quality=quality, effort=1)
        assert held(data).share == 1 and len(data) <= webp_bytes(image) + MORE_THAN_WEBP


@pytest.mark.parametrize("effort", [0, pytest.param(2, marks=slow)])
def test_of_a_page_with_a_photograph_the_text_is_exact(looks, mixed, effort: int) -> None:
    data = looks.compress(mixed, effort=effort)
    again, part = np.asarray(looks.decompress(data)), held(data)
    there = exact.as_pixels(part.mask, again.shape)
    assert part.mask[0].all() and part.mask[:, :2].all() and not part.mask[1:3, 2:5].any()
    assert np.array_equal(again[there], np.asarray(mixed)[there])
    assert ssimulacra2(np.asarray(mixed)[64:192, 128:320], again[64:192, 128:320]) > 55
    alone = looks.compress(mixed, effort=effort, graphics=False)
    assert len(data) < 0.7 * len(alone)
    assert held_objective(looks, mixed, data) < held_objective(looks, mixed, alone)


def held_objective(codec: Codec, image: Image.Image, data: bytes) -> float:
    d = codec.model.distortion.of_pictures(np.asarray(image), np.asarray(codec.decompress(data)))
    return codec.encoder.trade(d, len(data), image.width * image.height, unpack(data).header.quality)


@slow
@pytest.mark.parametrize("quality", [10, 60, 90])
def test_what_is_taken_has_the_least_objective(looks, mixed, quality: float) -> None:
    """But all exact may be `EXACT_BONUS` times as dear, a part less so, and what is illegible costs more."""
    describer, code = PictureDescriber(looks, images.planes_of(mixed), Options(0)), looks.stored.qualities.code(quality)
    mask = describer.proposal.mask
    model, tiles, whole = describer._described(code, 0), describer._described(code, 0, mask), describer.whole(code)
    costs = {made.data: held_objective(looks, mixed, made.data) for made in (model, tiles, whole)}
    costs[whole.data] /= descriptions.EXACT_BONUS
    costs[tiles.data] /= 1 + (descriptions.EXACT_BONUS - 1) * mask.mean()
    for made in (model, tiles):
        if describer._looks(made) < descriptions.LEGIBLE:
            costs[made.data] *= descriptions.ILLEGIBLE_COST
        if describer._bad(made, code).any():
            del costs[made.data]
    assert describer.at(code).data == min(costs, key=costs.get)


@slow
@pytest.mark.parametrize(("quality", "most"), [(50, 1.25), (70, 1.15), (90, 1.08)])
def test_tiles_leave_no_seams(looks, quality: float, most: float) -> None:
    """Steps between neighbours across the edge of the mask are about those of the picture, through text too."""
    image = drawings.page(512, 384)
    image.paste(Image.fromarray(photo("coffee", 210, 140)), (170, 150))
    describer, code = PictureDescriber(looks, images.planes_of(image), Options(0)), looks.stored.qualities.code(quality)
    mask, rgb = describer.proposal.mask, np.asarray(image)
    shown, _ = describer._described(code, 0, mask).decoded
    there, steps = exact.as_pixels(mask, rgb.shape), []
    for picture in (rgb, shown):
        across = [np.abs(np.diff(picture.astype(int), axis=axis))[np.diff(there, axis=axis)] for axis in (0, 1)]
        steps.append(np.concatenate(across).mean())
    assert steps[0] > 10 and steps[1] <= most * steps[0]


def test_what_comes_out_very_badly_is_made_exact(looks) -> None:
    """A tile of black and white noise in a photograph: nothing about it is drawn."""
    rgb = photo("coffee", 256, 192).copy()
    rgb[64:128, 64:128] = np.where(np.random.default_rng(0).random((64, 64, 1)) < 0.5, 0, 255)
    data = looks.compress(rgb, quality=20, effort=1)
    assert np.argwhere(held(data).mask).tolist() == [[1, 1]]
    assert np.array_equal(np.asarray(looks.decompress(data))[64:128, 64:128], rgb[64:128, 64:128])
    assert EXACT not in unpack(looks.compress(rgb, quality=20, effort=1, graphics=False)).chunks
    with mock.patch.object(descriptions, "MOST_ERROR", 100):
        assert EXACT not in unpack(looks.compress(rgb, quality=20, effort=1)).chunks


def test_where_all_comes_out_badly_only_what_is_small_is_exact(looks, monkeypatch) -> None:
    monkeypatch.setattr(descriptions, "MOST_ERROR", 0.001)
    large, small = photo("coffee", 192, 128), photo("coffee", 64, 64)
    assert EXACT not in unpack(looks.compress(large, quality=20, effort=1)).chunks
    assert held(looks.compress(small, quality=20, effort=1)).share == 1


# --- targets


@slow
def test_what_fits_a_size_without_loss_is_exact(looks, mixed) -> None:
    page = drawings.page(160, 100)
    smallest = len(looks.compress(page, effort=0))
    for size in (smallest, smallest + 1, 100_000):
        assert len(looks.compress(page, size=size, effort=0)) == smallest
    assert len(looks.compress(page, bpp=8 * (smallest + 1) / 16_000, effort=0)) == smallest
    assert len(looks.compress(page, size=smallest - 1, effort=0)) < smallest
    assert held(looks.compress(mixed, size=10**6, effort=0)).share == 1


@slow
def test_more_bytes_give_no_worse_picture(looks, mixed) -> None:
    """Of a page with a photograph all three descriptions come, one after the other."""
    rgb, scores, shares = np.asarray(mixed), [], []
    for size in (3600, 6000, 14_000, 25_000, 60_000):
        data = looks.compress(mixed, size=size, effort=0)
        assert len(data) <= size
        scores.append(ssimulacra2(rgb, np.asarray(looks.decompress(data))))
        shares.append(exact.share(unpack(data)))
    assert scores == sorted(scores) and shares == sorted(shares)
    assert shares[0] == 0 < shares[2] < shares[-1] == 1 and scores[-1] == 100


@slow
@pytest.mark.parametrize(
    ("asked", "least", "share"), [("psnr", 24, 0.5), ("psnr", 60, 1), ("ssimulacra2", 60, 0.5), ("ssimulacra2", 99, 1)]
)
def test_goals_of_quality_are_reached(looks, mixed, asked: str, least: float, share: float) -> None:
    """By the model with tiles where that is enough, and else without loss, as for all that is drawn."""
    measure = psnr_db if asked == "psnr" else ssimulacra2
    for image, most in ((mixed, share), (drawings.page(160, 100), 1)):
        data = looks.compress(image, effort=0, **{asked: least})
        assert measure(np.asarray(image), np.asarray(looks.decompress(data))) >= least
        assert len(data) <= most * webp_bytes(image) + MORE_THAN_WEBP


def test_what_a_photograph_cannot_reach_is_said(looks) -> None:
    rgb = photo("coffee", 176, 112)
    for asked in ({"ssimulacra2": 99.5}, {"psnr": 80}, {"size": 40}):
        with pytest.raises(TargetError):
            looks.compress(rgb, effort=0, **asked)
    with pytest.raises(TargetError):
        looks.compress(drawings.page(100, 80), effort=0, size=50)


# --- alpha


@slow
@pytest.mark.parametrize("effort", [0, 2])
def test_what_nobody_sees_costs_nothing(looks, effort: int) -> None:
    noise, clean = (drawings.cut_out(noise=noise) for noise in (True, False))
    sizes = [len(looks.compress(image, effort=effort)) for image in (noise, clean)]
    assert sizes[0] <= 1.1 * sizes[1]
    assert len(looks.compress(noise, effort=effort, keep_invisible=True)) > 4 * sizes[0]


@pytest.mark.parametrize(("mode", "quality"), [pytest.param("RGBA", 70, marks=slow), ("PA", 90)])
def test_silhouettes_are_no_larger_than_a_lossless_file(looks, mode: str, quality: float) -> None:
    image = drawings.silhouette(128).convert(mode)
    data = looks.compress(image, quality=quality, effort=1)
    assert len(data) <= webp_bytes(drawings.silhouette(128)) + MORE_THAN_WEBP
    again = looks.decompress(data)
    assert again.mode == {"PA": "RGBA"}.get(mode, mode)
    assert score(image, again) > quality


def test_soft_alpha_is_coded_with_loss(looks) -> None:
    image = drawings.soft()
    data = looks.compress(image, effort=1)
    assert unpack(data).chunks[SOFT_ALPHA][0] == 1
    assert len(data) < 0.3 * len(looks.compress(image, effort=1, keep_invisible=True))
    assert score(image, looks.decompress(data)) > 60
    alpha, again = (np.asarray(picture.getchannel("A")).astype(int) for picture in (image, looks.decompress(data)))
    assert np.abs(alpha - again).mean() < 6 and not again[:8, :8].any() and (again[75:85, 110:130] == 255).all()


@pytest.mark.parametrize("options", [{"quality": 100}, {"keep_invisible": True}], ids=str)
def test_alpha_is_exact_where_that_is_asked_for(looks, options: dict) -> None:
    for image in (drawings.soft(), drawings.soft().convert("LA")):
        again = looks.decompress(looks.compress(image, effort=0, **options))
        assert again.mode == image.mode and np.array_equal(again.getchannel("A"), image.getchannel("A"))


@slow
def test_alpha_that_costs_little_is_exact(looks) -> None:
    image = drawings.cut_out()
    again = looks.decompress(looks.compress(image, quality=30, effort=1))
    assert np.array_equal(again.getchannel("A"), image.getchannel("A"))


@pytest.mark.parametrize("mode", ["RGBA", pytest.param("LA", marks=slow), pytest.param("PA", marks=slow)])
def test_colours_that_nobody_sees_come_back_where_that_is_asked_for(looks, mode: str) -> None:
    """Of a drawing that is held without loss; else only what is seen does."""
    pixels = np.array(drawings.page(160, 100).convert("RGBA"))
    pixels[:, 60:90, 3] = 0
    image = Image.fromarray(pixels).convert(mode)
    expected = np.asarray(image.convert("RGBA") if mode == "PA" else image)
    kept, left = (looks.decompress(looks.compress(image, effort=0, keep_invisible=keep)) for keep in (True, False))
    assert np.array_equal(kept, expected) and same_to_see(left, image)
    assert not np.array_equal(left, expected)


@slow
def test_drawn_tiles_and_alpha_go_together(looks, mixed) -> None:
    """A page with a photograph that fades away to the right, with grain: exact tiles, and alpha with loss."""
    image, ramp = mixed.copy(), np.clip(255 - 3 * (np.arange(384) - 260), 0, 255)[None].repeat(256, 0)
    grain = np.random.default_rng(0).normal(0, 3, ramp.shape) * (ramp % 255 > 0)
    image.putalpha(Image.fromarray((ramp + grain).clip(0, 255).astype(np.uint8)))
    data = looks.compress(image, effort=1)
    assert 0 < held(data).share < 1 and unpack(data).chunks[SOFT_ALPHA][0] == 1
    there = exact.as_pixels(held(data).mask, (256, 384))
    again = np.asarray(looks.decompress(data))
    assert np.array_equal(again[there][:, :3], np.asarray(image)[there][:, :3])
