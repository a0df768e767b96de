"""A session in the form of ONNX Runtime's, for programs that have one."""

from __future__ import annotations

import os
import typing

import numpy as np

from . import errors
from .classifier import Classifier


class NodeArg:
    """An input or output: its name, its shape and its type, as `onnxruntime.NodeArg`."""

    def __init__(self, name: str, shape: list[typing.Any]) -> None:
        self.name, self.shape, self.type = name, shape, "tensor(float)"

    def __repr__(self) -> str:
        return f"NodeArg(name='{self.name}', type='{self.type}', shape={self.shape})"


class SessionOptions:
    """The one option of `onnxruntime.SessionOptions` that has a meaning here; others may be set and do nothing."""

    def __init__(self) -> None:
        #: 0 for as many threads as the process may use.
        self.intra_op_num_threads = 0


class InferenceSession:
    """Runs a model as `onnxruntime.InferenceSession` does.

        session = hgnet.InferenceSession("inference.onnx")
        scores = session.run(None, {session.get_inputs()[0].name: x})[0]

    - `path_or_bytes`: an ONNX model or any other weights that `Classifier` opens.
    - `sess_options`: `SessionOptions`, here or of onnxruntime.
    - `providers`: accepted and not looked at; `device` and `precision` are those of `Classifier`.

    There is one input, float32 `[N, 3, H, W]`, whatever the caller calls it, and one output: what the model itself
    gives, scores where it ends in a softmax or sigmoid, else logits.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: typing.Any = None,
        providers: typing.Sequence[typing.Any] | None = None,
        provider_options: typing.Any = None,
        *,
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        threads = getattr(sess_options, "intra_op_num_threads", 0) or None
        self._classifier = Classifier(path_or_bytes, threads=threads, device=device, precision=precision)
        self._activation = self._classifier._description.file_activation

    def get_inputs(self) -> list[NodeArg]:
        """The input."""
        return [NodeArg("x", ["N", 3, *self._classifier.input_size])]

    def get_outputs(self) -> list[NodeArg]:
        """The output."""
        return [
            NodeArg("probabilities" if self._activation in (1, 2) else "logits", ["N", self._classifier.class_count])
        ]

    def get_providers(self) -> list[str]:
        """What runs the network."""
        return ["CPUExecutionProvider"]

    def run(
        self,
        output_names: typing.Sequence[str] | None,
        input_feed: typing.Mapping[str, typing.Any],
        run_options: object = None,
    ) -> list[np.ndarray]:
        """Runs the model.

        - `output_names`: None, or a list with the name of the output.
        - `input_feed`: the tensor under any name.

        Returns a list of one array, float32 `[N, class_count]`. Raises `InvalidArgument` for other names or several
        inputs.
        """
        output = self.get_outputs()[0].name
        if output_names is not None and list(output_names) != [output]:
            raise errors.InvalidArgument(f"expected output_names of None or ['{output}'], found {list(output_names)}")
        if len(input_feed) != 1:
            raise errors.InvalidArgument(f"expected one input, found {sorted(input_feed)}")
        logits = self._classifier.run(next(iter(input_feed.values())))
        return [activate(logits, self._activation)]


def activate(logits: np.ndarray, activation: int) -> np.ndarray:
    """What an activation of `hgnet_activation` makes of logits."""
    if activation == 1:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    if activation == 2:
        return 1 / (1 + np.exp(-logits))
    return logits
