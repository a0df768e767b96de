"""Compares `hgnet preprocess` with OpenCV and Pillow over a few hundred random pictures, sizes and settings.

Usage: python vision.py PATH-OF-HGNET [SEED]

Every number that the network would see must be equal, bit for bit. Prints one line per group; the exit code is 1 when
any differs. Needs NumPy, Pillow and opencv-python-headless. Intel's IPP, which OpenCV's x86 packages contain, is
switched off: its bicubic is another one than OpenCV's own.
"""

import io
import os
import subprocess
import sys
import tempfile

os.environ["OPENCV_IPP"] = "disabled"
os.environ["OPENCV_LOG_LEVEL"] = "ERROR"

import cv2
import numpy as np
from PIL import Image

PILLOW = {
    "nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX, "hamming": Image.Resampling.HAMMING,
}
OPENCV = {
    "nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
MEAN = [0.485, 0.456, 0.406]
DEVIATION = [0.229, 0.224, 0.225]
RAW = {"scale": 1.0, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


class Hgnet:
    """Runs the tool on one picture with one configuration."""

    def __init__(self, path, folder):
        self.path = path
        self.folder = folder
        self.configuration = os.path.join(folder, "transforms.yaml")
        self.output = os.path.join(folder, "x.npy")

    def __call__(self, picture, decoder, steps, normalization):
        lines = ["Infer:", "  transforms:", "    - DecodeImage:", "        to_rgb: True", "        channel_first: False"]
        lines.append(f"        backend: {decoder}")
        for name, settings in (*steps, ("NormalizeImage", {**normalization, "order": "''"})):
            lines.append(f"    - {name}:")
            lines += [f"        {key}: {value}" for key, value in settings.items()]
        lines.append("    - ToCHWImage:")
        with open(self.configuration, "w") as file:
            file.write("\n".join(lines) + "\n")
        command = [self.path, "preprocess", picture, "-c", self.configuration, "--output", self.output]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            return f"exit code {run.returncode}: {run.stderr.strip()}"
        return np.load(self.output)


def decode(data, decoder):
    if decoder == "cv2":
        return cv2.imdecode(np.frombuffer(data, np.uint8), 1)[:, :, ::-1]
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def apply(image, steps):
    for name, settings in steps:
        if name == "ResizeImage":
            if "resize_short" in settings:
                factor = float(settings["resize_short"]) / min(image.shape[:2])
                width, height = int(round(image.shape[1] * factor)), int(round(image.shape[0] * factor))
            else:
                width, height = settings["size"]
            if settings["backend"] == "pil":
                picture = Image.fromarray(np.ascontiguousarray(image))
                image = np.asarray(picture.resize((width, height), PILLOW[settings["interpolation"]]))
            else:
                source = np.ascontiguousarray(image)
                image = cv2.resize(source, (width, height), interpolation=OPENCV[settings["interpolation"]])
        else:
            width, height = settings["size"]
            top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
            image = image[top : top + height, left : left + width]
    return image


def normalize(image, settings):
    mean = np.array(settings["mean"], np.float32).reshape(1, 1, 3)
    deviation = np.array(settings["std"], np.float32).reshape(1, 1, 3)
    tensor = (image.astype("float32") * np.float32(settings["scale"]) - mean) / deviation
    return tensor.transpose(2, 0, 1)[np.newaxis]


def photograph(random, height, width):
    """Smooth colours with edges and noise: something like a picture, for the decoders to work on."""
    coarse = random.integers(0, 256, (max(2, height // 16 + 1), max(2, width // 16 + 1), 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).copy()
    top, left = random.integers(0, height), random.integers(0, width)
    image[top : top + height // 3, left : left + width // 3] = random.integers(0, 256, 3)
    noise = random.integers(-12, 13, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def encode(random, image, kind):
    """The bytes of a file in a random variant of a format."""
    picture = Image.fromarray(image)
    options = {}
    if kind in ("JPEG", "PNG", "WEBP") and random.integers(2):
        tags = Image.Exif()
        tags[0x112] = int(random.integers(1, 9))
        options["exif"] = tags.tobytes()
    if kind == "JPEG":
        mode = str(random.choice(["RGB", "RGB", "L", "CMYK"]))
        options.update(quality=int(random.integers(1, 101)), progressive=bool(random.integers(2)))
        options.update(subsampling=int(random.integers(3)))
    elif kind == "PNG":
        mode = str(random.choice(["RGB", "L", "P", "1", "LA", "RGBA", "I;16"]))
    elif kind == "WEBP":
        mode = str(random.choice(["RGB", "RGBA"]))
        options.update(quality=int(random.integers(1, 101)), lossless=bool(random.integers(2)), method=2)
    else:
        mode = str(random.choice(["RGB", "L", "P", "1", "RGBA"]))
    if mode in ("RGBA", "LA"):
        alpha = Image.fromarray(random.integers(0, 256, image.shape[:2], dtype=np.uint8))
        picture.putalpha(alpha)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * np.uint16(random.integers(1, 258)))
    elif mode != picture.mode:
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    random = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        hgnet = Hgnet(os.path.abspath(sys.argv[1]), folder)
        path = os.path.join(folder, "picture.bin")

        def compare(data, decoder, steps, normalization):
            with open(path, "wb") as file:
                file.write(data)
            found = hgnet(path, decoder, steps, normalization)
            wanted = normalize(apply(decode(data, decoder), steps), normalization)
            if isinstance(found, str):
                return found
            if found.dtype != np.float32 or found.shape != wanted.shape:
                return f"found {found.dtype} {found.shape}, expected float32 {wanted.shape}"
            if not np.array_equal(found, wanted):
                return f"{(found != wanted).mean():.2%} of the numbers differ, by at most {np.abs(found - wanted).max()}"
            return None

        def report(group, cases):
            nonlocal failures
            wrong = []
            for label, arguments in cases:
                difference = compare(*arguments)
                if difference:
                    wrong.append(f"  {label}: {difference}")
            failures += len(wrong)
            verdict = "equal" if not wrong else f"{len(wrong)} DIFFERENT"
            print(f"vision  {group:34} {len(cases):4} pictures  {verdict}", flush=True)
            for line in wrong[:5]:
                print(line, flush=True)

        for decoder in ("cv2", "pil"):
            for kind in ("JPEG", "PNG", "WEBP", "BMP"):
                cases = []
                for _ in range(20):
                    height, width = (int(side) for side in random.integers(1, 160, 2))
                    data = encode(random, photograph(random, height, width), kind)
                    cases.append((f"{height}×{width}", (data, decoder, [], RAW)))
                report(f"decode {kind} like {decoder}", cases)
        for backend, table in (("pil", PILLOW), ("cv2", OPENCV)):
            for interpolation in table:
                cases = []
                for index in range(25):
                    height, width, new_height, new_width = (
                        int(side) for side in random.integers(1, (24, 150, 500)[index % 3], 4)
                    )
                    if index % 8 == 0:
                        new_height, new_width = max(height // 2, 1), max(width // 2, 1)
                        height, width = 2 * new_height, 2 * new_width
                    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
                    data = cv2.imencode(".bmp", image)[1].tobytes()
                    settings = {"size": [new_width, new_height], "interpolation": interpolation, "backend": backend}
                    label = f"{height}×{width} to {new_height}×{new_width}"
                    cases.append((label, (data, "cv2", [("ResizeImage", settings)], RAW)))
                report(f"resize {interpolation} like {backend}", cases)
        for name, short, crop, backend, interpolation, scale in (
            ("evaluation", 232, 224, "pil", "bicubic", 1 / 255),
            ("evaluation of distilled weights", 236, 224, "pil", "bicubic", 1 / 255),
            ("deployment", 256, 224, "cv2", "bilinear", 0.00392157),
        ):
            cases = []
            for _ in range(25):
                height, width = (int(side) for side in random.integers(40, 700, 2))
                data = encode(random, photograph(random, height, width), "JPEG")
                resize = {"resize_short": short, "interpolation": interpolation, "backend": backend}
                steps = [("ResizeImage", resize), ("CropImage", {"size": [crop, crop]})]
                normalization = {"scale": scale, "mean": MEAN, "std": DEVIATION}
                cases.append((f"{height}×{width}", (data, "cv2", steps, normalization)))
            report(name, cases)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
