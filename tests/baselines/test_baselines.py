"""The codecs that this one is measured against are whole codecs, and do what they are said to do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from conftest import TINY, picture

from vaecodec.baselines import classic
from vaecodec.baselines.coefficients import KNOTS, RDO_WEIGHT, CoefficientCoder, Statistics, _Coding
from vaecodec.baselines.collection import baseline_path, collect
from vaecodec.baselines.pca import PCACodec, from_patches, principal_axes, to_patches
from vaecodec.errors import Corrupt, ModelError
from vaecodec.pictures import metrics


def training_patches(side: int, count: int = 4000) -> np.ndarray:
    """Patches of pictures that are not those of the tests."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(1, 9):
        image = picture(160, 160, seed)
        for _ in range(count // 8):
            top, left = rng.integers(160 - side, size=2)
            rows.append(image[top : top + side, left : left + side].reshape(-1))
    return np.array(rows)


@pytest.fixture(scope="module")
def pca() -> PCACodec:
    return PCACodec.fit([training_patches(8)], 8)


def check_codec(codec, image: np.ndarray) -> None:
    """Sizes are kept, files and quality grow together, and decoding is a function of the bytes alone."""
    sizes, psnrs = [], []
    for quality in (codec.qualities[1], codec.qualities[len(codec.qualities) // 2], codec.qualities[-1]):
        data = codec.compress(image, quality)
        decoded = codec.decompress(bytes(data))
        assert decoded.shape == image.shape and decoded.dtype == np.uint8
        sizes.append(len(data))
        psnrs.append(metrics.psnr_db(image, decoded))
    assert sizes == sorted(sizes) and psnrs == sorted(psnrs)


@pytest.mark.parametrize("name", classic.MAKERS)
def test_classic_codecs(name):
    try:
        codec = classic.MAKERS[name]()
    except ImportError as error:
        pytest.skip(str(error))
    assert codec.name == name and codec.version and codec.settings and len(codec.qualities) >= 8
    assert list(codec.qualities) == sorted(codec.qualities)
    check_codec(codec, picture(70, 45))


def test_everything_is_collected_or_named():
    codecs, left_out = collect(TINY)
    names = {codec.name for codec in codecs}
    assert "vaecodec" in names and "JPEG 4:4:4" in names
    assert not names & set(left_out)
    assert names | set(left_out) >= {
        "PCA 16x16",
        "Autoencoder",
        "VAE, factorised prior",
        "vaecodec, factorised",
        "AVIF 4:2:0",
        *classic.MAKERS,
    }
    assert all(left_out.values())


# --- coefficients


def test_patches_are_put_back():
    image = picture(37, 21)
    assert np.array_equal(from_patches(to_patches(image, 8), 21, 37, 8), image)


def laplacian(count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.laplace(size=(count, 3)) * [1.0, 5.0, 40.0] + [0.0, 2.0, -7.0]


@pytest.mark.parametrize("step", [0.5, 4.0, 60.0])
def test_tables_cost_no_more_than_the_entropy(step):
    values = laplacian(20000)
    coder = CoefficientCoder(Statistics.fit([values]), optimise=False)
    symbols = coder.quantise(values, step)
    entropy = 0.0
    for column in symbols.T:
        share = np.unique(column, return_counts=True)[1] / len(column)
        entropy -= len(column) * (share * np.log2(share)).sum()
    assert 8 * len(coder.encode(symbols, step)) < 1.02 * entropy + 400


@pytest.mark.parametrize("optimise", [False, True])
def test_symbols_come_back_and_outliers_too(optimise):
    values = laplacian(500)
    coder = CoefficientCoder(Statistics.fit([values]), optimise=optimise)
    values[7] = 1e5, -1e5, 3e4
    symbols = coder.quantise(values, 3.0)
    assert np.array_equal(coder.decode(coder.encode(symbols, 3.0), 500, 3.0), symbols)
    assert np.abs(coder.restore(symbols, 3.0) - values).max() < 1.5 * 3.0


def test_choosing_symbols_lowers_rate_and_error_together():
    values = laplacian(5000)
    statistics = Statistics.fit([values])
    results = []
    for optimise in (False, True):
        coder = CoefficientCoder(statistics, optimise=optimise)
        symbols = coder.quantise(values, 10.0)
        bits = 8 * len(coder.encode(symbols, 10.0))
        error = ((coder.restore(symbols, 10.0) - values) ** 2).sum()
        results.append(error / 100 + RDO_WEIGHT * bits)
    assert results[1] < 0.985 * results[0]


def test_centroids_are_conditional_means():
    values = laplacian(200000)[:, :1]
    coding = _Coding(Statistics.fit([values]), np.array([1.5]), 0.0)
    scaled = (values[:, 0] - values.mean()) / 1.5
    for symbol in (-2, -1, 0, 1, 2):
        within = scaled[np.rint(scaled) == symbol]
        assert coding.centroids[symbol + coding.radii[0]] == pytest.approx(within.mean(), abs=0.01)


def test_knots_rise_and_are_symmetric():
    assert (np.diff(KNOTS) > 0).all() and np.array_equal(KNOTS, -KNOTS[::-1])


# --- PCA


def test_pca_is_a_codec(pca):
    check_codec(pca, picture(70, 45))
    check_codec(pca, picture(1, 1))


def test_pca_goes_through_a_file(pca, tmp_path):
    pca.save(tmp_path / "p.safetensors", "fitted in a test")
    other = PCACodec.load(tmp_path / "p.safetensors")
    image = picture(33, 20)
    assert other.compress(image, 40) == pca.compress(image, 40)
    assert np.array_equal(other.decompress(pca.compress(image, 40)), pca.decompress(pca.compress(image, 40)))


def test_pca_refuses_what_it_should(pca, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError):
        PCACodec.load(tmp_path / "x.safetensors")
    with pytest.raises(Corrupt):
        pca.decompress(b"abc")
    with pytest.raises(ValueError):
        pca.compress(picture(8, 8), 101)


def test_fitted_pca_is_small_and_orthonormal():
    if baseline_path("pca16") is None:
        pytest.skip("pretrained/baselines/pca16.safetensors is not there")
    codec = PCACodec.load("pca16")
    assert baseline_path("pca16").stat().st_size < 1.6e6
    axes = codec.basis.astype(np.float64)
    assert np.abs(axes.T @ axes - np.eye(len(axes))).max() < 5e-3
    check_codec(codec, picture(70, 45))


@pytest.mark.slow
def test_linear_autoencoder_by_gradient_descent_reaches_pca():
    """Baldi and Hornik 1989: the least-squares linear autoencoder spans the leading principal axes."""
    torch = pytest.importorskip("torch")
    rank = 6
    # pictures of 4x4x3 patches, with enough noise that the covariance has full rank
    rng = np.random.default_rng(3)
    patches = training_patches(4).astype(np.float64) + rng.normal(0, 4, (4000, 48))
    mean, axes, variance = principal_axes(patches)
    x = torch.from_numpy((patches - mean) / patches.std())
    torch.manual_seed(0)
    encoder = (0.1 * torch.randn(48, rank, dtype=torch.float64)).requires_grad_()
    decoder = (0.1 * torch.randn(rank, 48, dtype=torch.float64)).requires_grad_()
    optimizer = torch.optim.Adam([encoder, decoder], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
    covariance = x.T @ x / len(x)
    for _ in range(1500):  # the loss over all patches at once, by their covariance
        residual = torch.eye(48, dtype=torch.float64) - encoder @ decoder
        loss = torch.trace(residual.T @ covariance @ residual)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    error, best = loss.item(), variance[rank:].sum() / patches.std() ** 2
    assert error == pytest.approx(best, rel=0.01) and error > 0.999 * best
    learned = np.linalg.qr(decoder.detach().numpy().T)[0]
    cosines = np.linalg.svd(learned.T @ axes[:, :rank])[1]
    assert np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))) < 1


# --- the twins, and our codec without its prior


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    from PIL import Image

    from vaecodec.training.data.pictures import Pictures

    folder = tmp_path_factory.mktemp("training")
    for seed in range(6):
        Image.fromarray(picture(96, 96, seed)).save(folder / f"{seed}.png")
    return Pictures([folder], minimum=64)


@pytest.mark.slow
@pytest.mark.parametrize("kl", [False, True])
def test_twins_train_go_on_and_code(pictures, tmp_path, kl):
    import torch

    from vaecodec.baselines.autoencoder import AutoencoderCodec
    from vaecodec.baselines.autoencoder_training import PairOptions, finish, train
    from vaecodec.networks.config import ModelConfig

    config = ModelConfig("pair-test", 16, 8, 8, 1, 8, 1, 8, 1, quality_knots=3)
    options = PairOptions(crops=12, batch=2, crop=64, patches=1000)
    whole = train(pictures, tmp_path / "a", options, kl=kl, config=config)
    assert train(pictures, tmp_path / "b", options, kl=kl, config=config, seconds=0) is None
    parts = None
    while parts is None:
        parts = train(pictures, tmp_path / "b", options, kl=kl, config=config, seconds=0)
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, parts.state_dict()[name], atol=1e-4), name
    with pytest.raises(ValueError, match="other options"):
        train(pictures, tmp_path / "b", PairOptions(crops=13, batch=2, crop=64, patches=1000), kl=kl, config=config)
    crops = pictures.crops(6, 64, np.random.default_rng(0)).float() / 255
    codec = finish(whole, crops, crops[:2])
    check_codec(codec, picture(70, 45))
    codec.save(tmp_path / "c.safetensors", "trained in a test")
    other = AutoencoderCodec.load(tmp_path / "c.safetensors")
    assert other.name == codec.name and other.settings == codec.settings
    image = picture(40, 40)
    assert (
        abs(
            metrics.psnr_db(image, other.decompress(other.compress(image, 60)))
            - metrics.psnr_db(image, codec.decompress(codec.compress(image, 60)))
        )
        < 0.3
    )


def test_twins_start_the_same(pictures, tmp_path):
    import torch

    from vaecodec.baselines.autoencoder import Pair

    starts = []
    for kl in (False, True):
        torch.manual_seed(0)
        starts.append(Pair(kl=kl).state_dict())
    assert all(torch.equal(value, starts[1][name]) for name, value in starts[0].items())


@pytest.mark.slow
def test_our_latents_without_the_prior(tiny, tmp_path, monkeypatch):
    from vaecodec.baselines import ours

    ours.FactorisedCodec.fit(tiny, [picture(96, 96, seed) for seed in range(4)], tmp_path)
    monkeypatch.setattr(ours, "baseline_path", lambda name: tmp_path / f"{name}.safetensors")
    codec = ours.FactorisedCodec(TINY)
    image = picture(70, 45)
    check_codec(ours.VaeCodec(TINY), image)
    data = codec.compress(image, 50)
    with_prior = metrics.psnr_db(image, np.asarray(tiny.decompress(tiny.compress(image, quality=50))))
    assert metrics.psnr_db(image, codec.decompress(data)) == pytest.approx(with_prior, abs=1.5)


def test_pca_imports_no_torch():
    code = "import sys, vaecodec.baselines.pca, vaecodec.baselines.classic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
