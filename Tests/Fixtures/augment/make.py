"""Writes down what Pillow's operations do to pictures of pseudo-random bytes.

Usage: python make.py   (needs Pillow, NumPy, opencv-python-headless)

operations.tsv  operation, argument, interpolation, fill, kind of picture, height, width, FNV-1a hash of the RGB bytes
"""

import os

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
KERNELS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SIZES = [(1, 1), (2, 3), (5, 2), (17, 23), (40, 31), (64, 64)]
# The colours that the policies bring in.
MEAN, GREY = (124, 116, 104), (128, 128, 128)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in bytes(data):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def noise(height, width, kind):
    """The upper bytes of a linear congruential generator; "dim" uses half of the range, "flat" three values."""
    state = height * 65536 + width
    values = []
    for _ in range(height * width * 3):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append(state >> 56)
    image = np.array(values, np.uint8).reshape(height, width, 3)
    if kind == "dim":
        image = image // 2 + np.array([20, 40, 60], np.uint8)
    if kind == "flat":
        image = image // 128 * 90 + np.array([7, 11, 13], np.uint8)
        image[:, :, 2] = 50
    return image


def solarize_add(picture, number):
    table = [min(255, value + number) if value < 128 else value for value in range(256)]
    return picture.point(table * 3)


def posterize(picture, bits):
    # Versions from 12 on refuse 0 bits; before that it was this.
    return ImageOps.posterize(picture, bits) if bits > 0 else picture.point([0] * 768)


def affine(*matrix):
    def apply(picture, argument, kernel, fill):
        numbers = [argument if entry is None else entry for entry in matrix]
        return picture.transform(picture.size, Image.Transform.AFFINE, numbers, kernel, fillcolor=fill)

    return apply


def filled_rotation(picture, degrees):
    """Rotation with a grey background by way of transparency, as PaddleClas does it."""
    turned = picture.convert("RGBA").rotate(degrees)
    return Image.composite(turned, Image.new("RGBA", turned.size, (128,) * 4), turned).convert("RGB")


COLORS = {
    "autoContrast": ([0], lambda picture, _: ImageOps.autocontrast(picture)),
    "equalize": ([0], lambda picture, _: ImageOps.equalize(picture)),
    "invert": ([0], lambda picture, _: ImageOps.invert(picture)),
    "posterize": ([0, 1, 2, 4, 7, 8], posterize),
    "solarize": ([0, 28.4, 77, 128, 255, 256], ImageOps.solarize),
    "solarizeAdd": ([0, 33, 77, 110], solarize_add),
    "color": ([0.1, 0.37, 1.0, 1.63, 1.9], lambda picture, factor: ImageEnhance.Color(picture).enhance(factor)),
    "contrast": ([0.1, 0.37, 1.0, 1.63, 1.9], lambda picture, factor: ImageEnhance.Contrast(picture).enhance(factor)),
    "brightness": ([0.1, 0.37, 1.0, 1.63, 1.9], lambda picture, factor: ImageEnhance.Brightness(picture).enhance(factor)),
    "sharpness": ([0.1, 0.37, 1.0, 1.63, 1.9], lambda picture, factor: ImageEnhance.Sharpness(picture).enhance(factor)),
}
GEOMETRY = {
    "rotate": (
        [0.0, 21.3, -7.9, 30.0, -30.0, 90.0, 180.0, 270.0, 123.4],
        lambda picture, degrees, kernel, fill: picture.rotate(degrees, kernel, fillcolor=fill),
    ),
    "shearX": ([0.0, 0.21, -0.3, 1e-9], affine(1, None, 0, 0, 1, 0)),
    "shearY": ([0.0, 0.21, -0.3, -1e-9], affine(1, 0, 0, None, 1, 0)),
    "translateX": ([0.0, 4.725, -13.95, 3.0, -0.5], affine(1, 0, None, 0, 1, 0)),
    "translateY": ([0.0, 4.725, -13.95, 3.0, -0.5], affine(1, 0, 0, 0, 1, None)),
}


def main():
    rows = []
    for height, width in SIZES:
        for kind in ("noise", "dim", "flat"):
            image = noise(height, width, kind)
            picture = Image.fromarray(image)

            def add(name, argument, interpolation, fill, result):
                colour = ",".join(map(str, fill))
                rows.append([name, repr(float(argument)), interpolation, colour, kind, height, width, fnv1a(result.tobytes())])

            for name, (arguments, operation) in COLORS.items():
                for argument in arguments:
                    add(name, argument, "nearest", GREY, operation(picture, argument))
            if kind != "noise":
                continue
            for name, (arguments, operation) in GEOMETRY.items():
                for argument in arguments:
                    for interpolation, kernel in KERNELS.items():
                        fill = GREY if interpolation == "nearest" else MEAN
                        add(name, argument, interpolation, fill, operation(picture, argument, kernel, fill))
            for degrees in (10 / 3, 20.0, 30.0):
                add("rotate", degrees, "nearest", GREY, filled_rotation(picture, degrees))
            for code in (1, 0, -1):
                add("flip", code, "nearest", GREY, Image.fromarray(cv2.flip(image, code)))
    with open(os.path.join(HERE, "operations.tsv"), "w") as file:
        for row in rows:
            file.write("\t".join(map(str, row)) + "\n")
    print(len(rows), "rows with Pillow", Image.__version__)


main()
