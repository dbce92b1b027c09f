#!/usr/bin/env python3
"""The protocol that `ocelli dedup` is measured with: 640 images, copies among them, and a score.

    copy_pairs.py make OUT --originals FOLDER --others FOLDER [--seed N] [--changes usual|other|hard|further]
    ocelli dedup OUT --json > found.json
    copy_pairs.py score OUT found.json

`make` takes 160 originals, makes two copies of each by one or two of the changes below, and adds 160
photographs that are no copies: for the most part of few classes, so that the same class is there
many times. The usual changes are the protocol's; docs/curation.md says what was tuned with which.
`score` ranks all pairs of the 640 images by the scores that were given (none: 0). Pairs of an original
and its copy, and of the two copies, are the ones to find. Needs Pillow, numpy."""
import argparse
import itertools
import json
import pathlib
import random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps


def jpeg(image, rng):
    return image, {"quality": rng.randint(10, 40)}


def crop(image, rng):
    share = rng.uniform(0.4, 0.8)  # of the area
    aspect = rng.uniform(0.8, 1.25)
    width, height = image.size
    w, h = min(width, int(width * (share * aspect) ** 0.5)), min(height, int(height * (share / aspect) ** 0.5))
    left, top = rng.randint(0, width - w), rng.randint(0, height - h)
    return image.crop((left, top, left + w, top + h)), {}


def rotate(image, rng):
    angle = rng.choice([-1, 1]) * rng.uniform(3, 15)
    return image.rotate(angle, Image.BICUBIC, expand=rng.random() < 0.5, fillcolor=rng.choice(["black", "white"])), {}


def mirror(image, rng):
    return image.transpose(Image.FLIP_LEFT_RIGHT), {}


def blur(image, rng):
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.004, 0.012) * max(image.size))), {}


def jitter(image, rng):
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancer(image).enhance(rng.uniform(0.5, 1.5))
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point(lambda v, d=rng.randint(-24, 24): (v + d) % 256)
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB"), {}


def caption(image, rng):
    image = image.copy()
    draw = ImageDraw.Draw(image)
    words = "every good picture deserves a caption that nobody asked for WHEN YOU SEE IT".split()
    font = ImageFont.truetype("DejaVuSans-Bold.ttf", max(12, int(image.width * rng.uniform(0.06, 0.12))))
    for _ in range(rng.randint(1, 3)):
        text = " ".join(rng.sample(words, 4))
        at = (rng.randint(0, image.width // 4), rng.randint(0, int(image.height * 0.85)))
        draw.text(at, text, fill=rng.choice(["white", "yellow", "red", "black"]), font=font, stroke_width=2,
                  stroke_fill="black")
    return image, {}


def pad(image, rng):
    width, height = image.size
    border = [int(rng.uniform(0, 0.25) * side) for side in (width, height, width, height)]
    canvas = Image.new("RGB", (width + border[0] + border[2], height + border[1] + border[3]),
                       rng.choice(["white", "black", "#446", "#c93"]))
    canvas.paste(image, (border[0], border[1]))
    return canvas, {}


def rescale(image, rng):
    width, height = image.size
    scale, squeeze = rng.uniform(0.3, 0.7), rng.uniform(0.85, 1.18)
    return image.resize((max(32, int(width * scale * squeeze)), max(32, int(height * scale))), Image.BICUBIC), {}


def screenshot(image, rng):
    width = max(400, image.width)
    image = image.resize((width, image.height * width // image.width))
    top, bottom = rng.randint(60, 160), rng.randint(60, 200)
    canvas = Image.new("RGB", (width, image.height + top + bottom), rng.choice(["white", "#15202b"]))
    canvas.paste(image, (0, top))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.truetype("DejaVuSans.ttf", 22)
    draw.rectangle((0, 0, width, 32), fill="#333")
    draw.text((12, 3), "12:%02d" % rng.randint(0, 59), fill="white", font=font)
    draw.ellipse((12, 40, 52, min(80, top)), fill="#888")
    draw.text((64, 42), "someone posted", fill="#777", font=font)
    draw.text((12, top + image.height + 12), "%d likes" % rng.randint(2, 900), fill="#777", font=font)
    return canvas, {}


def grey(image, rng):
    return ImageOps.grayscale(image).convert("RGB"), {}


def noise(image, rng):
    pixels = np.asarray(image).astype(float)
    pixels += np.random.default_rng(rng.randrange(2**32)).normal(0, 25, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), {}


def posterise(image, rng):
    return ImageOps.posterize(image, 2), {}


def perspective(image, rng):
    width, height = image.size
    x, y = ([rng.uniform(0, 0.1) * side for _ in range(4)] for side in (width, height))
    corners = (x[0], y[0], x[1], height - y[1], width - x[2], height - y[2], width - x[3], y[3])
    return image.transform(image.size, Image.QUAD, corners, Image.BICUBIC), {}


def stickers(image, rng, count=4, smallest=0.1, largest=0.25):
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        x, y = rng.uniform(0, image.width), rng.uniform(0, image.height)
        radius = rng.uniform(smallest, largest) * image.width / 2
        colour = tuple(rng.randint(0, 255) for _ in range(3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return image, {}


def upside_down(image, rng):
    return image.transpose(Image.FLIP_TOP_BOTTOM), {}


def quarter_turns(image, rng):
    return image.transpose(rng.choice([Image.ROTATE_90, Image.ROTATE_180, Image.ROTATE_270])), {}


def pixelate(image, rng):
    width, height = image.size
    return image.resize((48, max(1, 48 * height // width))).resize((width, height), Image.NEAREST), {}


def picture_in_picture(image, rng):
    pixels = np.random.default_rng(rng.randrange(2**32)).normal(128, 60, (500, 600))
    ground = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB").filter(ImageFilter.GaussianBlur(6))
    small = image.copy()
    small.thumbnail((330, 330))
    ground.paste(small, (rng.randint(20, 250), rng.randint(10, 150)))
    return ground, {}


def sharpen(image, rng):
    return image.filter(ImageFilter.UnsharpMask(4, 250)), {}


def gamma(image, rng):
    power = rng.choice([0.4, 2.4])
    return image.point(lambda v: int(255 * (v / 255) ** power)), {}


def negative(image, rng):
    return ImageOps.invert(image), {}


def small_crop(image, rng):
    width, height = image.size
    side = rng.uniform(0.45, 0.6)
    w, h = int(width * side), int(height * side)
    left, top = rng.randint(0, width - w), rng.randint(0, height - h)
    return image.crop((left, top, left + w, top + h)), {}


def any_turn(image, rng):
    return image.rotate(rng.choice([-1, 1]) * rng.uniform(20, 160), Image.BICUBIC, expand=True), {}


def worst_jpeg(image, rng):
    return image, {"quality": rng.randint(3, 8)}


def many_stickers(image, rng):
    return stickers(image, rng, 10, 0.15, 0.35)


def collage(image, rng):
    """One of four pictures; the others are stripes."""
    tile = ImageOps.fit(image, (300, 300))
    canvas = Image.new("RGB", (600, 600))
    for i in range(4):
        stripes = np.zeros((300, 300, 3), np.uint8)
        stripes[:, :: rng.randint(2, 9)] = [rng.randint(0, 255) for _ in range(3)]
        canvas.paste(Image.fromarray(stripes), (300 * (i % 2), 300 * (i // 2)))
    canvas.paste(tile, (300 * rng.randint(0, 1), 300 * rng.randint(0, 1)))
    return canvas, {}


def shear(image, rng):
    amount = rng.choice([-1, 1]) * rng.uniform(0.15, 0.35)
    matrix = (1, amount, -amount * image.height / 2, 0, 1, 0)
    return image.transform(image.size, Image.AFFINE, matrix, Image.BICUBIC), {}


def sepia(image, rng):
    return ImageOps.colorize(ImageOps.grayscale(image), "#2b1a0a", "#f5e6c8", "#a07850"), {}


def channels(image, rng):
    order = rng.choice([(1, 2, 0), (2, 0, 1), (2, 1, 0)])
    return Image.merge("RGB", [image.split()[i] for i in order]), {}


def two_tones(image, rng):
    return ImageOps.grayscale(image).convert("1").convert("RGB"), {}


def solarise(image, rng):
    return ImageOps.solarize(image, 128), {}


def blend(image, rng):
    """Under a pattern of waves."""
    y, x = np.mgrid[: image.height, : image.width] / 40.0
    waves = 127.5 + 127.5 * np.sin(x * rng.uniform(0.5, 2) + y * rng.uniform(0.5, 2))
    waves = Image.fromarray(waves.astype(np.uint8)).convert("RGB")
    return Image.blend(image, waves, 0.4), {}


def wide(image, rng):
    factor = rng.choice([0.6, 1.6])
    return image.resize((max(32, int(image.width * factor)), image.height), Image.BICUBIC), {}


def strong_perspective(image, rng):
    width, height = image.size
    x, y = ([rng.uniform(0.08, 0.25) * side for _ in range(2)] for side in (width, height))
    if rng.random() < 0.5:  # seen from the side
        corners = [(x[0], y[0]), (x[0], height - y[0]), (width, height), (width, 0)]
    else:  # from below
        corners = [(x[0], y[0]), (0, height), (width, height), (width - x[1], y[0])]
    square = [(0, 0), (0, height), (width, height), (width, 0)]
    rows, right = [], []
    for (u, v), (a, b) in zip(square, corners):
        rows += [[a, b, 1, 0, 0, 0, -u * a, -u * b], [0, 0, 0, a, b, 1, -v * a, -v * b]]
        right += [u, v]
    return image.transform(image.size, Image.PERSPECTIVE, np.linalg.solve(rows, right), Image.BICUBIC,
                           fillcolor=rng.choice(["black", "white"])), {}


def faces(image, rng):
    """Emoji as messengers paste them: up to half of the width."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(1, 4)):
        r = rng.uniform(0.08, 0.24) * min(image.size)
        x, y = rng.uniform(r, image.width - r), rng.uniform(r, image.height - r)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=rng.choice(["#fc3", "#f66", "#6cf"]), outline="#630", width=3)
        for eye in (-0.35, 0.35):
            draw.ellipse((x + (eye - 0.1) * r, y - 0.4 * r, x + (eye + 0.1) * r, y - 0.1 * r), fill="#420")
        draw.arc((x - 0.5 * r, y - 0.3 * r, x + 0.5 * r, y + 0.6 * r), 20, 160, fill="#420", width=max(2, int(r / 8)))
    return image, {}


def album(image, rng):
    """One of two or four photographs on a page; the others are in no other picture of the set."""
    count = rng.choice([2, 4])
    pictures = [ImageOps.fit(Image.open(p).convert("RGB"), (320, 320)) for p in rng.sample(SPARE, count - 1)]
    pictures.insert(rng.randrange(count), ImageOps.fit(image, (320, 320)))
    page = Image.new("RGB", (660, 330 * (count // 2)), rng.choice(["white", "black"]))
    for i, picture in enumerate(pictures):
        page.paste(picture, (5 + 330 * (i % 2), 5 + 330 * (i // 2)))
    return page, {}


def hue(image, rng):
    h, s, v = image.convert("HSV").split()
    turn = rng.randint(40, 216)
    return Image.merge("HSV", (h.point(lambda x: (x + turn) % 256), s, v)).convert("RGB"), {}


def heavy_noise(image, rng):
    pixels = np.asarray(image).astype(float)
    pixels += np.random.default_rng(rng.randrange(2**32)).normal(0, 70, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), {}


def vignette(image, rng):
    y, x = np.mgrid[: image.height, : image.width]
    y, x = 2 * y / image.height - 1, 2 * x / image.width - 1
    light = np.clip(1 - rng.uniform(0.5, 0.7) * (x * x + y * y), 0, 1)[:, :, None]
    return Image.fromarray((np.asarray(image) * light).astype(np.uint8)), {}


def tiny(image, rng):
    image = image.copy()
    image.thumbnail((64, 64))
    return image, {}


def watermark(image, rng):
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    font = ImageFont.truetype("DejaVuSans-Bold.ttf", max(14, image.width // 14))
    for y in range(0, image.height, image.height // 6 + 1):
        for x in range(-(y % 3) * 40, image.width, image.width // 3 + 1):
            draw.text((x, y), "© example", fill=(255, 255, 255, 130), font=font)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB"), {}


def bars(image, rng):
    """Strips are missing: cut out, or painted over."""
    pixels = np.asarray(image).copy()
    axis, count = rng.choice([0, 1]), rng.randint(3, 6)
    side = pixels.shape[axis] // count
    gone = np.concatenate([np.arange(i * side, i * side + int(side * rng.uniform(0.2, 0.4))) for i in range(count)])
    if rng.random() < 0.5:
        return Image.fromarray(np.delete(pixels, gone, axis)), {}
    pixels.swapaxes(0, axis)[gone] = rng.randint(0, 255)
    return Image.fromarray(pixels), {}


def all_at_once(image, rng):
    for apply in (mirror, crop, jitter):
        image, _ = apply(image, rng)
    return image, {"quality": rng.randint(15, 40)}


def half_covered(image, rng):
    image = image.copy()
    width, height = image.size
    box = rng.choice([(0, 0, width // 2, height), (width // 2, 0, width, height), (0, 0, width, height // 2),
                      (0, height // 2, width, height)])
    image.paste(rng.choice(["black", "white", "#37a"]), box)
    return image, {}


def solarise_light(image, rng):
    return ImageOps.solarize(image, rng.randint(150, 200)), {}


def equalise(image, rng):
    return ImageOps.equalize(image), {}


def painting(image, rng):
    return image.filter(ImageFilter.ModeFilter(9)), {}


def barrel(image, rng):
    """As a wide lens draws it."""
    amount, (width, height) = rng.uniform(0.2, 0.45), image.size
    y, x = np.mgrid[:height, :width]
    u, v = 2 * x / width - 1, 2 * y / height - 1
    scale = 1 - amount + amount * (u * u + v * v)
    x, y = ((u * scale + 1) * width / 2).clip(0, width - 1), ((v * scale + 1) * height / 2).clip(0, height - 1)
    return Image.fromarray(np.asarray(image)[y.astype(int), x.astype(int)]), {}


def fog(image, rng):
    haze = Image.new("RGB", image.size, rng.choice(["white", "black", "#a63"]))
    return Image.blend(image, haze, rng.uniform(0.5, 0.75)), {}


def screen_photo(image, rng):
    """A photograph of a screen: its lines, a tilt, its glow."""
    pixels = np.asarray(image).astype(float)
    pixels[:: rng.randint(2, 4)] *= 0.6
    image, _ = perspective(Image.fromarray(pixels.astype(np.uint8)), rng)
    return image.filter(ImageFilter.GaussianBlur(1)), {"quality": 50}


def spots(image, rng):
    """Salt and pepper."""
    pixels = np.asarray(image).copy()
    chance = np.random.default_rng(rng.randrange(2**32)).random(pixels.shape[:2])
    pixels[chance < 0.1], pixels[chance > 0.9] = 0, 255
    return Image.fromarray(pixels), {}


def meme(image, rng):
    width, height = image.size
    bar = int(height * rng.uniform(0.15, 0.3))
    canvas = Image.new("RGB", (width, height + 2 * bar), rng.choice(["white", "black"]))
    canvas.paste(image, (0, bar))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.truetype("DejaVuSans-Bold.ttf", max(12, bar // 3))
    for y, text in ((bar // 4, "WHEN YOU SEE IT"), (height + bar + bar // 4, "AND CANNOT UNSEE IT")):
        draw.text((width // 20, y), text, fill="red", font=font)
    return canvas, {}


def emboss(image, rng):
    return image.filter(ImageFilter.EMBOSS), {}


CHANGES = {
    "usual": [jpeg, crop, rotate, mirror, blur, jitter, caption, pad, rescale, screenshot],
    "other": [grey, noise, posterise, perspective, stickers, upside_down, quarter_turns, pixelate,
              picture_in_picture, sharpen, gamma, negative],
    "hard": [small_crop, any_turn, worst_jpeg, many_stickers, collage, shear, sepia, channels, two_tones,
             solarise, blend, wide],
    "further": [strong_perspective, faces, album, hue, heavy_noise, vignette, tiny, watermark, bars, all_at_once,
                half_covered, solarise_light, equalise, painting, barrel, fog, screen_photo, spots, meme, emboss],
}
SPARE = []  # photographs for albums


def change(image, changes, rng):
    options = {"quality": 88}
    for apply in changes:
        image, more = apply(image, rng)
        options.update(more)
    return image, options


def make(arguments):
    rng = random.Random(arguments.seed)
    known = CHANGES[arguments.changes]
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True)
    originals = sorted(p for p in pathlib.Path(arguments.originals).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    rng.shuffle(originals)
    others = sorted(p for p in pathlib.Path(arguments.others).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    rng.shuffle(others)
    SPARE[:] = others[120:]
    truth = {}
    deck = []
    for n, path in enumerate(originals[:160]):
        image = Image.open(path).convert("RGB")
        image.thumbnail((800, 800))
        name = f"{n:03d}"
        names = [f"{rng.randrange(16**8):08x}.jpg"]
        image.save(out / names[0], quality=95)
        truth[names[0]] = {"photo": name, "changes": []}
        for _ in range(2):
            if len(deck) < 2:
                deck += rng.sample(known, len(known))
            changes = [deck.pop() for _ in range(rng.choice([1, 1, 2]))]
            copy, options = change(image, changes, rng)
            file = f"{rng.randrange(16**8):08x}.jpg"
            copy.save(out / file, **options)
            truth[file] = {"photo": name, "changes": [c.__name__ for c in changes]}
    spare = originals[160:200]
    for n, path in enumerate(others[:120] + spare):
        image = Image.open(path).convert("RGB")
        image.thumbnail((800, 800))
        file = f"{rng.randrange(16**8):08x}.jpg"
        image.save(out / file, quality=90)
        truth[file] = {"photo": f"other{n:03d}", "changes": []}
    (out / "truth.json").write_text(json.dumps(truth, indent=1))
    print(f"{len(truth)} images in {out}")


def score(arguments):
    truth = json.loads((pathlib.Path(arguments.out) / "truth.json").read_text())
    found = {}
    for pair in json.loads(pathlib.Path(arguments.found).read_text())["pairs"]:
        ends = frozenset(pathlib.Path(pair[end]).name for end in "ab")
        found[ends] = (pair["score"], pair["why"])
    scores, labels, pairs = [], [], []
    for a, b in itertools.combinations(sorted(truth), 2):
        scores.append(found.get(frozenset((a, b)), (0, ""))[0])
        labels.append(truth[a]["photo"] == truth[b]["photo"])
        pairs.append((a, b))
    scores, labels = np.array(scores), np.array(labels)
    order = np.argsort(-scores, kind="stable")
    # Pairs of one score come together, as in sklearn.metrics.average_precision_score.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    right = np.cumsum(labels[order])[ends]
    precision, recall = right / (ends + 1), right / labels.sum()
    ap = float(np.sum(np.diff(np.append(0, recall)) * precision))
    good = recall[precision >= 0.99]
    print(f"pairs {len(labels)}, copies {labels.sum()}, scored {len(found)}")
    print(f"average precision {ap:.4f}, recall at 99 % precision {good.max() if len(good) else 0:.4f}")
    kept = scores >= 0.9
    print(f"at 0.9: precision {labels[kept].mean():.4f}, recall {labels[kept].sum() / labels.sum():.4f}")
    if arguments.verbose:
        for i in order:
            if labels[i] != (scores[i] >= 0.9):
                a, b = pairs[i]
                ends = [f"{n} {'+'.join(truth[n]['changes']) or 'as it is'}" for n in (a, b)]
                print(f"{'missed' if labels[i] else 'wrong'} {scores[i]:.3f} {ends[0]} / {ends[1]}: "
                      f"{found.get(frozenset((a, b)), (0, 'not looked at'))[1]}")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
commands = parser.add_subparsers(required=True)
command = commands.add_parser("make")
command.add_argument("out")
command.add_argument("--originals", required=True)
command.add_argument("--others", required=True)
command.add_argument("--seed", type=int, default=0)
command.add_argument("--changes", choices=sorted(CHANGES), default="usual")
command.set_defaults(run=make)
command = commands.add_parser("score")
command.add_argument("out")
command.add_argument("found")
command.add_argument("--verbose", action="store_true", help="name what is wrong at a score of 0.9")
command.set_defaults(run=score)
arguments = parser.parse_args()
arguments.run(arguments)
