"""The networks of the family with random weights, twice: as an ONNX graph and as a safetensors file.

The ONNX graph is what an exporter makes of the model: convolutions with explicit pads, batch normalisation left to the
runtime to fold, the learnable affine block as a multiplication and an addition by scalars. The safetensors file holds
the same values under PaddlePaddle's names and in PaddlePaddle's layout.
"""

import json
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# name: (stem middle and output channels, learnable affine blocks, layers per block, stages)
# stage: (input, middle and output channels, blocks, downsample, light, kernel)
MODELS = {
    "PPHGNetV2_B0": ((16, 16), True, 3, [
        (16, 16, 64, 1, False, False, 3), (64, 32, 256, 1, True, False, 3),
        (256, 64, 512, 2, True, True, 5), (512, 128, 1024, 1, True, True, 5)]),
    "PPHGNetV2_B1": ((24, 32), True, 3, [
        (32, 32, 64, 1, False, False, 3), (64, 48, 256, 1, True, False, 3),
        (256, 96, 512, 2, True, True, 5), (512, 192, 1024, 1, True, True, 5)]),
    "PPHGNetV2_B2": ((24, 32), True, 4, [
        (32, 32, 96, 1, False, False, 3), (96, 64, 384, 1, True, False, 3),
        (384, 128, 768, 3, True, True, 5), (768, 256, 1536, 1, True, True, 5)]),
    "PPHGNetV2_B3": ((24, 32), True, 5, [
        (32, 32, 128, 1, False, False, 3), (128, 64, 512, 1, True, False, 3),
        (512, 128, 1024, 3, True, True, 5), (1024, 256, 2048, 1, True, True, 5)]),
    "PPHGNetV2_B4": ((32, 48), False, 6, [
        (48, 48, 128, 1, False, False, 3), (128, 96, 512, 1, True, False, 3),
        (512, 192, 1024, 3, True, True, 5), (1024, 384, 2048, 1, True, True, 5)]),
    "PPHGNetV2_B5": ((32, 64), False, 6, [
        (64, 64, 128, 1, False, False, 3), (128, 128, 512, 2, True, False, 3),
        (512, 256, 1024, 5, True, True, 5), (1024, 512, 2048, 2, True, True, 5)]),
    "PPHGNetV2_B6": ((48, 96), False, 6, [
        (96, 96, 192, 2, False, False, 3), (192, 192, 512, 3, True, False, 3),
        (512, 384, 1024, 6, True, True, 5), (1024, 768, 2048, 3, True, True, 5)]),
}


class Network:
    """Builds one model of the table; `graph` is the ONNX model, `parameters` maps names to float32 arrays."""

    def __init__(self, name, seed, classes=1000):
        (middle, out), self.affine, self.layers, stages = MODELS[name]
        self.random = np.random.default_rng(seed)
        self.parameters, self.nodes, self.initializers = {}, [], []

        x = self.unit("stem.stem1", "input", 3, middle, 3, stride=2)
        pads = [0, 0, 1, 1]  # kernel 2, stride 1, "SAME": the padding lies at the bottom and at the right
        branch = self.unit("stem.stem2a", x, middle, middle // 2, 2, pads=pads)
        branch = self.unit("stem.stem2b", branch, middle // 2, middle, 2, pads=pads)
        pooled = self.node("MaxPool", [x], "stem.pool", kernel_shape=[2, 2], strides=[1, 1], pads=pads)
        x = self.node("Concat", [pooled, branch], "stem.concat", axis=1)
        x = self.unit("stem.stem3", x, 2 * middle, middle, 3, stride=2)
        x = self.unit("stem.stem4", x, middle, out, 1)
        for index, row in enumerate(stages):
            x = self.stage(f"stages.{index}", x, *row)
        x = self.node("GlobalAveragePool", [x], "pool")
        x = self.convolution("last_conv.weight", "last_conv", x, stages[-1][2], 2048, 1)
        x = self.node("Relu", [x], "relu")
        if self.affine:
            x = self.affine_block("lab", x)
        x = self.node("Flatten", [x], "flatten", axis=1)
        limit = np.sqrt(6 / (2048 + classes))
        weight = self.parameter("fc.weight", self.random.uniform(-limit, limit, (2048, classes)))
        bias = self.parameter("fc.bias", self.random.normal(0, 0.1, classes))
        self.nodes.append(helper.make_node("Gemm", [x, weight, bias], ["logits"], name="fc"))

        self.graph = helper.make_model(
            helper.make_graph(
                self.nodes, name,
                [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, "H", "W"])],
                [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])],
                self.initializers),
            opset_imports=[helper.make_opsetid("", 17)])
        self.graph.ir_version = 8
        onnx.checker.check_model(self.graph)

    def stage(self, path, x, inputs, middle, outputs, blocks, downsample, light, kernel):
        if downsample:
            x = self.unit(f"{path}.downsample", x, inputs, inputs, 3, stride=2, groups=inputs, activation=False)
        for block in range(blocks):
            x = self.block(f"{path}.blocks.{block}", x, inputs if block == 0 else outputs, middle, outputs, light,
                           kernel, residual=block > 0)
        return x

    def block(self, path, x, inputs, middle, outputs, light, kernel, residual):
        kept, channels, y = [x], inputs, x
        for layer in range(self.layers):
            prefix = f"{path}.layers.{layer}"
            if light:
                y = self.unit(f"{prefix}.conv1", y, channels, middle, 1, activation=False)
                y = self.unit(f"{prefix}.conv2", y, middle, middle, kernel, groups=middle)
            else:
                y = self.unit(prefix, y, channels, middle, kernel)
            kept.append(y)
            channels = middle
        y = self.node("Concat", kept, f"{path}.concat", axis=1)
        total = inputs + self.layers * middle
        y = self.unit(f"{path}.aggregation_squeeze_conv", y, total, outputs // 2, 1)
        y = self.unit(f"{path}.aggregation_excitation_conv", y, outputs // 2, outputs, 1)
        return self.node("Add", [y, x], f"{path}.add") if residual else y

    def unit(self, path, x, inputs, outputs, kernel, stride=1, groups=1, pads=None, activation=True):
        """Convolution, batch normalisation and, with an activation, ReLU and the affine block."""
        x = self.convolution(f"{path}.conv.weight", f"{path}.conv", x, inputs, outputs, kernel, stride, groups, pads,
                             gain=2 if activation else 1)
        names = [
            self.parameter(f"{path}.bn.weight", self.random.uniform(0.8, 1.2, outputs)),
            self.parameter(f"{path}.bn.bias", self.random.normal(0, 0.1, outputs)),
            self.parameter(f"{path}.bn._mean", self.random.normal(0, 0.1, outputs)),
            self.parameter(f"{path}.bn._variance", self.random.uniform(0.7, 1.4, outputs))]
        x = self.node("BatchNormalization", [x, *names], f"{path}.bn", epsilon=1e-5)
        if not activation:
            return x
        x = self.node("Relu", [x], f"{path}.relu")
        return self.affine_block(f"{path}.lab", x) if self.affine else x

    def convolution(self, name, path, x, inputs, outputs, kernel, stride=1, groups=1, pads=None, gain=2):
        shape = (outputs, inputs // groups, kernel, kernel)
        deviation = np.sqrt(gain / np.prod(shape[1:]))
        weight = self.parameter(name, self.random.normal(0, deviation, shape))
        return self.node("Conv", [x, weight], path, kernel_shape=[kernel, kernel], strides=[stride, stride],
                         group=groups, pads=pads or [(kernel - 1) // 2] * 4)

    def affine_block(self, path, x):
        scale = self.parameter(f"{path}.scale", self.random.uniform(0.8, 1.2, 1))
        bias = self.random.normal(0, 0.1, 1)
        if path == "stem.stem1.lab":
            # timm pads the maximum pool behind it with zeros; PaddlePaddle lets the border never win. Where nothing is
            # negative the two agree.
            bias = np.abs(bias)
        bias = self.parameter(f"{path}.bias", bias)
        return self.node("Add", [self.node("Mul", [scale, x], f"{path}.mul"), bias], f"{path}.add")

    def parameter(self, name, values):
        array = np.ascontiguousarray(values, dtype=np.float32)
        self.parameters[name] = array
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator, inputs, path, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [path], name=path, **attributes))
        return path


def write_safetensors(parameters, path):
    """Writes float32 arrays in the safetensors format: the length of a JSON header, the header, the bytes."""
    header, offset = {}, 0
    for name, array in parameters.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for array in parameters.values():
            file.write(array.astype("<f4", copy=False).tobytes())
