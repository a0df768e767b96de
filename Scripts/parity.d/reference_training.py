"""Training in PaddlePaddle by the sections of a PaddleClas configuration: the other side of training.py.

Written from the published description of the rules. The one intended difference is that of Documentation/Differences.md:
with Momentum, `no_weight_decay_name` adds exceptions to the decay and changes nothing else.
"""

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F
from paddle.optimizer import lr as schedulers

import reference


def prepare(network, arch, optimizer):
    """Gives every parameter its learning rate multiplier and its exception from decay, and freezes what is frozen."""
    stages = arch.get("lr_mult_list", [1.0] * 5)
    frozen = arch.get("freeze_at", -1)
    for path, layer in network.named_sublayers():
        parts = path.split(".")
        index = 0 if parts[0] == "stem" else int(parts[1]) + 1 if parts[0] == "stages" and len(parts) > 1 else None
        multiplier = 1.0 if index is None else stages[index]
        is_normalization = isinstance(layer, nn.BatchNorm2D)
        for parameter in layer.parameters(include_sublayers=False):
            factor = 0.01 if isinstance(layer, reference.LearnableAffineBlock) else 1.0
            parameter.optimize_attr["learning_rate"] = factor * multiplier
            if is_normalization:
                parameter.regularizer = paddle.regularizer.L2Decay(0.0)
        is_frozen = index is not None and index <= frozen
        if is_normalization and (is_frozen or arch.get("freeze_norm", False)):
            layer._use_global_stats = is_frozen = True
        if is_frozen:
            for parameter in layer.parameters(include_sublayers=False):
                parameter.trainable = False
    if optimizer["name"] == "Momentum" and optimizer.get("no_weight_decay_name"):
        for name, parameter in network.named_parameters():
            if is_excepted(name, parameter, optimizer):
                parameter.regularizer = paddle.regularizer.L2Decay(0.0)


def is_excepted(name, parameter, optimizer):
    names = optimizer.get("no_weight_decay_name", "").split()
    one_axis = optimizer.get("one_dim_param_no_weight_decay", False) and len(parameter.shape) == 1
    return one_axis or any(part in name for part in names)


def make_schedule(settings, epochs, steps):
    """The schedule of `Optimizer.lr`; `steps` are the optimizer steps of an epoch."""
    name, rate = settings["name"], settings.get("learning_rate")
    by_epoch = settings.get("by_epoch", False)
    unit = 1 if by_epoch else steps
    warmup = min(settings.get("warmup_epoch", 0), epochs)
    length = int((epochs - warmup) * unit)
    if name == "Cosine":
        rule = schedulers.CosineAnnealingDecay(rate, length, settings.get("eta_min", 0.0)) if length > 0 else rate
    elif name == "Linear":
        rule = schedulers.PolynomialDecay(
            rate, length, settings.get("end_lr", 0.0), settings.get("power", 1.0), settings.get("cycle", False))
    elif name == "Step":
        rule = schedulers.StepDecay(rate, int(settings["step_size"] * unit), settings.get("gamma", 0.1))
    elif name == "MultiStepDecay":
        milestones = [int(epoch * unit) for epoch in settings["milestones"]]
        rule = schedulers.MultiStepDecay(rate, milestones, settings.get("gamma", 0.1))
    elif name == "Piecewise":
        rate = settings["values"][0]
        rule = schedulers.PiecewiseDecay([epoch * unit for epoch in settings["decay_epochs"]], settings["values"])
    else:
        rule = rate
    warmup_steps = round(warmup * unit)
    if warmup_steps > 0:
        start = settings.get("warmup_start_lr", 0.0)
        return schedulers.LinearWarmup(rule, warmup_steps, start, rate)
    # A rate that never changes, as a scheduler, so that it can be logged and advanced.
    return rule if isinstance(rule, schedulers.LRScheduler) else schedulers.LambdaDecay(rate, lambda step: 1.0)


def make_optimizer(network, settings, schedule, clip):
    parameters = network.parameters()
    if settings["name"] == "AdamW":
        excepted = {p.name for name, p in network.named_parameters() if is_excepted(name, p, settings)}
        return paddle.optimizer.AdamW(
            schedule, settings.get("beta1", 0.9), settings.get("beta2", 0.999), settings.get("epsilon", 1e-8),
            parameters=parameters, weight_decay=settings["weight_decay"], grad_clip=clip,
            apply_decay_param_fun=lambda name: name not in excepted)
    decay = None
    if "regularizer" in settings:
        make = {"L1": paddle.regularizer.L1Decay, "L2": paddle.regularizer.L2Decay}[settings["regularizer"]["name"]]
        decay = make(settings["regularizer"]["coeff"])
    if settings["name"] == "SGD":
        return paddle.optimizer.SGD(schedule, parameters=parameters, weight_decay=decay, grad_clip=clip)
    return paddle.optimizer.Momentum(
        schedule, settings.get("momentum", 0.9), parameters=parameters, weight_decay=decay, grad_clip=clip,
        use_nesterov=settings.get("use_nesterov", False))


def make_loss(entry):
    """One entry of `Loss.Train` as a function of logits and targets."""
    ((name, settings),) = entry.items()
    epsilon = settings.get("epsilon") or 0.0

    def cross_entropy(logits, labels):
        target = F.one_hot(labels, logits.shape[-1]).astype(logits.dtype)
        target = (1 - epsilon) * target + epsilon / logits.shape[-1]
        return -(target * F.log_softmax(logits, axis=-1)).sum(axis=-1).mean()

    def multi_label(logits, labels):
        target = (1 - epsilon) * labels + epsilon / logits.shape[-1]
        cost = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return cost.sum(axis=1).mean() if settings.get("size_sum") else cost.mean()

    def asymmetric(logits, labels):
        probability = F.sigmoid(logits)
        clipped = paddle.clip(1 - probability + settings.get("clip", 0.05), max=1.0)
        agreement = clipped * (1 - labels) + probability * labels
        exponent = settings.get("gamma_pos", 1) * labels + settings.get("gamma_neg", 4) * (1 - labels)
        focus = (1 - agreement) ** exponent
        if settings.get("disable_focal_loss_grad", True):
            focus = focus.detach()
        cost = -paddle.log(paddle.clip(agreement, min=1e-8)) * focus
        return cost.mean() if settings.get("reduction", "sum") == "mean" else cost.sum()

    functions = {"CELoss": cross_entropy, "MultiLabelLoss": multi_label, "MultiLabelAsymmetricLoss": asymmetric}
    return functions[name]


def open_gaps(network, inputs):
    """Moves the biases of normalisations so that no activation of this batch is near the kink of its ReLU.

    A ReLU that rounding opens in one program and closes in another changes single gradients by a percent, which would
    hide mistakes of that size. Zero is put into the middle of the widest gap between the values of a channel, so that
    between a tenth and a half of its ReLUs are closed. Returns the narrowest distance from zero in standard deviations.
    """
    distances = []

    def place(layer, values):
        values = values[0].numpy().astype(np.float64)
        channels = values.shape[1]
        values = values.transpose(1, 0, 2, 3).reshape(channels, -1)
        values = (values - values.mean(1, keepdims=True)) / np.sqrt(values.var(1, keepdims=True) + 1e-5)
        values.sort(axis=1)
        first, last = values.shape[1] // 10, values.shape[1] // 2
        gaps = np.diff(values[:, first:last + 1], axis=1)
        rows, below = np.arange(channels), gaps.argmax(axis=1) + first
        middle = (values[rows, below] + values[rows, below + 1]) / 2
        layer.bias.set_value((-middle * layer.weight.numpy()).astype(np.float32))
        distances.append(gaps.max(axis=1).min() / 2)

    units = [layer for layer in network.sublayers() if isinstance(layer, reference.Unit) and layer.activation]
    hooks = [unit.bn.register_forward_pre_hook(place) for unit in units]
    statistics = {name: value.numpy() for name, value in network.state_dict().items() if "bn._" in name}
    network.train()
    with paddle.no_grad():
        network(paddle.to_tensor(inputs))
    for hook in hooks:
        hook.remove()
    for name, value in network.state_dict().items():
        if name in statistics:
            value.set_value(statistics[name])
    return min(distances)


def measure_terms(network):
    """Notes, during backward, how large the terms are whose sum is the gradient of an affine block or a plain bias.

    These sums run over a whole activation map and cancel, many of them to exactly 0 because the next normalisation takes
    the shift or the factor away again. What rounding leaves of them is to be judged by the terms: the Euclidean norm.
    Returns a dictionary of norms by parameter, filled later.
    """
    norms = {}

    def watch(path, layer):
        def after(layer, inputs, output):
            values = inputs[0].detach()

            if output.stop_gradient:
                return

            def note(gradient):
                squares = gradient * gradient
                if isinstance(layer, reference.LearnableAffineBlock):
                    terms = {".bias": squares.sum(), ".scale": (squares * values * values).sum()}
                else:
                    terms = {".bn.bias": squares.sum(axis=[0, 2, 3]).max()}
                for name, total in terms.items():
                    norms[path + name] = max(norms.get(path + name, 0.0), float(total) ** 0.5)

            output.register_hook(note)

        layer.register_forward_post_hook(after)

    for path, layer in network.named_sublayers():
        is_plain = isinstance(layer, reference.Unit) and not layer.activation
        if is_plain or isinstance(layer, reference.LearnableAffineBlock):
            watch(path, layer)
    return norms


class Training:
    """One training run: a network with weights, its optimizer, its schedule, and what can be seen of them."""

    def __init__(self, configuration, weights, steps_per_epoch, dtype="float32"):
        self.dtype = dtype
        arch, optimizer = configuration["Arch"], configuration["Optimizer"]
        options = {key: arch[key] for key in ("class_num", "dropout_prob", "use_last_conv") if key in arch}
        # Internal names count from 0, those of the optimizer's state included, as in a process of its own.
        paddle.utils.unique_name.switch()
        self.network = reference.build(arch["name"], **options)
        prepare(self.network, arch, optimizer)
        if dtype != "float32":
            self.network.to(dtype=dtype)
        self.set_weights(weights)
        self.network.train()
        self.accumulated = configuration["Global"].get("update_freq", 1)
        steps = max(steps_per_epoch // self.accumulated, 1)
        self.schedule = make_schedule(optimizer["lr"], configuration["Global"]["epochs"], steps)
        self.by_epoch = optimizer["lr"].get("by_epoch", False)
        # PaddlePaddle clips float32 only.
        limit = optimizer.get("clip_norm")
        self.limit = limit if dtype != "float32" else None
        clip = nn.ClipGradByNorm(limit) if limit and dtype == "float32" else None
        self.optimizer = make_optimizer(self.network, optimizer, self.schedule, clip)
        entries = configuration["Loss"]["Train"]
        self.losses = [(make_loss(e), 1.0 if len(entries) == 1 else next(iter(e.values()))["weight"]) for e in entries]
        self.decay = configuration.get("EMA", {}).get("decay")
        self.average = {k: v.numpy() for k, v in self.network.state_dict().items()} if self.decay else None
        self.batches = 0
        self.gradients = {}

    def set_weights(self, weights):
        for name, value in self.network.state_dict().items():
            value.set_value(weights[name].astype(self.dtype))

    def step(self, inputs, targets):
        """Trains on a batch [N, 3, H, W]; returns the loss before the update."""
        if np.issubdtype(targets.dtype, np.floating):
            targets = targets.astype(self.dtype)
        logits = self.network(paddle.to_tensor(inputs.astype(self.dtype)))
        labels = paddle.to_tensor(targets)
        loss = sum(weight * function(logits, labels) for function, weight in self.losses)
        (loss / self.accumulated).backward()
        self.batches += 1
        if self.batches % self.accumulated == 0:
            self.gradients = {
                name: parameter.grad.numpy() for name, parameter in self.network.named_parameters()
                if parameter.grad is not None and not parameter.stop_gradient}
            for parameter in self.network.parameters() if self.limit else []:
                if parameter.grad is not None:
                    norm = float((parameter.grad * parameter.grad).sum()) ** 0.5
                    parameter.grad.set_value(parameter.grad * min(self.limit / norm, 1.0) if norm else parameter.grad)
            self.optimizer.step()
            self.optimizer.clear_grad()
            if not self.by_epoch:
                self.schedule.step()
            if self.decay:
                keep, take = np.dtype(self.dtype).type(self.decay), np.dtype(self.dtype).type(1 - self.decay)
                for name, value in self.network.state_dict().items():
                    self.average[name] = keep * self.average[name] + take * value.numpy()
        return float(loss)

    def end_epoch(self):
        if self.by_epoch:
            self.schedule.step()

    def state(self):
        """Parameters and running statistics by name."""
        return {name: value.numpy() for name, value in self.network.state_dict().items()}

    def accumulators(self):
        """The optimizer's state by internal name, such as conv2d_0.w_0_velocity_0."""
        return {name: value.numpy() for name, value in self.optimizer.state_dict().items() if name != "LR_Scheduler"}

    def internal_names(self):
        return {name: parameter.name for name, parameter in self.network.named_parameters()}

    def save(self, prefix, epoch):
        """Writes a checkpoint as PaddleClas does."""
        paddle.save(self.network.state_dict(), prefix + ".pdparams")
        paddle.save([self.optimizer.state_dict()], prefix + ".pdopt")
        paddle.save({"metric": 0.0, "epoch": epoch}, prefix + ".pdstates")

    def load(self, prefix):
        """Reads a checkpoint as PaddleClas does; returns its epoch."""
        missing, unexpected = self.network.set_state_dict(paddle.load(prefix + ".pdparams"))
        if missing or unexpected:
            raise RuntimeError(f"{prefix}.pdparams: missing {missing[:3]}, unexpected {unexpected[:3]}")
        state = paddle.load(prefix + ".pdopt")
        self.optimizer.set_state_dict(state[0] if isinstance(state, list) else state)
        return paddle.load(prefix + ".pdstates")["epoch"]
