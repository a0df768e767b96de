"""Writes the inference models of this folder with PaddlePaddle; see README.md.

usage: python generate.py FOLDER [--full-size]

Without --full-size: the small networks, in every encoding. With it: B0 and B4, for a check by hand.
The program encoding is a switch of the process, so the script starts itself once per encoding.
"""

import copy
import os
import subprocess
import sys

def append(operator, x, y=None):
    """An operator appended by hand, for those that the tracer of the older encoding cannot follow."""
    from paddle.base.layer_helper import LayerHelper

    helper = LayerHelper(operator)
    out = helper.create_variable_for_type_inference(x.dtype)
    helper.append_op(type=operator, inputs={"X": x} if y is None else {"X": x, "Y": y}, outputs={"Out": out})
    return out


def is_tracing_program_desc():
    import paddle

    return os.environ.get("FLAGS_enable_pir_api") == "0" and not paddle.in_dynamic_mode()


def sigmoid(x):
    import paddle

    return append("sigmoid", x) if is_tracing_program_desc() else paddle.nn.functional.sigmoid(x)


def multiply(x, y):
    import paddle

    return append("elementwise_mul", x, y) if is_tracing_program_desc() else paddle.multiply(x=x, y=y)


def networks():
    import paddle
    from paddle import nn

    class Affine(nn.Layer):
        def __init__(self):
            super().__init__()
            self.scale = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))
            self.bias = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))
            self.add_parameter("scale", self.scale)
            self.add_parameter("bias", self.bias)

        def forward(self, x):
            return self.scale * x + self.bias

    class Unit(nn.Layer):
        def __init__(self, inputs, outputs, kernel, stride=1, groups=1, act=True, lab=False, padding=None):
            super().__init__()
            self.conv = nn.Conv2D(
                inputs, outputs, kernel, stride, (kernel - 1) // 2 if padding is None else padding, groups=groups,
                bias_attr=False)
            self.bn = nn.BatchNorm2D(outputs)
            self.act = nn.ReLU() if act else None
            self.lab = Affine() if act and lab else None

        def forward(self, x):
            x = self.bn(self.conv(x))
            if self.act is not None:
                x = self.act(x)
            return x if self.lab is None else self.lab(x)

    class Light(nn.Layer):
        def __init__(self, inputs, outputs, kernel, lab):
            super().__init__()
            self.conv1 = Unit(inputs, outputs, 1, act=False, lab=lab)
            self.conv2 = Unit(outputs, outputs, kernel, groups=outputs, lab=lab)

        def forward(self, x):
            return self.conv2(self.conv1(x))

    class Attention(nn.Layer):
        def __init__(self, channels):
            super().__init__()
            self.avg_pool = nn.AdaptiveAvgPool2D(1)
            self.conv = nn.Conv2D(channels, channels, 1)

        def forward(self, x):
            return multiply(x, sigmoid(self.conv(self.avg_pool(x))))

    class Block(nn.Layer):
        def __init__(self, inputs, mid, outputs, layers, kernel, light, lab, residual, attention):
            super().__init__()
            self.residual = residual
            self.layers = nn.LayerList()
            for i in range(layers):
                source = inputs if i == 0 else mid
                self.layers.append(Light(source, mid, kernel, lab) if light else Unit(source, mid, kernel, lab=lab))
            total = inputs + layers * mid
            if attention:
                self.aggregation = nn.Sequential(Unit(total, outputs, 1), Attention(outputs))
            else:
                self.aggregation = nn.Sequential(
                    Unit(total, outputs // 2, 1, lab=lab), Unit(outputs // 2, outputs, 1, lab=lab))

        def forward(self, x):
            found = [x]
            y = x
            for layer in self.layers:
                y = layer(y)
                found.append(y)
            y = self.aggregation(paddle.concat(found, axis=1))
            return y + x if self.residual else y

    class Stem(nn.Layer):
        def __init__(self, mid, outputs, lab):
            super().__init__()
            self.stem1 = Unit(3, mid, 3, 2, lab=lab)
            self.stem2a = Unit(mid, mid // 2, 2, lab=lab, padding="SAME")
            self.stem2b = Unit(mid // 2, mid, 2, lab=lab, padding="SAME")
            self.stem3 = Unit(mid * 2, mid, 3, 2, lab=lab)
            self.stem4 = Unit(mid, outputs, 1, lab=lab)
            self.pool = nn.MaxPool2D(kernel_size=2, stride=1, ceil_mode=True, padding="SAME")

        def forward(self, x):
            x = self.stem1(x)
            y = self.stem2b(self.stem2a(x))
            return self.stem4(self.stem3(paddle.concat([self.pool(x), y], 1)))

    class Network(nn.Layer):
        def __init__(self, stem, stages, lab, attention, expand, classes, dropout):
            super().__init__()
            if attention:
                units = [Unit(i, o, 3, 2 if k == 0 else 1) for k, (i, o) in enumerate(zip([3] + stem, stem))]
                self.stem = nn.Sequential(*units, nn.MaxPool2D(kernel_size=3, stride=2, padding=1))
            else:
                self.stem = Stem(*stem, lab)
            self.stages = nn.Sequential()
            for i, (inputs, mid, outputs, blocks, downsample, light, kernel, layers) in enumerate(stages):
                parts = [Unit(inputs, inputs, 3, 2, groups=inputs, act=False)] if downsample else []
                for j in range(blocks):
                    parts.append(
                        Block(inputs if j == 0 else outputs, mid, outputs, layers, kernel, light, lab, j > 0, attention))
                self.stages.add_sublayer(str(i), nn.Sequential(*parts))
            self.avg_pool = nn.AdaptiveAvgPool2D(1)
            self.last_conv = nn.Conv2D(stages[-1][2], expand, 1, bias_attr=False)
            self.act = nn.ReLU()
            self.lab = Affine() if lab else None
            self.dropout = nn.Dropout(p=dropout, mode="downscale_in_infer")
            self.flatten = nn.Flatten(start_axis=1, stop_axis=-1)
            self.fc = nn.Linear(expand, classes)

        def forward(self, x):
            x = self.act(self.last_conv(self.avg_pool(self.stages(self.stem(x)))))
            if self.lab is not None:
                x = self.lab(x)
            return self.fc(self.flatten(self.dropout(x)))

    class Export(nn.Layer):
        def __init__(self, base, head):
            super().__init__()
            self.base_model = base
            self.head = head

        def forward(self, x):
            x = self.base_model(x)
            return {"softmax": paddle.nn.functional.softmax, "sigmoid": sigmoid, "none": lambda y: y}[self.head](x)

    return Network, Export


SMALL = {
    # name: (height, width, stem, stages, lab, attention, expand, classes, dropout, head)
    "v2-softmax": (
        64, 32, (4, 4),
        [(4, 4, 8, 1, False, False, 3, 1), (8, 4, 8, 1, True, False, 3, 1), (8, 4, 12, 2, True, True, 5, 1),
         (12, 4, 16, 1, True, True, 5, 1)], True, False, 16, 5, 0.0, "softmax"),
    "v2-sigmoid": (
        32, 48, (4, 4),
        [(4, 4, 8, 1, False, False, 3, 1), (8, 4, 8, 1, True, True, 5, 1)], False, False, 8, 3, 0.0, "sigmoid"),
    "v1-softmax": (
        32, 48, [4, 4, 6],
        [(6, 4, 8, 1, False, False, 3, 2), (8, 4, 8, 2, True, False, 3, 2)], False, True, 12, 4, 0.2, "softmax"),
    "v1-none": (
        32, 32, [4, 4, 4], [(4, 4, 4, 1, False, False, 3, 1)], False, True, 8, 3, 0.2, "none"),
}

FULL = {
    "b0": (
        224, 224, (16, 16),
        [(16, 16, 64, 1, False, False, 3, 3), (64, 32, 256, 1, True, False, 3, 3),
         (256, 64, 512, 2, True, True, 5, 3), (512, 128, 1024, 1, True, True, 5, 3)],
        True, False, 2048, 1000, 0.0, "softmax"),
    "b4": (
        224, 224, (32, 48),
        [(48, 48, 128, 1, False, False, 3, 6), (128, 96, 512, 1, True, False, 3, 6),
         (512, 192, 1024, 3, True, True, 5, 6), (1024, 384, 2048, 1, True, True, 5, 6)],
        False, False, 2048, 1000, 0.0, "softmax"),
}


def export(folder, table):
    import json

    import numpy as np
    import paddle

    Network, Export = networks()
    encoding = "pdmodel" if os.environ.get("FLAGS_enable_pir_api") == "0" else "json"
    for number, (name, row) in enumerate(table.items()):
        height, width, *rest, head = row
        paddle.seed(number + 1)
        random = np.random.RandomState(number + 1)
        network = Network(*rest)
        for key, value in network.state_dict().items():
            shape = value.shape
            if key.endswith("_variance") or key.endswith("scale") or key.endswith("bn.weight"):
                drawn = random.uniform(0.5, 1.5, shape)
            elif len(shape) == 1:
                drawn = random.uniform(-0.2, 0.2, shape)
            else:
                fan = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
                drawn = random.normal(0, (2.0 / fan) ** 0.5, shape)
            value.set_value(drawn.astype("float32"))
        model = Export(copy.deepcopy(network) if name != "v2-sigmoid" else network, head)
        model.eval()
        x = random.normal(0, 1, [1, 3, height, width]).astype("float32")
        y = model(paddle.to_tensor(x)).numpy()
        static = paddle.jit.to_static(
            model, input_spec=[paddle.static.InputSpec([None, 3, height, width], "float32", name="x")], full_graph=True)
        target = os.path.join(folder, f"{name}-{encoding}")
        os.makedirs(target, exist_ok=True)
        paddle.jit.save(static, os.path.join(target, "inference"))
        info = os.path.join(target, "inference.pdiparams.info")
        if os.path.exists(info):
            os.remove(info)
        forget_call_stacks(os.path.join(target, "inference.pdmodel"))
        # What a reader must find: the parameters by their names in the program, and the result for a given input.
        expected = {
            "parameters": [
                {"name": value.name, "shape": list(value.shape), "first": float(value.numpy().ravel()[0]),
                 "sum": float(value.numpy().astype("float64").sum())}
                for value in model.base_model.state_dict().values()],
            "multiplyAdds": multiply_adds(network, height, width),
        }
        with open(os.path.join(folder, f"{name}.expected.json"), "w") as file:
            json.dump(expected, file, separators=(",", ":"))
        np.save(os.path.join(folder, f"{name}.x.npy"), x)
        np.save(os.path.join(folder, f"{name}.y.npy"), y)


def forget_call_stacks(path):
    """Removes the attribute that holds the paths of the exporting machine."""
    from paddle.base.proto import framework_pb2

    if not os.path.exists(path):
        return
    program = framework_pb2.ProgramDesc()
    with open(path, "rb") as file:
        program.ParseFromString(file.read())
    for block in program.blocks:
        for operator in block.ops:
            kept = [attribute for attribute in operator.attrs if attribute.name != "op_callstack"]
            del operator.attrs[:]
            operator.attrs.extend(kept)
    with open(path, "wb") as file:
        file.write(program.SerializeToString())


def multiply_adds(network, height, width):
    import paddle

    total = 0

    def count(layer, inputs, output):
        nonlocal total
        weight = layer.weight.shape
        total += int(output[0].size) * (weight[1] * weight[2] * weight[3] if len(weight) == 4 else weight[0])

    hooks = [
        layer.register_forward_post_hook(count) for layer in network.sublayers()
        if isinstance(layer, (paddle.nn.Conv2D, paddle.nn.Linear))]
    network.eval()
    network(paddle.zeros([1, 3, height, width]))
    for hook in hooks:
        hook.remove()
    return total


def archives(folder):
    """Small archives in every dialect, and one in the form of the published ones."""
    import io
    import tarfile

    contents = {
        "short.txt": b"short",
        "folder/" + "a" * 90 + "/" + "b" * 60 + ".txt": b"a name that ustar splits",
        "empty.bin": b"",
        "block.bin": bytes(range(256)) * 2,
    }
    longest = {"c" * 150 + "/" + "d" * 150 + ".txt": b"a name that ustar cannot hold", "\u00e4\u4e2d.txt": b"not ASCII"}
    for name, form in [("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
        with tarfile.open(os.path.join(folder, f"{name}.tar"), "w", format=form) as archive:
            member = tarfile.TarInfo("folder")
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
            member = tarfile.TarInfo("link")
            member.type = tarfile.SYMTYPE
            member.linkname = "short.txt"
            archive.addfile(member)
            for path, data in {**contents, **(longest if name != "ustar" else {})}.items():
                member = tarfile.TarInfo(path)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    subprocess.run(
        ["tar", "--owner=0", "--group=0", "--mtime=2020-01-01", "--sort=name", "-C", folder,
         "--transform", "s/^v1-none-pdmodel/PPHGNet_infer/", "-cf", os.path.join(folder, "published.tar"),
         "v1-none-pdmodel"], check=True)


def safetensors_files(folder):
    import numpy as np
    import safetensors
    import safetensors.numpy

    random = np.random.RandomState(7)
    arrays = {
        "stem.stem1.conv.weight": random.normal(0, 1, [2, 3, 3, 3]).astype("float32"),
        "half": np.array([0.5, -2, 65504, 6e-8], "float16"), "double": np.array([[1.25], [-3]], "float64"),
        "steps": np.array(7, "int64"), "int32": np.array([-5, 5], "int32"), "int16": np.array([-300], "int16"),
        "int8": np.array([-1, 2, 3], "int8"), "uint8": np.array([255], "uint8"), "flags": np.array([True, False]),
        "nothing": np.zeros([0, 3], "float32"), 'quoted "\u00e4\\': np.array([1], "float32"),
    }
    safetensors.numpy.save_file(
        arrays, os.path.join(folder, "types.safetensors"), metadata={"format": "np", "note": 'a "quoted"\nline'})
    data = np.array([0x3F80, 0xC120, 0], "uint16")
    spec = safetensors.TensorSpec(dtype="bfloat16", shape=[3], data_ptr=data.ctypes.data, data_len=data.nbytes)
    with open(os.path.join(folder, "bfloat16.safetensors"), "wb") as file:
        file.write(safetensors.serialize({"brain": spec}))


if __name__ == "__main__":
    folder = sys.argv[1]
    if "--one-encoding" in sys.argv:
        export(folder, FULL if "--full-size" in sys.argv else SMALL)
    else:
        for value in ["1", "0"]:
            subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--one-encoding"], check=True,
                env={**os.environ, "FLAGS_enable_pir_api": value})
        if "--full-size" not in sys.argv:
            archives(folder)
            safetensors_files(folder)
