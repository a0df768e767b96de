"""What the measurements of clusters train on, and what they read from its log."""
import os
import re
import statistics
import struct
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(ROOT, ".build-mpi/release/hgnet")
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe"]


def draw(folder, count=64, side=224):
    """Pictures of two classes, quick to decode, so that the network is what is measured."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for number in range(count):
        path = f"{folder}/class{number % 2}"
        os.makedirs(path, exist_ok=True)
        row = bytes((x * (1 + number % 7) + c * 40) % 256 for x in range(side) for c in range(3))
        with open(f"{path}/{number}.png", "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
                       + chunk(b"IDAT", zlib.compress((b"\0" + row) * side)) + chunk(b"IEND", b""))


def training(tool, output, model, batch, steps, *more):
    """The command that trains a model from scratch for some steps, without evaluation."""
    fixed = ("[{'DecodeImage': {'to_rgb': True, 'channel_first': False}}, {'NormalizeImage': {'scale': '1.0/255.0', "
             "'mean': [0.5, 0.5, 0.5], 'std': [0.3, 0.3, 0.3], 'order': ''}}]")
    keys = {"Global.iter_per_epoch": steps, "Global.eval_during_train": False, "Global.print_batch_step": 1,
            "Global.use_tensorboard": False, "DataLoader.Train.sampler.drop_last": True,
            "DataLoader.Train.dataset.transform_ops": fixed}
    overrides = [word for key, value in keys.items() for word in ("-o", f"{key}={value}")]
    return [tool, "train", "--data", "data", "--from-scratch", "--model", model, "--batch", str(batch), "--epochs", "1",
            "--threads", "1", "--output", output, *overrides, *more]


def step_seconds(log, skipped=2):
    """The median time of a step, from the lines of single steps."""
    costs = [float(cost) for cost in re.findall(r"batch_cost: ([0-9.]+)s", log)]
    return statistics.median(costs[skipped:])
