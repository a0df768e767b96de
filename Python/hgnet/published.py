"""Published weights: which there are, and fetching them once into the cache that the tool `hgnet` uses, too."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import functools
import os
import pathlib
import sys
import time
import typing
import urllib.error
import urllib.parse
import urllib.request

from . import _native, errors

_PAUSES = (0.5, 1.0, 2.0, 4.0)
_LARGEST_FILE = 4 << 30


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A file of weights that PaddleClas publishes."""

    file: str
    """Its name, such as `PPHGNetV2_B0_ssld_pretrained.pdparams`."""
    model: str
    """The name of the model, such as `PPHGNetV2_B0`."""
    url: str
    """Where it is fetched from; `HGNET_WEIGHTS_URL` may name another place."""
    is_inference_model: bool
    """Whether it is the `.tar` of a Paddle inference model."""
    is_best: bool
    """Whether the name of the model alone stands for it."""
    top1: float | None
    """Accuracy on ImageNet-1k in percent, as PaddleClas' page has it; None without a figure."""
    top5: float | None
    parameters: int
    """What training changes."""
    multiply_adds: int
    """For one picture."""
    input_size: tuple[int, int]
    """Height and width of a picture, in pixels."""

    @property
    def path(self) -> pathlib.Path:
        """Where it lies in the cache, or would."""
        return cache_folder() / self.file

    @property
    def is_cached(self) -> bool:
        """Whether it has been fetched."""
        return self.path.is_file()


@functools.cache
def files() -> tuple[PublishedFile, ...]:
    """Every published file, by model; weights before inference models."""
    found: list[PublishedFile] = []
    entry = _native.Published()
    while True:
        entry.struct_size = ctypes.sizeof(entry)
        status = _native.library.hgnet_published_describe(len(found), ctypes.byref(entry))
        if status == _native.INVALID_ARGUMENT:
            return tuple(found)
        _native.check(status)
        found.append(
            PublishedFile(
                file=entry.file.decode(),
                model=entry.model.decode(),
                url=entry.url.decode(),
                is_inference_model=bool(entry.is_inference_model),
                is_best=bool(entry.is_best),
                top1=entry.top1 or None,
                top5=entry.top5 or None,
                parameters=entry.parameter_count,
                multiply_adds=entry.multiply_adds,
                input_size=(entry.height, entry.width),
            )
        )


def list_models() -> list[str]:
    """The names of the models, the smallest of a family first."""
    return list(dict.fromkeys(file.model for file in files()))


def cache_folder() -> pathlib.Path:
    """`$XDG_CACHE_HOME/hgnet`, or `~/.cache/hgnet`."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if cache.startswith("/"):
        return pathlib.Path(cache) / "hgnet"
    home = os.environ.get("HOME", "")
    if home.startswith("/"):
        return pathlib.Path(home) / ".cache" / "hgnet"
    raise errors.UnwritableFile(
        "there is no folder for fetched weights: neither XDG_CACHE_HOME nor HOME is an absolute path; set one of them"
    )


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def find(name: str) -> PublishedFile:
    """The published file of a name: a model (`PPHGNetV2_B4`, `b4`, timm's `hgnetv2_b4`) or a file.

    Raises `InvalidArgument` for another name.
    """
    stem = name
    for ending in (".pdparams", ".tar"):
        stem = stem.removesuffix(ending)
    for file in files():
        if file.file.rsplit(".", 1)[0] == stem:
            return file
    wanted = _plain(name)
    for file in files():
        own = _plain(file.model)
        short = own.removeprefix("pphgnetv2").removeprefix("pphgnet")
        if file.is_best and wanted in (own, own.removeprefix("pp"), short, own.removeprefix("pp") + "ssld"):
            return file
    known = ", ".join(list_models())
    raise errors.InvalidArgument(f"no model and no published file is named {name!r}; there are: {known}")


def fetch(name: str, *, offline: bool = False, progress: bool | None = None) -> pathlib.Path:
    """The path of published weights, which are fetched if they are not there yet.

    A dropped connection is resumed, also by a later call; a file gets its name only after the library has read it.

    - `name`: as of `find`.
    - `offline`: never use the network; what was not fetched before is `FileMissing`.
    - `progress`: whether a line on standard error shows how far it is; None for that where it is a terminal.

    Raises `NetworkFailure`, `UnwritableFile`.
    """
    file = find(name)
    path = file.path
    if path.is_file():
        return path
    if offline:
        raise errors.FileMissing(f"{path}: these weights have not been fetched yet, and the network is not to be used")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as partial:
            if partial is not None:
                _fill(file, partial, sys.stderr.isatty() if progress is None else progress)
                os.fsync(partial.fileno())
                os.replace(partial.name, path)
                pathlib.Path(partial.name + ".source").unlink(missing_ok=True)
    except errors.Error:
        raise
    except OSError as error:
        raise errors.UnwritableFile(
            f"{path}: cannot write the file; set XDG_CACHE_HOME to a folder where you may write ({error})"
        ) from error
    return path


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> typing.Iterator[_Named | None]:
    """The partial file once it is ours; None when another process has finished the file meanwhile."""
    name = f"{path}.partial"
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_busy = False
            except BlockingIOError:
                is_busy = True
            except OSError:
                is_busy = False
            is_ours = os.path.exists(name) and os.path.samestat(os.fstat(descriptor), os.stat(name))
            if not is_busy and is_ours:
                if path.is_file():
                    os.unlink(name)
                    yield None
                else:
                    yield _Named(file, name)
                return
        if path.is_file():
            yield None
            return
        time.sleep(0.1)


class _Named:
    """A file with its path, which `os.fdopen` does not know."""

    def __init__(self, file: typing.BinaryIO, name: str) -> None:
        self._file, self.name = file, name

    def __getattr__(self, attribute: str) -> typing.Any:
        return getattr(self._file, attribute)


def _addresses(file: PublishedFile) -> list[str]:
    mirror = os.environ.get("HGNET_WEIGHTS_URL", "").rstrip("/")
    if not mirror:
        return [file.url]
    if mirror.startswith("/"):
        mirror = pathlib.Path(mirror).as_uri()
    if urllib.parse.urlsplit(mirror).scheme not in ("http", "https", "file"):
        raise errors.InvalidArgument(
            f"HGNET_WEIGHTS_URL: expected an http, https or file address or an absolute folder, found {mirror!r}"
        )
    folder = "inference" if file.is_inference_model else "legendary_models"
    return [f"{mirror}/{folder}/{file.file}", f"{mirror}/{file.file}"]


def _fill(file: PublishedFile, partial: typing.Any, progress: bool) -> None:
    had_earlier_bytes = os.fstat(partial.fileno()).st_size > 0
    while True:
        try:
            _download(file, partial, progress)
        except errors.NetworkFailure:
            if os.fstat(partial.fileno()).st_size == 0:
                os.unlink(partial.name)
            raise
        partial.flush()
        reason = _fault(partial.name)
        if reason is None:
            return
        partial.truncate(0)
        # Bytes of an earlier run may belong to a file that has changed on the server in the meantime.
        if not had_earlier_bytes:
            os.unlink(partial.name)
            raise errors.NetworkFailure(
                f"what was fetched as {file.file} is not a readable file of weights; nothing was kept ({reason})"
            )
        had_earlier_bytes = False


def _fault(path: str) -> str | None:
    """Why a file is no weights; None for one that the library opens."""
    handle, options = _native.Handle(), _native.Options()
    options.struct_size, options.threads = ctypes.sizeof(options), 1
    try:
        _native.check(
            _native.library.hgnet_classifier_open(os.fsencode(path), ctypes.byref(options), ctypes.byref(handle))
        )
    except errors.Error as error:
        return str(error)
    _native.check(_native.library.hgnet_classifier_close(handle))
    return None


def _download(file: PublishedFile, partial: typing.Any, progress: bool) -> None:
    failures = []
    for address in _addresses(file):
        fruitless = 0
        while True:
            before = partial.seek(0, os.SEEK_END)
            try:
                _transfer(address, partial, before, progress, file.file)
                return
            except urllib.error.HTTPError as error:
                if error.code == 416 and before:
                    return
                reason, is_final, is_missing = (
                    f"the server answers with status {error.code}",
                    error.code < 500,
                    error.code == 404,
                )
            except urllib.error.URLError as error:
                reason, is_final = str(error.reason), before == 0 and fruitless == 0
                is_missing = isinstance(error.reason, FileNotFoundError) or "No such file" in reason
            except (ConnectionError, TimeoutError, EOFError) as error:
                reason, is_final, is_missing = str(error) or "the connection was lost", False, False
            if partial.seek(0, os.SEEK_END) > before:
                fruitless = 0
            elif is_final or fruitless >= len(_PAUSES):
                failures.append(f"{address}: {reason}")
                if not is_missing:
                    raise _failure(file, failures)
                break
            else:
                time.sleep(_PAUSES[fruitless])
                fruitless += 1
    raise _failure(file, failures)


def _failure(file: PublishedFile, reasons: list[str]) -> errors.NetworkFailure:
    return errors.NetworkFailure(
        f"cannot fetch {file.file} from {'; '.join(reasons)}; give a file instead, or set HGNET_WEIGHTS_URL to a mirror"
    )


def _transfer(address: str, partial: typing.Any, offset: int, progress: bool, name: str) -> None:
    request = urllib.request.Request(address, headers={"User-Agent": "hgnet"})
    if offset and not address.startswith("file:"):
        request.add_header("Range", f"bytes={offset}-")
    with urllib.request.urlopen(request, timeout=30) as response:
        if offset and getattr(response, "status", 200) != 206:
            # The server sends all of it again.
            offset = 0
            partial.truncate(0)
        partial.seek(offset)
        length = response.headers.get("Content-Length")
        total = offset + int(length) if length else None
        shown = 0.0
        while True:
            piece = response.read(1 << 18)
            if not piece:
                break
            partial.write(piece)
            offset += len(piece)
            if offset > _LARGEST_FILE:
                raise errors.NetworkFailure(f"{address} sends more than {_LARGEST_FILE} bytes")
            if progress and time.monotonic() - shown > 0.1:
                shown = time.monotonic()
                whole = f" of {total / 1e6:.0f}" if total else ""
                sys.stderr.write(f"\r{name}: {offset / 1e6:.1f}{whole} MB")
                sys.stderr.flush()
        if progress:
            sys.stderr.write("\r\033[K" if sys.stderr.isatty() else "\n")
        partial.flush()
        if total is not None and offset < total:
            raise EOFError("the connection ended early")
