"""Loads the files that this package wrote with PaddlePaddle and compares them; run it in this folder.

Needs paddlepaddle 3.3.1. Warnings count as errors.
"""

import warnings

import numpy as np
import paddle

expected = paddle.load("protocol4.pdparams")
for name in ("written2.pdparams", "written4.pdparams"):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paddle.load(name)
    assert set(found) == set(expected), name
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype and found[key].shape == tensor.shape, (name, key)
        assert (found[key].astype("float32").numpy() == tensor.astype("float32").numpy()).all(), (name, key)
        assert found[key].name == tensor.name, (name, key)
    print(name, "as expected")
