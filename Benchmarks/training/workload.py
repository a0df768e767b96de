"""What every engine is given: weights, a batch, labels and the numbers of the optimiser; and how a step is timed.

The batch and the labels are those of `hgnet bench --training`, which has no option to read others.
"""

import json
import sys
import time

import numpy as np

LEARNING_RATE = 0.001
MOMENTUM = 0.9
DECAY = 2e-5
SMOOTHING = 0.1
AFFINE_FACTOR = 0.01  # of the learning rate, for the learnable affine blocks


def pictures(count, side):
    """[N, 3, S, S]: a linear congruential generator that begins with 1, in the order of [N, S, S, 3]."""
    length = count * side * side * 3
    multiplier, increment = np.uint32(1664525), np.uint32(1013904223)
    powers = np.cumprod(np.full(length, multiplier), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([np.ones(1, np.uint32), powers[:-1]]), dtype=np.uint32)
    states = powers + increment * sums
    values = (states >> np.uint32(8)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return np.ascontiguousarray(values.reshape(count, side, side, 3).transpose(0, 3, 1, 2))


def labels(count, classes):
    return np.arange(count, dtype=np.int64) * 389 % classes


def draw(declarations, seed):
    """Random values for `[{"name": …, "shape": …}]`; every name gets a stream of its own by its position.

    timm pads the maximum pool of the stem with zeros and PaddlePaddle lets the border never win. Where the values before
    the pool are not negative the two agree, so the affine block before it gets a bias that is not negative.

    Normalisations get a bias near 1, as trained networks have most of their ReLUs open: around 0 a random network makes
    of the rounding of its first layers a difference of 1e-3 in the loss after one step, between any two engines.
    """
    result = {}
    for position, declaration in enumerate(declarations):
        name, shape = declaration["name"], declaration["shape"]
        random = np.random.default_rng([seed, position])
        if name.endswith("conv.weight"):
            values = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif name == "last_conv.weight":
            values = random.normal(0, np.sqrt(2 / shape[1]), shape)
        elif name == "fc.weight":
            limit = np.sqrt(6 / sum(shape))
            values = random.uniform(-limit, limit, shape)
        elif name.endswith(("bn.weight", "lab.scale", "_variance")):
            values = random.uniform(0.8, 1.2, shape)
        else:
            values = random.normal(1 if name.endswith("bn.bias") else 0, 0.1, shape)
        if name == "stem.stem1.lab.bias":
            values = np.abs(values)
        result[name] = np.ascontiguousarray(values, dtype=np.float32)
    return result


def is_normalization(name):
    """Whether a parameter belongs to a batch normalisation, by the names of both frameworks."""
    return ".bn." in name


def is_affine(name):
    """Whether a parameter belongs to a learnable affine block: `lab.`, in timm's head `last_conv.2`."""
    return name.startswith("lab.") or ".lab." in name or ".last_conv.2." in name


def peak_memory():
    """The largest resident memory of this process so far, in bytes; None where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def measure(request, step, version):
    """Calls `step`, which returns its loss as a number, and answers on standard output as JSON."""
    times, losses = [], []
    for number in range(request["warmup"] + request["iterations"]):
        started = time.perf_counter()
        losses.append(step())
        if number >= request["warmup"]:
            times.append((time.perf_counter() - started) * 1e3)
    json.dump({"milliseconds": times, "losses": losses, "peak": peak_memory(), "version": version}, sys.stdout)
    print()
