# SPDX-License-Identifier: Apache-2.0
"""Rendered text to measure text recognition and detection on: lines and pages of Chinese, Latin and digits in several
fonts, sizes, contrasts, with noise, blur, slant and uneven light. Every item depends on the seed and its own number alone,
so a shorter set is the beginning of a longer one, and sets of other seeds share nothing (calibration)."""
import os

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

LINE_HEIGHT, LINE_WIDTH = 48, 320
PAGE = 640

TRUETYPE = "/usr/share/fonts/truetype"
CHINESE_FONTS = [("wqy/wqy-microhei.ttc", 0), ("wqy/wqy-zenhei.ttc", 0), ("arphic/uming.ttc", 0), ("arphic/ukai.ttc", 0)]
LATIN_FONTS = [(f"dejavu/DejaVu{name}.ttf", 0) for name in
               ("Sans", "Sans-Bold", "Serif", "Serif-Bold", "SansMono", "SansCondensed")]
LATIN_FONTS += [(f"liberation/Liberation{name}.ttf", 0) for name in
                ("Sans-Regular", "Sans-Bold", "Sans-Italic", "Serif-Regular", "Serif-Bold", "Serif-Italic", "Mono-Regular",
                 "SansNarrow-Regular")]

# The 3755 characters of the first level of GB 2312, which are the common ones: rows 16 to 55.
CHINESE = "".join(bytes([row, cell]).decode("gb2312") for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)
                  if row < 0xD7 or cell < 0xFA)
# Frequent ones, from which most of a text is made.
FREQUENT = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所"
    "民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日"
    "那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想"
    "已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指"
    "几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造百规热领七海口东导器压志世金增争济阶油思术极交受联什认六共权"
    "收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完类八离华名确才科张信马节话米整空元况今集"
    "温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际商非验连断深难近矿千周委素技备半办青省列习响约支"
    "般史感劳便团往酸历市克何除消构府称太准精值号率族维划选标写存候毛亲快效斯院查江型眼王按格养易置派层片始却专状育厂京识适属")
SYLLABLES = ["an", "ber", "con", "der", "en", "for", "ger", "hal", "in", "jo", "ka", "lin", "mar", "nor", "on", "per",
             "qua", "re", "sta", "ti", "un", "ver", "wes", "xi", "yor", "ze", "tra", "ma", "so", "da", "pro", "le"]


def chinese(random):
    sets = [CHINESE if random.random() < 0.3 else FREQUENT for _ in range(random.integers(3, 8))]
    return "".join(characters[random.integers(len(characters))] for characters in sets)


def word(random):
    text = "".join(SYLLABLES[i] for i in random.integers(len(SYLLABLES), size=random.integers(1, 4)))
    return [text, text.capitalize(), text.upper()][random.choice(3, p=[0.5, 0.35, 0.15])]


def latin(random):
    text = word(random)
    while len(text) < 12 and random.random() < 0.6:
        text += " " + word(random)
    return text


def digits(random):
    number = random.integers(10 ** random.integers(2, 8))
    day, month, year = random.integers(1, 29), random.integers(1, 13), random.integers(1950, 2030)
    return [f"{number}", f"{number / 100:.2f}", f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}",
            f"{random.integers(24):02}:{random.integers(60):02}:{random.integers(60):02}",
            f"{random.integers(100, 999)}-{random.integers(1000, 9999)}-{random.integers(1000, 9999)}"][random.integers(6)]


def mixed(random):
    return f"{chinese(random)[:3]}{random.integers(10 ** random.integers(1, 5))}" + (word(random) if random.random() < 0.5 else "")


def text_and_font(random):
    kind = random.choice(4, p=[0.45, 0.25, 0.15, 0.15])
    text = (chinese, latin, digits, mixed)[kind](random)
    fonts = LATIN_FONTS if kind in (1, 2) else CHINESE_FONTS
    return text, fonts[random.integers(len(fonts))]


_fonts = {}


def font_of(name, size):
    key = (*name, size)
    if key not in _fonts:
        _fonts[key] = ImageFont.truetype(os.path.join(TRUETYPE, name[0]), size, index=name[1])
    return _fonts[key]


def colours(random, least, most):
    """Of background and text, which differ by `least` to `most` in brightness."""
    contrast = random.uniform(least, most)
    dark = random.uniform(0, 255 - contrast)
    tint = random.uniform(-12, 12, (2, 3))
    pair = np.array([dark + contrast, dark])[:, None] + tint
    return pair if random.random() < 0.8 else pair[::-1]


def light(random, height, width):
    """Uneven light: a factor for each pixel."""
    slope = random.uniform(-0.15, 0.15, 2)
    return 1 + slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width)[None]


def paint(random, mask, least_contrast, most_contrast, noise):
    """An image from the text's coverage, 0 to 1."""
    background, ink = colours(random, least_contrast, most_contrast)
    image = background + mask[..., None] * (ink - background)
    image = image * light(random, *mask.shape)[..., None]
    return image + random.standard_normal(image.shape) * random.uniform(0, noise)


def to_bytes(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def line(seed, index):
    """48x320x3 bytes, the text at the left and grey after its end; and the text."""
    random = np.random.default_rng([seed, 1, index])
    text, name = text_and_font(random)
    size = int(random.integers(18, 44))
    font = font_of(name, size)
    left, top, right, bottom = font.getbbox(text)
    margin = random.uniform(0.1, 0.3, 4) * size + 0.008 * (right - left)
    width, height = int(right - left + margin[0] + margin[1]), int(bottom - top + margin[2] + margin[3])
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).text((margin[0] - left, margin[2] - top), text, fill=255, font=font)
    mask = mask.rotate(random.uniform(-1, 1), resample=Image.BICUBIC)
    mask = mask.filter(ImageFilter.GaussianBlur(random.uniform(0, 0.035) * size))
    image = Image.fromarray(to_bytes(paint(random, np.asarray(mask) / 255, 55, 200, 17)))
    wide = min(LINE_WIDTH, max(8, round(width * LINE_HEIGHT / height)))
    result = np.full((LINE_HEIGHT, LINE_WIDTH, 3), 127, np.uint8)
    result[:, :wide] = np.asarray(image.resize((wide, LINE_HEIGHT), Image.BILINEAR))
    return result, text


def page(seed, index):
    """640x640x3 bytes, and the corners of each line of text: n x 4 x 2, x before y."""
    random = np.random.default_rng([seed, 2, index])
    mask, boxes = Image.new("L", (PAGE, PAGE)), []
    typical = random.uniform(14, 34)
    y = random.uniform(4, 30)
    while y < PAGE - 16:
        x, tallest = random.uniform(4, 120), 0
        while x < PAGE - 40:
            text, name = text_and_font(random)
            size = int(np.clip(typical * random.uniform(0.75, 1.5), 11, 60))
            left, top, right, bottom = font_of(name, size).getbbox(text)
            if x + right - left > PAGE - 4 or y + bottom - top > PAGE - 4:
                break
            strength = int(random.uniform(120, 255))
            ImageDraw.Draw(mask).text((x - left, y - top), text, fill=strength, font=font_of(name, size))
            boxes.append([x, y, x + right - left, y + bottom - top])
            tallest = max(tallest, bottom - top)
            x += right - left + size * random.uniform(1.2, 6)
        y += tallest + typical * random.uniform(0.25, 1.5)
    angle = random.uniform(-4, 4)
    mask = mask.rotate(angle, resample=Image.BICUBIC).filter(ImageFilter.GaussianBlur(random.uniform(0, 1)))
    image = paint(random, np.asarray(mask) / 255, 45, 220, 20)
    corners = np.array([[[a, b], [c, b], [c, d], [a, d]] for a, b, c, d in boxes], np.float64).reshape(-1, 4, 2)
    turn, centre = np.deg2rad(angle), PAGE / 2
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return to_bytes(image), (corners - centre) @ matrix + centre


def lines(seed, count):
    items = [line(seed, i) for i in range(count)]
    return np.stack([image for image, _ in items]), [text for _, text in items]


def pages(seed, count):
    items = [page(seed, i) for i in range(count)]
    return np.stack([image for image, _ in items]), [boxes for _, boxes in items]
