"""Runs the exported files of this folder in the systems that they are for, beside a network built here by hand."""

import os

import numpy as np

os.environ.setdefault("GLOG_minloglevel", "2")
import onnx
import onnxruntime
import paddle
import paddle.nn.functional as F
from paddle import inference

folder = os.path.dirname(os.path.abspath(__file__))
plain = onnx.load(f"{folder}/small-plain.onnx")
P = {t.name: paddle.to_tensor(np.array(onnx.numpy_helper.to_array(t))) for t in plain.graph.initializer}


def unit(x, name, padding, stride=1):
    x = F.conv2d(x, P[f"{name}.conv.weight"], stride=stride, padding=padding)
    x = F.batch_norm(
        x, P[f"{name}.bn._mean"], P[f"{name}.bn._variance"], P[f"{name}.bn.weight"], P[f"{name}.bn.bias"], epsilon=1e-5)
    return F.relu(x) * P[f"{name}.lab.scale"] + P[f"{name}.lab.bias"]


def network(x):
    stem = unit(x, "stem", 1, 2)
    left = unit(stem, "left", "SAME")
    right = F.max_pool2d(stem, 2, 1, padding="SAME")
    x = paddle.concat([right, left], 1)
    x = F.conv2d(x, P["depthwise.conv.weight"], padding=1, groups=8) + x
    gate = F.conv2d(F.adaptive_avg_pool2d(x, 1), P["attention.conv.weight"], P["attention.conv.bias"])
    x = F.adaptive_avg_pool2d(x * F.sigmoid(gate), 1) * 0.75
    return F.linear(x.flatten(1), P["fc.weight"], P["fc.bias"])


def run_paddle(program):
    configuration = inference.Config(f"{folder}/{program}", f"{folder}/small.pdiparams")
    configuration.enable_memory_optim(False)
    predictor = inference.create_predictor(configuration)
    predictor.get_input_handle("x").copy_from_cpu(values)
    predictor.run()
    return predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()


def run_onnx(name, values, key="x"):
    model = onnx.load(f"{folder}/{name}")
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(f"{folder}/{name}").run(None, {key: values})[0]


values = np.random.default_rng(0).standard_normal((3, 3, 8, 10)).astype(np.float32)
logits = network(paddle.to_tensor(values)).numpy()
scores = F.softmax(paddle.to_tensor(logits)).numpy()
picture = np.random.default_rng(1).integers(0, 256, (2, 12, 12, 3), np.uint8)
mean, deviation = np.array([0.5, 0.25, 0.5], np.float32), np.array([0.25, 0.5, 0.25], np.float32)
middle = (picture[:, 2:10, 1:11].astype(np.float32) / np.float32(255) - mean) / deviation
raw = F.softmax(network(paddle.to_tensor(middle.transpose(0, 3, 1, 2).copy()))).numpy()
found = {
    "small.pdmodel": (run_paddle("small.pdmodel"), scores),
    "small.json": (run_paddle("small.json"), scores),
    "small.onnx": (run_onnx("small.onnx", values), scores),
    "small-plain.onnx": (run_onnx("small-plain.onnx", values), logits),
    "small-preprocessing.onnx": (run_onnx("small-preprocessing.onnx", picture, "image"), raw),
}
for name, (result, expected) in found.items():
    difference = float(np.abs(result - expected).max() / np.abs(expected).max())
    print(f"{name:26} {difference:.1e}")
    assert result.shape == expected.shape and difference < 1e-5, name
