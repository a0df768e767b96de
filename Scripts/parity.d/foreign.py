"""Compares hgnet on weights and ONNX models of other people's programs: transformers, timm, PyTorch, Paddle2ONNX.

    foreign.py HGNET_BINARY WORK_FOLDER [--quick]

Weights: what `hgnet convert --names huggingface` writes is loaded by transformers, nothing missing and nothing left over,
and must give hgnet's logits, or for a backbone the maps of hgnet's stages; what transformers saves is read by hgnet, alone
and inside the checkpoint of a detector.

ONNX: every model is exported by both of PyTorch's exporters, with normalisations folded and kept, with weights inside and
beside the model, and by Paddle2ONNX of PaddlePaddle's own exports and of hgnet's; `hgnet run` must give what ONNX Runtime
computes. No border is arranged here: a pool behind a border of zeros is part of these models.
"""

import argparse
import os
import shutil
import subprocess
import sys

import numpy as np
import paddle  # Before torch: both bring an OpenMP library.

import logits
import reference

CLASSES = 10


def load_timm():
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # A torchvision that looks for operators which a PyTorch without CUDA does not load.
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["TORCHVISION"] = library
    import timm

    return timm


class Check:
    def __init__(self, binary, folder, report):
        self.binary, self.folder, self.report = binary, folder, report

    def path(self, name):
        return os.path.join(self.folder, name)

    def hgnet(self, *arguments):
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"hgnet {' '.join(arguments)}\nended with {done.returncode}: {done.stderr.strip()}")
        return done.stderr

    def run(self, weights, features=False):
        self.hgnet("run", weights, "--input", self.path("x.npy"), "--output", self.path("y.npy"),
                   *(["--features"] if features else []))
        stages = [np.load(self.path(f"y.stages.{n}.npy")) for n in range(4)] if features else []
        return np.load(self.path("y.npy")), stages

    def compare(self, title, found, expected):
        difference = max(logits.difference(one, other) for one, other in zip(found, expected))
        print(f"  {title:44} {self.report.cell(difference)}", flush=True)


def transformers_configuration(row, **options):
    from transformers import HGNetV2Config

    stages = row["stages"]
    keys = ("in_channels", "mid_channels", "out_channels", "num_blocks", "downsample", "light_block", "kernel_size",
            "numb_of_layers")
    return HGNetV2Config(
        stem_channels=[3, *row["stem"]], hidden_sizes=[stage[2] for stage in stages], depths=[stage[3] for stage in stages],
        use_learnable_affine_block=row.get("affine", False),
        **{f"stage_{key}": [stage[n] for stage in stages] for n, key in enumerate(keys)}, **options)


def check_weights(check, name, seed):
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import HGNetV2Backbone, HGNetV2ForImageClassification

    row = reference.ROWS[name]
    values = logits.pictures(2, (96, 128), seed)
    np.save(check.path("x.npy"), values)
    for has_last_convolution in (False, True):
        network = reference.build(name, class_num=CLASSES, use_last_conv=has_last_convolution)
        logits.draw(network, seed)
        state = network.state_dict()
        if "stem.stem1.lab.bias" in state:
            # transformers pads the pool of the stem with zeros: nothing before it may be negative.
            state["stem.stem1.lab.bias"].set_value(np.abs(state["stem.stem1.lab.bias"].numpy()))
        paddle.save(network.state_dict(), check.path("network.pdparams"))
        expected, stages = logits.run_reference(network, values)
        message = check.hgnet("convert", check.path("network.pdparams"), check.path("hf.safetensors"), "--names", "huggingface")
        loaded = load_file(check.path("hf.safetensors"))
        if has_last_convolution:
            assert "no place for last_conv.weight" in message, message
            model = HGNetV2Backbone(
                transformers_configuration(row, out_features=["stage1", "stage2", "stage3", "stage4"]))
            model.load_state_dict(loaded, strict=True)
            with torch.no_grad():
                maps = [m.numpy() for m in model.eval()(torch.from_numpy(values)).feature_maps]
            check.compare("transformers' backbone from hgnet", maps, stages)
            _, found = check.run(check.path("hf.safetensors"), features=True)
            check.compare("hgnet on the same file", found, stages)
            own = {f"model.backbone.model.{key}": value for key, value in model.state_dict().items()}
            own["model.decoder.bbox.weight"] = torch.zeros(4, 4)
            save_file(own, check.path("detector.safetensors"))
            _, found = check.run(check.path("detector.safetensors"), features=True)
            check.compare("hgnet on a detector of transformers", found, stages)
            check.hgnet("convert", check.path("hf.safetensors"), check.path("timm.safetensors"), "--names", "timm")
            frozen = {f"backbone.{key}": value for key, value in load_file(check.path("timm.safetensors")).items()
                      if not key.endswith("num_batches_tracked")}
            torch.save({"model": {key: 2 * value for key, value in frozen.items()},
                        "ema": {"module": frozen, "updates": 7}, "last_epoch": 3}, check.path("detector.pth"))
            _, found = check.run(check.path("detector.pth"), features=True)
            check.compare("hgnet on the average in a checkpoint", found, stages)
        else:
            model = HGNetV2ForImageClassification(transformers_configuration(row, num_labels=CLASSES))
            model.load_state_dict(loaded, strict=True)
            with torch.no_grad():
                theirs = model.eval()(torch.from_numpy(values)).logits.numpy()
            check.compare("transformers' classifier from hgnet", [theirs], [expected])
            model.save_pretrained(check.path("saved"))
            check.compare("hgnet on what transformers saves", [check.run(check.path("saved/model.safetensors"))[0]], [expected])
            check.hgnet("convert", check.path("saved/model.safetensors"), check.path("back.pdparams"))
            back = paddle.load(check.path("back.pdparams"))
            same = all(np.array_equal(np.asarray(back[key]), value.numpy()) for key, value in network.state_dict().items())
            check.compare("and back, bit for bit", [np.array([float(same)])], [np.array([1.0])])


def randomize(network):
    import torch

    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.dtype.is_floating_point:
                continue
            noise = torch.rand(value.shape, generator=generator)
            if name.endswith(("running_var", ".scale")) or value.dim() == 1 and name.endswith("weight"):
                value.copy_(0.8 + noise * 0.4)
            elif value.dim() <= 1:
                value.copy_((noise - 0.4) / 4)
    return network.eval()


def torch_networks(name):
    """The network in timm and, of the second generation, in transformers."""
    import torch
    from transformers import HGNetV2ForImageClassification

    timm = load_timm()
    lower = name.replace("PPHGNetV2_B", "hgnetv2_b").replace("PPHGNet_", "hgnet_")
    networks = [("timm", randomize(timm.create_model(lower, pretrained=False, num_classes=CLASSES)))]
    if "layers" not in reference.ROWS[name]:

        class Logits(torch.nn.Module):
            def __init__(self, network):
                super().__init__()
                self.network = network

            def forward(self, x):
                return self.network(x).logits

        configuration = transformers_configuration(reference.ROWS[name], num_labels=CLASSES)
        networks.append(("transformers", Logits(randomize(HGNetV2ForImageClassification(configuration))).eval()))
    return networks


def run_onnx(path, values):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    # A model for one picture has that number in its shapes.
    return np.concatenate([session.run(None, {name: picture[None]})[0] for picture in values])


def compare_onnx(check, title, path, values):
    expected = run_onnx(path, values)
    found, _ = check.run(path)
    if np.abs(expected.sum(1) - 1).max() < 1e-4 and expected.min() >= 0:
        found = np.exp(found - found.max(1, keepdims=True))
        found /= found.sum(1, keepdims=True)
    check.compare(title, [found], [expected])


def check_torch_onnx(check, name, values):
    import torch

    picture = torch.from_numpy(values[:1])
    for owner, network in torch_networks(name):
        dynamic = dict(input_names=["x"], dynamic_axes={"x": {0: "n"}})
        for title, options in [
            ("TorchScript", dict(dynamo=False, opset_version=13, **dynamic)),
            ("TorchScript, not folded", dict(
                dynamo=False, opset_version=17, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)),
            ("dynamo", dict(dynamo=True, external_data=False, dynamic_shapes=({0: torch.export.Dim("n")},))),
            ("dynamo, weights beside it", dict(dynamo=True, external_data=True)),
        ]:
            path = check.path("exported.onnx")
            torch.onnx.export(network, (picture,), path, verbose=False, **options)
            compare_onnx(check, f"{owner}, {title}", path, values)


def check_paddle_onnx(check, name, values, seed):
    network = reference.build(name, class_num=CLASSES)
    logits.draw(network, seed)
    paddle.save(network.state_dict(), check.path("network.pdparams"))
    whole = paddle.nn.Sequential(network, paddle.nn.Softmax())
    whole.eval()
    paddle.jit.save(
        whole, check.path("theirs/inference"), input_spec=[paddle.static.InputSpec([None, 3, None, None], "float32")])
    check.hgnet("convert", check.path("network.pdparams"), check.path("own/inference.pdmodel"))
    check.hgnet("convert", check.path("network.pdparams"), check.path("own-json/inference.json"))
    for title, folder, program, options in [
        ("PaddlePaddle's export", "theirs", "inference.json", ["--opset_version", "13"]),
        ("the same, as exported", "theirs", "inference.json", ["--opset_version", "11", "--optimize_tool", "None"]),
        ("hgnet's inference.pdmodel", "own", "inference.pdmodel", ["--opset_version", "13"]),
        ("hgnet's inference.json", "own-json", "inference.json", ["--opset_version", "16"]),
    ]:
        path = check.path("exported.onnx")
        done = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "paddle2onnx"), "--model_dir", check.path(folder),
             "--model_filename", program, "--params_filename", "inference.pdiparams", "--save_file", path, *options],
            capture_output=True, text=True)
        if done.returncode != 0:
            check.report.fail(f"{name}: Paddle2ONNX of {title}: {(done.stdout + done.stderr)[-300:]}")
            continue
        compare_onnx(check, f"Paddle2ONNX of {title}", path, values)


def main():
    parser = argparse.ArgumentParser(description="Compares hgnet on weights and ONNX models of other programs.")
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true", help="one model of each kind only")
    arguments = parser.parse_args()
    names = ["PPHGNetV2_B0", "PPHGNet_tiny"] if arguments.quick else [
        "PPHGNetV2_B0", "PPHGNetV2_B3", "PPHGNetV2_B4", "PPHGNetV2_B5", "PPHGNet_tiny", "PPHGNet_base"]
    report = logits.Report()
    import torch

    load_timm()
    torch.manual_seed(1)
    print("Largest difference over the largest logit, of a network and its files in other programs")
    for index, name in enumerate(names):
        folder = os.path.join(os.path.abspath(arguments.folder), name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        check = Check(arguments.binary, folder, report)
        print(name, flush=True)
        values = logits.pictures(2, logits.SIZES[0], 4000 + index)
        for part in (
            *([lambda: check_weights(check, name, 4100 + index)] if "layers" not in reference.ROWS[name] else []),
            lambda: (np.save(check.path("x.npy"), values), check_torch_onnx(check, name, values)),
            lambda: check_paddle_onnx(check, name, values, 4200 + index),
        ):
            try:
                part()
            except Exception as error:
                report.fail(f"{name}: {type(error).__name__}: {error}")
        shutil.rmtree(folder, ignore_errors=True)
    print(f"worst {report.worst:.1e} (bound {logits.FAIL:.0e})")
    print(f"{report.passed} passed, {report.failed} failed")
    raise SystemExit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
