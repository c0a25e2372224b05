"""`vaecodec --version`, `models` and `info`: what the program, models and files say of themselves. Imports no click."""

from __future__ import annotations

import io
import json
import os

from vaecodec.cli.terminal import human_size, run, tell
from vaecodec.errors import BitstreamError, VaecodecError
from vaecodec.format import catalog, files
from vaecodec.format.container import (
    EXACT,
    HEADER_BYTES,
    MADE,
    METADATA,
    QUALITY_MAX,
    Header,
    VaeFile,
    read_chunks,
    read_header,
)
from vaecodec.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any


def show_version() -> None:
    """The program's version, and the models with their fingerprints."""
    tell(f"vaecodec {__version__}")
    for model in catalog.list_models():
        tell(f"model {model.name} {model.fingerprint}")


def show_models() -> None:
    """A line for each model, and for each file that should be one and is not."""
    for model in catalog.list_models():
        kind = model.config.get("kind") or f"distortion {model.config.get('distortion', 'mse')}"
        tune = f"  --tune {model.tune}" if model.tune else ""
        default = " (default)" if model.name == catalog.DEFAULT_MODEL else ""
        size = human_size(model.path.stat().st_size)
        tell(f"{model.name}  {model.model_id.hex()}  {kind}{tune}{default}  {size}  {model.path}")
    for error in catalog.damaged_models():
        tell(f"damaged: {error}")


def show_info(paths: list[str], *, as_json: bool) -> None:
    """What `.vae` files say of themselves: a line each, or a JSON object."""
    installed = catalog.list_models()

    def work(path: str) -> None:
        header, chunks, size = _read(path)
        exact = _exact_share(header, chunks)
        fields = _fields(path, header, chunks, size, installed) | {"exact": round(exact, 4), "made": _made(chunks)}
        tell(json.dumps(fields) if as_json else _in_a_line(header, exact, fields))

    run(paths, work)


def _fields(
    path: str, header: Header, chunks: dict[bytes, bytes], size: int, installed: list[catalog.ModelInfo]
) -> dict[str, Any]:
    """What a file says, by name; without what its chunks hold."""
    model = next((model for model in installed if model.made(header)), None)
    parts = {name: sum(len(chunks.get(kind, b"")) for kind in kinds) for name, kinds in METADATA.items()}
    return {
        "file": path, "width": header.width, "height": header.height, "mode": header.mode,
        "quality": model and round(model.qualities.quality(header.quality), 2),
        "meaning": model and model.qualities.meaning(header.quality),
        "range_share": round(header.quality / QUALITY_MAX, 4), "bytes": size,
        "bpp": round(8 * size / header.pixels, 4), "payload_bytes": header.payload_bytes,
        "chunks": header.chunks, "coding": header.coding, "model_id": header.model_id.hex(),
        "model": model and model.name, "exact": 0.0,
        "metadata": {name: count for name, count in parts.items() if count},
    }  # fmt: skip


def _in_a_line(header: Header, exact: float, fields: dict[str, Any]) -> str:
    """The same for people."""
    meaning = fields["meaning"]
    quality = (
        "without loss"
        if header.exact
        else f"quality {fields['quality']:g}{f': {meaning}' if meaning else ''}"
        if fields["model"]
        else f"quality at {fields['range_share']:.0%} of its model's range"
    )
    if 0 < exact < 1:
        quality += f", {exact:.0%} without loss"
    kept = "".join(f"  {kind} {human_size(count)}" for kind, count in fields["metadata"].items())
    kept += f"  made of {fields['made']}" if fields["made"] else ""
    name = "" if header.exact else f"  model {fields['model'] or 'not installed'} ({header.model_id.hex()})"
    return (
        f"{fields['file']}: {header.width}×{header.height} {header.mode}  {quality}  {human_size(fields['bytes'])}  "
        f"{fields['bpp']:.3f} bpp{name}{kept}"
    )


def _read(path: str) -> tuple[Header, dict[bytes, bytes], int]:
    """The header of a file, its chunks and its size; of one that is damaged there, no chunks.

    Nothing else is read, but of a pipe, whose size is known at its end.

    Raises:
        VaecodecError: with the reason.
    """
    try:
        with io.BytesIO(files.read(path)) if path == files.STREAM else open(path, "rb") as file:
            head = file.read(HEADER_BYTES)
            header = read_header(head)
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


def _made(chunks: dict[bytes, bytes]) -> str | None:
    """What a file was made from and what was asked for, if it says so."""
    if MADE not in chunks:
        return None
    from vaecodec.cli.done import Made

    return Made.from_bytes(chunks[MADE]).asked
