"""`python -m reference model.safetensors photo.vae [photo.png]`: says what a file holds, and writes its picture."""

from __future__ import annotations

import sys
from pathlib import Path

from reference.decoder import decode
from reference.model import load
from reference.pixels import picture

if not 3 <= len(sys.argv) <= 4:
    raise SystemExit(__doc__)
model = load(Path(sys.argv[1]))
decoded = decode(Path(sys.argv[2]).read_bytes(), model)
count = sum(len(group) for group in decoded.symbols)
print(f"{decoded.file.width}x{decoded.file.height} {decoded.file.mode}, {count} symbols, CRC {decoded.symbols_crc:08x}")
if len(sys.argv) == 4:
    from PIL import Image

    Image.fromarray(picture(decoded, model)).save(sys.argv[3])
