"""d of the objective: SSIMULACRA2's distance against the package, tiles, gradients; what pictures of any size give."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image

from vaecodec.errors import ModelError
from vaecodec.objective import blur, distortion, ssimulacra2
from vaecodec.objective.distortion import DISTORTIONS, distortion_of
from vaecodec.pictures.metrics import mse

LOOKS = DISTORTIONS["looks"]


def as_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255


def photo(name: str, width: int, height: int, *, grey: bool = False) -> np.ndarray:
    import skimage.data

    rgb = getattr(skimage.data, name)()[20 : 20 + height, 30 : 30 + width, :3]
    return np.repeat(rgb.mean(2, keepdims=True).astype(np.uint8), 3, 2) if grey else np.ascontiguousarray(rgb)


PAIRS = [
    (name, size, grey, quality)
    for name, size, grey in (
        ("astronaut", (256, 256), False),
        ("coffee", (301, 257), False),
        ("chelsea", (233, 227), False),
        ("astronaut", (225, 240), True),
        ("coffee", (263, 225), True),
        ("rocket", (257, 259), False),
    )
    for quality in (12, 40, 75, 94)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "grey", "quality"), PAIRS)
def test_ssimulacra2_is_that_of_the_package(name: str, size: tuple[int, int], grey: bool, quality: int) -> None:
    from vaecodec.pictures.metrics import ssimulacra2

    original = photo(name, *size, grey=grey)
    decoded = as_jpeg(original, quality)
    assert distortion.ssimulacra2(original, decoded) == pytest.approx(ssimulacra2(original, decoded), abs=0.1)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 16), (130, 200), (224, 300)])
def test_small_pictures_have_a_distance(size: tuple[int, int]) -> None:
    original = picture(*size)
    decoded = np.clip(original.astype(int) + np.random.default_rng(0).integers(-9, 10, original.shape), 0, 255)
    decoded = decoded.astype(np.uint8)
    assert LOOKS.of_pictures(original, original) < 1e-9 and distortion.ssimulacra2(original, original) > 99.9
    assert LOOKS.of_pictures(original, decoded) > 1e-5
    assert distortion.ssimulacra2(original, decoded) < 99.5
    assert float(LOOKS(tensor(decoded), tensor(original))[0]) == pytest.approx(
        LOOKS.of_pictures(original, decoded), rel=1e-4
    )


def test_an_icon_is_as_distant_as_its_mirrored_continuation() -> None:
    original = picture(40, 30)
    decoded = as_jpeg(original, 40)
    larger = [np.pad(v, ((0, 226), (0, 216), (0, 0)), "symmetric") for v in (original, decoded)]
    structural = lambda a, b: LOOKS.of_pictures(a, b) - (1 - LOOKS.structure_share) * mse(a, b) / 255**2
    assert structural(original, decoded) == pytest.approx(structural(*larger), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("as_measured", [False, True])
def test_tiles_add_up_to_the_whole(monkeypatch, as_measured: bool) -> None:
    original = picture(517, 389)
    decoded = as_jpeg(original, 30)
    whole = distortion.PictureStructure.of(original, as_measured=as_measured).distance(decoded)
    monkeypatch.setattr(distortion, "TILE_SIDE", 128)
    assert distortion.PictureStructure.of(original, as_measured=as_measured).distance(decoded) == pytest.approx(
        whole, rel=1e-5
    )


def test_whole_pictures_take_no_more_memory_than_tiles() -> None:
    """What is computed at a time is a tile, however large the picture."""
    sizes = []
    original = np.zeros((64, 6000, 3), np.uint8)

    def part(rows: slice, columns: slice) -> torch.Tensor:
        sizes.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return tensor(original[rows, columns])

    distortion.PictureStructure(part, original.shape[:2]).sums(part)
    assert max(sizes) <= (distortion.TILE_SIDE + 2 * ssimulacra2.REACH) * (distortion.TILE_SIDE + 2 * ssimulacra2.REACH)
    many = (20000, 20000)
    grid = [-(-side // 16) for side in many]
    tiles = distortion.tiles(*grid, halo=ssimulacra2.REACH // 16, area=(distortion.TILE_SIDE // 16) ** 2)
    assert all((t.outer[0].stop - t.outer[0].start) * (t.outer[1].stop - t.outer[1].start) < 6000 for t in tiles)


def test_means_are_those_of_a_convolution() -> None:
    planes = torch.rand(37, 6, 52, requires_grad=True)
    frame = blur.Frame(blur.Span(3, 37, 37), blur.Span(0, 41, 52))
    means = blur.means(frame.padded(frame.seen(planes)), frame.weights(planes.device))
    taps = blur._taps().outer(blur._taps())[None, None]
    sums = lambda x: torch.nn.functional.conv2d(x.transpose(0, 1)[:, None], taps, padding=blur.RADIUS)
    expected = (sums(planes) / sums(torch.ones(37, 1, 52)))[:, 0].transpose(0, 1)[3:37, :, :41]
    assert torch.allclose(means, expected, atol=1e-6)
    slopes = torch.rand(means.shape)
    gradients = [torch.autograd.grad((slopes * m).sum(), planes, retain_graph=True)[0] for m in (means, expected)]
    assert torch.allclose(*gradients, atol=1e-5)


def test_an_original_that_is_kept_compares_as_before() -> None:
    original = picture(300, 280)
    others = [as_jpeg(original, quality) for quality in (30, 60)]
    comparison = LOOKS.against(original)
    assert [comparison.of(v) for v in 2 * others] == [LOOKS.of_pictures(original, v) for v in 2 * others]


@pytest.mark.parametrize("name", ["mse", "looks"])
def test_gradients_are_finite_differences(name: str) -> None:
    x = tensor(photo("astronaut", 256, 256))
    generator = torch.Generator().manual_seed(0)
    x_hat = (x + 0.05 * torch.randn(x.shape, generator=generator)).requires_grad_()
    d = lambda at: DISTORTIONS[name](at, x)[0].sum()
    (gradient,) = torch.autograd.grad(d(x_hat), x_hat)
    direction = gradient / gradient.norm()
    step = 0.3
    with torch.no_grad():
        rise = float(d(x_hat + step * direction).double() - d(x_hat - step * direction).double()) / (2 * step)
    assert rise == pytest.approx(float((gradient * direction).sum()), rel=0.02)
    assert torch.isfinite(gradient).all()


def test_no_difference_has_no_gradient() -> None:
    x = tensor(picture(256, 256))
    x_hat = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(LOOKS(x_hat, x)[0].sum(), x_hat)
    assert torch.isfinite(gradient).all()


def test_what_leaves_the_range_is_drawn_back() -> None:
    x = tensor(photo("astronaut", 256, 256))
    x_hat = (x + 0.2).requires_grad_()
    (gradient,) = torch.autograd.grad(LOOKS(x_hat, x)[0].sum(), x_hat)
    assert (gradient[x_hat > 1] > 0).all()
    assert float(ssimulacra2.Structure(x)(x + 2)) == pytest.approx(float(ssimulacra2.Structure(x)(torch.ones_like(x))))


@pytest.mark.parametrize("name", ["mse", "looks"])
def test_parts_have_the_gradient_of_the_whole(name: str) -> None:
    d = DISTORTIONS[name]
    x = tensor(photo("coffee", 512, 384))
    x_hat = (x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    (expected,) = torch.autograd.grad(d(x_hat, x)[0].sum(), x_hat)
    pixels = x.shape[-2] * x.shape[-1]
    (alone,) = torch.autograd.grad(d.part(x_hat, x, pixels, None), x_hat)
    assert torch.allclose(alone, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    part = lambda picture: lambda rows, columns: picture.detach()[..., rows, columns]
    totals = distortion.PictureStructure(part(x), x.shape[-2:]).sums(part(x_hat)) if name == "looks" else None
    window = (..., slice(0, 384), slice(0, 320))
    inside = x_hat[window].detach().requires_grad_()
    (gradient,) = torch.autograd.grad(d.part(inside, x[window], pixels, totals), inside)
    kept = (..., slice(0, 128), slice(0, 128))
    error = (gradient[kept] - expected[kept]).norm() / expected[kept].norm()
    assert float(error) < 0.02


def test_looks_tells_blur_from_noise_where_squared_error_does_not() -> None:
    """Of two pictures with one squared error, the one that looks worse is further away."""
    original = photo("astronaut", 256, 256)
    shifted = np.clip(original.astype(int) + 6, 0, 255).astype(np.uint8)
    rough = original.astype(int) + 6 * (2 * ((np.indices(original.shape[:2]).sum(0) // 8) % 2) - 1)[..., None]
    rough = np.clip(rough, 0, 255).astype(np.uint8)
    assert mse(original, rough) == pytest.approx(mse(original, shifted), rel=0.1)
    assert LOOKS.of_pictures(original, rough) > 1.5 * LOOKS.of_pictures(original, shifted)


def test_unknown_distortions_are_refused() -> None:
    with pytest.raises(ModelError, match="knows mse, looks"):
        distortion_of("taste")
