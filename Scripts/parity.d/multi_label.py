"""Compares networks with the ML-Decoder head with PaddlePaddle: logits, scores, one training step, exported models.

    multi_label.py HGNET_BINARY WORK_FOLDER [--quick] [--keep]

The decoder is PaddlePaddle's own transformer layer with its self-attention taken out, written from the published
description of the head. Steps are judged as in training.py.
"""

import argparse
import json
import os
import shutil

import numpy as np

import reference
import training
import training_runs as runs
from export import run_paddle

os.environ.setdefault("GLOG_minloglevel", "2")

ADAMW = {
    "name": "AdamW", "lr": {"name": "ConstLR", "learning_rate": 1e-4}, "weight_decay": 1e-4,
    "one_dim_param_no_weight_decay": True}
LOSS = {"Train": [{"MultiLabelAsymmetricLoss": {"weight": 1.0, "gamma_pos": 0, "gamma_neg": 4, "clip": 0.05}}]}
HEAD = {"use_ml_decoder": True, "MLDecoder": {"dropout": 0.0}}
MOMENTUM = {"Arch": HEAD, "Loss": LOSS}

# Title, model, side, batch, what differs from fine-tuning.
STEPS = [
    ("B0 Momentum", "PPHGNetV2_B0", 96, 4, MOMENTUM),
    ("B0 AdamW", "PPHGNetV2_B0", 96, 4, dict(MOMENTUM, Optimizer=ADAMW)),
    ("B4 Momentum", "PPHGNetV2_B4", 96, 4, MOMENTUM),
    ("B0 4 queries", "PPHGNetV2_B0", 64, 4, {
        "Loss": LOSS, "Arch": {"use_ml_decoder": True, "MLDecoder": {
            "dropout": 0.0, "query_num": 4, "embed_dim": 96, "num_heads": 4, "mlp_hidden_dim": 80}}}),
]
PROGRAMS = {
    "paddle": ["inference.json", "inference.pdmodel"], "paddle-json": ["inference.json"],
    "paddle-pdmodel": ["inference.pdmodel"]}
# Model, sides, classes.
LOGITS = [("PPHGNetV2_B0", (448, 448), 80), ("PPHGNetV2_B4", (160, 224), 80), ("PPHGNet_tiny", (96, 96), 7)]


def make_head(channels, classes, settings):
    """The module that takes the place of `fc`."""
    import paddle
    from paddle import nn
    from paddle.nn import functional as F

    class Same(nn.Layer):
        def forward(self, first, *others):
            return first

    class Decoder(nn.Layer):
        def __init__(self):
            super().__init__()
            features = settings.get("embed_dim", 768)
            count = min(settings.get("query_num", 80), classes)
            each = -(-classes // count)
            self.input_proj = nn.Conv2D(channels, features, 1)
            self.query_pos_embed = nn.Embedding(count, features)
            self.query_pos_embed.weight.stop_gradient = True
            layer = nn.TransformerDecoderLayer(
                features, settings.get("num_heads", 8), settings.get("mlp_hidden_dim", 2048),
                settings.get("dropout", 0.1), "relu")
            self.decoder = nn.TransformerDecoder(layer, 1)
            self.decoder.layers[0].self_attn = Same()
            self.group_conv = nn.Conv2D(count * features, count * each, 1, groups=count)

        def forward(self, x):
            memory = F.relu(self.input_proj(x)).flatten(2).transpose([0, 2, 1])
            queries = self.query_pos_embed.weight.unsqueeze(0).tile([x.shape[0], 1, 1])
            answers = self.decoder(queries, memory)
            answers = answers.flatten(1).unsqueeze(-1).unsqueeze(-1)
            return self.group_conv(answers).flatten(1)[:, :classes]

    return Decoder()


class Network(reference.Network):
    """A network of the reference with the decoder in place of its pool and classifier."""

    settings = {}

    def __init__(self, row, class_num=1000, **options):
        super().__init__(row, class_num=class_num, **options)
        self.fc = make_head(self.fc.weight.shape[0], class_num, self.settings)

    def classify(self, x):
        from paddle.nn import functional as F

        if self.use_last_conv:
            x = F.relu(self.last_conv(x))
            x = self.dropout(self.lab(x) if self.affine else x)
        return self.fc(x)


def build(name, **options):
    network = Network(reference.ROWS[name], **options)
    network.eval()
    return network


def draw(network, seed):
    """Random values for a whole network, the head's normalisations and queries included."""
    import logits
    from paddle import nn

    generator = np.random.default_rng(seed + 9)
    for layer in network.sublayers():
        if isinstance(layer, nn.LayerNorm):
            for parameter, low, high in ((layer.weight, 0.5, 1.1), (layer.bias, -0.3, 0.5)):
                parameter.set_value(generator.uniform(low, high, parameter.shape).astype(np.float32))
    network.fc.query_pos_embed.weight.set_value(
        generator.uniform(-1, 1, network.fc.query_pos_embed.weight.shape).astype(np.float32))
    plain_draw(network, seed)


def measure_terms(network):
    """The biases of the keys shift all scores of a query alike, so that their gradients cancel to 0: see there."""
    norms = plain_measure_terms(network)

    def watch(layer, name):
        def after(layer, inputs, output):
            if output.stop_gradient:
                return

            def note(gradient):
                norms[name] = max(norms.get(name, 0.0), float((gradient * gradient).sum(axis=[0, 1]).max()) ** 0.5)

            output.register_hook(note)

        layer.register_forward_post_hook(after)

    for path, layer in network.named_sublayers():
        if path.endswith("cross_attn.k_proj"):
            watch(layer, path + ".bias")
    return norms


def logits_case(report, arguments, model, size, classes):
    import paddle
    import logits

    title = f"{model} {size[0]}x{size[1]}, {classes} classes"
    folder = os.path.join(arguments.folder, f"logits-{model}")
    os.makedirs(folder)
    Network.settings = {}
    paddle.utils.unique_name.switch()
    network = build(model, class_num=classes)
    draw(network, 11)
    path = os.path.join(folder, "model.pdparams")
    paddle.save(network.state_dict(), path)
    if model == "PPHGNetV2_B0" and classes == 80:
        state = network.state_dict()
        report.check(abs(len(state) - 296) + abs(sum(v.size for v in state.values()) - 11171934), f"{title}: counts")
    inputs = logits.pictures(2, size, 12)
    with paddle.no_grad():
        expected = network(paddle.to_tensor(inputs)).numpy()
    np.save(os.path.join(folder, "inputs.npy"), inputs)
    target = os.path.join(folder, "logits.npy")
    runs.run(arguments.binary, "run", path, "--input", os.path.join(folder, "inputs.npy"), "--output", target)
    found = np.load(target)
    report.check(logits.difference(found, expected), f"{title}: logits")
    scores = 1 / (1 + np.exp(-expected.astype(np.float64)))
    worst = [logits.difference(found, expected)]
    # Another number of pictures of another size than the export's.
    others = logits.pictures(3, (size[0] + 32, max(size[1] - 64, 64)), 13)
    np.save(os.path.join(folder, "others.npy"), others)
    with paddle.no_grad():
        other_logits = network(paddle.to_tensor(others)).numpy()
    other_scores = 1 / (1 + np.exp(-other_logits.astype(np.float64)))
    for form in arguments.formats:
        out = os.path.join(folder, form)
        runs.run(
            arguments.binary, "export", "--weights", path, "--format", form, "--output", out, "--input-size",
            f"{size[0]}x{size[1]}")
        differences = [
            float(np.abs(found - wanted).max())
            for values, wanted in ((inputs, scores), (inputs[:1], scores[:1]), (others, other_scores))
            for found in run_exported(out, form, values)]
        worst.append(max(differences))
        report.check(worst[-1], f"{title}: {form}", 1e-5)
        for program in PROGRAMS.get(form, [""]):
            for name, wanted in (("inputs", expected), ("others", other_logits)):
                runs.run(
                    arguments.binary, "run", os.path.join(out, program), "--input", os.path.join(folder, name + ".npy"),
                    "--output", target)
                report.check(logits.difference(np.load(target), wanted), f"{title}: {form} {program} {name}, read back")
    # PaddlePaddle's own export.
    own = os.path.join(folder, "own", "inference")
    specification = paddle.static.InputSpec([None, 3, *size], "float32", "x")
    paddle.jit.save(paddle.jit.to_static(network, input_spec=[specification], full_graph=True), own)
    runs.run(
        arguments.binary, "run", os.path.dirname(own), "--input", os.path.join(folder, "inputs.npy"), "--output", target)
    worst.append(logits.difference(np.load(target), expected))
    report.check(worst[-1], f"{title}: PaddlePaddle's export")
    print(f"{title:40} " + "  ".join(f"{value:.0e}" for value in worst), flush=True)
    if not arguments.keep:
        shutil.rmtree(folder)


def run_exported(folder, form, inputs):
    """The scores of an exported model in ONNX Runtime, or in Paddle Inference by each program, with oneDNN and without."""
    if form == "onnx":
        import onnx
        import onnxruntime

        model = onnx.load(f"{folder}/inference.onnx")
        onnx.checker.check_model(model, full_check=True)
        # The file declares the size of the export; the operators take any.
        for axis, name in ((2, "height"), (3, "width")):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return [session.run(None, {session.get_inputs()[0].name: inputs})[0]]
    return [
        run_paddle(folder, program, inputs, with_onednn=with_onednn)[1]
        for program in PROGRAMS[form] for with_onednn in (True, False)]


def main():
    parser = argparse.ArgumentParser(description="Compares the ML-Decoder head with PaddlePaddle.")
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true", help="fewer networks")
    parser.add_argument("--keep", action="store_true", help="keep everything that is written")
    parser.add_argument("--formats", nargs="*", default=["onnx", "paddle"], help="exported models to compare")
    arguments = parser.parse_args()
    arguments.binary = os.path.abspath(arguments.binary)
    arguments.folder = os.path.abspath(arguments.folder)
    arguments.case = None
    shutil.rmtree(arguments.folder, ignore_errors=True)
    os.makedirs(arguments.folder)
    report = training.Report()

    print("Logits, then scores of exported models, then logits of PaddlePaddle's own export: differences from PaddlePaddle")
    for entry in LOGITS[:1] if arguments.quick else LOGITS:
        try:
            logits_case(report, arguments, *entry)
        except RuntimeError as error:
            report.fail(f"{entry[0]}: {error}")
    print("One step, differences from PaddlePaddle in float64, largest over largest")
    print(f"{'':30} {'loss':8}  gradients     update  stat.   (PaddlePaddle's own float32)")
    for index, (title, model, side, batch, changes) in enumerate(STEPS[:2] if arguments.quick else STEPS):
        Network.settings = changes["Arch"]["MLDecoder"]
        training.step_case(report, arguments, title, model, side, batch, changes, 800 + index)
    print(f"worst {report.worst:.1e} (bound {training.BOUND:.0e})")
    print(f"{report.passed} passed, {report.failed} failed")
    raise SystemExit(1 if report.failed else 0)


if __name__ == "__main__":
    import logits
    import reference_training

    # The helpers of training.py build, draw and measure through these names.
    plain_measure_terms = reference_training.measure_terms
    reference_training.measure_terms = measure_terms
    plain_draw = logits.draw
    logits.draw = draw
    reference.build = build
    main()
