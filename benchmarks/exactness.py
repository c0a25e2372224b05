"""Are symbols the same, however they are decoded? The checksum of those that one and the same files decode to.

    python benchmarks/exactness.py -o benchmarks/results/exactness

Four crops of a photograph are compressed at two qualities and decoded: in a process of its own for each instruction
set and number of threads, in each of them with oneDNN on and off, on float32 and float64 carriers, with tensors in
channels-last and in contiguous memory, one file at a time and four of a quality as one batch; then by the decoder of
tests/reference in numpy's integers, and on a GPU if there is one.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
import zlib
from pathlib import Path

import click
import numpy as np
from PIL import Image
from shared.places import PHOTO, ROOT
from shared.results import say

HEIGHT, WIDTH = 208, 240
"""Odd numbers of latents, and enough of them for oneDNN, which leaves small tensors to others."""
CORNERS = 4
QUALITIES = (20, 80)
INSTRUCTIONS = {
    "SSE4.1": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "all that there are": {},
}
THREADS = (1, 2, 4)


def make_files(model: str | None, folder: Path) -> list[Path]:
    """Compresses the photograph's corners; those of one quality follow each other."""
    from vaecodec.codec.codec import Codec

    codec, photo = Codec(model), np.asarray(Image.open(PHOTO).convert("RGB"))
    corners = itertools.product((slice(HEIGHT), slice(-HEIGHT, None)), (slice(WIDTH), slice(-WIDTH, None)))
    paths = []
    for quality, corner in itertools.product(QUALITIES, list(corners)):
        paths.append(folder / f"{len(paths)}.vae")
        paths[-1].write_bytes(codec.compress(photo[corner], quality=quality, coding=0))
    return paths


def combined(checksums: list[int]) -> str:
    """One checksum of several, for a table."""
    return f"{zlib.crc32(b''.join(value.to_bytes(4, 'little') for value in checksums)):08x}"


# --- in a process of its own -----------------------------------------------------------------------------------------


def decode_batch(codec, files: list) -> list[int]:
    """The checksums of files of one size and quality, decoded by one pass of the prior for all of them, in one tile."""
    import torch

    from vaecodec.coding.latent_coder import GroupReader
    from vaecodec.coding.latent_store import StepValues
    from vaecodec.format.ans import Decoder
    from vaecodec.format.tables import FRACTIONS
    from vaecodec.networks.config import PATCH
    from vaecodec.networks.prior import STEPS, Cells

    header, coder, m = files[0].header, codec.coder, codec.coder.config.y_channels
    state = coder.prior.at(header.quality)
    readers = [GroupReader(Decoder(file.payload), coder.tables, coder.device) for file in files]
    shape = -(-header.height // PATCH), -(-header.width // PATCH)
    everywhere = slice(0, -(-shape[0] // 2)), slice(0, -(-shape[1] // 2))

    def take(reader, numbers):
        store = StepValues(m, shape, torch.int16)
        store.put(everywhere, numbers)
        return store.restore(reader.pop(store.flat())).part(everywhere).double().to(coder.device)

    numbers = state.z.numbers.expand(coder.z_shape(shape))
    z = torch.cat([reader.take(numbers) for reader in readers]) + state.z.offset / FRACTIONS
    hyper = coder.prior.hyper(z, state)
    hyper, known = Cells(torch.empty(len(files), m, *shape)).crop(hyper), []
    for step in range(STEPS):
        prediction = coder.prior.predict_y(step, hyper, known, state)
        rows = zip(readers, prediction.numbers.split(1), strict=True)
        symbols = torch.cat([take(reader, numbers) for reader, numbers in rows])
        known.append(prediction.offset + symbols * FRACTIONS)
    return [reader.crc for reader in readers]


def child(paths: list[str], model: str | None, threads: int, device: str) -> None:
    """Decodes in every way that needs no process of its own, and prints the checksums as JSON lines."""
    import torch

    from vaecodec.codec.codec import Codec
    from vaecodec.format.container import unpack
    from vaecodec.networks.fixed_point import _ExactLayer

    torch.set_num_threads(threads)
    files = [unpack(Path(path).read_bytes()) for path in paths]
    layouts = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
    for carrier, (layout, memory_format) in itertools.product((torch.float32, torch.float64), layouts.items()):
        codec = Codec(model, carrier=carrier, device=device)
        for module in codec.prior.networks.modules():
            if isinstance(module, _ExactLayer):
                module.register_forward_pre_hook(lambda _, x, f=memory_format: x[0].contiguous(memory_format=f))
        for onednn in (True, False) if device == "cpu" else (False,):
            torch.backends.mkldnn.enabled = onednn
            batches = [files[first : first + CORNERS] for first in range(0, len(files), CORNERS)]
            checksums = {
                1: [decode_batch(codec, [file])[0] for file in files],
                CORNERS: [value for batch in batches for value in decode_batch(codec, batch)],
            }
            for batch, values in checksums.items():
                row = {"onednn": onednn, "carrier": str(carrier), "layout": layout, "batch": batch}
                print(json.dumps(row | {"checksums": values}), flush=True)
    print(json.dumps({"capability": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}))


# --- the table -------------------------------------------------------------------------------------------------------


def run_child(paths: list[Path], model: str | None, threads: int, device: str, environment: dict) -> list[dict]:
    variables = {name: v for name, v in os.environ.items() if name not in INSTRUCTIONS["AVX2"]} | environment
    variables |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, __file__, "--child", str(threads), "--device", device, *map(str, paths)]
    command += ["--model", model] if model else []
    result = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def by_reference(paths: list[Path], model: str | None) -> list[int]:
    """What the decoder in numpy and Python integers makes of them."""
    sys.path.append(str(ROOT / "tests"))
    from reference import decoder
    from reference import model as reference_model

    from vaecodec.format.catalog import DEFAULT_MODEL, model_path

    stored = reference_model.load(model_path(model or DEFAULT_MODEL))
    return [decoder.decode(path.read_bytes(), stored).symbols_crc for path in paths]


def table(paths: list[Path], model: str | None) -> dict:
    """Every row of the table, with its single runs."""
    import torch

    from vaecodec.format.container import read_header

    expected = [read_header(path.read_bytes()).symbols_crc for path in paths]
    rows = []

    def add(name: str, threads: int | str, runs: list[dict]) -> None:
        same = sum(run["checksums"] == expected for run in runs)
        crc = ", ".join(sorted({combined(run["checksums"]) for run in runs}))
        rows.append({"by": name, "threads": threads, "runs": len(runs), "same": same, "crc": crc, "single": runs})
        say(f"{name}, {threads} threads: {same} of {len(runs)} the same, {crc}")

    for (name, environment), threads in itertools.product(INSTRUCTIONS.items(), THREADS):
        *runs, facts = run_child(paths, model, threads, "cpu", environment)
        add(f"{name} ({facts['capability']})" if not environment else name, threads, runs)
    add("the reference in numpy", "–", [{"checksums": by_reference(paths, model)}])
    if torch.cuda.is_available():
        add(torch.cuda.get_device_name(), "–", run_child(paths, model, 1, "cuda", {})[:-1])
    machine = {"processor": platform.processor() or platform.machine(), "torch": facts["torch"]}
    return {"machine": machine, "expected": combined(expected), "gpu": torch.cuda.is_available(), "rows": rows}


def report(result: dict) -> str:
    """The table as Markdown."""
    lines = ["| instruction sets | threads | ways to decode | of which the same | CRC of the symbols' CRCs |"]
    lines += ["| --- | ---: | ---: | ---: | --- |"]
    lines += ["| {by} | {threads} | {runs} | {same} | `{crc}` |".format(**row) for row in result["rows"]]
    if not result["gpu"]:
        lines.append("| a GPU | – | – | – | there was none |")
    return "\n".join(lines) + "\n"


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Writes OUTPUT.json and OUTPUT.md.")
@click.option("-m", "--model", help="Name or file of a model.")
@click.option("--child", "threads", type=int, hidden=True)
@click.option("--device", default="cpu", hidden=True)
@click.argument("paths", nargs=-1)
def main(output: Path | None, model: str | None, threads: int | None, device: str, paths: tuple[str, ...]) -> None:
    """Prints the table, and fails if one checksum is another."""
    import tempfile

    if threads is not None:
        child(list(paths), model, threads, device)
        return
    with tempfile.TemporaryDirectory() as folder:
        result = table(make_files(model, Path(folder)), model)
    click.echo(report(result))
    if output:
        output.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        output.with_suffix(".md").write_text(report(result))
    if any(row["same"] < row["runs"] for row in result["rows"]):
        raise SystemExit("not all the same")


if __name__ == "__main__":
    main()
