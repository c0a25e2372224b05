"""How long does it take, and how much memory? Every codec by picture size, our stages, a cold start.

    python benchmarks/speed.py kodim05.png -o benchmarks/results/speed

Every measurement runs in a process of its own, so that its peak memory is its own; stopped, it goes on where it was.
The picture is tiled by mirror images, or cropped, to each size. Ratios are to JPEG XL and AVIF in the same run.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import click
from shared.codecs import chosen, collect_codecs
from shared.options import SETTINGS, codecs_option, model_option, numbers_option, output_option
from shared.pictures import resized
from shared.results import Store, publish, section
from shared.speed.cold_starts import cold_starts
from shared.speed.measuring import in_a_process
from shared.speed.report import draw, report

SIZES_MPX = "0.1,0.4,1,2,5,12,25,50,100"
COLD_MPX = 768 * 512 / 1e6
"""Size of the picture of cold starts: one of Kodak's."""


@click.command(context_settings=SETTINGS)
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option("speed")
@model_option
@codecs_option
@numbers_option("--sizes", SIZES_MPX, "Megapixels", 0.001, 1000)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=os.cpu_count(),
    show_default=True,
    help="CPUs that a codec may use.",
)
@click.option(
    "--limit", "limit_s", type=float, default=900.0, show_default=True, help="Seconds that one measurement may take."
)
@click.option("--bpp", type=float, default=1.0, show_default=True, help="Bits per pixel at which codecs are timed.")
def main(
    image: Path,
    output: Path,
    model: str | None,
    codecs: str | None,
    sizes: list[str],
    threads: int,
    limit_s: float,
    bpp: float,
) -> None:
    """Measure encode and decode at sizes made from IMAGE."""
    from vaecodec.cli.pages.comparison import to_size
    from vaecodec.errors import TargetError
    from vaecodec.pictures import images

    rgb = images.planes_of(image).rgb
    wanted, store = chosen(collect_codecs(model), codecs), Store(output.with_suffix(".json"))
    stamp = {
        "machine": f"{platform.machine()}, {platform.system()}",
        "threads": threads,
        "bpp": bpp,
        "image": image.name,
    }
    if any(store.data.get(key) != value for key, value in stamp.items()):
        store.data.clear()
    store.data |= stamp | {"sizes": sizes}
    parts, todo = store.data.setdefault("codecs", {}), []
    for codec in wanted:
        part = section(parts, codec.name, {"settings": codec.settings, "version": codec.version})
        part.setdefault("runs", {})
        if "quality" not in part:
            probe = resized(rgb, 0.4)
            try:
                part["quality"] = to_size(codec, probe, int(bpp * probe.shape[0] * probe.shape[1] / 8))[1]
            except TargetError:
                part["quality"] = float(codec.quality_range[0])
        todo += [(codec.name, size) for size in sizes if "encode_s" not in part["runs"].get(size, {})]
    with click.progressbar(
        todo, label="measuring", file=sys.stderr, item_show_func=lambda i: i and f"{i[0]} {i[1]} MP"
    ) as bar:
        for name, size in bar:
            arguments = (name, model, str(image), float(size), parts[name]["quality"], threads)
            parts[name]["runs"][size] = in_a_process(limit_s, *arguments)
            store.save(now=True)
    if "cold_start_s" not in store.data:
        store.data["cold_start_s"] = cold_starts(model, resized(rgb, COLD_MPX))
    publish(store, output, report(store.data))
    draw(store.data, output.with_suffix(".png"))
    failed = [f"{n} {s}" for n, p in parts.items() for s, r in p["runs"].items() if "failed" in r]
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
