"""What the encoder writes is what `golden/bytes.json` says, to the bit where the machine is that of the table."""

from __future__ import annotations

import hashlib
import json

import pytest
from bytes_table import EFFORTS, MODELS, QUALITIES, TABLE, machine, rows


def check(model: str, effort: int, count: int | None = None) -> None:
    """Compares an effort's rows of the table, of a model's first `count` pictures or of all, with what is made now."""
    table = json.loads(TABLE.read_text())
    made = {name: [len(data), hashlib.sha256(data).hexdigest()[:16]] for name, data in rows(model, [effort], count)}
    known = {
        name: row for name, row in table["files"].items() if name.startswith(f"{model} ") and f" e{effort} " in name
    }
    assert len(known) == 10 * len(QUALITIES)
    if count is None:
        assert made.keys() == known.keys()
    else:
        known = {name: known[name] for name in made}
        assert len(known) == count * len(QUALITIES)
    if table["machine"] == machine():
        assert made == known
    sizes, before = (sum(size for size, _ in files.values()) for files in (made, known))
    assert sizes == pytest.approx(before, rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("model", MODELS)
def test_bytes_do_not_drift(model: str, effort: int) -> None:
    check(model, effort)


@pytest.mark.parametrize("model", MODELS)
def test_the_first_bytes_do_not_drift(model: str) -> None:
    """A part of the same, soon."""
    check(model, effort=2, count=2)


def test_the_table_is_of_all_that_is_compared() -> None:
    assert len(json.loads(TABLE.read_text())["files"]) == 10 * len(MODELS) * len(EFFORTS) * len(QUALITIES)
