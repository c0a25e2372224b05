"""Runs of training: they end in time, leave pieces and trunks, and go on without what a machine lacks."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from conftest import picture
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from vaecodec.cli.main import main
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.model import ImageVAE
from vaecodec.networks.weights import load_model, save_model
from vaecodec.training.data.pictures import Pictures
from vaecodec.training.loop import Trainer
from vaecodec.training.optim import build_optimizers
from vaecodec.training.options import TrainOptions
from vaecodec.training.run import plot_log, run
from vaecodec.training.runtime import checkpoint
from vaecodec.training.runtime.clock import Clock
from vaecodec.training.runtime.graph import WARM_UP, Replayed
from vaecodec.training.start import read_start

OPTIONS = TrainOptions(config="tiny", hours=4 / 3600, batch=2, crop=64, final_crop=64, prior_share=0.0)
SMALL = {"batch": 2, "crop": 64, "final_crop": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures, of which none is held out but one that is named so."""
    path = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        Image.fromarray(picture(160, 128, seed=i)).save(path / f"p{i}.png")
    Image.fromarray(picture(160, 128, seed=9)).save(path / "h75.png")
    return path


# --- time


def test_the_clock_keeps_time_for_the_end():
    clock = Clock(100 / 3600, time.monotonic() - 35)
    assert clock.progress == pytest.approx(0.35, abs=0.01)
    clock.parts |= {"validation": 10.0, "export": 13.0}
    assert clock.kept_s == pytest.approx(1.3 * 23 + 0.5) and clock.progress == pytest.approx(0.5, abs=0.01)
    clock.spent_before_s = 35
    assert clock.progress == pytest.approx(1.0, abs=0.01) and abs(clock.left_s) < 1
    clock.parts["export"] = 1000.0
    assert clock.kept_s == pytest.approx(60)  # something is trained however short the run


@pytest.mark.slow
def test_a_run_ends_in_time_decayed_and_exported(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vaecodec.training.run.plot_log", lambda log, picture: None)  # matplotlib takes a while to come
    begun, hours = time.monotonic(), 12 / 3600
    data = tmp_path / "data"
    data.mkdir()
    for path in folder.glob("p[0-3].png"):
        (data / path.name).write_bytes(path.read_bytes())
    run(
        "tiny", [data], hours, tmp_path / "run", export=tmp_path / "out" / "end.safetensors", trunk=tmp_path / "trunk",
        graphics=(folder,), distortion="looks", memory_bytes=1e8, begun=begun, **SMALL,
    )  # fmt: skip
    assert time.monotonic() - begun < 3600 * hours + 8  # to the second where nothing else runs
    stored = load_model(tmp_path / "out" / "end.safetensors")
    assert stored.config.distortion == "looks"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["end.safetensors"]
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (parted,) = (entry["crops"] for entry in entries if "trunk" in entry)
    checks = [entry["crops"] for entry in entries if "validation_graphics" in entry]
    assert checks[0] == 0 <= parted < checks[-1]
    again = ImageVAE(stored.config)
    found = checkpoint.read(tmp_path / "run")[0]
    again.load_state_dict(checkpoint.part(found, "ema/"))
    assert all(torch.allclose(stored.weights()[k], v, atol=1e-2) for k, v in again.state_dict().items())


@pytest.mark.slow
def test_time_is_kept_for_the_validation_of_what_has_arrived(folder, tmp_path):
    pictures = Pictures([folder], minimum=64)
    trainer = Trainer(OPTIONS, pictures, tmp_path)
    trainer._validate()
    before = trainer.clock.parts["validation"]
    pictures.validation |= {f"more{i}": pictures.validation["h75.png"] for i in range(3)}
    trainer._keep_for_validation()
    assert before > 0 and trainer.clock.parts["validation"] == pytest.approx(4 * before)


# --- what a machine lacks


def test_steps_go_on_where_no_graph_can_be_recorded(capsys):
    calls = []
    replayed = Replayed(lambda: calls.append(len(calls)), torch.device("cpu"), enabled=True)
    for _ in range(WARM_UP + 3):
        replayed()
    assert len(calls) == WARM_UP + 3 and replayed.graph is None
    said = capsys.readouterr().err
    assert said.startswith("no CUDA graph, steps go on without: ") and said.count("\n") == 1


class Reads(TorchDispatchMode):
    """Notes operations for which a device would be waited for, or a value brought to it."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.seen.append(function.__name__.split(".")[0])
        return function(*arguments, **(keywords or {}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"distortion": "looks"}, {"frozen_encoder": True}, {"optimizer": "adamw"}], ids=str
)
def test_a_step_reads_nothing_back(folder, tmp_path, options):
    trainer = Trainer(replace(OPTIONS, **options), Pictures([folder], minimum=64), tmp_path)
    trainer._train_step()
    with Reads() as reads:
        trainer.replayed()
    assert "convolution_backward" in reads.seen and "index_select" in reads.seen
    assert not {"_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "equal"} & set(reads.seen)


def test_a_recording_is_replayed_until_the_tensors_are_others(monkeypatch):
    made = []

    class Graph:
        def __init__(self):
            self.replays = 0
            made.append(self)

        def replay(self):
            self.replays += 1

    class Recording:
        def __init__(self, graph, stream):
            pass

        def __enter__(self):
            calls.append("recorded")

        def __exit__(self, *error):
            calls.pop()  # what runs in a recording has no effect

    calls = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Recording)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    replayed = Replayed(lambda: calls.append("run"), torch.device("cpu"), enabled=True)
    for _ in range(WARM_UP + 5):
        replayed()
    assert made[0].replays == 5
    replayed.forget()
    for _ in range(WARM_UP + 1):
        replayed()
    assert len(made) == 2 and made[0].replays == 5 and made[1].replays == 1


@pytest.mark.slow
def test_steps_go_on_where_nothing_can_be_compiled(folder, tmp_path, monkeypatch, capsys):
    def failing(*arguments):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(torch, "compile", lambda function: failing)
    trainer = Trainer(replace(OPTIONS, compile=True), Pictures([folder], minimum=64), tmp_path)
    weight = trainer.model.synthesis.stem.weight.detach().clone()
    trainer._train_step()
    assert "not compiled, steps go on without: no compiler\n" in capsys.readouterr().err
    assert not torch.equal(trainer.model.synthesis.stem.weight, weight)
    trainer.forward = failing
    with pytest.raises(RuntimeError, match="no compiler"):
        trainer._train_step()


# --- pieces and trunks


@pytest.mark.slow
def test_checkpoints_are_pieces_of_which_the_newest_whole_ones_count(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 140_000)
    monkeypatch.setattr(checkpoint, "HEADER_BYTES", 20_000)
    trainer = Trainer(OPTIONS, Pictures([folder], minimum=64), tmp_path)
    for _ in range(3):
        trainer._train_step()
        trainer._save()
    pieces = sorted(tmp_path.glob("checkpoint-*.safetensors"))
    assert {path.name[:19] for path in pieces} == {"checkpoint-00000002", "checkpoint-00000003"}
    assert len(pieces) > 5 and max(path.stat().st_size for path in pieces) <= 140_000
    assert checkpoint.read(tmp_path)[1]["step"] == 3
    again = Trainer(OPTIONS, Pictures([folder], minimum=64), tmp_path)
    for a, b in ((trainer.model, again.model), (trainer.ema, again.ema)):
        assert all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())
    for (_, p), (_, q) in zip(trainer.model.named_parameters(), again.model.named_parameters(), strict=True):
        ours, theirs = ({**o[0].state[w], **o[1].state[w]} for o, w in ((trainer.optimizers, p), (again.optimizers, q)))
        assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in ours.items())
    whole = pieces[-1].read_bytes()
    pieces[-1].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert checkpoint.read(tmp_path)[1]["step"] == 2
    pieces[-1].unlink()
    assert checkpoint.read(tmp_path)[1]["step"] == 2
    (tmp_path / "checkpoint-00000002.json").write_text("{")
    assert checkpoint.read(tmp_path) is None


@pytest.mark.slow
def test_a_run_goes_on_from_a_trunk_with_its_momentum(folder, tmp_path):
    first = Trainer(OPTIONS, Pictures([folder], minimum=64), tmp_path / "a", trunk=tmp_path / "trunk")
    for _ in range(4):
        first._train_step()
    first._write_trunk()
    start = read_start(str(tmp_path / "trunk"))
    second = Trainer(OPTIONS, Pictures([folder], minimum=64), tmp_path / "b", start)
    assert second.step == 4 and second.crops == 8
    for (name, p), (_, q) in zip(first.model.named_parameters(), second.model.named_parameters(), strict=True):
        exact = ".linear." in name or name.endswith(".table") or p.ndim != 2
        assert torch.allclose(p, q, rtol=0 if exact else 2**-8, atol=0 if exact else 1e-30), name
        ours, theirs = ({**o[0].state[w], **o[1].state[w]} for o, w in ((first.optimizers, p), (second.optimizers, q)))
        assert ours.keys() == theirs.keys()
        assert all(torch.allclose(value, theirs[key], rtol=2**-8, atol=1e-30) for key, value in ours.items())
    second._train_step()
    assert second._read()["loss"] > 0


def test_the_trunk_of_light_is_small_enough_to_be_kept_and_sent(tmp_path):
    model = ImageVAE(CONFIGS["light"])
    optimizers = build_optimizers(model, "muon")
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in optimizers:
        optimizer.step(share=0.0)
    checkpoint.write(tmp_path, checkpoint.TRUNK, 1, model, optimizers, {})
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert sum(sizes) < 20e6 and max(sizes) < 15e6


@pytest.mark.slow
def test_weights_of_another_distortion_may_be_the_start(folder, tmp_path):
    save_model(ImageVAE(replace(CONFIGS["tiny"], distortion="looks")), tmp_path / "looks.safetensors")
    for told, is_ in (("mse", "mse"), ("", "looks")):
        model = run(
            "tiny", [folder], 1 / 3600, tmp_path / is_, init=str(tmp_path / "looks.safetensors"), distortion=told,
            memory_bytes=1e8, **SMALL,
        )  # fmt: skip
        assert model.config.distortion == is_


def test_the_command_hands_everything_on(folder, tmp_path):
    start = ["train", "--config", "tiny", "--data", str(folder), "--hours", "0.001", "--resume", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*start, "--set", "z_channels"])
    assert result.exit_code == 2 and "not NAME=NUMBER" in result.output
    more = ["--set", "z_channels=9", "--graphics", str(folder), "--memory", "0.1", "--distortion", "looks"]
    result = CliRunner().invoke(main, [*start, *more, "--trunk", str(tmp_path / "trunk"), "--no-graph"])
    assert result.exit_code == 1 and "no size that can be set: z_channels" in result.output
    result = CliRunner().invoke(main, [*start, "--init", str(tmp_path)])
    assert result.exit_code == 4 and "no whole trunk in this folder" in result.output


def test_a_log_of_anything_is_drawn(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    entry = '{"step": 1, "crops": 4, "loss": 0.5, "bpp": 1.0, "psnr_db": 30.0}\n'
    log, picture = tmp_path / "log.jsonl", tmp_path / "log.png"
    log.write_bytes(b"somebody's notes\n[1]\n{}\n\xff\n" + entry.encode() * 2 + b'{"step"')
    plot_log(log, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
