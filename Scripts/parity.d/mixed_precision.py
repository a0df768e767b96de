"""Compares a step of `hgnet train` in mixed precision with PyTorch's autocast in bfloat16 on timm's networks.

    mixed_precision.py HGNET_BINARY WORK_FOLDER [--quick] [--keep]

Both get the same weights, pixels and labels. The loss must lie within 1 % of PyTorch's in float32. Of each parameter the
cosine between the gradient in mixed precision and that in float32 of the same program must be no smaller than PyTorch's, but
for what chance makes of it: the angles of both are those of the rounding of many layers, and another order of sums has
others. So at O1 an angle may be a fifth larger, and the median over all parameters not at all; O2, which keeps as much in
bfloat16 as autocast does and multiplies 3×3 windows by Winograd's way, may have half as much again and a median of a tenth.
"""

import argparse
import importlib.util
import os
import pathlib
import shutil
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Benchmarks/training"))

import training_runs as runs

# Model, side, batch.
STEPS = [("PPHGNetV2_B0", 128, 8), ("PPHGNetV2_B4", 96, 8), ("PPHGNetV2_B2", 96, 4), ("PPHGNet_small", 96, 4)]
LOSS_BOUND = 0.01
# By level, how much larger an angle may be: that of one parameter, and the median; and what is no angle.
FACTORS, SMALL = {"O1": (1.2, 1.0), "O2": (1.5, 1.1)}, 0.01
# A rate at which the step is much larger than the weights' rounding.
RATE = 100.0


def drawn(binary, model, folder):
    """Weights with most ReLUs open, under PaddlePaddle's names, as a file that hgnet reads."""
    import json
    import workload
    from safetensors.numpy import save_file

    description = json.loads(runs.run(binary, "summary", model, "--class-num", str(runs.CLASSES), "--json"))
    weights = workload.draw(description["state_dictionary"], seed=20)
    path = os.path.join(folder, "weights.safetensors")
    save_file(weights, path)
    return weights, path


def own_step(binary, folder, settings, pictures, weights, options):
    """Loss and gradients of hgnet: by name, the change of SGD."""
    import paddle

    _, (loss,) = runs.train(binary, folder, settings, pictures, range(len(pictures.labels)), pictures.labels, options)
    after = paddle.load(os.path.join(folder, "output", "latest.pdparams"), return_numpy=True)
    return loss, {name: (value - after[name]).astype(np.float64) for name, value in weights.items() if "bn._" not in name}


def their_step(model, weights_path, inputs, labels, is_mixed):
    """Loss and gradients of PyTorch, under PaddlePaddle's names."""
    import torch
    import torch_worker

    # The definitions for torchvision are made once.
    if "timm" in sys.modules:
        torch_worker.import_timm = lambda: sys.modules["timm"]
    from logits import timm_names
    from safetensors.numpy import load_file

    torch.set_num_threads(2)
    network = torch_worker.network(model, weights_path, runs.CLASSES).train()
    # Each name of PaddlePaddle with that of timm, by the place of a number that stands for it.
    names = list(load_file(weights_path))
    shapes = {name: value.shape for name, value in load_file(weights_path).items()}
    marks = {name: np.full(shapes[name], place, np.float32) for place, name in enumerate(names)}
    theirs = {other: names[int(np.ravel(value)[0])] for other, value in timm_names(marks).items() if np.size(value)}
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_mixed):
        logits = network(torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last))
        loss = criterion(logits.float(), torch.from_numpy(labels))
    loss.backward()
    gradients = {}
    for name, parameter in network.named_parameters():
        value = parameter.grad.numpy().astype(np.float64)
        own = theirs[name]
        # Linear weights lie the other way round there.
        gradients[own] = value.T if own == "fc.weight" else value
    return loss.item(), gradients


def angles(exact, rounded):
    """The angle of each gradient, where it is not next to nothing."""
    largest = max(np.linalg.norm(value) for value in exact.values())
    result = {}
    for name, value in exact.items():
        other = rounded[name].reshape(value.shape)
        if np.size(value) < 2 or np.linalg.norm(value) < 1e-3 * largest:
            continue
        cosine = np.vdot(value, other) / (np.linalg.norm(value) * np.linalg.norm(other))
        result[name] = float(np.arccos(np.clip(cosine, -1, 1)))
    return result


def step_case(arguments, model, side, batch, seed):
    """Prints a row for each level; returns how many comparisons have passed and failed."""
    folder = os.path.join(arguments.folder, f"{model}-{side}")
    os.makedirs(folder)
    pictures = runs.Pictures(arguments.binary, folder, side, batch, seed)
    weights, path = drawn(arguments.binary, model, folder)
    changes = {"Global": {"pretrained_model": path}, "Optimizer": {
        "name": "SGD", "lr": {"name": "ConstLR", "learning_rate": RATE}}}
    settings = runs.configuration(model, side, batch, folder, changes)
    labels = np.asarray(pictures.labels, np.int64)
    exact_loss, exact = own_step(arguments.binary, folder, settings, pictures, weights, ["--precision", "float32"])
    torch_loss, torch_exact = their_step(model, path, pictures.inputs, labels, False)
    mixed_loss, torch_mixed = their_step(model, path, pictures.inputs, labels, True)
    theirs = angles(torch_exact, torch_mixed)
    same = max(angles(torch_exact, exact).values())
    passed = failed = 0
    for level in ("O1", "O2"):
        level_settings = runs.merged(settings, {"AMP": {"use_amp": True, "level": level}})
        loss, mixed = own_step(
            arguments.binary, folder, level_settings, pictures, weights, ["--precision", "bfloat16"])
        own = angles(exact, mixed)
        names = [name for name in theirs if name in own]
        larger = [name for name in names if own[name] > FACTORS[level][0] * theirs[name] + SMALL]
        medians = [float(np.median([found[name] for name in names])) for found in (own, theirs)]
        checks = [abs(loss - torch_loss) <= LOSS_BOUND * torch_loss, medians[0] <= FACTORS[level][1] * medians[1], not larger]
        passed += sum(checks)
        failed += len(checks) - sum(checks)
        print(
            f"{model:14} {side:4} {batch:3} {level}  {torch_loss:8.4f} {exact_loss:8.4f}  {mixed_loss:8.4f} {loss:8.4f}   "
            f"{medians[1]:.3f} {max(theirs[name] for name in names):.3f}   {medians[0]:.3f} "
            f"{max(own[name] for name in names):.3f}   {len(larger)} of {len(names)}   {same:.0e}", flush=True)
        for name in larger[:4]:
            print(f"  FAILED {name}: {own[name]:.3f}, autocast {theirs[name]:.3f}", flush=True)
    if not arguments.keep:
        shutil.rmtree(folder)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    if not all(importlib.util.find_spec(name) for name in ("torch", "timm")):
        print("PyTorch and timm are not installed; Scripts/parity --all does\n0 passed, 0 failed")
        return 0
    print("                                 float32            bfloat16            angles: median, largest")
    print("                            PyTorch    hgnet   PyTorch    hgnet     PyTorch       hgnet      larger     float32")
    passed = failed = 0
    for seed, (model, side, batch) in enumerate(STEPS[: 1 if arguments.quick else None]):
        good, bad = step_case(arguments, model, side, batch, 400 + seed)
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
