"""The small VAE's commands and its codec for single pictures, and that the room can be taken away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import GOLDEN, TINY, picture
from digits_support import SHIPPED, strokes, write_set
from PIL import Image
from support import ROOT, flips, with_body, with_fields

import vaecodec
from vaecodec.cli.main import main
from vaecodec.codec import sampling
from vaecodec.digits import weights
from vaecodec.digits.codec import DigitsCodec
from vaecodec.digits.data import format_idx, parse_idx
from vaecodec.digits.model import DigitsVAE
from vaecodec.digits.studies import uses
from vaecodec.errors import BitstreamError, Corrupt, ImageError, ModelError, VaecodecError
from vaecodec.format import catalog, container
from vaecodec.networks.fixed_point import RAW_BITS
from vaecodec.pictures import contact_sheets


@pytest.fixture(scope="module")
def codec() -> DigitsCodec:
    return DigitsCodec("digits")


@pytest.fixture(scope="module")
def conditional():
    return weights.load("digits").model()


@pytest.fixture(scope="module")
def seven(conditional) -> np.ndarray:
    """A generated digit, `[28, 28]` uint8."""
    return contact_sheets.as_bytes(uses.sample(conditional, 1, 7, seed=1))[0]


def png(values: np.ndarray) -> bytes:
    return contact_sheets.png(Image.fromarray(values))


def invoke(*arguments, fails: bool = False):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert (result.exit_code != 0) == fails, result.output
    return result


# --- single pictures as .vae files


@pytest.mark.parametrize("effort", [0, 1])
def test_a_digit_goes_through_the_ordinary_functions(seven, effort: int) -> None:
    data = vaecodec.compress(seven, model="digits", effort=effort)
    header = vaecodec.read_info(data)
    assert (header.width, header.height, header.mode) == (28, 28, "L")
    restored = np.asarray(vaecodec.decompress(data))
    assert restored.shape == (28, 28)
    assert np.square(restored.astype(float) - seven).mean() < 0.6 * np.square(seven - seven.mean()).mean()


def test_quality_is_worth_its_bits(codec, seven) -> None:
    """Finer latents need more bits, and come nearer to what they were."""
    sizes, errors = [], []
    mean, _ = codec.model.infer(torch.tensor(seven)[None], torch.tensor([-1]))
    for quality in (1, 50, 100):
        latents = codec.encode(np.repeat(seven[..., None], 3, 2), container.quality_code(quality), effort=0)
        z = codec._z(latents.y_hat.view(1, -1), latents.quality)
        sizes.append(len(latents.payload))
        errors.append(float((z - mean).square().sum()))
    assert sizes == sorted(sizes)
    assert sizes[0] <= sizes[2]  # whole words
    assert errors == sorted(errors, reverse=True)


def test_a_label_is_sent_where_it_pays(codec, seven) -> None:
    rgb = np.repeat(seven[..., None], 3, 2)
    assert int(codec.encode(rgb, 16000, effort=0).z) == 10  # none
    assert int(codec.encode(rgb, 16000, effort=1).z) == 7


def test_other_pictures_are_refused_with_the_reason() -> None:
    for wrong in (picture(28, 28), np.zeros((28, 27), np.uint8), np.zeros((56, 56), np.uint8)):
        with pytest.raises(ImageError, match="takes grey pictures of 28x28"):
            vaecodec.compress(wrong, model="digits")


def test_alpha_and_other_grey_modes_are_kept(seven) -> None:
    image = Image.fromarray(seven).convert("LA")
    image.putalpha(Image.fromarray(seven[::-1].copy()))
    restored = vaecodec.decompress(vaecodec.compress(image, model="digits"))
    assert restored.mode == "LA"
    np.testing.assert_array_equal(np.asarray(restored)[..., 1], seven[::-1])


def test_damage_is_found(codec, seven) -> None:
    data = codec.compress(seven)
    for broken in [*flips(data), *(data[:n] for n in range(len(data)))]:
        with pytest.raises(BitstreamError):
            codec.decompress(broken)
    for fields in ({"width": 27}, {"height": 280}, {"coding": 1}, {"symbols_crc": 1}):
        with pytest.raises(BitstreamError):
            codec.decompress(with_fields(data, **fields))
    random = np.random.default_rng(0)
    for _ in range(300):
        payload = bytearray(data[container.HEADER_BYTES :])
        payload[random.integers(len(payload))] ^= random.integers(1, 256)
        try:
            restored = codec.decompress(with_body(data, [], bytes(payload)))
        except VaecodecError:
            continue
        assert restored.size == (28, 28)


def test_a_label_that_is_none_is_refused(codec, seven) -> None:
    from vaecodec.format.ans import Encoder

    encoder = Encoder()
    encoder.push(np.zeros(4, np.int32), codec._numbers(16000), codec.stored.tables)
    encoder.push_bits(13, 4)
    data = with_fields(codec.compress(seven), quality=16000)
    with pytest.raises(Corrupt, match="label 13"):
        codec.decompress(with_body(data, [], encoder.getvalue()))


def test_only_a_model_with_widths_codes_pictures() -> None:
    with pytest.raises(ModelError, match="does not code single pictures"):
        DigitsCodec("map")


# --- models


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_are_small_and_have_a_card(name: str) -> None:
    stored = weights.load(name)
    assert stored.config.latents == SHIPPED[name]
    card = (ROOT / "pretrained" / "digits.md").read_text()
    assert stored.fingerprint in card
    (path,) = (ROOT / "pretrained").rglob(f"{name}.safetensors")
    assert path.stat().st_size < 700e3
    model = stored.model()
    assert uses.sample(model, 3).shape == (3, 28, 28)


@pytest.mark.slow
def test_a_model_that_codes_is_integers_of_eight_bits(conditional, seven, tmp_path: Path) -> None:
    stored = weights.load("digits")
    assert {k.split(".")[0] for k in stored.tensors} == {"exact", "tables"}
    assert {v.dtype for k, v in stored.tensors.items() if k.endswith(".weight")} == {torch.int8}
    steps = torch.from_numpy(stored.steps) / 2**RAW_BITS
    assert weights.save(conditional, tmp_path / "again.safetensors", steps) == stored.fingerprint
    infer = lambda model: torch.cat(model.infer(torch.from_numpy(seven.copy())[None], torch.tensor([7])))
    torch.manual_seed(0)
    model = DigitsVAE(stored.config)
    weights.save(model, tmp_path / "new.safetensors", steps)
    rounded = weights.load(tmp_path / "new.safetensors").model()
    torch.testing.assert_close(infer(rounded), infer(model), atol=0.05, rtol=0)


def test_a_model_with_other_tables_is_refused(seven, tmp_path: Path) -> None:
    from vaecodec.format.tables import gaussian_tables
    from vaecodec.networks.weights import write_model

    stored = weights.load("digits")
    tensors = stored.tensors | {"tables.counts": torch.from_numpy(gaussian_tables()[0])}
    write_model(tmp_path / "old.safetensors", stored.config.to_dict() | {"kind": "digits"}, tensors)
    with pytest.raises(ModelError, match="other tables"):
        vaecodec.compress(seven, model=tmp_path / "old.safetensors")


def test_a_photo_model_is_no_small_model() -> None:
    with pytest.raises(ModelError, match="not a model of small pictures"):
        weights.load(TINY)


def test_unknown_kinds_of_models_are_refused(tmp_path: Path) -> None:
    from vaecodec.networks.weights import write_model

    write_model(tmp_path / "odd.safetensors", {"kind": "else"}, {"x": torch.zeros(1)})
    with pytest.raises(ModelError, match="unknown kind 'else'"):
        vaecodec.compress(picture(20, 20), model=tmp_path / "odd.safetensors")


# --- commands


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_pictures_of_all_commands(tmp_path: Path, seven) -> None:
    a, b, out = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "out.png"
    invoke("digits", "sample", "-n", 1, "--label", 4, "--plain", "--seed", 2, "-o", a)
    assert size_of(a) == (28, 28)
    b.write_bytes(png(seven))
    for command in (
        ("sample", "-n", 3), ("sample", "-m", "map", "-n", 2), ("traverse", "--label", 2, "--steps", 3),
        ("traverse", "-m", "map", "--steps", 4), ("analogy", a, b), ("interpolate", a, b, "--steps", 4),
    ):  # fmt: skip
        invoke("digits", *command, "-f", "-o", out)
        assert min(size_of(out)) > 60
    assert "exists already" in invoke("digits", "sample", "-o", out, fails=True).output


def test_a_map_of_a_set(tmp_path: Path) -> None:
    write_set(tmp_path)
    invoke("digits", "embed", tmp_path, "-o", tmp_path / "map.png")
    assert size_of(tmp_path / "map.png")[0] > 800


def test_sets_are_packed_and_unpacked(tmp_path: Path) -> None:
    images = strokes(30).images
    (tmp_path / "set.idx").write_bytes(format_idx(images))
    model = GOLDEN / "digits-tiny.safetensors"
    result = invoke("digits", "pack", tmp_path / "set.idx", tmp_path / "set.vpk", "-m", model)
    assert "30 pictures" in result.output
    assert "bits a pixel" in result.output
    invoke("digits", "unpack", tmp_path / "set.vpk", tmp_path / "back.idx", "-m", model)
    np.testing.assert_array_equal(parse_idx((tmp_path / "back.idx").read_bytes()), images)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("digits", "traverse", "-m", "map", "--label", 3, "-o", "x.png"), 2, "knows no labels"),
        (("digits", "traverse", "--latents", 0, 4, "-o", "x.png"), 2, "two different ones below 4"),
        (("digits", "embed", ".", "-m", "digits", "-o", "x.png"), 2, "a map needs 2"),
        (("digits", "embed", ".", "-o", "x.png"), 1, "there is no t10k-images"),
        (("digits", "analogy", "wide.png", "-o", "x.png"), 1, "wide.png: has 30x28 pixels"),
        (("digits", "pack", "wide.png", "x.vpk"), 1, "wide.png: not an IDX file"),
        (("digits", "unpack", "wide.png", "x.idx"), 3, "wide.png: not a pack"),
        (("digits", "sample", "-m", "none", "-o", "x.png"), 4, "unknown model 'none'"),
        (("sample", "-m", "digits", "-o", "x.png"), 4, "not a model of photographs"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, monkeypatch, arguments, code: int, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wide.png").write_bytes(png(np.zeros((28, 30), np.uint8)))
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert (result.exit_code, message in result.output) == (code, True), result.output
    assert not Path("x.png").exists()


@pytest.mark.slow
def test_training_makes_a_model_that_works(tmp_path: Path) -> None:
    write_set(tmp_path)
    for name in ("conditional", "lossless"):
        out = tmp_path / f"{name}.safetensors"
        invoke("digits", "train", name, "--data", tmp_path, "--resume", tmp_path / name, "--epochs", 1, "--export", out)
        assert json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1])["step"] == 3
    image = strokes(1).images[0]
    data = vaecodec.compress(image, model=tmp_path / "conditional.safetensors")
    assert vaecodec.decompress(data, model=tmp_path / "conditional.safetensors").size == (28, 28)


# --- the photo codec as a generative model


def test_the_photo_codecs_prior_is_drawn_from(tiny) -> None:
    first, again, other = (sampling.sample(tiny, (50, 35), 50, seed) for seed in (0, 0, 1))
    assert first.shape == (35, 50, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.std() > 2


def test_dice_fall_as_the_tables_say(tiny) -> None:
    tables = tiny.stored.tables
    number = 16 * 30 + 8
    drawn = sampling.Dice(0).pop(np.full(50_000, number, np.int32), tables)
    radius, counts = tables.radius(number), tables.table(number)[:-1]
    shares = np.bincount(drawn + radius, minlength=2 * radius + 1) / len(drawn)
    np.testing.assert_allclose(shares, counts / counts.sum(), atol=0.01)


def test_between_two_pictures(tiny) -> None:
    a, b = picture(48, 32), picture(48, 32, 3)
    for spherical in (False, True):
        frames = sampling.interpolate(tiny, a, b, 90, 3, spherical=spherical)
        assert len(frames) == 3
        for frame, end in ((frames[0], a), (frames[2], b)):
            other = b if end is a else a
            assert np.abs(frame.astype(float) - end).mean() < np.abs(frame.astype(float) - other).mean()
    with pytest.raises(ImageError, match="differ in size"):
        sampling.interpolate(tiny, a, b[:16], 90)


@pytest.mark.slow
def test_spherical_paths_keep_their_length() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 64)
    b *= a.norm() / b.norm()
    sphere, line = (sampling.between(a, b, 7, spherical=spherical) for spherical in (True, False))
    torch.testing.assert_close(sphere.norm(dim=1), a.norm().expand(7), rtol=1e-4, atol=1e-4)
    assert float(line[3].norm()) < 0.85 * float(a.norm())
    for path in (sphere, line):
        torch.testing.assert_close(path[[0, -1]], torch.stack((a, b)))
    torch.testing.assert_close(sampling.between(a, a, 3, spherical=True), a.expand(3, -1))


def test_photo_commands(tmp_path: Path) -> None:
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    a.write_bytes(png(picture(60, 40)))
    b.write_bytes(png(picture(50, 70, 2)))
    invoke("interpolate", a, b, "--steps", 3, "-m", TINY, "-o", tmp_path / "i.png")
    invoke("sample", "--size", 40, 30, "-n", 1, "-m", TINY, "-o", tmp_path / "s.png")
    assert size_of(tmp_path / "i.png")[0] > 3 * 60
    assert size_of(tmp_path / "s.png")[0] > 3 * 40


def test_the_model_for_single_pictures_is_listed() -> None:
    assert "digits" in {model.name for model in catalog.list_models()}
