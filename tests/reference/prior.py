"""What the prior says about each symbol, in numpy's int64, for one picture: arrays are `[channels, rows, columns]`."""

from __future__ import annotations

import numpy as np


def clip(a: np.ndarray) -> np.ndarray:
    return a.clip(-2047, 2047)


def relu(a: np.ndarray) -> np.ndarray:
    return a.clip(0, 2047)


def up(x: np.ndarray, side: int = 2) -> np.ndarray:
    """Channels to space: `[side² C, h, w]` to `[C, side h, side w]`."""
    channels, height, width = x.shape[0] // side**2, x.shape[1], x.shape[2]
    y = np.zeros((channels, side * height, side * width), x.dtype)
    for i in range(side):
        for j in range(side):
            y[:, i::side, j::side] = x[(side * i + j) * channels :][:channels]
    return y


def shifted_sum(a: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A depthwise 3x3 cross-correlation with zeros around: `[C, h, w]` with `[C, 3, 3]`."""
    height, width = a.shape[1:]
    padded = np.pad(a, ((0, 0), (1, 1), (1, 1)))
    terms = (weight[:, i, j, None, None] * padded[:, i:, j:][:, :height, :width] for i in range(3) for j in range(3))
    return sum(terms)


class Networks:
    """Layers and tables over quality of a model, at a quality code.

    Args:
        tensors: by the names of the format.
        quality: 0 to 2^15.
    """

    def __init__(self, tensors: dict[str, np.ndarray], quality: int):
        self.t = {name: tensor.astype(np.int64) for name, tensor in tensors.items()}
        self.bias = self.row("quality_bias", quality)
        self.z_mean, self.z_log2_scale = self.row("z_mean", quality), self.row("z_log2_scale", quality)

    def row(self, name: str, c: int) -> np.ndarray:
        """A table over quality at a code."""
        table = self.t[name]
        p = c * (len(table) - 1)
        r = min(p >> 15, len(table) - 2)
        f = p - (r << 15)
        return (table[r] * (2**15 - f) + table[r + 1] * f + 2**14) >> 15

    def layer(self, name: str, a: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """A layer, or some of its outputs."""
        weight, bias, shift = (self.t[f"{name}.{part}"][rows] for part in ("weight", "bias", "shift"))
        if name.endswith("spatial"):
            total = shifted_sum(a, weight.reshape(-1, 3, 3))
        else:
            total = (weight @ a.reshape(len(a), -1)).reshape(-1, *a.shape[1:])
        return (total + bias[:, None, None]) >> shift[:, None, None]

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        t = clip(self.layer(f"{name}.spatial", relu(self.layer(f"{name}.mix", x))))
        x = clip(x + self.layer(f"{name}.project", t))
        return clip(x + self.layer(f"{name}.reduce", relu(self.layer(f"{name}.expand", x))))


class Prior(Networks):
    """The prior: tensors whose names begin with `exact.`, without that."""

    def __init__(self, tensors: dict[str, np.ndarray], quality: int):
        super().__init__(tensors, quality)
        self.gain = self.row("log2_gain", quality)

    def hyper(self, z: np.ndarray) -> np.ndarray:
        """z `[Cz, h, w]`, in sixteenths, to h `[W, 4 h, 4 w]`."""
        x = up(self.layer("h_s_in", clip(z)))
        x = self.block("h_s_block", clip(x + self.bias[:, None, None]))
        return self.block("h_s_out", clip(up(self.layer("h_s_up", x))))

    def times_exp2(self, x: np.ndarray, log2: np.ndarray, bits: int) -> np.ndarray:
        """⌊x · e(log2) · 2^(o(log2) + bits) + 1/2⌋."""
        product, power = x * self.t["exp2"][log2 % 1024], log2 // 1024 + bits
        down = np.maximum(-power, 0)
        half = np.where(down > 0, 1 << np.maximum(down - 1, 0), 0)
        return ((product << np.maximum(power, 0)) + half) >> down

    def context(self, y_hat: np.ndarray) -> np.ndarray:
        """Latents `[M, H, W]`, in sixteenths, as the networks take them."""
        v = self.times_exp2(y_hat, -self.gain[:, None, None], -12)
        u = v.clip(-512, 512)
        return u + ((v - u).clip(-12288, 12288) >> 3)

    def predict_z(self) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and tables of z, `[Cz]`."""
        return offsets_and_tables(self.z_mean, self.z_log2_scale, on_mean=False)

    def predict(self, step: int, h: np.ndarray, y_hat: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and tables of a step, `[4, M/4, H/2, W/2]` by position.

        Args:
            h: from `hyper`.
            y_hat: `[M, H, W]` in sixteenths, sides even.
            known: of the same shape, where y_hat is known.
        """
        gain = self.gain[:, None, None]
        features = h[:, : y_hat.shape[1], : y_hat.shape[2]]
        if step:
            context = np.where(known, self.context(y_hat), 0)
            features = clip(self.layer(f"stems.{step - 1}", np.concatenate((features, context))))
            for number in range(len({name.split(".")[2] for name in self.t if name.startswith("contexts.0.")})):
                features = self.block(f"contexts.{step - 1}.{number}", features)
        quarter = len(self.gain) // 4
        results = []
        for p in range(4):
            g = (p + step) % 4
            cell = features[:, p // 2 :: 2, p % 2 :: 2]
            raw = self.layer(f"heads.{step}", cell, slice(2 * quarter * g, 2 * quarter * (g + 1)))
            own = gain[quarter * g : quarter * (g + 1)]
            mean = self.times_exp2(raw[:quarter], own, -21)
            results.append(offsets_and_tables(mean, raw[quarter:] + own, on_mean=step > 0))
        offsets, tables = zip(*results, strict=True)
        return np.stack(offsets), np.stack(tables)


class Posterior(Networks):
    """The posterior: tensors whose names begin with `exact.posterior.`, without that."""

    def __init__(self, tensors: dict[str, np.ndarray], quality: int, prior: Prior):
        super().__init__(tensors, quality)
        self.prior = prior

    def predict_z(self) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and tables under p(z), `[Cz]`."""
        return offsets_and_tables(4 * self.z_mean, self.z_log2_scale + 2048, on_mean=False)

    def predict(self, y_hat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and tables under q(z | y), `[Cz, h, w]`, from y_hat `[M, H, W]` in sixteenths."""
        channels, rows, columns = y_hat.shape
        context = np.pad(self.prior.context(y_hat), ((0, 0), (0, -rows % 4), (0, -columns % 4)))
        quarter = channels // 4
        first = [context[p * quarter : (p + 1) * quarter, p // 2 :: 2, p % 2 :: 2] for p in range(4)]
        x = self.block("block", clip(self.layer("stem", np.concatenate(first)) + self.bias[:, None, None]))
        corners = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        x = self.block("down_block", clip(self.layer("down", np.concatenate(corners))))
        mean, log2_scale = np.split(self.layer("head", x), 2)
        return offsets_and_tables((mean + 8) >> 4, log2_scale + 2048, on_mean=False)


def offsets_and_tables(mean: np.ndarray, log2_scale: np.ndarray, *, on_mean: bool) -> tuple[np.ndarray, np.ndarray]:
    """From means in sixteenths and log scales in 1/1024."""
    mean = mean.clip(-(2**22), 2**22)
    level = ((7 * (log2_scale + 3328) + 512) >> 10).clip(0, 63)
    offset = mean if on_mean else (mean + 8) // 16 * 16
    return offset, 16 * level + mean - offset + 8
