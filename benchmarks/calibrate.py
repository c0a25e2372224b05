"""Which place on a model's own scale gives which SSIMULACRA2? The map of qualities, and how far pictures lie from it.

    python benchmarks/calibrate.py --data photos/ -m light -o benchmarks/results/quality-map

A quality of q, from 30 up to what the model reaches, is to look like a SSIMULACRA2 of q, in the mean over photographs.
Photographs are coded at a dozen places of the scale; their mean there, turned round, is the map, written as knots
[quality, share of the scale] between which it is linear. Stopped, the program goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from shared import calibration
from shared.drawing import COLOURS, single
from shared.held_out import calibration_photographs
from shared.options import SETTINGS, data_option, effort_option, model_option, numbers_option, output_option
from shared.results import Store, publish


def draw(result: dict, path: Path) -> None:
    """The map, with the spread."""
    with single(path, "share of the model's scale", "quality, and SSIMULACRA2 of photographs") as axis:
        quality, share = np.transpose(result["knots"])
        axis.plot(share, quality, color=COLOURS[0])
        known = [[row[key] for row in result["check"]] for key in ("share", "quality", "spread")]
        axis.errorbar(*known[:2], yerr=known[2], fmt="o", color=COLOURS[1], capsize=4)


@click.command(context_settings=SETTINGS)
@data_option
@output_option("quality-map")
@model_option
@effort_option
@numbers_option("--shares", calibration.SHARES, "Places on the scale, from 0 to 1 and rising", 0, 1)
@click.option(
    "--write",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the map into this model file; its id, and files made with it, stay as they are.",
)
def main(
    data: tuple[Path, ...], output: Path, model: str | None, effort: int, shares: list[str], write: Path | None
) -> None:
    """Make the map of qualities of a model from photographs."""
    from vaecodec.codec.codec import Codec

    places = [float(share) for share in shares]
    if len(places) < 4 or places[0] != 0 or places[-1] != 1 or places != sorted(set(places)):
        raise click.UsageError("--shares: four or more, rising from 0 to 1")
    store = Store(output.with_suffix(".json"))
    try:
        result = calibration.calibrate(store, Codec(model), calibration_photographs(data), shares, effort)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    publish(store, output, calibration.report(result))
    draw(result, output.with_suffix(".png"))
    if write:
        from vaecodec.networks.weights import write_quality_map

        write_quality_map(write, write, calibration.scale_of(result))


if __name__ == "__main__":
    main()
