"""Follows whole training pipelines with Pillow, OpenCV and NumPy, from the same random numbers as this package.

Usage: python pipelines.py   (needs Pillow, NumPy, opencv-python-headless)

pipelines.tsv  pipeline, seed, epoch, sample, height, width, FNV-1a hash of the float32 bytes [H, W, 3]

The generator and the order of draws are those of the package; what is done with the numbers is written after
PaddleClas' definitions.
"""

import math
import os

os.environ.setdefault("OPENCV_IPP", "disabled")

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = 2**64 - 1
FILL = (124, 116, 104)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in bytes(data):
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return f"{value:016x}"


def noise(height, width):
    state = height * 65536 + width
    values = []
    for _ in range(height * width * 3):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        values.append(state >> 56)
    return np.array(values, np.uint8).reshape(height, width, 3)


class Generator:
    """xoshiro256++, its state spread by SplitMix64 from a seed and the FNV-1a hash of a name."""

    def __init__(self, seed, name):
        self.counter = seed
        self.counter = self.split() ^ int(fnv1a(name.encode()), 16)
        self.state = [self.split() for _ in range(4)]
        self.spare = None

    def split(self):
        self.counter = (self.counter + 0x9E3779B97F4A7C15) & MASK
        mixed = self.counter
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return mixed ^ (mixed >> 31)

    def next(self):
        def rotated(word, bits):
            return (word << bits | word >> (64 - bits)) & MASK

        s = self.state
        result = (rotated((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        shifted = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = rotated(s[3], 45)
        return result

    def fraction(self):
        return (self.next() >> 11) * 2.0**-53

    def uniform(self, low, high):
        return low + (high - low) * self.fraction()

    def integer(self, last):
        return ((last + 1) * self.next()) >> 64 if last > 0 else 0

    def coin(self):
        return self.next() >> 63 == 1

    def normal(self):
        if self.spare is not None:
            value, self.spare = self.spare, None
            return np.float32(value)
        while True:
            x = (self.next() >> 11) * 2.0**-52 - 1
            y = (self.next() >> 11) * 2.0**-52 - 1
            square = x * x + y * y
            if 0 < square < 1:
                factor = math.sqrt(-2 * math.log(square) / square)
                self.spare = y * factor
                return np.float32(x * factor)


def crop(image, random, size, logarithmic, backend):
    height, width = image.shape[:2]
    if logarithmic:
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
    else:
        aspect = random.uniform(3 / 4, 4 / 3)
    bound = min(width / height / aspect, height / width * aspect)
    area = width * height * random.uniform(min(0.08, bound), min(1.0, bound))
    columns, rows = int(math.sqrt(area) * math.sqrt(aspect)), int(math.sqrt(area) / math.sqrt(aspect))
    left, top = random.integer(width - columns), random.integer(height - rows)
    part = np.ascontiguousarray(image[top : top + rows, left : left + columns])
    if backend == "cv2":
        return cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.BICUBIC))


def flip(image, random):
    return cv2.flip(image, 1) if random.fraction() < 0.5 else image


def enhance(kind):
    return lambda picture, factor: kind(picture).enhance(factor)


def affine(picture, matrix, kernel):
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, kernel, fillcolor=FILL)


def auto_augment(image, random, magnitude, deviation, increasing, layers, kernel):
    picture = Image.fromarray(image)
    width, height = picture.size
    chosen = [int(random.fraction() * 15) for _ in range(layers)]
    for index in chosen:
        if not random.coin():
            continue
        strength = magnitude + deviation * float(random.normal()) if deviation > 0 else float(magnitude)
        level = min(10.0, max(0.0, strength)) / 10.0

        def either_way(value):
            return -value if random.coin() else value

        def factor():
            return 1.0 + either_way(level * 0.9) if increasing else level * 1.8 + 0.1

        def resample():
            if kernel is not None:
                return kernel
            return Image.Resampling.BILINEAR if random.coin() else Image.Resampling.BICUBIC

        if index == 0:
            picture = ImageOps.autocontrast(picture)
        elif index == 1:
            picture = ImageOps.equalize(picture)
        elif index == 2:
            picture = ImageOps.invert(picture)
        elif index == 3:
            degrees = either_way(level * 30.0)
            picture = picture.rotate(degrees, resample=resample(), fillcolor=FILL)
        elif index == 4:
            bits = 4 - int(level * 4) if increasing else int(level * 4)
            # Versions from 12 on refuse 0 bits; before that it was black.
            picture = ImageOps.posterize(picture, bits) if bits > 0 else picture.point([0] * 768)
        elif index == 5:
            picture = ImageOps.solarize(picture, 256 - int(level * 256) if increasing else int(level * 256))
        elif index == 6:
            number = int(level * 110)
            picture = picture.point([min(255, v + number) if v < 128 else v for v in range(256)] * 3)
        elif index <= 10:
            kinds = (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness, ImageEnhance.Sharpness)
            picture = kinds[index - 7](picture).enhance(factor())
        elif index == 11:
            amount = either_way(level * 0.3)
            picture = affine(picture, (1, amount, 0, 0, 1, 0), resample())
        elif index == 12:
            amount = either_way(level * 0.3)
            picture = affine(picture, (1, 0, 0, amount, 1, 0), resample())
        elif index == 13:
            amount = either_way(level * 0.45) * width
            picture = affine(picture, (1, 0, amount, 0, 1, 0), resample())
        else:
            amount = either_way(level * 0.45) * height
            picture = affine(picture, (1, 0, 0, 0, 1, amount), resample())
    return np.asarray(picture)


def normalize(image):
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    deviation = np.array([0.229, 0.224, 0.225], np.float32)
    return (image.astype("float32") * np.float32(1 / 255) - mean) / deviation


def erase(tensor, random, probability, low, high, ratio, attempts, logarithmic, mode):
    height, width = tensor.shape[:2]
    if not random.fraction() < probability:
        return tensor
    for _ in range(attempts):
        area = random.uniform(low, high) * (height * width)
        if logarithmic:
            aspect = math.exp(random.uniform(math.log(ratio), math.log(1 / ratio)))
        else:
            aspect = random.uniform(ratio, 1 / ratio)
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if columns < width and rows < height:
            top, left = random.integer(height - rows), random.integer(width - columns)
            if mode == "pixel":
                values = [random.normal() for _ in range(rows * columns * 3)]
                values = np.array(values, np.float32).reshape(rows, columns, 3)
            elif mode == "rand":
                values = np.array([random.normal() for _ in range(3)], np.float32)
            else:
                values = np.zeros(3, np.float32)
            tensor[top : top + rows, left : left + columns] = values
            break
    return tensor


def fine_tuning(image, random):
    image = flip(crop(image, random, 48, False, "pil"), random)
    image = auto_augment(image, random, 7, 0.5, True, 2, Image.Resampling.BICUBIC)
    return erase(normalize(image), random, 0.25, 0.02, 1.0 / 3, 0.3, 10, True, "pixel")


def teacher(image, random):
    image = flip(crop(image, random, 48, False, "pil"), random)
    image = auto_augment(image, random, 15, 0.5, True, 2, Image.Resampling.BICUBIC)
    return erase(normalize(image), random, 0.4, 0.02, 1.0 / 3, 0.3, 10, True, "rand")


def other(image, random):
    image = crop(image, random, 40, True, "cv2")
    image = auto_augment(image, random, 5, 1.0, False, 4, None)
    return erase(normalize(image), random, 0.5, 0.02, 0.4, 0.3, 100, False, "const")


def main():
    rows = []
    for name, pipeline in (("fine-tuning", fine_tuning), ("teacher", teacher), ("other", other)):
        for sample in range(120):
            seed, epoch = sample % 3, sample % 7
            height, width = ((60, 80), (90, 64), (33, 33))[sample % 3]
            random = Generator(seed, f"augmentation {epoch} {sample}")
            tensor = pipeline(noise(height, width), random)
            assert tensor.dtype == np.float32
            rows.append([name, seed, epoch, sample, height, width, fnv1a(np.ascontiguousarray(tensor).tobytes())])
    with open(os.path.join(HERE, "pipelines.tsv"), "w") as file:
        for row in rows:
            file.write("\t".join(map(str, row)) + "\n")


main()
