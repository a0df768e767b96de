"""The exceptions of this package: one class for each status of the library, with the library's texts.

All are `hgnet.Error`, and each is also the exception of Python's own that comes nearest, so that
`except FileNotFoundError` works.
"""

from __future__ import annotations

__all__ = [
    "Cancelled",
    "Closed",
    "DeviceFailure",
    "Error",
    "FileMissing",
    "InternalError",
    "InvalidArgument",
    "InvalidConfiguration",
    "LimitExceeded",
    "MalformedData",
    "NetworkFailure",
    "ParameterMismatch",
    "ShapeMismatch",
    "UnreadableFile",
    "UnsafeContent",
    "Unsupported",
    "UnwritableFile",
]


class Error(Exception):
    """Something that the library refuses or cannot do.

    `str(error)` says what was expected, what was found and how to mend it; `status` is the number of `hgnet_status`
    in `hgnet.h`.
    """

    status = 13


class FileMissing(Error, FileNotFoundError):
    """A file or folder does not exist."""

    status = 1


class UnreadableFile(Error, OSError):
    """A file exists but cannot be opened or read."""

    status = 2


class MalformedData(Error, ValueError):
    """Weights or a picture are damaged, or of another format."""

    status = 3


class Unsupported(Error, NotImplementedError):
    """Well formed, but not something that the library does."""

    status = 4


class UnsafeContent(Error, ValueError):
    """Weights that would run code when they are unpickled."""

    status = 5


class LimitExceeded(Error, MemoryError):
    """Larger than can be handled, or than memory allows."""

    status = 6


class ParameterMismatch(Error, ValueError):
    """Weights that do not belong to the network."""

    status = 7


class ShapeMismatch(Error, ValueError):
    """A picture or tensor of a size that does not fit."""

    status = 8


class InvalidArgument(Error, ValueError):
    """A value out of its range."""

    status = 9


class InvalidConfiguration(Error, ValueError):
    """A recipe file with an unknown key or a wrong value."""

    status = 10


class Closed(Error, ValueError):
    """A classifier that is closed."""

    status = 11


class InternalError(Error, RuntimeError):
    """A mistake in the library; please report it."""

    status = 13


class Cancelled(Error):
    """The work was cancelled."""

    status = 14


class NetworkFailure(Error, OSError):
    """Published weights cannot be fetched."""

    status = 15


class UnwritableFile(Error, OSError):
    """A file cannot be written completely."""

    status = 16


class DeviceFailure(Error, RuntimeError):
    """A GPU that is not there, cannot be used or failed."""

    status = 17


_BY_STATUS: dict[int, type[Error]] = {
    kind.status: kind
    for kind in (
        FileMissing,
        UnreadableFile,
        MalformedData,
        Unsupported,
        UnsafeContent,
        LimitExceeded,
        ParameterMismatch,
        ShapeMismatch,
        InvalidArgument,
        InvalidConfiguration,
        Closed,
        InternalError,
        Cancelled,
        NetworkFailure,
        UnwritableFile,
        DeviceFailure,
    )
}


def of_status(status: int, text: str) -> Error:
    """The exception of a status."""
    return _BY_STATUS.get(status, InternalError)(text or f"the library failed with status {status}")
