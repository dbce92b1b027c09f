#!/usr/bin/env python3
"""The protocol that `ocelli dedup` is measured with: 640 images, copies among them, and a score.

    copy_pairs.py make OUT --originals FOLDER --others FOLDER [--seed N] [--changes usual|other|hard]
    ocelli dedup OUT --json > found.json
    copy_pairs.py score OUT found.json

`make` takes 160 originals, makes two copies of each by one or two of the changes below, and adds 160
photographs that are no copies: for the most part of few classes, so that the same class is there
many times. The usual changes are the protocol's; the two other lists are what nothing was tuned with. `score` ranks all pairs of the 640 images by the scores that were given (none: 0). Pairs
of an original and its copy, and of the two copies, are the ones to find. Needs Pillow, numpy."""
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


CHANGES = {
    "usual": [jpeg, crop, rotate, mirror, blur, jitter, caption, pad, rescale, screenshot],
    "other": [grey, noise, posterise, perspective, stickers, upside_down, quarter_turns, pixelate,
              picture_in_picture, sharpen, gamma, negative],
    "hard": [small_crop, any_turn, worst_jpeg, many_stickers, collage, shear, sepia, channels, two_tones,
             solarise, blend, wide],
}


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
