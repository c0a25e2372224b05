"""`vaecodec.ray`: a table in, a table out, failures by row; and a cluster of two machines of which one dies."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, picture
from PIL import Image
from support import ROOT, TESTS, assert_no_torch

import vaecodec
from vaecodec.plugins.ray_data import Compress

pa = pytest.importorskip("pyarrow", reason="needs pyarrow, which comes with ray[data]")


def png(seed: int, width: int = 40, height: int = 30) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(width, height, seed)).save(buffer, "PNG")
    return buffer.getvalue()


def test_it_is_light_to_import() -> None:
    assert_no_torch("import sys, vaecodec.ray\nassert 'ray' not in sys.modules and 'pyarrow' not in sys.modules")


def test_rows_are_compressed_or_say_why_not(tiny) -> None:
    table = pa.table(
        {
            "name": ["good", "text", "nothing", "large", "cut"],
            "bytes": pa.array([png(1), b"text", None, png(2, 80, 80), png(3)[:200]], pa.binary()),
            "bpp": [0.0] * 5,
        }
    )
    result = Compress(model=TINY, quality=70, max_pixels=6000)(table)
    assert result.column_names == ["name", "vae", "bpp", "error"]
    good, *bad = result.to_pylist()
    assert good["vae"] == tiny.compress(Image.open(io.BytesIO(png(1))), quality=70)
    assert (good["bpp"], good["error"]) == (8 * len(good["vae"]) / 1200, None)
    assert all(row["vae"] is row["bpp"] is None for row in bad)
    assert [row["error"].split(":")[0] for row in bad] == [
        "ImageError", "ImageError", "LimitError", "ImageError",
    ]  # fmt: skip


def test_paths_are_read(tiny, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(4))
    table = pa.table({"path": [str(tmp_path / "a.png"), str(tmp_path / "none.png")]})
    first, second = Compress(model=TINY)(table).to_pylist()
    assert first["vae"] == tiny.compress(tmp_path / "a.png")
    assert first["path"] == str(tmp_path / "a.png")
    assert second["error"].startswith("FileNotFoundError")


def test_tables_without_rows_or_columns() -> None:
    compress = Compress(model=TINY)
    assert compress(pa.table({"bytes": pa.array([], pa.binary())})).column_names == ["vae", "bpp", "error"]
    with pytest.raises(ValueError, match="there are other"):
        compress(pa.table({"other": [1]}))


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes on this machine, and the second of them."""
    ray = pytest.importorskip("ray", reason="needs ray[data]")
    from ray.cluster_utils import Cluster

    for name, value in {
        "PYTHONPATH": f"{ROOT}:{TESTS}:{TESTS / 'plugins'}", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1", "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "2", "RAY_health_check_timeout_ms": "500",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    options = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    second = cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_a_machine_that_dies_costs_no_row(cluster, tmp_path: Path) -> None:
    """Folder in, parquet out, as in docs/scale.md, one file no picture; one of two nodes is killed half-way."""
    import pyarrow.parquet as parquet
    import ray

    ray_cluster, second = cluster
    photos, out, log = tmp_path / "photos", tmp_path / "out", tmp_path / "log"
    photos.mkdir()
    log.mkdir()
    names = [f"{number:03}.png" for number in range(60)]
    for number, name in enumerate(names):
        (photos / name).write_bytes(b"text" if number == 7 else png(number))

    class Logged(Compress):
        """Tells who did which row, and takes its time."""

        def __call__(self, table):
            node = ray.get_runtime_context().get_node_id()
            for path in table["path"].to_pylist():
                (log / f"{Path(path).stem} {node} {time.time_ns()}").touch()
                time.sleep(0.15)
            return super().__call__(table)

    killed = threading.Event()

    def kill() -> None:
        while len(list(log.iterdir())) < len(names) // 2:
            time.sleep(0.05)
        ray_cluster.remove_node(second, allow_graceful=False)
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    dataset = ray.data.read_binary_files(str(photos), include_paths=True, override_num_blocks=20)
    dataset.map_batches(
        Logged,
        fn_constructor_kwargs={"model": TINY, "quality": 60},
        batch_format="pyarrow",
        batch_size=2,
        num_cpus=0.5,
        compute=ray.data.ActorPoolStrategy(size=4),
    ).write_parquet(str(out))
    thread.join()

    assert killed.is_set()
    nodes = Counter(entry.name.split()[1] for entry in log.iterdir())
    assert len(nodes) == 2, "both machines worked"
    rows = parquet.read_table(out).to_pylist()
    assert Counter(Path(row["path"]).name for row in rows) == Counter(names), "all rows there, none twice"
    for row in rows:
        if Path(row["path"]).name == "007.png":
            assert row["vae"] is None and row["error"]
        else:
            back = vaecodec.decompress(row["vae"], model=TINY)
            assert (np.asarray(back).shape, row["error"]) == ((30, 40, 3), None)
