"""At which weight should symbols be chosen? BD-rate against nearest symbols, by the weight of a symbol's error, and how
often λ·d + R is larger than with those. BD-rates are by what the model is trained for: PSNR, or SSIMULACRA2.

    python benchmarks/symbol_choice.py --data photos/ -o benchmarks/results/symbol_choice

`refine.rdo_weight` follows from this; it belongs to the weights of a model. Measured on the middles of pictures that
training holds out. Stopped, it goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from shared.codecs import measure_of
from shared.drawing import COLOURS, single
from shared.held_out import held_out_crops
from shared.options import SETTINGS, data_option, model_option, numbers_option, output_option, qualities_option
from shared.rates.curves import Curve, bd_rate
from shared.rates.measures import MEASURES
from shared.rates.tables import percent
from shared.results import Store, markdown_table, measure_all, publish

from vaecodec.format.container import QUALITY_MAX

NEAREST, SHIPPED, TIMES = "nearest", "as shipped", "as shipped, times "


def measure(codec, rgb: np.ndarray, setting: str, quality: float) -> list[float]:
    """Bits per pixel of the payload, quality, λ·d + R. Coded by that choice whether it pays or not."""
    from vaecodec.coding.symbol_choice import RateDistortionChoice, nearest
    from vaecodec.objective.distortion import ssimulacra2
    from vaecodec.objective.rounding import rdo_weight
    from vaecodec.pictures import metrics

    code = codec.stored.qualities.code(quality)
    weight = rdo_weight(code / QUALITY_MAX, codec.model.config)
    if setting.startswith(TIMES):
        weight *= float(setting.removeprefix(TIMES))
    elif setting not in (NEAREST, SHIPPED):
        weight = float(setting)
    choice = nearest if setting == NEAREST else RateDistortionChoice(codec.coder.tables, weight)
    z, y = codec.encoder.infer(rgb, code)
    latents = codec.coder.encode(z, y, rgb.shape[1::-1], code, choice)
    bpp = 8 * len(latents.payload) / (rgb.shape[0] * rgb.shape[1])
    compute = metrics.psnr_db if measure_of(codec) == "psnr_db" else ssimulacra2
    return [round(bpp, 5), round(compute(rgb, codec.synthesize(latents)), 4), round(codec.objective(rgb, latents), 6)]


def curves(rows: dict[str, dict[str, dict]], qualities: list[str], by: str) -> dict[str, Curve]:
    """Means over the pictures, by setting; `by` is the measure that rows have."""
    result = {}
    for setting, by_image in rows.items():
        bpp, values, _ = np.mean([[row[quality] for quality in qualities] for row in by_image.values()], axis=0).T
        result[setting] = Curve(**{"bpp": bpp.tolist(), "psnr_db": [], by: values.tolist()})
    return result


def losses_percent(rows: dict[str, dict[str, dict]], setting: str, qualities: list[str]) -> np.ndarray:
    """By how much λ·d + R is larger than with nearest symbols, for each quality and picture."""
    ratios = [
        row[quality][2] / rows[NEAREST][name][quality][2]
        for quality in qualities
        for name, row in rows[setting].items()
    ]
    return 100 * (np.array(ratios) - 1)


def report(
    made: dict[str, Curve], losses: dict[str, np.ndarray], qualities: list[str], by: str, count: int, size: str
) -> str:
    """Markdown: BD-rates, how often a picture loses and how much at worst, and every point."""
    cells, title = [], MEASURES[by].title
    show = lambda curve: [f"{b:.3f}, {v:.2f}" for b, v in zip(curve.bpp, getattr(curve, by), strict=True)]
    for setting, curve in made.items():
        if setting == NEAREST:
            continue
        result = bd_rate(made[NEAREST], curve, by)
        loss = losses[setting]
        worse = f"{(loss > 0).sum()} of {len(loss)}, {percent(loss.max())}"
        cells.append([setting, "–" if result is None else percent(result[0]), worse, *show(curve)])
    head = ["weight", "BD-rate", "larger λ·d + R, at worst", *(f"quality {q}: bpp, {title}" for q in qualities)]
    return (
        f"{count} held-out pictures of {size}; BD-rate by {title} against nearest symbols.\n\n"
        f"{markdown_table(head, [[NEAREST, '', '', *show(made[NEAREST])], *cells])}\n"
    )


def draw(made: dict[str, Curve], by: str, path: Path) -> None:
    """BD-rate against weight."""
    results = {setting: bd_rate(made[NEAREST], curve, by) for setting, curve in made.items()}
    values = {setting: result[0] for setting, result in results.items() if result is not None}
    constant = sorted((float(s), v) for s, v in values.items() if not s.startswith((NEAREST, SHIPPED)))
    with single(path, "weight: bits for a squared error of one symbol", "BD-rate against nearest symbols, %") as axis:
        axis.set_xscale("log")
        axis.plot(*zip(*constant, strict=True), "o-", color=COLOURS[0], label="the same at all qualities")
        if SHIPPED in values:
            axis.axhline(values[SHIPPED], color=COLOURS[1], linestyle="--", label=SHIPPED)
        axis.legend()


@click.command(context_settings=SETTINGS)
@data_option
@output_option("symbol_choice")
@model_option
@qualities_option("5,20,40,60,80")
@numbers_option("--weights", "9,15,22,30,45,60,90,150", "Weights", 1e-3, 1e6)
@numbers_option("--times", "1.4,2", "Multiples of the weights as shipped", 0.1, 10)
@click.option("--width", default=512, show_default=True, type=click.IntRange(min=16))
@click.option("--height", default=384, show_default=True, type=click.IntRange(min=16))
@click.option("--count", default=6, show_default=True, type=click.IntRange(min=1), help="Pictures.")
def main(
    data: tuple[Path, ...],
    output: Path,
    model: str | None,
    qualities: list[str],
    weights: list[str],
    times: list[str],
    width: int,
    height: int,
    count: int,
) -> None:
    """Sweep the weight on held-out pictures."""
    from vaecodec.codec.codec import Codec
    from vaecodec.objective.rounding import RDO_WEIGHTS

    if len(qualities) < 3:
        raise click.UsageError("--qualities: three or more, for a BD-rate")
    images, codec = held_out_crops(data, width, height, count), Codec(model)
    store = Store(output.with_suffix(".json"))
    stamp = {"model_id": codec.stored.model_id.hex(), "shipped": RDO_WEIGHTS[codec.model.config.distortion]}
    by = measure_of(codec)
    stamp |= {"qualities": qualities, "measure": by}
    work = lambda setting, image: {q: measure(codec, image, setting, float(q)) for q in qualities}
    settings = [NEAREST, SHIPPED, *(f"{TIMES}{factor}" for factor in times), *weights]
    rows = measure_all(store, stamp, settings, images, work)
    made = curves(rows, qualities, by)
    losses = {s: losses_percent(rows, s, qualities) for s in settings if s != NEAREST}
    store.data["means"] = {setting: curve.to_dict() for setting, curve in made.items()}
    publish(store, output, report(made, losses, qualities, by, len(images), f"{width}x{height}"))
    draw(made, by, output.with_suffix(".png"))


if __name__ == "__main__":
    main()
