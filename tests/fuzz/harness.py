"""What the fuzz targets share: runs a target on mutated inputs for some seconds, by atheris if it is installed.

A target takes bytes and returns a word for what came of them; whatever it raises is a crash, which is kept in
`crashers/<target>/` and replayed by tests/test_fuzz.py from then on. Without atheris, hypothesis makes the inputs; it
does not see which code they reach.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import math
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent
CRASHERS = FOLDER / "crashers"
sys.path[:0] = [str(FOLDER.parent), str(FOLDER.parents[1])]

try:
    import atheris
except ImportError:
    atheris = None

Target = Callable[[bytes], str]


def instrumented() -> contextlib.AbstractContextManager:
    """Within it, the package's modules are imported so that atheris sees which branches they take; not under pytest."""
    alone = Path(sys.argv[0]).resolve().parent == FOLDER.resolve()
    return atheris.instrument_imports(include=["vaecodec"]) if atheris and alone else contextlib.nullcontext()


def keep(name: str, data: bytes) -> Path:
    """Stores an input that must not be forgotten."""
    path = CRASHERS / name / f"crash-{hashlib.sha1(data).hexdigest()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def by_hypothesis(target: Target, seeds: list[bytes], *, examples: int, seed: int = 0) -> None:
    """Runs a target on bytes near its seeds; what it raises comes out, for the smallest input found."""
    import hypothesis
    from hypothesis import strategies as st

    near = st.builds(
        _edited,
        st.sampled_from(seeds),
        st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6),
        st.none() | st.integers(0, 2**16),
        st.binary(max_size=16),
    )

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(near | st.binary(max_size=200))
    def run(data: bytes) -> None:
        try:
            target(data)
        except BaseException as error:
            run.failing = data
            raise AssertionError(f"{type(error).__name__}: {error}") from error

    try:
        run()
    except AssertionError as error:
        error.data = run.failing
        raise


def _edited(data: bytes, changes: list[tuple[int, int]], cut: int | None, extra: bytes) -> bytes:
    raw = bytearray(data if cut is None else data[: cut % (len(data) + 1)])
    for place, value in changes:
        if raw:
            raw[place % len(raw)] = value
    return bytes(raw + extra)


def main(target: Target, seeds: list[bytes]) -> None:
    """The command line of a target; prints what came of how many inputs, as JSON."""
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(description=target.__doc__)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    base, end = 0, math.inf

    def counted(data: bytes) -> None:
        outcomes[target(data)] += 1
        if time.monotonic() > end:
            report()
            os._exit(0)  # libFuzzer would end the process so too, without a chance to report

    def report() -> None:
        engine = "atheris" if atheris else "hypothesis"
        facts = {"target": name, "engine": engine, "seconds": options.seconds, "inputs": outcomes.total()}
        facts["outcomes"] = dict(outcomes.most_common())
        if atheris is None:  # what it keeps of the branches that were taken grows with every input
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
            facts["peak_growth_mb"] = round(grown / 1000)
        print(json.dumps(facts), flush=True)

    for data in [b"", *seeds]:  # loads what the target loads once
        counted(data)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + options.seconds
    if atheris is None:
        try:
            for seed in itertools.count(options.seed):
                by_hypothesis(counted, seeds, examples=200, seed=seed)
        except AssertionError as error:
            print(f"kept as {keep(name, error.data)}", file=sys.stderr)
            raise
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds):
            Path(corpus, str(number)).write_bytes(data)
        (CRASHERS / name).mkdir(parents=True, exist_ok=True)
        arguments = [
            sys.argv[0], corpus, f"-max_total_time={options.seconds + 60}", f"-seed={options.seed}", "-max_len=8192",
            "-timeout=20", "-rss_limit_mb=4096", "-verbosity=0", f"-artifact_prefix={CRASHERS / name}/",
        ]  # fmt: skip
        atheris.Setup(arguments, counted)
        atheris.Fuzz()
