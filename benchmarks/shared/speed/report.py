"""Tables and a picture of what speed.py measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.drawing import STYLES, label_ends, style
from shared.results import markdown_table
from shared.speed.cold_starts import BARE, DECODE, DECOMPRESS, TORCH
from shared.speed.measuring import NOISY, NONE, number, ratio
from shared.speed.plugin import OTHER
from shared.speed.session import failures
from shared.speed.sizes import encode_at
from shared.speed.stages import HOOKS, NETWORKS, REST
from shared.speed.versions import BEFORE, NOW
from vaecodec.inference.effort import DEFAULT_EFFORT

DEFAULT_ENCODE = encode_at(DEFAULT_EFFORT)
Part = dict[str, Any]


def report(data: Part) -> str:
    """Markdown: ratios, part by part; what was not measured is left out."""
    models = ", ".join(f"{name} {model_id[:8]}" for name, model_id in data["models"].items())
    head = (
        f"{data['machine']}, {data['threads']} threads; {data['image'].split()[0]}, continued to each size, at about "
        f"{data['bpp']:g} bits per pixel; models {models}. Medians of what was measured in turn, in processes that are "
        "kept warm. Ratios of time are ours to the other's: 2 is twice as long. A question mark: turns of one of both "
        f"spread by more than {NOISY:g} (upper quartile to lower), as something else ran; it is to be measured again.\n"
    )
    parts = [head, *_plug_in(data), *_against(data), *_by_size(data), *_memory(data)]
    parts += [*_small(data), *_cold(data), *_stages(data)]
    return "\n".join([*parts, *(f"Failed: {failure}\n" for failure in failures(data))])


def _section(title: str, text: str, head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """A heading, what is to be known, and a table, unless that has no rows."""
    if rows:
        yield f"### {title}\n\n{text}\n\n{markdown_table(head, rows)}\n"


def _megabytes(*runs: Part | None) -> str:
    return ", ".join(f"{run['peak_mb']:.0f}" if run and "peak_mb" in run else NONE for run in runs)


# --- parts -----------------------------------------------------------------------------------------------------------


def _plug_in(data: Part) -> Iterator[str]:
    part = data.get("plug-in", {})
    if "runs" not in part:
        return
    runs = part["runs"]
    rows = []
    for name, bpp in part["bpp"].items():
        ratios = [ratio(runs[what].get(name), runs[what].get(OTHER)) for what in ("encode", "decode")]
        kmac = part["kmac_per_pixel"].get(name)
        rows.append([name, f"{bpp:.2f}", *ratios, f"{kmac['decoder']:.1f}" if kmac else ""])
    text = (
        "Four of Kodak's pictures (1, 5, 13, 23) as one of 1536x1024, through Pillow and Python in one warm process; "
        f"JPEG XL at quality 75 and effort 7, ours at its size, encoded at the default effort ({DEFAULT_EFFORT})."
    )
    head = ["", "bpp", "encode ÷ JPEG XL", "decode ÷ JPEG XL", "decoder, thousand multiply-accumulates a pixel"]
    yield from _section("Plug-ins of Pillow", text, head, rows)


def _against(data: Part) -> Iterator[str]:
    part = data.get("against", {})
    found = {
        (model, size): result
        for model, by_size in part.get("models", {}).items()
        for size, result in by_size.items()
        if "runs" in result
    }
    encodes = list(dict.fromkeys(name for result in found.values() for name in result["runs"] if name != "decode"))
    times, files = [], []
    for place, result in found.items():
        runs = {name: result["runs"].get(name, {}) for name in (*encodes, "decode")}
        ratios = [ratio(run.get(BEFORE), run.get(NOW)) for run in runs.values()]
        peaks = [_megabytes(runs[name].get(BEFORE), runs[name].get(NOW)) for name in (encodes[-1], "decode")]
        times.append([*place, *ratios, *peaks])
        if "files" in result:
            pixels = [str(result["pixels"][version]) for version in (BEFORE, NOW)]
            files.append([*place, *(_file(result["files"].get(name)) for name in encodes), *pixels])
    if not found:
        return
    text = (
        f"Commit {part['commit'][:12]}, its package in a process of its own beside this one's, with the same weights. "
        "How many times as fast this version is, and peak memory of both, before and now."
    )
    head = ["model", "megapixels", *encodes, "decode", f"MB, {encodes[-1]}", "MB, decode"]
    yield from _section("Against the version before", text, head, times)
    text = "Files of this version against those before, and the largest difference between both decoders' pixels:"
    head = ["model", "megapixels", *encodes, "pixels of its file", "pixels of this one's"]
    if files:
        yield f"{text}\n\n{markdown_table(head, files)}\n"


def _file(file: Part | None) -> str:
    if file is None:
        return NONE
    if file["same"]:
        return "same bytes"
    text = f"{file['larger']:+.3%}"
    return text + (f", {file['psnr_db']:+.3f} dB, {file['ssimulacra2']:+.2f}" if "psnr_db" in file else "")


def _by_size(data: Part) -> Iterator[str]:
    for threads, sizes in data.get("codecs", {}).items():
        rows = []
        ours = {model: _operations(sizes, model) for model in data["models"]}
        for size, runs in _by_number(sizes):
            for other in data["others"]:
                known = runs.get(other, {})
                ratios = [
                    ratio(runs.get(model, {}).get(name), known.get("decode" if name == "decode" else "encode"))
                    for model, names in ours.items()
                    for name in names
                ]
                speeds = [_speed(known.get(name), float(size)) for name in ("encode", "decode")]
                rows.append([size, other, *ratios, ", ".join(speeds)])
        columns = [f"{model} {name.removeprefix('encode ')}" for model, names in ours.items() for name in names]
        head = ["megapixels", "÷", *columns, "the other's MP/s, encode, decode"]
        title = f"Against other codecs, {threads} thread{'s' if int(threads) > 1 else ''}"
        known = [run for codecs in sizes.values() for runs in codecs.values() for run in runs.values()]
        turns = sorted({run["turns"] for run in known if "turns" in run})
        counted = " to ".join(map(str, turns[:: len(turns) - 1 or 1]))
        text = f"Ours at efforts, and decodes. Medians of {counted} turns, of fewest where pictures are large."
        yield from _section(title, text, head, rows)


def _by_number(sizes: Part) -> list[tuple[str, Part]]:
    return sorted(sizes.items(), key=lambda size: float(size[0]))


def _operations(sizes: Part, model: str) -> list[str]:
    """What was done with a model at any size."""
    return list(dict.fromkeys(name for runs in sizes.values() for name in runs.get(model, {})))


def _speed(run: Part | None, megapixels: float) -> str:
    return number(megapixels / run["seconds"]) if run and "seconds" in run else NONE


def _all_threads(data: Part) -> Part:
    return data.get("codecs", {}).get(str(data["threads"]), {})


def _memory(data: Part) -> Iterator[str]:
    sizes, names = dict(_by_number(_all_threads(data))), [*data["models"], *data["others"]]
    rows = []
    for size, runs in sizes.items():
        cells = []
        for name in names:
            of_codec = runs.get(name, {})
            cells.append(_megabytes(of_codec.get(DEFAULT_ENCODE) or of_codec.get("encode"), of_codec.get("decode")))
        rows.append([size, *cells])
    text = (
        f"Of a process while it encodes (ours: `-e {DEFAULT_EFFORT}`), and while it decodes, with what it holds anyway."
    )
    yield from _section("Peak memory, MB", text, ["megapixels", *names], rows)
    large = [size for size in sizes if float(size) >= 1]
    rows = []
    for model in data["models"] if large else ():
        first = sizes[large[0]].get(model, {})
        for size in large[1:]:
            ratios = [
                ratio(
                    _per_megapixel(sizes[size].get(model, {}).get(name), size),
                    _per_megapixel(first.get(name), large[0]),
                )
                for name in (DEFAULT_ENCODE, "decode")
            ]
            rows.append([model, size, *ratios])
    if rows:
        text = f"Time a megapixel, against that at {large[0]} megapixels:"
        yield f"{text}\n\n{markdown_table(['model', 'megapixels', DEFAULT_ENCODE, 'decode'], rows)}\n"


def _per_megapixel(run: Part | None, size: str) -> Part | None:
    return run | {"seconds": run["seconds"] / float(size)} if run and "seconds" in run else None


def _small(data: Part) -> Iterator[str]:
    parts = {model: part for model, part in data.get("small", {}).items() if "pictures" in part}
    rows = [
        [
            model,
            str(part["pictures"]),
            *(ratio(part[name].get("many"), part[name].get("one")) for name in ("encode", "decode")),
        ]
        for model, part in parts.items()
    ]
    text = "One after the other in one process, against one picture of as many pixels."
    yield from _section("Pictures of 256x256", text, ["model", "pictures", "encode", "decode"], rows)


def _cold(data: Part) -> Iterator[str]:
    for model, starts in data.get("cold", {}).items():
        if BARE not in starts:
            continue
        rows = [[name, number(seconds / starts[BARE]), f"{seconds:.3f}"] for name, seconds in starts.items()]
        share = starts[DECOMPRESS] / (starts[TORCH] + starts[DECODE])
        text = (
            f"Model {model}, 0.24 megapixels. A cold decompress takes {share:.2f} times as long as importing torch and "
            "decoding together."
        )
        yield from _section("Cold starts of the command line", text, ["command", f"÷ {BARE}", "seconds"], rows)


def _stages(data: Part) -> Iterator[str]:
    parts = {model: part for model, part in data.get("stages", {}).items() if "stages" in part}
    if not parts:
        return
    names = [*HOOKS, REST]
    rows = [
        [model, name, *(_share(seconds.get(stage), sum(seconds.values())) for stage in names)]
        for model, part in parts.items()
        for name, seconds in part["stages"].items()
    ]
    size = next(iter(parts.values()))["megapixels"]
    text = f"{size:.1f} megapixels, all threads: seconds, and their share."
    yield from _section("Where the time goes", text, ["model", "", *names], rows)
    types = list(next(iter(parts.values()))["limits"])
    rows = [
        [model, stage, f"{part['networks'][stage]['kmac_per_pixel']:.1f}"]
        + [f"{part['networks'][stage]['gmac_per_s'] / part['limits'][kind]:.0%}" for kind in types]
        + [f"{part['networks'][stage]['gmac_per_s']:.1f}"]
        for model, part in parts.items()
        for stage in NETWORKS
        if stage in part["networks"]
    ]
    limits = ", ".join(f"{kind} {limit:.0f}" for kind, limit in next(iter(parts.values()))["limits"].items())
    text = (
        "Multiply-accumulates against what the same machine reaches in a product of 1024x1024 matrices (billions a "
        f"second: {limits}). The gradient's are those of the generator, forth and back; the distance's are not counted."
    )
    head = ["model", "stage", "thousand a pixel", *(f"of {kind}'s limit" for kind in types), "billions a second"]
    yield from _section("How near the networks come to the processor", text, head, rows)


def _share(seconds: float | None, total: float) -> str:
    return f"{seconds:.3f}, {seconds / total:.0%}" if seconds else NONE


# --- the picture -----------------------------------------------------------------------------------------------------


def draw(data: Part, path: Path) -> None:
    """Speed and memory against size, all threads."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(19, 6), dpi=120)
    figure.subplots_adjust(left=0.05, right=0.9, wspace=0.5)
    panels = {
        "encode, megapixels per second": ("encode", lambda size, run: size / run["seconds"]),
        "decode, megapixels per second": ("decode", lambda size, run: size / run["seconds"]),
        "peak memory of encoding, MB": ("encode", lambda size, run: run["peak_mb"]),
    }
    for axis, (title, (what, value)) in zip(axes, panels.items(), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="megapixels", ylabel=title)
        axis.grid(alpha=0.3)
        ends = []
        for place, codec in enumerate([*data["models"], *data["others"]]):
            for line, (label, points) in zip(STYLES, _curves(data, codec, what).items(), strict=False):
                points = sorted((size, value(size, run)) for size, run in points)
                look = style(place) | {"linestyle": line}
                axis.plot(*zip(*points, strict=True), **look)
                ends.append((*points[-1], label, look["color"]))
        axis.autoscale_view()
        label_ends(axis, ends)
    figure.savefig(path)
    plt.close(figure)


def _curves(data: Part, codec: str, what: str) -> dict[str, list[tuple[float, Part]]]:
    """Sizes in megapixels and runs of a codec, by its name and its efforts, the highest first."""
    curves: dict[str, list[tuple[float, Part]]] = {}
    for size, runs in _all_threads(data).items():
        for operation, run in reversed(runs.get(codec, {}).items()):
            if operation.startswith(what) and "seconds" in run:
                curves.setdefault(codec + operation.removeprefix(what), []).append((float(size), run))
    return curves
