"""Input and output that go wrong, one case each: what was tried, what came of it, whether anything was lost.

    python tests/hostile.py            prints the table of docs/reliability.md; some cases need root on Linux
    python tests/hostile.py --memory   prints what a file costs that states a size and holds nothing

A case gives the outcomes of its tries by name: "picture", or the name of the `VaecodecError`; any other exception is a
failure. tests/test_hostile.py runs the same cases.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from conftest import TINY, picture
from PIL import Image
from support import ROOT, in_mode, pack, png, run_python

import vaecodec
from vaecodec.cli.main import main as command_line
from vaecodec.codec.codec import Codec

NOBODY = 65534


class NotHere(Exception):
    """A case that this machine cannot run, with the reason."""


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        what: the inputs.
        allowed: outcomes that are right.
        run: tries them in an empty folder, with a codec.
    """

    what: str
    allowed: set[str]
    run: Callable[[Path, Codec], Counter[str]]


CASES: dict[str, Case] = {}


def case(what: str, *allowed: str) -> Callable:
    """Registers a function as a case under its own name."""

    def register(function: Callable[[Path, Codec], Counter[str]]) -> Callable:
        CASES[function.__name__] = Case(what, set(allowed), function)
        return function

    return register


def outcome(codec: Codec, source) -> str:
    """Compresses and decompresses a source; the picture that comes back must have its size."""
    try:
        data = codec.compress(source)
    except vaecodec.VaecodecError as error:
        assert str(error), "an error says what is wrong"
        return type(error).__name__
    header = vaecodec.read_info(data)
    assert codec.decompress(data).size == (header.width, header.height)
    return "picture"


def files(folder: Path, codec: Codec, contents: Iterator[bytes] | list[bytes], suffix: str) -> Counter[str]:
    """Outcomes of files with these contents; none of them may leave anything behind."""
    outcomes: Counter[str] = Counter()
    path = folder / f"try{suffix}"
    for content in contents:
        path.write_bytes(content)
        outcomes[outcome(codec, path)] += 1
    assert os.listdir(folder) == [path.name]
    return outcomes


def encoded(format_name: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options) -> bytes:
    buffer = io.BytesIO()
    in_mode(mode, *size).save(buffer, format_name, **options)
    return buffer.getvalue()


# --- pictures that are broken ----------------------------------------------------------------------------------------


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    at, chunks = 8, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def broken_pngs() -> list[bytes]:
    """What the files of PngSuite whose names begin with x have wrong with them, made here."""
    good = encoded("PNG", "L")
    chunks = png_chunks(good)
    head = chunks[0][1]
    with_head = lambda place, value: png([(b"IHDR", head[:place] + bytes([value]) + head[place + 1 :]), *chunks[1:]])
    return [
        bytes([good[0] & 0x7F]) + good[1:],  # xs1: the signature's first bit
        good[:1] + b"Q" + good[2:],  # xs2: a letter of the signature
        good[:3] + b"g" + good[4:],  # xs4: lower case
        good[:6] + b" " + good[7:],  # xs7: a space for the end-of-file character
        good.replace(b"\n", b"\r\n"),  # xcr: line ends as of one system
        good.replace(b"\r\n", b"\n"),  # xlf: as of another
        with_head(9, 1), with_head(9, 9),  # xc1, xc9: colour types that there are not
        with_head(8, 0), with_head(8, 3), with_head(8, 99),  # xd0, xd3, xd9: such bit depths
        png([(k, c) for k, c in chunks if k != b"IDAT"]),  # xdt: no data
        png(chunks, b"IHDR"), png(chunks, b"IDAT"),  # xhd, xcs: checksums
    ]  # fmt: skip


@case("PNG files broken as PngSuite's 14 are", "ImageError", "picture")
def broken_png(folder: Path, codec: Codec) -> Counter[str]:
    """Of the data's two checksums Pillow looks at zlib's only: where just the other is wrong, the picture is whole."""
    return files(folder, codec, broken_pngs(), ".png")


@case("a JPEG, cut after every 21st byte", "ImageError")
def truncated_jpeg(folder: Path, codec: Codec) -> Counter[str]:
    data = encoded("JPEG", quality=95)
    return files(folder, codec, (data[:length] for length in range(0, len(data) - 2, 21)), ".jpg")


@case("a progressive JPEG, cut after every 21st byte", "ImageError")
def truncated_progressive_jpeg(folder: Path, codec: Codec) -> Counter[str]:
    data = encoded("JPEG", quality=95, progressive=True)
    return files(folder, codec, (data[:length] for length in range(0, len(data) - 2, 21)), ".jpg")


@case("PNG, GIF, WebP, TIFF, BMP, JPEG 2000, AVIF, cut in 20 places each", "ImageError", "picture")
def truncated_others(folder: Path, codec: Codec) -> Counter[str]:
    """Some of these formats end in bytes that hold nothing of the picture."""
    contents = []
    for name in ("PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF"):
        with contextlib.suppress(KeyError, OSError):  # a Pillow that was built without it
            data = encoded(name)
            contents += [data[: len(data) * i // 20] for i in range(20)]
    return files(folder, codec, contents, ".img")


@case("no pictures: no file, an empty one, text, a folder, a device that never ends", "ImageError")
def not_pictures(folder: Path, codec: Codec) -> Counter[str]:
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("only text, whatever the name says")
    sources = [folder / "none.png", folder / "empty.png", folder / "text.png", folder, Path("/dev/zero")]
    return Counter(outcome(codec, source) for source in sources)


# --- pictures that are too much --------------------------------------------------------------------------------------


def gif_bomb() -> bytes:
    return (
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
    )


def png_bombs() -> list[bytes]:
    head = lambda width, height, depth, colour: struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    zeros = zlib.compress(bytes(20_000 * 20_001 // 8), 9)
    text = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    small = png_chunks(encoded("PNG", "L"))
    return [
        png([(b"IHDR", head(60_000, 60_000, 8, 0)), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]),
        png([(b"IHDR", head(2**31 - 1, 2**31 - 1, 16, 6)), (b"IDAT", b""), (b"IEND", b"")]),
        png([(b"IHDR", head(20_000, 20_000, 1, 0)), (b"IDAT", zeros), (b"IEND", b"")]),
        png([small[0], (b"zTXt", text), *small[1:]]),
        png([small[0], (b"iCCP", text), *small[1:]]),
    ]


@case(
    "bombs: PNG of 60000², of (2^31 − 1)², of 20000² in 50 kB, with 200 MB of text; GIF of 65535²",
    "ImageError", "LimitError",
)  # fmt: skip
def bombs(folder: Path, codec: Codec) -> Counter[str]:
    """The limit of pixels holds them off, and Pillow's limits on text and profiles."""
    return files(folder, codec, [*png_bombs(), gif_bomb()], ".png")


@case("65535×1 and 1×65535, as PNG and BMP", "picture")
def thin(folder: Path, codec: Codec) -> Counter[str]:
    contents = [encoded(name, "RGB", size) for name in ("PNG", "BMP") for size in ((65535, 1), (1, 65535))]
    return files(folder, codec, contents, ".img")


# --- arrays ----------------------------------------------------------------------------------------------------------


@case("arrays of float16, float32 and float64 with NaN, of 10 other types, of 9 other shapes", "ImageError")
def wrong_arrays(folder: Path, codec: Codec) -> Counter[str]:
    nan = [np.full((8, 8, 3), np.nan, dtype) for dtype in ("float16", "float32", "float64")]
    types = ("int8", "int16", "uint16", "int32", "uint32", "int64", "bool", "object", "complex64", "U1")
    others = [np.zeros((8, 8, 3), dtype) for dtype in types]
    shapes = [(), (8,), (8, 8, 1), (8, 8, 5), (1, 8, 8, 3), (0, 8, 3), (8, 0), (0, 0), (3, 8, 0)]
    return Counter(outcome(codec, array) for array in [*nan, *others, *(np.zeros(s, np.uint8) for s in shapes)])


@case("pictures of mode F with NaN, ±∞, negative, above 255; of mode I likewise", "ImageError")
def values_out_of_range(folder: Path, codec: Codec) -> Counter[str]:
    floats = [np.full((8, 8), value, np.float32) for value in (np.nan, np.inf, -np.inf, -1, 256, 1e30)]
    integers = [np.full((8, 8), value, np.int32) for value in (-1, 256, 2**31 - 1, -(2**31))]
    return Counter(outcome(codec, Image.fromarray(array)) for array in floats + integers)


# --- pictures that change while they are read ------------------------------------------------------------------------


@case("a file that is cut, emptied, overwritten or removed after it was opened", "ImageError", "picture")
def changed_after_opening(folder: Path, codec: Codec) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    data, path = encoded("PNG", size=(300, 200)), folder / "a.png"
    for change in (data[:500], b"", bytes(len(data)), encoded("JPEG"), None):
        path.write_bytes(data)
        image = Image.open(path)  # reads the header only
        path.unlink() if change is None else path.write_bytes(change)
        outcomes[outcome(codec, image)] += 1
    return outcomes


@case("a file that another thread rewrites all the time", "ImageError", "picture")
def changed_by_another_thread(folder: Path, codec: Codec) -> Counter[str]:
    data, path, done = encoded("JPEG", size=(200, 150)), folder / "a.jpg", threading.Event()

    def change() -> None:
        while not done.is_set():
            for content in (data, data[: len(data) // 2], encoded("PNG")):
                path.write_bytes(content)
                time.sleep(0.003)

    path.write_bytes(data)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        return Counter(outcome(codec, path) for _ in range(60))
    finally:
        done.set()
        thread.join()


@case("an array that another thread changes all the time", "picture")
def changed_array(folder: Path, codec: Codec) -> Counter[str]:
    """What was read is what is in the file: symbols fit their checksum."""
    array, done = picture(120, 90), threading.Event()

    def change() -> None:
        while not done.is_set():
            np.bitwise_xor(array, 255, out=array)
            time.sleep(1e-3)  # else the other thread waits for the interpreter most of the time

    thread = threading.Thread(target=change)
    thread.start()
    try:
        views = (array, array[..., 0], np.dstack([array, array[..., :1]]))
        return Counter(outcome(codec, view) for _ in range(8) for view in views)
    finally:
        done.set()
        thread.join()


# --- output that fails -----------------------------------------------------------------------------------------------


def run(*args: str) -> str:
    """A command in this process: "picture" for success, else how it ended; one sentence, whatever is wrong."""
    result = CliRunner().invoke(command_line, [*args, "-m", str(TINY)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if result.exit_code == 0:
        return "picture"
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("vaecodec: "), result.stderr
    return f"exit {result.exit_code}"


def prepare(folder: Path) -> tuple[Path, Path]:
    """A picture and its file, each larger than what a case leaves room for."""
    source, compressed = folder / "a.png", folder / "a.vae"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)).save(source)
    assert run("compress", str(source), str(compressed)) == "picture"
    assert run("decompress", str(compressed), str(folder / "b.png")) == "picture"
    return source, compressed


def write_into(place: Path, source: Path, compressed: Path) -> Counter[str]:
    """Compresses and decompresses into a place that takes no more: over a file that is there, and anew."""
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    outcomes: Counter[str] = Counter()
    for target in ("old.vae", "new.vae"):
        outcomes[run("compress", "-f", "-q", "100", str(source), str(place / target))] += 1
    for target in ("old.png", "new.png"):
        outcomes[run("decompress", "-f", str(compressed), str(place / target))] += 1
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before, "nothing is lost, nothing is left"
    return outcomes


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A tmpfs, where the system lets us."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if not sys.platform.startswith("linux") or subprocess.run(command, capture_output=True, check=False).returncode:
        raise NotHere("needs the right to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@case("a full disk: a tmpfs of 1 MB with 8 kB left; old files there, and new ones", "exit 1")
def full_disk(folder: Path, codec: Codec) -> Counter[str]:
    place = folder / "disk"
    with mounted(place, "size=1m"):
        for name in ("old.vae", "old.png"):
            (place / name).write_bytes(b"what was there before")
        with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        os.truncate(place / "filler", os.path.getsize(place / "filler") - 8192)
        return write_into(place, *prepare(folder))


@case("a disk that is mounted read-only", "exit 1")
def read_only_disk(folder: Path, codec: Codec) -> Counter[str]:
    place = folder / "disk"
    with mounted(place, "size=1m"):
        (place / "old.vae").write_bytes(b"what was there before")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        return write_into(place, *prepare(folder))


@case("a folder without the right to write", "exit 1")
def no_permission(folder: Path, codec: Codec) -> Counter[str]:
    with tempfile.TemporaryDirectory() as own:  # the folder that we were given may be closed to others
        place = Path(own) / "place"
        place.mkdir()
        (place / "old.vae").write_bytes(b"what was there before")
        sources = prepare(Path(own))
        place.chmod(0o555)
        Path(own).chmod(0o755)
        with as_nobody():
            return write_into(place, *sources)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """As a user whom permissions bind: root is not."""
    if not hasattr(os, "geteuid"):
        raise NotHere("needs users")
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        if not os.access(TINY, os.R_OK, effective_ids=True):
            raise NotHere("another user cannot read the model")
        yield
    finally:
        os.seteuid(0)


@case("standard output that nobody reads", "exit 1")
def closed_pipe(folder: Path, codec: Codec) -> Counter[str]:
    source = folder / "a.png"
    in_mode("RGB", 300, 200).save(source)
    data = folder / "a.vae"
    data.write_bytes(codec.compress(source))
    outcomes: Counter[str] = Counter()
    code = "from vaecodec.cli.main import main; main()"
    for args in (("compress", str(source), "-"), ("decompress", str(data), "-")):
        reading, writing = os.pipe()
        os.close(reading)
        result = subprocess.run(
            [sys.executable, "-c", code, *args, "-m", TINY],
            env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=writing, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
        os.close(writing)
        assert b"Traceback" not in result.stderr, result.stderr
        outcomes[f"exit {result.returncode}"] += 1
    return outcomes


# --- files that state a size and hold nothing ------------------------------------------------------------------------

STATED = """
import sys
import vaecodec
codec, peak = vaecodec.Codec(), lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1000
try:
    codec.decompress(bytes.fromhex(sys.argv[1]))
except vaecodec.BitstreamError:  # once, so that what is loaded once is
    before = peak()
try:
    codec.decompress(bytes.fromhex(sys.argv[2]))
except vaecodec.BitstreamError as error:
    print(round(peak() - before), type(error).__name__)
"""


def memory(sides: tuple[int, ...] = (1024, 2048, 4096, 8192)) -> None:
    """Prints the memory that refusing such files takes, with the default model."""
    model_id = Codec().stored.model_id
    print("| stated size | bytes of the file | refused as | memory above the loaded process |")
    print("| --- | ---: | --- | ---: |")
    for side in sides:
        small, large = (pack(width=n, height=n, model_id=model_id, payload=b"") for n in (64, side))
        result = run_python(STATED, small.hex(), large.hex(), text=True, env={"OMP_NUM_THREADS": "1"}, timeout=600)
        growth, error = result.stdout.split()
        print(f"| {side}×{side} | {len(large)} | {error} | {growth} MB |", flush=True)


def main() -> None:
    """Prints a table."""
    if "--memory" in sys.argv:
        memory()
        return
    warnings.simplefilter("ignore")
    codec = Codec(TINY)
    print("| input | tries | outcomes |\n| --- | ---: | --- |")
    for one in CASES.values():
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcomes = one.run(Path(folder), codec)
            except NotHere as reason:
                print(f"| {one.what} | – | not tried here: {reason} |")
                continue
        assert set(outcomes) <= one.allowed, outcomes
        text = ", ".join(f"{name} ×{count}" for name, count in outcomes.most_common())
        print(f"| {one.what} | {outcomes.total()} | {text} |", flush=True)


if __name__ == "__main__":
    main()
