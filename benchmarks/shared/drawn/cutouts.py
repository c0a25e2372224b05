"""Cut-outs, drawings and icons with alpha: hard edges, soft ones and noisy ones."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from shared.drawn.tools import font, gradient, noise, paragraph, photograph, scaled, smooth, star, words


def _eight_bit(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8))


def _cleared(image: Image.Image) -> Image.Image:
    """Black where nothing is seen, as most programs leave it."""
    pixels = np.array(image)
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels)


def _cup() -> Image.Image:
    """A mask of the cup and its saucer."""
    mask = Image.new("L", (600, 400))
    with smooth(mask) as draw:
        draw.ellipse(scaled(((77, 72), (479, 387))), 255)
        draw.ellipse(scaled(((172, 19), (408, 208))), 255)
        draw.polygon(scaled(((398, 80), (402, 66), (424, 68), (418, 125))), 255)
    return mask


def silhouette() -> Image.Image:
    """A tree of one colour: all that is drawn is alpha."""
    rng, alpha = np.random.default_rng(21), Image.new("L", (600, 450))

    def branch(x: float, y: float, angle: float, length: float, thick: float) -> None:
        end = x + length * np.cos(angle), y + length * np.sin(angle)
        draw.line(scaled(((x, y), end)), 255, max(2, round(4 * thick)))
        if length > 7:
            for turn in rng.normal((-0.42, 0.4, 0.05), 0.16)[: 2 + (length > 30)]:
                branch(*end, angle + turn, length * rng.uniform(0.68, 0.84), thick * 0.68)

    with smooth(alpha) as draw:
        draw.ellipse(scaled(((60, 410), (540, 500))), 255)
        branch(300, 420, -np.pi / 2, 92, 20)
    image = Image.new("RGBA", alpha.size, (28, 24, 38, 0))
    image.putalpha(alpha)
    return image


def soft_matte() -> Image.Image:
    """The cup with an edge like that of hair; the photograph goes on under what is not seen."""
    rng, image = np.random.default_rng(22), photograph().convert("RGBA")
    edge = np.asarray(_cup().filter(ImageFilter.GaussianBlur(9)), np.float32)
    strands = 45 * noise(rng, 600, 400, 4, 2) + 30 * noise(rng, 600, 400, 1)
    image.putalpha(_eight_bit((edge - 127) * 1.8 + 127 + strands * (1 - abs(edge / 127.5 - 1))))
    return image


def hard_mask() -> Image.Image:
    """The cup, each pixel there or not."""
    image = photograph().convert("RGBA")
    image.putalpha(_cup().point(lambda value: 255 * (value > 127)))
    return _cleared(image)


def drop_shadow() -> Image.Image:
    """The cup with a smooth edge, and the shadow that it throws."""
    cup = _cup().filter(ImageFilter.GaussianBlur(0.8))
    shadow = (
        ImageChops.offset(cup, 14, 12).filter(ImageFilter.GaussianBlur(12)).point(lambda value: round(0.55 * value))
    )
    below = Image.new("RGBA", cup.size)
    below.putalpha(shadow)
    above = photograph().convert("RGBA")
    above.putalpha(cup)
    return Image.alpha_composite(below, above)


def smoke() -> Image.Image:
    """Smoke over a glow: soft, with clouds of all sizes and grain."""
    rng = np.random.default_rng(25)
    rows, columns = np.mgrid[-1:1:450j, -1:1:600j]
    clouds = noise(rng, 600, 450, 128, 64, 32, 16, 8, 4)
    thick = np.exp(-((2.4 * columns + 0.5 * clouds) ** 2) - 1.2 * (rows - 0.1) ** 4) * (0.62 + 0.28 * clouds)
    thick = np.minimum(thick, 1) * np.clip(4 * (1 - rows**2), 0, 1) * np.clip(4 * (1 - columns**2), 0, 1)
    glow = np.exp(-((rows - 0.45) ** 2 * 12 + columns**2 * 7))
    warm = np.stack([235 + 0 * glow, 225 - 80 * glow, 220 - 170 * glow], 2) - 12 * clouds[..., None]
    alpha = 235 * np.maximum(thick, glow) + rng.normal(0, 1.5, thick.shape) - 3
    image = _eight_bit(warm)
    image.putalpha(_eight_bit(alpha))
    return _cleared(image)


def app_icon() -> Image.Image:
    """A rounded square with a sign on it, smooth at its edges."""
    mask, image = Image.new("L", (512, 512)), gradient(512, 512, (250, 120, 90), (190, 30, 110), 0.3)
    with smooth(mask) as draw:
        draw.rounded_rectangle(scaled(((24, 24), (487, 487))), 440, 255)
    with smooth(image) as draw:
        draw.ellipse((4 * 96, 4 * 96, 4 * 416, 4 * 416), "white")
        draw.polygon(scaled(star(5, 140, 58), 4, 256, 262), (250, 190, 60), (200, 90, 30), 24)
    image.putalpha(mask)
    return _cleared(image)


def sticker() -> Image.Image:
    """A cat's head in flat colours with ink lines and a white rim."""
    image = Image.new("RGBA", (600, 500))
    with smooth(image) as draw:
        for colour, grow in (((255, 255, 255, 255), 22), ((40, 26, 30, 255), 8), ((245, 160, 70, 255), 0)):
            for side in (-1, 1):
                ear = ((side * 165 - side * 20, -40), (side * 150, -190), (side * 40, -110))
                draw.polygon(scaled(ear, 4, 300, 270), colour)
                draw.line(scaled((*ear, ear[0]), 4, 300, 270), colour, 8 * grow + 1, "curve")
            draw.ellipse((4 * (120 - grow), 4 * (120 - grow), 4 * (480 + grow), 4 * (440 + grow)), colour)
        ink = (40, 26, 30, 255)
        for side in (-1, 1):
            draw.ellipse(
                scaled(((side * 75 - 30, -50), (side * 75 + 30, 20)), 4, 300, 270), (120, 200, 90, 255), ink, 16
            )
            draw.ellipse(scaled(((side * 75 - 10, -42), (side * 75 + 10, 12)), 4, 300, 270), ink)
            draw.ellipse(scaled(((side * 75 - 2, -36), (side * 75 + 10, -22)), 4, 300, 270), (255, 255, 255, 255))
            draw.arc(scaled(((min(0, side * 50), 40), (max(0, side * 50), 90)), 4, 300, 270), 10, 170, ink, 20)
            for tilt in (-16, 0, 16):
                draw.line(scaled(((side * 100, 60 + tilt / 2), (side * 175, 52 + 1.6 * tilt)), 4, 300, 270), ink, 10)
            draw.polygon(
                scaled(((side * 20, -155), (side * 52, -150), (side * 24, -95)), 4, 300, 270), (200, 110, 40, 255)
            )
        draw.polygon(scaled(((-18, 36), (18, 36), (0, 58)), 4, 300, 270), (230, 100, 110, 255), ink, 12)
    return image


def lettering() -> Image.Image:
    """Words that fade away, with nothing around them."""
    alpha = Image.new("L", (640, 450))
    draw = ImageDraw.Draw(alpha)
    draw.text((320, 130), "COFFEE", 255, font(150), anchor="mm")
    draw.text((320, 250), "freshly ground, every day", 210, font(44), anchor="mm")
    paragraph(draw, np.random.default_rng(28), (60, 300, 590, 430), 20, 160)
    fade = gradient(640, 450, (255, 255, 255), (90, 90, 90), 0.8).getchannel(0)
    image = gradient(640, 450, (90, 50, 20), (220, 130, 40))
    image.putalpha(ImageChops.multiply(alpha, fade))
    return _cleared(image)


def overlay() -> Image.Image:
    """A window of dark glass for what lies below: letters and knobs on it are opaque."""
    rng, image = np.random.default_rng(29), Image.new("RGBA", (640, 450))
    with smooth(image) as draw:
        draw.rounded_rectangle((120, 120, 2440, 1680), 72, (20, 22, 30, 190), (255, 255, 255, 70), 5)
        draw.rounded_rectangle((120, 120, 2440, 300), 72, (60, 64, 80, 225), corners=(True, True, False, False))
        for number in range(4):
            y, share = 480 + 200 * number, rng.uniform(0.2, 0.9)
            draw.rounded_rectangle((900, y, 2240, y + 24), 12, (110, 114, 128, 210))
            draw.rounded_rectangle((900, y, 900 + 1340 * share, y + 24), 12, (80, 160, 255, 255))
            x = 900 + 1340 * share
            draw.ellipse((x - 36, y - 24, x + 36, y + 48), (255, 255, 255, 255))
        for left, colour in ((1500, (90, 94, 110, 215)), (1900, (80, 160, 255, 235))):
            draw.rounded_rectangle((left, 1400, left + 340, 1550), 40, colour)
    draw, white = ImageDraw.Draw(image), (255, 255, 255, 255)
    draw.text((320, 41), "Sound", white, font(20), anchor="ma")
    for number in range(4):
        draw.text((60, 112 + 50 * number), words(rng, 1), white, font(19))
    for x, name in ((417, "Cancel"), (517, "Apply")):
        draw.text((x, 368), name, white, font(19), anchor="mm")
    return image


def shaded() -> Image.Image:
    """A ball and a cone in the light of one lamp, with the soft shadow that they throw."""
    rows, columns = np.mgrid[:450, :600].astype(np.float32)
    x, y = (columns - 220) / 130, (rows - 220) / 130
    square = x**2 + y**2
    z = np.sqrt(np.maximum(0, 1 - square))
    light = np.clip((-0.5 * x - 0.6 * y + 0.62 * z), 0, 1)
    ball = np.array([200, 60, 70]) * (0.25 + 0.75 * light)[..., None] + 230 * (light**24)[..., None]
    ball_there = np.clip((1 - np.sqrt(square)) * 130 + 0.5, 0, 1)
    wide = np.maximum(0.5, (rows - 110) * 0.36)
    across = (columns - 430) / wide
    cone = np.array([60, 120, 200]) * (0.35 + 0.65 * np.clip(0.8 - 0.7 * (across + 0.35) ** 2, 0, 1))[..., None]
    bottom = 340 + 16 * np.sqrt(np.maximum(0, 1 - across**2))
    cone_there = np.clip((1 - abs(across)) * wide + 0.5, 0, 1) * np.clip(bottom - rows, 0, 1) * (rows > 110)
    shadow = 0.5 * np.exp(-((((columns - 360) / 190) ** 2 + ((rows - 358) / 30) ** 2) ** 2))
    image = Image.new("RGBA", (600, 450))
    for colours, there in ((np.zeros_like(ball), shadow), (cone, cone_there), (ball, ball_there)):
        layer = _eight_bit(colours)
        layer.putalpha(_eight_bit(255 * there))
        image = Image.alpha_composite(image, layer)
    return _cleared(image)
