"""What the encoder writes is what `golden/bytes.json` says, to the bit where the machine is that of the table.

Every picture at every effort, each at one quality; with `VAECODEC_FULL_MATRIX=1`, all rows of the table.
"""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from bytes_table import EFFORTS, MODELS, TABLE, cases, machine, rows

EVERY = os.environ.get("VAECODEC_FULL_MATRIX") == "1"


@pytest.mark.parametrize("effort", [e if e in (0, 2) else pytest.param(e, marks=pytest.mark.slow) for e in EFFORTS])
@pytest.mark.parametrize("model", MODELS)
def test_bytes_do_not_drift(model: str, effort: int) -> None:
    table = json.loads(TABLE.read_text())
    chosen = [case for case in cases(every=EVERY) if case[1] == effort]
    assert len({number for number, _, _ in chosen}) == 10
    chosen = chosen if EVERY or effort < 4 else chosen[::3]  # which take their time
    made = {name: [len(data), hashlib.sha256(data).hexdigest()[:16]] for name, data in rows(model, chosen)}
    known = {name: table["files"][name] for name in made}
    if table["machine"] == machine():
        assert made == known
    sizes, before = (sum(size for size, _ in files.values()) for files in (made, known))
    assert sizes == pytest.approx(before, rel=2e-3)


def test_the_table_has_a_row_for_every_case() -> None:
    names = {f"{model} {n:02} e{e} q{q}" for model in MODELS for n, e, q in cases(every=True)}
    assert json.loads(TABLE.read_text())["files"].keys() == names and len(names) == 300
