"""Draws the small pictures of this folder and writes down what OpenCV and Pillow see in them.

Usage: OPENCV_IPP=disabled python make.py   (needs opencv-python-headless, Pillow, NumPy)

pictures/       the files
decoding.tsv    file, style, height, width, FNV-1a hash of the RGB bytes; "error" where the library refuses
resampling.tsv  backend, interpolation, source height and width, target height and width, hash
tensors.tsv     file, backend, interpolation, short side, crop height and width, scale, hash of the float32 bytes
"""

import io
import os
import struct
import zlib

os.environ.setdefault("OPENCV_IPP", "disabled")

import cv2
import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
PICTURES = os.path.join(HERE, "pictures")
HEIGHT, WIDTH = 17, 23
random = np.random.default_rng(20)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in bytes(data):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def drawing(height=HEIGHT, width=WIDTH, channels=3):
    """Colour ramps with a little noise: no symmetry, compresses well."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 9 + y * 2, 255 - y * 11 - x, (x * y * 3) % 256, x * 5 + y * 7]
    noise = random.integers(-6, 7, (height, width, channels))
    return np.clip(np.stack(planes[:channels], -1) + noise, 0, 255).astype(np.uint8)


def save(name, data):
    assert len(data) <= 3072, (name, len(data))
    with open(os.path.join(PICTURES, name), "wb") as file:
        file.write(data)


def pillow(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def tags(orientation, end="<", kind=3):
    """An EXIF block in TIFF form that holds the orientation alone."""
    value = struct.pack(end + "HH", orientation, 0) if kind == 3 else struct.pack(end + "I", orientation)
    start = b"II*\0" if end == "<" else b"MM\0*"
    entry = struct.pack(end + "HHI", 0x112, kind, 1) + value
    return start + struct.pack(end + "IH", 8, 1) + entry + struct.pack(end + "I", 0)


def with_segments(jpeg, *segments):
    return jpeg[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments) + jpeg[2:]


def jpegs():
    image = Image.fromarray(drawing())
    for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
        save(f"colour-{name}.jpg", pillow(image, "JPEG", subsampling=sampling, quality=88))
    save("progressive.jpg", pillow(image, "JPEG", progressive=True, quality=85))
    save("optimised-q100.jpg", pillow(image, "JPEG", optimize=True, quality=100))
    save("grey.jpg", pillow(image.convert("L"), "JPEG"))
    save("one-pixel.jpg", pillow(image.crop((3, 3, 4, 4)), "JPEG"))
    save("restarts.jpg", pillow(image, "JPEG", restart_marker_blocks=1, quality=80))
    cmyk = pillow(Image.fromarray(drawing(channels=4), "CMYK"), "JPEG", quality=92)
    save("cmyk.jpg", cmyk)
    marker = cmyk.find(b"\xff\xee")
    length = struct.unpack(">H", cmyk[marker + 2 : marker + 4])[0]
    save("cmyk-no-adobe.jpg", cmyk[:marker] + cmyk[marker + 2 + length :])
    # The same numbers called YCCK (transform 2 in the Adobe segment).
    save("ycck.jpg", cmyk[: marker + 15] + b"\2" + cmyk[marker + 16 :])
    keep = pillow(image, "JPEG", quality=80, keep_rgb=True, subsampling=0)
    save("rgb-not-ycc.jpg", keep)
    base = pillow(image, "JPEG", quality=80)
    for orientation in range(0, 10):
        save(f"orientation-{orientation}.jpg", with_segments(base, b"Exif\0\0" + tags(orientation)))
    exif = b"Exif\0\0"
    save("orientation-big-endian.jpg", with_segments(base, exif + tags(8, ">")))
    save("orientation-as-long.jpg", with_segments(base, exif + tags(6, "<", 4)))
    save("orientation-as-big-endian-long.jpg", with_segments(base, exif + tags(6, ">", 4)))
    save("orientation-after-xmp.jpg", with_segments(base, b"http://ns.adobe.com/xap/1.0/\0<x/>", exif + tags(5)))
    save("orientation-twice.jpg", with_segments(base, exif + tags(7), exif + tags(3)))
    save("orientation-after-broken.jpg", with_segments(base, exif + b"MM", exif + tags(3)))
    end = base.rfind(b"\xff\xd9")
    save("bytes-after-end.jpg", base[: end + 2] + b"trailing bytes")
    start = base.find(b"\xff\xdb")
    save("stray-bytes-between-segments.jpg", base[:start] + b"\0\1\2" + base[start:])


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png(samples, colour, depth, interlaced=False, before=b"", after=b""):
    """Samples [H, W, C] of `depth` bits."""
    height, width, _ = samples.shape

    def rows(part):
        out = b""
        for row in part:
            flat = row.reshape(-1).astype(np.uint16)
            if depth == 16:
                packed = flat.astype(">u2").tobytes()
            elif depth == 8:
                packed = flat.astype(np.uint8).tobytes()
            else:
                bits = "".join(f"{v:0{depth}b}" for v in flat)
                bits += "0" * (-len(bits) % 8)
                packed = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
            out += b"\0" + packed
        return out

    if interlaced:
        data = b"".join(
            rows(samples[y::dy, x::dx]) for y, x, dy, dx in ADAM7 if samples[y::dy, x::dx].size
        )
    else:
        data = rows(samples)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(data, 9)) + after
        + chunk(b"IEND", b"")
    )


def pngs():
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    names = {0: "grey", 2: "rgb", 3: "palette", 4: "grey-alpha", 6: "rgba"}
    for colour, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            wide = drawing(channels=channels[colour] if colour != 4 else 2).astype(np.uint32)
            samples = (wide * 257 + 91 * wide) & 0xFFFF if depth == 16 else wide >> (8 - depth)
            if colour == 0 and depth == 16:
                samples[:4] >>= 8
            palette = chunk(b"PLTE", random.integers(0, 256, 3 << depth, dtype=np.uint8).tobytes()) if colour == 3 else b""
            save(f"{names[colour]}-{depth}.png", png(samples, colour, depth, before=palette))
            if depth in (1, 16) or colour in (3, 6):
                save(f"{names[colour]}-{depth}-interlaced.png", png(samples, colour, depth, True, before=palette))
            if colour == 3:
                transparency = chunk(b"tRNS", bytes(range(1 << depth)))
                save(f"palette-{depth}-transparency.png", png(samples, colour, depth, before=palette + transparency))
            if colour in (0, 2):
                transparency = chunk(b"tRNS", samples[5, 5].astype(">u2").tobytes())
                save(f"{names[colour]}-{depth}-transparency.png", png(samples, colour, depth, before=transparency))
    samples = drawing()
    gamma = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\6\5")
    save("gamma.png", png(samples, 2, 8, before=gamma))
    save("one-pixel.png", png(samples[:1, :1], 2, 8))
    save("orientation-6.png", png(samples, 2, 8, before=chunk(b"eXIf", tags(6))))
    save("orientation-after-pixels.png", png(samples, 2, 8, after=chunk(b"eXIf", tags(5, ">"))))
    save("bytes-after-end.png", png(samples, 2, 8) + b"trailing bytes")
    damaged = bytearray(png(samples, 2, 8, before=chunk(b"tEXt", b"Comment\0hello")))
    damaged[damaged.find(b"hello")] ^= 1
    save("damaged-text.png", bytes(damaged))


def riff(body):
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def three(value):
    return struct.pack("<I", value)[:3]


def extended(flags, height, width):
    return webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + three(width - 1) + three(height - 1))


def webps():
    image = Image.fromarray(drawing())
    clear = Image.fromarray(drawing(channels=4), "RGBA")
    save("lossy.webp", pillow(image, "WEBP", quality=80))
    save("lossy-q20.webp", pillow(image, "WEBP", quality=20))
    save("lossless.webp", pillow(image, "WEBP", lossless=True))
    save("lossy-alpha.webp", pillow(clear, "WEBP", quality=80))
    save("lossless-alpha.webp", pillow(clear, "WEBP", lossless=True, exact=True))
    for orientation in (1, 4, 7):
        save(f"orientation-{orientation}.webp", pillow(image, "WEBP", quality=70, exif=tags(orientation)))
    still = pillow(image, "WEBP", quality=70)[12:]
    save("orientation-without-flag.webp", riff(extended(0, HEIGHT, WIDTH) + still + webp_chunk(b"EXIF", tags(6))))
    save("bytes-after-end.webp", riff(still) + b"trailing bytes")
    frames = [Image.fromarray(drawing()), Image.fromarray(drawing()[::-1].copy())]
    save("animation.webp", pillow(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=60))
    save("animation-exif.webp", pillow(frames[0], "WEBP", save_all=True, append_images=frames[1:], exif=tags(6)))
    frame = lambda data, top, left: webp_chunk(
        b"ANMF", three(left // 2) + three(top // 2) + three(WIDTH - 1) + three(HEIGHT - 1) + three(100) + b"\0" + data
    )
    canvas = extended(2, 30, 40) + webp_chunk(b"ANIM", b"\x10\x20\x30\xff\0\0")
    save("animation-offset.webp", riff(canvas + frame(still, 4, 10) + frame(still, 0, 0)))
    alpha = pillow(clear, "WEBP", quality=80)[30:]
    canvas = extended(18, 30, 40) + webp_chunk(b"ANIM", b"\x10\x20\x30\xff\0\0")
    save("animation-alpha.webp", riff(canvas + frame(alpha, 6, 2) + frame(still, 0, 0)))


def bmp(bits, compression=0, palette=b"", data=None, masks=b"", header=40, top_down=False, colours=0):
    stride = (WIDTH * bits + 31) // 32 * 4
    if data is None:
        data = random.integers(0, 256, stride * HEIGHT, dtype=np.uint8).tobytes()
    height = -HEIGHT if top_down else HEIGHT
    info = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(data), 0, 0, colours, 0)
    if header == 12:
        info = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits)
    elif header > 40:
        info = (info + masks).ljust(header, b"\0")
        masks = b""
    offset = 14 + len(info) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + masks + palette + data


def bmps():
    def palette(count, size=4):
        return random.integers(0, 256, count * size, dtype=np.uint8).tobytes()

    def masks(*values):
        return struct.pack(f"<{len(values)}I", *values)

    for bits in (1, 4, 8):
        save(f"palette-{bits}.bmp", bmp(bits, palette=palette(1 << bits)))
        save(f"palette-{bits}-core.bmp", bmp(bits, palette=palette(1 << bits, 3), header=12))
    save("palette-8-short.bmp", bmp(8, palette=palette(10), colours=10))
    save("palette-8-top-down.bmp", bmp(8, palette=palette(256), top_down=True))
    save("rgb-24.bmp", bmp(24))
    save("rgb-24-core.bmp", bmp(24, header=12))
    save("rgb-24-top-down.bmp", bmp(24, top_down=True))
    save("rgb-24-version-5.bmp", bmp(24, header=124))
    save("rgb-16.bmp", bmp(16))
    save("rgb-16-555.bmp", bmp(16, 3, masks=masks(0x7C00, 0x3E0, 0x1F)))
    save("rgb-16-565.bmp", bmp(16, 3, masks=masks(0xF800, 0x7E0, 0x1F)))
    save("rgb-32.bmp", bmp(32))
    save("rgb-32-masks.bmp", bmp(32, 3, masks=masks(0xFF0000, 0xFF00, 0xFF)))
    save("rgba-32-version-4.bmp", bmp(32, 3, masks=masks(0xFF, 0xFF00, 0xFF0000, 0xFF000000), header=108))
    save("bgra-32-version-5.bmp", bmp(32, 3, masks=masks(0xFF0000, 0xFF00, 0xFF, 0xFF000000), header=124))
    runs = b"".join(
        bytes([10, row, 0, 5, 1, 2, 3, 4, 5, 0, WIDTH - 15, 200 + row]) + bytes([0, 0]) for row in range(HEIGHT)
    )
    save("runs-8.bmp", bmp(8, 1, palette=palette(256), data=runs[:-2] + b"\0\1"))
    runs = b"".join(
        bytes([10, 0x3A, 0, 5, 0x12, 0x34, 0x50, 0, WIDTH - 15, row * 16 % 256 + 7]) + bytes([0, 0])
        for row in range(HEIGHT)
    )
    save("runs-4.bmp", bmp(4, 2, palette=palette(16), data=runs[:-2] + b"\0\1"))


def seen_by_opencv(data):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    return None if image is None else image[:, :, ::-1]


def seen_by_pillow(data):
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except Exception:
        return None


def decoding():
    lines = []
    for name in sorted(os.listdir(PICTURES)):
        with open(os.path.join(PICTURES, name), "rb") as file:
            data = file.read()
        for style, see in (("openCV", seen_by_opencv), ("pillow", seen_by_pillow)):
            image = see(data)
            if image is None:
                lines.append(f"{name}\t{style}\t0\t0\terror")
            else:
                lines.append(f"{name}\t{style}\t{image.shape[0]}\t{image.shape[1]}\t{fnv1a(image.tobytes())}")
    return lines


def noise(height, width):
    """The pixels that the test makes again: the upper byte of a linear congruential generator."""
    state = height * 65536 + width
    out = bytearray()
    for _ in range(height * width * 3):
        state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        out.append(state >> 56)
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, 3)


PILLOW = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
OPENCV = {
    "nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
SIZES = [
    (1, 1, 5, 7), (5, 7, 1, 1), (1, 40, 9, 13), (40, 1, 13, 9), (30, 40, 15, 20), (30, 40, 10, 10), (33, 47, 33, 20),
    (33, 47, 20, 47), (19, 27, 64, 90), (64, 90, 19, 27), (61, 17, 20, 16), (61, 17, 20, 40), (17, 61, 40, 20),
    (100, 75, 99, 76), (37, 53, 37, 53), (120, 41, 31, 23), (2, 3, 31, 2), (90, 120, 7, 5), (48, 48, 24, 48),
    (72, 50, 24, 25),
]


def resampling():
    lines = []
    for height, width, new_height, new_width in SIZES:
        image = noise(height, width)
        for name, flag in PILLOW.items():
            result = np.asarray(Image.fromarray(image).resize((new_width, new_height), flag))
            lines.append(f"pil\t{name}\t{height}\t{width}\t{new_height}\t{new_width}\t{fnv1a(result.tobytes())}")
        for name, flag in OPENCV.items():
            result = cv2.resize(image, (new_width, new_height), interpolation=flag)
            lines.append(f"cv2\t{name}\t{height}\t{width}\t{new_height}\t{new_width}\t{fnv1a(result.tobytes())}")
    return lines


def unnamed():
    """Resizing without an interpolation: PaddleClas hands None on to Pillow, and calls cv2.resize with bilinear."""
    lines = []
    for height, width, new_height, new_width in SIZES[4:10]:
        image = noise(height, width)
        pillow = np.asarray(Image.fromarray(image).resize((new_width, new_height), None))
        opencv = cv2.resize(image, (new_width, new_height))
        for backend, result in (("pil", pillow), ("cv2", opencv)):
            lines.append(f"{backend}\t{height}\t{width}\t{new_height}\t{new_width}\t{fnv1a(result.tobytes())}")
    return lines


MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 1, 3)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 1, 3)


def tensors():
    """Resizing to a short side, cutting out the middle and normalising, as PaddleClas' operators do it."""
    lines = []
    for name in ("colour-420.jpg", "orientation-6.jpg", "rgba-8.png", "lossy.webp"):
        with open(os.path.join(PICTURES, name), "rb") as file:
            image = seen_by_opencv(file.read())
        for backend, kind in (("pil", "bicubic"), ("cv2", "bilinear")):
            for short, crop, scale in ((33, (29, 32), 1 / 255), (21, (20, 21), 0.00392157), (17, (16, 16), 1 / 255)):
                factor = short / min(image.shape[:2])
                size = (int(round(image.shape[1] * factor)), int(round(image.shape[0] * factor)))
                if backend == "pil":
                    resized = np.asarray(Image.fromarray(image).resize(size, PILLOW[kind]))
                else:
                    resized = cv2.resize(image, size, interpolation=OPENCV[kind])
                top, left = (resized.shape[0] - crop[0]) // 2, (resized.shape[1] - crop[1]) // 2
                part = resized[top : top + crop[0], left : left + crop[1]]
                tensor = (part.astype("float32") * np.float32(scale) - MEAN) / DEVIATION
                assert tensor.dtype == np.float32 and tensor.shape == (*crop, 3)
                lines.append(
                    f"{name}\t{backend}\t{kind}\t{short}\t{crop[0]}\t{crop[1]}\t{scale!r}\t"
                    f"{fnv1a(np.ascontiguousarray(tensor).tobytes())}"
                )
    return lines


if __name__ == "__main__":
    os.makedirs(PICTURES, exist_ok=True)
    for name in os.listdir(PICTURES):
        os.remove(os.path.join(PICTURES, name))
    jpegs()
    pngs()
    webps()
    bmps()
    for name, lines in (
        ("decoding.tsv", decoding()), ("resampling.tsv", resampling()), ("tensors.tsv", tensors()),
        ("unnamed.tsv", unnamed()),
    ):
        with open(os.path.join(HERE, name), "w") as file:
            file.write("\n".join(lines) + "\n")
