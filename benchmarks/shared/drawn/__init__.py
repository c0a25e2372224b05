"""Pictures that programs draw themselves, the same in every run: those without alpha, and cut-outs with it."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from shared.drawn import cutouts, pages, screens

KINDS: dict[str, dict[str, Callable[[], Image.Image]]] = {
    "graphics": {
        "terminal": screens.terminal,
        "spreadsheet": screens.spreadsheet,
        "map": pages.town_map,
        "comic": pages.comic,
        "chart": screens.chart,
        "icons": screens.icons,
        "pixel art": screens.pixel_art,
    },
    "scan": {"scan": pages.scan},
    "mixed": {"photo page": pages.photo_page, "slide": pages.slide},
    "cut-out": {
        "silhouette": cutouts.silhouette,
        "soft matte": cutouts.soft_matte,
        "hard mask": cutouts.hard_mask,
        "drop shadow": cutouts.drop_shadow,
        "smoke": cutouts.smoke,
        "app icon": cutouts.app_icon,
        "sticker": cutouts.sticker,
        "lettering": cutouts.lettering,
        "overlay": cutouts.overlay,
        "shaded": cutouts.shaded,
    },
}
"""By kind and name, what draws each."""
