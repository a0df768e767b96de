"""PP-HGNetV2 image classifiers.

import hgnet

classifier = hgnet.Classifier("PPHGNetV2_B4")
print(classifier.predict("photo.jpg"))
"""

from __future__ import annotations

from . import errors, published
from ._native import version as library_version
from .classifier import Classifier
from .errors import (
    Cancelled,
    Closed,
    DeviceFailure,
    Error,
    FileMissing,
    InternalError,
    InvalidArgument,
    InvalidConfiguration,
    LimitExceeded,
    MalformedData,
    NetworkFailure,
    ParameterMismatch,
    ShapeMismatch,
    UnreadableFile,
    UnsafeContent,
    Unsupported,
    UnwritableFile,
)
from .paddleclas import PaddleClas
from .predictions import Prediction, Predictions, Score
from .published import PublishedFile, fetch, list_models
from .session import InferenceSession, NodeArg, SessionOptions

__version__ = library_version()

__all__ = [
    "Cancelled",
    "Classifier",
    "Closed",
    "DeviceFailure",
    "Error",
    "FileMissing",
    "InferenceSession",
    "InternalError",
    "InvalidArgument",
    "InvalidConfiguration",
    "LimitExceeded",
    "MalformedData",
    "NetworkFailure",
    "NodeArg",
    "PaddleClas",
    "ParameterMismatch",
    "Prediction",
    "Predictions",
    "PublishedFile",
    "Score",
    "SessionOptions",
    "ShapeMismatch",
    "UnreadableFile",
    "UnsafeContent",
    "Unsupported",
    "UnwritableFile",
    "errors",
    "fetch",
    "library_version",
    "list_models",
    "published",
]
