"""`vaecodec info`, `test` and `models`: what files and models are."""

from __future__ import annotations

import io
import json
import os
from typing import IO

import click

from vaecodec.cli.console import MAX_PIXELS, MODEL, human_size, run
from vaecodec.cli.done import Made
from vaecodec.cli.terminal import tell
from vaecodec.codec import api
from vaecodec.errors import BitstreamError, VaecodecError
from vaecodec.format import catalog, files
from vaecodec.format.catalog import list_models
from vaecodec.format.container import EXACT, HEADER_BYTES, MADE, METADATA, QUALITY_MAX, Header, VaeFile, read_chunks


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="FILE.vae...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def info(paths: tuple[str, ...], as_json: bool) -> None:
    """Show what .vae files say of themselves.

    That is what stands in the header, how much of the picture is held without loss, and which metadata there are;
    nothing is decoded. The quality is the one that was asked for, as far as the file's model is installed; otherwise
    the place within that model's range.

    \b
    Examples:
      vaecodec info photo.vae
      vaecodec info --json *.vae | jq .bpp
    """
    installed = list_models()

    def work(path: str) -> None:
        header, chunks, size = _read(path)
        model = next((model for model in installed if model.made(header)), None)
        meaning = model and model.qualities.meaning(header.quality)
        parts = {name: sum(len(chunks.get(kind, b"")) for kind in kinds) for name, kinds in METADATA.items()}
        metadata = {name: count for name, count in parts.items() if count}
        exact = _exact_share(header, chunks)
        made = Made.from_bytes(chunks[MADE]).asked if MADE in chunks else None
        fields = {
            "file": path, "width": header.width, "height": header.height, "mode": header.mode,
            "quality": model and round(model.qualities.quality(header.quality), 2), "meaning": meaning,
            "range_share": round(header.quality / QUALITY_MAX, 4), "bytes": size,
            "bpp": round(8 * size / header.pixels, 4), "payload_bytes": header.payload_bytes,
            "chunks": header.chunks, "coding": header.coding, "model_id": header.model_id.hex(),
            "model": model and model.name, "exact": round(exact, 4), "metadata": metadata, "made": made,
        }  # fmt: skip
        if as_json:
            tell(json.dumps(fields))
        else:
            quality = (
                "without loss"
                if header.exact
                else f"quality {fields['quality']:g}{f': {meaning}' if meaning else ''}"
                if model
                else f"quality at {fields['range_share']:.0%} of its model's range"
            )
            if 0 < exact < 1:
                quality += f", {exact:.0%} without loss"
            kept = "".join(f"  {kind} {human_size(count)}" for kind, count in metadata.items())
            kept += f"  made of {made}" if made else ""
            name = "" if header.exact else f"  model {fields['model'] or 'not installed'} ({header.model_id.hex()})"
            tell(
                f"{path}: {header.width}×{header.height} {header.mode}  {quality}  {human_size(size)}  "
                f"{fields['bpp']:.3f} bpp{name}{kept}"
            )

    run(list(paths), work)


def _read(path: str) -> tuple[Header, dict[bytes, bytes], int]:
    """The header of a file, its chunks and its size; of one that is damaged there, no chunks.

    Nothing else is read, but of a pipe, whose size is known at its end.

    Raises:
        VaecodecError: with the reason.
    """
    try:
        with io.BytesIO(files.read(path)) if path == files.STREAM else open(path, "rb") as file:
            head = file.read(HEADER_BYTES)
            header = api.read_info(head)
            body = file if file.seekable() else io.BytesIO(head + file.read())
            body.seek(HEADER_BYTES)
            return header, _chunks(body, header), body.seek(0, os.SEEK_END)
    except OSError as error:
        raise files.FileError(f"{path}: cannot be read: {files.reason(error)}") from error


def _chunks(file: IO[bytes], header: Header) -> dict[bytes, bytes]:
    """The chunks of a file from behind its header on; of one that is damaged there, none."""
    try:
        return read_chunks(file, header.chunks)
    except VaecodecError:
        return {}


def _exact_share(header: Header, chunks: dict[bytes, bytes]) -> float:
    """The share of the picture that is held without loss; of a file that is damaged there, none."""
    if EXACT not in chunks:
        return 0.0
    from vaecodec.pictures import exact

    try:
        return exact.share(VaeFile(header, b"", chunks))
    except BitstreamError:
        return 0.0


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="FILE.vae...")
@MAX_PIXELS
@MODEL
def test(paths: tuple[str, ...], max_pixels: int, model: str | None) -> None:
    """Check that .vae files are whole and decode.

    Every symbol is decoded and held against the checksum; nothing is written.

    \b
    Examples:
      vaecodec test photo.vae
      vaecodec test archive/*.vae && echo all well
    """

    def work(path: str) -> None:
        api.decompress(files.read(path), model=model, max_pixels=max_pixels)
        tell(f"{path}: ok")

    run(list(paths), work)


@click.command()
def models() -> None:
    """List the installed models.

    Name, the id that files of the model carry, what it was trained for and how to ask for it, size, place. A model file
    that cannot be read is listed as damaged, with the reason.

    \b
    Example:
      vaecodec models
    """
    for model in list_models():
        kind = model.config.get("kind") or f"distortion {model.config.get('distortion', 'mse')}"
        tune = f"  --tune {model.tune}" if model.tune else ""
        default = " (default)" if model.name == catalog.DEFAULT_MODEL else ""
        size = human_size(model.path.stat().st_size)
        tell(f"{model.name}  {model.model_id.hex()}  {kind}{tune}{default}  {size}  {model.path}")
    for error in catalog.damaged_models():
        tell(f"damaged: {error}")
