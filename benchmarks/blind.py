"""Which of two does a reader take who does not know them? The same bytes, the same crop, in random order.

    python benchmarks/blind.py kodak/ -o build/blind --key build/blind-key.json
    python benchmarks/blind.py kodak/ -o build/blind --key build/blind-key.json --answers answers.txt

Each pair stands beside its original; the question is which of A and B is closer to it. The page and one picture a pair
say nothing else; the key is in another file, for the one who counts. Answers are lines of a pair's number and A, B or
=, and what stands behind those is kept as a remark. Whole pictures are coded, with our file never the larger one.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from shared.codecs import chosen, collect_codecs
from shared.equal_size import FAIR_SHARE, Made, at_one_size, crop_at
from shared.options import SETTINGS, images_argument, model_option, numbers_option
from shared.pictures import usable_pictures
from shared.results import Store, checksum, markdown_table, say, section

OURS = "vaecodec"
SIDES = ("A", "B")
ANSWER = re.compile(r"^\s*(\d+)[\s.:,]+([AB=])(?![A-Za-z])(.*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """What a reader is asked about.

    Attributes:
        image: name of the picture.
        bpp: that both files were to have; more where the rival has none so small.
        rival: the codec that ours is set against.
        first: whether ours is A.
        place: of the crop, see `equal_size.crop_at`.
    """

    image: str
    bpp: str
    rival: str
    first: bool
    place: tuple[float, float]


def draw_pairs(images: list[str], rates: list[str], rivals: list[str], count: int, seed: int) -> list[Pair]:
    """Pictures in turn, rates and rivals equally often, in random order and each at a random place."""
    rng = np.random.default_rng(seed)
    kinds = [(rate, rival) for rate in rates for rival in rivals]
    firsts = rng.permutation(np.arange(count) % 2 == 0)
    pairs = []
    for number in range(count):
        rate, rival = kinds[(number + number // len(images)) % len(kinds)]
        place = tuple(float(share) for share in rng.random(2).round(4))
        pairs.append(Pair(images[number % len(images)], rate, rival, bool(firsts[number]), place))
    return [pairs[number] for number in rng.permutation(count)]


def shown(rgb: np.ndarray, made: dict[str, Made], pair: Pair, side: int, zoom: int) -> list:
    """A, the original and B, cropped and enlarged."""
    from vaecodec.cli.pages.comparison import Entry

    ours, rival = (np.ascontiguousarray(made[name].image) for name in (OURS, pair.rival))
    order = (ours, rgb, rival) if pair.first else (rival, rgb, ours)
    area = crop_at(rgb.shape, side, pair.place)
    labels = (SIDES[0], "Original", SIDES[1])
    return [
        Entry(label, "", image[area].repeat(zoom, 0).repeat(zoom, 1))
        for label, image in zip(labels, order, strict=True)
    ]


def tally(answers: str, key: dict[str, dict]) -> tuple[list[list[str]], list[str]]:
    """Rows of rate, rival, pairs for ours, for the rival and undecided; and the remarks, by what they were about."""
    counts: dict[tuple[str, str], Counter] = {}
    remarks = []
    for line in answers.splitlines():
        if not (match := ANSWER.match(line)) or match[1] not in key:
            continue
        pair, side = key[match[1]], match[2].upper()
        choice = "equal" if side == "=" else "ours" if pair[side] == OURS else "theirs"
        counts.setdefault((pair["bpp"], pair["rival"]), Counter())[choice] += 1
        if remark := match[3].strip(" .:,;-–"):
            remarks.append(f"{match[1]} ({pair['image']}, {pair['bpp']} bpp, {pair['rival']}; {choice}): {remark}")
    total = sum(counts.values(), Counter())
    rows = [[*kind, *(str(count[c]) for c in ("ours", "theirs", "equal"))] for kind, count in sorted(counts.items())]
    return [*rows, ["all", "", *(str(total[c]) for c in ("ours", "theirs", "equal"))]], remarks


def report_answers(answers: Path, key: Path) -> str:
    """Markdown."""
    rows, remarks = tally(answers.read_text(encoding="utf-8"), json.loads(key.read_text())["pairs"])
    head = ["bpp", "against", "ours is closer", "the other is", "undecided"]
    return "\n".join([markdown_table(head, rows), "", *(f"- {remark}" for remark in remarks)])


@click.command(context_settings=SETTINGS)
@images_argument
@numbers_option("--bpp", "0.15,0.4", "Bits per pixel of the files", 0.01, 24)
@click.option("--against", default="AVIF,JPEG XL", show_default=True, help="Codecs, comma-separated.")
@click.option("--pairs", "count", type=click.IntRange(min=1), help="As many as there are pictures by default.")
@click.option("--side", type=click.IntRange(min=16), default=320, show_default=True, help="Pixels of a crop.")
@click.option("--zoom", type=click.IntRange(1, 4), default=1, show_default=True, help="Pixels a side for each of them.")
@click.option("--seed", default=0, show_default=True, help="Of order and places.")
@model_option
@click.option("--answers", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Count these only.")
@click.option("--key", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Goes to this file.")
@click.option("-o", "--output-dir", "folder", required=True, type=click.Path(file_okay=False, path_type=Path))
def main(
    paths: tuple[Path, ...],
    bpp: list[str],
    against: str,
    count: int | None,
    side: int,
    zoom: int,
    seed: int,
    model: str | None,
    answers: Path | None,
    key: Path,
    folder: Path,
) -> None:
    """Make a blind page of IMAGES, or count what a reader answered."""
    if answers:
        click.echo(report_answers(answers, key))
        return
    from vaecodec.cli.pages.comparison import sheet

    images = usable_pictures(paths).images
    everything = collect_codecs(model)
    ours, rivals = chosen(everything, OURS)[0], chosen(everything, against)
    pairs = draw_pairs(list(images), bpp, [codec.name for codec in rivals], count or len(images), seed)
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(key)
    found = store.data.setdefault("found", {})
    store.data["pairs"] = {}
    try:
        with click.progressbar(pairs, label="pairs", file=sys.stderr) as bar:
            for number, pair in enumerate(bar, 1):
                rgb = images[pair.image]
                size = int(float(pair.bpp) * rgb[..., 0].size / 8)
                stamp = {"content": checksum(rgb), "bytes": size}
                part = section(found, f"{pair.image}, {pair.bpp}, {pair.rival}", stamp)
                rival = next(codec for codec in rivals if codec.name == pair.rival)
                made = _fair(rival, ours, rgb, size, part)
                if made is None:
                    say(f"left out: pair {number}: {pair.image} at {pair.bpp} bpp with {pair.rival}")
                    continue
                sides = (OURS, pair.rival) if pair.first else (pair.rival, OURS)
                entry = vars(pair) | dict(zip(SIDES, sides, strict=True))
                entry |= {"bytes": {name: one.size_bytes for name, one in made.items()}}
                store.data["pairs"][str(number)] = entry
                sheet(shown(rgb, made, pair, side, zoom), crop=side * zoom).save(folder / f"pair-{number:02}.png")
                store.save()
    finally:
        store.save(now=True)
    (folder / "index.html").write_text(_page(list(store.data["pairs"])), encoding="utf-8")
    click.echo(f"{folder / 'index.html'}: {len(store.data['pairs'])} pairs; the key is {key}")


def _fair(rival, ours, rgb: np.ndarray, size: int, part: dict) -> dict[str, Made] | None:
    """The rival's largest file of at most `size` bytes, or its smallest, and ours of at most that one's bytes.

    `None` where ours cannot be so small, or not so large.
    """
    size = max(size, len(rival.compress(rgb, rival.quality_range[0])))
    made, _ = at_one_size([rival], rgb, size, part.setdefault("rival", {}))
    most = made[rival.name].size_bytes
    made |= at_one_size([ours], rgb, most, part.setdefault("ours", {}))[0]
    fair = len(made) == 2 and made[ours.name].size_bytes >= (1 - FAIR_SHARE) * most
    return made if fair else None


def _page(numbers: list[str]) -> str:
    """The pairs below each other; it says nothing of what they are."""
    rows = "\n".join(f'<h2>{n}</h2>\n<img src="pair-{int(n):02}.png" alt="Pair {n}">' for n in numbers)
    question = "Which of A and B is closer to the original between them? Answer with the number and A, B or =."
    style = "body { font: 16px sans-serif; margin: 1em } img { max-width: none }"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>Pairs</title><style>{style}</style>\n'
        f"<p>{question}</p>\n{rows}\n</html>\n"
    )


if __name__ == "__main__":
    main()
