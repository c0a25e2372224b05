"""One self-contained HTML page that sets pictures side by side: divider, zoom, differences, and where the bits went."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vaecodec.cli.pages.comparison import HEAT, Entry, heat, most_bits
from vaecodec.cli.terminal import shown

TEMPLATE = Path(__file__).with_name("compare_page.html")
_NO_MARKUP = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}
"""What JSON must not contain within HTML; it is ASCII, so there are no separators of lines that scripts know of."""


def _data_url(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def page(entries: list[Entry] | dict[str, list[Entry]], title: str) -> str:
    """One HTML page; it loads nothing from anywhere.

    Args:
        entries: of one picture, or of several by their names. The first of each is what the others are set against.
    """
    pictures = entries if isinstance(entries, dict) else {title: entries}
    most = most_bits(entry for group in pictures.values() for entry in group)
    items = []
    for name, group in pictures.items():
        height, width = group[0].image.shape[:2]
        members = [
            {"label": shown(e.label), "detail": shown(e.detail), "url": _data_url(e.image), **_bits(e, most)}
            for e in group
        ]
        items.append({"name": shown(name), "width": width, "height": height, "entries": members})
    fields = {
        "@TITLE@": html.escape(shown(title)),
        "@HEAT@": ", ".join(f"rgb{colour}" for colour in HEAT),
        "@MOST@": f"{most:.2g}",
        "@PICTURES@": json.dumps(items).translate(_NO_MARKUP),
    }
    template = TEMPLATE.read_text(encoding="utf-8")
    return re.sub("|".join(fields), lambda field: fields[field[0]], template)  # at once: names may look like fields


def _bits(entry: Entry, most: float) -> dict[str, Any]:
    if entry.bits is None:
        return {}
    rows, columns = entry.bits.shape
    size = [columns * entry.cell, rows * entry.cell]
    return {"bits": _data_url(heat(entry.bits, most, entry.exact)), "bits_size": size}
