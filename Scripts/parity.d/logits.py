"""Compares the logits of hgnet with PaddlePaddle's, for every model, file format, input size and batch.

    logits.py HGNET_BINARY WORK_FOLDER [--models NAME ...] [--formats NAME ...] [--quick] [--keep]

Weights are random, statistics and affine values included, and scaled so that PaddlePaddle's float32 is itself within
1e-5 of its float64, which is checked. Each file is read by `hgnet run`; the largest difference over the largest logit
must be at most 1e-4, and above 1e-5 it is marked. Stage outputs are held to the same bounds; a picture must give the
same bits alone as within a batch.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile

import numpy as np

os.environ.setdefault("GLOG_minloglevel", "2")

FAIL, WARN = 1e-4, 1e-5
SIZES = [(224, 224), (193, 257)]
BATCHES = [1, 3]
FORMATS = ["pdparams4", "pdparams2", "safetensors", "timm", "json", "pdmodel", "tar"]

# Networks that differ from the ten in an option, with a batch and a size: each is saved and read back without naming the
# model.
VARIANTS = [
    ("PPHGNetV2_B0", dict(class_num=7), 1, (193, 257)),
    ("PPHGNetV2_B1", dict(class_num=10, use_last_conv=False), 1, (193, 257)),
    ("PPHGNetV2_B2", dict(use_lab=False, class_expand=1280), 1, (193, 257)),
    ("PPHGNetV2_B4", dict(class_num=3, use_lab=True), 1, (193, 257)),
    ("PPHGNet_tiny", dict(class_num=5, dropout_prob=0.0), 1, (193, 257)),
    ("PPHGNet_tiny", dict(class_num=5, use_last_conv=False), 1, (193, 257)),
    ("PPHGNetV2_B0", dict(class_num=2), 32, (160, 160)),
    ("PPHGNetV2_B0", dict(class_num=21841), 8, (288, 288)),
    ("PPHGNetV2_B3", dict(class_num=21841), 2, (96, 448)),
    ("PPHGNetV2_B4", dict(class_num=10), 8, (160, 160)),
]


def pictures(count, size, seed):
    """Normalised pictures [N, 3, H, W] with structure at several scales, all different."""
    generator = np.random.default_rng(seed)
    height, width = size
    result = np.zeros((count, 3, height, width), np.float32)
    for cell in (64, 16, 4, 1):
        coarse = generator.standard_normal((count, 3, -(-height // cell), -(-width // cell))).astype(np.float32)
        result += coarse.repeat(cell, 2).repeat(cell, 3)[:, :, :height, :width] * np.float32(0.5)
    return result


def draw(network, seed):
    """Gives every parameter a random value that keeps activations near unit scale and rounding errors small.

    Statistics follow the activations of two pictures, each off by a random amount. Random networks amplify the
    rounding of early layers a thousandfold when every channel is centred before its ReLU; trained ones do not. So only
    half of the mean is taken away, and the biases keep most ReLUs open.
    """
    import paddle
    from paddle import nn
    import reference

    generator = np.random.default_rng(seed)

    def uniform(parameter, low, high):
        parameter.set_value(generator.uniform(low, high, parameter.shape).astype(np.float32))

    def measure(layer, inputs):
        values = inputs[0].numpy().astype(np.float64)
        mean = values.mean((0, 2, 3)) / 2
        power = values.var((0, 2, 3)) + mean**2
        shift = generator.uniform(-0.3, 0.3, mean.shape) * np.sqrt(power)
        layer._mean.set_value((mean + shift).astype(np.float32))
        layer._variance.set_value((power * generator.uniform(0.7, 1.5, mean.shape)).astype(np.float32))

    hooks = []
    for layer in network.sublayers():
        if isinstance(layer, nn.Conv2D):
            fan_in = int(np.prod(layer.weight.shape[1:]))
            weight = generator.standard_normal(layer.weight.shape) * np.sqrt(2 / fan_in)
            layer.weight.set_value(weight.astype(np.float32))
            if layer.bias is not None:
                uniform(layer.bias, -0.3, 0.3)
        elif isinstance(layer, nn.BatchNorm2D):
            uniform(layer.weight, 0.5, 0.9)
            uniform(layer.bias, 0.2, 1.0)
            hooks.append(layer.register_forward_pre_hook(measure))
        elif isinstance(layer, reference.LearnableAffineBlock):
            uniform(layer.scale, 0.8, 1.2)
            uniform(layer.bias, -0.2, 0.2)
        elif isinstance(layer, nn.Linear):
            weight = generator.standard_normal(layer.weight.shape) / np.sqrt(layer.weight.shape[0])
            layer.weight.set_value(weight.astype(np.float32))
            uniform(layer.bias, -0.3, 0.3)
    with paddle.no_grad():
        network(paddle.to_tensor(pictures(2, (192, 192), seed + 1)))
    for hook in hooks:
        hook.remove()


def run_reference(network, values):
    """Logits and the four stage outputs."""
    import paddle

    with paddle.no_grad():
        stages = network.features(paddle.to_tensor(values))
        return network.classify(stages[-1]).numpy(), [stage.numpy() for stage in stages]


def difference(found, expected):
    """The largest difference over the largest magnitude; infinite where shapes or numbers are wrong."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max())


def timm_names(state):
    """The state dictionary under timm's names and layout."""
    result = {}
    for name, value in state.items():
        name = name.replace("bn._mean", "bn.running_mean").replace("bn._variance", "bn.running_var")
        name = name.replace("aggregation_squeeze_conv", "aggregation.0").replace("aggregation_conv", "aggregation.0")
        name = name.replace("aggregation_excitation_conv", "aggregation.1").replace("att.conv", "aggregation.1.conv")
        if name.startswith("stem.") and name[5].isdigit():
            name = "stem." + name
        if name.startswith("lab."):
            name = "head.last_conv.2" + name[3:]
        if name == "last_conv.weight":
            name = "head.last_conv.0.weight"
        if name.startswith("fc."):
            value = np.ascontiguousarray(value.T) if name == "fc.weight" else value
            name = "head." + name
        result[name] = value
        if name.endswith("bn.running_var"):
            result[name.replace("running_var", "num_batches_tracked")] = np.array(1, np.int64)
    return result


def export(network, folder):
    """Writes an inference model as PaddleClas' export does: one softmax on top, a batch of any size."""
    import paddle
    from paddle import nn

    class Exported(nn.Layer):
        def __init__(self):
            super().__init__()
            self.base_model = network
            self.softmax = nn.Softmax(axis=-1)

        def forward(self, x):
            return self.softmax(self.base_model(x))

    exported = Exported()
    exported.eval()
    spec = paddle.static.InputSpec(shape=[None, 3, 224, 224], dtype="float32", name="x")
    paddle.jit.save(paddle.jit.to_static(exported, input_spec=[spec], full_graph=True), os.path.join(folder, "inference"))


class OldFormatWriter:
    """A second interpreter with the new program format switched off, which writes .pdmodel files."""

    def __init__(self):
        environment = dict(os.environ, FLAGS_enable_pir_api="0")
        command = [sys.executable, "-W", "ignore", os.path.abspath(__file__), "--write-pdmodel"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def write(self, name, options, weights, folder):
        self.process.stdin.write(f"{name}\t{options!r}\t{weights}\t{folder}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("written"):
                return
        raise SystemExit("the writer of .pdmodel files ended early")

    @staticmethod
    def serve():
        import ast
        import paddle
        import reference
        from paddle.base.layer_helper import LayerHelper

        def sigmoid(x):
            # PaddlePaddle 3.3's own function no longer knows the old program format; the operator is still there.
            helper = LayerHelper("sigmoid", x=x)
            result = helper.create_variable_for_type_inference(dtype=x.dtype)
            helper.append_op(type="sigmoid", inputs={"X": x}, outputs={"Out": result})
            return result

        reference.EffectiveSqueezeExcitation.sigmoid = staticmethod(sigmoid)
        for line in sys.stdin:
            name, options, weights, folder = line.rstrip("\n").split("\t")
            network = reference.build(name, **ast.literal_eval(options))
            network.set_state_dict(paddle.load(weights))
            export(network, folder)
            print("written", flush=True)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def save(network, name, options, form, folder, writer):
    """Saves the network in one form; returns what `hgnet run` is given."""
    import paddle
    from safetensors.numpy import save_file

    path = os.path.join(folder, form)
    if form.startswith("pdparams"):
        path += ".pdparams"
        paddle.save(network.state_dict(), path, protocol=int(form[-1]))
        return path
    if form in ("safetensors", "timm"):
        state = {key: value.numpy() for key, value in network.state_dict().items()}
        path += ".safetensors"
        save_file(timm_names(state) if form == "timm" else state, path)
        return path
    os.makedirs(path, exist_ok=True)
    if form == "json":
        export(network, path)
    else:
        weights = os.path.join(folder, "for-pdmodel.pdparams")
        paddle.save(network.state_dict(), weights)
        writer.write(name, options, weights, path)
    files = os.listdir(path)
    expected = "inference.json" if form == "json" else "inference.pdmodel"
    if expected not in files:
        raise SystemExit(f"PaddlePaddle wrote {files} where {expected} was expected")
    if form == "tar":
        # The layout of the published archives.
        with tarfile.open(path + ".tar", "w") as archive:
            archive.add(path, f"{name}_infer")
        return path + ".tar"
    return path


def run_hgnet(binary, weights, model, source, folder, features):
    """Runs the tool; returns logits and, where asked for, the stage outputs."""
    target = os.path.join(folder, "y.npy")
    for stale in os.listdir(folder):
        if stale.startswith("y.") and stale.endswith(".npy"):
            os.remove(os.path.join(folder, stale))
    command = [binary, "run", weights, "--input", source, "--output", target]
    command += ["--model", model] if model else []
    command += ["--features"] if features else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr.strip()}")
    stages = [np.load(f"{target[:-4]}.stages.{index}.npy") for index in range(4)] if features else None
    return np.load(target), stages


class Report:
    def __init__(self):
        self.passed = self.failed = 0
        self.worst = 0.0

    def cell(self, value):
        """Counts one comparison and shows it: `!` above 1e-5, `X` above 1e-4."""
        good = value <= FAIL
        self.passed += good
        self.failed += not good
        self.worst = max(self.worst, value)
        return f"{value:.1e}{'X' if not good else '!' if value > WARN else ' '}"

    def fail(self, text):
        self.failed += 1
        print(f"  FAILED {text}", flush=True)


def own_accuracy(network, values, logits):
    """How far PaddlePaddle's float32 is from its float64; restores the network."""
    import paddle

    state = {key: value.numpy() for key, value in network.state_dict().items()}
    network.to(dtype="float64")
    with paddle.no_grad():
        exact = network(paddle.to_tensor(values.astype(np.float64))).numpy()
    network.to(dtype="float32")
    for key, value in network.state_dict().items():
        value.set_value(state[key])
    return difference(logits, exact)


def compare_model(arguments, report, name, seed, writer):
    import reference

    folder = os.path.join(arguments.folder, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    network = reference.build(name)
    draw(network, seed)
    cases = []
    for size in SIZES:
        values = pictures(max(BATCHES), size, seed + size[0])
        logits, stages = run_reference(network, values)
        for batch in BATCHES:
            path = os.path.join(folder, f"x-{size[0]}x{size[1]}-{batch}.npy")
            np.save(path, values[:batch])
            cases.append((path, logits[:batch], [stage[:batch] for stage in stages]))
    single = pictures(max(BATCHES), SIZES[0], seed + SIZES[0][0])[:1]
    accuracy = own_accuracy(network, single, cases[0][1])
    if accuracy > WARN:
        report.fail(f"{name}: PaddlePaddle's float32 is {accuracy:.1e} from its float64; the weights are badly scaled")
    for number, form in enumerate(arguments.formats):
        # The first form sees every input; another form of the same weights can only go wrong as a whole.
        chosen = range(len(cases)) if number == 0 else (0, len(cases) - 1)
        try:
            weights = save(network, name, {}, form, folder, writer)
            # Names are found out from the weights except where a form has none.
            model = name if form == "pdparams4" else None
            with_features = form == "safetensors"
            cells, worst_stage, results = [], 0.0, []
            for column, case in enumerate(cases):
                if column not in chosen:
                    cells.append(" " * 8)
                    continue
                path, expected, expected_stages = case
                logits, stages = run_hgnet(arguments.binary, weights, model, path, folder, with_features)
                cells.append(report.cell(difference(logits, expected)))
                results.append(logits)
                for found, stage in zip(stages or [], expected_stages):
                    worst_stage = max(worst_stage, difference(found, stage))
            if with_features:
                cells.append(f"stages {report.cell(worst_stage)}")
            for one, several in zip(results[0::2], results[1::2]) if number == 0 else []:
                if not np.array_equal(one[0], several[0]):
                    report.fail(f"{name} {form}: a picture gives other bits alone than within a batch")
            print(f"{name:14} {form:12} {'  '.join(cells)}", flush=True)
        except RuntimeError as error:
            report.fail(f"{name} {form}: {error}")
        if not arguments.keep:
            remove_weights(folder, form)
    print(f"{name:14} {'(itself)':12} {accuracy:.1e}   PaddlePaddle's float32 against its float64", flush=True)
    if not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)


def remove_weights(folder, form):
    for entry in os.listdir(folder):
        path = os.path.join(folder, entry)
        if entry == form and os.path.isdir(path):
            shutil.rmtree(path)
        elif entry.startswith((form + ".", "for-pdmodel")):
            os.remove(path)


def compare_variant(arguments, report, name, options, batch, size, seed):
    import reference

    folder = os.path.join(arguments.folder, "variant")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    network = reference.build(name, **options)
    draw(network, seed)
    values = pictures(batch, size, seed)
    expected, _ = run_reference(network, values)
    source = os.path.join(folder, "x.npy")
    np.save(source, values)
    text = ", ".join(f"{key}={value}" for key, value in options.items()) + f"; {size[0]}x{size[1]}/{batch}"
    try:
        weights = save(network, name, options, "pdparams4", folder, None)
        logits, _ = run_hgnet(arguments.binary, weights, None, source, folder, False)
        print(f"{name:14} {'variant':12} {report.cell(difference(logits, expected))}  {text}", flush=True)
    except RuntimeError as error:
        report.fail(f"{name} with {text}: {error}")


def main():
    parser = argparse.ArgumentParser(description="Compares the logits of hgnet with PaddlePaddle's.")
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--quick", action="store_true", help="three models only")
    parser.add_argument("--keep", action="store_true", help="keep weights and inputs")
    arguments = parser.parse_args()
    arguments.binary = os.path.abspath(arguments.binary)
    arguments.folder = os.path.abspath(arguments.folder)

    import paddle
    import reference

    paddle.seed(0)
    names = arguments.models or list(reference.ROWS)
    if arguments.quick:
        names = [name for name in names if name in ("PPHGNetV2_B0", "PPHGNetV2_B4", "PPHGNet_tiny")]
    unknown = [name for name in names if name not in reference.ROWS]
    if unknown:
        raise SystemExit(f"expected models among {', '.join(reference.ROWS)}, found {', '.join(unknown)}")
    report = Report()
    for name in names:
        found = reference.counts(reference.build(name))
        if found != reference.COUNTS[name]:
            report.fail(f"{name}: expected the counts {reference.COUNTS[name]}, found {found}")
    print("Largest difference over the largest logit, hgnet against PaddlePaddle", paddle.__version__)
    columns = [f"{h}x{w}/{batch}" for h, w in SIZES for batch in BATCHES]
    print(f"{'model':14} {'format':12} {'  '.join(f'{column:8}' for column in columns)}")
    writer = OldFormatWriter() if {"pdmodel", "tar"} & set(arguments.formats) else None
    for index, name in enumerate(reference.ROWS):
        if name in names:
            compare_model(arguments, report, name, 1000 + 17 * index, writer)
    if writer:
        writer.close()
    for index, (name, options, batch, size) in enumerate(VARIANTS):
        if name in names:
            compare_variant(arguments, report, name, options, batch, size, 2000 + 17 * index)
    print(f"worst {report.worst:.1e} (bound {FAIL:.0e})")
    print(f"{report.passed} passed, {report.failed} failed")
    raise SystemExit(1 if report.failed else 0)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write-pdmodel"]:
        OldFormatWriter.serve()
    else:
        main()
