"""What screens show that was never photographed: letters, figures, lines, icons and sprites."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from shared.drawn.tools import font, gradient, scaled, smooth, star, words


def terminal() -> Image.Image:
    """A shell on dark ground, every letter in a cell of its own."""
    rng, image = np.random.default_rng(1), Image.new("RGB", (800, 560), (24, 26, 36))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 799, 27), (52, 54, 66))
    with smooth(image) as fine:
        for number, colour in enumerate(((237, 106, 94), (245, 191, 79), (98, 197, 84))):
            fine.ellipse((44 + 80 * number, 32, 92 + 80 * number, 80), colour)
    draw.text((350, 6), "shell - 88x31", (190, 192, 204), font(13))
    grey, green, blue, red, gold = (205, 208, 218), (152, 195, 121), (97, 175, 239), (224, 108, 117), (229, 192, 123)
    lines = [[("user@host", green), (":", grey), ("~/build", blue), ("$ ls -l && make test", grey)]]
    for _ in range(9):
        name = "_".join(rng.choice(("tile", "scan", "index", "coder", "table", "frame", "notes"), 2))
        size, day = rng.integers(100, 99999), rng.integers(1, 28)
        lines.append([(f"-rw-r--r-- 1 user user {size:6d} Mar {day:2d} 09:41 ", grey), (f"{name}.c", gold)])
    for number in range(13):
        failed = number in (4, 9)
        verdict = ("FAIL", red) if failed else ("ok", green)
        lines.append([(f"[{8 * number:3d}%] ", blue), (f"{words(rng, 4).lower():42.42}", grey), verdict])
        lines += [[(f"    expected {rng.integers(9999)}, got {rng.integers(9999)}", red)]] if failed else []
    lines.append([("user@host", green), (":", grey), ("~/build", blue), ("$ ", grey)])
    for row, line in enumerate(lines):
        column = 0
        for text, colour in line:
            for letter in text:
                draw.text((12.5 + 9 * column, 36 + 19 * row), letter, colour, font(14), anchor="ma")
                column += 1
    draw.rectangle((8 + 9 * column, 35 + 19 * row, 16 + 9 * column, 51 + 19 * row), grey)
    return image


def spreadsheet() -> Image.Image:
    """Figures in cells, headed, a few of them filled, one chosen."""
    rng, image = np.random.default_rng(2), Image.new("RGB", (960, 640), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 959, 55), (33, 115, 70))
    for number, title in enumerate(("File", "Home", "Insert", "Formulas", "Data", "Review", "View")):
        draw.text((16 + 84 * number, 8), title, "white", font(14))
    draw.rectangle((90, 32, 950, 50), "white")
    draw.text((100, 34), "=SUM(D4:D21)", "black", font(12))
    draw.rectangle((0, 56, 959, 76), (230, 230, 230))
    draw.rectangle((0, 56, 40, 639), (230, 230, 230))
    for column, left in enumerate(range(40, 960, 92)):
        draw.text((left + 46, 60), chr(65 + column), (60, 60, 60), font(12), anchor="ma")
        for row, top in enumerate(range(76, 640, 22)):
            if row == 1:
                draw.rectangle((left, top, left + 91, top + 21), (198, 224, 180))
                draw.text((left + 5, top + 4), str(rng.choice(("Total", "Net", "Units", "Tax"))), "black", font(13))
            elif column == 0:
                draw.text((45, top + 4), words(rng, 1), "black", font(13))
            elif row > 1 and rng.random() < 0.86:
                value = rng.normal(900, 1200)
                if value < -600:
                    draw.rectangle((left, top, left + 91, top + 21), (255, 199, 206))
                ink = (156, 0, 6) if value < 0 else "black"
                draw.text((left + 86, top + 4), f"{value:,.2f}", ink, font(13), anchor="ra")
        draw.line((left, 56, left, 639), (208, 208, 208))
    for row, top in enumerate(range(76, 640, 22)):
        draw.line((0, top, 959, top), (208, 208, 208))
        draw.text((20, top + 4), str(row + 1), (60, 60, 60), font(12), anchor="ma")
    draw.rectangle((316, 252, 408, 274), outline=(33, 115, 70), width=2)
    return image


def chart() -> Image.Image:
    """Bars with gradients, lines with markers, axes and a legend."""
    rng, image = np.random.default_rng(6), Image.new("RGB", (900, 560), "white")
    draw = ImageDraw.Draw(image)
    for number, top in enumerate(range(80, 481, 50)):
        draw.line((80, top, 860, top), (225, 225, 225))
        draw.text((70, top - 7), f"{400 - 50 * number}", (70, 70, 70), font(13), anchor="ra")
    for number in range(12):
        tall, left = int(rng.integers(60, 330)), 100 + 64 * number
        image.paste(gradient(34, tall, (86, 150, 220), (30, 80, 150)), (left, 480 - tall))
        draw.text((left + 17, 488), f"{number + 1:02d}/26", (70, 70, 70), font(13), anchor="ma")
    colours = ((213, 94, 0), (0, 158, 115))
    with smooth(image) as fine:
        for colour in colours:
            heights = np.clip(280 + rng.normal(0, 35, 12).cumsum(), 90, 470)
            points = scaled((117 + 64 * n, float(y)) for n, y in enumerate(heights))
            fine.line(points, colour, 10, "curve")
            for x, y in points:
                fine.ellipse((x - 18, y - 18, x + 18, y + 18), "white", colour, 8)
    draw.line((80, 80, 80, 480, 860, 480), (60, 60, 60), 2)
    draw.text((450, 22), "Cups served, by month", "black", font(24), anchor="ma")
    draw.rectangle((640, 60, 850, 136), "white", (160, 160, 160))
    for number, (name, colour) in enumerate(
        (("Orders", (58, 115, 185)), ("Forecast", colours[0]), ("Last year", colours[1]))
    ):
        draw.rectangle((652, 71 + 22 * number, 676, 80 + 22 * number), colour)
        draw.text((686, 68 + 22 * number), name, (40, 40, 40), font(13))
    return image


def _icon(draw: ImageDraw.ImageDraw, kind: int, colour: tuple, x: float, y: float) -> None:
    """One of eight, 32 pixels a side, drawn at four times that from its middle."""
    at = lambda *points: scaled(points, 4, x, y)
    dark = tuple(c // 2 for c in colour)
    if kind == 0:
        draw.ellipse(at((-14, -14), (14, 14)), colour, dark, 8)
        draw.line(at((0, -9), (0, 0), (7, 4)), "white", 10)
    elif kind == 1:
        draw.polygon(at((-15, -10), (-4, -10), (-1, -6), (15, -6), (15, 11), (-15, 11)), colour, dark, 6)
    elif kind == 2:
        draw.rectangle(at((-15, -10), (15, 11)), "white", dark, 8)
        draw.line(at((-15, -10), (0, 3), (15, -10)), colour, 10)
    elif kind in (3, 4):
        draw.polygon(at(*(star(5, 15, 6) if kind == 3 else star(9, 15, 11))), colour, dark, 5)
        if kind == 4:
            draw.ellipse(at((-5, -5), (5, 5)), "white", dark, 5)
    elif kind == 5:
        draw.polygon(at((-15, 0), (0, -14), (15, 0)), dark)
        draw.rectangle(at((-10, 0), (10, 13)), colour)
        draw.rectangle(at((-3, 4), (3, 13)), "white")
    elif kind == 6:
        draw.ellipse(at((-14, -14), (6, 6)), "white", colour, 16)
        draw.line(at((3, 3), (13, 13)), dark, 22)
    else:
        draw.rectangle(at((-14, -10), (14, 10)), dark)
        draw.polygon(at((-6, -7), (8, 0), (-6, 7)), colour)


def icons() -> Image.Image:
    """A sheet of small icons on a grid."""
    rng, image = np.random.default_rng(7), Image.new("RGB", (640, 480), (246, 247, 249))
    with smooth(image) as draw:
        for y in range(30, 480, 47):
            for x in range(32, 640, 48):
                _icon(draw, int(rng.integers(8)), tuple(rng.integers(40, 230, 3).tolist()), x, y)
    return image


GAME = ((20, 12, 28), (68, 36, 52), (48, 52, 109), (133, 76, 48), (52, 101, 36), (208, 70, 72), (89, 125, 206),
        (210, 125, 44), (109, 170, 44), (210, 170, 153), (109, 194, 203), (218, 212, 94), (222, 238, 214))  # fmt: skip
"""Colours of a game; what tiles hold are their numbers."""


def _sprite(rng: np.random.Generator, body: int, head: int) -> np.ndarray:
    """A creature of 16 by 16, the same left and right; −1 is what can be seen through."""
    rows, columns = np.mgrid[:16, :8]
    half = np.where((rows - 9) ** 2 + (columns - 8) ** 2 < rng.integers(24, 50), body, -1)
    half[(rows < 8) & ((rows - 5) ** 2 + (columns - 8) ** 2 < 14)] = head
    half[(half < 0) & (np.roll(half, 1, 0) >= 0)] = 0
    half[5, 6], half[13:16, 4:6] = 0, body
    half[rng.integers(8, 14, 6), rng.integers(5, 8, 6)] = rng.integers(1, 13)
    return np.hstack([half, half[:, ::-1]])


def pixel_art() -> Image.Image:
    """A game of 16-pixel tiles, each pixel three wide."""
    rng = np.random.default_rng(8)
    grass, water = np.full((16, 16), 8), np.full((16, 16), 6)
    grass[rng.integers(0, 16, 22), rng.integers(0, 16, 22)] = 4
    water[[3, 3, 3, 9, 9, 9, 9, 13], [2, 3, 4, 9, 10, 11, 12, 5]] = 10
    rows, columns = np.mgrid[:16, :16]
    brick = np.where((rows % 4 == 3) | ((columns + 4 * (rows // 4 % 2)) % 8 == 7), 1, 3)
    tree = np.where((rows - 6) ** 2 + (columns - 7.5) ** 2 < 42, 4, grass)
    tree = np.where((rows > 11) & (abs(columns - 7.5) < 2), 3, tree)
    coin = np.where((rows - 8) ** 2 + 2 * (columns - 7.5) ** 2 < 30, 11, -1)
    level = np.full((12, 16), 0)
    level[9:], level[[2, 6], 3:8], level[0, :], level[:, 0] = 1, 2, 2, 2
    level[rng.integers(1, 9, 14), rng.integers(1, 16, 14)] = 3
    field = np.block([[[grass, water, brick, tree][kind] for kind in row] for row in level])
    figures = [_sprite(rng, int(body), int(head)) for body, head in rng.integers(1, 13, (7, 2))] + [coin] * 9
    for figure in figures:
        top, left = 16 * int(rng.integers(1, 9)), 16 * int(rng.integers(1, 16))
        part = field[top : top + 16, left : left + 16]
        part[figure >= 0] = figure[figure >= 0]
    return Image.fromarray(np.array(GAME, np.uint8)[field.repeat(3, 0).repeat(3, 1)])
