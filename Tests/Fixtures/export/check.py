"""Runs the exported files of this folder in the systems that they are for, beside a network built here by hand."""

import os

import cv2
import numpy as np

os.environ.setdefault("GLOG_minloglevel", "2")
import onnx
import onnxruntime
import openvino
import paddle
import paddle.nn.functional as F
from paddle import inference
from PIL import Image

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
mean, deviation = np.array([0.5, 0.25, 0.5], np.float32), np.array([0.25, 0.5, 0.25], np.float32)


def shorter(picture, side, resize):
    """The picture with a shorter side of that length."""
    height, width = picture.shape[:2]
    return resize(picture, tuple(round(length * (side / min(height, width))) for length in (width, height)))


def middle(picture, height, width):
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top:top + height, left:left + width]


def like_pillow(picture, size):
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def like_opencv(picture, size):
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def probabilities(picture):
    values = picture.astype(np.float32).transpose(2, 0, 1)[None].copy()
    return F.softmax(network(paddle.to_tensor(values))).numpy()


def run_openvino(name, picture):
    compiled = openvino.Core().compile_model(f"{folder}/{name}", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(picture)[0]


found = {
    "small.pdmodel": [(run_paddle("small.pdmodel"), scores)],
    "small.json": [(run_paddle("small.json"), scores)],
    "small.onnx": [(run_onnx("small.onnx", values), scores)],
    "small-plain.onnx": [(run_onnx("small-plain.onnx", values), logits)],
    "small-preprocessing.onnx": [], "small-preprocessing-cv2.onnx": [],
}
# Smaller and larger, wide and tall; of one that shrinks most in height, Pillow does the columns first.
for size in ((12, 12), (24, 31), (57, 40), (9, 33), (70, 13), (90, 60)):
    picture = np.random.default_rng(size[0]).integers(0, 256, (*size, 3), np.uint8)
    inside = middle(shorter(picture, 12, like_pillow), 8, 10)
    pillow = probabilities((inside.astype(np.float32) / np.float32(255) - mean) / deviation)
    opencv = probabilities(like_opencv(middle(shorter(picture, 9, like_opencv), 8, 9), (10, 8)))
    for name, expected in (("small-preprocessing.onnx", pillow), ("small-preprocessing-cv2.onnx", opencv)):
        both = np.stack([picture, 255 - picture])
        found[name] += [(run_onnx(name, both, "image")[:1], expected), (run_openvino(name, both)[:1], expected)]
for name, results in found.items():
    differences = [float(np.abs(result - expected).max() / np.abs(expected).max()) for result, expected in results]
    print(f"{name:28} {max(differences):.1e}")
    assert all(result.shape == expected.shape for result, expected in results), name
    assert max(differences) < (1e-5 if "preprocessing" not in name else 1e-3), name
