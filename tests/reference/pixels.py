"""From latents to the picture, in float64: exact up to a rounding of a pixel, as the format asks."""

from __future__ import annotations

import numpy as np

from reference.container import parse
from reference.decoder import Decoded, decode_file
from reference.exact import alpha_file, alpha_of_grey, exact_alpha, exact_tiles
from reference.model import Model
from reference.prior import Prior, shifted_sum, up


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def compand(v: np.ndarray) -> np.ndarray:
    u = v.clip(-4, 4)
    return u + (v - u).clip(-96, 96) / 8


def whole(data: bytes, model: Model) -> tuple[np.ndarray, np.ndarray | None]:
    """`[height, width, 3]` uint8 and alpha, `[height, width]` uint8, of a file: with all that it holds without loss.

    Alpha that is a PNG (`ALPH`) is left out.
    """
    file = parse(data)
    there, pixels = exact_tiles(file)
    if file.model_id == bytes(4):
        return pixels[:, :, :3], pixels[:, :, 3] if pixels.shape[2] == 4 else None
    grey = alpha_file(file)
    alpha = alpha_of_grey(picture(decode_file(grey, model), model)) if grey else exact_alpha(file)
    rgb = picture(decode_file(file, model), model)
    rgb[there] = pixels[there]
    return rgb, alpha


def picture(decoded: Decoded, model: Model) -> np.ndarray:
    """`[height, width, 3]` uint8."""
    file, t = decoded.file, {name: a.astype(float) for name, a in model.part("synthesis.").items()}

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        weight, bias = t[f"{name}.weight"], t[f"{name}.bias"]
        total = shifted_sum(x, weight[:, 0]) if name.endswith("spatial") else np.tensordot(weight, x, 1)
        return total + bias[:, None, None]

    def at_quality(name: str) -> np.ndarray:
        table = t[f"{name}.table"]
        position = (len(table) - 1) * file.quality / 2**15
        row = min(int(position), len(table) - 2)
        return (table[row] + (table[row + 1] - table[row]) * (position - row))[:, None, None]

    def film(name: str, x: np.ndarray) -> np.ndarray:
        return x * (1 + at_quality(f"{name}.scale")) + at_quality(f"{name}.shift")

    gain = Prior(model.part("exact."), file.quality).gain[:, None, None]
    v = decoded.y_hat / (16 * 2.0 ** (gain / 1024))
    x = film("film", up(layer("stem", compand(v)), 2))
    for number in range(model.config["synthesis_blocks"]):
        name = f"blocks.{number}"
        x = x + layer(f"{name}.project", layer(f"{name}.spatial", silu(layer(f"{name}.mix", x))))
        x = x + layer(f"{name}.reduce", silu(layer(f"{name}.expand", x)))
    x = up(layer("out", film("film_out", x)), 8) + up(layer("linear", v * t["scale"][:, None, None]), 16)
    samples = np.rint(255 * (x[:, : file.height, : file.width] + 0.5)).clip(0, 255)
    return samples.astype(np.uint8).transpose(1, 2, 0)
