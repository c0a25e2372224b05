"""What do the lecture's models generate? The pictures of docs/lecture.md, by the commands that it names.

    python benchmarks/lecture_pictures.py --data mnist/ --fashion fashion/ --runs build/lecture

The photo codec's samples are made too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from shared.results import say

GIVEN = (0, 1, 4, 11)
"""Test pictures that lend their style, and between the first two of which there is a way."""


def run(*arguments: str | Path) -> None:
    """One command of vaecodec."""
    from vaecodec.cli.main import main

    say("vaecodec " + " ".join(map(str, arguments)))
    command = main
    words = list(map(str, arguments))
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.main(words, standalone_mode=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="MNIST's IDX files."
)
@click.option(
    "--fashion", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Fashion-MNIST's IDX files."
)
@click.option(
    "--runs", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where the trained model is kept."
)
@click.option("--epochs", default=6.0, show_default=True, help="Of the model for Fashion-MNIST.")
@click.option(
    "--figures", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/lecture"), show_default=True
)
def main(data: Path, fashion: Path | None, runs: Path, epochs: float, figures: Path) -> None:
    """Draw all pictures anew."""
    from PIL import Image

    from vaecodec.digits.data import read_digits

    figures.mkdir(parents=True, exist_ok=True)
    test = read_digits(data, "test")
    with tempfile.TemporaryDirectory() as folder:
        given = []
        for number in GIVEN:
            given.append(Path(folder) / f"{number}.png")
            Image.fromarray(test.images[number]).save(given[-1])
        run("digits", "sample", "-f", "-o", figures / "sample.png")
        for label in ("2", "3", "4"):
            grid = figures / f"traverse-{label}.png"
            run("digits", "traverse", "--label", label, "--steps", "7", "-f", "-o", grid)
        run("digits", "traverse", "-m", "map", "--steps", "15", "--extent", "2.5", "-f", "-o", figures / "plane.png")
        run("digits", "analogy", *given, "-f", "-o", figures / "analogy.png")
        run("digits", "interpolate", *given[:2], "-f", "-o", figures / "interpolate.png")
    run("digits", "embed", data, "-f", "-o", figures / "map.png")
    run("sample", "--size", "224", "224", "-f", "-o", figures / "photo-samples.png")
    if fashion:
        model = runs / "fashion.safetensors"
        arguments = ("--data", fashion, "--resume", runs / "fashion", "--epochs", str(epochs), "--export", model)
        run("digits", "train", "map", *arguments)
        run("digits", "embed", fashion, "-m", model, "-f", "-o", figures / "fashion.png")


if __name__ == "__main__":
    main()
