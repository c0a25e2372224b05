"""The codec of this package behind the benchmarks' interface, and the same without its prior."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from vaecodec.baselines.coefficients import CoefficientCoder, Statistics, pack_header, unpack_header
from vaecodec.baselines.collection import baseline_path
from vaecodec.codec.codec import Codec
from vaecodec.errors import ModelError
from vaecodec.format.container import QUALITIES, QUALITY_MAX
from vaecodec.format.tensors import read
from vaecodec.inference.effort import DEFAULT_EFFORT
from vaecodec.networks.config import PATCH


class VaeCodec:
    """`.vae` files; see `ImageCodec`.

    Args:
        model: by name or path; `None` for the default.
        name: of the curve.
    """

    qualities = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    quality_range = QUALITIES
    whole_qualities = False

    def __init__(self, model: str | Path | None = None, name: str = "vaecodec"):
        self.codec, self.name = Codec(model), name
        trained_for = self.codec.stored.config.distortion
        self.settings = f"model {self.codec.name}, trained for {trained_for}, effort {DEFAULT_EFFORT}"
        self.version = f"model id {self.codec.stored.model_id.hex()}"

    def compress(self, image: np.ndarray, quality: float) -> bytes:
        return self.codec.compress(image, quality=quality, graphics=False)

    def decompress(self, data: bytes) -> np.ndarray:
        return np.asarray(self.codec.decompress(data).convert("RGB"))


class FactorisedCodec(VaeCodec):
    """The same transforms and gains, the latents coded against a table a channel: no hyperprior, no context.

    The distance from `VaeCodec` is what the prior's knowledge of the picture is worth.

    Args:
        model: as for `VaeCodec`; its tables must have been fitted (benchmarks/fit_baselines.py factorised).
        statistics: of the normalised latents at quality codes spread evenly, to use instead of stored ones.
    """

    KNOTS = 9

    def __init__(
        self,
        model: str | Path | None = None,
        name: str = "vaecodec, factorised",
        statistics: list[Statistics] | None = None,
    ):
        super().__init__(model, name)
        self.settings = f"model {self.codec.name}, a table a channel, no hyperprior or context, RDO and centroids"
        self._coders = [CoefficientCoder(s, optimise=True) for s in statistics or self._stored()]

    @property
    def file_name(self) -> str:
        """Of the fitted tables."""
        return f"factorised-{self.codec.stored.model_id.hex()}"

    def _stored(self) -> list[Statistics]:
        path = baseline_path(self.file_name)
        if path is None:
            raise ModelError(f"{self.file_name} has not been fitted (benchmarks/fit_baselines.py factorised)")
        try:
            tensors = load(read(path)[1])
            keys = ("mean", "scale", "cdf")
            return [Statistics.of({k: tensors[f"{knot}.{k}"] for k in keys}) for knot in range(self.KNOTS)]
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"{path}: no fitted tables ({error})") from error

    @classmethod
    def fit(cls, codec: Codec, images: Iterable[np.ndarray], path: Path) -> None:
        """Fits the tables on training pictures `[H, W, 3]` uint8 and writes them to a folder."""
        latents: list[list[np.ndarray]] = [[] for _ in range(cls.KNOTS)]
        for image in images:
            for knot, values in enumerate(latents):
                values.append(analyse(codec, image, round(knot / (cls.KNOTS - 1) * QUALITY_MAX)))
        tensors: dict[str, np.ndarray] = {}
        for knot, values in enumerate(latents):
            tensors |= {f"{knot}.{key}": value for key, value in Statistics.fit(values).tensors().items()}
        save_file(tensors, path / f"factorised-{codec.stored.model_id.hex()}.safetensors")

    def _at(self, code: int) -> tuple[CoefficientCoder, np.ndarray]:
        """The coder of the nearest knot, and the steps of the code: a symbol is one unit of latents times gain."""
        knot = round(code / QUALITY_MAX * (len(self._coders) - 1))
        gain = self.codec.prior.at(code).gain
        return self._coders[knot], 1 / gain.flatten().cpu().numpy()

    def compress(self, image: np.ndarray, quality: float) -> bytes:
        code = self.codec.stored.qualities.code(quality)
        coder, steps = self._at(code)
        symbols = coder.quantise(analyse(self.codec, image, code), steps)
        return pack_header(image.shape, code) + coder.encode(symbols, steps)

    def decompress(self, data: bytes) -> np.ndarray:
        height, width, code, payload = unpack_header(data)
        coder, steps = self._at(code)
        rows, columns = -(-height // PATCH), -(-width // PATCH)
        y_hat = coder.restore(coder.decode(payload, rows * columns, steps), steps) / steps
        grid = torch.from_numpy(np.ascontiguousarray(y_hat.T)).reshape(1, -1, rows, columns).to(self.codec.device)
        return self.codec.transforms.synthesise(grid, self.codec.prior.at(code).gain, (width, height), code)


@torch.no_grad()
def analyse(codec: Codec, image: np.ndarray, code: int) -> np.ndarray:
    """`[H, W, 3]` uint8 to the model's normalised latents, `[N, M]`."""
    x = torch.from_numpy(np.array(image)).to(codec.device).permute(2, 0, 1)[None].float() / 255 - 0.5
    x = F.pad(x, (0, -image.shape[1] % PATCH, 0, -image.shape[0] % PATCH), mode="replicate")
    condition = torch.tensor([code / QUALITY_MAX], device=codec.device)
    y = codec.model.analysis(x.contiguous(memory_format=torch.channels_last), condition)
    return y[0].flatten(1).T.cpu().numpy()
