"""Training with hgnet for training.py: pictures, configurations, runs and the files that they leave."""

import copy
import json
import os
import re
import subprocess

import numpy as np

CLASSES = 10
NORMALIZE = {"scale": "1.0/255.0", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "order": ""}
TRANSFORMS = [{"DecodeImage": {"to_rgb": True, "channel_first": False}}, {"NormalizeImage": NORMALIZE}]
MOMENTUM = {
    "name": "Momentum", "momentum": 0.9, "lr": {"name": "ConstLR", "learning_rate": 0.1},
    "regularizer": {"name": "L2", "coeff": 2e-5}}
SMOOTH = {"CELoss": {"weight": 1.0, "epsilon": 0.1}}


class Pictures:
    """Pictures as PNG files, their lists, and the numbers that both networks see."""

    def __init__(self, binary, folder, side, count, seed):
        from PIL import Image
        import logits

        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        generator = np.random.default_rng(seed)
        self.labels = generator.integers(0, CLASSES, count)
        self.vectors = (generator.random((count, CLASSES)) < 0.3).astype(np.float32)
        values = logits.pictures(count, (side, side), seed) * 30 + 128
        # Something to learn: a tint of the class.
        values += np.random.default_rng(7).normal(0, 30, (CLASSES, 3))[self.labels][:, :, None, None]
        values = np.clip(values, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        paths = [os.path.join(folder, f"{index}.png") for index in range(count)]
        for path, picture in zip(paths, values):
            Image.fromarray(picture).save(path)
        configuration = os.path.join(folder, "transforms.yaml")
        with open(configuration, "w") as file:
            json.dump({"Infer": {"transforms": TRANSFORMS + [{"ToCHWImage": None}]}}, file)
        target = os.path.join(folder, "inputs.npy")
        run(binary, "preprocess", *paths, "-c", configuration, "--output", target)
        self.inputs = np.load(target)

    def write_list(self, indices, labels):
        """A list file of some of the pictures with class indices or vectors; returns its path."""
        path = os.path.join(self.folder, "list.txt")
        with open(path, "w") as file:
            for index, label in zip(indices, labels):
                text = f" {label}" if np.ndim(label) == 0 else "\t" + ",".join(str(int(value)) for value in label)
                file.write(f"{index}.png{text}\n")
        return path


def run(binary, *arguments):
    """Runs the tool; returns its standard output."""
    done = subprocess.run([binary, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"hgnet {' '.join(arguments[:4])} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def merged(base, changes):
    """Dictionaries are merged, everything else is replaced; an optimizer of another name keeps only the rate."""
    result = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        if key == "Optimizer" and old and value.get("name", old["name"]) != old["name"]:
            result[key] = {"lr": old["lr"], **value}
        else:
            result[key] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return copy.deepcopy(result)


def configuration(model, side, batch, folder, changes=None):
    """A configuration of one epoch; JSON is YAML."""
    return merged({
        "Global": {
            "checkpoints": None, "pretrained_model": os.path.join(folder, "weights.pdparams"),
            "output_dir": os.path.join(folder, "output"), "device": "cpu", "save_interval": 0,
            "eval_during_train": False, "eval_interval": 1, "epochs": 1, "print_batch_step": 1, "use_visualdl": False,
            "image_shape": [3, side, side]},
        "Arch": {"name": model, "class_num": CLASSES, "dropout_prob": 0.0},
        "Loss": {"Train": [SMOOTH]},
        "Optimizer": MOMENTUM,
        "DataLoader": {"Train": {
            "dataset": {"name": "ImageNetDataset", "image_root": "", "cls_label_path": "", "transform_ops": TRANSFORMS},
            "sampler": {
                "name": "DistributedBatchSampler", "batch_size": batch, "drop_last": False, "shuffle": False},
            "loader": {"num_workers": 2, "use_shared_memory": True}}},
    }, changes or {})


LINE = re.compile(r"\[Train\]\[Epoch (\d+)/\d+\]\[Iter: (\d+)/\d+\]lr\(\w+\): ([\d.]+),.*\bloss: ([-\d.naif]+),")


def train(binary, folder, settings, pictures, indices, targets, options=()):
    """Runs `hgnet train` with some options; returns learning rate and loss of each iteration.

    The log has means over the epoch so far, from which the loss of an iteration is taken back.
    """
    is_multiple = np.ndim(targets[0]) == 1
    settings = merged(settings, {"Global": {"use_multilabel": is_multiple}, "DataLoader": {"Train": {"dataset": {
        "name": "MultiLabelDataset" if is_multiple else "ImageNetDataset", "image_root": pictures.folder,
        "cls_label_path": pictures.write_list(indices, targets)}}}})
    path = os.path.join(folder, "train.yaml")
    with open(path, "w") as file:
        json.dump(settings, file)
    rates, losses, total = [], [], 0.0
    for match in map(LINE.search, run(binary, "train", "-c", path, *options).splitlines()):
        if match:
            iteration, mean = int(match[2]), float(match[4])
            total = 0.0 if iteration == 0 else total
            losses.append(mean * (iteration + 1) - total)
            total += losses[-1]
            rates.append(float(match[3]))
    return rates, losses


class Checkpoint:
    """What the three files of a checkpoint hold, as PaddlePaddle reads them."""

    def __init__(self, prefix):
        import paddle

        self.state = paddle.load(prefix + ".pdparams", return_numpy=True)
        (self.optimizer,) = paddle.load(prefix + ".pdopt", return_numpy=True)
        self.schedule = self.optimizer.pop("LR_Scheduler", None)
        self.raw = paddle.load(prefix + ".pdema", return_numpy=True) if os.path.exists(prefix + ".pdema") else None
