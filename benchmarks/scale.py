"""What do very many photographs cost? Bytes and core-hours, ours against JPEG XL's and AVIF's.

    python benchmarks/scale.py docs/photo/coffee.png -o benchmarks/results/scale

Bytes come from the rates at equal PSNR in `benchmarks/results/kodak.json`. The seconds of one core are measured here,
as CPU time of a process that may use one core only; as other machines have other cores, the table gives ratios to
JPEG XL's encoder (J), and the JSON the seconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import time
from pathlib import Path

import click
import numpy as np
from shared.pictures import resized
from shared.places import RESULTS

CODECS = ("JPEG XL", "AVIF", "vaecodec")
REPEATS = 3


def rate_at(rates: dict, codec: str, psnr_db: float) -> float:
    """Bits per pixel of a codec at a PSNR, from means over many pictures; logarithms are interpolated."""
    means = rates["means"][codec]
    order = np.argsort(means["psnr_db"])
    psnr, log_bpp = np.array(means["psnr_db"])[order], np.log(np.array(means["bpp"])[order])
    if not psnr[0] <= psnr_db <= psnr[-1]:
        raise click.UsageError(f"{codec} was measured from {psnr[0]:.1f} to {psnr[-1]:.1f} dB, not at {psnr_db:g} dB")
    return float(np.exp(np.interp(psnr_db, psnr, log_bpp)))


def to_psnr(codec, image: np.ndarray, psnr_db: float) -> float:
    """The lowest quality, by bisection, at which a picture has a PSNR; the highest if none has."""
    from vaecodec.pictures.metrics import psnr_db as measure

    low, high = (float(quality) for quality in codec.quality_range)
    for _ in range(7):
        middle = (low + high) / 2
        if measure(image, codec.decompress(codec.compress(image, middle))) < psnr_db:
            low = middle
        else:
            high = middle
    return float(np.ceil(high)) if codec.whole_qualities else high


def core_seconds(name: str, model: str | None, source: str, megapixels: float, psnr_db: float, out) -> None:
    """CPU seconds a megapixel of one codec, in a process that may use one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    from vaecodec.baselines.collection import makers
    from vaecodec.pictures import images

    codec = makers(model)[name]()
    if name.startswith("vaecodec"):
        import torch

        torch.set_num_threads(1)
    photo = images.planes_of(source).rgb
    quality, image = to_psnr(codec, resized(photo, 0.2), psnr_db), resized(photo, megapixels)
    data = codec.compress(image, quality)

    def fastest(work) -> float:
        taken = []
        for _ in range(REPEATS):
            start = time.process_time()
            work()
            taken.append(time.process_time() - start)
        return min(taken) / (image.shape[0] * image.shape[1] / 1e6)

    encode_s, decode_s = fastest(lambda: codec.compress(image, quality)), fastest(lambda: codec.decompress(data))
    out.put({"quality": quality, "encode_s_per_mpx": round(encode_s, 5), "decode_s_per_mpx": round(decode_s, 5)})


def measure(source: Path, model: str | None, megapixels: float, psnr_db: float) -> dict[str, dict]:
    """Core-seconds by codec, one process after the other."""
    context, result = multiprocessing.get_context("spawn"), {}
    for name in CODECS:
        out = context.Queue()
        process = context.Process(target=core_seconds, args=(name, model, str(source), megapixels, psnr_db, out))
        process.start()
        while "encode_s_per_mpx" not in result.get(name, {}):
            try:
                result[name] = out.get(timeout=1)
            except Exception as error:  # queue.Empty
                if not process.is_alive():
                    raise click.ClickException(f"{name} failed") from error
        process.join()
    return result


def report(result: dict) -> str:
    """The table as Markdown."""
    unit = result["codecs"]["JPEG XL"]["encode_s_per_mpx"]
    lines = [
        f"{result['count']:,.0f} photographs of {result['photo_mpx']:g} megapixels at {result['psnr_db']:g} dB; "
        "J is what JPEG XL takes to compress them.",
        "",
        "| codec | bpp | bytes | against JPEG XL | core-hours to compress | to decompress |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in result["codecs"].items():
        terabytes = row["bytes"] / 1e12
        smaller = row["bytes"] / result["codecs"]["JPEG XL"]["bytes"] - 1
        lines.append(
            f"| {name} | {row['bpp']:.3f} | {terabytes:.0f} TB | {100 * smaller:+.0f} % | "
            f"{row['encode_s_per_mpx'] / unit:.2f} J | {row['decode_s_per_mpx'] / unit:.2f} J |"
        )
    return "\n".join(lines) + "\n"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Writes OUTPUT.json and OUTPUT.md.")
@click.option("-m", "--model", help="Model of vaecodec by name or file; the default is light.")
@click.option("--count", default=1e9, show_default=True, help="Photographs.")
@click.option("--photo-mpx", default=12.0, show_default=True, help="Megapixels of each.")
@click.option("--psnr", "psnr_db", default=36.0, show_default=True, help="Decibels at which codecs are compared.")
@click.option("--timed-mpx", default=1.0, show_default=True, help="Megapixels of the picture that is timed.")
@click.option(
    "--rates", type=click.Path(exists=True, path_type=Path), default=RESULTS / "kodak.json", help="Rates at PSNRs."
)
def main(photo: Path, output: Path | None, model, count, photo_mpx, psnr_db, timed_mpx, rates: Path) -> None:
    """Measures how long PHOTO takes each codec, and does the sums."""
    curves = json.loads(rates.read_text())
    bpp = {name: rate_at(curves, name, psnr_db) for name in CODECS}
    codecs = measure(photo, model, timed_mpx, psnr_db)
    for name, row in codecs.items():
        row |= {"bpp": round(bpp[name], 4), "bytes": bpp[name] / 8 * photo_mpx * 1e6 * count}
        for key in ("encode", "decode"):
            row[f"{key}_core_hours"] = round(row[f"{key}_s_per_mpx"] * photo_mpx * count / 3600)
    machine = f"{platform.machine()}, {platform.system()}"
    result = {"machine": machine, "count": count, "photo_mpx": photo_mpx, "psnr_db": psnr_db, "codecs": codecs}
    click.echo(report(result))
    if output:
        output.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        output.with_suffix(".md").write_text(report(result))


if __name__ == "__main__":
    main()
