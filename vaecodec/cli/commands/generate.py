"""`vaecodec sample` and `interpolate`: the photo codec as a generative model."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import click

from vaecodec.cli.console import FORCE, MODEL, SEED, TUNE, Number, chosen_model, parse_qualities
from vaecodec.cli.terminal import say, shown
from vaecodec.codec import api
from vaecodec.errors import ModelError
from vaecodec.format import files

if TYPE_CHECKING:
    from PIL import Image

    from vaecodec.codec.codec import Codec

OUTPUT = click.option("-o", "--output", required=True, metavar="FILE", help="PNG to write; - for standard output.")


def _photo_codec(model: str | None, tune: str | None) -> Codec:
    """The codec that is meant, which has to be one of photographs."""
    from vaecodec.codec.codec import Codec

    codec = api.codecs(chosen_model(model, tune))
    if not isinstance(codec, Codec):
        raise ModelError(f"{codec.name}: not a model of photographs; `vaecodec digits` has commands for this one")
    return codec


@click.command()
@click.option("--qualities", default="10,50,90", show_default=True, help="Comma-separated, 1 to 100; a column each.")
@click.option("-n", "--number", default=2, show_default=True, type=click.IntRange(1, 20), help="Pictures a quality.")
@click.option("--size", nargs=2, default=(256, 256), show_default=True, type=click.IntRange(1, 2048), metavar="W H")
@SEED
@TUNE
@MODEL
@OUTPUT
@FORCE
def sample(
    qualities: str,
    number: int,
    size: tuple[int, int],
    seed: int,
    tune: str | None,
    model: str | None,
    output: str,
    force: bool,
) -> None:
    """Draw pictures from the model's prior.

    First z, then y step by step, then the synthesis.

    \b
    Examples:
      vaecodec sample -o samples.png
      vaecodec sample --qualities 20,80 -n 4 --size 512 384 --seed 7 -o samples.png
    """
    files.check_target(output, force=force, sources=[model])
    values = parse_qualities(qualities)
    import numpy as np

    from vaecodec.codec import sampling
    from vaecodec.pictures import contact_sheets

    codec = _photo_codec(model, tune)
    rows = [[sampling.sample(codec, size, value, seed + i) for value in values] for i in range(number)]
    image = contact_sheets.sheet(
        np.array(rows) / 255,
        title="Drawn from the prior: z, then y, then a picture",
        columns=[f"quality {value:g}" for value in values],
        caption=f"model {shown(codec.name)} ({codec.stored.model_id.hex()})",
        scale=1,
    )
    files.write(output, contact_sheets.png(image), force=force)
    say(f"{output}  {image.width}×{image.height}")


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("-q", "--quality", type=Number(1, 100), help="By default the model's own.")
@click.option("--steps", default=5, show_default=True, type=click.IntRange(2, 20), help="Pictures, both ends included.")
@click.option(
    "--side", default=256, show_default=True, type=click.IntRange(16, 2048), help="Larger pictures are reduced to this."
)
@TUNE
@MODEL
@OUTPUT
@FORCE
def interpolate(
    first: str,
    second: str,
    quality: float | None,
    steps: int,
    side: int,
    tune: str | None,
    model: str | None,
    output: str,
    force: bool,
) -> None:
    """Go from one photograph to another.

    Along a line and a sphere in the latents, and, beside them, in pixels. B is cut to the shape of A.

    \b
    Example:
      vaecodec interpolate a.png b.png --steps 7 -o between.png
    """
    files.check_target(output, force=force, sources=[first, second, model])
    import numpy as np
    from PIL import ImageOps

    from vaecodec.codec import sampling
    from vaecodec.pictures import contact_sheets, images

    def read(path: str) -> Image.Image:
        with files.naming(path):
            return images.open_image(io.BytesIO(files.read(path))).convert("RGB")

    start, end = read(first), read(second)
    start.thumbnail((side, side))
    a, b = np.asarray(start), np.asarray(ImageOps.fit(end, start.size))
    codec = _photo_codec(model, tune)
    line, sphere = (
        sampling.interpolate(codec, a, b, quality, steps, spherical=spherical) for spherical in (False, True)
    )
    shares = np.linspace(0, 1, steps)
    pixels = [(1 - share) * a + share * b for share in shares]
    image = contact_sheets.sheet(
        np.array([line, sphere, pixels]) / 255,
        title="Interpolation in the latents, and in pixels",
        rows=["line", "sphere", "pixels"],
        columns=[f"{share:g}" for share in shares.round(2)],
        caption=f"model {shown(codec.name)} ({codec.stored.model_id.hex()}), quality "
        f"{codec.stored.qualities.default if quality is None else quality:g}",
        scale=1,
    )
    files.write(output, contact_sheets.png(image), force=force)
    say(f"{output}  {image.width}×{image.height}")
