"""The C library `libhgnet.so` through ctypes: structures and functions of `hgnet.h`.

ctypes gives the interpreter's lock back during a call, so that threads run side by side.
"""

from __future__ import annotations

import ctypes
import os
import pathlib

from . import errors

OK, INVALID_ARGUMENT, BUFFER_TOO_SMALL = 0, 9, 12

LogHook = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
CancelHook = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)


class Handle(ctypes.Structure):
    """`hgnet_classifier`."""

    _fields_ = [("id", ctypes.c_uint64)]


class Options(ctypes.Structure):
    """`hgnet_options`."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("threads", ctypes.c_int32),
        ("recipe", ctypes.c_int),
        ("recipe_file", ctypes.c_char_p),
        ("labels_file", ctypes.c_char_p),
        ("model", ctypes.c_char_p),
        ("resize_short", ctypes.c_int32),
        ("crop_size", ctypes.c_int32),
        ("top_k", ctypes.c_int32),
        ("keeps_features", ctypes.c_int32),
        ("threshold", ctypes.c_double),
        ("precision", ctypes.c_int),
        ("device", ctypes.c_char_p),
        ("log", LogHook),
        ("log_context", ctypes.c_void_p),
        ("is_cancelled", CancelHook),
        ("cancel_context", ctypes.c_void_p),
    ]


class Description(ctypes.Structure):
    """`hgnet_description`."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("model", ctypes.c_char * 64),
        ("class_count", ctypes.c_size_t),
        ("has_labels", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("recipe_origin", ctypes.c_int),
        ("precision", ctypes.c_int),
        ("embedding_count", ctypes.c_size_t),
        ("activation", ctypes.c_int),
        ("file_activation", ctypes.c_int),
        ("stage_count", ctypes.c_int32),
        ("device", ctypes.c_char * 64),
    ]


class ScoredClass(ctypes.Structure):
    """`hgnet_scored_class`; the label as an address, since ctypes would read the text each time."""

    _fields_ = [("index", ctypes.c_size_t), ("score", ctypes.c_double), ("label", ctypes.c_void_p)]


class Outcome(ctypes.Structure):
    """`hgnet_outcome`."""

    _fields_ = [("status", ctypes.c_int), ("count", ctypes.c_size_t), ("text", ctypes.c_char * 240)]


class Picture(ctypes.Structure):
    """`hgnet_picture`."""

    _fields_ = [
        ("path", ctypes.c_char_p),
        ("bytes", ctypes.c_void_p),
        ("byte_count", ctypes.c_size_t),
        ("pixels", ctypes.c_void_p),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("bytes_per_row", ctypes.c_size_t),
        ("format", ctypes.c_int),
    ]


class Published(ctypes.Structure):
    """`hgnet_published`."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("file", ctypes.c_char * 96),
        ("model", ctypes.c_char * 64),
        ("url", ctypes.c_char * 256),
        ("is_inference_model", ctypes.c_int32),
        ("is_best", ctypes.c_int32),
        ("top1", ctypes.c_double),
        ("top5", ctypes.c_double),
        ("parameter_count", ctypes.c_uint64),
        ("multiply_adds", ctypes.c_uint64),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
    ]


_SIZE = ctypes.c_size_t
_ADDRESS = ctypes.c_void_p
_SIGNATURES: dict[str, list[type]] = {
    "hgnet_classifier_open": [ctypes.c_char_p, ctypes.POINTER(Options), ctypes.POINTER(Handle)],
    "hgnet_classifier_open_memory": [ctypes.c_char_p, _SIZE, ctypes.POINTER(Options), ctypes.POINTER(Handle)],
    "hgnet_classifier_close": [Handle],
    "hgnet_classifier_describe": [Handle, ctypes.POINTER(Description)],
    "hgnet_classifier_label": [Handle, _SIZE, ctypes.POINTER(ctypes.c_char_p)],
    "hgnet_pictures_classify": [Handle, _ADDRESS, _SIZE, ctypes.c_int32, _ADDRESS, _SIZE, _ADDRESS],
    "hgnet_pictures_scores": [Handle, _ADDRESS, _SIZE, _ADDRESS, _SIZE, _ADDRESS],
    "hgnet_pictures_embed": [Handle, _ADDRESS, _SIZE, _ADDRESS, _SIZE, _ADDRESS],
    "hgnet_file_preprocess": [Handle, ctypes.c_char_p, _ADDRESS, _SIZE, _ADDRESS, _ADDRESS],
    "hgnet_encoded_preprocess": [Handle, _ADDRESS, _SIZE, _ADDRESS, _SIZE, _ADDRESS, _ADDRESS],
    "hgnet_pixels_preprocess": [
        Handle,
        _ADDRESS,
        ctypes.c_int32,
        ctypes.c_int32,
        _SIZE,
        ctypes.c_int,
        _ADDRESS,
        _SIZE,
        _ADDRESS,
        _ADDRESS,
    ],
    "hgnet_tensor_run": [Handle, _ADDRESS, _SIZE, _SIZE, _SIZE, _ADDRESS, _SIZE],
    "hgnet_tensor_features": [
        Handle,
        _ADDRESS,
        _SIZE,
        _SIZE,
        _SIZE,
        ctypes.c_int32,
        _ADDRESS,
        _SIZE,
        ctypes.POINTER(_SIZE * 4),
    ],
    "hgnet_published_describe": [_SIZE, ctypes.POINTER(Published)],
}


def _candidates() -> list[str]:
    named = os.environ.get("HGNET_LIBRARY")
    if named:
        return [named]
    inside = sorted(str(path) for path in (pathlib.Path(__file__).parent / "lib").glob("libhgnet.so*"))
    return inside + ["libhgnet.so.0"]


def _load() -> ctypes.CDLL:
    reasons = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            reasons.append(str(error))
            continue
        library.hgnet_version.restype = ctypes.c_char_p
        library.hgnet_error_text.restype = ctypes.c_char_p
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, name, None)
            if function is None:
                raise ImportError(f"{path} is older than this package: it has no {name}")
            function.argtypes = arguments
            function.restype = ctypes.c_int
        return library
    raise ImportError("libhgnet.so cannot be loaded: " + "; ".join(reasons))


library = _load()


def version() -> str:
    """The version of the library."""
    return library.hgnet_version().decode()


def check(status: int) -> None:
    """Raises the exception of a status with the text of this thread's last failure."""
    if status != OK:
        raise errors.of_status(status, library.hgnet_error_text().decode("utf-8", "replace"))
