"""Inference beyond one pass: what each level guarantees, what more steps bring, and how they end early."""

from __future__ import annotations

import signal
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY, picture
from PIL import Image
from skimage import data as photographs

from vaecodec.cli.interruption import keeping_the_best
from vaecodec.cli.main import main
from vaecodec.codec.codec import Codec
from vaecodec.codec.encoder import PictureEncoder
from vaecodec.coding.symbol_choice import SymbolWeights
from vaecodec.errors import VaecodecError
from vaecodec.format.container import QUALITY_MAX, quality_code, read_header
from vaecodec.inference import gradient_choice, latent_descent
from vaecodec.inference.effort import EFFORTS, LEVELS, SHOWN_FROM
from vaecodec.networks.prior import Cells
from vaecodec.objective.bound import nearest
from vaecodec.objective.distortion import DISTORTIONS, ssimulacra2, to_tensor


def crop(name: str, width: int, height: int, left: int = 60, top: int = 40) -> np.ndarray:
    return np.ascontiguousarray(getattr(photographs, name)()[top : top + height, left : left + width, :3])


PICTURES = {
    "astronaut": crop("astronaut", 128, 96),
    "coffee": crop("coffee", 100, 130),
    "cat": crop("chelsea", 67, 49),
    "drawn": picture(97, 64),
    "dot": picture(1, 1),
}


@pytest.fixture(scope="module")
def light() -> Codec:
    """The model for squared error."""
    return Codec("light-psnr")


def objective(codec: Codec, rgb: np.ndarray, quality: float, effort: int, steps: int = 300) -> float:
    """λ·D + R of what is written, ended after a number of steps."""
    ended = lambda done, _: done < steps
    return codec.objective(rgb, codec.encode(rgb, quality_code(quality), effort=effort, progress=ended))


# --- levels


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_levels_rise(distortion: str) -> None:
    steps = [level.steps for level in EFFORTS[distortion]]
    assert (
        len(steps) == LEVELS and steps[:SHOWN_FROM] == [0] * SHOWN_FROM and steps == sorted(steps) and steps[-1] <= 300
    )
    choices = [level.choices for level in EFFORTS[distortion]]
    assert choices == sorted(choices)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("quality", [1, 40, 100])
def test_no_level_is_worse_than_none(tiny, name: str, quality: float) -> None:
    base = objective(tiny, PICTURES[name], quality, 0)
    for effort in (1, 2, 3, 4):
        assert objective(tiny, PICTURES[name], quality, effort, steps=5) <= base


@pytest.mark.slow
def test_the_first_level_is_not_worse_where_choosing_symbols_is(light) -> None:
    """At the lowest qualities the weights of the choice are set for small files, and it may cost more than it saves."""
    original = crop("astronaut", 256, 224, 0, 0)
    for quality in (2, 5, 8):
        assert objective(light, original, quality, 1) <= objective(light, original, quality, 0)


def compared(codec: Codec, monkeypatch, rgb: np.ndarray, quality: float, effort: int) -> int:
    """How many codings of a picture an encoder decodes to compare them."""
    calls, original = [], PictureEncoder.shown
    with monkeypatch.context() as patch:
        patch.setattr(PictureEncoder, "shown", lambda *args: calls.append(args) or original(*args))
        codec.encode(rgb, quality_code(quality), effort=effort, coding=0)
    return len(calls)


def test_the_first_level_compares_in_doubt_only(light, monkeypatch) -> None:
    photo = crop("coffee", 320, 256)
    assert compared(light, monkeypatch, photo, 40, 0) == 0
    assert compared(light, monkeypatch, photo, 40, 1) == 0
    assert compared(light, monkeypatch, photo[:48, :48], 5, 1) == 2  # few symbols: their errors do not average out
    with monkeypatch.context() as patch:
        patch.setattr("vaecodec.codec.encoder.CLEAR_RATIO", 10.0)
        assert compared(light, monkeypatch, photo, 40, 1) == 2
    assert compared(light, monkeypatch, photo, 40, 2) == 2


def test_the_first_level_takes_the_nearest_symbols_where_little_is_saved(light, monkeypatch) -> None:
    """A noisy picture at a high quality: hardly any symbol can be spared, and what it costs is uncertain."""
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    assert compared(light, monkeypatch, noise, 95, 1) == 0
    assert light.compress(noise, quality=95, effort=1) == light.compress(noise, quality=95, effort=0)
    assert light.compress(noise, quality=10, effort=1) != light.compress(noise, quality=10, effort=0)


@pytest.mark.slow
@pytest.mark.parametrize("quality", [15, 45, 75, 95])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_the_first_level_is_not_worse_where_it_does_not_compare(light, name: str, quality: float) -> None:
    rgb = crop(name, 288, 224)
    assert objective(light, rgb, quality, 1) <= objective(light, rgb, quality, 0)


@pytest.mark.parametrize("effort", [0, 1, 2, 4])
def test_large_pictures_are_no_worse_and_hold_one_try_at_a_time(tiny, monkeypatch, effort: int) -> None:
    rgb, seen, most, encode = PICTURES["cat"], [], [], tiny.coder.encode_at
    plain = tiny.encode(rgb, quality_code(50), effort=0, coding=0)

    def counted(hyper, y, *rest):
        seen.append(weakref.ref(y))
        most.append(len({id(held) for ref in seen if (held := ref()) is not None}))
        return encode(hyper, y, *rest)

    monkeypatch.setattr("vaecodec.codec.encoder.LARGE_PIXELS", 100)
    monkeypatch.setattr(tiny.coder, "encode_at", counted)
    large = tiny.encode(rgb, quality_code(50), effort=effort)
    assert max(most) == 1
    assert large.coding == 0 and tiny.objective(rgb, large) <= tiny.objective(rgb, plain)


def test_what_does_not_decode_is_not_handed_out(tiny, monkeypatch) -> None:
    encode = tiny.coder.encode_at
    wrong = lambda *args: replace(latents := encode(*args), symbols_crc=latents.symbols_crc ^ 1)
    monkeypatch.setattr(tiny.coder, "encode_at", wrong)
    for asked in ({"quality": 50}, {"size": 2000}):
        with pytest.raises(VaecodecError, match="does not decode"):
            tiny.compress(PICTURES["cat"], effort=1, **asked)


@pytest.mark.slow
@pytest.mark.parametrize("quality", [30.0, 70.0])
def test_steps_pay(light, quality: float) -> None:
    original = PICTURES["astronaut"]
    base, chosen, refined = (objective(light, original, quality, effort) for effort in (0, 3, 5))
    assert chosen < 0.997 * base
    assert refined < 0.99 * base


@pytest.mark.slow
@pytest.mark.parametrize("quality", [20.0, 70.0])
def test_every_kind_of_level_gains_on_the_one_before(light, quality: float) -> None:
    """In the mean over pictures."""
    originals = [crop(name, 144, 128) for name in ("astronaut", "coffee")]
    totals = [sum(objective(light, rgb, quality, effort) for rgb in originals) for effort in (0, 2, 3, 4)]
    assert totals == sorted(totals, reverse=True)
    assert totals[2] < 0.98 * totals[0]
    assert totals[3] < 0.997 * totals[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["astronaut", "coffee", "cat", "drawn"])
def test_descent_lowers_the_discrete_bound(light, name: str) -> None:
    """Of the float prior at the nearest symbols, before anything is coded or compared."""
    rgb = PICTURES[name]
    x = to_tensor(rgb)
    height, width = rgb.shape[:2]
    padded = torch.nn.functional.pad(x, (0, -width % 16, 0, -height % 16), mode="replicate")
    quality = torch.tensor([0.5])
    with torch.no_grad():
        y, z = light.model.infer(padded, quality)
        refined = latent_descent.refine(
            light.model, lambda rows, columns: x[:, :, rows, columns], z, y.clone(), quality, 16
        )

        def cost(z: torch.Tensor, y: torch.Tensor) -> float:
            picture, bound = light.model.bound(padded, z, y, quality, nearest)
            error = (picture[:, :, :height, :width].clamp(0, 1) - x).square().mean()
            bits = bound.total_bpp * padded[0, 0].numel() / (height * width)
            return float(light.model.config.lmbda(quality) * 255**2 * error + bits)

        assert cost(*refined) < cost(z, y)


def test_files_are_the_same_every_time(tiny) -> None:
    few = lambda done, _: done < 4
    for effort in (3, 4):
        files = [tiny.compress(PICTURES["cat"], effort=effort, progress=few) for _ in range(2)]
        assert files[0] == files[1]


def test_refined_files_decode_to_the_symbols_that_were_coded(tiny) -> None:
    rgb = PICTURES["cat"]
    shown = np.asarray(tiny.decompress(tiny.compress(rgb, quality=60, effort=3)))
    latents = tiny.encode(rgb, quality_code(60), effort=3)
    assert np.array_equal(shown, tiny.synthesize(latents))


# --- what looks good


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("quality", [1, 60])
def test_no_level_looks_worse_than_none(looks, name: str, quality: float) -> None:
    base = objective(looks, PICTURES[name], quality, 0)
    for effort in (1, 2, 3):
        assert objective(looks, PICTURES[name], quality, effort) <= base


@pytest.mark.slow
def test_gradients_pay(looks) -> None:
    """In the mean over pictures and qualities, more of them more; one of them everywhere."""
    originals = [crop(name, 160, 144, 100, 100) for name in ("astronaut", "coffee")]
    efforts, qualities = (0, 1, 2, 3, 5), (15.0, 60.0)
    total = lambda effort, quality: sum(objective(looks, rgb, quality, effort) for rgb in originals)
    totals = np.array([[total(effort, quality) for quality in qualities] for effort in efforts])
    relative = totals / totals[0]
    assert (relative[2] < 0.982).all()
    assert list(relative.mean(1)) == sorted(relative.mean(1), reverse=True)


@pytest.mark.slow
def test_gradients_of_tiles_choose_as_one_does(looks, monkeypatch) -> None:
    rgb, costs = crop("coffee", 256, 192), {}
    base = objective(looks, rgb, 60, 0)
    for area in (256, 4):
        monkeypatch.setattr(gradient_choice, "AREA", area)
        costs[area] = objective(looks, rgb, 60, 3)
    assert costs[4] < 0.99 * base
    assert costs[4] == pytest.approx(costs[256], rel=0.01)


@pytest.mark.slow
def test_gradients_can_be_ended_early(looks) -> None:
    rgb, calls = PICTURES["astronaut"], []
    latents = looks.encode(rgb, quality_code(50), effort=9, progress=lambda *step: calls.append(step) or len(calls) < 2)
    count = EFFORTS["looks"][9].choices
    assert calls == [(1, count), (2, count)]
    assert looks.objective(rgb, latents) <= objective(looks, rgb, 50, 0)


@pytest.mark.slow
@pytest.mark.parametrize("effort", [2, 3])
def test_chosen_symbols_go_with_bits_back(looks, effort: int) -> None:
    rgb = crop("coffee", 256, 256)
    data = looks.compress(rgb, quality=60, effort=effort, coding=1)
    header = read_header(data)
    assert header.coding == 1
    decoded = np.asarray(looks.decompress(data))
    assert (
        ssimulacra2(rgb, decoded) > ssimulacra2(rgb, np.asarray(looks.decompress(looks.compress(rgb, quality=60)))) - 2
    )


def test_weights_lie_where_symbols_do() -> None:
    """A product of two factors, cut into cells as latents are; nowhere below the smallest."""
    positions, channels = torch.rand(1, 1, 6, 10) + 0.5, torch.rand(1, 8, 1, 1) + 0.5
    weights = SymbolWeights(positions, channels, 0.6)
    plane = (positions * channels).clamp_min(0.6)
    for step in range(4):
        area = (slice(1, 3), slice(2, 5))
        assert torch.equal(weights.part(step, area), Cells.part(plane, step)[..., 1:3, 2:5])


# --- tiles


def refined(codec: Codec, rgb: np.ndarray, quality: float, steps: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Latents of a picture whose sides are multiples of 16, before and after."""
    x, condition = to_tensor(rgb), torch.tensor([quality_code(quality) / QUALITY_MAX])
    with torch.no_grad():
        y, z = codec.model.infer(x, condition)
    after = latent_descent.refine(
        codec.model, lambda rows, columns: x[:, :, rows, columns], z, y.clone(), condition, steps
    )
    return [z, y], list(after)


@pytest.mark.slow
@pytest.mark.parametrize("effort", [3, 4])
def test_tiles_are_as_good_as_one(tiny, monkeypatch, effort: int) -> None:
    rgb, costs = crop("coffee", 208, 144), {}
    levels = EFFORTS["mse"]
    monkeypatch.setitem(EFFORTS, "mse", (*levels[:4], replace(levels[4], steps=10)))
    base = objective(tiny, rgb, 50, 0)
    for area in (256, 4):
        monkeypatch.setattr(gradient_choice, "AREA", area)
        costs[area] = objective(tiny, rgb, 50, effort)
    assert costs[4] < base
    assert costs[4] == pytest.approx(costs[256], rel=0.01)


def test_what_is_held_does_not_move(tiny, monkeypatch) -> None:
    """An interruption in the second tile leaves the third one as the encoder inferred it."""
    monkeypatch.setattr(gradient_choice, "AREA", 4)
    rgb = crop("coffee", 384, 128)
    x, condition = to_tensor(rgb), torch.tensor([0.5])
    with torch.no_grad():
        y, z = tiny.model.infer(x, condition)
    target = lambda rows, columns: x[:, :, rows, columns]
    told = []

    def progress(done: int, total: int) -> bool:
        told.append((done, total))
        return done < 7

    after_z, after_y = latent_descent.refine(tiny.model, target, z, y.clone(), condition, 5, progress)
    assert told == [(done, 15) for done in range(1, 8)]
    assert torch.allclose(after_y[..., 16:], y[..., 16:], atol=1e-5) and torch.equal(after_z[..., 4:], z[..., 4:])
    assert not torch.allclose(after_y[..., :8], y[..., :8], atol=1e-3)
    assert not torch.allclose(after_y[..., 8:16], y[..., 8:16], atol=1e-3)


def test_a_bound_that_is_no_number_leaves_latents_alone(tiny, monkeypatch) -> None:
    monkeypatch.setattr(latent_descent._Part, "step", lambda self, share: float("nan"))
    (z, y), (after_z, after_y) = refined(tiny, crop("coffee", 64, 64), 50, 3)
    assert torch.equal(after_z, z) and torch.allclose(after_y, y, atol=1e-5)


# --- interruption


def test_the_best_so_far_is_taken(tiny) -> None:
    rgb, calls = PICTURES["astronaut"], []
    latents = tiny.encode(rgb, quality_code(50), effort=9, progress=lambda *step: calls.append(step) or len(calls) < 3)
    assert calls == [(1, EFFORTS["mse"][9].steps), (2, EFFORTS["mse"][9].steps), (3, EFFORTS["mse"][9].steps)]
    assert tiny.objective(rgb, latents) <= objective(tiny, rgb, 50, 0)


def test_ctrl_c_keeps_the_best_and_a_second_one_gives_up(capsys) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), keeping_the_best("a.png", 9) as progress:
        assert progress(1, 10)
        signal.raise_signal(signal.SIGINT)
        assert not progress(2, 10)
        assert "a.png: the best so far is taken; Ctrl-C again" in capsys.readouterr().err
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    with keeping_the_best("a.png", SHOWN_FROM - 1) as progress:
        assert progress is None and signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("interrupts", [1, 2])
def test_ctrl_c_on_the_command_line(tmp_path: Path, monkeypatch, interrupts: int) -> None:
    source, target = tmp_path / "a.png", tmp_path / "a.vae"
    Image.fromarray(PICTURES["cat"]).save(source)
    step, steps = latent_descent._Part.step, []

    def interrupted(window, share: float) -> float:
        steps.append(share)
        if len(steps) == 2:
            for _ in range(interrupts):
                signal.raise_signal(signal.SIGINT)
        return step(window, share)

    monkeypatch.setattr(latent_descent._Part, "step", interrupted)
    result = CliRunner().invoke(main, ["compress", str(source), str(target), "-m", str(TINY), "-e", "4"])
    assert "the best so far is taken" in result.stderr
    assert len(steps) == 2
    assert (result.exit_code, target.exists()) == ((0, True) if interrupts == 1 else (130, False))


def test_ctrl_c_ends_a_run_into_a_folder_and_it_is_done_again(tmp_path, monkeypatch) -> None:
    names = ("a.png", "b.png")
    for number, name in enumerate(names):
        Image.fromarray(picture(24, 16, number)).save(tmp_path / name)
    step = latent_descent._Part.step

    def interrupted(window, share: float) -> float:
        signal.raise_signal(signal.SIGINT)
        return step(window, share)

    monkeypatch.setattr(latent_descent._Part, "step", interrupted)
    monkeypatch.chdir(tmp_path)
    command = ["compress", *names, "-o", "out", "--resume", "-m", str(TINY), "--graphics", "off", "-e"]
    result = CliRunner().invoke(main, [*command, "4"])
    assert (result.exit_code, list(Path("out").iterdir())) == (130, [])
    assert "the best so far" not in result.stderr
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, [*command, "4"]).exit_code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.vae", "b.vae"]
