"""A model that has grown does what it did before, until it is trained."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image

from vaecodec.codec.codec import Codec
from vaecodec.errors import VaecodecError
from vaecodec.networks.blocks import space_to_depth
from vaecodec.networks.config import CONFIGS, PATCH
from vaecodec.networks.model import ImageVAE
from vaecodec.networks.weights import save_model
from vaecodec.objective.bound import nearest
from vaecodec.training.data.pictures import Pictures
from vaecodec.training.growth import COARSER, grow
from vaecodec.training.loop import Trainer
from vaecodec.training.options import TrainOptions
from vaecodec.training.run import run
from vaecodec.training.start import Start

OLD = replace(CONFIGS["tiny"], name="old")
DEEPER = {"analysis_blocks": 2, "synthesis_blocks": 3, "prior_blocks": 2}
WIDER = {"analysis_width": 20, "synthesis_width": 24, "prior_width": 28}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        Image.fromarray(picture(160, 128, seed=i)).save(path / f"p{i}.png")
    return Pictures([path], minimum=64)


@pytest.fixture(scope="module")
def patches(pictures):
    return pictures.patches(4000, PATCH, np.random.default_rng(0))


@pytest.fixture(scope="module")
def crops(pictures):
    return pictures.crops(512, 64, np.random.default_rng(0))


@pytest.fixture(scope="module")
def old(patches):
    """A model in which nothing is zero."""
    torch.manual_seed(0)
    model = ImageVAE(OLD)
    model.init_linear(patches)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return model


@torch.no_grad()
def grown(old, crops, **sizes) -> ImageVAE:
    torch.manual_seed(1)
    config = replace(OLD, **sizes)
    model = ImageVAE(config)
    model.load_state_dict(grow(old.state_dict(), OLD, config, lambda: crops))
    return model


@torch.no_grad()
def does(model: ImageVAE, x: torch.Tensor, quality: torch.Tensor):
    """Pictures `[B, 3, H, W]`, and bits by group and z's posterior coding."""
    y, z = model.infer(x, quality)
    gain = model.prior.gain(quality)
    y_hat, bits = model.rate(z, y * gain, quality, nearest)
    first = model.prior.log2_gain(quality)
    q = model.posterior.predict(torch.cat([y_hat[..., ::2, ::2]], 1), first, quality)
    bits |= {"mean": q.mean.flatten(1).sum(1), "scale": q.log2_scale.flatten(1).sum(1)}
    return model._reconstruct(y_hat / gain, quality), torch.stack(list(bits.values()))


@pytest.mark.parametrize("sizes", [DEEPER, WIDER, DEEPER | WIDER], ids=["deeper", "wider", "both"])
def test_deeper_and_wider_is_the_same_function(old, crops, pictures, sizes):
    x = pictures.crops(4, 64, np.random.default_rng(1)).float() / 255
    quality = torch.tensor([0.0, 0.3, 0.8, 1.0])
    model = grown(old, crops, **sizes)
    (x_hat, bits), (other, other_bits) = does(old, x, quality), does(model, x, quality)
    assert (x_hat - other).abs().max() < 1e-5 and (bits - other_bits).abs().max() < 1e-3


@pytest.mark.slow
def test_more_latents_change_nothing_while_they_are_zero(old, crops, pictures):
    x = pictures.crops(4, 64, np.random.default_rng(1)).float() / 255
    quality = torch.tensor([0.0, 0.3, 0.8, 1.0])
    model = grown(old, crops, y_channels=48)
    new = torch.cat([torch.arange(8, 12) + 12 * group for group in range(4)])
    table = model.prior.log2_gain.table
    with torch.no_grad():
        filled = table[:, new].clone()
        table[:, new] = -20.0
    (x_hat, bits), (other, other_bits) = does(old, x, quality), does(model, x, quality)
    assert (x_hat - other).abs().max() < 1e-5 and (bits[:5] - other_bits[:5]).abs().max() < 1e-3
    with torch.no_grad():
        table[:, new] = filled
    y_old, y = old.infer(x, quality)[0], model.infer(x, quality)[0]
    kept = torch.ones(48, dtype=torch.bool)
    kept[new] = False
    assert (y[:, kept] - y_old).abs().max() < 1e-5
    assert (y[:, new].square().mean((0, 2, 3)) < 25).all()


@pytest.mark.slow
def test_new_latents_are_the_next_principal_components(crops):
    patches = space_to_depth(crops.float() / 255 - 0.5, PATCH).permute(0, 2, 3, 1).reshape(-1, 768)
    patches = patches - patches.mean(0)
    model = ImageVAE(OLD)
    model.init_linear(patches)
    larger = ImageVAE(replace(OLD, y_channels=48))
    larger.init_linear(patches)
    more = grown(model, crops, y_channels=48)
    left = []
    for linear in (larger, more):
        weights = linear.synthesis.linear.weight @ linear.analysis.linear.weight
        left.append(float((patches - patches @ weights.T).square().mean().detach()))
    assert left[1] == pytest.approx(left[0], rel=1e-3)
    new = torch.cat([torch.arange(8, 12) + 12 * group for group in range(4)])
    with torch.no_grad():
        more.prior.log2_gain.table[:, new] += math.log2(COARSER)
    gains = [linear.prior.log2_gain.table.sort(1).values for linear in (larger, more)]
    assert torch.allclose(*gains, atol=1e-2)


def test_a_longer_range_changes_nothing_at_equal_lambda(old, crops, pictures):
    config = OLD.with_knots(4)
    assert config.lambda_max == pytest.approx(OLD.lambda_max * 400**0.5) and config.lambda_min == OLD.lambda_min
    x = pictures.crops(4, 64, np.random.default_rng(1)).float() / 255
    quality = torch.tensor([0.0, 0.3, 0.8, 1.0])
    model = grown(old, crops, quality_knots=4, lambda_max=config.lambda_max)
    same = quality * 2 / 3
    assert torch.allclose(config.lmbda(same), OLD.lmbda(quality)) and torch.allclose(
        config.nominal_quality(same), quality
    )
    (x_hat, bits), (other, other_bits) = does(old, x, quality), does(model, x, same)
    assert (x_hat - other).abs().max() < 1e-5 and (bits - other_bits).abs().max() < 2e-3
    finer = does(model, x, torch.ones(4))[1][:5].sum() / does(model, x, torch.full((4,), 2 / 3))[1][:5].sum()
    assert 1.1 < finer < 4  # steps go on becoming smaller


@pytest.mark.slow
def test_a_run_grows_its_start_and_says_what_cannot_grow(old, pictures, tmp_path):
    options = TrainOptions(
        config="tiny", batch=2, crop=64, final_crop=64, sizes=(("y_channels", 40), ("quality_knots", 4), *WIDER.items())
    )
    trainer = Trainer(options, pictures, tmp_path / "a", Start(OLD, old.state_dict()))
    trainer._train_step()
    assert trainer._read()["loss"] > 0 and trainer.config.lambda_max > 6
    save_model(trainer.ema, tmp_path / "larger.safetensors")
    codec = Codec(tmp_path / "larger.safetensors")
    assert codec.decompress(codec.compress(picture(70, 50), quality=90)).size == (70, 50)
    for sizes, says in (
        ((*WIDER.items(), ("quality_knots", 4), ("y_channels", 36)), "y_channels 40 cannot become 36"),
        ((("z_channels", 12),), "no size that can be set: z_channels"),
        ((("name", 12),), "no size that can be set: name"),
    ):
        with pytest.raises(VaecodecError, match=says):
            run("tiny", [tmp_path], 1, tmp_path / "b", init=str(tmp_path / "larger.safetensors"), sizes=sizes)
