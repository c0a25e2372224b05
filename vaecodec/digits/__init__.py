"""The lecture's own VAE: a vector of latents for small grey pictures, labels, and what one can do with them.

In come grey pictures of 28 by 28; out go `.vae` files, packs without loss, and figures. `vaecodec/__init__` registers
its codec, and the command line its commands: that is all that the rest of the package knows of it.
"""

from __future__ import annotations

SIDE = 28
"""Pixels a side of a picture."""
CLASSES = 10
