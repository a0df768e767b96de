"""Writes losses.json, optimizers.json and schedules.json beside itself; see rules.md."""
import json
import pathlib

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle.optimizer import lr

here = pathlib.Path(__file__).parent
random = np.random.RandomState(7)


def numbers(array):
    return [float(str(x)) for x in np.asarray(array, np.float32).ravel()]


def save(name, value):
    (here / name).write_text(json.dumps(value, separators=(",", ":")) + "\n")


# Losses: the formulas of PaddleClas' classes, spelled with Paddle's operators, gradients by Paddle.
def cross_entropy(x, target, epsilon):
    classes = x.shape[-1]
    if epsilon is not None:
        hot = F.one_hot(target, classes) if target.ndim == 1 else target
        return (-F.log_softmax(x, axis=-1) * F.label_smooth(hot, epsilon=epsilon)).sum(-1).mean()
    if target.ndim == 2:
        return F.cross_entropy(x, F.softmax(target, axis=-1), soft_label=True).mean()
    return F.cross_entropy(x, target.reshape([-1, 1])).mean()


def multi_label(x, target, epsilon, size_sum, weight_ratio):
    if weight_ratio:
        target, ratio = target[:, 0, :], target[:, 1, :]
    if epsilon is not None:
        target = F.label_smooth(target, epsilon=epsilon)
    cost = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    if weight_ratio:
        mask = (target > 0.5).astype("float32")
        weight = paddle.exp(mask * (1 - ratio) + (1 - mask) * ratio)
        cost = cost * weight * (target > -1).astype("float32")
    return cost.sum(1).mean() if size_sum else cost.mean()


def asymmetric(x, target, positive, negative, clip, hold, reduction):
    p = F.sigmoid(x)
    agreement = ((1 - p + clip).clip(max=1) if clip > 0 else 1 - p) * (1 - target) + p * target
    focus = (1 - agreement).pow(positive * target + negative * (1 - target))
    if hold:
        focus = focus.detach()
    cost = -paddle.log(agreement.clip(min=1e-8)) * focus
    return cost.sum() if reduction == "sum" else cost.mean()


def losses():
    cases = []

    def case(name, options, logits, target, function):
        x = paddle.to_tensor(logits, stop_gradient=False)
        value = function(x, paddle.to_tensor(target))
        value.backward()
        entry = {"loss": name, "options": options, "shape": list(logits.shape), "logits": numbers(logits),
                 "value": float(value), "gradient": numbers(x.grad)}
        if target.dtype == np.int64:
            entry["classes"] = [int(t) for t in target]
        else:
            entry["vectors"] = numbers(target)
            entry["targetShape"] = list(target.shape)
        cases.append(entry)

    # Wider logits would meet the floor of -64 that Paddle on a CPU puts under x - max(x).
    for rows, classes, scale in [(1, 2, 1), (4, 10, 3), (3, 17, 10)]:
        logits = (random.randn(rows, classes) * scale).astype("float32")
        labels = random.randint(0, classes, rows).astype("int64")
        soft = random.dirichlet(np.ones(classes), rows).astype("float32")
        for epsilon in [None, 0.1]:
            for target in [labels, soft]:
                case("CELoss", {"epsilon": epsilon}, logits, target, lambda x, t: cross_entropy(x, t, epsilon))
        hot = (random.rand(rows, classes) < 0.3).astype("float32")
        for epsilon in [None, 0.1]:
            for size_sum in [False, True]:
                for weight_ratio in [False, True]:
                    target = hot
                    if weight_ratio:
                        ratio = np.tile(random.rand(1, classes).astype("float32"), (rows, 1))
                        target = np.stack([hot, ratio], 1)
                    case("MultiLabelLoss",
                         {"epsilon": epsilon, "size_sum": size_sum, "weight_ratio": weight_ratio}, logits, target,
                         lambda x, t: multi_label(x, t, epsilon, size_sum, weight_ratio))
        for positive, negative, clip, hold, reduction in [
                (1, 4, 0.05, True, "sum"), (0, 4, 0.05, True, "sum"), (1, 2, 0, True, "mean"),
                (1, 4, 0.05, False, "sum"), (2, 3, 0.1, False, "mean")]:
            case("MultiLabelAsymmetricLoss",
                 {"gamma_pos": positive, "gamma_neg": negative, "clip": clip, "hold": hold, "reduction": reduction},
                 np.clip(logits, -8, 8), hot, lambda x, t: asymmetric(x, t, positive, negative, clip, hold, reduction))
    save("losses.json", cases)


# Optimisers: parameters of four kinds, five steps with given gradients and rates.
KINDS = [("conv.weight", [3, 2, 2, 2], 1.0, "convolutionWeight"), ("bn.weight", [5], 1.0, "normalizationWeight"),
         ("lab.scale", [1], 0.01, "affineScale"), ("fc.weight", [4, 3], 0.5, "linearWeight"),
         ("fc.bias", [3], 1.0, "linearBias")]
RATES = [0.0, 0.1, 0.05, 0.2, 0.1]


def optimizers():
    cases = []

    def case(options):
        parameters = []
        start = []
        for name, shape, factor, kind in KINDS:
            value = random.randn(*shape).astype("float32")
            start.append(numbers(value))
            attribute = paddle.ParamAttr(
                learning_rate=factor,
                regularizer=paddle.regularizer.L2Decay(0.0) if name.startswith("bn") else None,
                initializer=paddle.nn.initializer.Assign(value))
            parameters.append(paddle.create_parameter(shape, "float32", attr=attribute))
        clip = paddle.nn.ClipGradByNorm(options["clip_norm"]) if options.get("clip_norm") else None
        structured = {p.name: k[0] for p, k in zip(parameters, KINDS)}
        undecayed = [p for p, k in zip(parameters, KINDS)
                     if any(part in k[0] for part in options.get("no_weight_decay_name", []))
                     or (options.get("one_dim") and len(k[1]) == 1
                         and (options["name"] == "AdamW" or options.get("no_weight_decay_name")))]
        undecayed_names = {p.name for p in undecayed}
        regularizer = None
        if "l2" in options:
            regularizer = paddle.regularizer.L2Decay(options["l2"])
        if "l1" in options:
            regularizer = paddle.regularizer.L1Decay(options["l1"])
        groups = parameters
        if options["name"] == "Momentum" and undecayed:
            groups = [{"params": [p for p in parameters if p.name not in undecayed_names]},
                      {"params": undecayed, "weight_decay": 0.0}]
        if options["name"] == "SGD":
            optimizer = paddle.optimizer.SGD(RATES[0], parameters=groups, weight_decay=regularizer, grad_clip=clip)
        elif options["name"] == "Momentum":
            optimizer = paddle.optimizer.Momentum(
                RATES[0], momentum=options["momentum"], use_nesterov=options.get("use_nesterov", False),
                parameters=groups, weight_decay=regularizer, grad_clip=clip)
        else:
            optimizer = paddle.optimizer.AdamW(
                RATES[0], beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=options["weight_decay"],
                parameters=groups, grad_clip=clip, apply_decay_param_fun=lambda n: n not in undecayed_names)
        # Groups overwrite the multipliers and regularisers of the parameters; a user of no_weight_decay_name expects them.
        for p, kind in zip(parameters, KINDS):
            p.optimize_attr["learning_rate"] = kind[2]
            if groups is not parameters and kind[0].startswith("bn"):
                p.regularizer = paddle.regularizer.L2Decay(0.0)
        gradients, results = [], []
        for rate in RATES:
            optimizer.set_lr(rate)
            step = []
            for p in parameters:
                gradient = random.randn(*p.shape).astype("float32")
                step.append(numbers(gradient))
                p.grad = paddle.to_tensor(gradient)
            optimizer.step()
            optimizer.clear_grad()
            gradients.append(step)
            results.append([numbers(p) for p in parameters])
        state = {}
        for key, value in optimizer.state_dict().items():
            for internal, name in structured.items():
                if key.startswith(internal + "_"):
                    state[name + key[len(internal):]] = numbers(value)
        cases.append({"options": options, "start": start, "gradients": gradients, "results": results, "state": state})

    case({"name": "SGD"})
    case({"name": "SGD", "l2": 0.1, "clip_norm": 1.0})
    case({"name": "Momentum", "momentum": 0.9})
    case({"name": "Momentum", "momentum": 0.9, "l2": 0.1})
    case({"name": "Momentum", "momentum": 0.8, "l1": 0.1, "use_nesterov": True})
    case({"name": "Momentum", "momentum": 0.9, "l2": 0.1, "clip_norm": 0.5, "use_nesterov": True})
    case({"name": "Momentum", "momentum": 0.9, "l2": 0.1, "no_weight_decay_name": ["fc"]})
    case({"name": "Momentum", "momentum": 0.9, "l2": 0.1, "no_weight_decay_name": ["conv"], "one_dim": True})
    case({"name": "Momentum", "momentum": 0.9, "l2": 0.1, "one_dim": True})
    case({"name": "AdamW", "weight_decay": 0.1})
    case({"name": "AdamW", "weight_decay": 0.1, "one_dim": True, "clip_norm": 1.0})
    case({"name": "AdamW", "weight_decay": 0.1, "no_weight_decay_name": ["fc.w"]})
    save("optimizers.json", {
        "parameters": [{"name": n, "shape": s, "factor": f, "role": k} for n, s, f, k in KINDS],
        "rates": RATES, "cases": cases})


# Schedules: PaddleClas' way to put Paddle's schedulers together, 200 rates each (the first included).
def schedules():
    cases = []

    def case(rule, options, epochs, steps, rate=0.5, warmup=0, start=0.0, by_epoch=False):
        warmup = min(warmup, epochs)
        unit = 1 if by_epoch else steps
        length = (epochs - warmup) * unit
        if rule == "Cosine" and length > 0:
            inner = lr.CosineAnnealingDecay(rate, T_max=length, **options)
        elif rule == "Linear" and length > 0:
            inner = lr.PolynomialDecay(rate, decay_steps=length, **options)
        elif rule == "Step":
            inner = lr.StepDecay(rate, step_size=options["step_size"] * unit, gamma=options["gamma"])
        elif rule == "MultiStepDecay":
            inner = lr.MultiStepDecay(rate, milestones=[m * unit for m in options["milestones"]],
                                      gamma=options["gamma"])
        elif rule == "Piecewise":
            rate = options["values"][0]
            inner = lr.PiecewiseDecay(boundaries=[b * unit for b in options["decay_epochs"]], values=options["values"])
        else:
            inner = lr.LambdaDecay(rate, lambda _: 1.0)
        scheduler = inner
        warmup_steps = round(warmup * unit)
        if warmup_steps > 0:
            scheduler = lr.LinearWarmup(inner, warmup_steps=warmup_steps, start_lr=start, end_lr=rate)
        rates = [float(scheduler())]
        states = {}
        for step in range(1, 200):
            scheduler.step()
            rates.append(float(scheduler()))
            if step in (1, 50, 150):
                state = scheduler.state_dict()
                if "LinearWarmup_LR" in state:
                    state["inner"] = state.pop("LinearWarmup_LR")
                states[str(step)] = state
        cases.append({"rule": rule, "options": options, "epochs": epochs, "steps": steps, "rate": rate,
                      "warmup": warmup, "start": start, "byEpoch": by_epoch, "rates": rates, "states": states,
                      "name": "Constant" if isinstance(scheduler, lr.LambdaDecay) else type(scheduler).__name__})

    case("Cosine", {}, 10, 12, warmup=2)
    case("Cosine", {"eta_min": 1e-3}, 10, 12)
    case("Cosine", {"eta_min": 1e-10}, 40, 3, rate=1e-4, warmup=5, start=1e-6)
    case("Cosine", {}, 60, 1, by_epoch=True, warmup=5)
    case("Cosine", {}, 7, 11, by_epoch=True)
    case("Cosine", {}, 5, 10, warmup=9)
    case("Step", {"step_size": 2, "gamma": 0.5}, 20, 9, warmup=0.5)
    case("Linear", {"end_lr": 0.0, "power": 1.0, "cycle": False}, 10, 12, warmup=1)
    case("Linear", {"end_lr": 1e-3, "power": 2.0, "cycle": False}, 10, 12)
    case("Linear", {"end_lr": 1e-3, "power": 0.9, "cycle": True}, 5, 13)
    case("Step", {"step_size": 3, "gamma": 0.3}, 20, 10, warmup=1, start=0.01)
    case("Step", {"step_size": 30, "gamma": 0.1}, 200, 10, by_epoch=True)
    case("MultiStepDecay", {"milestones": [2, 5, 11], "gamma": 0.2}, 20, 10)
    case("MultiStepDecay", {"milestones": [2, 5, 11], "gamma": 0.1}, 20, 10, warmup=3)
    case("Piecewise", {"decay_epochs": [3, 6, 9], "values": [0.1, 0.01, 0.001, 0.0001]}, 20, 10, warmup=2)
    case("Piecewise", {"decay_epochs": [30, 60, 90], "values": [0.1, 0.05, 0.001, 0.0]}, 120, 10, by_epoch=True)
    case("ConstLR", {}, 10, 10)
    case("ConstLR", {}, 10, 10, warmup=3, start=0.1)
    save("schedules.json", cases)


losses()
optimizers()
schedules()
