"""Training pictures: crops are what slices are, data may arrive late, and graphics have their share."""

from __future__ import annotations

import io
import itertools
import tarfile
import time

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image

from vaecodec.training.data import pictures as data
from vaecodec.training.data.pictures import Pictures
from vaecodec.training.data.sources import SCALES, is_held_out, is_whole
from vaecodec.training.data.store import NUMBERS, Store
from vaecodec.training.validation import validation_crops

TRAINED = [name for name in (f"p{i}.png" for i in range(20)) if not is_held_out(name)]
HELD_OUT = next(name for name in (f"h{i}.png" for i in range(1000)) if is_held_out(name))


def png(width: int, height: int, seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(width, height, seed)).save(file, "PNG")
    return file.getvalue()


def tar_of(names: list[str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for seed, name in enumerate(names):
            content = png(90, 80, seed + 10)
            member = tarfile.TarInfo(f"deep/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_a_gathered_crop_is_a_slice_turned():
    pictures = [[picture(70, 90, 1), picture(60, 50, 2)], [picture(40, 64, 3)]]
    store, size = Store(1e6, 2, "cpu"), 32
    for scaled in pictures:
        assert store.add(scaled)
    store.prepare(size)
    areas = np.sqrt([70 * 90, 40 * 64])
    middles = (np.cumsum(areas) - areas / 2) / areas.sum()
    cases = list(itertools.product((0, 1), (0, 1), range(8), (0.0, 0.37, 1 - 2**-24)))
    numbers = [
        [middles[number], 0.0 if scale else 0.9, 0.75 if scale else 0.0, at, 1 - at - 2**-24, (o + 0.5) / 8]
        for number, scale, o, at in cases
    ]
    crops = store.crops(torch.tensor(numbers, dtype=torch.float32).clamp(0, 1 - 2**-24), size)
    assert crops.shape == (len(cases), 3, size, size) and crops.dtype == torch.uint8
    assert crops.is_contiguous(memory_format=torch.channels_last)
    for crop, (number, scale, orientation, _), row in zip(crops, cases, numbers, strict=True):
        source = pictures[number][min(scale, len(pictures[number]) - 1)]
        row = np.clip(np.float32(row), 0, np.float32(1 - 2**-24)).astype(np.float64)
        top, left = (int(u * (side - size + 1)) for u, side in zip(row[3:5], source.shape, strict=False))
        expected = source[top : top + size, left : left + size]
        expected = expected[::-1] if orientation & 2 else expected
        expected = expected[:, ::-1] if orientation & 4 else expected
        expected = expected.transpose(1, 0, 2) if orientation & 1 else expected
        assert np.array_equal(crop.permute(1, 2, 0).numpy(), expected)


def test_half_of_the_crops_come_from_the_full_size_and_small_scales_are_left_out():
    store = Store(1e6, 3, "cpu")
    levels = [np.full((side, side, 3), value, np.uint8) for side, value in ((64, 10), (48, 20), (30, 30))]
    store.add(levels)
    store.prepare(32)
    numbers = torch.rand(4000, NUMBERS, generator=torch.Generator().manual_seed(0))
    values = store.crops(numbers, 32)[:, 0, 0, 0]
    assert set(values.tolist()) == {10, 20}  # a quarter: half of the half that may be reduced
    assert 0.22 < (values == 20).float().mean() < 0.28
    clean = torch.arange(4000) % 2 == 0
    again = store.crops(numbers, 32, clean)[:, 0, 0, 0]
    assert (again[clean] == 20).all() and torch.equal(again[~clean], values[~clean])
    store.prepare(60)  # no reduced picture is so large
    assert (store.crops(numbers, 60, clean)[:, 0, 0, 0] == 10).all()


def test_a_store_takes_no_more_than_it_has_room_for(tmp_path):
    for name in TRAINED[:3]:
        (tmp_path / name).write_bytes(png(100, 100))
    room = 3 * 100 * 100 * 2 * sum(scale**2 for scale in SCALES) + 100
    pictures = Pictures([tmp_path], minimum=32, memory_bytes=room)
    assert pictures.count == 2 and pictures.left_out == [sorted(TRAINED[:3])[2]]


def test_graphics_have_their_share_and_a_validation_of_their_own(tmp_path):
    for folder, value in (("photos", 50), ("graphics", 200)):
        (tmp_path / folder).mkdir()
        for name in (*TRAINED[:2], HELD_OUT):
            Image.fromarray(np.full((80, 80, 3), value, np.uint8)).save(tmp_path / folder / name)
    pictures = Pictures([tmp_path / "photos"], minimum=32, graphics=(tmp_path / "graphics",), graphics_share=0.25)
    values = pictures.crops(4000, 32, np.random.default_rng(0))[:, 0, 0, 0]
    assert set(values.tolist()) == {50, 200} and 0.22 < (values == 200).float().mean() < 0.28
    assert [p[HELD_OUT][0, 0, 0] for p in (pictures.validation, pictures.validation_graphics)] == [50, 200]


def test_validation_takes_four_crops_of_a_picture():
    pictures = {"a": picture(100, 90), "b": picture(64, 64), "c": picture(64, 90), "d": picture(60, 200)}
    crops = validation_crops(pictures, 64)
    assert crops.shape == (4 + 1 + 2, 3, 64, 64)
    assert torch.equal(crops[0].permute(1, 2, 0), torch.from_numpy(pictures["a"][6:70, 9:73]))
    assert torch.equal(crops[3].permute(1, 2, 0), torch.from_numpy(pictures["a"][20:84, 27:91]))
    assert torch.equal(crops, validation_crops(dict(reversed(pictures.items())), 64))


def test_only_whole_tar_files_are_taken(tmp_path):
    content, path = tar_of(TRAINED[:3]), tmp_path / "a.tar"
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        boundary = tar.getmembers()[1].offset
    for cut in (0, 512, boundary, boundary + 100, boundary + 512, boundary + 600, len(content) - 10240):
        path.write_bytes(content[:cut])
        assert not is_whole(path), cut
    path.write_bytes(content[:boundary] + bytes(1 << 17))  # room that was reserved for the rest
    assert not is_whole(path)
    with pytest.raises(ValueError, match=r"no training pictures.*not whole: a\.tar"):
        Pictures([tmp_path], minimum=32)
    path.write_bytes(content)
    assert is_whole(path) and Pictures([tmp_path], minimum=32).count == 3


def taken(pictures: Pictures, *counts: int) -> bool:
    """Whether so many pictures to train and to validate on are there within a while."""
    there = lambda: (pictures.count, len(pictures.validation))
    end = time.monotonic() + 60
    while there() != counts and time.monotonic() < end:
        pictures.take_news()
        time.sleep(0.01)
    return there() == counts


def test_data_may_arrive_late(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "LOOK_S", 0.05)
    (tmp_path / TRAINED[0]).write_bytes(png(100, 100))
    pictures = Pictures([tmp_path], minimum=32, workers=1, memory_bytes=1e7)
    address = pictures.store.pixels.data_ptr()
    pictures.crops(1, 32, np.random.default_rng(0))
    pictures.watch()
    content = tar_of([*TRAINED[1:4], HELD_OUT])
    with open(tmp_path / "late.tar", "wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.4)
        assert pictures.take_news() == 0 and pictures.incomplete == {"late.tar"}
        file.write(content[len(content) // 2 :])
    (tmp_path / "more.png.part").write_bytes(png(100, 100))
    assert taken(pictures, 4, 1)
    assert HELD_OUT in pictures.validation and not pictures.incomplete and not pictures.left_out
    (tmp_path / "more.png.part").rename(tmp_path / TRAINED[4])
    assert taken(pictures, 5, 1)
    time.sleep(0.3)
    assert pictures.take_news() == 0  # nothing is taken twice
    crops = pictures.crops(64, 80, np.random.default_rng(1))
    assert len({crop.numpy().tobytes() for crop in crops}) > 20 and pictures.store.pixels.data_ptr() == address
    pictures.close()
