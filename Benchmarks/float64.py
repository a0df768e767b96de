"""The logits of an ONNX graph in float64: the reference that every engine is compared with before it is timed.

Plain NumPy, for the operators of network.py alone. Each is written as its definition says; a convolution is a sum over
the taps of its kernel.
"""

import numpy as np
from onnx import helper, numpy_helper


def windows(x, attributes, border):
    """For each tap of a kernel its row, its column and the view of [N, C, H, W] that it sees."""
    top, left, bottom, right = attributes["pads"]
    height, width = attributes["kernel_shape"]
    down, across = attributes["strides"]
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=border)
    rows = (x.shape[2] - height) // down + 1
    columns = (x.shape[3] - width) // across + 1
    for row in range(height):
        for column in range(width):
            yield row, column, x[:, :, row:row + down * rows:down, column:column + across * columns:across]


def convolution(attributes, x, weight):
    total = 0
    for row, column, view in windows(x, attributes, 0.0):
        tap = weight[:, :, row, column]
        if attributes["group"] == 1:
            batch, channels, height, width = view.shape
            total = total + (tap @ view.reshape(batch, channels, -1)).reshape(batch, -1, height, width)
        else:  # depthwise
            total = total + view * tap.reshape(1, -1, 1, 1)
    return total


def normalization(attributes, x, scale, bias, mean, variance):
    factor = scale / np.sqrt(variance + attributes["epsilon"])
    return x * factor.reshape(1, -1, 1, 1) + (bias - mean * factor).reshape(1, -1, 1, 1)


def pooling(attributes, x):
    return np.maximum.reduce([view for _, _, view in windows(x, attributes, -np.inf)])


OPERATORS = {
    "Conv": convolution,
    "BatchNormalization": normalization,
    "MaxPool": pooling,
    "Relu": lambda attributes, x: np.maximum(x, 0),
    "Mul": lambda attributes, x, y: x * y,
    "Add": lambda attributes, x, y: x + y,
    "Concat": lambda attributes, *parts: np.concatenate(parts, axis=attributes["axis"]),
    "GlobalAveragePool": lambda attributes, x: x.mean(axis=(2, 3), keepdims=True),
    "Flatten": lambda attributes, x: x.reshape(len(x), -1),
    "Gemm": lambda attributes, x, weight, bias: x @ weight + bias,
}


def logits(model, pictures):
    """The logits [N, classes] of pictures [N, 3, H, W], one picture after the other."""
    parameters = {each.name: numpy_helper.to_array(each).astype(np.float64) for each in model.graph.initializer}
    uses = {}
    for node in model.graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    answers = []
    for picture in pictures:
        left, values = dict(uses), {"input": picture[None].astype(np.float64)}
        for node in model.graph.node:
            attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            inputs = [parameters[name] if name in parameters else values[name] for name in node.input]
            values[node.output[0]] = OPERATORS[node.op_type](attributes, *inputs)
            for name in node.input:
                left[name] -= 1
                if left[name] == 0:
                    values.pop(name, None)
        answers.append(values["logits"][0])
    return np.stack(answers)
