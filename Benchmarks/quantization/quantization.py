"""What int8 costs in accuracy: hgnet's beside NNCF's (OpenVINO) and ONNX Runtime's of the same networks.

    quantization.py train FOLDER --model PPHGNetV2_B0 --seed 1    trains on a part of CIFAR-10, 64x64
    quantization.py measure FOLDER --weights RUN/latest ...      quantises each file in all ways and compares

FOLDER holds train_list.txt and test_list.txt, lines `path class`, as Benchmarks/training/cifar10.py prepare writes them.
Every engine gets the same pictures as numbers (`hgnet preprocess`) and quantises with the same ones for calibration.
`--calibration mse,percentile,minmax,"mse --no-equalization"` measures several rules of hgnet.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

import numpy

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def hgnet(options, *arguments, capture=False):
    done = subprocess.run([options.hgnet, *map(str, arguments)], cwd=options.work, capture_output=True, text=True)
    if done.returncode not in (0, 65):
        raise SystemExit(f"hgnet {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout if capture else done.stderr


def part(options, name, count):
    """A list of the first lines of another; the lists are shuffled."""
    lines = (options.folder / name).read_text().splitlines()[:count]
    path = options.work / f"{count}-{name}"
    path.write_text("".join(f"{options.folder.resolve()}/{line}\n" for line in lines))
    return path, lines


def train(options):
    listed, _ = part(options, "train_list.txt", options.pictures)
    output = options.work / f"{options.model}-{options.seed}"
    settings = {
        "Global.pretrained_model": "null", "Arch.name": options.model, "Global.seed": options.seed,
        "Global.epochs": options.epochs, "Global.output_dir": output, "Global.eval_during_train": False,
        "DataLoader.Train.dataset.cls_label_path": listed, "DataLoader.Train.dataset.image_root": "/",
        "DataLoader.Train.sampler.batch_size": 64, "Optimizer.lr.learning_rate": 0.05,
    }
    pairs = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    hgnet(options, "train", "-c", ROOT / "Benchmarks/training/cifar10.yaml", *pairs)


def numbers(options, weights, listed, lines, name):
    """The pictures as hgnet shows them to the network, [N, 3, H, W]."""
    path = options.work / f"{name}.npy"
    if path.exists():
        return numpy.load(path, mmap_mode="r")
    parts = []
    for begin in range(0, len(lines), 1000):
        paths = [options.folder.resolve() / line.rsplit(maxsplit=1)[0] for line in lines[begin:begin + 1000]]
        hgnet(options, "preprocess", *paths, "--weights", weights, "--output", "part.npy")
        parts.append(numpy.load(options.work / "part.npy"))
    numpy.save(path, numpy.concatenate(parts))
    return numpy.load(path, mmap_mode="r")


def logits_of_hgnet(options, file, pictures, precision):
    results = []
    for begin in range(0, len(pictures), 1000):
        numpy.save(options.work / "input.npy", pictures[begin:begin + 1000])
        hgnet(options, "run", file, "--input", "input.npy", "--output", "output.npy", "--precision", precision)
        results.append(numpy.load(options.work / "output.npy"))
    return numpy.concatenate(results)


def logits_of_onnx(file, pictures):
    import onnxruntime
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return numpy.concatenate([
        session.run(None, {name: numpy.ascontiguousarray(pictures[begin:begin + 50])})[0]
        for begin in range(0, len(pictures), 50)])


def logits_of_openvino(model, pictures):
    import openvino
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return numpy.concatenate([
        compiled(numpy.ascontiguousarray(pictures[begin:begin + 50]))[0] for begin in range(0, len(pictures), 50)])


def by_onnxruntime(options, exported, calibration, pictures):
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.pictures = iter(range(len(calibration)))

        def get_next(self):
            index = next(self.pictures, None)
            return None if index is None else {name: numpy.ascontiguousarray(calibration[index:index + 1])}

    prepared, file = str(options.work / "prepared.onnx"), str(options.work / "int8.onnx")
    quant_pre_process(str(exported), prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared, file, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)
    return logits_of_onnx(file, pictures)


def by_nncf(exported, calibration, pictures):
    import nncf
    import openvino
    model = openvino.convert_model(str(exported))
    data = nncf.Dataset([numpy.ascontiguousarray(calibration[index:index + 1]) for index in range(len(calibration))])
    return logits_of_openvino(nncf.quantize(model, data, subset_size=len(calibration)), pictures)


def measure_one(options, weights):
    listed, lines = part(options, "train_list.txt", options.calibration_pictures)
    _, tests = part(options, "test_list.txt", options.pictures)
    calibration = numbers(options, weights, listed, lines, "calibration")
    pictures = numbers(options, weights, None, tests, "test")
    labels = numpy.array([int(line.rsplit(maxsplit=1)[1]) for line in tests])
    exact = logits_of_hgnet(options, weights, pictures, "float32").argmax(1)
    right = (exact == labels).mean()
    row = {"weights": str(weights), "float32": 100 * float(right)}

    def tell(name, logits, seconds):
        classes = logits.argmax(1)
        row[name] = {
            "lost": round(100 * float(right - (classes == labels).mean()), 3),
            "agreement": round(100 * float((classes == exact).mean()), 3), "seconds": round(seconds, 1)}
        print(f"{weights}: {name}: {row[name]}", flush=True)

    print(f"{weights}: float32: {100 * right:.2f}", flush=True)
    tell("hgnet bfloat16", logits_of_hgnet(options, weights, pictures, "bfloat16"), 0)
    for rule in options.calibration.split(","):
        begin = time.monotonic()
        file = options.work / "hgnet.safetensors"
        hgnet(options, "quantize", weights, "--data", listed, "--pictures", len(lines), "--calibration", *rule.split(),
              "-o", file)
        seconds = time.monotonic() - begin
        tell(f"hgnet {rule}", logits_of_hgnet(options, file, pictures, "int8"), seconds)
    engines = [name for name in options.engines.split(",") if name]
    if engines:
        hgnet(options, "export", "--weights", weights, "--format", "onnx", "--output", "exported")
        exported = options.work / "exported" / "inference.onnx"
    for name in engines:
        begin = time.monotonic()
        found = (by_nncf(exported, calibration, pictures) if name == "nncf"
                 else by_onnxruntime(options, exported, calibration, pictures))
        tell(name, found, time.monotonic() - begin)
    with open(options.work / "results.jsonl", "a") as file:
        file.write(json.dumps(row) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["train", "measure"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("output/quantization"))
    parser.add_argument("--hgnet", default=str(ROOT / ".build/release/hgnet"))
    parser.add_argument("--model", default="PPHGNetV2_B0")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pictures", type=int, help="to train on (12800), to measure on (10000)")
    parser.add_argument("--weights", nargs="*", default=[], type=pathlib.Path)
    parser.add_argument("--calibration", default="mse")
    parser.add_argument("--calibration-pictures", type=int, default=512)
    parser.add_argument("--engines", default="nncf,onnxruntime")
    options = parser.parse_args()
    options.pictures = options.pictures or (12800 if options.action == "train" else 10000)
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    if options.action == "train":
        return train(options)
    for weights in options.weights:
        measure_one(options, weights.resolve())


if __name__ == "__main__":
    main()
