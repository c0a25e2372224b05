"""Training on a few pictures made here: it learns, resumes, exports, and its optimiser is what it says."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import picture
from PIL import Image
from safetensors.torch import load_file, save_file
from support import ROOT, TESTS
from torch.utils.flop_counter import FlopCounterMode

from vaecodec.cli.main import main
from vaecodec.codec.codec import Codec
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.model import ImageVAE
from vaecodec.networks.weights import load_model, save_model
from vaecodec.objective.bound import nearest
from vaecodec.training.data.pictures import Pictures
from vaecodec.training.loop import Trainer, weighted_loss
from vaecodec.training.optim import AdamW, Muon, build_optimizers
from vaecodec.training.options import TrainOptions, rate_fraction
from vaecodec.training.run import TrainingError, run
from vaecodec.training.runtime import checkpoint

OPTIONS = TrainOptions(config="tiny", hours=4 / 3600, batch=2, crop=64, final_crop=64, prior_share=0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures, a text file that claims to be one, and one that is too small."""
    path = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        Image.fromarray(picture(160, 128, seed=i)).save(path / f"p{i}.png")
    (path / "broken.png").write_text("no picture")
    Image.fromarray(picture(32, 32)).save(path / "small.png")
    return path


def test_pictures_names_what_it_leaves_out(folder):
    pictures = Pictures([folder], minimum=64)
    assert pictures.count + len(pictures.validation) == 6
    assert sorted(pictures.left_out) == ["broken.png", "small.png"]
    with pytest.raises(ValueError, match="no training pictures"):
        Pictures([folder], minimum=512)


def test_pictures_come_from_tar_files_in_a_folder_too(folder, tmp_path):
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        for path in sorted(folder.glob("p*.png"))[:4]:
            tar.add(path, f"deep/{path.name}")
    for source in (tmp_path, tmp_path / "some.tar"):
        pictures = Pictures([source], minimum=64)
        assert pictures.count + len(pictures.validation) == 4 and not pictures.left_out


def test_crops_are_of_the_pictures(folder):
    pictures = Pictures([folder], minimum=64)
    crops = pictures.crops(16, 64, np.random.default_rng(0))
    assert crops.shape == (16, 3, 64, 64) and crops.dtype == torch.uint8
    assert len({crop.numpy().tobytes() for crop in crops}) > 8


def test_an_untrained_model_is_a_transform_codec(folder):
    pictures = Pictures([folder], minimum=64)
    model = ImageVAE(CONFIGS["tiny"])
    model.init_linear(pictures.patches(4000, 16, np.random.default_rng(0)))
    x = pictures.crops(4, 64, np.random.default_rng(1)).float() / 255
    psnr = [model(x, torch.full((4,), q), nearest)[1].psnr_db.mean().item() for q in (0.0, 0.5, 1.0)]
    assert psnr[0] < psnr[1] < psnr[2]
    assert psnr[2] > 15


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "light"])
def test_multiply_accumulates_are_those_that_torch_counts(name):
    model, side, quality = ImageVAE(CONFIGS[name]), 128, torch.zeros(1)
    said = CONFIGS[name].kmac_per_pixel()

    def counted(function, *arguments):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            result = function(*arguments)
        return counter.get_total_flops() / 2 / side**2 / 1000, result

    encoder, (y, z) = counted(model.infer, torch.zeros(1, 3, side, side), quality)
    assert encoder == pytest.approx(said["analysis"] + said["hyper_analysis"], rel=1e-6)
    assert counted(model.synthesis, y, quality)[0] == pytest.approx(said["synthesis"], rel=1e-6)
    assert counted(model.rate, z, y, quality, nearest)[0] == pytest.approx(said["prior"], rel=1e-6)


def test_full_is_of_a_size_that_can_be_shipped_and_run():
    with torch.device("meta"):
        weights = sum(parameter.numel() for parameter in ImageVAE(CONFIGS["full"]).parameters())
    light, full = (CONFIGS[name].kmac_per_pixel()["decoder"] for name in ("light", "full"))
    assert weights < 15.1e6 and 100 < full < 12 * light


@pytest.mark.slow
def test_training_lowers_the_loss_resumes_and_exports(folder, tmp_path):
    pictures = Pictures([folder], minimum=64)
    x = pictures.crops(8, 64, np.random.default_rng(1)).float() / 255
    quality = torch.linspace(0, 1, 8)
    lmbda = CONFIGS["tiny"].lmbda(quality)
    first = Trainer(OPTIONS, pictures, tmp_path)
    before = weighted_loss(first.ema(x, quality, nearest)[1], lmbda).item()
    for _ in range(30):  # the prior alone, on PCA
        first._train_step()
    first._read()
    first._save()
    model = first.ema
    assert weighted_loss(model(x, quality, nearest)[1], lmbda).item() < before
    assert checkpoint.read(tmp_path)

    second = Trainer(replace(OPTIONS, frozen_encoder=True, prior_share=0.0), pictures, tmp_path)
    assert second.step == first.step == 30 and second.crops == first.crops == 60
    weights = {name: p.detach().clone() for name, p in second.model.named_parameters()}
    second._train_step()
    second._train_step()
    changed = {name for name, p in second.model.named_parameters() if not torch.equal(p, weights[name])}
    assert {name.split(".")[0] for name in changed} == {"synthesis", "prior", "posterior"}
    assert "prior.log2_gain.table" not in changed

    third = Trainer(replace(OPTIONS, posterior_only=True), pictures, tmp_path)
    weights = {name: p.detach().clone() for name, p in third.model.named_parameters()}
    third._train_step()
    changed = {name for name, p in third.model.named_parameters() if not torch.equal(p, weights[name])}
    assert {name.split(".")[0] for name in changed} == {"posterior"}

    save_model(model, tmp_path / "mine.safetensors")
    codec = Codec(tmp_path / "mine.safetensors")
    assert codec.decompress(codec.compress(picture(70, 50), quality=60)).size == (70, 50)
    linear = codec.stored.weights()["synthesis.linear.weight"]
    assert torch.equal(linear, model.synthesis.linear.weight)  # half precision would cost rate
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert any("loss" in entry for entry in entries)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 1 / 6, 1.0])
def test_sampled_z_has_its_share_of_the_loss(folder, tmp_path, share):
    options = replace(OPTIONS, frozen_encoder=True, sampled_share=share, prior_share=0.0)
    trainer, seen = Trainer(options, Pictures([folder], minimum=64), tmp_path), []
    forward = trainer.forward_both

    def watched(x, quality, rounding):
        bounds = forward(x, quality, rounding)
        seen.extend(weighted_loss(bound, CONFIGS["tiny"].lmbda(quality)).item() for bound in bounds)
        return bounds

    trainer.forward_both = watched
    trainer._train_step()
    rounded, sampled = seen
    assert abs(rounded - sampled) > 1e-3 * rounded
    assert trainer._read()["loss"] == pytest.approx((1 - share) * rounded + share * sampled, rel=1e-5)
    learning = {name.split(".")[0] for name, p in trainer.model.named_parameters() if p.grad is not None}
    assert learning == {"synthesis", "prior"} | ({"posterior"} if share else set())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sampled_share": 0.5}, "frozen encoder"),
        ({"sampled_share": 0.5, "posterior_only": True}, "frozen encoder"),
        ({"sampled_share": 0.0, "posterior_only": True, "frozen_encoder": True}, "posterior only"),
        ({"sampled_share": 1.5, "frozen_encoder": True}, "from 0 to 1"),
    ],
)
def test_a_share_of_sampled_z_that_means_nothing_is_refused(folder, tmp_path, options, says):
    with pytest.raises(TrainingError, match=says):
        run("tiny", [folder], 1, tmp_path, **options)


def test_the_command_says_what_the_share_of_sampled_z_is():
    shown = CliRunner().invoke(main, ["train", "--help"]).output
    assert "--sampled-share" in shown and "1/6" in shown
    (option,) = (p for p in main.get_command(None, "train").params if p.name == "sampled_share")
    assert option.default == TrainOptions.sampled_share


@pytest.mark.slow
def test_the_command_trains_from_given_weights_and_draws_its_log(folder, tmp_path):
    pytest.importorskip("matplotlib")
    model = ImageVAE(CONFIGS["tiny"])
    save_model(model, tmp_path / "start.safetensors")
    settings = {"batch": 2, "crop": 64, "final_crop": 64, "rate": 1e-9}
    run(
        "tiny", [folder], 1 / 3600, tmp_path / "run", init=str(tmp_path / "start.safetensors"),
        export=tmp_path / "end.safetensors", **settings,
    )  # fmt: skip
    start, end = (load_model(tmp_path / f"{name}.safetensors").weights() for name in ("start", "end"))
    assert all(torch.allclose(start[key], end[key], atol=1e-2) for key in start)
    with Image.open(tmp_path / "run" / "log.png") as image:
        assert image.width > 500
    with pytest.raises(TrainingError, match="unknown configuration"):
        run("huge", [folder], 1, tmp_path)


@pytest.mark.slow
def test_non_finite_steps_are_skipped_and_counted(folder, tmp_path):
    trainer = Trainer(OPTIONS, Pictures([folder], minimum=64), tmp_path)
    for _ in range(3):
        trainer._train_step()
    tensors = dict(trainer.model.named_parameters()) | {f"ema/{k}": v for k, v in trainer.ema.named_parameters()}
    states = [(value, value.clone()) for o in trainer.optimizers for s in o.state.values() for value in s.values()]
    before = {name: value.detach().clone() for name, value in tensors.items()}
    forward = trainer.forward
    trainer.forward = lambda x, quality: forward(x * float("nan"), quality)
    trainer._train_step()
    assert all(torch.equal(value, before[name]) for name, value in tensors.items())
    assert states and all(torch.equal(value, old) for value, old in states)
    trainer._read()
    assert trainer.skipped == 1 and trainer.step == 4
    trainer.forward = forward
    trainer._train_step()
    assert any(not torch.equal(value, before[name]) for name, value in tensors.items())
    trainer._read()
    assert trainer.skipped == 1
    trainer.step = 3000
    trainer.skipped = 3
    trainer.forward = lambda x, quality: forward(x * float("nan"), quality)
    trainer._train_step()
    with pytest.raises(RuntimeError, match="non-finite"):
        trainer._read()


def train_three_steps(pictures: str, folder: str, batch: str, optimizer: str) -> None:
    """Leaves in a folder by how much the weights have moved, and how many crops were seen, in one process of a team."""
    options = TrainOptions(config="tiny", batch=int(batch), crop=64, prior_share=0.0, optimizer=optimizer)
    trainer = Trainer(options, Pictures([Path(pictures)], minimum=64, memory_bytes=1e8), Path(folder))
    trainer.forward = lambda x, quality: trainer.model(x, quality, nearest)  # the noise of each process is its own
    trainer.step = 200  # past the warm-up
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    for _ in range(3):
        trainer._train_step()
    if trainer.team.rank == 0:
        moved = {name: p.detach() - before[name] for name, p in trainer.model.named_parameters()}
        save_file(moved | {"crops": torch.tensor(trainer.crops)}, Path(folder) / "moved.safetensors")
    trainer.team.close()


TEAM = """
import sys
import torch
import torch.distributed as dist
from test_training import train_three_steps
torch.set_num_threads(1)
dist.init_process_group("gloo")
end, dist.destroy_process_group = dist.destroy_process_group, lambda: None
dist.init_process_group = lambda kind: None
for optimizer in sys.argv[4:]:
    train_three_steps(sys.argv[1], f"{sys.argv[2]}/{optimizer}", sys.argv[3], optimizer)
end()
"""
"""One group for all: processes that make a second one may wait for each other for ever."""
OPTIMIZERS = ("muon", "adamw")


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(folder, tmp_path):
    """With either optimiser; the processes are started once for both."""
    (tmp_path / "team.py").write_text(TEAM)
    for name, optimizer in itertools.product(("two", "one", "half"), OPTIMIZERS):
        (tmp_path / name / optimizer).mkdir(parents=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    child = subprocess.run(
        [sys.executable, *launcher, tmp_path / "team.py", folder, tmp_path / "two", "2", *OPTIMIZERS],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{TESTS}:{TESTS / 'training'}", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    for optimizer in OPTIMIZERS:
        moved = {}
        for name, crops in (("two", 4), ("one", 4), ("half", 2)):
            if name != "two":
                train_three_steps(str(folder), str(tmp_path / name / optimizer), str(crops), optimizer)
            tensors = load_file(tmp_path / name / optimizer / "moved.safetensors")
            assert tensors.pop("crops") == 3 * crops
            moved[name] = torch.cat([t.flatten() for t in tensors.values()])
        apart = {name: float((moved[name] - moved["one"]).norm() / moved["one"].norm()) for name in ("two", "half")}
        assert apart["two"] < 0.25 < 0.5 < apart["half"]  # bfloat16, and Muon makes much of small differences


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.bfloat16, 1e-3), (torch.float32, 5e-3)])
def test_muon_is_torchs_muon(monkeypatch, kind: torch.dtype, tolerance: float):
    """Which works in bfloat16 everywhere; ours only where that is fast."""
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("torch.optim.Muon came with torch 2.9")
    monkeypatch.setattr("vaecodec.training.optim.fast_type", lambda device: kind)
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 5), (5, 8), (8, 5), (6, 6)]
    ours = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    a, b = Muon(ours, lr=0.02, weight_decay=0.01), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.01)
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = p.grad.clone()
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p, q, atol=tolerance)


def test_adamw_is_torchs_after_its_first_steps():
    """Ours does not correct the first averages."""
    generator = torch.Generator().manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(50, generator=generator))
    theirs = torch.nn.Parameter(ours.detach().clone())
    a = AdamW([ours], lr=0.01, weight_decay=0.01)
    b = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), weight_decay=0.01)
    for step in range(103):
        ours.grad = torch.randn(50, generator=generator)
        theirs.grad = ours.grad.clone()
        if step == 100:
            with torch.no_grad():
                theirs.copy_(ours)
        a.step()
        b.step()
    assert torch.allclose(ours, theirs, atol=5e-4)


def test_adamw_with_a_count_is_torchs_from_the_first_step():
    generator = torch.Generator().manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(50, generator=generator))
    theirs = torch.nn.Parameter(ours.detach().clone())
    a = AdamW([ours], lr=0.01, weight_decay=0.01)
    a.count = 0
    b = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), weight_decay=0.01)
    for _ in range(20):
        ours.grad = torch.randn(50, generator=generator)
        theirs.grad = ours.grad.clone()
        a.step()
        b.step()
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_every_parameter_has_one_optimiser():
    model = ImageVAE(CONFIGS["tiny"])
    given = [p for o in build_optimizers(model, "muon") for group in o.param_groups for p in group["params"]]
    assert len(given) == len({id(p) for p in given}) == len(list(model.parameters()))


def test_rates_warm_up_hold_and_fall_to_nothing():
    options = TrainOptions(decay_share=0.35)
    fractions = [rate_fraction(progress, 10000, options) for progress in (0.0, 0.6, 0.8, 0.99, 1.0)]
    assert fractions[:2] == [1.0, 1.0]
    assert fractions[1] > fractions[2] > fractions[3] > fractions[4] == 0.0
    assert rate_fraction(0.0, 0, options) < 0.01
