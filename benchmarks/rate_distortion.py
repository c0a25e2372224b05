"""How good is each codec at each rate? As real bytes and decoded 8-bit pictures.

    python benchmarks/rate_distortion.py kodak/ -o benchmarks/results/kodak
    python benchmarks/rate_distortion.py kodak/ -o benchmarks/results/kodak --measures psnr_db,ssimulacra2

writes kodak.json (every measurement), kodak.md (BD-rate tables) and kodak.png. Stopped, it goes on where it was; what
is measured already is not measured again unless the codec, its settings or the picture have changed. A measure that
is asked for later is added to the others.
"""

from __future__ import annotations

from pathlib import Path

import click
from shared.codecs import chosen, collect_codecs
from shared.options import SETTINGS, codecs_option, images_argument, model_option, output_option
from shared.pictures import usable_pictures
from shared.rates import measuring, plot, tables
from shared.rates.curves import measured_curves, published_curves, without_worse_pca
from shared.rates.measures import MEASURES, available
from shared.results import Store, publish, say

ANCHORS = ("VTM 18.0", "AVIF", "JPEG XL")


def measures_asked(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Of `--measures`: those that can be taken. One that is asked for by name has to be there."""
    names = list(MEASURES) if text is None else [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in MEASURES]:
        raise click.BadParameter(f"{', '.join(unknown)}: unknown; there are: {', '.join(MEASURES)}")
    found, left_out = available(names)
    for title, reason in left_out.items():
        if text is not None:
            raise click.ClickException(f"{title}: {reason}")
        say(f"left out: {title}: {reason}")
    context.meta["left_out"] = left_out
    return tuple(found)


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("rate_distortion")
@model_option
@codecs_option
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    help="Codec that BD-rates relate to; may be given several times.  [default: VTM 18.0 (Kodak only), AVIF, JPEG XL]",
)
@click.option(
    "--measures",
    callback=measures_asked,
    help=f"Comma-separated; by default all that are installed of {', '.join(MEASURES)}.",
)
@click.option(
    "--published/--no-published",
    default=None,
    help="Show published curves, which are of Kodak; by default if these are the 24 pictures of Kodak.",
)
@click.pass_context
def main(
    context: click.Context,
    paths: tuple[Path, ...],
    output: Path,
    model: str | None,
    codecs: str | None,
    anchors: tuple[str, ...],
    measures: tuple[str, ...],
    published: bool | None,
) -> None:
    """Measure every codec at every quality on IMAGES (files and folders)."""
    folder = usable_pictures(paths)
    kodak = {Path(name).stem for name in folder.images} == {f"kodim{number:02}" for number in range(1, 25)}
    wanted = chosen(collect_codecs(model), codecs)
    store = Store(output.with_suffix(".json"))
    failures = measuring.run(store, wanted, folder.images, measures)
    store.data["left_out"] = folder.left_out | context.meta["left_out"]
    store.data["failed"] = folder.failed | dict.fromkeys(failures, "codec failed")
    curves = measured_curves(store.data, wanted, list(folder.images))
    store.data["means"] = {name: curve.to_dict() for name, curve in curves.items()}
    others, checks = published_curves() if (kodak if published is None else published) else ({}, {})
    text = tables.report(curves, others, checks, anchors or ANCHORS, store.data, len(folder.images))
    publish(store, output, text)
    shown = without_worse_pca(curves)
    plot.draw(shown, others, anchors[0] if anchors else ANCHORS[0], output.with_suffix(".png"))
    for failure in failures:
        say(f"failed: {failure}")
    if failures or folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
