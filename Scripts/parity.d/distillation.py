"""Compares distillation with PaddlePaddle: one step of each stage, and the layout of the checkpoints.

    distillation.py HGNET_BINARY WORK_FOLDER [--quick] [--keep]

B0 learns from PPHGNet_tiny on small pictures, with the sections of Configs/PPHGNetV2_B0_ssld_stage1.yaml and _stage2.yaml.
As in training.py the judge is PaddlePaddle in float64. PaddlePaddle builds both networks in one process, so that the
names in the checkpoints, those inside included, must be those that it gives.
"""

import argparse
import json
import os
import shutil

import numpy as np

import training_runs as runs
from training import BOUND, ULP, Report, distance

os.environ.setdefault("GLOG_minloglevel", "2")

TEACHER, STUDENT, SIDE, BATCH = "PPHGNet_tiny", "PPHGNetV2_B0", 64, 4
IMITATION = {"DistillationCELoss": {"weight": 1.0, "model_name_pairs": [["Student", "Teacher"]]}}
LABELS = {"DistillationGTCELoss": {"weight": 0.5, "model_names": ["Student"], "epsilon": 0.1}}
BOTH_LABELS = {"DistillationGTCELoss": {"weight": 1.0, "model_names": ["Student", "Teacher"]}}
MUTUAL = {"DistillationDMLLoss": {"weight": 2.0, "model_name_pairs": [["Student", "Teacher"]]}}

# Title, losses, learning rate, whether the teacher is frozen, further keys of Arch.
CASES = [
    ("stage 1", [IMITATION], 0.5, True, {}),
    ("stage 2", [IMITATION], 0.005, True, {}),
    ("teacher in training mode", [IMITATION], 0.5, True, {"teacher_in_training_mode": True}),
    ("with labels", [IMITATION, LABELS], 0.1, True, {}),
    ("two learn", [BOTH_LABELS, MUTUAL], 0.1, False, {}),
]


def make_network(teacher_frozen, observed, dtype):
    import paddle
    from paddle import nn
    import reference
    from reference_training import prepare

    paddle.utils.unique_name.switch()

    class Distillation(nn.Layer):
        def __init__(self):
            super().__init__()
            self.Teacher = reference.build(TEACHER, class_num=runs.CLASSES, dropout_prob=0.0)
            self.Student = reference.build(STUDENT, class_num=runs.CLASSES, dropout_prob=0.0)

        def forward(self, inputs):
            return {"Teacher": self.Teacher(inputs), "Student": self.Student(inputs)}

    network = Distillation()
    for part in (network.Teacher, network.Student):
        prepare(part, {}, runs.MOMENTUM)
    if teacher_frozen:
        for parameter in network.Teacher.parameters():
            parameter.trainable = False
    if dtype != "float32":
        network.to(dtype=dtype)
    network.train()
    if teacher_frozen and not observed:
        network.Teacher.eval()
    return network


def measure(losses, logits, labels):
    """The sum of the losses of a configuration, written from their formulas."""
    import paddle
    from paddle.nn import functional as F

    def cross_entropy(values, target):
        return -(target * F.log_softmax(values, axis=-1)).sum(axis=-1).mean()

    def divergence(p, q):
        return (q * paddle.log((q + 1e-12) / (p + 1e-12)) * p.shape[-1]).mean()

    total = 0.0
    for entry in losses:
        ((name, settings),) = entry.items()
        weight = settings["weight"] if len(losses) > 1 else 1.0
        for pair in settings.get("model_name_pairs", []):
            first, second = (logits[model] for model in pair)
            if name == "DistillationCELoss":
                value = cross_entropy(first, F.softmax(second.detach(), axis=-1))
            else:
                p, q = F.softmax(first, axis=-1), F.softmax(second, axis=-1)
                value = (divergence(p, q) + divergence(q, p)) / 2
            total = total + weight * value
        for model in settings.get("model_names", []):
            values, epsilon = logits[model], settings.get("epsilon", 0.0)
            target = F.one_hot(labels, values.shape[-1]).astype(values.dtype)
            total = total + weight * cross_entropy(values, (1 - epsilon) * target + epsilon / values.shape[-1])
    return total


class Step:
    """One step in PaddlePaddle."""

    def __init__(self, case, weights, inputs, labels, dtype):
        import paddle
        from reference_training import make_optimizer, make_schedule, measure_terms

        _, losses, rate, frozen, arch = case
        network = make_network(frozen, arch.get("teacher_in_training_mode", False), dtype)
        for name, value in network.state_dict().items():
            value.set_value(weights[name].astype(dtype))
        self.terms = measure_terms(network)
        settings = dict(runs.MOMENTUM, lr={"name": "ConstLR", "learning_rate": rate})
        optimizer = make_optimizer(network, settings, make_schedule(settings["lr"], 1, 1), None)
        loss = measure(losses, network(paddle.to_tensor(inputs.astype(dtype))), paddle.to_tensor(labels))
        loss.backward()
        optimizer.step()
        self.loss = float(loss)
        self.after = {name: value.numpy() for name, value in network.state_dict().items()}
        self.internal = {name: value.name for name, value in network.state_dict().items()}
        self.multipliers = {n: p.optimize_attr["learning_rate"] for n, p in network.named_parameters()}
        self.velocities = {k: v.numpy() for k, v in optimizer.state_dict().items() if k.endswith("_velocity_0")}


def draw(folder, pictures):
    """Weights of both networks, the ReLUs of the student away from their kinks."""
    import paddle
    import logits
    from reference_training import open_gaps

    network = make_network(False, False, "float32")
    for index, part in enumerate((network.Teacher, network.Student)):
        logits.draw(part, 700 + index)
        open_gaps(part, pictures.inputs)
    paddle.save(network.Teacher.state_dict(), os.path.join(folder, "teacher.pdparams"))
    paddle.save(network.Student.state_dict(), os.path.join(folder, "student.pdparams"))
    return {name: value.numpy() for name, value in network.state_dict().items()}


def case(report, arguments, case):
    import paddle
    import reference

    title, losses, rate, frozen, arch = case
    folder = os.path.join(arguments.folder, title.replace(" ", "-"))
    os.makedirs(folder)
    pictures = runs.Pictures(arguments.binary, folder, SIDE, BATCH, 600)
    weights = draw(folder, pictures)
    sub_models = [{name: {
        "name": model, "class_num": runs.CLASSES, "dropout_prob": 0.0,
        "pretrained": os.path.join(folder, file + ".pdparams")}}
        for name, model, file in (("Teacher", TEACHER, "teacher"), ("Student", STUDENT, "student"))]
    # Evaluation on the same pictures, so that there is a best model.
    settings = runs.configuration(STUDENT, SIDE, BATCH, folder, {
        "Global": {"pretrained_model": None, "eval_during_train": True}, "Optimizer": {"lr": {"learning_rate": rate}}})
    settings["Arch"] = dict(
        arch, name="DistillationModel", class_num=runs.CLASSES, models=sub_models, infer_model_name="Student",
        freeze_params_list=[frozen, False])
    settings["Loss"] = {"Train": losses, "Eval": [{"CELoss": {"weight": 1.0}}]}
    settings["Metric"] = {"Eval": [{"DistillationTopkAcc": {"model_key": "Student", "topk": [1, 5]}}]}
    settings["DataLoader"]["Eval"] = runs.merged(settings["DataLoader"]["Train"], {"dataset": {
        "image_root": pictures.folder, "cls_label_path": pictures.write_list(range(BATCH), pictures.labels)}})
    _, measured = runs.train(arguments.binary, folder, settings, pictures, range(BATCH), pictures.labels)
    prefix = os.path.join(folder, "output", "best_model")
    found = runs.Checkpoint(os.path.join(folder, "output", "latest"))
    exact = Step(case, weights, pictures.inputs, pictures.labels, "float64")

    report.check(max(abs(measured[0] - exact.loss) - 5e-6, 0) / abs(exact.loss), f"{title}: loss")
    names = paddle.load(prefix + ".pdparams", keep_name_table=True)["StructuredToParameterName@@"]
    own = [name for name in found.state if name != "StructuredToParameterName@@"]
    if own != list(exact.after) or names != exact.internal:
        report.fail(f"{title}: the names of the checkpoint are not PaddlePaddle's")
    if set(found.optimizer) != set(exact.velocities):
        report.fail(f"{title}: the state of the optimizer has other names")
    worst = [0.0]
    for name, internal in exact.internal.items():
        key = internal + "_velocity_0"
        if key in exact.velocities and key in found.optimizer:
            worst.append(distance(found.optimizer[key], exact.velocities[key], exact.terms.get(name, 0.0)))
            report.check(worst[-1], f"{title}: gradient of {name}")
    changes = [0.0]
    for name, expected in exact.after.items():
        before = weights[name].astype(np.float64)
        rounding = ULP * (np.abs(before) + np.abs(expected))
        least = rate * exact.multipliers.get(name, 1.0) * exact.terms.get(name, 0.0)
        changes.append(distance(found.state[name] - before, expected - before, least, rounding))
        report.check(changes[-1], f"{title}: change of {name}")

    # PaddlePaddle takes the whole checkpoint, and the student's file as a network of its own.
    whole = make_network(False, False, "float32")
    student = reference.build(STUDENT, class_num=runs.CLASSES, dropout_prob=0.0)
    for network, file in ((whole, prefix), (student, prefix + "_student")):
        missing, unexpected = network.set_state_dict(paddle.load(file + ".pdparams"))
        if missing or unexpected:
            report.fail(f"{title}: {file} does not load: missing {missing[:3]}, unexpected {unexpected[:3]}")
    # The same logits from every file, and from the commands that take them as they are.
    student.eval()
    expected = student(paddle.to_tensor(pictures.inputs)).numpy()
    whole.eval()
    report.check(distance(whole(paddle.to_tensor(pictures.inputs))["Student"].numpy(), expected), f"{title}: files")
    path = os.path.join(folder, "train.yaml")
    scores = paddle.nn.functional.softmax(paddle.to_tensor(expected), axis=-1).numpy()
    settings = json.load(open(path))
    settings["Infer"] = {
        "infer_imgs": os.path.join(folder, "0.png"), "batch_size": 1,
        "transforms": runs.TRANSFORMS + [{"ToCHWImage": None}], "PostProcess": {"name": "Topk", "topk": 1}}
    json.dump(settings, open(path, "w"))
    for file in (prefix, prefix + "_student"):
        overrides = ["-c", path, "-o", f"Global.pretrained_model={file}"]
        (answer,) = json.loads(runs.run(arguments.binary, "infer", "--json", *overrides))
        report.check(abs(answer["scores"][0] - scores[0].max()), f"{title}: infer with {file}", 2e-5)
        evaluation = json.loads(runs.run(arguments.binary, "eval", "--json", *overrides))
        accuracy = float((expected.argmax(-1) == pictures.labels).mean())
        report.check(abs(evaluation["metrics"]["top1"] - accuracy), f"{title}: eval with {file}", 1e-6)
        runs.run(
            arguments.binary, "export", *overrides, "-o", f"Global.save_inference_dir={os.path.join(folder, 'exported')}")
    print(f"{title:30} {exact.loss:8.5f}  {np.median(worst):.0e} {max(worst):.0e}  {max(changes):.0e}", flush=True)
    if not arguments.keep:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description="Compares distillation with PaddlePaddle.")
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true", help="the two stages only")
    parser.add_argument("--keep", action="store_true", help="keep everything that is written")
    arguments = parser.parse_args()
    arguments.binary = os.path.abspath(arguments.binary)
    arguments.folder = os.path.abspath(arguments.folder)
    shutil.rmtree(arguments.folder, ignore_errors=True)
    os.makedirs(arguments.folder)
    report = Report()
    print("One step, differences from PaddlePaddle in float64, largest over largest")
    print(f"{'':30} {'loss':8}  gradients     change")
    for entry in CASES[:2] if arguments.quick else CASES:
        try:
            case(report, arguments, entry)
        except RuntimeError as error:
            report.fail(f"{entry[0]}: {error}")
    print(f"worst {report.worst:.1e} (bound {BOUND:.0e})")
    print(f"{report.passed} passed, {report.failed} failed")
    raise SystemExit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
