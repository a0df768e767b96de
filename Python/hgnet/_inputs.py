"""Names of classes, pictures and tensors as they come."""

from __future__ import annotations

import collections.abc
import itertools
import os
import pathlib
import tempfile
import typing

import numpy as np

from . import _native, _pictures, errors

# Pictures of one call of the library: enough for all threads, few enough that Ctrl-C is soon heard.
_STEP = 16


def path_of(value: object, name: str) -> bytes:
    """A path as the library takes it."""
    if not isinstance(value, (str, os.PathLike)):
        raise errors.InvalidArgument(f"expected {name} as a path, found {type(value).__name__}")
    path = os.fsencode(value)
    if b"\0" in path:
        raise errors.InvalidArgument(f"expected {name} as a path, found a zero byte in {value!r}")
    return path


class labels_file:
    """The names of the classes as a file; the names of a list go into a temporary one."""

    def __init__(self, labels: object) -> None:
        self._labels = labels
        self._temporary: pathlib.Path | None = None

    def __enter__(self) -> bytes | None:
        if self._labels is None:
            return None
        if isinstance(self._labels, (str, os.PathLike)):
            return path_of(self._labels, "labels")
        names = [str(name) for name in typing.cast(typing.Iterable[object], self._labels)]
        wrong = next((name for name in names if not name.strip() or len(name.splitlines()) != 1), None)
        if wrong is not None:
            raise errors.InvalidArgument(f"expected labels of one line each, found {wrong!r}")
        descriptor, path = tempfile.mkstemp(prefix="hgnet-labels-", suffix=".txt")
        self._temporary = pathlib.Path(path)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{index} {name}\n" for index, name in enumerate(names))
        return os.fsencode(path)

    def __exit__(self, *_: object) -> None:
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


# ---- Pictures and tensors as they come ----


def is_one(images: object) -> bool:
    return _pictures.is_picture(images) and not (
        isinstance(images, (str, os.PathLike)) and os.path.isdir(typing.cast(str, images))
    )


_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".png", ".bmp", ".dib", ".webp")


def pictures_in(folder: str | os.PathLike[str]) -> list[str]:
    """The pictures of a folder and the folders inside, in the order of their paths."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        found += [os.path.join(place, name) for name in names if name.lower().endswith(_ENDINGS) and name[0] != "."]
    if not found:
        raise errors.FileMissing(f"{os.fsdecode(folder)}: expected pictures ({', '.join(_ENDINGS)}), found none")
    return sorted(found, key=os.fsencode)


def pictures_of(images: typing.Any) -> typing.Any:
    """Several pictures as a sequence or an iterator."""
    if isinstance(images, (str, os.PathLike)):
        return pictures_in(images)
    if isinstance(images, collections.abc.Sequence):
        return images
    if hasattr(images, "__array_interface__") or hasattr(images, "__dlpack__"):
        pixels = _pictures.array(images)
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise errors.InvalidArgument(
                "expected a picture [H, W, 3] or pictures [N, H, W, 3] of uint8, found "
                f"{list(pixels.shape)} of {pixels.dtype}; run() takes tensors"
            )
        return list(pixels)
    if isinstance(images, collections.abc.Iterator):
        return images
    if isinstance(images, collections.abc.Iterable):
        return list(images)
    raise errors.InvalidArgument(
        "expected a picture (a path, bytes, an array [H, W, 3] of uint8 or an image of Pillow) or several of them, "
        f"found {type(images).__name__}"
    )


def parts(images: typing.Iterable[typing.Any]) -> typing.Iterator[list[typing.Any]]:
    iterator = iter(images)
    while part := list(itertools.islice(iterator, _STEP)):
        yield part


def entries(images: list[typing.Any], channels: str) -> typing.Iterator[_native.Picture]:
    pictures = _pictures.PictureList(images, channels)
    for index in range(len(images)):
        yield pictures.array[index]


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor `[N, 3, H, W]` of floats rather than pictures."""
    if not (hasattr(value, "__array_interface__") or hasattr(value, "__dlpack__")):
        return False
    numbers = _pictures.array(value)
    return numbers.ndim == 4 and numbers.dtype.kind == "f"


def tensor(value: typing.Any) -> np.ndarray:
    """A tensor as float32 `[N, 3, H, W]` in C order."""
    if not (hasattr(value, "__array_interface__") or hasattr(value, "__dlpack__") or hasattr(value, "__array__")):
        raise errors.InvalidArgument(f"expected a tensor float32 [N, 3, H, W], found {type(value).__name__}")
    numbers = _pictures.array(value)
    if numbers.ndim != 4 or numbers.shape[1] != 3:
        raise errors.ShapeMismatch(f"expected a tensor [N, 3, H, W], found {list(numbers.shape)}")
    if numbers.dtype.kind != "f":
        raise errors.InvalidArgument(f"expected a tensor of float32, found {numbers.dtype}; predict() takes pictures")
    return np.ascontiguousarray(numbers, dtype=np.float32)
