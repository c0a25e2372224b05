"""Codecs side by side at one file size: a page with a slider and a difference view, and a sheet as one picture."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vaecodec import metrics
from vaecodec.baselines import ImageCodec
from vaecodec.errors import TargetError

MAX_TRIALS = 14
TOLERANCE = 0.005
"""Closer to the target than this share of it, the search ends."""


@dataclass(frozen=True)
class Entry:
    """A picture as a codec gives it back.

    Attributes:
        label: name of the codec.
        detail: rate, error and setting, in words.
        image: `[H, W, 3]` uint8.
    """

    label: str
    detail: str
    image: np.ndarray


def to_size(codec: ImageCodec, image: np.ndarray, size: int) -> tuple[bytes, float]:
    """The largest file of at most `size` bytes that bisection over the quality finds, and its quality.

    Raises:
        TargetError: even the smallest file is larger.
    """
    low, high = (float(q) for q in codec.quality_range)
    best, quality = codec.compress(image, low), low
    if len(best) > size:
        raise TargetError(f"{codec.name}: the smallest file has {len(best)} bytes, more than {size}")
    resolution = 1.0 if codec.whole_qualities else (high - low) / 5000
    for _ in range(MAX_TRIALS):
        if high - low <= resolution or len(best) > size * (1 - TOLERANCE):
            break
        middle = (low + high) / 2
        middle = float(round(middle)) if codec.whole_qualities else middle
        data = codec.compress(image, middle)
        if len(data) > size:
            high = middle
        else:
            low = middle
            if len(data) >= len(best):
                best, quality = data, middle
    return best, quality


def compare(
    codecs: Iterable[ImageCodec], image: np.ndarray, size: int, failed: Callable[[ImageCodec, Exception], None]
) -> list[Entry]:
    """The picture through every codec at one size, the original first; `failed` is told of codecs that cannot."""
    entries = [Entry("Original", f"{image.shape[1]}x{image.shape[0]} pixels", image)]
    for codec in codecs:
        try:
            data, quality = to_size(codec, image, size)
            decoded = codec.decompress(data)
        except TargetError as error:
            failed(codec, error)
            continue
        bpp = 8 * len(data) / (image.shape[0] * image.shape[1])
        detail = f"{len(data)} bytes, {bpp:.3f} bpp, {metrics.psnr_db(image, decoded):.2f} dB, quality {quality:g}"
        entries.append(Entry(codec.name, detail, decoded))
    return entries


# --- one page --------------------------------------------------------------------------------------------------------


def _data_url(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>@TITLE@</title>
<style>
body { font: 16px/1.4 system-ui, sans-serif; margin: 1rem; color: #111; background: #eee; }
h1 { font-size: 1.3rem; margin: 0 0 .7rem; }
form { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: center; margin-bottom: .7rem; }
#stage { position: relative; overflow: hidden; width: @WIDTH@px; height: @HEIGHT@px;
  max-width: none; background: #000; }
#stage img { position: absolute; left: 0; top: 0; image-rendering: pixelated; transform-origin: 0 0; }
#line { position: absolute; top: 0; bottom: 0; width: 2px; background: #fff; mix-blend-mode: difference; }
#stage.difference { filter: brightness(8); }
#stage.difference #right { mix-blend-mode: difference; clip-path: none !important; }
#stage.difference #line { display: none; }
input[type=range] { width: min(30rem, 90vw); }
.scroll { overflow: auto; max-width: 100%; }
p { margin: .3rem 0; }
</style>
<h1>@TITLE@</h1>
<form onsubmit="return false">
<label>Left <select id="a"></select></label>
<label>Right <select id="b"></select></label>
<label>Divide <input id="at" type="range" min="0" max="100" value="50" step="0.1"></label>
<label>Zoom <select id="zoom"><option>1</option><option>2</option><option>4</option></select></label>
<label><input id="diff" type="checkbox"> Difference, eightfold</label>
</form>
<p id="about" aria-live="polite"></p>
<div class="scroll"><div id="stage"><img id="left" alt=""><img id="right" alt=""><div id="line"></div></div></div>
<noscript>This page needs JavaScript to divide the pictures.</noscript>
<script>
const entries = @ENTRIES@, width = @WIDTH@, height = @HEIGHT@;
const $ = id => document.getElementById(id);
for (const id of ["a", "b"]) entries.forEach((e, i) => $(id).add(new Option(e.label, i)));
$("b").value = Math.min(1, entries.length - 1);
function show() {
  const a = entries[$("a").value], b = entries[$("b").value];
  const zoom = Number($("zoom").value), at = Number($("at").value);
  for (const [id, e] of [["left", a], ["right", b]]) {
    if ($(id).src !== e.url) $(id).src = e.url;
    $(id).alt = e.label;
    $(id).style.width = width * zoom + "px";
  }
  $("stage").style.width = width * zoom + "px";
  $("stage").style.height = height * zoom + "px";
  $("right").style.clipPath = `inset(0 0 0 ${at}%)`;
  $("line").style.left = `calc(${at}% - 1px)`;
  $("stage").classList.toggle("difference", $("diff").checked);
  $("about").textContent = `${a.label}: ${a.detail} | ${b.label}: ${b.detail}`;
}
for (const id of ["a", "b", "at", "zoom", "diff"]) $(id).addEventListener("input", show);
let held = false;
const drag = event => {
  if (!held) return;
  const box = $("stage").getBoundingClientRect();
  $("at").value = 100 * (event.clientX - box.left) / box.width;
  show();
};
$("stage").addEventListener("pointerdown", event => { held = true; event.preventDefault(); drag(event); });
addEventListener("pointermove", drag);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { held = false; });
show();
</script>
</html>
"""


def page(entries: list[Entry], title: str) -> str:
    """One self-contained HTML page; it loads nothing from anywhere."""
    height, width = entries[0].image.shape[:2]
    items = [{"label": e.label, "detail": e.detail, "url": _data_url(e.image)} for e in entries]
    fields = {
        "@TITLE@": html.escape(title),
        "@WIDTH@": str(width),
        "@HEIGHT@": str(height),
        "@ENTRIES@": json.dumps(items).replace("</", "<\\/"),
    }
    text = _PAGE
    for key, value in fields.items():
        text = text.replace(key, value)
    return text


# --- one sheet -------------------------------------------------------------------------------------------------------


def sheet(entries: list[Entry], *, columns: int = 3, crop: int = 512) -> Image.Image:
    """All pictures in one, each labelled; larger ones by their middle, never scaled."""
    height, width = (min(side, crop) for side in entries[0].image.shape[:2])
    top, left = ((side - kept) // 2 for side, kept in zip(entries[0].image.shape[:2], (height, width), strict=True))
    columns = min(columns, len(entries))
    gap, text, cell = 8, 44, max(width, 330)
    rows = -(-len(entries) // columns)
    result = Image.new("RGB", (columns * (cell + gap) + gap, rows * (height + text + gap) + gap), "white")
    draw, bold, small = ImageDraw.Draw(result), ImageFont.load_default(18), ImageFont.load_default(12)
    for number, entry in enumerate(entries):
        x, y = gap + number % columns * (cell + gap), gap + number // columns * (height + text + gap)
        draw.text((x, y), entry.label, "black", bold)
        draw.text((x, y + 23), entry.detail, "black", small)
        result.paste(
            Image.fromarray(np.ascontiguousarray(entry.image[top : top + height, left : left + width])), (x, y + text)
        )
    return result
