"""Which codecs are measured, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shared.results import say

if TYPE_CHECKING:
    from vaecodec.baselines.collection import ImageCodec


def collect_codecs(model: str | None) -> list[ImageCodec]:
    """All that are installed; says which are not, and why."""
    from vaecodec.baselines.collection import collect

    codecs, missing = collect(model)
    for name, reason in missing.items():
        say(f"left out: {name}: {reason}")
    return codecs


def chosen(codecs: list[ImageCodec], names: str | None) -> list[ImageCodec]:
    """Those of a comma-separated list of names, or all.

    Raises:
        click.UsageError: a name is unknown.
    """
    if names is None:
        return codecs
    known = {codec.name.lower(): codec for codec in codecs}
    # names may hold commas themselves, so the longest match first
    rest, found = names.lower().strip(), []
    while rest:
        name = max((n for n in known if rest == n or rest.startswith(f"{n},")), key=len, default=None)
        if name is None:
            raise click.UsageError(f"--codecs: unknown at {rest!r}; there are: {', '.join(c.name for c in codecs)}")
        found.append(known[name])
        rest = rest[len(name) :].lstrip(", ")
    return found


def measure_of(codec) -> str:
    """The measure that belongs to what a model is trained for."""
    return "psnr_db" if codec.model.config.distortion == "mse" else "ssimulacra2"
