"""Whatever somebody calls a picture, as the C library takes it."""

from __future__ import annotations

import ctypes
import os
import typing

import numpy as np

from . import _native, errors

RGB, BGR, RGBA, BGRA, GRAY = range(5)

#: A file, the bytes of one, pixels `[H, W, 3]`, `[H, W, 4]` or `[H, W]` of 8 bits, or an image of Pillow.
Picture = typing.Any


def is_picture(value: object) -> bool:
    """Whether a value is one picture rather than several."""
    if isinstance(value, (str, bytes, bytearray, memoryview, os.PathLike)):
        return True
    if _is_pillow(value):
        return True
    return _is_array(value) and _extents(value) in (2, 3)


def _is_pillow(value: object) -> bool:
    # Pillow is not imported for this: who has such an image has it already.
    return hasattr(value, "convert") and hasattr(value, "mode") and hasattr(value, "tobytes")


def _is_array(value: object) -> bool:
    return hasattr(value, "__array_interface__") or hasattr(value, "__dlpack__") or hasattr(value, "__array__")


def _extents(value: typing.Any) -> int:
    shape = getattr(value, "shape", None)
    return len(shape) if shape is not None else np.asarray(value).ndim


def array(value: typing.Any) -> np.ndarray:
    """The numbers of whatever has `__array_interface__`, `__array__` or `__dlpack__`, without a copy where possible."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__array_interface__") or hasattr(value, "__array__") or not hasattr(value, "__dlpack__"):
        return np.asarray(value)
    return np.from_dlpack(value)


def name_of(value: object) -> str | None:
    """The path of a picture; None for one without."""
    if isinstance(value, (str, os.PathLike)):
        return os.fsdecode(value)
    name = getattr(value, "filename", None)
    return name if isinstance(name, str) and name else None


class PictureList:
    """Pictures as the C library takes them, with everything that must stay alive for the call."""

    def __init__(self, pictures: typing.Sequence[Picture], channels: str = "RGB") -> None:
        if channels not in ("RGB", "BGR"):
            raise errors.InvalidArgument(f"expected channels of RGB or BGR, found {channels!r}")
        self._is_blue_first = channels == "BGR"
        self._alive: list[object] = []
        self.array = (_native.Picture * max(len(pictures), 1))()
        for entry, picture in zip(self.array, pictures):
            self._fill(entry, picture)

    @property
    def address(self) -> int:
        """Where the array begins."""
        return ctypes.addressof(self.array)

    def _fill(self, entry: _native.Picture, picture: Picture) -> None:
        if isinstance(picture, (str, os.PathLike)):
            path = os.fsencode(picture)
            if b"\0" in path:
                raise errors.InvalidArgument(f"expected a path, found a zero byte in {picture!r}")
            entry.path = path
        elif isinstance(picture, (bytes, bytearray, memoryview)):
            self._encoded(entry, np.frombuffer(picture, dtype=np.uint8))
        elif _is_pillow(picture):
            mode = "L" if picture.mode == "L" else "RGB"
            self._pixels(entry, np.asarray(picture if picture.mode == mode else picture.convert(mode)), False)
        elif _is_array(picture):
            self._pixels(entry, array(picture), self._is_blue_first)
        else:
            raise errors.InvalidArgument(
                "expected a picture (a path, bytes, an array [H, W, 3] of uint8 or an image of Pillow), found "
                f"{type(picture).__name__}"
            )

    def _encoded(self, entry: _native.Picture, encoded: np.ndarray) -> None:
        # An empty buffer has no address; one byte stands in for it.
        self._alive.append(encoded if encoded.size else np.zeros(1, np.uint8))
        entry.bytes = self._alive[-1].ctypes.data  # type: ignore[attr-defined]
        entry.byte_count = encoded.size

    def _pixels(self, entry: _native.Picture, pixels: np.ndarray, is_blue_first: bool) -> None:
        if (
            pixels.dtype != np.uint8
            or pixels.ndim not in (2, 3)
            or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4))
        ):
            raise errors.InvalidArgument(
                "expected pixels [H, W, 3], [H, W, 4] or [H, W] of uint8, found "
                f"{list(pixels.shape)} of {pixels.dtype}; run() takes tensors"
            )
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        # Rows may be apart from each other; pixels may not.
        if (
            pixels.size
            and (pixels.strides[1] != channels or pixels.strides[0] < pixels.shape[1] * channels)
            or pixels.ndim == 3
            and pixels.size
            and pixels.strides[2] != 1
        ):
            pixels = np.ascontiguousarray(pixels)
        if max(pixels.shape[:2]) >= 2**31:
            raise errors.LimitExceeded(
                f"expected a picture of less than 2^31 pixels a side, found {list(pixels.shape)}"
            )
        self._alive.append(pixels)
        entry.pixels = pixels.ctypes.data
        entry.height, entry.width = pixels.shape[:2]
        entry.bytes_per_row = pixels.strides[0] if pixels.size else 0
        entry.format = {1: GRAY, 3: BGR if is_blue_first else RGB, 4: BGRA if is_blue_first else RGBA}[channels]
