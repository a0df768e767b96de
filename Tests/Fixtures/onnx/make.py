"""Makes the models of this folder with other people's exporters, and what ONNX Runtime computes with them.

    python make.py

Each is a narrow network of the family with random weights. Names of layers are kept; comments and traces of the exporting
program are removed. The input is x[n] = (7 n mod 23) / 11 - 1 for the n-th value of [32, 32, 3].
"""

import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../Scripts/parity.d"))
os.environ.setdefault("GLOG_minloglevel", "2")
SIDE = 32
X = ((7 * np.arange(SIDE * SIDE * 3) % 23) / 11 - 1).astype("float32").reshape(1, SIDE, SIDE, 3).transpose(0, 3, 1, 2).copy()
V2 = dict(stem_type="v2", stem_chs=[4, 4], stage1=[4, 2, 4, 1, False, False, 3, 1], stage2=[4, 2, 8, 1, True, False, 3, 1],
          stage3=[8, 2, 8, 2, True, True, 5, 1], stage4=[8, 2, 8, 1, True, True, 5, 1])
V1 = dict(stem_type="v1", stem_chs=[4, 4, 4], stage1=[4, 2, 4, 1, False, False, 3, 1], stage2=[4, 2, 4, 1, True, False, 3, 1],
          stage3=[4, 2, 4, 2, True, False, 3, 1], stage4=[4, 2, 4, 1, True, False, 3, 1])


def strip(path):
    model = onnx.load(path, load_external_data=False)
    for thing in [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output,
                  *model.graph.initializer]:
        if hasattr(thing, "metadata_props"):
            del thing.metadata_props[:]
        thing.doc_string = ""
    del model.graph.value_info[:]
    onnx.save(model, path)


def randomize(network):
    """Values that show every mistake: also negative summands of the affine blocks, which a border of zeros cuts off."""
    import torch

    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.dtype.is_floating_point:
                continue
            noise = torch.rand(value.shape, generator=generator)
            if name.endswith(("running_var", ".scale")) or value.dim() == 1 and name.endswith("weight"):
                value.copy_(0.75 + noise / 2)
            elif value.dim() <= 1:
                value.copy_((noise - 0.6) / 2)
    return network.eval()


class Logits:
    """What of transformers' answer is exported."""

    def __new__(cls, network):
        import torch

        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.network = network

            def forward(self, x):
                return self.network(x).logits

        return Module().eval()


def torch_models():
    import torch
    from timm.models.hgnet import HighPerfGpuNet
    from transformers import HGNetV2Config, HGNetV2ForImageClassification

    torch.manual_seed(1)
    x = torch.from_numpy(X)
    timm = randomize(HighPerfGpuNet(V2, num_classes=3, head_hidden_size=8, use_lab=True))
    first = randomize(HighPerfGpuNet(V1, num_classes=3, head_hidden_size=8))
    rows = [V2[f"stage{n}"] for n in range(1, 5)]
    keys = ("in_channels", "mid_channels", "out_channels", "num_blocks", "downsample", "light_block", "kernel_size",
            "numb_of_layers")
    configuration = HGNetV2Config(
        num_labels=3, stem_channels=[3, 4, 4], hidden_sizes=[row[2] for row in rows], depths=[row[3] for row in rows],
        **{f"stage_{key}": [row[n] for row in rows] for n, key in enumerate(keys)})
    transformers = Logits(randomize(HGNetV2ForImageClassification(configuration)))
    dynamic = {"dynamic_axes": {"x": {0: "n"}}, "input_names": ["x"]}
    for name, network, options in [
        ("timm-script", timm, dict(dynamo=False, opset_version=13, **dynamic)),
        ("timm-script-plain", timm, dict(
            dynamo=False, opset_version=17, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)),
        ("timm-dynamo", timm, dict(dynamo=True, external_data=False)),
        ("timm-dynamo-files", timm, dict(dynamo=True, external_data=True)),
        ("timm-first", first, dict(dynamo=True, external_data=False)),
        ("transformers-script", transformers, dict(dynamo=False, opset_version=17, do_constant_folding=False)),
    ]:
        torch.onnx.export(network, (x,), os.path.join(HERE, f"{name}.onnx"), verbose=False, **options)


def paddle_models():
    import logits as common
    import paddle
    import reference

    for name, row in [
        ("paddle2onnx", dict(stem=[4, 4], affine=True, stages=[
            (4, 2, 4, 1, False, False, 3, 1), (4, 2, 8, 1, True, False, 3, 1), (8, 2, 8, 2, True, True, 5, 1),
            (8, 2, 8, 1, True, True, 5, 1)])),
        ("paddle2onnx-first", dict(stem=[4, 4, 4], layers=1, dropout=0.2, stages=[
            (4, 2, 4, 1, False), (4, 2, 4, 1, True), (4, 2, 4, 2, True), (4, 2, 4, 1, True)])),
    ]:
        network = reference.Network(row, class_num=3, class_expand=8)
        common.draw(network, 3)
        network = paddle.nn.Sequential(network, paddle.nn.Softmax())
        network.eval()
        folder = os.path.join(HERE, name)
        paddle.jit.save(network, f"{folder}/inference", input_spec=[paddle.static.InputSpec([None, 3, None, None], "float32")])
        subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "paddle2onnx"), "--model_dir", folder, "--model_filename",
             "inference.json", "--params_filename", "inference.pdiparams", "--save_file", f"{HERE}/{name}.onnx",
             "--opset_version", "13"], check=True, capture_output=True)
        subprocess.run(["rm", "-r", folder], check=True)


def main():
    torch_models()
    paddle_models()
    lines = []
    for name in sorted(os.listdir(HERE)):
        if not name.endswith(".onnx"):
            continue
        path = os.path.join(HERE, name)
        strip(path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        values = session.run(None, {session.get_inputs()[0].name: X})[0][0]
        lines.append("\t".join([name, *(f"{value:.8g}" for value in values)]))
    with open(os.path.join(HERE, "expected.tsv"), "w") as file:
        file.write("\n".join(lines) + "\n")


main()
