"""Quantises models of ../onnx with ONNX Runtime and NNCF, and writes what ONNX Runtime computes with the results.

    python make.py

The input of expected.tsv is x[n] = (7 n mod 23) / 11 - 1 for the n-th value of [32, 32, 3]. Calibration sees sixteen
inputs of the same kind with other factors. Values get short names; traces of the programs are removed.
"""

import os

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization import QuantFormat, QuantType

HERE = os.path.dirname(os.path.abspath(__file__))
SIDE = 32


def picture(factor=7):
    values = (factor * np.arange(SIDE * SIDE * 3) % 23) / 11 - 1
    return values.astype("float32").reshape(1, SIDE, SIDE, 3).transpose(0, 3, 1, 2).copy()


PICTURES = [picture(factor) for factor in (7, *range(2, 32, 2))]


class Reader(quantization.CalibrationDataReader):
    def __init__(self, name):
        self.pictures = iter([{name: picture} for picture in PICTURES])

    def get_next(self):
        return next(self.pictures, None)


def source(name):
    return os.path.join(HERE, name + ".onnx" if name == "tiny" else "../onnx/" + name + ".onnx")


def make_tiny():
    """A convolution and a linear layer, enough for what is refused."""
    generator = np.random.default_rng(1)
    constants = {name: generator.standard_normal(shape).astype("float32") for name, shape in [
        ("w", (4, 3, 3, 3)), ("b", (4,)), ("fc", (4, 3)), ("fb", (3,))]}
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Relu", ["c"], ["r"]),
        onnx.helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        onnx.helper.make_node("Flatten", ["g"], ["f"]),
        onnx.helper.make_node("Gemm", ["f", "fc", "fb"], ["y"]),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "tiny", [value("x", 1, ["n", 3, SIDE, SIDE])], [value("y", 1, ["n", 3])],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10), source("tiny"))


def by_onnxruntime(name, target, **options):
    onnxruntime.set_default_logger_severity(3)
    model = onnx.load(source(name))
    path = os.path.join(HERE, target + ".onnx")
    settings = dict(quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    settings.update(options)
    quantization.quantize_static(source(name), path, Reader(model.graph.input[0].name), **settings)
    return path


def by_nncf(name, target):
    import nncf

    model = onnx.load(source(name))
    data = nncf.Dataset(PICTURES, lambda picture: {model.graph.input[0].name: picture})
    path = os.path.join(HERE, target + ".onnx")
    onnx.save(nncf.quantize(model, data, subset_size=len(PICTURES)), path)
    return path


def with_quantised_input(path, target):
    """The same network without its first QuantizeLinear: it takes bytes."""
    model = onnx.load(path)
    name = model.graph.input[0].name
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == name)
    for node in model.graph.node:
        for index, value in enumerate(node.input):
            if value == first.output[0]:
                node.input[index] = name
    model.graph.node.remove(first)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    onnx.save(model, os.path.join(HERE, target + ".onnx"))
    return os.path.join(HERE, target + ".onnx")


def strip(path):
    model = onnx.load(path)
    for thing in [model, model.graph, *model.graph.node, *model.graph.initializer]:
        if hasattr(thing, "metadata_props"):
            del thing.metadata_props[:]
        thing.doc_string = ""
    del model.graph.value_info[:]
    kept = {value.name for value in [*model.graph.input, *model.graph.output]} | {""}
    short = {}
    def rename(name):
        return name if name in kept else short.setdefault(name, f"v{len(short)}")
    for node in model.graph.node:
        node.name = ""
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for constant in model.graph.initializer:
        constant.name = rename(constant.name)
    onnx.save(model, path)


def main():
    read = [
        by_onnxruntime("timm-script", "ort"),
        by_onnxruntime("paddle2onnx-first", "ort-first"),
        by_onnxruntime("timm-script", "ort-defaults", per_channel=False, activation_type=QuantType.QInt8),
        by_onnxruntime("paddle2onnx-first", "ort-symmetric", activation_type=QuantType.QInt8, extra_options=dict(
            ActivationSymmetric=True, WeightSymmetric=True)),
        by_onnxruntime("timm-script", "ort-asymmetric-weights", per_channel=False, weight_type=QuantType.QUInt8),
        by_nncf("timm-script", "nncf"),
        by_nncf("paddle2onnx-first", "nncf-first"),
    ]
    make_tiny()
    refused = [
        by_onnxruntime("tiny", "refused-qoperator", quant_format=QuantFormat.QOperator),
        by_onnxruntime("tiny", "refused-int4", weight_type=QuantType.QInt4),
        by_onnxruntime("tiny", "refused-int16", activation_type=QuantType.QUInt16),
    ]
    refused.append(with_quantised_input(by_onnxruntime("tiny", "tiny"), "refused-quantised-input"))
    os.remove(source("tiny"))
    lines = []
    for path in read:
        strip(path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        values = session.run(None, {session.get_inputs()[0].name: PICTURES[0]})[0][0]
        lines.append("\t".join([os.path.basename(path), *(f"{value:.8g}" for value in values)]))
    for path in refused:
        strip(path)
    with open(os.path.join(HERE, "expected.tsv"), "w") as file:
        file.write("\n".join(lines) + "\n")


main()
