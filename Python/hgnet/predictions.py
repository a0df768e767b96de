"""What a classifier says about a picture, and how a notebook shows it."""

from __future__ import annotations

import base64
import collections.abc
import html
import os
import struct
import typing
import zlib

import numpy as np

from . import _pictures, errors


class Score(typing.NamedTuple):
    """A class with its score for one picture."""

    class_id: int
    """The number of the class, from 0."""
    score: float
    """A probability, 0 to 1, unless the model was exported without one."""
    label: str | None
    """The name of the class; None where the weights have no names."""


class Prediction(collections.abc.Sequence):
    """The classes of one picture, the best first (with a threshold in the order of their numbers).

    A sequence of `Score`. In a notebook it shows the picture with bars.
    """

    __slots__ = ("_scores", "error", "source")

    def __init__(
        self, scores: typing.Sequence[Score], source: object = None, error: errors.Error | None = None
    ) -> None:
        self._scores = tuple(scores)
        #: The picture as it was given.
        self.source = source
        #: Why there are no classes; None for a picture that could be read.
        self.error = error

    @typing.overload
    def __getitem__(self, index: int) -> Score: ...

    @typing.overload
    def __getitem__(self, index: slice) -> tuple[Score, ...]: ...

    def __getitem__(self, index: int | slice) -> Score | tuple[Score, ...]:
        return self._scores[index]

    def __len__(self) -> int:
        return len(self._scores)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prediction) and self._scores == other._scores

    __hash__ = None  # type: ignore[assignment]

    @property
    def best(self) -> Score:
        """The class with the highest score."""
        if self.error is not None:
            raise self.error
        return max(self._scores, key=lambda score: score.score)

    @property
    def label(self) -> str | None:
        """The name of the best class."""
        return self.best.label

    @property
    def class_id(self) -> int:
        """The number of the best class."""
        return self.best.class_id

    @property
    def score(self) -> float:
        """The score of the best class."""
        return self.best.score

    def to_dict(self) -> dict[str, typing.Any]:
        """What `hgnet predict --json` prints for a picture."""
        name = _pictures.name_of(self.source) or ""
        if self.error is not None:
            return {"file_name": name, "error": str(self.error)}
        has_labels = any(score.label is not None for score in self._scores)
        return {
            "class_ids": [score.class_id for score in self._scores],
            "scores": [score.score for score in self._scores],
            "file_name": name,
            "label_names": [score.label for score in self._scores] if has_labels else [],
        }

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Prediction: {self.error}>"
        parts = (f"{score.label or f'class {score.class_id}'} {score.score:.4f}" for score in self._scores)
        return f"<Prediction: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        return f'<div style="display:inline-block;margin:4px;vertical-align:top">{self._card()}</div>'

    def _card(self) -> str:
        name = html.escape(os.path.basename(_pictures.name_of(self.source) or ""))
        rows = "".join(_bar(score) for score in self._scores)
        if self.error is not None:
            rows = f'<div style="color:#b00020;max-width:16em">{html.escape(str(self.error))}</div>'
        picture = picture_address(self.source)
        shown = (
            f'<img src="{picture}" alt="{name}" style="max-width:16em;max-height:12em;display:block">'
            if picture
            else ""
        )
        return (
            f'<div style="font:12px sans-serif;width:16em">{shown}<div style="overflow:hidden;text-overflow:ellipsis">'
            f"{name}</div>{rows}</div>"
        )


class Predictions(list):
    """A list of `Prediction`; a notebook shows all of them side by side."""

    def _repr_html_(self) -> str:
        shown = "".join(prediction._repr_html_() for prediction in self[:48])
        rest = len(self) - 48
        return shown + (f"<div>and {rest} more</div>" if rest > 0 else "")


def _bar(score: Score) -> str:
    share = min(max(score.score, 0.0), 1.0) * 100
    name = html.escape(score.label or f"class {score.class_id}")
    return (
        '<div style="position:relative;margin-top:2px;background:#eceff1;color:#000;overflow:hidden;white-space:nowrap">'
        f'<div style="position:absolute;top:0;bottom:0;left:0;width:{share:.1f}%;background:#90caf9"></div>'
        f'<div style="position:relative;padding:1px 4px">{score.score:.3f} {name}</div></div>'
    )


_KINDS = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG", "png"), (b"RIFF", "webp"), (b"BM", "bmp"))
_LARGEST_PICTURE = 4 << 20


def picture_address(source: object) -> str | None:
    """A picture as an address that holds it (`data:`); None for what cannot be shown."""
    try:
        if isinstance(source, (str, os.PathLike)):
            if os.path.getsize(source) > _LARGEST_PICTURE:
                return None
            with open(source, "rb") as file:
                return _encoded_address(file.read())
        if isinstance(source, (bytes, bytearray, memoryview)):
            return _encoded_address(bytes(source))
        pixels = np.asarray(source.convert("RGB")) if hasattr(source, "convert") else _pictures.array(source)
        return _encoded_address(_png(pixels)) if pixels.dtype == np.uint8 else None
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _encoded_address(encoded: bytes) -> str | None:
    kind = next((kind for beginning, kind in _KINDS if encoded.startswith(beginning)), None)
    if kind is None or len(encoded) > _LARGEST_PICTURE:
        return None
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def _png(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG of at most 256 pixels a side; every so many pixels are taken."""
    step = max(1, -(-max(pixels.shape[:2]) // 256))
    small = np.ascontiguousarray(pixels[::step, ::step])
    if small.ndim == 3 and small.shape[2] == 1:
        small = small[:, :, 0]
    color = {2: 0, 3: 2}[small.ndim] if small.ndim == 2 or small.shape[2] == 3 else 6
    height, width = small.shape[:2]
    rows = b"".join(b"\0" + small[row].tobytes() for row in range(height))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
