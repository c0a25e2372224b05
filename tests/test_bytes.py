"""What the encoder writes is what `golden/bytes.json` says, to the bit where the machine is that of the table."""

from __future__ import annotations

import hashlib
import json

import pytest
from bytes_table import TABLE, machine, rows


@pytest.mark.parametrize("model", ["light", "light-psnr"])
def test_bytes_do_not_drift(model: str) -> None:
    table = json.loads(TABLE.read_text())
    known = {name: value for name, value in table["files"].items() if name.split()[0] == model}
    made = {name: [len(data), hashlib.sha256(data).hexdigest()[:16]] for name, data in rows(model)}
    assert made.keys() == known.keys() and len(made) == 150
    if table["machine"] == machine():
        assert made == known
    for effort in range(5):
        sizes, before = (
            sum(size for name, (size, _) in files.items() if f" e{effort} " in name) for files in (made, known)
        )
        assert sizes == pytest.approx(before, rel=2e-3), f"effort {effort}"
