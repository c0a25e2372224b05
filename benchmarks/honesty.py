"""Is the KL term the file? Sizes of whole files against the bound's rate by the float prior, −Σ log2 P.

    python benchmarks/honesty.py kodak/ -o benchmarks/results/honesty

A file may exceed the bound's rate by 1 % and 50 bytes, which pay for the header, the checksums, integer arithmetic in
the prior, and the coder. Exits with 1 if one does not keep to that. Hyperlatents are rounded here; `bits_back.py` has
the accounts of sampled ones. Stopped, the program goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from shared.drawing import COLOURS, MARKERS, single
from shared.options import SETTINGS, images_argument, model_option, output_option, qualities_option
from shared.pictures import usable_pictures
from shared.results import Store, markdown_table, measure_all, publish, say

SHARE, BYTES = 0.01, 50


def measure(codec, rgb: np.ndarray, quality: float) -> dict[str, float]:
    """Bits of the file, of its payload, and of the float prior for the latents that the file holds."""
    import torch

    from vaecodec.format import container
    from vaecodec.format.container import QUALITY_MAX
    from vaecodec.objective.bound import as_given

    data = codec.compress(rgb, quality=quality, coding=container.ROUNDED, graphics=False)
    file = container.unpack(data)
    latents = codec.decode(file)
    condition = torch.tensor([latents.quality / QUALITY_MAX], device=codec.device)
    with torch.no_grad():
        _, bits = codec.model.rate(latents.z.float(), latents.y_hat.float(), condition, as_given)
    bound = float(sum(bits.values()))
    return {"file_bits": 8 * len(data), "payload_bits": 8 * len(file.payload), "bound_bits": round(bound, 2)}


def allowance_used(row: dict[str, float]) -> float:
    """What the file has beyond the bound, as a share of what it may have."""
    return (row["file_bits"] - row["bound_bits"]) / (SHARE * row["bound_bits"] + 8 * BYTES)


def report(rows: dict[str, dict[str, dict]]) -> str:
    """Markdown: by quality, over the pictures."""
    cells = []
    for quality, by_image in rows.items():
        excess = [100 * (row["payload_bits"] / row["bound_bits"] - 1) for row in by_image.values()]
        more = [(row["file_bits"] - row["bound_bits"]) / 8 for row in by_image.values()]
        used = 100 * max(map(allowance_used, by_image.values()))
        extremes = f"{min(excess):+.2f} to {max(excess):+.2f} %"
        cells.append(
            [
                quality,
                f"{np.mean(excess):+.2f} %",
                extremes,
                f"{np.mean(more):.0f}",
                f"{max(more):.0f}",
                f"{used:.0f} %",
            ]
        )
    every = [row for by_image in rows.values() for row in by_image.values()]
    kept = sum(allowance_used(row) <= 1 for row in every)
    head = [
        "quality",
        "payload against the bound: mean",
        "extremes",
        "file, bytes more: mean",
        "most",
        "of the allowance",
    ]
    return (
        f"{len(every)} files of {len(next(iter(rows.values())))} pictures; the allowance is {SHARE:.0%} of the bound's "
        f"rate and {BYTES} bytes. Within it: {kept} of {len(every)}.\n\n{markdown_table(head, cells)}\n"
    )


def draw(rows: dict[str, dict[str, dict]], path: Path) -> None:
    """Bytes beyond the bound against the bound, with the allowance."""
    with single(path, "the bound's rate, bytes", "file − bound, bytes") as axis:
        largest = 0.0
        for number, (quality, by_image) in enumerate(rows.items()):
            bound = np.array([row["bound_bits"] / 8 for row in by_image.values()])
            more = np.array([row["file_bits"] / 8 for row in by_image.values()]) - bound
            look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
            axis.scatter(bound, more, s=16, label=f"quality {quality}", **look)
            largest = max(largest, bound.max())
        axis.plot([0, largest], [BYTES, BYTES + SHARE * largest], "k--", linewidth=1, label="allowance")
        axis.legend(fontsize=8)


@click.command(context_settings=SETTINGS)
@images_argument
@output_option("honesty")
@model_option
@qualities_option("1,20,40,60,80,100")
def main(paths: tuple[Path, ...], output: Path, model: str | None, qualities: list[str]) -> None:
    """Compare the sizes of files of IMAGES (files and folders) with the bound."""
    from vaecodec.codec.codec import Codec

    folder, codec, store = usable_pictures(paths), Codec(model), Store(output.with_suffix(".json"))
    work = lambda quality, image: measure(codec, image, float(quality))
    rows = measure_all(store, {"model_id": codec.stored.model_id.hex()}, qualities, folder.images, work)
    publish(store, output, report(rows))
    draw(rows, output.with_suffix(".png"))
    beyond = [f"{name}, quality {q}" for q, by in rows.items() for name, row in by.items() if allowance_used(row) > 1]
    for place in beyond:
        say(f"beyond the allowance: {place}")
    if beyond or folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
