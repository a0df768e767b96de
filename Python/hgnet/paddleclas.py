"""`PaddleClas` in the form of PaddleClas' own wheel, so that code which was written for it runs.

from hgnet import PaddleClas

model = PaddleClas(model_name="PPHGNetV2_B4")
for result in model.predict(input_data="photos/"):
    print(result)
"""

from __future__ import annotations

import os
import tempfile
import typing
import urllib.request

import numpy as np

from . import errors
from ._inputs import pictures_in
from .classifier import Classifier
from .predictions import Prediction


class PaddleClas:
    """A model of PaddleClas by name, or an exported one.

    - `model_name`: such as `"PPHGNetV2_B4"`; its published weights are fetched once.
    - `inference_model_dir`: the folder of an inference model, in place of a name; any other weights do, too.
    - `use_gpu`, `use_tensorrt`, `gpu_mem` and whatever else sets up PaddlePaddle are accepted and not looked at.
    - `batch_size`: how many results a step of `predict` gives (1).
    - `topk`: how many classes (5); `threshold` for models of several labels.
    - `class_id_map_file`: lines "index name".
    - `resize_short`, `crop_size`: pixels (256, 224).
    - `cpu_num_threads`: threads; by default as many as the process may use.

    Pictures are prepared as PaddleClas' deployment does it, except where an `inference.yml` lies in the folder of the
    model.
    """

    def __init__(
        self,
        model_name: str | None = None,
        inference_model_dir: str | os.PathLike[str] | None = None,
        *,
        batch_size: int = 1,
        topk: int = 5,
        threshold: float | None = None,
        class_id_map_file: str | os.PathLike[str] | None = None,
        resize_short: int | None = None,
        crop_size: int | None = None,
        cpu_num_threads: int | None = None,
        **others: typing.Any,
    ) -> None:
        if (model_name is None) == (inference_model_dir is None):
            raise errors.InvalidArgument("expected model_name or inference_model_dir, one of the two")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise errors.InvalidArgument(f"expected a batch_size of 1 or more, found {batch_size!r}")
        weights = model_name if inference_model_dir is None else inference_model_dir
        options: dict[str, typing.Any] = {
            "threads": cpu_num_threads,
            "labels": class_id_map_file,
            "resize_short": resize_short,
            "crop_size": crop_size,
            "top_k": None if threshold is not None else topk,
            "threshold": threshold,
        }
        recipe_file = os.path.join(os.fspath(inference_model_dir or ""), "inference.yml")
        recipe = "weights" if inference_model_dir is not None and os.path.exists(recipe_file) else "deployment"
        self._classifier = Classifier(typing.cast(str, weights), recipe=recipe, **options)
        self._batch_size = batch_size

    def predict(
        self, input_data: str | np.ndarray, print_pred: bool = False, predict_type: str = "cls"
    ) -> typing.Iterator[list[dict[str, typing.Any]]]:
        """Classifies a picture, the pictures of a folder, an address or an array.

        - `input_data`: a path, a folder, an `http` address, or an array `[H, W, 3]` of uint8, red first, as PaddleClas'
          wheel takes it.
        - `print_pred`: print each result as well.

        Gives lists of `batch_size` results, each with `class_ids`, `scores` (rounded to five decimals), `label_names` and
        `filename`; arrays have no `filename`. Pictures that cannot be read are passed over with a line in the log.
        """
        if isinstance(input_data, np.ndarray):
            yield [_result(self._classifier.predict(input_data))]
            return
        if not isinstance(input_data, str):
            raise errors.InvalidArgument(
                f"expected a path, a folder, an address or an array, found {type(input_data).__name__}"
            )
        with tempfile.TemporaryDirectory(prefix="hgnet-") as folder:
            if input_data.startswith(("http://", "https://")):
                path = os.path.join(folder, os.path.basename(input_data.split("?")[0]) or "picture")
                urllib.request.urlretrieve(input_data, path)
                paths = [path]
            elif os.path.isdir(input_data):
                paths = pictures_in(input_data)
            else:
                paths = [input_data]
            for first in range(0, len(paths), self._batch_size):
                batch = paths[first : first + self._batch_size]
                results = []
                for prediction in self._classifier.predict(batch, on_error="return"):
                    if prediction.error is not None:
                        if len(paths) == 1:
                            raise prediction.error
                        _warn(prediction)
                        continue
                    results.append({**_result(prediction), "filename": prediction.source})
                    if print_pred:
                        print(_line(results[-1]))
                if results:
                    yield results


def _result(prediction: Prediction) -> dict[str, typing.Any]:
    return {
        "class_ids": [score.class_id for score in prediction],
        "scores": [float(np.around(score.score, decimals=5)) for score in prediction],
        "label_names": [score.label for score in prediction if score.label is not None],
    }


def _line(result: dict[str, typing.Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in result.items())


def _warn(prediction: Prediction) -> None:
    import logging

    logging.getLogger("hgnet").warning("%s; the picture is passed over", prediction.error)
