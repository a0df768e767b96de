"""The classifier: weights, how pictures become input, threads."""

from __future__ import annotations

import collections.abc
import ctypes
import functools
import itertools
import logging
import os
import typing

import numpy as np

from . import _inputs, _native, _pictures, errors, published
from .predictions import Prediction, Predictions, Score

_log = logging.getLogger("hgnet")

RECIPES = {"weights": 0, "evaluation": 1, "deployment": 2}
PRECISIONS = {"float32": 0, "bfloat16": 1, "int8": 2, "auto": 3}
ORIGINS = ("untold", "given", "beside", "inside", "published", "assumed")
ACTIVATIONS = (None, "softmax", "sigmoid", "none")
_SCORED = np.dtype([("index", np.uintp), ("score", np.float64), ("label", np.uintp)])

Weights = typing.Union[str, "os.PathLike[str]", bytes, bytearray, memoryview]


class Classifier:
    """Classifies pictures with a PP-HGNetV2 or PP-HGNet network.

        classifier = hgnet.Classifier("PPHGNetV2_B4")
        for score in classifier.predict("photo.jpg"):
            print(score.score, score.label)

    Parameters:

    - `weights`: a file in any format that the library reads, the folder of a Paddle inference model, the bytes of a
      file, or the name of a model or of published weights, which are fetched once.
    - `threads`: 1 to 1024; None for as many as the process may use.
    - `device`: what runs the network: `"cpu"`, `"gpu"`, `"gpu:N"` as `hgnet devices` counts, `"auto"`, or `"reference"`
      (exact and very slow).
    - `precision`: `"float32"`, `"bfloat16"`, `"int8"` (weights of `hgnet quantize`) or `"auto"` for the fastest.
    - `model`: the name of the model; None to recognise it by the weights.
    - `recipe`: how pictures become input: `"weights"` for what belongs to the weights, `"evaluation"` or `"deployment"`
      as PaddleClas does it; or the path of a YAML file with `PreProcess.transform_ops` or `Infer.transforms`.
    - `labels`: the names of the classes, as a list or as a file of lines "index name"; None for those of the weights.
    - `resize_short`, `crop_size`: pixels; None for the recipe's.
    - `top_k`: how many classes a prediction has; None for the recipe's choice (5).
    - `threshold`: predict every class whose score reaches this, instead of the best.
    - `offline`: never use the network.

    Raises a subclass of `hgnet.Error` for weights that cannot be opened, and `InvalidArgument` for other values.

    May be used by several threads at once; a child of `fork` may use the classifiers of its parent. What is noticed
    while the weights are opened goes to the logger `hgnet`.
    """

    def __init__(
        self,
        weights: Weights = "PPHGNetV2_B4",
        *,
        threads: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
        model: str | None = None,
        recipe: str | os.PathLike[str] = "weights",
        labels: str | os.PathLike[str] | typing.Sequence[str] | None = None,
        resize_short: int | None = None,
        crop_size: int | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        offline: bool = False,
    ) -> None:
        self._handle = _native.Handle()
        # What opens the same weights in another process.
        self._arguments = {
            "weights": None if isinstance(weights, (bytes, bytearray, memoryview)) else weights,
            "threads": threads,
            "device": device,
            "precision": precision,
            "model": model,
            "recipe": recipe,
            "labels": labels,
            "resize_short": resize_short,
            "crop_size": crop_size,
            "top_k": top_k,
            "threshold": threshold,
            "offline": offline,
        }
        options = _native.Options()
        options.struct_size = ctypes.sizeof(options)
        options.threads = _number(threads, "threads", 1, 1024)
        options.resize_short = _number(resize_short, "resize_short", 1, 1 << 15)
        options.crop_size = _number(crop_size, "crop_size", 1, 1 << 15)
        options.top_k = _number(top_k, "top_k", 1, 2**31 - 1)
        if threshold is not None:
            # 0 says nothing; every score reaches the smallest number above it.
            options.threshold = float(threshold) or 5e-324
        options.precision = _choice(precision, "precision", PRECISIONS)
        options.device = str(device).encode()
        options.model = None if model is None else str(model).encode()
        if recipe in RECIPES:
            options.recipe = RECIPES[typing.cast(str, recipe)]
        else:
            options.recipe_file = _inputs.path_of(recipe, "recipe")
        self._log_hook = _native.LogHook(_log_line)
        options.log = self._log_hook
        with _inputs.labels_file(labels) as file:
            options.labels_file = file
            self._open(weights, options, offline)
        description = _native.Description()
        description.struct_size = ctypes.sizeof(description)
        _native.check(_native.library.hgnet_classifier_describe(self._handle, ctypes.byref(description)))
        self._description = description
        if not isinstance(labels, (str, os.PathLike, type(None))) and len(list(labels)) != self.class_count:
            self.close()
            raise errors.InvalidArgument(f"expected labels for {self.class_count} classes, found {len(list(labels))}")

    def _open(self, weights: Weights, options: _native.Options, offline: bool) -> None:
        handle, library = ctypes.byref(self._handle), _native.library
        if isinstance(weights, (bytes, bytearray, memoryview)):
            options.keeps_features = 1
            content = bytes(weights)
            _native.check(library.hgnet_classifier_open_memory(content, len(content), ctypes.byref(options), handle))
            return
        path = _inputs.path_of(weights, "weights")
        if isinstance(weights, str) and not _is_file(weights):
            path = os.fsencode(published.fetch(weights, offline=offline))
        _native.check(library.hgnet_classifier_open(path, ctypes.byref(options), handle))

    # ---- What it is ----

    @property
    def model(self) -> str | None:
        """The name of the model; None for an inference model, which brings its own network."""
        return self._description.model.decode() or None

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return self._description.class_count

    @functools.cached_property
    def labels(self) -> list[str] | None:
        """The names of the classes; None where the weights have none."""
        if not self._description.has_labels:
            return None
        names, label = [], ctypes.c_char_p()
        for index in range(self.class_count):
            _native.check(_native.library.hgnet_classifier_label(self._opened(), index, ctypes.byref(label)))
            names.append((label.value or b"").decode("utf-8", "replace"))
        return names

    @property
    def classes_(self) -> np.ndarray:
        """The classes in the order of the columns of `predict_proba`: names, or numbers where there are none."""
        return np.arange(self.class_count) if self.labels is None else np.array(self.labels, dtype=object)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of a picture after the recipe, in pixels."""
        return self._description.height, self._description.width

    @property
    def embedding_count(self) -> int:
        """How many values an embedding has."""
        return self._description.embedding_count

    @property
    def threads(self) -> int:
        """How many threads run the network."""
        return self._description.threads

    @property
    def device(self) -> str:
        """What runs the network, in words."""
        return self._description.device.decode()

    @property
    def precision(self) -> str:
        """What the network computes with: `float32`, `bfloat16` or `int8`."""
        return list(PRECISIONS)[self._description.precision]

    @property
    def activation(self) -> str | None:
        """What turns logits into scores: `softmax`, `sigmoid` or `none`."""
        return ACTIVATIONS[self._description.activation]

    @property
    def recipe_origin(self) -> str:
        """Where the recipe was found: `given`, `beside`, `inside`, `published` or `assumed`."""
        return ORIGINS[self._description.recipe_origin]

    def __repr__(self) -> str:
        if not self._handle.id:
            return "<Classifier: closed>"
        height, width = self.input_size
        return (
            f"<Classifier: {self.model or 'inference model'}, {self.class_count} classes, {height}×{width}, "
            f"{self.device}>"
        )

    # ---- Pictures ----

    @typing.overload
    def predict(
        self,
        images: str | bytes | os.PathLike[str] | np.ndarray,
        top_k: int | None = ...,
        *,
        channels: str = ...,
        on_error: str = ...,
    ) -> Prediction: ...

    @typing.overload
    def predict(
        self, images: typing.Sequence[typing.Any], top_k: int | None = ..., *, channels: str = ..., on_error: str = ...
    ) -> Predictions: ...

    @typing.overload
    def predict(
        self, images: typing.Iterator[typing.Any], top_k: int | None = ..., *, channels: str = ..., on_error: str = ...
    ) -> typing.Iterator[Prediction]: ...

    def predict(self, images, top_k=None, *, channels="RGB", on_error="raise"):
        """Classifies pictures.

        - `images`: a picture (a path, the bytes of a file, an array `[H, W, 3]`, `[H, W, 4]` or `[H, W]` of uint8, or an
          image of Pillow), a folder, a sequence or an array `[N, H, W, C]` of pictures, or an iterator of pictures.
        - `top_k`: how many classes, the best first; None for the choice of the recipe.
        - `channels`: `"RGB"`, or `"BGR"` for arrays as OpenCV makes them.
        - `on_error`: `"raise"`, or `"return"` for a prediction whose `error` says why a picture cannot be read.

        Returns a `Prediction` for a picture, a list of them for a folder, a sequence or an array, and for an iterator
        an iterator, which reads ahead no more than 16 pictures. Pictures are decoded side by side and run together;
        the results do not depend on which come together.
        """
        top = _number(top_k, "top_k", 1, 2**31 - 1)
        if on_error not in ("raise", "return"):
            raise errors.InvalidArgument(f"expected on_error of raise or return, found {on_error!r}")
        self._opened()
        work = functools.partial(self._predict, top_k=top, channels=channels, is_strict=on_error == "raise")
        if _inputs.is_one(images):
            return work([images])[0]
        images = _inputs.pictures_of(images)
        if isinstance(images, collections.abc.Sequence):
            return Predictions(itertools.chain.from_iterable(work(part) for part in _inputs.parts(images)))
        return (prediction for part in _inputs.parts(images) for prediction in work(part))

    def _predict(
        self, images: typing.Sequence[typing.Any], top_k: int, channels: str, is_strict: bool
    ) -> list[Prediction]:
        pictures = _pictures.PictureList(images, channels)
        capacity = min(top_k or self.class_count, self.class_count)
        classes = np.empty((len(images), capacity), _SCORED)
        outcomes = (_native.Outcome * len(images))()
        _native.check(
            _native.library.hgnet_pictures_classify(
                self._opened(), pictures.address, len(images), top_k, classes.ctypes.data, capacity, outcomes
            )
        )
        labels = self.labels
        predictions = []
        for image, row, outcome in zip(images, classes, outcomes):
            error = _error(outcome)
            if error is not None and is_strict:
                raise error
            found = row[: outcome.count].tolist()
            scores = [Score(index, score, labels[index] if labels else None) for index, score, _ in found]
            predictions.append(Prediction(scores, image, error))
        return predictions

    def predict_proba(self, images: typing.Any, *, channels: str = "RGB") -> np.ndarray:
        """The scores of all classes, as scikit-learn's classifiers give them.

        - `images`: as of `predict`; a single picture counts as a list of one.

        Returns float64 `[N, class_count]`; the columns are `classes_`.
        """
        return self._rows(images, channels, self.class_count, np.float64, _native.library.hgnet_pictures_scores)

    def embed(self, images: typing.Any, *, channels: str = "RGB") -> np.ndarray:
        """The embeddings: what the last layer of the classifier reads, for search by similarity.

        - `images`: as of `predict`.

        Returns float32 `[N, embedding_count]`, or `[embedding_count]` for a single picture. The first call compiles the
        network a second time, whose weights are then in memory twice.
        """
        rows = self._rows(images, channels, self.embedding_count, np.float32, _native.library.hgnet_pictures_embed)
        return rows[0] if _inputs.is_one(images) else rows

    def _rows(
        self, images: typing.Any, channels: str, columns: int, dtype: type, function: typing.Callable[..., int]
    ) -> np.ndarray:
        self._opened()
        images = [images] if _inputs.is_one(images) else _inputs.pictures_of(images)
        parts: list[np.ndarray] = [np.empty((0, columns), dtype)]
        for part in _inputs.parts(images):
            pictures = _pictures.PictureList(part, channels)
            rows: np.ndarray = np.empty((len(part), columns), dtype)
            outcomes = (_native.Outcome * len(part))()
            _native.check(function(self._opened(), pictures.address, len(part), rows.ctypes.data, rows.size, outcomes))
            for outcome in outcomes:
                error = _error(outcome)
                if error is not None:
                    raise error
            parts.append(rows)
        return np.concatenate(parts)

    def preprocess(self, images: typing.Any, *, channels: str = "RGB") -> np.ndarray:
        """What the network sees of pictures: decoded, resized, cropped, normalised.

        - `images`: as of `predict`; a single picture counts as a list of one.

        Returns float32 `[N, 3, H, W]`, red, green, blue. Raises `ShapeMismatch` for pictures that the recipe leaves in
        different sizes.
        """
        images = [images] if _inputs.is_one(images) else _inputs.pictures_of(images)
        tensors = [
            self._preprocess(entry) for part in _inputs.parts(images) for entry in _inputs.entries(part, channels)
        ]
        sizes = sorted({tensor.shape[1:] for tensor in tensors})
        if len(sizes) > 1:
            raise errors.ShapeMismatch(f"expected pictures of one size after the recipe, found {sizes}")
        return np.stack(tensors) if tensors else np.empty((0, 3, *self.input_size), np.float32)

    def _preprocess(self, picture: _native.Picture) -> np.ndarray:
        library, handle = _native.library, self._opened()
        height, width = ctypes.c_int32(self.input_size[0]), ctypes.c_int32(self.input_size[1])
        while True:
            tensor = np.empty((3, height.value, width.value), np.float32)
            place = (tensor.ctypes.data, tensor.size, ctypes.addressof(height), ctypes.addressof(width))
            if picture.path is not None:
                status = library.hgnet_file_preprocess(handle, picture.path, *place)
            elif picture.bytes is not None:
                status = library.hgnet_encoded_preprocess(handle, picture.bytes, picture.byte_count, *place)
            else:
                status = library.hgnet_pixels_preprocess(
                    handle, picture.pixels, picture.height, picture.width, picture.bytes_per_row, picture.format, *place
                )
            if status != _native.BUFFER_TOO_SMALL:
                _native.check(status)
                return tensor.ravel()[: 3 * height.value * width.value].reshape(3, height.value, width.value)

    # ---- Tensors ----

    def run(self, x: typing.Any) -> np.ndarray:
        """Runs the network on a tensor.

        - `x`: float32 `[N, 3, H, W]`, normalised as the recipe does it: an array, or whatever has `__array_interface__`
          or `__dlpack__`, such as a tensor of PyTorch. Other floats are converted.

        Returns the logits, float32 `[N, class_count]`; no softmax.
        """
        x = _inputs.tensor(x)
        logits = np.empty((x.shape[0], self.class_count), np.float32)
        if x.shape[0]:
            _native.check(
                _native.library.hgnet_tensor_run(
                    self._opened(), x.ctypes.data, x.shape[0], x.shape[2], x.shape[3], logits.ctypes.data, logits.size
                )
            )
        return logits

    __call__ = run

    def forward_features(self, x: typing.Any, stage: int = -1) -> np.ndarray:
        """The map of a stage; by default of the last one, as timm's `forward_features` gives it.

        - `x`: a tensor as of `run`, or pictures as of `predict`.
        - `stage`: 0 to 3 (one value for 4, 8, 16 or 32 pixels of the input), or from the end.

        Returns float32 `[N, C, H, W]`. The first call compiles the network a second time, whose weights are then in
        memory twice.
        """
        x = _inputs.tensor(x) if _inputs.is_tensor(x) else self.preprocess(x)
        count = self._description.stage_count
        if not -count <= stage < count:
            raise errors.InvalidArgument(f"expected a stage of {-count} to {count - 1}, found {stage}")
        shape = (ctypes.c_size_t * 4)()
        arguments = (self._opened(), x.ctypes.data, x.shape[0], x.shape[2], x.shape[3], stage % count)
        status = _native.library.hgnet_tensor_features(*arguments, None, 0, ctypes.byref(shape))
        if status != _native.BUFFER_TOO_SMALL:
            _native.check(status)
        features = np.empty(tuple(shape), np.float32)
        _native.check(
            _native.library.hgnet_tensor_features(*arguments, features.ctypes.data, features.size, ctypes.byref(shape))
        )
        return features

    # ---- Coming and going ----

    def _opened(self) -> _native.Handle:
        if not self._handle.id:
            raise errors.Closed("expected an open classifier, found one that is closed")
        return self._handle

    def close(self) -> None:
        """Gives the memory back; calls of other threads that are under way end normally. A second call does nothing."""
        handle, self._handle = self._handle, _native.Handle()
        if handle.id:
            _native.check(_native.library.hgnet_classifier_close(handle))

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and handle.id and _native is not None:
            _native.library.hgnet_classifier_close(handle)

    def __reduce__(self) -> tuple[typing.Any, ...]:
        self._opened()
        if self._arguments["weights"] is None:
            raise TypeError("a classifier of bytes cannot be pickled; open the weights anew in the other process")
        return _reopen, (self._arguments,)


def _reopen(arguments: dict[str, typing.Any]) -> Classifier:
    return Classifier(**arguments)


def _log_line(_: object, level: int, line: bytes) -> None:
    _log.log(logging.WARNING if level else logging.INFO, "%s", line.decode("utf-8", "replace"))


def _error(outcome: _native.Outcome) -> errors.Error | None:
    return errors.of_status(outcome.status, outcome.text.decode("utf-8", "replace")) if outcome.status else None


def _number(value: int | None, name: str, low: int, high: int) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise errors.InvalidArgument(f"expected {name} of {low} to {high} or None, found {value!r}")
    return int(value)


def _choice(value: str, name: str, known: dict[str, int]) -> int:
    if value not in known:
        raise errors.InvalidArgument(f"expected a {name} of {', '.join(known)}, found {value!r}")
    return known[value]


def _is_file(weights: str) -> bool:
    """Whether a text names a file rather than published weights."""
    if os.path.exists(weights) or os.path.exists(weights + ".pdparams"):
        return True
    if os.sep in weights:
        return True
    try:
        published.find(weights)
    except errors.Error:
        # The library says what is wrong with a path; a bare word was a name.
        return "." in weights
    return False
