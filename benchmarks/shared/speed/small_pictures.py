"""Many small pictures against one of as many pixels: what each picture costs beside its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.pictures import continued
from shared.speed.measuring import Run, Turns, timed

SIDE = 256


def measure(model: str, image: np.ndarray, across: int, turns: Turns) -> dict[str, Any]:
    """`across` squared pictures, one after the other, and the one that they make; to be run in a process of its own.

    Returns:
        By what was done, "encode" and "decode", and by "many" and "one", what `Turns.take` says.
    """
    from vaecodec import Codec

    codec = Codec(model)
    whole = continued(image, across * SIDE, across * SIDE)
    rows = np.split(whole, across)
    parts = [np.ascontiguousarray(part) for row in rows for part in np.split(row, across, 1)]
    pictures = {"many": parts, "one": [whole]}
    coded: dict[str, list[bytes]] = {}

    def encode(which: str) -> Run:
        def run() -> dict[str, Any]:
            seconds, coded[which] = timed(lambda: [codec.compress(picture) for picture in pictures[which]])
            return {"seconds": seconds}

        return run

    def decode(which: str) -> Run:
        return lambda: {"seconds": timed(lambda: [codec.decompress(data) for data in coded[which]])[0]}

    runs = {(name, which): kind(which) for name, kind in (("encode", encode), ("decode", decode)) for which in pictures}
    results: dict[str, Any] = {"encode": {}, "decode": {}, "pictures": len(parts)}
    for (name, which), result in turns.take(runs).items():
        results[name][which] = result
    return results
