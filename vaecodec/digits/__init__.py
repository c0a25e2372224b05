"""The lecture's own VAE: a vector of latents for small grey pictures, labels, and what one can do with them.

A room of its own: the line `ROOMS` in `vaecodec.catalog` is all that the rest of the package knows of it. Importing it
imports neither torch nor numpy.
"""

from __future__ import annotations

SIDE = 28
"""Pixels a side of a picture."""
CLASSES = 10


def __getattr__(name: str):
    if name == "Codec":
        from vaecodec.digits.codec import DigitsCodec

        return DigitsCodec
    if name == "commands":
        from vaecodec.digits.cli import digits

        return digits
    raise AttributeError(f"module 'vaecodec.digits' has no attribute {name!r}")
