"""Everything in tests/hostile.py ends as it should, and running out of memory does."""

from __future__ import annotations

import sys

import pytest
from conftest import TINY
from hostile import CASES, NotHere
from support import pack, run_python

LONG = ("bombs", "changed_array", "changed_by_another_thread", "closed_pipe", "thin")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in CASES])
def test_what_goes_wrong_ends_as_it_should(tiny, tmp_path, name: str) -> None:
    try:
        outcomes = CASES[name].run(tmp_path, tiny)
    except NotHere as reason:
        pytest.skip(str(reason))
    assert outcomes
    assert set(outcomes) <= CASES[name].allowed


OUT_OF_MEMORY = """
import resource, sys
import numpy as np
import vaecodec
codec = vaecodec.Codec(sys.argv[1])
codec.decompress(codec.compress(np.zeros((64, 64, 3), np.uint8)))
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 100 * 2**20,) * 2)
for work in (
    lambda: codec.decompress(bytes.fromhex(sys.argv[2])),
    lambda: codec.compress(np.broadcast_to(np.uint8(7), (8000, 8000, 3))),
):
    try:
        work()
    except vaecodec.LimitError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs limits on memory that the system keeps")
def test_too_little_memory_is_a_limit(tiny) -> None:
    """numpy, Pillow and torch each say it in their way."""
    data = pack(width=16_000, height=16_000, model_id=tiny.stored.model_id, payload=b"")
    result = run_python(OUT_OF_MEMORY, str(TINY), data.hex(), text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["there is not enough memory for a picture of this size"] * 2
