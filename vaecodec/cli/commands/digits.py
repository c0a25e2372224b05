"""`vaecodec digits …`: options and messages; `uses`, `pack` and `train` do the work, imported when it is needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaecodec.cli.console import FORCE, SEED, Function, Number, progress_bar
from vaecodec.cli.terminal import human_size, say
from vaecodec.digits import CLASSES, SIDE
from vaecodec.format import files

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from vaecodec.digits.model import DigitsVAE

OUTPUT = click.option("-o", "--output", required=True, metavar="FILE", help="PNG to write; - for standard output.")
LABEL = click.option("--label", type=click.IntRange(0, CLASSES - 1), help="The label that the model is told.")


def _model(default: str) -> Callable[[Function], Function]:
    return click.option("-m", "--model", default=default, show_default=True, help="Small model, by name or file.")


@click.group()
def digits() -> None:
    """Use the lecture's VAE.

    Its pictures are small and grey, its latents a vector.

    \b
    Examples:
      vaecodec digits sample -o digits.png
      vaecodec digits traverse --label 3 -o threes.png
      vaecodec digits pack t10k-images-idx3-ubyte.gz digits.vpk
    """


def _load(name: str) -> DigitsVAE:
    from vaecodec.digits.weights import load

    return load(name).model()


def _write(output: str, image: Image.Image, *, force: bool) -> None:
    from vaecodec.pictures.contact_sheets import png

    files.write(output, png(image), force=force)
    say(f"{output}  {image.width}×{image.height}")


def _picture(path: str) -> np.ndarray:
    """A picture of 28 by 28 from a file, as `[28, 28]` uint8."""
    import io

    import numpy as np

    from vaecodec.errors import ImageError
    from vaecodec.pictures import images

    with files.naming(path):
        image = images.open_image(io.BytesIO(files.read(path)))
        if image.size != (SIDE, SIDE):
            raise ImageError(f"has {image.width}x{image.height} pixels; {SIDE}x{SIDE} are needed")
        return np.asarray(image.convert("L"))


@digits.command()
@click.option("-n", "--number", default=10, show_default=True, type=click.IntRange(1, 1000), help="Pictures a label.")
@LABEL
@click.option("--plain", is_flag=True, help="The pictures alone, pixel for pixel, without captions.")
@SEED
@_model("digits")
@OUTPUT
@FORCE
def sample(number: int, label: int | None, plain: bool, seed: int, model: str, output: str, force: bool) -> None:
    """Pictures from the prior, in one forward pass; a row for each label."""
    files.check_target(output, force=force, sources=[model])
    import numpy as np
    from PIL import Image

    from vaecodec.digits.studies import uses
    from vaecodec.pictures import contact_sheets

    vae = _load(model)
    labels = [-1] if not vae.config.labels else [label] if label is not None else list(range(CLASSES))
    if label is not None and not vae.config.labels:
        raise click.UsageError(f"the model {model} knows no labels")
    rows = np.stack([uses.sample(vae, number, each, seed + each) for each in labels])
    if plain:
        image = Image.fromarray(contact_sheets.as_bytes(np.concatenate([np.concatenate(row, 1) for row in rows])))
    else:
        image = contact_sheets.sheet(
            rows,
            title="Drawn from the prior, by label" if vae.config.labels else "Drawn from the prior",
            rows=[str(each) for each in labels] if vae.config.labels else (),
            caption=f"x = G({'z, label' if vae.config.labels else 'z'}), z ~ N(0, I), K = {vae.config.latents}",
        )
    _write(output, image, force=force)


@digits.command()
@LABEL
@click.option("--latents", nargs=2, type=click.IntRange(min=0), help="Which two; those that change most by default.")
@click.option("--steps", default=9, show_default=True, type=click.IntRange(2, 50), help="Pictures a side.")
@click.option(
    "--extent", default=2.0, show_default=True, type=Number(0, 100), help="The latents go from minus this to this."
)
@_model("digits")
@OUTPUT
@FORCE
def traverse(
    label: int | None,
    latents: tuple[int, int] | None,
    steps: int,
    extent: float,
    model: str,
    output: str,
    force: bool,
) -> None:
    """Two latents varied, the label and all other latents fixed."""
    files.check_target(output, force=force, sources=[model])
    import numpy as np

    from vaecodec.digits.studies import uses
    from vaecodec.pictures import contact_sheets

    vae = _load(model)
    if label is None and vae.config.labels:
        label = 3
    elif label is not None and not vae.config.labels:
        raise click.UsageError(f"the model {model} knows no labels")
    told = -1 if label is None else label
    latents = latents or uses.strongest(vae, told)
    if max(latents) >= vae.config.latents or latents[0] == latents[1]:
        raise click.UsageError(f"--latents: two different ones below {vae.config.latents}")
    values = [f"{value:+.1f}" for value in np.linspace(-extent, extent, steps)]
    image = contact_sheets.sheet(
        uses.traverse(vae, latents, told, steps, extent),
        title=f"Two latents varied, label {label}" if vae.config.labels else "Two latents varied",
        rows=[f"z{latents[0]} {values[0]}", *values[1:]],
        columns=[f"z{latents[1]} {values[0]}", *values[1:]],
        caption="all other latents 0" if vae.config.latents > 2 else "",
    )
    _write(output, image, force=force)


@digits.command()
@click.argument("paths", nargs=-1, required=True, metavar="IMAGE...")
@LABEL
@_model("digits")
@OUTPUT
@FORCE
def analogy(paths: tuple[str, ...], label: int | None, model: str, output: str, force: bool) -> None:
    """The style of given pictures, with every label from 0 to 9.

    --label says what the pictures show; by default the model recognises it.
    """
    files.check_target(output, force=force, sources=[*paths, model])
    import numpy as np

    from vaecodec.digits.studies import uses
    from vaecodec.pictures import contact_sheets

    vae = _load(model)
    if not vae.config.labels:
        raise click.UsageError(f"the model {model} knows no labels")
    given = np.stack([_picture(path) for path in paths])
    labels = uses.recognise(vae, given) if label is None else np.full(len(given), label)
    made = uses.analogy(vae, given, labels)
    image = contact_sheets.sheet(
        np.concatenate((given[:, None] / 255, np.ones_like(made[:, :1]), made), 1),
        title="Style from the picture, content from the label",
        rows=[f"a {each}" for each in labels],
        columns=["given", "", *map(str, range(CLASSES))],
        caption="z from q(z | picture, its label); x = G(z, label)",
    )
    _write(output, image, force=force)


@digits.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--steps", default=9, show_default=True, type=click.IntRange(2, 50), help="Pictures, both ends included.")
@_model("lossless")
@OUTPUT
@FORCE
def interpolate(first: str, second: str, steps: int, model: str, output: str, force: bool) -> None:
    """From one picture to another: along a line, along a sphere, and, beside them, in pixels."""
    files.check_target(output, force=force, sources=[first, second, model])
    import numpy as np

    from vaecodec.digits.studies import uses
    from vaecodec.pictures import contact_sheets

    vae, a, b = _load(model), _picture(first), _picture(second)
    shares = np.linspace(0, 1, steps)[:, None, None]
    line, sphere = (uses.interpolate(vae, a, b, steps, spherical=spherical) for spherical in (False, True))
    a, b = a / 255, b / 255
    rows = [np.stack((a, *row, b)) for row in (line, sphere, a * (1 - shares) + b * shares)]
    image = contact_sheets.sheet(
        np.stack(rows),
        title="Interpolation in the latents, and in pixels",
        rows=["line", "sphere", "pixels"],
        columns=["A", *(f"{share:.2f}".lstrip("0") or "0" for share in shares.flat), "B"],
        caption="A and B as given; between them x = G(z)",
    )
    _write(output, image, force=force)


@digits.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@click.option("--part", type=click.Choice(["train", "test"]), default="test", show_default=True)
@click.option("-n", "--number", default=5000, show_default=True, type=click.IntRange(min=10), help="At most so many.")
@_model("map")
@OUTPUT
@FORCE
def embed(folder: Path, part: str, number: int, model: str, output: str, force: bool) -> None:
    """The map of a set in two dimensions, coloured by class, beside PCA's.

    DIR holds IDX files with MNIST's names.
    """
    files.check_target(output, force=force, sources=[model])
    from vaecodec.digits.data import read_digits
    from vaecodec.digits.studies import maps, uses

    vae = _load(model)
    if vae.config.latents != 2:
        raise click.UsageError(f"the model {model} has {vae.config.latents} latents; a map needs 2")
    data = read_digits(folder, part)
    images, labels = data.images[:number], data.labels[:number]
    means, projected = uses.embed(vae, images)
    panels = {"VAE: mean of q(z | x)": means, "PCA: first two components": projected}
    _write(output, maps.maps(panels, labels, caption=f"{len(images)} pictures, {part} part"), force=force)


@digits.command()
@click.argument("source", metavar="SET.idx")
@click.argument("target", metavar="OUT.vpk")
@_model("lossless")
@FORCE
def pack(source: str, target: str, model: str, force: bool) -> None:
    """A set of pictures into one file, without loss, by bits-back coding.

    SET.idx is an IDX file of 28×28 grey pictures, gzipped or not; - is standard input.
    """
    files.check_target(target, force=force, sources=[source, model])
    start = time.perf_counter()
    from vaecodec.digits.data import as_images, parse_idx
    from vaecodec.digits.pack import pack
    from vaecodec.digits.weights import load

    with files.naming(source):
        images = as_images(parse_idx(files.read(source)))
    stored = load(model)
    with progress_bar(len(images), "packing") as bar:
        data, account = pack(images, stored, bar.update)
    files.write(target, data, force=force)
    say(
        f"{source} → {target}  {len(images)} pictures  {human_size(len(data))}  "
        f"{8 * len(data) / images.size:.4f} bits a pixel  bound {account.bound_bpp:.4f}  "
        f"initial bits {account.initial_bits:.0f}  {time.perf_counter() - start:.2f} s"
    )


@digits.command()
@click.argument("source", metavar="SET.vpk")
@click.argument("target", metavar="OUT.idx")
@click.option("--max-images", default=2**17, show_default=True, type=click.IntRange(min=1), help="Refuse larger sets.")
@_model("lossless")
@FORCE
def unpack(source: str, target: str, max_images: int, model: str, force: bool) -> None:
    """The pictures of a pack, as an IDX file."""
    files.check_target(target, force=force, sources=[source, model])
    start = time.perf_counter()
    from vaecodec.digits.data import format_idx
    from vaecodec.digits.pack import read_header, unpack
    from vaecodec.digits.weights import load

    with files.naming(source):
        data = files.read(source)
        with progress_bar(read_header(data).count, "unpacking") as bar:
            images = unpack(data, load(model), max_images=max_images, progress=bar.update)
    files.write(target, format_idx(images), force=force)
    say(f"{source} → {target}  {len(images)} pictures  {time.perf_counter() - start:.2f} s")


@digits.command()
@click.argument("name", type=click.Choice(["map", "conditional", "lossless"]))
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of IDX files with MNIST's names.",
)
@click.option(
    "--resume",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the run: checkpoint and log; a run that lies there goes on.",
)
@click.option("--export", type=click.Path(dir_okay=False, path_type=Path), help="Write the model here at the end.")
@click.option("--epochs", type=Number(min=0, min_open=True), help="Times that every picture is seen.")
@SEED
@FORCE
def train(
    name: str, data: Path, folder: Path, export: Path | None, epochs: float | None, seed: int, force: bool
) -> None:
    """Train one of the models that are shipped, or the same on another set."""
    if export:
        files.check_target(str(export), force=force)
    from vaecodec.digits import train as training

    with progress_bar(1000, name) as bar:
        training.run(
            name, data, folder, export=export, force=force, epochs=epochs, seed=seed,
            report=lambda progress, loss: bar.update(round(1000 * progress) - bar.pos),
        )  # fmt: skip
    if export:
        say(f"{export}  {human_size(export.stat().st_size)}")
