"""A plain autoencoder and its twin, a VAE: the same networks from the same start on the same crops.

    x ── analysis ── y ── one step a channel, set by quality ── ANS against a table a channel ── synthesis ── x_hat

The autoencoder is trained for reconstruction alone and quantised afterwards. The VAE pays for its latents' rate under a
factorised prior (noise stands in for rounding there, as in `ImageVAE`); its steps are the learned gains. What the KL
term buys is the distance between their curves. There is no hyperprior and no context in either. Training is in
`autoencoder_training`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from vaecodec.baselines.coefficients import CoefficientCoder, LogSteps, Statistics, pack_header, unpack_header
from vaecodec.baselines.collection import baseline_path
from vaecodec.errors import ModelError
from vaecodec.format.tensors import read
from vaecodec.networks.blocks import QualityTable
from vaecodec.networks.config import PATCH, ModelConfig
from vaecodec.networks.model import Analysis, Synthesis, init_linear
from vaecodec.objective.bound import Bound, add_noise, bounded_log2_scale, gaussian_bits, round_ste

PAIR = ModelConfig("pair", 256, 8, 64, 2, 64, 2, 16, 1)
"""The one configuration of the pair (its prior's sizes are unused)."""
MIDDLE = 0.5
"""The quality that the networks are told, always the same one: the pair knows of quality through its steps alone."""


class FactorisedPrior(nn.Module):
    """p(y): independent channels, each a mixture of Gaussians about one mean, and the gains that make latents symbols.

    Coefficients of pictures are mostly small and sometimes large: a single Gaussian a channel would make the encoder
    pay for tails that the fitted tables later code cheaply.
    """

    START_LOG2_SCALES = (-2.0, -0.5, 1.0)
    """Of the components, for latents of unit variance."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        channels, start = config.y_channels, torch.tensor(self.START_LOG2_SCALES)
        self.log2_gain = QualityTable(config.quality_knots, channels)
        self.mean = nn.Parameter(torch.zeros(channels))
        self.mixture_log2_scale = nn.Parameter(start[:, None, None, None].repeat(1, channels, 1, 1))
        self.mixture_logit = nn.Parameter(torch.zeros(len(start), channels, 1, 1))

    def gain(self, quality: Tensor) -> Tensor:
        """`[B, M, 1, 1]` symbols per unit of the latents."""
        return torch.exp2(self.log2_gain(quality))

    def bits(self, symbols: Tensor, gain: Tensor) -> Tensor:
        """Code length of noisy symbols, elementwise."""
        deviation = symbols - self.mean[:, None, None] * gain
        log2_gain, weights = torch.log2(gain), torch.log_softmax(self.mixture_logit, 0)
        nats = [
            weight - math.log(2) * gaussian_bits(deviation, bounded_log2_scale(log2_scale + log2_gain))
            for weight, log2_scale in zip(weights, self.mixture_log2_scale, strict=True)
        ]
        return torch.logsumexp(torch.stack(nats), 0) / -math.log(2)


class Pair(nn.Module):
    """Both twins: `kl` decides which. Takes from `ImageVAE` its transforms and its start, PCA."""

    def __init__(self, config: ModelConfig = PAIR, *, kl: bool):
        super().__init__()
        self.config, self.kl = config, kl
        self.analysis, self.synthesis = Analysis(config), Synthesis(config)
        self.prior = FactorisedPrior(config)

    def init_linear(self, patches: Tensor) -> None:
        """As `ImageVAE.init_linear`."""
        init_linear(self.config, self.analysis, self.synthesis, self.prior.log2_gain, patches)

    def forward(self, x: Tensor, quality: Tensor, *, discrete: bool = False) -> tuple[Tensor, Bound]:
        """As `ImageVAE.forward`; without `kl` the rate is 0 and the latents pass unharmed."""
        x = x - 0.5
        middle = torch.full_like(quality, MIDDLE)
        y = self.analysis(x, middle).float()
        rate = torch.zeros(len(x), device=x.device)
        if self.kl:
            gain = self.prior.gain(quality)
            symbols = round_ste(y * gain)
            bits = self.prior.bits(symbols if discrete else add_noise(y * gain), gain)
            rate = bits.flatten(1).sum(1) / (x.shape[-2] * x.shape[-1])
            y = symbols / gain
        x_hat = self.synthesis(y, middle).float()
        return x_hat + 0.5, Bound((x_hat - x).square().flatten(1).mean(1), {"y": rate})


@dataclass(frozen=True)
class Quantiser:
    """How a twin's latents become symbols; chosen on training pictures.

    Attributes:
        steps: `[K, M]` float32, relative steps at K knots spread evenly over quality; one row for all but gains.
        optimise: see `CoefficientCoder`.
        how: in words.
    """

    steps: np.ndarray
    optimise: bool
    how: str


class AutoencoderCodec:
    """Either twin as a codec; see `ImageCodec`."""

    qualities = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    quality_range = (1, 100)
    whole_qualities = False
    common_step = LogSteps(40.0, 0.2)
    """Of the autoencoder, times its relative steps; the VAE's gains are steps already."""

    def __init__(self, pair: Pair, quantiser: Quantiser, statistics: Statistics, version: str = "?"):
        self.pair, self.quantiser, self.version = pair.eval().requires_grad_(False), quantiser, version
        self.coder = CoefficientCoder(statistics, optimise=quantiser.optimise)
        self.name = "VAE, factorised prior" if pair.kl else "Autoencoder"
        networks = (pair.analysis, pair.synthesis)
        weights, common = sum(p.numel() for network in networks for p in network.parameters()), self.common_step
        span = "" if pair.kl else f" times {common.largest:g} to {common.smallest:g}"
        self.settings = f"{weights} weights, {quantiser.how}{span}, a table a channel, ANS"

    def steps(self, code: int) -> np.ndarray:
        """`[M]` steps at a quality code."""
        rows = self.quantiser.steps.astype(np.float64)
        if not self.pair.kl:
            return rows[0] * self.common_step.step(code)
        position = code / LogSteps.CODES * (len(rows) - 1)
        lower = min(int(position), len(rows) - 2)
        return np.exp2((1 - position + lower) * np.log2(rows[lower]) + (position - lower) * np.log2(rows[lower + 1]))

    @torch.no_grad()
    def analyse(self, image: np.ndarray) -> np.ndarray:
        """`[H, W, 3]` uint8 to latents `[N, M]`."""
        height, width = image.shape[:2]
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255 - 0.5
        x = F.pad(x, (0, -width % PATCH, 0, -height % PATCH), mode="replicate")
        y = self.pair.analysis(x.contiguous(memory_format=torch.channels_last), torch.tensor([MIDDLE]))
        return y[0].flatten(1).T.numpy()

    @torch.no_grad()
    def synthesise(self, y: np.ndarray, height: int, width: int) -> np.ndarray:
        """Latents `[N, M]` to `[H, W, 3]` uint8."""
        shape = (1, -1, -(-height // PATCH), -(-width // PATCH))
        latents = torch.from_numpy(np.ascontiguousarray(y.T)).float().reshape(shape)
        latents = latents.contiguous(memory_format=torch.channels_last)
        x = self.pair.synthesis(latents, torch.tensor([MIDDLE]))[0, :, :height, :width]
        return x.add_(0.5).mul_(255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()

    def compress(self, image: np.ndarray, quality: float) -> bytes:
        code = self.common_step.code(quality)
        steps = self.steps(code)
        symbols = self.coder.quantise(self.analyse(image), steps)
        return pack_header(image.shape, code) + self.coder.encode(symbols, steps)

    def decompress(self, data: bytes) -> np.ndarray:
        height, width, code, payload = unpack_header(data)
        steps, count = self.steps(code), -(-height // PATCH) * -(-width // PATCH)
        return self.synthesise(self.coder.restore(self.coder.decode(payload, count, steps), steps), height, width)

    def save(self, path: Path, version: str) -> None:
        """Writes what `load` reads; networks in half precision, and no pickle."""
        networks = {k: v for k, v in self.pair.state_dict().items() if not k.startswith("prior.")}
        tensors = {f"pair.{k}": v.detach().half().contiguous() for k, v in networks.items()}
        statistics = self.coder.statistics.tensors() | {"steps": self.quantiser.steps}
        tensors |= {f"coding.{k}": torch.from_numpy(np.ascontiguousarray(v)) for k, v in statistics.items()}
        about = {"kl": self.pair.kl, "optimise": self.quantiser.optimise, "how": self.quantiser.how}
        about |= {"config": self.pair.config.to_dict(), "version": version}
        save_file(tensors, path, {"about": json.dumps(about)})

    @classmethod
    def load(cls, name: str | Path) -> AutoencoderCodec:
        """By name, see `baselines.TWINS`, or path.

        Raises:
            ModelError: it is not there or not one.
        """
        path = name if isinstance(name, Path) else baseline_path(name)
        if path is None:
            raise ModelError(f"{name} has not been trained (benchmarks/train_autoencoder.py)")
        try:
            metadata, data = read(path)
            tensors, about = load(data), json.loads(metadata["about"])
            part = lambda prefix: {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            pair = Pair(ModelConfig(**about["config"]), kl=about["kl"])
            pair.analysis.load_state_dict({k: v.float() for k, v in part("pair.analysis.").items()})
            pair.synthesis.load_state_dict({k: v.float() for k, v in part("pair.synthesis.").items()})
            coding = {k: v.numpy() for k, v in part("coding.").items()}
            quantiser = Quantiser(coding.pop("steps"), about["optimise"], about["how"])
            return cls(pair, quantiser, Statistics.of(coding), about["version"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"{path}: not a trained autoencoder ({error})") from error
