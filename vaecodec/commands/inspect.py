"""`vaecodec info`, `test` and `models`: what files and models are."""

from __future__ import annotations

import json

import click

import vaecodec
from vaecodec import files
from vaecodec.console import MODEL, human_size, run
from vaecodec.container import quality_of


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE.vae...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def info(paths: tuple[str, ...], as_json: bool) -> None:
    """Show what the headers of .vae files say; nothing is decoded."""
    names = {model.model_id: model.name for model in vaecodec.list_models()}

    def work(path: str) -> None:
        data = files.read(path)
        header = vaecodec.read_info(data)
        fields = {
            "file": path, "width": header.width, "height": header.height, "mode": header.mode,
            "quality": round(quality_of(header.quality), 2), "bytes": len(data),
            "bpp": round(8 * len(data) / header.pixels, 4), "payload_bytes": header.payload_bytes,
            "chunks": header.chunks, "coding": header.coding, "model_id": header.model_id.hex(),
            "model": names.get(header.model_id),
        }  # fmt: skip
        if as_json:
            click.echo(json.dumps(fields))
        else:
            model = fields["model"] or "not installed"
            click.echo(
                f"{path}: {header.width}×{header.height} {header.mode}  quality {fields['quality']:g}  "
                f"{human_size(len(data))}  {fields['bpp']:.3f} bpp  model {model} ({header.model_id.hex()})"
            )

    run(list(paths), work)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE.vae...")
@MODEL
def test(paths: tuple[str, ...], model: str | None) -> None:
    """Check that .vae files decode, symbol by symbol; nothing is written."""

    def work(path: str) -> None:
        vaecodec.decompress(files.read(path), model=model, max_pixels=None)
        click.echo(f"{path}: ok")

    run(list(paths), work)


@click.command()
def models() -> None:
    """List the installed models."""
    from vaecodec.catalog import DEFAULT_MODEL

    for model in vaecodec.list_models():
        default = "  (default)" if model.name == DEFAULT_MODEL else ""
        click.echo(
            f"{model.name}  {model.model_id.hex()}  {human_size(model.path.stat().st_size)}  {model.path}{default}"
        )
