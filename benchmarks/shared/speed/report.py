"""Tables and a picture of what speed.py measures."""

from __future__ import annotations

from pathlib import Path

from shared.drawing import label_ends, style

TORCH = 'python -c "import torch"'
DECODE = "decode, .vae to PNG, all loaded"
REFERENCES = ("JPEG XL", "AVIF")
"""Ratios are to these."""


def report(data: dict) -> str:
    """Markdown tables: speed and ratios by size, stages, cold start."""
    lines = [
        f"{data['machine']}, {data['threads']} threads. Speed in megapixels per second, memory as the process's peak.\n"
    ]
    ratios = " | ".join(f"encode, decode ÷ {name}" for name in REFERENCES)
    lines += [
        f"| megapixels | codec | bpp | encode MP/s | decode MP/s | peak MB | {ratios} |",
        "| ---: | --- | ---: | ---: | ---: | ---: " + "| ---: " * len(REFERENCES) + "|",
    ]
    for size in data["sizes"]:
        rows = {name: part["runs"].get(size, {}) for name, part in data["codecs"].items()}
        for name, row in rows.items():
            if "failed" in row:
                lines.append(f"| {size} | {name} | {row['failed']} | | | " + "| " * len(REFERENCES) + "|")
            if "encode_s" not in row:
                continue
            cells = []
            for reference in REFERENCES:
                other = rows.get(reference, {})
                known = "encode_s" in other
                cells.append(
                    f"{row['encode_s'] / other['encode_s']:.2f}, {row['decode_s'] / other['decode_s']:.2f}"
                    if known
                    else "–"
                )
            speeds = [f"{row['megapixels'] / row[key]:.2f}" for key in ("encode_s", "decode_s")]
            cells = [size, name, f"{row['bpp']:.2f}", *speeds, f"{row['peak_mb']:.0f}", *cells]
            lines.append(f"| {' | '.join(cells)} |")
    lines += per_megapixel(data)
    for direction in ("encode", "decode"):
        rows = {
            s: r[f"{direction}_stages_s"]
            for s, r in data["codecs"].get("vaecodec", {}).get("runs", {}).items()
            if f"{direction}_stages_s" in r
        }
        if rows:
            names = sorted({stage for row in rows.values() for stage in row})
            lines += [
                f"\n### Our stages, {direction}, seconds\n",
                f"| megapixels | {' | '.join(names)} |",
                "| ---: " * (len(names) + 1) + "|",
            ]
            lines += [f"| {size} | {' | '.join(f'{row.get(n, 0):.4f}' for n in names)} |" for size, row in rows.items()]
    rows = {
        size: row
        for size, row in data["codecs"].get("vaecodec", {}).get("runs", {}).items()
        if "synthesis_median_s" in row
    }
    if rows:
        lines += [
            "\n### Decoding against the bare float synthesis, in one process and in turn\n",
            "| megapixels | decode ÷ synthesis, medians | peak MB to encode and decode |",
            "| ---: | ---: | ---: |",
        ]
        for size, row in rows.items():
            ratio = row["decode_median_s"] / row["synthesis_median_s"]
            lines.append(f"| {size} | {ratio:.2f} | {row['peak_mb']:.0f} |")
    if starts := data.get("cold_start_s"):
        first = next(iter(starts.values()))
        lines += ["\n### Cold start of the command line, 768x512\n"]
        lines += [f"| command | seconds | ÷ {next(iter(starts))} |", "| --- | ---: | ---: |"]
        lines += [f"| {name} | {value:.3f} | {value / first:.1f} |" for name, value in starts.items()]
        if DECODE in starts:
            ratio = starts["vaecodec decompress"] / (starts[TORCH] + starts[DECODE])
            lines.append(
                f"\nA cold decompress takes {ratio:.2f} times as long as importing torch and decoding together."
            )
    return "\n".join(lines) + "\n"


def per_megapixel(data: dict) -> list[str]:
    """Lines of a table: whether time and memory stay in proportion to the picture, from one megapixel on."""
    sizes = [size for size in data["sizes"] if float(size) >= 1]
    rows = []
    for name, part in data["codecs"].items():
        one = part["runs"].get("1", {})
        for size in sizes if "encode_s" in one else ():
            if "encode_s" not in (run := part["runs"].get(size, {})):
                continue
            area = run["megapixels"] / one["megapixels"]
            ratios = [f"{run[key] / one[key] / area:.2f}" for key in ("encode_s", "decode_s")]
            bytes_a_pixel = (run["peak_mb"] - run["start_mb"]) / run["megapixels"]
            rows.append(f"| {name} | {size} | {' | '.join(ratios)} | {run['peak_mb']:.0f} | {bytes_a_pixel:.0f} |")
    if not rows:
        return []
    return [
        "\n### Time per megapixel, against that at one megapixel, and memory\n",
        "| codec | megapixels | encode | decode | peak MB | of that, bytes a pixel |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *rows,
    ]


def draw(data: dict, path: Path) -> None:
    """Speed and memory against size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(19, 6), dpi=120)
    figure.subplots_adjust(left=0.05, right=0.9, wspace=0.5)
    panels = {
        "encode, megapixels per second": lambda r: r["megapixels"] / r["encode_s"],
        "decode, megapixels per second": lambda r: r["megapixels"] / r["decode_s"],
        "peak memory, MB": lambda r: r["peak_mb"],
    }
    for axis, (title, value) in zip(axes, panels.items(), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="megapixels", ylabel=title)
        axis.grid(alpha=0.3)
        ends = []
        for number, (name, part) in enumerate(data["codecs"].items()):
            points = sorted((r["megapixels"], value(r)) for r in part["runs"].values() if "encode_s" in r)
            if points:
                axis.plot(*zip(*points, strict=True), **style(number))
                ends.append((*points[-1], name, style(number)["color"]))
        label_ends(axis, ends)
    figure.savefig(path)
    plt.close(figure)
