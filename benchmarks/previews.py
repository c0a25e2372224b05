"""What does a preview cost, and how good is it? Against decoding the whole and averaging squares of pixels.

    python benchmarks/previews.py kodak/ -o benchmarks/results/previews

Three ways to a picture 2, 4 or 8 times smaller: the whole picture, then the average (what a preview should be); the
preview, `decompress(scale=…)`, whose last layers are averaged instead (what the codec does); and the linear path
alone, averaged likewise (what it could do in less time). Times are of the processor, as ratios to decoding the whole
picture.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from unittest import mock

import click
import numpy as np
from shared.pictures import read_pictures
from shared.results import Store, checksum, section

REDUCTIONS = (2, 4, 8)
REPEATS = 5


def _fastest(work) -> tuple[float, object]:
    best = np.inf
    for _ in range(REPEATS):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def linear_only(codec, latents, reduction: int) -> np.ndarray:
    """The preview by the generator's linear path."""
    from vaecodec.networks import model
    from vaecodec.networks.blocks import depth_to_space

    def leave(self, y, features, quality, reduction, pixels):
        side = model.PATCH // reduction
        return depth_to_space(pixels(model._squares(self.linear, y * self.scale[:, None, None], side)), side)

    with mock.patch.object(model.Synthesis, "leave", leave):
        return codec.synthesize(latents, reduction=reduction)


def measure(codec, rgb: np.ndarray, quality: float) -> dict:
    """Everything at one picture and quality."""
    from PIL import Image

    from vaecodec.format.container import unpack
    from vaecodec.pictures.metrics import psnr_db

    small = lambda image, reduction: np.asarray(Image.fromarray(image).reduce(reduction))
    data = codec.compress(rgb, quality=quality)
    file = unpack(data)
    assert file.header.quality == codec.stored.qualities.code(quality)
    decode_s, latents = _fastest(lambda: codec.decode(file))
    whole_s, whole = _fastest(lambda: codec.synthesize(latents))
    result = {}
    for reduction in REDUCTIONS:
        reference, original = small(whole, reduction), small(rgb, reduction)
        row = {"averaged_psnr_db": psnr_db(original, reference)}
        for name, work in (
            ("preview", lambda n=reduction: codec.synthesize(latents, reduction=n)),
            ("linear", lambda n=reduction: linear_only(codec, latents, n)),
        ):
            seconds, picture = _fastest(work)
            row |= {
                f"{name}_psnr_db": psnr_db(original, picture),
                f"{name}_to_averaged_db": min(psnr_db(reference, picture), 99.0),
                f"{name}_synthesis_ratio": seconds / whole_s,
                f"{name}_ratio": (decode_s + seconds) / (decode_s + whole_s),
            }
        result[str(reduction)] = row
    return result


def report(means: dict[str, dict[str, dict]], count: int) -> str:
    """A Markdown table."""
    lines = [
        f"Means over {count} pictures. Times are ratios to decoding the whole, PSNR is to the original reduced.\n",
        "| quality | scale | averaged, dB | preview, dB | preview to averaged, dB | synthesis time | all time "
        "| linear path alone, dB | all time |",
        "| ---: " * 9 + "|",
    ]
    for quality, rows in means.items():
        for reduction, row in rows.items():
            cells = [
                f"{row['averaged_psnr_db']:.2f}", f"{row['preview_psnr_db']:.2f}",
                f"{row['preview_to_averaged_db']:.1f}", f"{row['preview_synthesis_ratio']:.2f}",
                f"{row['preview_ratio']:.2f}", f"{row['linear_psnr_db']:.2f}", f"{row['linear_ratio']:.2f}",
            ]  # fmt: skip
            lines.append(f"| {quality} | 1/{reduction} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="IMAGES...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("previews"),
    show_default=True,
    help="Results go to this name with .json and .md.",
)
@click.option("-m", "--model", help="Model by name or file; the default is light.")
@click.option("--qualities", default="20,50,80", show_default=True, help="Comma-separated, 1 to 100.")
def main(paths: tuple[Path, ...], output: Path, model: str | None, qualities: str) -> None:
    """Measure previews of IMAGES (files and folders)."""
    from vaecodec.codec.codec import Codec

    try:
        values = [f"{float(q):g}" for q in qualities.split(",")]
    except ValueError:
        raise click.UsageError(f"--qualities {qualities}: not a list of numbers") from None
    folder = read_pictures(paths)
    folder.report()
    if not folder.images:
        raise click.ClickException("no picture could be used")
    codec, store = Codec(model), Store(output.with_suffix(".json"))
    points = section(store.data, "previews", {"model_id": codec.stored.model_id.hex()}).setdefault("points", {})
    keys = {name: f"{name} {checksum(image)}" for name, image in folder.images.items()}
    todo = [(q, name) for q in values for name in keys if keys[name] not in points.setdefault(q, {})]
    with click.progressbar(todo, label="measuring", file=sys.stderr, item_show_func=lambda i: i and " ".join(i)) as bar:
        for quality, name in bar:
            points[quality][keys[name]] = measure(codec, folder.images[name], float(quality))
            store.save()
    means = {}
    for quality in values:
        rows = [points[quality][key] for key in keys.values()]
        means[quality] = {
            n: {field: float(np.mean([row[n][field] for row in rows])) for field in rows[0][n]} for n in rows[0]
        }
    store.data["means"] = means
    store.save(now=True)
    output.with_suffix(".md").write_text(text := report(means, len(keys)), encoding="utf-8")
    click.echo(text)
    if folder.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
