"""`python -m reference model.safetensors photo.vae [photo.png]`: says what a file holds, and writes its picture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from reference.container import parse
from reference.decoder import decode_file
from reference.model import load
from reference.pixels import whole

if not 3 <= len(sys.argv) <= 4:
    raise SystemExit(__doc__)
model, data = load(Path(sys.argv[1])), Path(sys.argv[2]).read_bytes()
file = parse(data)
held = "without loss"
if any(file.model_id):
    decoded = decode_file(file, model)
    held = f"{sum(len(group) for group in decoded.symbols)} symbols, CRC {decoded.symbols_crc:08x}"
print(f"{file.width}x{file.height} {file.mode}, {held}")
if len(sys.argv) == 4:
    from PIL import Image

    rgb, alpha = whole(data, model)
    Image.fromarray(rgb if alpha is None else np.dstack([rgb, alpha])).save(sys.argv[3])
