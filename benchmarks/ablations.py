"""What are the codec's parts worth? Parts of the rate, exact against float prior, no prior, bf16 synthesis.

    python benchmarks/ablations.py kodak/ -o benchmarks/results/ablations

Stopped, it goes on where it was.
"""

from __future__ import annotations

import time
from pathlib import Path
from unittest import mock

import click
import numpy as np
from shared.drawing import COLOURS
from shared.options import SETTINGS, images_argument, model_option, output_option, qualities_option
from shared.pictures import usable_pictures
from shared.results import Store, measure_all, publish, say

GROUPS = ("header", "z", "y0", "y1", "y2", "y3")


def rate_parts(codec, rgb: np.ndarray, code: int) -> tuple[dict[str, float], object]:
    """Bits of each group by the stored tables, and the latents."""
    from vaecodec.format.ans import Encoder
    from vaecodec.format.container import ROUNDED

    bits: list[float] = []
    push = Encoder.push

    def record(encoder, symbols, numbers, tables) -> None:
        bits.append(float(np.sum(tables.bits(symbols, numbers))))
        push(encoder, symbols, numbers, tables)

    latents = codec.encode(rgb, code, coding=ROUNDED)
    y = latents.y_hat / codec.prior.at(code).gain
    with mock.patch.object(Encoder, "push", record):  # once more, for the encoder tries several things
        codec.coder.encode(latents.z, y, latents.size, code)
    return dict(zip(GROUPS[1:], reversed(bits), strict=True)), latents


def bf16_picture(codec, latents) -> np.ndarray:
    """The picture with the synthesis in bfloat16, sums of its two paths included."""
    import torch

    forward = codec.model.synthesis.forward

    def in_bf16(*args):
        with torch.autocast(codec.device.type, torch.bfloat16):
            return forward(*args).float()

    with mock.patch.object(codec.model.synthesis, "forward", in_bf16):
        return codec.synthesize(latents)


def own_tables_bits(codec, rgb: np.ndarray, code: int) -> float:
    """Entropy of the nearest symbols by a table a channel that is this picture's own histogram, and costs nothing."""
    from vaecodec.baselines.ours import analyse

    gain = codec.prior.at(code).gain.flatten().cpu().numpy()
    bits = 0.0
    for symbols in np.rint(analyse(codec, rgb, code) * gain).T:
        counts = np.unique(symbols, return_counts=True)[1]
        bits -= float(np.sum(counts * np.log2(counts / len(symbols))))
    return bits


def measure(codec, factorised, rgb: np.ndarray, quality: float) -> dict:
    """Everything at one picture and quality."""
    import torch

    from vaecodec.format.container import QUALITY_MAX
    from vaecodec.objective.bound import as_given
    from vaecodec.pictures import metrics

    code, pixels = codec.stored.qualities.code(quality), rgb.shape[0] * rgb.shape[1]
    data = codec.compress(rgb, quality=quality, graphics=False)
    exact_bits, latents = rate_parts(codec, rgb, code)
    condition = torch.tensor([code / QUALITY_MAX], device=codec.device)
    _, float_bits = codec.model.rate(latents.z.float(), latents.y_hat.float(), condition, as_given)
    float_bits = {group: float(bits) for group, bits in float_bits.items()}
    nearest = 8 * len(codec.encode(rgb, code, effort=0).payload)
    pictures, seconds = {}, {}
    for name, work in (("float32", lambda: codec.synthesize(latents)), ("bf16", lambda: bf16_picture(codec, latents))):
        work()  # warm
        start = time.perf_counter()
        pictures[name] = work()
        seconds[name] = time.perf_counter() - start
    difference = np.abs(pictures["float32"].astype(int) - pictures["bf16"])
    result = {
        "bpp": 8 * len(data) / pixels,
        "header_bpp": (8 * len(data) - 8 * len(latents.payload)) / pixels,
        "exact_bpp": {k: v / pixels for k, v in exact_bits.items()},
        "float_bpp": {k: v / pixels for k, v in float_bits.items()},
        "nearest_bpp": nearest / pixels,
        "own_tables_bpp": own_tables_bits(codec, rgb, code) / pixels,
        "psnr_db": metrics.psnr_db(rgb, pictures["float32"]),
        "bf16_psnr_db": metrics.psnr_db(rgb, pictures["bf16"]),
        "bf16_largest_difference": int(difference.max()),
        "synthesis_s": seconds["float32"],
        "bf16_synthesis_s": seconds["bf16"],
    }
    if factorised is not None:
        plain = factorised.compress(rgb, quality)
        result["factorised_bpp"] = 8 * len(plain) / pixels
        result["factorised_psnr_db"] = metrics.psnr_db(rgb, factorised.decompress(plain))
    return result


def _means(rows: list[dict]) -> dict:
    flat = lambda row: {
        k: v
        for key, x in row.items()
        for k, v in (((f"{key}.{g}", y) for g, y in x.items()) if isinstance(x, dict) else ((key, x),))
    }
    flattened = [flat(row) for row in rows]
    return {key: round(float(np.mean([row[key] for row in flattened])), 6) for key in flattened[0]}


def report(means: dict[str, dict], count: int) -> str:
    """Markdown: parts of the rate, priors, synthesis."""
    lines = [
        f"Means over {count} pictures.\n",
        "### Parts of the rate, bits per pixel\n",
        f"| quality | file | {' | '.join(GROUPS)} |",
        "| ---: " * (len(GROUPS) + 2) + "|",
    ]
    for quality, row in means.items():
        parts = [row["header_bpp"], *(row[f"exact_bpp.{group}"] for group in GROUPS[1:])]
        lines.append(f"| {quality} | {row['bpp']:.4f} | {' | '.join(f'{part:.4f}' for part in parts)} |")
    lines += [
        "\n### Priors: the exact one that codes, the float one that was trained, none\n",
        "| quality | exact, bpp | float, bpp | exact ÷ float | factorised, bpp | factorised ÷ file |",
        "| ---: " * 6 + "|",
    ]
    for quality, row in means.items():
        exact, floating = (sum(row[f"{kind}_bpp.{group}"] for group in GROUPS[1:]) for kind in ("exact", "float"))
        plain = row.get("factorised_bpp")
        cells = f"{plain:.4f} | {plain / row['bpp']:.3f}" if plain else "– | –"
        lines.append(f"| {quality} | {exact:.4f} | {floating:.4f} | {exact / floating:.4f} | {cells} |")
    lines += [
        "\n### Nearest symbols: the prior against a table a channel that is the picture's own and costs nothing\n",
        "| quality | prior, bpp | own tables, bpp | the prior saves |",
        "| ---: " * 4 + "|",
    ]
    for quality, row in means.items():
        prior, own = row["nearest_bpp"], row["own_tables_bpp"]
        lines.append(f"| {quality} | {prior:.4f} | {own:.4f} | {100 * (1 - prior / own):.1f} % |")
    lines += [
        "\n### Synthesis in bfloat16 against float32\n",
        "| quality | float32, dB | bf16, dB | largest difference | float32, s | bf16, s |",
        "| ---: " * 6 + "|",
    ]
    for quality, row in means.items():
        names = ("psnr_db", "bf16_psnr_db", "bf16_largest_difference", "synthesis_s", "bf16_synthesis_s")
        lines.append(f"| {quality} | {' | '.join(f'{row[name]:.3f}' for name in names)} |")
    return "\n".join(lines) + "\n"


def draw(means: dict[str, dict], path: Path) -> None:
    """Shares of the rate by group, and the rate without the prior."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 5), dpi=120, layout="constrained")
    places, bottom = np.arange(len(means)), np.zeros(len(means))
    for number, group in enumerate(GROUPS):
        key = "header_bpp" if group == "header" else f"exact_bpp.{group}"
        share = np.array([100 * row[key] / row["bpp"] for row in means.values()])
        axis.bar(
            places,
            share,
            bottom=bottom,
            color=COLOURS[number],
            edgecolor="white",
            hatch=["", "//", "", "..", "", "xx"][number],
        )
        axis.text(len(means) - 0.45, bottom[-1] + share[-1] / 2, group, va="center", color=COLOURS[number])
        bottom += share
    if all("factorised_bpp" in row for row in means.values()):
        plain = [100 * row["factorised_bpp"] / row["bpp"] for row in means.values()]
        axis.plot(places, plain, "k_", markersize=28, markeredgewidth=2)
        axis.text(len(means) - 0.45, plain[-1], "no prior", va="center")
    axis.set_xticks(places, [f"{q}\n{row['bpp']:.2f} bpp" for q, row in means.items()])
    axis.set(xlabel="quality", ylabel="share of the file, %", xlim=(-0.6, len(means) + 0.3))
    figure.savefig(path)
    plt.close(figure)


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("ablations")
@model_option
@qualities_option("5,20,35,50,65,80,95")
def main(paths: tuple[Path, ...], output: Path, model: str | None, qualities: list[str]) -> None:
    """Split the rate of IMAGES (files and folders) into its parts."""
    from vaecodec.baselines.ours import FactorisedCodec
    from vaecodec.codec.codec import Codec
    from vaecodec.errors import ModelError

    folder = usable_pictures(paths)
    codec, factorised = Codec(model), None
    try:
        factorised = FactorisedCodec(model)
    except ModelError as error:
        say(f"left out: factorised: {error}")
    store = Store(output.with_suffix(".json"))
    stamp = {"model_id": codec.stored.model_id.hex(), "factorised": factorised is not None, "own_tables": True}
    work = lambda quality, image: measure(codec, factorised, image, float(quality))
    rows = measure_all(store, stamp, qualities, folder.images, work)
    store.data["means"] = means = {quality: _means(list(row.values())) for quality, row in rows.items()}
    publish(store, output, report(means, len(folder.images)))
    draw(means, output.with_suffix(".png"))
    if folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
