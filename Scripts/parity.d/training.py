"""Compares `hgnet train` with PaddlePaddle: whole steps, learning rates, loss curves and the exchange of checkpoints.

    training.py HGNET_BINARY WORK_FOLDER [--quick] [--keep]

Both sides get the same weights, the same pixels and the sections of one configuration. The judge of a step is
PaddlePaddle in float64: every element of every gradient, update and running statistic must lie within 1e-4 of the
largest of its tensor. How far PaddlePaddle's own float32 is from that is shown beside it. README.md says more.
"""

import argparse
import os
import re
import shutil

import numpy as np

import training_runs as runs

os.environ.setdefault("GLOG_minloglevel", "2")

BOUND, CURVE_BOUND = 1e-4, 0.01
ULP = 2.0**-23

# Model, side, batch: one step of fine-tuning with the settings of Configs/.
STEPS = [
    ("PPHGNetV2_B0", 96, 8), ("PPHGNetV2_B0", 224, 4), ("PPHGNetV2_B2", 96, 4), ("PPHGNetV2_B4", 96, 4),
    ("PPHGNetV2_B6", 96, 4), ("PPHGNet_tiny", 96, 4), ("PPHGNet_small", 96, 4), ("PPHGNet_base", 64, 4)]

ADAMW = {"name": "AdamW", "lr": {"name": "ConstLR", "learning_rate": 0.001}, "weight_decay": 0.05}
ASYMMETRIC = {"weight": 1.0, "gamma_pos": 1, "gamma_neg": 4, "clip": 0.05}

# One step of B0 each, with the sections that differ from fine-tuning; lists are replaced, dictionaries merged.
OPTIONS = {
    "without smoothing": {"Loss": {"Train": [{"CELoss": {"weight": 1.0}}]}},
    "two losses": {"Loss": {"Train": [{"CELoss": {"weight": 0.3}}, {"CELoss": {"weight": 0.7, "epsilon": 0.2}}]}},
    "Nesterov": {"Optimizer": {"use_nesterov": True}},
    "no decay by name": {
        "Optimizer": {"no_weight_decay_name": "stages.1 fc.", "regularizer": {"coeff": 0.05}}},
    "no decay, one axis": {"Optimizer": {
        "no_weight_decay_name": "stem1", "one_dim_param_no_weight_decay": True, "regularizer": {"coeff": 0.05}}},
    "L1": {"Optimizer": {"regularizer": {"name": "L1", "coeff": 0.001}}},
    "clip_norm": {"Optimizer": {"clip_norm": 0.1}},
    "SGD": {"Optimizer": {"name": "SGD", "regularizer": {"name": "L2", "coeff": 0.01}}},
    "AdamW": {"Optimizer": ADAMW},
    "AdamW, exceptions": {"Optimizer": dict(
        ADAMW, no_weight_decay_name="last_conv stages.0", one_dim_param_no_weight_decay=True, beta1=0.8, clip_norm=0.1)},
    "lr_mult_list": {"Arch": {"lr_mult_list": [0.0, 0.1, 0.5, 1.0, 2.0]}},
    "freeze_at 1": {"Arch": {"freeze_at": 1}},
    "freeze_norm": {"Arch": {"freeze_norm": True}},
    "update_freq 2": {"Global": {"update_freq": 2}},
    "EMA": {"EMA": {"decay": 0.9}},
    "MultiLabelLoss": {"Loss": {"Train": [{"MultiLabelLoss": {"weight": 1.0, "size_sum": True}}]}},
    "MultiLabel, smooth": {"Loss": {"Train": [{"MultiLabelLoss": {"weight": 1.0, "epsilon": 0.1}}]}},
    "Asymmetric": {"Loss": {"Train": [{"MultiLabelAsymmetricLoss": ASYMMETRIC}]}},
    "Asymmetric, focus": {"Loss": {"Train": [
        {"MultiLabelAsymmetricLoss": dict(ASYMMETRIC, disable_focal_loss_grad=False, gamma_pos=0)}]}},
}

# `Optimizer.lr` of runs of 4 epochs of 3 steps.
SCHEDULES = {
    "Cosine": {"name": "Cosine", "learning_rate": 0.5, "eta_min": 0.01},
    "Cosine, warm-up": {"name": "Cosine", "learning_rate": 0.5, "warmup_epoch": 1, "warmup_start_lr": 0.001},
    "Cosine, warm-up, by epoch": {"name": "Cosine", "learning_rate": 0.5, "warmup_epoch": 2, "by_epoch": True},
    "Linear, warm-up": {"name": "Linear", "learning_rate": 0.2, "end_lr": 0.02, "power": 2.0, "warmup_epoch": 1},
    "Step": {"name": "Step", "learning_rate": 0.3, "step_size": 2, "gamma": 0.1},
    "Step, warm-up, by epoch": {
        "name": "Step", "learning_rate": 0.3, "step_size": 1, "gamma": 0.5, "warmup_epoch": 1, "by_epoch": True},
    "MultiStepDecay": {"name": "MultiStepDecay", "learning_rate": 0.3, "milestones": [1, 3], "gamma": 0.2},
    "Piecewise, warm-up": {"name": "Piecewise", "decay_epochs": [1, 2], "values": [0.3, 0.2, 0.1], "warmup_epoch": 1},
    "ConstLR, warm-up": {"name": "ConstLR", "learning_rate": 0.3, "warmup_epoch": 1.5},
}

# Model, side, pictures of a batch: 5 epochs of 4 batches.
CURVES = [("PPHGNetV2_B0", 64, 8), ("PPHGNetV2_B4", 64, 8), ("PPHGNet_tiny", 64, 8)]


class Report:
    """Counts comparisons, and says which went wrong."""

    def __init__(self):
        self.passed = self.failed = 0
        self.worst = 0.0
        self.shown = {}

    def check(self, value, text, bound=BOUND):
        good = bool(value <= bound)
        self.passed += good
        self.failed += not good
        if bound == BOUND:
            self.worst = max(self.worst, value)
        if not good:
            self.show(f"{text}: {value:.1e} (bound {bound:.0e})")

    def fail(self, text):
        self.failed += 1
        self.show(text)

    def show(self, text):
        """Prints a failure, the first few of each case only."""
        case = text.split(": ")[0]
        self.shown[case] = self.shown.get(case, 0) + 1
        if self.shown[case] <= 4:
            print(f"  FAILED {text}", flush=True)


def distance(found, expected, least=0.0, allowance=0.0):
    """The largest difference over the largest magnitude, or over `least` if that is more."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    difference = np.abs(found.astype(np.float64) - expected) - allowance
    scale = max(float(np.abs(expected).max()), least)
    return max(float(difference.max()), 0.0) / scale if scale > 0 else float(difference.max() > 0)


class Step:
    """What one step in PaddlePaddle did: `before` and `after` are states."""

    def __init__(self, settings, weights, batches, dtype):
        from reference_training import Training, measure_terms

        training = Training(settings, weights, len(batches), dtype)
        self.terms = measure_terms(training.network) if dtype == "float64" else {}
        self.losses = [training.step(inputs, targets) for inputs, targets in batches]
        self.gradients = training.gradients
        self.after = training.state()
        self.average = training.average
        self.internal = training.internal_names()
        self.accumulators = training.accumulators()
        self.multipliers = {n: p.optimize_attr["learning_rate"] for n, p in training.network.named_parameters()}


def compare_step(report, title, settings, weights, batches, losses, found):
    """Compares one update of hgnet with PaddlePaddle; prints a row."""
    exact = Step(settings, weights, batches, "float64")
    single = Step(settings, weights, batches, "float32")
    optimizer = settings["Optimizer"]
    rate = optimizer["lr"]["learning_rate"]
    is_adam = optimizer["name"] == "AdamW"

    loss = max(abs(a - b) - 5e-6 * len(batches) for a, b in zip(losses, exact.losses)) / abs(exact.losses[0])
    report.check(max(loss, 0.0), f"{title}: loss {losses} instead of {exact.losses}")

    # The optimizer's state: after one step the velocity is the decayed gradient, the first moment a tenth of it.
    expected_names = set(exact.accumulators)
    if set(found.optimizer) != expected_names:
        odd = sorted(set(found.optimizer) ^ expected_names)
        report.fail(f"{title}: the state of the optimizer has other names: {odd[:4]}")
        return
    own, theirs = [], []
    for name in exact.gradients:
        terms = exact.terms.get(name, 0.0)
        for suffix, factor in (("velocity_0", 1.0), ("moment1_0", 1 - optimizer.get("beta1", 0.9)), ("moment2_0", 0.0)):
            key = f"{exact.internal[name]}_{suffix}"
            if key not in exact.accumulators:
                continue
            least = factor * terms if factor else (1 - optimizer.get("beta2", 0.999)) * terms**2
            value = distance(found.optimizer[key], exact.accumulators[key], least)
            own.append(value)
            theirs.append(distance(single.accumulators[key], exact.accumulators[key], least))
            report.check(value, f"{title}: {key.removeprefix(exact.internal[name] + '_')} of {name}")
    for key in expected_names:
        if key.endswith("pow_acc_0"):
            report.check(distance(found.optimizer[key], exact.accumulators[key]), f"{title}: {key}")

    updates, statistics = [0.0], [0.0]
    after = found.state if found.raw is None else found.raw
    for name, expected in exact.after.items():
        before = weights[name].astype(np.float64)
        rounding = ULP * (np.abs(before) + np.abs(expected))
        if "bn._" in name:
            change = distance(after[name] - before, expected - before, allowance=rounding)
            statistics.append(max(change, distance(after[name], expected)))
            report.check(statistics[-1], f"{title}: {name}")
            continue
        difference = after[name] - before
        if is_adam and name in exact.gradients:
            # The first step of Adam goes by the sign of the gradient; where that is noise, it says nothing.
            noise = np.abs(single.gradients[name].astype(np.float64) - exact.gradients[name]).max()
            is_clear = np.abs(exact.gradients[name]) > 1000 * noise + 1e-6 * exact.terms.get(name, 0.0)
            difference = np.where(is_clear, difference, expected - before)
        least = rate * exact.multipliers.get(name, 1.0) * exact.terms.get(name, 0.0)
        updates.append(distance(difference, expected - before, least, rounding))
        report.check(updates[-1], f"{title}: update of {name}")
    if exact.average:
        report.check(0.0 if found.raw is not None else float("inf"), f"{title}: a file with the averaged weights")
        for name, expected in exact.average.items():
            start = weights[name].astype(np.float64)
            rounding = 2 * ULP * (np.abs(start) + np.abs(expected))
            least = rate * exact.multipliers.get(name, 1.0) * exact.terms.get(name, 0.0)
            value = distance(found.state[name] - start, expected - start, least, rounding)
            report.check(value, f"{title}: average of {name}")
    print(
        f"{title:30} {exact.losses[0]:8.5f}  {cell(own)}  {max(updates):.0e}  {max(statistics):.0e}   {cell(theirs)}",
        flush=True)


def cell(values):
    return f"{np.median(values):.0e} {max(values):.0e}" if values else "    -     -"


def draw_weights(folder, model, inputs, arch, seed):
    """Draws weights for a batch, saves them as hgnet reads them and returns them by name."""
    import paddle
    import logits
    import reference
    from reference_training import open_gaps

    options = {key: arch[key] for key in ("class_num", "dropout_prob") if key in arch}
    network = reference.build(model, **options)
    logits.draw(network, seed)
    if inputs is not None:
        open_gaps(network, inputs)
    paddle.save(network.state_dict(), os.path.join(folder, "weights.pdparams"))
    return {name: value.numpy() for name, value in network.state_dict().items()}


def step_case(report, arguments, title, model, side, batch, changes, seed):
    if arguments.case and arguments.case not in title:
        return
    folder = os.path.join(arguments.folder, re.sub(r"\W+", "-", title))
    os.makedirs(folder)
    settings = runs.configuration(model, side, batch, folder, changes)
    pictures = runs.Pictures(arguments.binary, folder, side, batch, seed)
    weights = draw_weights(folder, model, pictures.inputs, settings["Arch"], seed)
    is_multiple = "MultiLabel" in next(iter(settings["Loss"]["Train"][0]))
    targets = pictures.vectors if is_multiple else pictures.labels
    # Another batch is the same pictures with other labels, so that no ReLU is near its kink there either.
    count = settings["Global"].get("update_freq", 1)
    rows = [np.roll(targets, index, axis=0) for index in range(count)]
    try:
        indices = list(range(batch)) * count
        _, losses = runs.train(arguments.binary, folder, settings, pictures, indices, np.concatenate(rows))
        found = runs.Checkpoint(os.path.join(folder, "output", "latest"))
        batches = [(pictures.inputs, row) for row in rows]
        compare_step(report, title, settings, weights, batches, losses, found)
    except RuntimeError as error:
        report.fail(f"{title}: {error}")
    if not arguments.keep:
        shutil.rmtree(folder)


def rate_case(report, arguments):
    """Learning rates in the log of short runs against PaddlePaddle's schedulers."""
    from reference_training import make_schedule

    folder = os.path.join(arguments.folder, "rates")
    epochs, steps, batch = 4, 3, 2
    model = "PPHGNetV2_B0"
    pictures = runs.Pictures(arguments.binary, folder, 32, batch, 300)
    settings = runs.configuration(model, 32, batch, folder, {"Global": {"epochs": epochs}})
    draw_weights(folder, model, None, settings["Arch"], 300)
    indices = list(range(batch)) * steps
    print("\nLearning rates of the log over 4 epochs of 3 steps")
    for title, rate in SCHEDULES.items():
        # A rate of any size, but no step that could diverge.
        changes = {"Optimizer": {"name": "SGD", "clip_norm": 1e-6, "lr": rate}}
        schedule = make_schedule(rate, epochs, steps)
        expected = []
        for _ in range(epochs):
            for _ in range(steps):
                if not rate.get("by_epoch"):
                    schedule.step()
                # The log has the rate of the next step.
                expected.append(schedule.last_lr)
            if rate.get("by_epoch"):
                schedule.step()
        try:
            changed = runs.merged(settings, changes)
            # A rate is replaced as a whole.
            changed["Optimizer"]["lr"] = rate
            found, _ = runs.train(arguments.binary, folder, changed, pictures, indices, pictures.labels[indices])
        except RuntimeError as error:
            report.fail(f"{title}: {error}")
            continue
        same = [f"{value:.8f}" for value in found] == [f"{value:.8f}" for value in expected]
        if same:
            report.passed += 1
        else:
            report.fail(f"{title}: {found} instead of {expected}")
        print(f"{title:30} {'the same' if same else 'DIFFERENT'}   {expected[0]:.8f} ... {expected[-1]:.8f}", flush=True)
    if not arguments.keep:
        shutil.rmtree(folder)


def curve_case(report, arguments, model, side, batch, seed):
    if arguments.case and arguments.case not in model:
        return
    """Losses of 20 steps on the same batches."""
    from reference_training import Training

    title = f"{model} curve"
    folder = os.path.join(arguments.folder, title.replace(" ", "-"))
    epochs, steps = 5, 4
    lr = {"name": "Cosine", "learning_rate": 0.001, "warmup_epoch": 1}
    settings = runs.configuration(
        model, side, batch, folder, {"Global": {"epochs": epochs}, "Optimizer": {"lr": None}})
    settings["Optimizer"]["lr"] = lr
    pictures = runs.Pictures(arguments.binary, folder, side, batch * steps, seed)
    weights = draw_weights(folder, model, None, settings["Arch"], seed)
    try:
        _, losses = runs.train(
            arguments.binary, folder, settings, pictures, range(batch * steps), pictures.labels)
    except RuntimeError as error:
        report.fail(f"{title}: {error}")
        return
    curves = []
    for dtype in ("float32", "float64") if not arguments.quick else ("float32",):
        training = Training(settings, weights, steps, dtype)
        curve = []
        for index in range(epochs * steps):
            part = slice(index % steps * batch, (index % steps + 1) * batch)
            curve.append(training.step(pictures.inputs[part], pictures.labels[part]))
        curves.append(np.array(curve))
    if len(losses) != epochs * steps:
        report.fail(f"{title}: {len(losses)} lines in the log")
        return
    expected = curves[0]
    worst = float(np.max(np.abs(losses - expected) / expected))
    report.check(worst, f"{title}: losses {[round(v, 4) for v in losses]} instead of {expected.round(4)}", CURVE_BOUND)
    own = f"{np.max(np.abs(curves[1] - expected) / expected):.1e}" if len(curves) > 1 else "-"
    print(
        f"{title:30} {expected[0]:.4f} ... {expected[-1]:.4f}, worst {worst:.1e}, last "
        f"{abs(losses[-1] - expected[-1]) / expected[-1]:.1e}   ({own})", flush=True)
    if not arguments.keep:
        shutil.rmtree(folder)


def checkpoint_case(report, arguments, title, optimizer, seed):
    """A run that goes on in the other program gives the same next step."""
    from reference_training import Training, measure_terms

    model, side, batch = "PPHGNetV2_B0", 64, 4
    folder = os.path.join(arguments.folder, f"checkpoint-{seed}")
    # So small a rate that no ReLU of the second step is near its kink either; it changes from step to step.
    rate = {"name": "Cosine", "learning_rate": 2e-5, "warmup_epoch": 1, "warmup_start_lr": 1e-5}
    settings = runs.configuration(
        model, side, batch, folder, {"Global": {"epochs": 3, "save_interval": 1}, "Optimizer": optimizer})
    settings["Optimizer"]["lr"] = rate
    pictures = runs.Pictures(arguments.binary, folder, side, batch, seed)
    weights = draw_weights(folder, model, pictures.inputs, settings["Arch"], seed)
    indices, labels = range(batch), pictures.labels
    output = os.path.join(folder, "output")

    def compare(direction, found, training, terms, start):
        """The state of the optimizer, the parameters and the schedule after two steps."""
        suffixes = {name: internal for name, internal in training.internal_names().items()}
        values = []
        for key, expected in training.accumulators().items():
            name = next((n for n, internal in suffixes.items() if key.startswith(internal + "_")), None)
            if key not in found.optimizer:
                report.fail(f"{title}: {direction}: {key} is missing")
                continue
            least = terms.get(name, 0.0) ** (2 if "moment2" in key else 1)
            least *= {"moment1": 0.1, "moment2": 0.001}.get(key.split("_")[-2], 1.0)
            values.append(distance(found.optimizer[key], expected, least))
            report.check(values[-1], f"{title}: {direction}: {key} of {name}")
        for name, expected in training.state().items():
            rounding = 4 * ULP * (np.abs(start[name].astype(np.float64)) + np.abs(expected))
            # Adam's step goes by signs, which may differ where the gradient is noise.
            noise = 2 * 3e-5 if settings["Optimizer"]["name"] == "AdamW" and "bn._" not in name else 0.0
            change = expected - start[name].astype(np.float64)
            least = 3e-5 * terms.get(name, 0.0)
            value = distance(found.state[name] - start[name].astype(np.float64), change, least, rounding + noise)
            report.check(value, f"{title}: {direction}: {name}")
        schedule = training.optimizer.state_dict()["LR_Scheduler"]
        for key, expected in schedule.items():
            mine = found.schedule.get(key)
            pairs = [(mine[k], v) for k, v in expected.items()] if isinstance(expected, dict) else [(mine, expected)]
            for one, other in pairs:
                report.check(abs(one - other) / max(abs(other), 1e-12), f"{title}: {direction}: LR_Scheduler.{key}", 1e-12)
        print(f"{title:30} {direction:24} {cell(values)}", flush=True)

    try:
        # Ours first: PaddlePaddle takes the second step from our first checkpoint.
        runs.train(arguments.binary, folder, settings, pictures, indices, labels)
        first, second = (runs.Checkpoint(os.path.join(output, f"epoch_{epoch}")) for epoch in (1, 2))
        training = Training(settings, weights, 1)
        terms = measure_terms(training.network)
        epoch = training.load(os.path.join(output, "epoch_1"))
        report.check(abs(epoch - 1), f"{title}: the epoch of our checkpoint is {epoch}")
        training.step(pictures.inputs, labels)
        compare("hgnet to PaddlePaddle", second, training, terms, first.state)

        # PaddlePaddle first: we take the second step from its first checkpoint.
        shutil.rmtree(output)
        os.makedirs(output)
        training = Training(settings, weights, 1)
        terms = measure_terms(training.network)
        training.step(pictures.inputs, labels)
        prefix = os.path.join(folder, "from-paddle", "epoch_1")
        os.makedirs(os.path.dirname(prefix))
        training.save(prefix, 1)
        start = training.state()
        training.step(pictures.inputs, labels)
        resumed = runs.merged(settings, {"Global": {"checkpoints": prefix, "pretrained_model": None}})
        rates, _ = runs.train(arguments.binary, folder, resumed, pictures, indices, labels)
        report.check(abs(len(rates) - 2), f"{title}: {len(rates)} epochs after PaddlePaddle's first of three")
        found = runs.Checkpoint(os.path.join(output, "epoch_2"))
        compare("PaddlePaddle to hgnet", found, training, terms, start)
    except RuntimeError as error:
        report.fail(f"{title}: {error}")
    if not arguments.keep:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description="Compares training with PaddlePaddle.")
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true", help="fewer networks")
    parser.add_argument("--keep", action="store_true", help="keep everything that is written")
    parser.add_argument("--case", help="only cases whose title contains this")
    parser.add_argument("--only", nargs="+", choices=["steps", "options", "rates", "curves", "checkpoints"])
    arguments = parser.parse_args()
    arguments.binary = os.path.abspath(arguments.binary)
    arguments.folder = os.path.abspath(arguments.folder)
    shutil.rmtree(arguments.folder, ignore_errors=True)
    os.makedirs(arguments.folder)
    report = Report()
    only = arguments.only or ["steps", "options", "rates", "curves", "checkpoints"]

    import paddle

    print("One step, differences from PaddlePaddle", paddle.__version__, "in float64, largest over largest")
    print(f"{'':30} {'loss':8}  gradients     update  stat.   (PaddlePaddle's own float32)")
    if "steps" in only:
        for index, (model, side, batch) in enumerate(STEPS):
            if not arguments.quick or (model in ("PPHGNetV2_B0", "PPHGNetV2_B4", "PPHGNet_tiny") and side < 200):
                step_case(report, arguments, f"{model} {side}x{side}", model, side, batch, {}, 100 + index)
    if "options" in only:
        for index, (title, changes) in enumerate(OPTIONS.items()):
            step_case(report, arguments, f"B0 {title}", "PPHGNetV2_B0", 64, 4, changes, 200 + index)
    if "rates" in only:
        rate_case(report, arguments)
    if "curves" in only:
        print("\nLosses of 20 steps, relative to PaddlePaddle's float32    (its float64)")
        for index, (model, side, batch) in enumerate(CURVES):
            if not arguments.quick or index == 0:
                curve_case(report, arguments, model, side, batch, 400 + index)
    if "checkpoints" in only:
        print("\nThe step after going on from a checkpoint of the other program: state of the optimizer, median and worst")
        for index, optimizer in enumerate([{}, ADAMW]):
            checkpoint_case(report, arguments, optimizer.get("name", "Momentum"), optimizer, 500 + index)
    print(f"worst {report.worst:.1e} (bound {BOUND:.0e})")
    print(f"{report.passed} passed, {report.failed} failed")
    raise SystemExit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
