"""Gives what `hgnet export` and `hgnet convert` write to the systems that it is for, and compares the results.

    export.py HGNET_BINARY WORK_FOLDER [--models NAME ...] [--quick] [--keep]

For every model, with random weights: PaddlePaddle's inference library runs both encodings of the program, ONNX Runtime
the folded and the plain network, after onnx.checker with full shape inference. Probabilities must agree with the
network in PaddlePaddle within 1e-5, for one picture and for three. Variants put a sigmoid or nothing on top. Then each
way back: PaddlePaddle loads `hgnet convert`'s state dictionary bit for bit.

Where they are installed, Paddle2ONNX, Paddle Lite's `opt`, OpenVINO, MNN, ncnn and timm take part as well; what is missing
is said. Paddle Lite has packages up to Python 3.10 only: HGNET_PADDLE_LITE_PYTHON names a Python that has it.
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np

os.environ.setdefault("GLOG_minloglevel", "2")

import logits as common

PROBABILITY_BOUND = 1e-5
LITE_PYTHON = os.environ.get("HGNET_PADDLE_LITE_PYTHON")
# Weights of the preprocessing are single precision: a pixel in thousands is rounded the other way, up to one in forty where
# the exact values lie on halves (Pillow's bilinear enlargement by 25/16).
PREPROCESSING_BOUND = 1e-3
# What timm needs stays registered for the whole run.
TORCHVISION = []
QUICK_MODELS = ["PPHGNetV2_B0", "PPHGNet_tiny"]


def has(module):
    if module == "paddlelite" and LITE_PYTHON:
        return True
    return importlib.util.find_spec(module) is not None


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, title, good, text=""):
        self.passed += bool(good)
        self.failed += not good
        print(f"  {'ok    ' if good else 'FAILED'} {title:34} {text}", flush=True)

    def compare(self, title, found, expected, bound=PROBABILITY_BOUND):
        if found.shape != expected.shape:
            self.check(title, False, f"shape {found.shape} instead of {expected.shape}")
            return
        difference = float(np.abs(found.astype(np.float64) - expected).max())
        self.check(title, difference <= bound, f"{difference:.1e}")


def hgnet(binary, *arguments, good=True):
    done = subprocess.run([binary, *arguments], capture_output=True, text=True)
    if good and done.returncode != 0:
        raise RuntimeError(f"hgnet {' '.join(arguments)}\nended with {done.returncode}: {done.stderr.strip()}")
    return done


def softmax(values):
    values = np.exp(values - values.max(-1, keepdims=True))
    return values / values.sum(-1, keepdims=True)


def run_paddle(folder, program, values, with_onednn=True):
    from paddle import inference

    configuration = inference.Config(os.path.join(folder, program), os.path.join(folder, "inference.pdiparams"))
    configuration.disable_gpu()
    configuration.disable_glog_info()
    # PaddlePaddle 3.3 ends with an error of its own in this pass for programs in JSON.
    configuration.enable_memory_optim(False)
    if not with_onednn:
        configuration.disable_mkldnn()
    predictor = inference.create_predictor(configuration)
    predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(values)
    predictor.run()
    result = predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()
    return predictor.get_input_names(), result


def found_by_paddle(folder):
    """Whether PaddlePaddle finds a program and its parameters by the folder and the beginning of their names."""
    from paddle import inference

    configuration = inference.Config(folder, "inference")
    programs = [os.path.join(folder, name) for name in ("inference.json", "inference.pdmodel")]
    return configuration.prog_file() in programs and os.path.exists(configuration.params_file())


def run_onnx(path, values, name="x"):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [output.name for output in session.get_outputs()], session.run(None, {name: values})[0]


def check_onnx(report, title, path, values, expected, output="softmax", opset=17):
    import onnx

    model = onnx.load(path)
    try:
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        known = {value.name for value in inferred.graph.value_info if value.type.tensor_type.HasField("shape")}
        made = {name for node in model.graph.node for name in node.output} - {output}
        report.check(f"{title}: checker, shapes", made <= known and model.opset_import[0].version == opset)
    except Exception as error:
        report.check(f"{title}: checker, shapes", False, str(error)[:200])
    automatic = [node.name for node in model.graph.node for a in node.attribute if a.name in ("auto_pad", "ceil_mode")]
    report.check(f"{title}: explicit pads", not automatic, " ".join(automatic[:3]))
    for count in (1, len(values)):
        names, found = run_onnx(path, values[:count])
        report.compare(f"{title}: ONNX Runtime, batch {count}", found, expected[:count])
        if names != [output]:
            report.check(f"{title}: name of the output", False, str(names))
    return model


def check_openvino(report, path, values, expected):
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    report.compare("onnx: OpenVINO", compiled(values)[0], expected)


def check_mnn(report, path, work, values, expected):
    import MNN

    target = os.path.join(work, "inference.mnn")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from MNN.tools.mnnconvert import main; sys.exit(main())", "-f", "ONNX",
         "--modelFile", path, "--MNNModel", target, "--bizCode", "parity"], capture_output=True, text=True)
    if not os.path.exists(target):
        report.check("onnx: MNN", False, (done.stdout + done.stderr)[-300:])
        return
    interpreter = MNN.Interpreter(target)
    # Without Winograd (a hint without a name in Python): with it B6 is 3e-5 off, by rounding.
    interpreter.setSessionHint(3, 0)
    session = interpreter.createSession({"backend": "CPU", "numThread": 1, "precision": "high"})
    for count in (1, len(values)):
        tensor = interpreter.getSessionInput(session)
        interpreter.resizeTensor(tensor, values[:count].shape)
        interpreter.resizeSession(session)
        tensor.copyFrom(MNN.Tensor(
            values[:count].shape, MNN.Halide_Type_Float, values[:count], MNN.Tensor_DimensionType_Caffe))
        interpreter.runSession(session)
        output = interpreter.getSessionOutput(session)
        found = MNN.Tensor(
            output.getShape(), MNN.Halide_Type_Float, np.zeros(output.getShape(), np.float32),
            MNN.Tensor_DimensionType_Caffe)
        output.copyToHostTensor(found)
        report.compare(
            f"onnx: MNN, batch {count}", np.array(found.getNumpyData()).reshape(output.getShape()), expected[:count])


def check_ncnn(report, path, work, values, expected):
    import ncnn

    shape = ",".join(map(str, (1, *values.shape[1:])))
    pnnx = os.path.join(os.path.dirname(sys.executable), "pnnx")
    done = subprocess.run(
        [pnnx, os.path.basename(path), f"inputshape=[{shape}]", "fp16=0"], cwd=os.path.dirname(path),
        capture_output=True, text=True)
    network = ncnn.Net()
    network.opt.num_threads = 1
    network.opt.use_vulkan_compute = False
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    stem = path.removesuffix(".onnx")
    if network.load_param(stem + ".ncnn.param") or network.load_model(stem + ".ncnn.bin"):
        report.check("onnx: ncnn (pnnx)", False, (done.stdout + done.stderr)[-300:])
        return
    found = []
    for picture in values:
        extractor = network.create_extractor()
        extractor.input(network.input_names()[0], ncnn.Mat(picture))
        found.append(np.array(extractor.extract(network.output_names()[0])[1]).reshape(-1))
    report.compare("onnx: ncnn (pnnx)", np.stack(found), expected)


def check_paddle2onnx(report, folder, work, values, expected):
    target = os.path.join(work, "paddle2onnx.onnx")
    command = [
        os.path.join(os.path.dirname(sys.executable), "paddle2onnx"), "--model_dir", folder, "--model_filename",
        "inference.pdmodel", "--params_filename", "inference.pdiparams", "--save_file", target, "--opset_version", "13",
        "--enable_onnx_checker", "True"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or not os.path.exists(target):
        report.check("paddle: Paddle2ONNX", False, (done.stdout + done.stderr)[-300:])
        return
    _, found = run_onnx(target, values)
    report.compare("paddle: Paddle2ONNX, ONNX Runtime", found, expected)


def check_paddle_lite(report, folder, work):
    target = os.path.join(work, "lite")
    script = (
        "import sys; from paddlelite.lite import Opt; o = Opt(); o.set_model_file(sys.argv[1]);"
        "o.set_param_file(sys.argv[2]); o.set_valid_places('arm'); o.set_model_type('naive_buffer');"
        "o.set_optimize_out(sys.argv[3]); o.run()")
    done = subprocess.run(
        [LITE_PYTHON or sys.executable, "-c", script, os.path.join(folder, "inference.pdmodel"),
         os.path.join(folder, "inference.pdiparams"), target], capture_output=True, text=True)
    size = os.path.getsize(target + ".nb") if os.path.exists(target + ".nb") else 0
    weights = os.path.getsize(os.path.join(folder, "inference.pdiparams"))
    report.check("paddle: Paddle Lite opt (arm)", size > weights // 2, f"{size} bytes" if size else done.stderr[-200:])


def check_timm(report, name, path, values, expected):
    import torch

    if torch.version.cuda is None and not TORCHVISION:
        # PyPI's torchvision, which timm imports, looks for operators that a PyTorch without CUDA does not load.
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        TORCHVISION.append(library)
    import timm
    from safetensors.torch import load_file

    lower = name.lower().replace("pphgnetv2_", "hgnetv2_").replace("pphgnet_", "hgnet_")
    model = timm.create_model(lower, pretrained=False, num_classes=expected.shape[1])
    model.load_state_dict(load_file(path), strict=True)
    model.eval()
    if name.startswith("PPHGNetV2_"):
        # timm pads its stem on the right and below with zeros, which win over negative values in the pool; PaddlePaddle's
        # pool leaves the border out (Documentation/Differences.md).
        def without_border(module, inputs):
            inside = inputs[0].clone()
            inside[..., -1, :] = inside[..., :, -1] = -float("inf")
            return (inside,)

        model.stem.pool.register_forward_pre_hook(without_border)
    with torch.no_grad():
        found = torch.softmax(model(torch.from_numpy(values)), -1).numpy()
    report.compare("safetensors: timm, strict", found, expected)


def check_model(arguments, report, name, seed):
    import paddle
    import reference

    print(name, flush=True)
    work = os.path.join(arguments.folder, name)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    network = reference.build(name)
    common.draw(network, seed)
    network.eval()
    weights = os.path.join(work, "weights.pdparams")
    paddle.save(network.state_dict(), weights)
    values = common.pictures(3, (224, 224), seed + 5)
    with paddle.no_grad():
        scores = network(paddle.to_tensor(values)).numpy().astype(np.float64)
    expected = softmax(scores)

    def export(form, folder, *more):
        target = os.path.join(work, folder)
        hgnet(arguments.binary, "export", "--weights", weights, "--format", form, "--output", target, *more)
        return target

    folder = export("paddle", "paddle")
    for program in ("inference.json", "inference.pdmodel"):
        for count in (1, 3):
            inputs, found = run_paddle(folder, program, values[:count])
            report.compare(f"{program}: Paddle Inference, batch {count}", found, expected[:count])
        report.check(f"{program}: name of the input", inputs == ["x"], str(inputs))
    report.check("paddle: what PaddlePaddle looks for", found_by_paddle(folder))
    if has("paddle2onnx"):
        check_paddle2onnx(report, os.path.join(work, "paddle"), work, values, expected)
    if has("paddlelite"):
        check_paddle_lite(report, os.path.join(work, "paddle"), work)
    if has("onnx") and has("onnxruntime"):
        path = os.path.join(export("onnx", "onnx"), "inference.onnx")
        model = check_onnx(report, "onnx", path, values, expected)
        kinds = {node.op_type for node in model.graph.node}
        report.check("onnx: batch normalisation is folded", "BatchNormalization" not in kinds)
        plain = os.path.join(export("onnx", "onnx-plain", "--no-fold", "--opset", "11"), "inference.onnx")
        model = check_onnx(report, "onnx, not folded, opset 11", plain, values, expected, opset=11)
        kinds = {node.op_type for node in model.graph.node}
        report.check("onnx: batch normalisation is kept", "BatchNormalization" in kinds)
        if has("openvino"):
            check_openvino(report, path, values, expected)
        if has("MNN"):
            check_mnn(report, path, work, values, expected)
        if has("ncnn") and has("pnnx"):
            check_ncnn(report, path, work, values, expected)
    folder = export("safetensors", "safetensors", "--names", "timm")
    if has("timm"):
        # timm has no factor in place of PaddlePaddle's dropout, which only the base model has.
        bias = network.fc.bias.numpy().astype(np.float64)
        as_timm = softmax((scores - bias) / 0.8 + bias) if name == "PPHGNet_base" else expected
        check_timm(report, name, os.path.join(folder, "model.safetensors"), values, as_timm)
    # Every way back to a state dictionary ends in the same bits.
    state = network.state_dict()
    for source in (
            "paddle", "paddle/inference.pdmodel", "safetensors/model.safetensors", "onnx-plain/inference.onnx"):
        path = os.path.join(work, source)
        if not os.path.exists(path):
            continue
        target = os.path.join(work, "back.pdparams")
        hgnet(arguments.binary, "convert", path, target)
        found = paddle.load(target)
        same = list(found) == list(state) and all(np.array_equal(found[key].numpy(), state[key].numpy()) for key in state)
        report.check(f"back from {source}", same)
    if not arguments.keep:
        shutil.rmtree(work)


def check_heads(arguments, report):
    """Sigmoid for several labels, nothing with infer_add_softmax=False, another size; the lines of the tool."""
    import paddle
    import reference

    print("heads", flush=True)
    work = os.path.join(arguments.folder, "heads")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    network = reference.build("PPHGNetV2_B0", class_num=7)
    common.draw(network, 40)
    network.eval()
    weights = os.path.join(work, "weights")
    paddle.save(network.state_dict(), weights + ".pdparams")
    values = common.pictures(2, (160, 192), 41)
    with paddle.no_grad():
        scores = network(paddle.to_tensor(values)).numpy().astype(np.float64)
    configuration = os.path.join(os.path.dirname(__file__), "../../Configs/PPHGNetV2_B0.yaml")
    cases = [
        ("sigmoid", ["-o", "Global.use_multilabel=True"], 1 / (1 + np.exp(-scores)), 1e-5),
        ("logits", ["-o", "Arch.infer_add_softmax=False"], scores, 1e-4 * np.abs(scores).max()),
        ("softmax", [], softmax(scores), 1e-5),
    ]
    for head, overrides, expected, bound in cases:
        for form, program in (("paddle-pdmodel", "inference.pdmodel"), ("paddle-json", "inference.json"), ("onnx", "")):
            folder = os.path.join(work, f"{head}-{form}")
            done = hgnet(
                arguments.binary, "export", "-c", configuration, "-o", f"Global.pretrained_model={weights}", "-o",
                f"Global.save_inference_dir={folder}", "-o", "Arch.class_num=7", "-o",
                "Global.image_shape=[3,160,192]", *overrides, "--format", form)
            line = f'Export succeeded! The inference model exported has been saved in "{folder}/inference".'
            report.check(f"{head}, {form}: line", line in done.stdout)
            if program:
                _, found = run_paddle(folder, program, values)
            elif has("onnxruntime"):
                names, found = run_onnx(os.path.join(folder, "inference.onnx"), values)
                report.check(f"{head}, {form}: name", names == [head], str(names))
            else:
                continue
            report.compare(f"{head}, {form}", found, expected, bound)


def check_preprocessing(arguments, report):
    """Raw pictures into the ONNX model give what `hgnet preprocess` and the network give, in every runtime."""
    import paddle
    import reference

    if not has("onnxruntime"):
        return
    print("preprocessing", flush=True)
    work = os.path.join(arguments.folder, "preprocessing")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    network = reference.build("PPHGNetV2_B0", class_num=7)
    common.draw(network, 40)
    network.eval()
    weights = os.path.join(work, "weights.pdparams")
    paddle.save(network.state_dict(), weights)
    from PIL import Image

    generator = np.random.default_rng(3)
    crop = "{CropImage: {size: [96, 64]}}"
    resizes = {"short": "resize_short: 100", "size": "size: [96, 64]", "size and crop": "size: [110, 71]"}
    cases = [
        (way, backend, interpolation, opset)
        for way in resizes
        for backend, interpolation in (
            ("pil", "bilinear"), ("pil", "bicubic"), ("cv2", "bilinear"), ("cv2", "bicubic"), ("cv2", "nearest"))
        for opset in ((17,) if arguments.quick or way != "short" else (11, 13, 17, 21))]
    # Larger and smaller, wide and tall, odd; Pillow does the columns of a tall one first.
    sizes = [(300, 400), (501, 333), (100, 100), (40, 33), (64, 96), (375, 1001), (1000, 375)]
    for way, backend, interpolation, opset in cases:
        title = f"{way}, {backend} {interpolation}, opset {opset}"
        resize = f"{{ResizeImage: {{{resizes[way]}, interpolation: {interpolation}, backend: {backend}}}}}"
        recipe = os.path.join(work, "recipe.yaml")
        with open(recipe, "w") as file:
            file.write(
                f"Global: {{pretrained_model: {weights}, image_shape: [3, 64, 96], device: cpu}}\n"
                "Arch: {name: PPHGNetV2_B0, class_num: 7}\n"
                f"Infer:\n  transforms:\n    - DecodeImage: {{to_rgb: True, channel_first: False}}\n    - {resize}\n"
                + ("" if way == "size" else f"    - {crop}\n")
                + "    - NormalizeImage: {scale: 1.0/255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}\n"
                "    - ToCHWImage:\n  PostProcess: {name: Topk, topk: 5}\n")
        hgnet(
            arguments.binary, "export", "-c", recipe, "--format", "onnx", "--with-preprocessing", "--opset", str(opset),
            "--output", work)
        model = os.path.join(work, "inference.onnx")
        if has("onnx"):
            check_rules(report, title, model, opset)
        compiled = None
        if has("openvino"):
            import openvino

            compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        worst = {}
        same = True
        for size in sizes:
            small = generator.integers(0, 256, (size[0] // 8 + 2, size[1] // 8 + 2, 3), np.uint8)
            picture = Image.fromarray(small).resize((size[1], size[0]), Image.Resampling.BICUBIC)
            path = os.path.join(work, "picture.png")
            picture.save(path)
            tensor = os.path.join(work, "tensor.npy")
            hgnet(arguments.binary, "preprocess", path, "--output", tensor, "-c", recipe)
            with paddle.no_grad():
                expected = softmax(network(paddle.to_tensor(np.load(tensor))).numpy().astype(np.float64))
            raw = np.asarray(picture, np.uint8)[None]
            found = {"ONNX Runtime": run_onnx(model, raw, "image")[1]}
            if compiled is not None:
                found["OpenVINO"] = compiled(raw)[0]
            for name, scores in found.items():
                worst[name] = max(worst.get(name, 0), float(np.abs(scores - expected).max()))
            told = json.loads(hgnet(arguments.binary, "predict", path, "--weights", model, "--json").stdout)[0]
            same &= told["class_ids"][0] == int(expected.argmax())
        for name, difference in worst.items():
            report.check(f"{title}: {name}", difference <= PREPROCESSING_BOUND, f"{difference:.1e}")
        report.check(f"{title}: hgnet predict", same)


def check_rules(report, title, path, opset):
    """What all runtimes compute alike: no Resize, no double precision; bytes become floats at once, as TensorRT wants."""
    import onnx

    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    kinds = {node.op_type for node in graph.node}
    doubles = [tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.DOUBLE]
    doubles += [
        node.name for node in graph.node for attribute in node.attribute
        if node.op_type == "Cast" and attribute.i == onnx.TensorProto.DOUBLE]
    readers = [node.op_type for node in graph.node if "image" in node.input]
    good = not kinds & {"Resize", "Upsample", "If", "Loop", "Scan"} and not doubles and readers == ["Cast"]
    report.check(f"{title}: checker, rules", good and model.opset_import[0].version == opset, " ".join(doubles + readers))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--quick", action="store_true", help="two models instead of ten")
    parser.add_argument("--keep", action="store_true", help="leave the files")
    arguments = parser.parse_args()
    arguments.binary = os.path.abspath(arguments.binary)
    import reference

    report = Report()
    models = arguments.models or (QUICK_MODELS if arguments.quick else list(reference.ROWS))
    os.makedirs(arguments.folder, exist_ok=True)
    for module in ("onnx", "onnxruntime", "openvino", "MNN", "ncnn", "pnnx", "paddle2onnx", "paddlelite", "timm"):
        if not has(module):
            print(f"{module} is not installed; its checks are left out", flush=True)
    for index, name in enumerate(models):
        try:
            check_model(arguments, report, name, 100 + index)
        except RuntimeError as error:
            report.check(name, False, str(error))
    for extra in (check_heads, check_preprocessing):
        try:
            extra(arguments, report)
        except RuntimeError as error:
            report.check(extra.__name__, False, str(error))
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed != 0)


if __name__ == "__main__":
    main()
