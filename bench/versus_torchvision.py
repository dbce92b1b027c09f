"""The processor's time, on one thread, that torchvision takes for an image of bench/loader's recipes: opened by
Pillow, augmented, normalised. usage: versus_torchvision.py FOLDER [crop|rand|dino [SIZE [IMAGES]]]"""
import json
import pathlib
import sys
import time

import torch
import torchvision.transforms.v2 as T
from PIL import Image

folder, recipe, size, count = (sys.argv[1:] + ["crop", "224", "600"][len(sys.argv) - 2:])[:4]
size, count = int(size), int(count)
torch.set_num_threads(1)


def view(edge, *extra, **crop):
    return T.Compose([T.RandomResizedCrop(edge, **crop), T.RandomHorizontalFlip(), *extra, T.ToImage(),
                      T.ToDtype(torch.float32, scale=True), T.Normalize([0.5] * 3, [0.5] * 3)])


def dino(edge, scale, blur, solarize):
    return view(edge, T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8), T.RandomGrayscale(0.2),
                T.RandomApply([T.GaussianBlur(9)], p=blur), T.RandomSolarize(128, p=solarize),
                scale=scale, interpolation=T.InterpolationMode.BICUBIC)


views = {
    "crop": lambda: [view(size)],
    "rand": lambda: [view(size, T.RandAugment())],
    "dino": lambda: [dino(size, (0.32, 1), 1.0, 0.0), dino(size, (0.32, 1), 0.1, 0.2)]
    + [dino(size * 3 // 7 // 2 * 2, (0.05, 0.32), 0.5, 0.0)] * 8,
}[recipe]()
files = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix in (".jpg", ".png"))[:count]
for first in (True, False):  # once to warm up
    start = time.process_time()
    for path in files[:50] if first else files:
        image = Image.open(path).convert("RGB")
        for transform in views:
            transform(image)
taken = (time.process_time() - start) * 1e3 / len(files)
print(json.dumps({"recipe": recipe, "size": size, "processor_ms_per_image": round(taken, 3)}))
