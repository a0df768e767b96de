"""Writes down how the random operators of PaddleClas are distributed, from 200 000 draws by its rules.

Usage: python distributions.py   (needs NumPy)

distributions.tsv  quantity, mean, standard deviation, the nine deciles 10 % … 90 %

The rules are those of PaddleClas 2.5 (`ppcls/data/preprocess`), written anew with NumPy's generator.
"""

import math
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
DRAWS = 200_000
random = np.random.default_rng(7)


def integer(low, high):
    """As random.randint: both ends count."""
    return int(random.integers(low, high + 1))


def crop(height, width, logarithmic):
    if logarithmic:
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
    else:
        aspect = random.uniform(3 / 4, 4 / 3)
    bound = min(width / height / aspect, height / width * aspect)
    area = width * height * random.uniform(min(0.08, bound), min(1.0, bound))
    columns, rows = int(math.sqrt(area) * math.sqrt(aspect)), int(math.sqrt(area) / math.sqrt(aspect))
    return {"width": columns, "height": rows, "left": integer(0, width - columns), "top": integer(0, height - rows)}


def erase(height, width, probability, low, high, ratio, attempts, logarithmic):
    if random.random() > probability:
        return {"erased": 0}
    for _ in range(attempts):
        area = random.uniform(low, high) * height * width
        if logarithmic:
            aspect = math.exp(random.uniform(math.log(ratio), math.log(1 / ratio)))
        else:
            aspect = random.uniform(ratio, 1 / ratio)
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if columns < width and rows < height:
            top, left = integer(0, height - rows), integer(0, width - columns)
            return {"erased": 1, "height": rows, "width": columns, "top": top, "left": left}
    return {"erased": 0}


def magnitude():
    return min(10.0, max(0.0, random.normal(7, 0.5)))


def cutmix(height, width, alpha):
    side = math.sqrt(1 - random.beta(alpha, alpha))
    rows, columns = int(height * side), int(width * side)
    y, x = integer(0, height - 1), integer(0, width - 1)
    top, bottom = max(y - rows // 2, 0), min(y + rows // 2, height)
    left, right = max(x - columns // 2, 0), min(x + columns // 2, width)
    return {"share": 1 - (bottom - top) * (right - left) / (height * width), "top": top, "width": right - left}


def cutout(height, width, length):
    y, x = integer(0, height - 1), integer(0, width - 1)
    # The far corner is drawn as well, unless it lies outside.
    rows = min(y + length // 2, height - 1) - max(y - length // 2, 0) + 1
    columns = min(x + length // 2, width - 1) - max(x - length // 2, 0) + 1
    return {"height": rows, "width": columns}


def main():
    lines = []

    def add(group, draw):
        values = {}
        for _ in range(DRAWS):
            for name, value in draw().items():
                values.setdefault(name, []).append(value)
        for name, numbers in values.items():
            deciles = np.quantile(numbers, np.arange(1, 10) / 10)
            numbers = [np.mean(numbers), np.std(numbers), *deciles]
            lines.append("\t".join([f"{group} {name}"] + [f"{number:.6g}" for number in numbers]))

    add("crop", lambda: crop(375, 500, False))
    add("crop-logarithmic", lambda: crop(32, 32, True))
    add("crop-wide", lambda: crop(100, 900, False))
    add("erase-fine-tuning", lambda: erase(224, 224, 0.25, 0.02, 1 / 3, 0.3, 10, True))
    add("erase-standard", lambda: erase(48, 64, 0.5, 0.02, 0.4, 0.3, 100, False))
    add("magnitude", lambda: {"degrees": magnitude() / 10 * 30, "add": int(magnitude() / 10 * 110)})
    for alpha in (0.2, 0.4, 1.0, 3.0):
        add(f"beta-{alpha}", lambda: {"share": random.beta(alpha, alpha)})
    add("cutmix-1.0", lambda: cutmix(224, 224, 1.0))
    add("cutmix-0.2", lambda: cutmix(48, 64, 0.2))
    add("cutout", lambda: cutout(448, 448, 224))
    with open(os.path.join(HERE, "distributions.tsv"), "w") as file:
        file.write("\n".join(lines) + "\n")


main()
