"""What is printed or shown to many: a map, a comic, a scan, and pages with photographs."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from shared.drawn.tools import font, gradient, noise, paragraph, photograph, scaled, smooth, words


def town_map() -> Image.Image:
    """A street map: woods and water, houses, roads with rims, names with halos."""
    rng, width, height = np.random.default_rng(3), 900, 700
    land = Image.new("RGB", (3 * width, 3 * height), (242, 239, 233))
    for colour, level in (((205, 232, 190), 0.75), ((173, 209, 158), 1.25)):
        wood = Image.fromarray(noise(rng, width, height, 120, 60)).resize(land.size, Image.BICUBIC)
        land.paste(colour, mask=Image.fromarray(np.asarray(wood) > level))
    draw = ImageDraw.Draw(land)
    for _ in range(240):
        x, y, w, h = rng.integers((0, 0, 10, 10), (2700, 2100, 60, 60)).tolist()
        draw.rectangle((x, y, x + w, y + h), (217, 208, 201), (188, 178, 168), 2)
    along = np.linspace(-50, 2750, 60)
    river = list(zip(along.tolist(), (1300 + 260 * np.sin(along / 420) + 0.12 * along).tolist(), strict=True))
    draw.line(river, (170, 211, 223), 130, "curve")
    roads = [((x, -20), (x + rng.integers(-500, 500), 2120), 16) for x in range(150, 2700, 260)]
    roads += [((-20, y), (2720, y + rng.integers(-300, 300)), 16) for y in range(120, 2100, 230)]
    roads += [((-20, 500), (2720, 1500), 44), ((1700, -20), (900, 2120), 34)]
    for rim in (True, False):
        for start, end, thick in roads:
            rims, fills = (
                {16: (190, 190, 190), 34: (200, 150, 70), 44: (210, 90, 110)},
                {16: "white", 34: (252, 214, 164)},
            )
            colour = rims[thick] if rim else fills.get(thick, (233, 144, 160))
            draw.line((start, end), colour, thick + 8 if rim else thick)
    image = land.reduce(3)
    draw = ImageDraw.Draw(image)
    for _ in range(34):
        place, size = rng.integers((0, 10), (820, 680)).tolist(), int(rng.choice((11, 11, 12, 16)))
        draw.text(place, words(rng, 1) + " St", (60, 60, 60), font(size), stroke_width=2, stroke_fill="white")
    draw.text((330, 300), "NORTH PORT", (30, 30, 60), font(30), stroke_width=3, stroke_fill="white")
    return image


def comic() -> Image.Image:
    """Two panels: ink, flat colours, halftone dots, a bubble."""
    image = Image.new("RGB", (720, 800), "white")
    with smooth(image) as draw:
        draw.rectangle((80, 80, 2800, 1680), (255, 214, 70))
        for row, y in enumerate(range(100, 1680, 32)):
            for x in range(100 + 16 * (row % 2), 2790, 32):
                r = 15 * (1 - y / 1900)
                draw.ellipse((x - r, y - r, x + r, y + r), (240, 90, 50))
        draw.rectangle((80, 80, 2800, 1680), None, "black", 20)
        draw.polygon([(500, 1668), (640, 1250), (1260, 1250), (1420, 1668)], (40, 90, 190), "black", 18)
        draw.ellipse((620, 520, 1280, 1320), (252, 206, 170), "black", 20)
        draw.pieslice((590, 440, 1310, 1150), 180, 360, (60, 30, 20), "black", 16)
        for x in (790, 1060):
            draw.ellipse((x - 70, 850, x + 70, 980), "white", "black", 12)
            draw.ellipse((x - 10, 890, x + 40, 940), "black")
            draw.line((x - 80, 800, x + 60, 770), "black", 24)
        draw.arc((820, 1000, 1080, 1200), 20, 160, (150, 20, 30), 24)
        draw.line((930, 950, 900, 1060, 950, 1070), "black", 14)
        draw.polygon([(1500, 700), (1330, 960), (1720, 760)], "white", "black", 16)
        draw.ellipse((1400, 180, 2700, 820), "white", "black", 16)
        draw.polygon([(1530, 690), (1360, 930), (1700, 750)], "white")
        draw.rectangle((80, 1760, 2800, 3120), (30, 40, 90), "black", 20)
        draw.ellipse((2000, 1840, 2440, 2280), (250, 245, 200))
        for number, (left, top) in enumerate(
            ((100, 2500), (480, 2250), (900, 2600), (1400, 2150), (1900, 2450), (2350, 2300))
        ):
            shade = (70 + 12 * number, 60, 110)
            draw.rectangle((left, top, left + 440, 3110), shade, "black", 12)
            for n in range(40):
                x, y = left + 50 + 95 * (n % 4), top + 70 + 110 * (n // 4)
                if y < 3000 and (n * 7 + number) % 3:
                    draw.rectangle((x, y, x + 50, y + 66), (255, 230, 110), "black", 6)
        draw.rectangle((80, 1760, 2800, 3120), None, "black", 20)
    draw = ImageDraw.Draw(image)
    draw.multiline_text((512, 125), "WHO TOOK\nTHE LAST CUP?!", "black", font(34), anchor="mm", align="center")
    draw.rectangle((30, 450, 310, 486), (255, 250, 190), "black", 2)
    draw.text((42, 456), "MEANWHILE, UPTOWN...", "black", font(22))
    return image


def scan() -> Image.Image:
    """A printed page under a scanner: a little turned, a little blurred, with grain and a shadow."""
    rng, page = np.random.default_rng(5), Image.new("L", (760, 800), 244)
    draw = ImageDraw.Draw(page)
    draw.text((90, 60), "Chapter 7. " + words(rng, 3), 30, font(26))
    paragraph(draw, rng, (90, 120, 680, 440), 15, 40)
    draw.rectangle((90, 460, 680, 600), None, 60)
    draw.line([(100 + 5 * n, 540 + 40 * np.sin(n / 9)) for n in range(115)], 40, 2)
    paragraph(draw, rng, (90, 625, 680, 760), 15, 40)
    page = page.rotate(0.8, Image.BICUBIC, fillcolor=244).filter(ImageFilter.GaussianBlur(0.7))
    light = np.linspace(0.9, 1, 760)[None, :] + 0.006 * noise(rng, 760, 800, 4, 2)
    grey = np.asarray(page) * light
    rgb = (
        grey[..., None] * np.array([1.0, 0.985, 0.95])
        + rng.normal(0, 2.5, (800, 760, 1))
        + rng.normal(0, 1, (800, 760, 3))
    )
    return Image.fromarray(np.rint(rgb.clip(0, 255)).astype(np.uint8))


def photo_page() -> Image.Image:
    """A magazine's page: two columns of text, two photographs."""
    rng, image = np.random.default_rng(9), Image.new("RGB", (900, 800), "white")
    draw = ImageDraw.Draw(image)
    draw.text((50, 36), "The morning cup", (20, 20, 20), font(48))
    draw.text((52, 100), words(rng, 11), (110, 110, 110), font(18))
    image.paste(photograph().resize((390, 260), Image.LANCZOS), (460, 150))
    image.paste(
        photograph().crop((40, 120, 290, 360)).resize((390, 374), Image.BICUBIC).crop((0, 40, 390, 300)), (50, 490)
    )
    paragraph(draw, rng, (50, 150, 440, 470), 16)
    draw.text((460, 418), words(rng, 8), (110, 110, 110), font(13))
    paragraph(draw, rng, (460, 450, 850, 760), 16)
    draw.line((50, 136, 850, 136), (200, 30, 40), 3)
    return image


def slide() -> Image.Image:
    """A talk's slide: a title, points, a photograph, all on a gradient."""
    rng, image = np.random.default_rng(10), gradient(1200, 675, (18, 32, 84), (20, 130, 150), 0.4)
    draw = ImageDraw.Draw(image)
    draw.text((60, 44), "Where the beans come from", "white", font(60))
    draw.rectangle((62, 124, 420, 129), (255, 180, 60))
    for number in range(5):
        y = 190 + 78 * number
        with smooth(image) as fine:
            fine.ellipse(scaled(((66, y + 6), (82, y + 22))), (255, 180, 60))
        draw.text((100, y - 4), words(rng, 4), (235, 242, 250), font(30))
    image.paste("white", (634, 184, 1146, 530))
    image.paste(photograph().resize((500, 334), Image.LANCZOS), (640, 190))
    draw.text((640, 542), words(rng, 7), (200, 220, 235), font(18))
    draw.text((1150, 634), "12", (200, 220, 235), font(20))
    return image
