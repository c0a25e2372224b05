"""The command line: what it writes, what it says, how it ends. Mostly in this process; some in a shell's."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import ShellComplete
from click.testing import Result
from conftest import TINY
from PIL import Image
from skimage import data as photographs
from support import ROOT, alpha_plane, assert_no_torch, in_mode, run_python, with_fields
from support import run_command as run

import vaecodec
from vaecodec.cli.console import human_ratio
from vaecodec.cli.main import main
from vaecodec.codec import api
from vaecodec.codec.kinds import Codecs
from vaecodec.format import catalog, files
from vaecodec.pictures.exchange.colour import Colour

MODEL = ("-m", str(TINY))
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
COMMAND = "from vaecodec.cli.main import main; main()"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with a picture `a.png`, its file `a.vae` and things that only look like either."""
    monkeypatch.chdir(tmp_path)
    in_mode("RGB", 40, 30).save("a.png")
    Path("a.vae").write_bytes(vaecodec.compress("a.png", model=TINY))
    Path("text.png").write_text("only text")
    Path("empty.png").touch()
    Path("text.vae").write_text("only text")
    Path("empty.vae").touch()
    Path("cut.vae").write_bytes(Path("a.vae").read_bytes()[:-7])
    Path("cut.png").write_bytes(Path("a.png").read_bytes()[:-200])
    Path("other.vae").write_bytes(with_fields(Path("a.vae").read_bytes(), model_id=b"\xde\xad\xbe\xef"))
    return tmp_path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch) -> Path:
    """A folder of models in which `tiny` is the default."""
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(TINY, models / "light.safetensors")
    monkeypatch.setattr(catalog, "FOLDERS", (models,))
    monkeypatch.setattr(api, "codecs", Codecs())
    return models


def fails(code: int, says: str, *args: str, **options) -> Result:
    """Runs a command that must fail with this exit code and one sentence on stderr."""
    result = run(*args, **options)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("vaecodec: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    return result


# --- compress and decompress


def test_a_picture_goes_there_and_back() -> None:
    there = run("compress", "a.png", "b.vae", *MODEL, "-q", "70")
    back = run("decompress", "b.vae", "b.png", *MODEL)
    assert (there.exit_code, back.exit_code) == (0, 0)
    assert Path("b.vae").read_bytes() == vaecodec.compress("a.png", quality=70, model=TINY)
    assert np.array_equal(Image.open("b.png"), vaecodec.decompress(Path("b.vae").read_bytes(), model=TINY))


def test_one_result_line_goes_to_stderr() -> None:
    result = run("compress", "a.png", "b.vae", *MODEL)
    assert result.stdout == ""
    size = len(Path("b.vae").read_bytes())
    assert result.stderr.startswith(
        f"a.png → b.vae  40\N{MULTIPLICATION SIGN}30  {size} bytes  {8 * size / 1200:.3f} bpp  "
    )
    assert result.stderr.count("\n") == 1


def test_effort_is_passed_on() -> None:
    for effort in "013":
        run("compress", "a.png", f"{effort}.vae", *MODEL, "-e", effort)
        assert Path(f"{effort}.vae").read_bytes() == vaecodec.compress("a.png", effort=int(effort), model=TINY)


def test_what_is_not_kept_is_said() -> None:
    in_mode("P", 20, 20).save("p.png")
    assert "vaecodec: p.png: not kept: the palette\n" in run("compress", "p.png", "p.vae", *MODEL).stderr


def test_alpha_survives() -> None:
    in_mode("RGBA", 33, 21).save("alpha.png")
    run("compress", "alpha.png", "alpha.vae", *MODEL)
    run("decompress", "alpha.vae", "back.png", *MODEL)
    assert np.array_equal(Image.open("back.png").getchannel("A"), alpha_plane(33, 21))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".TIFF"])
def test_the_suffix_names_the_format(suffix: str) -> None:
    assert run("decompress", "a.vae", f"b{suffix}", *MODEL).exit_code == 0
    assert Image.open(f"b{suffix}").format == Image.registered_extensions()[suffix.lower()]


def test_standard_streams_stand_in_for_files() -> None:
    packed = run("compress", "-", "-", *MODEL, input=Path("a.png").read_bytes())
    assert packed.stdout_bytes == Path("a.vae").read_bytes()
    restored = run("decompress", "-", "-", *MODEL, input=packed.stdout_bytes)
    assert Image.open(io.BytesIO(restored.stdout_bytes)).size == (40, 30)


def test_many_files_go_to_a_folder() -> None:
    in_mode("L", 9, 9).save("l.png")
    assert run("compress", "a.png", "l.png", "-o", "deep/er", *MODEL).exit_code == 0
    assert sorted(path.name for path in Path("deep/er").iterdir()) == ["a.vae", "l.vae"]
    assert run("decompress", "deep/er/a.vae", "deep/er/l.vae", "-o", "out", *MODEL).exit_code == 0
    assert {path.name: Image.open(path).mode for path in Path("out").glob("*.*g")} == {"a.png": "RGB", "l.png": "L"}


def test_a_batch_goes_on_after_a_failure() -> None:
    result = run("compress", "text.png", "missing.png", "a.png", "-o", "out", *MODEL)
    assert result.exit_code == 1
    assert [path.name for path in Path("out").iterdir()] == ["a.vae"]
    at_the_end = result.stderr.split("vaecodec: 2 of 3 files failed:\n")[1].splitlines()
    assert [line.split(":")[0].strip() for line in at_the_end] == ["text.png", "missing.png"]


def test_of_two_inputs_for_one_output_the_second_fails() -> None:
    result = run("compress", "a.png", "deeper/a.png", "-o", "out", *MODEL)
    assert (result.exit_code, [path.name for path in Path("out").iterdir()]) == (1, ["a.png.vae"])
    assert "deeper/a.png: would go to the same file as a.png, out/a.png.vae" in result.stderr


@pytest.mark.parametrize("goal", ["--psnr=nan", "--psnr=inf", "--bpp=inf", "--bpp=nan"])
def test_goals_that_are_no_numbers_are_refused(goal: str) -> None:
    assert run("compress", "a.png", "b.vae", goal, *MODEL).exit_code in (1, 2)


# --- targets


def test_existing_files_are_not_overwritten() -> None:
    Path("b.vae").write_bytes(b"precious")
    fails(1, "b.vae: exists already; use -f", "compress", "a.png", "b.vae", *MODEL)
    assert Path("b.vae").read_bytes() == b"precious"


@pytest.mark.parametrize("option", ["-f", "--force"])
def test_existing_files_are_overwritten_when_told_so(option: str) -> None:
    Path("b.vae").write_bytes(b"precious")
    assert run("compress", "a.png", "b.vae", option, *MODEL).exit_code == 0
    assert Path("b.vae").read_bytes() == Path("a.vae").read_bytes()


def test_a_target_in_no_folder_is_refused_before_any_work() -> None:
    fails(1, "the folder nowhere does not exist", "compress", "missing.png", "nowhere/b.vae", *MODEL)


def test_a_folder_as_target_is_refused() -> None:
    Path("d.vae").mkdir()
    fails(1, "d.vae: is a folder", "compress", "a.png", "d.vae", "-f", *MODEL)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_refused(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o500)
    fails(1, "locked/b.vae: cannot be written", "compress", "a.png", "locked/b.vae", *MODEL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_folder_that_takes_no_files_is_refused() -> None:
    fails(1, "/proc/b.vae: cannot be written", "compress", "a.png", "/proc/b.vae", *MODEL)


@pytest.mark.parametrize("step", ["fsync", "link", "chmod", "replace"])
def test_nothing_half_written_stays(folder: Path, monkeypatch, step: str) -> None:
    def broken(*args) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(folder.iterdir())
    monkeypatch.setattr(files.os, step, broken)
    if step in ("fsync", "link"):
        fails(1, "b.vae: cannot be written: no space left", "compress", "a.png", "b.vae", *MODEL)
    if step != "link":
        fails(1, "a.vae: cannot be written: no space left", "compress", "a.png", "a.vae", "-f", *MODEL)
    monkeypatch.undo()
    assert sorted(folder.iterdir()) == before
    assert (folder / "a.vae").read_bytes() == vaecodec.compress(folder / "a.png", model=TINY)


def test_a_failed_decode_leaves_no_file(folder: Path) -> None:
    before = sorted(folder.iterdir())
    fails(3, "cut.vae", "decompress", "cut.vae", "b.png", *MODEL)
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(os.name == "nt", reason="modes are those of Unix")
def test_new_files_have_the_permissions_that_the_umask_gives() -> None:
    old = os.umask(0o027)
    try:
        run("compress", "a.png", "b.vae", *MODEL)
    finally:
        os.umask(old)
    assert Path("b.vae").stat().st_mode & 0o777 == 0o640


def test_a_name_that_is_too_long_is_refused() -> None:
    fails(1, "too long", "compress", "a.png", "x" * 300 + ".vae", *MODEL)


def test_an_output_folder_that_cannot_be_made_is_refused() -> None:
    fails(1, "a.png/sub", "compress", "a.png", "-o", "a.png/sub", *MODEL)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("command", [["info", "a.vae"], ["--help"]])
def test_a_full_device_behind_standard_output_is_one_sentence(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        child = [sys.executable, "-c", COMMAND, *command]
        result = subprocess.run(child, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False)
    assert result.returncode == 1
    assert "no space left" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["compress", "a.png", "b.vae"], ["decompress", "a.vae", "b.png"]])
def test_times_are_those_of_the_source_where_that_is_asked_for(command: list[str]) -> None:
    _, source, target = command
    read, changed = 1_000_000_001_234_567_891, 987_654_321_123_456_789
    for options, kept in ((["--preserve"], True), (["-f"], False)):
        os.utime(source, ns=(read, changed))
        assert run(*command, *options, *MODEL).exit_code == 0
        found = os.stat(target)
        assert ((found.st_atime_ns, found.st_mtime_ns) == (read, changed)) == kept


def test_streams_have_no_times_to_preserve() -> None:
    packed = run("compress", "-", "-", "--preserve", *MODEL, input=Path("a.png").read_bytes())
    assert packed.stdout_bytes == Path("a.vae").read_bytes()
    assert run("compress", "-", "b.vae", "--preserve", *MODEL, input=Path("a.png").read_bytes()).exit_code == 0
    assert run("decompress", "a.vae", "-", "--preserve", *MODEL).exit_code == 0
    fails(1, "missing.png: cannot be read: no such file", "compress", "missing.png", "m.vae", "--preserve", *MODEL)


# --- sources

UNUSABLE_PICTURES = [
    ("missing.png", 1, "missing.png: cannot be read: no such file or directory"),
    ("text.png", 1, "text.png: not an image that Pillow can read"),
    ("empty.png", 1, "empty.png: not an image that Pillow can read"),
    ("cut.png", 1, "cut.png: cannot be read as an image"),
    (".", 1, ".: cannot be read: is a directory"),
]


@pytest.mark.parametrize(("source", "code", "says"), UNUSABLE_PICTURES)
def test_unusable_pictures_get_one_sentence(source: str, code: int, says: str) -> None:
    fails(code, says, "compress", source, "b.vae", *MODEL)
    assert not Path("b.vae").exists()


WRONG_FILES = [
    ("missing.vae", 1, "missing.vae: cannot be read: no such file or directory"),
    ("text.vae", 3, "text.vae: not a .vae file"),
    ("empty.vae", 3, "empty.vae: the file is empty"),
    ("cut.vae", 3, "cut.vae: the file ends within the payload"),
    ("a.png", 3, "a.png: not a .vae file"),
    ("other.vae", 4, "other.vae: the file was made by model deadbeef"),
]


@pytest.mark.parametrize(("source", "code", "says"), WRONG_FILES)
def test_wrong_files_get_one_sentence(source: str, code: int, says: str) -> None:
    fails(code, says, "decompress", source, "b.png", *MODEL)
    fails(code, says, "test", source, *MODEL)


def test_a_model_that_is_not_installed_is_named() -> None:
    fails(
        4, "other.vae: the file was made by model deadbeef, which is not installed", "decompress", "other.vae", "b.png"
    )


@pytest.mark.parametrize("name", ["nope", "nope.safetensors", "text.safetensors"])
def test_a_missing_or_broken_model_ends_in_four(name: str) -> None:
    Path("text.safetensors").write_text("only text")
    fails(4, name, "compress", "a.png", "b.vae", "-m", name)


@pytest.mark.parametrize(
    "command",
    [
        ["sample", "-o", "m.safetensors", "--size", "16", "16", "-n", "1"],
        ["interpolate", "a.png", "a.png", "-o", "m.safetensors", "--side", "16"],
        ["compare", "a.png", "a.vae", "--png", "m.safetensors"],
        ["evaluate", ".", "-e0", "--qualities", "50", "--json", "m.safetensors"],
        ["digits", "pack", "a.png", "m.safetensors"],
        ["digits", "sample", "-o", "m.safetensors"],
    ],
    ids=" ".join,
)
def test_the_model_that_is_read_is_not_replaced(command: list[str]) -> None:
    shutil.copy(TINY, "m.safetensors")
    fails(1, "m.safetensors: is read in the same run", *command, "-m", "m.safetensors", "-f")
    assert Path("m.safetensors").read_bytes() == TINY.read_bytes()


@pytest.mark.parametrize("command", [
    ["train", "--data", ".", "--hours", "1", "--resume", "run", "--export", "b.vae"],
    ["digits", "train", "map", "--data", ".", "--resume", "run", "--export", "b.vae"],
], ids=lambda command: command[0])  # fmt: skip
def test_training_replaces_no_file(command: list[str]) -> None:
    Path("b.vae").write_bytes(b"precious")
    fails(1, "b.vae: exists already; use -f to overwrite it", *command)
    assert Path("b.vae").read_bytes() == b"precious"


def test_what_is_tested_has_a_limit_too() -> None:
    fails(1, "more than the limit of 100", "test", "a.vae", "--max-pixels", "100", *MODEL)


def test_suffixes_may_be_in_capitals() -> None:
    shutil.copy("a.vae", "A.VAE")
    assert run("compare", "a.png", "A.VAE", *MODEL).exit_code == 0
    assert run("compress", "a.png", "B.VAE", *MODEL).exit_code == 0


def test_a_picture_above_the_limit_is_refused() -> None:
    fails(
        1, "40x30 pixels, more than the limit of 1199", "decompress", "a.vae", "b.png", "--max-pixels", "1199", *MODEL
    )


# --- what formats hold


def test_a_mode_that_the_format_cannot_hold_is_converted_and_that_is_said() -> None:
    in_mode("CMYK", 8, 8).save("c.tif")
    run("compress", "c.tif", "c.vae", *MODEL)
    result = run("decompress", "c.vae", "c.png", *MODEL)
    assert (result.exit_code, Image.open("c.png").mode) == (0, "RGB")
    assert result.stderr.startswith("vaecodec: c.vae: not kept: mode CMYK (now RGB)\nc.vae → c.png  ")


def test_transparency_gets_the_background_that_was_asked_for() -> None:
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save("clear.png")
    run("compress", "clear.png", "clear.vae", *MODEL)
    for background, colour in (((), (255, 255, 255)), (("--background", "#c80000"), (200, 0, 0))):
        result = run("decompress", "clear.vae", "clear.bmp", "-f", *background, *MODEL)
        assert Image.open("clear.bmp").getpixel((8, 8)) == colour
        assert f"not kept: transparency (composed on {background[-1] if background else 'white'})" in result.stderr
    assert "not kept" not in run("decompress", "clear.vae", "clear.webp", "--background", "red", *MODEL).stderr


def test_a_format_that_cannot_hold_the_picture_is_refused_in_a_sentence() -> None:
    in_mode("RGB", 300, 8).save("long.png")
    run("compress", "long.png", "long.vae", *MODEL)
    fails(1, "long.vae: ICO holds up to 256x256 pixels; these are 300x8", "decompress", "long.vae", "l.ico", *MODEL)
    assert not Path("l.ico").exists()


def test_the_quality_of_formats_with_loss_is_said() -> None:
    assert "  JPEG quality 95  " in run("decompress", "a.vae", "b.jpg", *MODEL).stderr
    assert "quality" not in run("decompress", "a.vae", "b.webp", *MODEL).stderr
    assert np.array_equal(Image.open("b.webp"), vaecodec.decompress(Path("a.vae").read_bytes(), model=TINY))


# --- what is said of sizes


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [(1000, 83, "12:1"), (340, 100, "3.4:1"), (9970, 1000, "10:1"), (5, 5, "1.0:1"), (5, 7, "1:1.40"), (0, 0, "–")],
)
def test_ratios_have_as_many_digits_as_they_need(before: int, after: int, says: str) -> None:
    assert human_ratio(before, after) == says


def test_a_file_that_is_larger_than_its_source_is_said_to_be() -> None:
    for name in ("dot.pbm", "dots/1.pbm", "dots/2.pbm"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"P4\n1 1\n\0")
    in_mode("RGB", 40, 30).save("dots/a.bmp")
    line = run("compress", "dot.pbm", "dot.vae", *MODEL).stderr
    times = Path("dot.vae").stat().st_size / Path("dot.pbm").stat().st_size
    assert f"  larger than its source ({times:.2f} times its size)  " in line
    assert ":1  " in run("compress", "dots/a.bmp", "bmp.vae", *MODEL).stderr
    assert "  2 larger than their source" in run("compress", "dots", "-r", "-o", "out", *MODEL).stderr.splitlines()[-1]
    assert "larger" not in run("decompress", "out", "-r", "-o", "back", *MODEL).stderr


# --- usage

USAGE = [
    ["compress"],
    ["compress", "a.png"],
    ["compress", "a.png", "b.png"],
    ["compress", "a.png", "b.vae", "c.vae"],
    ["compress", "a.png", "b.vae", "-q", "0"],
    ["compress", "a.png", "b.vae", "-q", "101"],
    ["compress", "a.png", "b.vae", "-q", "high"],
    ["compress", "a.png", "b.vae", "-q", "nan"],
    ["interpolate", "a.png", "l.png", "-o", "o.png", "-q", "nan"],
    ["sample", "-o", "o.png", "--seed", "-1"],
    ["digits", "traverse", "-o", "o.png", "--extent", "1e308"],
    ["digits", "traverse", "-o", "o.png", "--extent", "nan"],
    ["compare", "a.png", "a.vae", "--html", "n", "--png", "n"],
    ["compare", "a.png", "a.vae", "--html", "n", "--png", "./n"],
    ["evaluate", ".", "--json", "-", "--html", "-"],
    ["decompress", "a.vae", "b.jpg", "--background", "rgb(999,0,0)"],
    ["decompress", "a.vae", "b.jpg", "--background", "rgb(99999999999999999999,0,0)"],
    ["compress", "a.png", "b.vae", "-e", "10"],
    ["compress", "a.png", "b.vae", "-q", "50", "--psnr", "30"],
    ["compress", "-", "-o", "out"],
    ["compress", ".", "-o", "out"],
    ["compress", ".", "out", "-r"],
    ["compress", "a.png", "b.vae", "-j", "-1"],
    ["decompress", "a.vae", "-o", "out", "--format", "text"],
    ["decompress", "a.vae", "b.png", "--format", "png"],
    ["decompress", "a.vae", "b.text"],
    ["decompress", "a.vae", "b"],
    ["decompress", "a.vae", "b.png", "--max-pixels", "0"],
    ["decompress", "a.vae", "b.jpg", "--background", "transparent"],
    ["decompress", "a.vae", "b.jpg", "--background", "#ffffff80"],
    ["info"],
    ["evaluate", "missing"],
    ["evaluate", ".", "--qualities", "1,x"],
    ["evaluate", ".", "--qualities", "0,50"],
    ["evaluate", ".", "--qualities", "nan"],
    ["unknown"],
    ["compress", "--unknown"],
    [],
]


@pytest.mark.parametrize("args", USAGE, ids=" ".join)
def test_wrong_usage_ends_in_two(args: list[str]) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage:" in result.stderr


# --- the other commands


def test_info_says_what_the_header_says(installed: Path) -> None:
    result = run("info", "a.vae")
    size = Path("a.vae").stat().st_size
    expected = f"a.vae: 40\N{MULTIPLICATION SIGN}30 RGB  quality 50  {size} bytes  {8 * size / 1200:.3f} bpp  "
    expected += f"model light ({TINY_ID})\n"
    assert (result.exit_code, result.stdout) == (0, expected)


TINY_ID = catalog.read_model_info(TINY).model_id.hex()


def test_info_speaks_json() -> None:
    in_mode("LA", 9, 5).save("la.png")
    run("compress", "la.png", "la.vae", "-q", "1", "--graphics", "off", *MODEL)
    lines = run("info", "--json", "a.vae", "la.vae").stdout.splitlines()
    size = Path("la.vae").stat().st_size
    second = json.loads(lines[1])
    assert second.pop("payload_bytes") < size - 36
    assert second == {
        "file": "la.vae", "width": 9, "height": 5, "mode": "LA", "quality": None, "meaning": None, "range_share": 0.0,
        "bytes": size, "bpp": round(8 * size / 45, 4), "chunks": 1, "coding": 0, "model_id": TINY_ID, "model": None,
        "exact": 0.0, "metadata": {}, "made": None,
    }  # fmt: skip
    assert json.loads(lines[0])["file"] == "a.vae"


def test_info_names_the_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    profile = Colour(srgb=0).icc_profile()
    in_mode("RGB", 40, 30).save("m.jpg", exif=exif, icc_profile=profile, dpi=(300, 300))
    run("compress", "m.jpg", "m.vae", *MODEL)
    assert run("info", "m.vae").stdout.endswith(
        f"({TINY_ID})  icc {len(profile) / 1000:.1f} kB  exif {len(exif.tobytes())} bytes  dpi 2 bytes\n"
    )
    run("compress", "m.jpg", "m.vae", "-f", "--metadata", "icc", *MODEL)
    assert json.loads(run("info", "--json", "m.vae").stdout)["metadata"] == {"icc": len(profile)}


def test_info_reads_files_of_unknown_models() -> None:
    said = run("info", "other.vae").stdout
    assert "  quality at 50% of its model's range  " in said and "not installed (deadbeef)" in said


def test_test_says_ok() -> None:
    result = run("test", "a.vae", *MODEL)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "a.vae: ok\n", "")


def test_test_notices_what_only_decoding_shows() -> None:
    Path("bad.vae").write_bytes(with_fields(Path("a.vae").read_bytes(), symbols_crc=0))
    fails(3, "bad.vae: the symbols do not match", "test", "bad.vae", *MODEL)


def test_models_are_listed(installed: Path) -> None:
    result = run("models")
    path = installed / "light.safetensors"
    assert result.stdout == f"light  {TINY_ID}  distortion mse  --tune looks (default)  401.2 kB  {path}\n"


def test_a_damaged_model_is_listed_and_stops_nothing(installed: Path) -> None:
    (installed / "cut.safetensors").write_bytes(TINY.read_bytes()[:-1])
    (installed / "empty.safetensors").touch()
    (installed / "text.safetensors").write_text("only text, and more of it")
    result = run("models")
    lines = result.stdout.splitlines()
    assert (result.exit_code, len(lines)) == (0, 4) and lines[0].startswith("light  ")
    size = TINY.stat().st_size
    assert lines[1] == (
        f"damaged: {installed}/cut.safetensors: not a model of vaecodec ({size - 1} bytes long instead of {size})"
    )
    assert all(f"damaged: {installed}/{name}.safetensors: not a" in result.stdout for name in ("empty", "text"))
    assert "model light" in run("info", "a.vae").stdout
    assert run("decompress", "a.vae", "b.png").exit_code == 0
    assert "damaged: " in fails(4, "not installed", "decompress", "other.vae", "c.png").stderr


def test_the_default_model_and_the_files_own_are_found(installed: Path) -> None:
    assert run("compress", "a.png", "b.vae").exit_code == 0
    assert run("decompress", "b.vae", "b.png").exit_code == 0
    assert Path("b.vae").read_bytes() == Path("a.vae").read_bytes()


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(
        name in result.stdout for name in ("compress", "decompress", "info", "test", "models", "evaluate", "train")
    )


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(main.commands[command].help) > 20
    assert "Example" in result.stdout and f"vaecodec {command}" in result.stdout.split("Example")[1]


def test_the_overview_shows_whole_sentences() -> None:
    result = run("--help")
    assert "..." not in result.stdout.split("Commands:")[1]


@pytest.mark.parametrize(
    ("words", "begun", "expected"),
    [
        ([], "dec", {"decompress"}),
        (["decompress"], "--fo", {"--format", "--force"}),
        (["compress", "-m"], "li", {"light"}),
    ],
)
def test_the_shell_completes_commands_options_and_models(installed: Path, words, begun, expected) -> None:
    completion = ShellComplete(main, {}, "vaecodec", "_VAECODEC_COMPLETE")
    assert {item.value for item in completion.get_completions(words, begun)} == expected


def test_the_shell_completes_files() -> None:
    completion = ShellComplete(main, {}, "vaecodec", "_VAECODEC_COMPLETE")
    for words in (["compress"], ["info"], ["compare", "a.png"], ["compress", "-m"]):
        assert [item.type for item in completion.get_completions(words, "a")] == ["file"]


def test_the_version_names_package_and_models(installed: Path) -> None:
    fingerprint = catalog.read_model_info(TINY).fingerprint
    assert run("--version").stdout == f"vaecodec {vaecodec.__version__}\nmodel light {fingerprint}\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
def test_an_interrupted_run_ends_in_130(monkeypatch, error: type) -> None:
    def interrupted(path: str) -> bytes:
        raise error

    monkeypatch.setattr(files, "read", interrupted)
    result = run("test", "a.vae")
    assert (result.exit_code, result.stderr.strip()) == (130, "vaecodec: interrupted")


# --- evaluate

COLUMNS = ["quality", "bpp", "psnr-rgb", "ms-ssim-rgb", "ssimulacra2-rgb", "encoding_time", "decoding_time"]
FIELDS = ["image", "quality", "bytes", "bpp", "psnr_db", "ms_ssim", "ssimulacra2", "encode_s", "decode_s"]


def strict_json(path: str) -> dict:
    """As other languages read JSON: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(Path(path).read_text(), parse_constant=refuse)


@pytest.fixture
def photos(folder: Path) -> Path:
    photo = photographs.astronaut()
    (folder / "photos").mkdir()
    Image.fromarray(photo[:192, :256]).save(folder / "photos/a.png")
    Image.fromarray(photo[200:400, 100:300]).save(folder / "photos/b.png")
    (folder / "photos/readme.txt").write_text("not looked at")
    return folder / "photos"


@pytest.mark.slow
def test_evaluate_writes_means_and_each_picture(photos: Path) -> None:
    result = run("evaluate", photos, *MODEL, "--qualities", "60,20", "--json", "r.json")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    report = strict_json("r.json")
    assert list(report) == ["name", "description", "results", "images"]
    assert (report["name"], list(report["results"])) == ("vaecodec-tiny", COLUMNS)
    assert report["results"]["quality"] == [20, 60]
    assert [(i["image"], i["quality"]) for i in report["images"]] == [
        (n, q) for n in ("a.png", "b.png") for q in (20, 60)
    ]
    assert all(list(image) == FIELDS for image in report["images"])
    for column, name in zip(COLUMNS[1:5], FIELDS[3:7], strict=True):
        means = [np.mean([i[name] for i in report["images"] if i["quality"] == q]) for q in (20, 60)]
        assert report["results"][column] == pytest.approx(means)


def test_evaluate_counts_the_bytes_of_real_files(photos: Path) -> None:
    run("evaluate", photos, *MODEL, "--qualities", "33", "--json", "r.json")
    image = strict_json("r.json")["images"][0]
    data = vaecodec.compress(photos / "a.png", quality=33, model=TINY)
    decoded = np.asarray(vaecodec.decompress(data, model=TINY)).astype(float)
    mse = np.mean((decoded - np.asarray(Image.open(photos / "a.png"))) ** 2)
    assert image["bytes"] == len(data)
    assert image["bpp"] == pytest.approx(8 * len(data) / (192 * 256))
    assert image["psnr_db"] == pytest.approx(10 * math.log10(255**2 / mse))


def test_evaluate_writes_json_for_pictures_too_small_for_ms_ssim(photos: Path) -> None:
    in_mode("RGB", 50, 40).save(photos / "c.png")
    run("evaluate", photos, *MODEL, "--qualities", "20", "--json", "r.json")
    assert strict_json("r.json")["images"][2]["image"] == "c.png"


def test_evaluate_goes_on_after_a_bad_picture(photos: Path) -> None:
    (photos / "aa.png").write_text("only text")
    result = run("evaluate", photos, *MODEL, "--qualities", "20", "--json", "r.json")
    assert result.exit_code == 1
    assert "aa.png: not an image" in result.stderr
    assert [i["image"] for i in strict_json("r.json")["images"]] == ["a.png", "b.png"]


def test_evaluate_of_nothing_fails(folder: Path) -> None:
    (folder / "none").mkdir()
    fails(1, "none: no picture in it could be used", "evaluate", "none", *MODEL)


# --- in a shell's process


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["info", "a.vae"], ["models"], ["compress", "--help"]], ids=" ".join
)
def test_what_decodes_nothing_imports_no_torch(args: list[str]) -> None:
    code = f"import sys; sys.argv[1:] = {args!r}\nfrom vaecodec.cli.main import main\ntry: main()\n"
    assert_no_torch(code + "except SystemExit as e: assert not e.code, e.code")


@pytest.mark.slow
def test_a_pipeline_of_processes_works() -> None:
    packed = run_python(COMMAND, "compress", "-", "-", *MODEL, input=Path("a.png").read_bytes())
    assert packed.stdout == Path("a.vae").read_bytes()
    restored = run_python(COMMAND, "decompress", "-", "-", *MODEL, input=packed.stdout)
    assert (packed.returncode, restored.returncode) == (0, 0)
    assert Image.open(io.BytesIO(restored.stdout)).size == (40, 30)


@pytest.mark.parametrize(("args", "code"), [(["info", "cut.vae"], 0), (["info", "text.vae"], 3), (["nope"], 2)])
def test_a_process_ends_with_the_exit_code(args: list[str], code: int) -> None:
    result = run_python(COMMAND, *args, text=True)
    assert result.returncode == code
    assert "Traceback" not in result.stderr


def test_another_frame_is_taken_and_what_is_left_is_said() -> None:
    frames = [Image.new("L", (16, 16), level) for level in (0, 120, 250)]
    frames[0].save("f.tif", save_all=True, append_images=frames[1:])
    assert "f.tif: not kept: 2 of 3 frames" in run("compress", "f.tif", "f.vae", *MODEL).stderr
    assert run("compress", "f.tif", "f3.vae", "--frame", "3", *MODEL).exit_code == 0
    run("decompress", "f3.vae", "f3.png", *MODEL)
    assert np.asarray(Image.open("f3.png")).mean() > 200
    refused = run("compress", "f.tif", "f4.vae", "--frame", "4", *MODEL)
    assert (refused.exit_code, refused.stderr) == (1, "vaecodec: f.tif: there is no frame 4: the picture has 3\n")
    assert run("compress", "f.tif", "f4.vae", "--frame", "0", *MODEL).exit_code == 2


def test_colours_that_a_format_cannot_hold_are_converted_and_that_is_said() -> None:
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for name, content in Colour(gamma=100000).png_chunks():
        chunks.add(name, content)
    in_mode("RGB", 40, 30).save("linear.png", pnginfo=chunks)
    assert "not kept" not in run("compress", "linear.png", "linear.vae", *MODEL).stderr
    assert "not kept" not in run("decompress", "linear.vae", "again.png", *MODEL).stderr
    assert Image.open("again.png").info["gamma"] == 1
    said = run("decompress", "linear.vae", "linear.bmp", *MODEL).stderr
    assert "linear.vae: not kept: the description of colours (colours are those of sRGB now)" in said
    brighter = np.asarray(Image.open("linear.bmp")).mean() - np.asarray(Image.open("again.png")).mean()
    assert brighter > 20
