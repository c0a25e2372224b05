"""Model files: what their ids depend on, which files stay readable, and what is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import GOLDEN, MAP, TINY, TINY_BITS_BACK, picture
from reference import container as reference_container
from reference import decoder
from reference import model as reference_model
from safetensors import safe_open
from safetensors.torch import save_file
from support import with_fields

from vaecodec.codec.codec import Codec
from vaecodec.errors import ModelError
from vaecodec.format import catalog
from vaecodec.format.container import BITS_BACK, ROUNDED, read_header, unpack
from vaecodec.format.qualities import QualityScale
from vaecodec.networks.model import ImageVAE
from vaecodec.networks.weights import load_model, read_model, save_model, write_quality_map

ORIGINAL = picture(70, 140)


@pytest.fixture(scope="module")
def files(format_2: Path) -> dict[int, bytes]:
    """A file of it in each coding."""
    codec = Codec(format_2)
    return {
        coding: codec.compress(ORIGINAL, quality=70, coding=coding, graphics=False) for coding in (ROUNDED, BITS_BACK)
    }


def other(path: Path, target: Path, change: Callable[[ImageVAE], object]) -> Path:
    """A model that differs in what `change` does."""
    model = load_model(path).model()
    with torch.no_grad():
        change(model)
    save_model(model, target, MAP)
    return target


# --- ids


def test_the_first_model_keeps_its_id_and_its_files_stay_readable() -> None:
    stored = load_model("light-psnr")
    assert (stored.info.format, stored.model_id.hex()) == ("1", "01b335be")
    assert stored.info.file_id(BITS_BACK) == stored.info.file_id(ROUNDED) == stored.model_id
    assert {load_model(p).model_id.hex() for p in (TINY, TINY_BITS_BACK)} == {
        unpack((GOLDEN / f"{name}.vae").read_bytes()).header.model_id.hex() for name in ("l", "bits-back-q10")
    }


def test_files_carry_the_id_of_their_coding(format_2: Path, files: dict[int, bytes]) -> None:
    info = load_model(format_2).info
    assert len({*info.ids, info.fingerprint}) == 3
    for coding, data in files.items():
        header = read_header(data)
        assert (header.coding, header.model_id) == (coding, info.file_id(coding))
        assert info.made(header)


def _new_encoder(model: ImageVAE) -> None:
    model.analysis.out.bias.add_(0.5)
    model.hyper_analysis.out.bias.add_(0.5)


def _new_posterior(model: ImageVAE) -> None:
    model.posterior.networks.head.bias.add_(0.5)


def _new_training_floats(model: ImageVAE) -> None:
    model.analysis.scale.mul_(2)


@pytest.mark.slow
@pytest.mark.parametrize("change", [_new_encoder, _new_training_floats])
def test_a_new_encoder_leaves_all_files_readable(format_2: Path, files, tmp_path: Path, change) -> None:
    codec, changed = Codec(format_2), Codec(other(format_2, tmp_path / "a.safetensors", change))
    assert changed.stored.info.ids == codec.stored.info.ids
    assert changed.stored.fingerprint != codec.stored.fingerprint
    for data in files.values():
        assert np.array_equal(np.asarray(changed.decompress(data)), np.asarray(codec.decompress(data)))


@pytest.mark.slow
def test_a_new_posterior_leaves_files_with_rounded_hyperlatents_readable(format_2: Path, files, tmp_path: Path) -> None:
    codec, changed = Codec(format_2), Codec(other(format_2, tmp_path / "a.safetensors", _new_posterior))
    assert changed.stored.model_id == codec.stored.model_id
    rounded = files[ROUNDED]
    assert np.array_equal(np.asarray(changed.decompress(rounded)), np.asarray(codec.decompress(rounded)))
    assert changed.compress(ORIGINAL, quality=70, coding=ROUNDED, graphics=False) == rounded
    with pytest.raises(ModelError, match="posterior"):
        changed.decompress(files[BITS_BACK])
    with pytest.raises(ModelError, match="made by model"):
        changed.decode(unpack(files[BITS_BACK]))
    again = changed.compress(ORIGINAL, quality=70, coding=BITS_BACK, graphics=False)
    assert read_header(again).coding == BITS_BACK and changed.decompress(again)


def test_a_posterior_that_is_left_out_does_too(format_2: Path, files, tmp_path: Path) -> None:
    model = load_model(format_2).model()
    config = model.config.to_dict() | {"bits_back": False}
    bare = ImageVAE(type(model.config)(**config))
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("posterior.")})
    save_model(bare, tmp_path / "a.safetensors")
    codec = Codec(tmp_path / "a.safetensors")
    assert codec.stored.info.ids == Codec(format_2).stored.info.ids[:1]
    assert codec.decompress(files[ROUNDED]).size == (70, 140)
    with pytest.raises(ModelError, match="posterior"):
        codec.decompress(files[BITS_BACK])


def test_ids_of_codings_are_not_exchanged(format_2: Path, files) -> None:
    """A header that names the right model for the wrong coding is refused, not tried."""
    info, codec = load_model(format_2).info, Codec(format_2)
    for coding, data in files.items():
        with pytest.raises(ModelError):
            codec.decompress(with_fields(data, model_id=info.file_id(1 - coding)))


def _new_synthesis(model: ImageVAE) -> None:
    model.synthesis.out.bias.add_(0.01)


def _new_prior(model: ImageVAE) -> None:
    model.prior.networks.heads[0].bias.add_(0.01)


def _new_gain(model: ImageVAE) -> None:
    model.prior.log2_gain.table.add_(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("change", [_new_synthesis, _new_prior, _new_gain])
def test_what_decoding_depends_on_changes_the_ids(format_2: Path, files, tmp_path: Path, change) -> None:
    changed = Codec(other(format_2, tmp_path / "a.safetensors", change))
    assert not set(changed.stored.info.ids) & set(load_model(format_2).info.ids)
    for data in files.values():
        with pytest.raises(ModelError, match="made by model"):
            changed.decompress(data)


def test_name_distortion_and_lambda_are_no_part_of_the_id(format_2: Path, tmp_path: Path) -> None:
    info, _ = read_model(format_2)
    model = load_model(format_2).model()
    model.config = type(model.config)(**info.config | {"name": "else", "distortion": "looks", "lambda_max": 1.0})
    save_model(model, tmp_path / "a.safetensors")
    changed, _ = read_model(tmp_path / "a.safetensors")
    assert changed.ids == info.ids and changed.fingerprint != info.fingerprint
    assert (changed.config["name"], changed.config["distortion"]) == ("else", "looks")


def test_the_reference_decoder_reads_the_same(format_2: Path, files) -> None:
    codec, reference = Codec(format_2), reference_model.load(format_2)
    for data in files.values():
        assert np.array_equal(decoder.decode(data, reference).y_hat, codec.decode(unpack(data)).sixteenths[0].numpy())


@pytest.mark.slow
def test_another_map_changes_no_id_and_leaves_files_readable(format_2: Path, files, tmp_path: Path) -> None:
    scale = QualityScale(((1, 0), (70, 0.9), (100, 1)))
    mark = write_quality_map(format_2, tmp_path / "a.safetensors", scale)
    before, codec = load_model(format_2), Codec(tmp_path / "a.safetensors")
    assert (codec.stored.fingerprint, codec.stored.qualities) == (mark, scale)
    assert codec.stored.info.ids == before.info.ids and mark != before.fingerprint
    for data in files.values():
        assert np.array_equal(np.asarray(codec.decompress(data)), np.asarray(Codec(format_2).decompress(data)))
    assert (
        read_header(codec.compress(ORIGINAL, graphics=False)).quality
        == scale.code(70)
        != read_header(files[ROUNDED]).quality
    )
    with pytest.raises(ModelError, match="format 1"):
        write_quality_map(TINY, tmp_path / "b.safetensors", scale)


# --- damage


def rewritten(path: Path, target: Path, metadata: dict[str, str | None], *, weight: str | None = None) -> Path:
    """A model file with other metadata, or another weight, and nothing else made to fit."""
    with safe_open(path, "pt") as file:
        told, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if weight:
        tensors[weight].view(-1)[0] += 1
    save_file(tensors, target, {k: v for k, v in (told | metadata).items() if v is not None})
    return target


@pytest.mark.parametrize(
    "weight", ["exact.h_s_in.weight", "exact.posterior.head.bias", "synthesis.out.bias", "analysis.out.bias"]
)
def test_a_changed_weight_is_noticed(format_2: Path, tmp_path: Path, weight: str) -> None:
    damaged = rewritten(format_2, tmp_path / "a.safetensors", {}, weight=weight)
    with pytest.raises(ModelError, match="damaged"):
        load_model(damaged)
    with pytest.raises(reference_container.Refused):
        reference_model.load(damaged)


@pytest.mark.parametrize(
    "metadata",
    [
        {"id": "00" * 32},
        {"bits_back_id": "00" * 32},
        {"fingerprint": "00" * 32},
        {"quality": json.dumps({"knots": [[1, 0], [50, 0.5], [100, 1]], "calibrated": None})},
        {"quality": None},
        {"bits_back_id": None},
    ],
    ids=lambda metadata: "-".join(f"{k}{'' if v else ' gone'}" for k, v in metadata.items()),
)
def test_changed_metadata_are_noticed(format_2: Path, tmp_path: Path, metadata: dict) -> None:
    damaged = rewritten(format_2, tmp_path / "a.safetensors", metadata)
    with pytest.raises(ModelError, match="damaged"):
        load_model(damaged)


@pytest.mark.parametrize(
    "metadata",
    [
        {"id": "dead"},
        {"id": "no number" * 8},
        {"id": None},
        {"config": "[]"},
        {"quality": "[]"},
        {"quality": '{"knots": [[1, 0], [50, NaN], [100, 1]]}'},
        {"quality": '{"knots": [[1, 0], [100, 1]], "calibrated": [30]}'},
        {"quality": '{"knots": "text"}'},
    ],
)
def test_metadata_that_mean_nothing_are_refused(format_2: Path, tmp_path: Path, metadata: dict) -> None:
    damaged = rewritten(format_2, tmp_path / "a.safetensors", metadata)
    for read in (load_model, catalog.read_model_info):
        with pytest.raises(ModelError, match="not a model"):
            read(damaged)


def test_the_shipped_default_is_for_looks() -> None:
    stored = load_model(catalog.DEFAULT_MODEL)
    assert (stored.info.format, stored.config.distortion) == ("2", "looks")
    assert stored.qualities.default == 70 and abs(stored.qualities.calibrated[0] - 30) <= 1
    linear = {k: t.dtype for k, t in stored.tensors.items() if ".linear." in k}
    assert linear and set(linear.values()) == {torch.float32}
