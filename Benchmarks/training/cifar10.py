"""CIFAR-10 in PyTorch (timm hgnetv2_b0) by the recipe of cifar10.yaml, and what both sides start from.

    cifar10.py prepare FOLDER            lists and the starting weights of both sides
    cifar10.py train FOLDER [--output]   12 epochs; goes on from OUTPUT/latest.pt where there is one
    cifar10.py check FOLDER --steps 8    losses of the first steps on the first pictures of the list, no chance
    cifar10.py speed FOLDER --steps 100  pictures per second of a whole step and of the loader with it

FOLDER holds train/CLASS/*.jpg and test/CLASS/*.jpg.
"""

import argparse
import json
import math
import pathlib
import random
import time

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

if torch.version.cuda is None:
    # PyPI's torchvision, which timm imports, looks for operators that a PyTorch without CUDA does not load.
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm
from torchvision import transforms

SIZE, BATCH, EPOCHS, RATE, DECAY, WARM_UP, SMOOTHING, SEED = 64, 128, 12, 0.1, 5e-4, 1, 0.1, 1
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BICUBIC = transforms.InterpolationMode.BICUBIC


def network():
    return timm.create_model("hgnetv2_b0", num_classes=10, drop_rate=0.0)


def paddle_name(name):
    """PaddlePaddle's name of one of timm's parameters, None for a counter."""
    if name.endswith("num_batches_tracked"):
        return None
    name = name.replace("head.last_conv.0.", "last_conv.").replace("head.last_conv.2.", "lab.")
    name = name.replace("head.fc.", "fc.").replace("aggregation.0.", "aggregation_squeeze_conv.")
    name = name.replace("aggregation.1.", "aggregation_excitation_conv.")
    return name.replace("running_mean", "_mean").replace("running_var", "_variance")


def initial_weights(model):
    """PaddleClas' draw: convolutions normal by fan-in, the classifier Xavier-uniform, all else the identity."""
    generator = torch.Generator().manual_seed(SEED)
    state = model.state_dict()
    for name, value in state.items():
        if value.ndim == 4:
            value.normal_(0, math.sqrt(2 / value[0].numel()), generator=generator)
        elif value.ndim == 2:
            limit = math.sqrt(6 / sum(value.shape))
            value.uniform_(-limit, limit, generator=generator)
        elif name.endswith(("running_var", "bn.weight", "scale")):
            value.fill_(1)
        else:
            value.fill_(0)
    return state


def prepare(folder):
    classes = sorted(path.name for path in (folder / "train").iterdir())
    for part in ("train", "test"):
        lines = [f"{path.relative_to(folder)} {label}" for label, name in enumerate(classes)
                 for path in sorted((folder / part / name).glob("*.jpg"))]
        # One fixed shuffle, so that any first part of the list holds every class.
        random.Random(SEED).shuffle(lines)
        (folder / f"{part}_list.txt").write_text("\n".join(lines) + "\n")
        print(f"{part}: {len(lines)} pictures of {len(classes)} classes")
    (folder / "labels.txt").write_text("".join(f"{label} {name}\n" for label, name in enumerate(classes)))
    state = initial_weights(network())
    save_file(state, folder / "initial_timm.safetensors")
    translated = {paddle_name(name): value for name, value in state.items() if paddle_name(name)}
    translated["fc.weight"] = translated["fc.weight"].T.contiguous()
    save_file(translated, folder / "initial_paddle.safetensors")
    print(f"{sum(value.numel() for value in translated.values())} numbers of {len(translated)} parameters")


class Pictures(torch.utils.data.Dataset):
    def __init__(self, folder, file, augmented):
        self.folder = folder
        lines = (folder / file).read_text().split("\n")
        self.items = [(path, int(label)) for path, label in (line.split(" ") for line in lines if line)]
        normalized = [transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
        shaped = ([transforms.RandomResizedCrop(SIZE, scale=(0.5, 1.0), interpolation=BICUBIC),
                   transforms.RandomHorizontalFlip()] if augmented else [transforms.Resize((SIZE, SIZE), BICUBIC)])
        self.transform = transforms.Compose(shaped + normalized)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        with Image.open(self.folder / path) as picture:
            return self.transform(picture.convert("RGB")), label


def loader(pictures, training, seed=0, shuffled=True):
    return torch.utils.data.DataLoader(
        pictures, batch_size=BATCH, shuffle=training and shuffled, drop_last=training, num_workers=1,
        generator=torch.Generator().manual_seed(seed))


def optimizer(model):
    """Decay for all but batch norm; affine blocks at a hundredth of the rate."""
    groups = {"norm": [], "affine": [], "rest": []}
    for name, parameter in model.named_parameters():
        kind = "norm" if ".bn." in name else "affine" if parameter.numel() == 1 else "rest"
        groups[kind].append(parameter)
    return torch.optim.SGD([
        {"params": groups["rest"], "weight_decay": DECAY, "multiplier": 1.0},
        {"params": groups["affine"], "weight_decay": DECAY, "multiplier": 0.01},
        {"params": groups["norm"], "weight_decay": 0.0, "multiplier": 1.0},
    ], lr=RATE, momentum=0.9)


def rate(step, steps, epochs, warm_up, highest):
    """The cosine schedule by step, with a linear warm-up from 0."""
    first = round(warm_up * steps)
    if step < first:
        return highest * step / first
    return highest * (1 + math.cos(math.pi * (step - first) / ((epochs - warm_up) * steps))) / 2


def one_step(model, optimization, loss_function, pictures, labels, learning_rate):
    for group in optimization.param_groups:
        group["lr"] = learning_rate * group["multiplier"]
    logits = model(pictures.contiguous(memory_format=torch.channels_last))
    loss = loss_function(logits, labels)
    optimization.zero_grad(set_to_none=True)
    loss.backward()
    optimization.step()
    return loss.item(), (logits.argmax(1) == labels).sum().item()


def evaluate(model, pictures):
    model.eval()
    right, loss = 0, 0.0
    with torch.no_grad():
        for images, labels in loader(pictures, training=False):
            logits = model(images.contiguous(memory_format=torch.channels_last))
            loss += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            right += (logits.argmax(1) == labels).sum().item()
    model.train()
    return right / len(pictures), loss / len(pictures)


def started(options):
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    model = network().to(memory_format=torch.channels_last).train()
    model.load_state_dict(load_file(options.folder / "initial_timm.safetensors"))
    return model, optimizer(model), torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)


def train(options):
    model, optimization, loss_function = started(options)
    training = Pictures(options.folder, options.list, augmented=True)
    testing = Pictures(options.folder, "test_list.txt", augmented=False)
    options.output.mkdir(parents=True, exist_ok=True)
    latest, begin = options.output / "latest.pt", 0
    if latest.exists():
        saved = torch.load(latest)
        model.load_state_dict(saved["model"])
        optimization.load_state_dict(saved["optimizer"])
        begin = saved["epoch"]
        print(f"going on after epoch {begin}", flush=True)
    steps = len(training) // BATCH
    for epoch in range(begin, options.epochs):
        torch.manual_seed(SEED + 1000 * epoch)
        start, pure, total, right, last = time.monotonic(), 0.0, 0.0, 0, time.monotonic()
        for index, (images, labels) in enumerate(loader(training, training=True, seed=SEED + epoch)):
            begun = time.monotonic()
            now = rate(epoch * steps + index, steps, options.epochs, WARM_UP, options.rate)
            loss, hits = one_step(model, optimization, loss_function, images, labels, now)
            pure += time.monotonic() - begun
            total, right = total + loss, right + hits
            if (index + 1) % 50 == 0:
                print(f"epoch {epoch + 1} step {index + 1}/{steps} rate {now:.5f} loss {total / (index + 1):.4f} "
                      f"top1 {right / (index + 1) / BATCH:.4f} "
                      f"{50 * BATCH / (time.monotonic() - last):.1f} pictures/s", flush=True)
                last = time.monotonic()
        seconds = time.monotonic() - start
        top1, evaluation_loss = evaluate(model, testing)
        print(json.dumps({
            "epoch": epoch + 1, "train_loss": round(total / steps, 5), "train_top1": round(right / steps / BATCH, 5),
            "test_top1": top1, "test_loss": round(evaluation_loss, 5), "seconds": round(seconds, 1),
            "seconds_in_steps": round(pure, 1), "seconds_with_test": round(time.monotonic() - start, 1)}), flush=True)
        torch.save({"model": model.state_dict(), "optimizer": optimization.state_dict(), "epoch": epoch + 1},
                   options.output / "new.pt")
        (options.output / "new.pt").rename(latest)


def check(options):
    model, optimization, loss_function = started(options)
    pictures = Pictures(options.folder, "train_list.txt", augmented=False)
    for index, (images, labels) in enumerate(loader(pictures, training=True, shuffled=False)):
        if index == options.steps:
            break
        now = rate(index, options.steps, 1, 0, options.rate)
        loss, hits = one_step(model, optimization, loss_function, images, labels, now)
        print(f"step {index + 1} rate {now:.5f} loss {loss:.5f} top1 {hits / BATCH:.5f}", flush=True)


def speed(options):
    model, optimization, loss_function = started(options)
    pictures = Pictures(options.folder, "train_list.txt", augmented=True)
    times, waits, last = [], [], None
    for index, (images, labels) in enumerate(loader(pictures, training=True)):
        begun = time.monotonic()
        if index == options.steps + 5:
            break
        one_step(model, optimization, loss_function, images, labels, options.rate / 100)
        ended = time.monotonic()
        if index >= 5:
            times.append(ended - begun)
            waits.append(begun - last)
        last = ended
    whole = np.array(times) + np.array(waits)
    print(json.dumps({"steps": len(times), "step_ms_median": round(1e3 * float(np.median(times)), 1),
                      "step_ms_minimum": round(1e3 * min(times), 1),
                      "pictures_per_second": round(BATCH * len(times) / float(whole.sum()), 1)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["prepare", "train", "check", "speed"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("output/cifar10_pytorch"))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--list", default="train_list.txt")
    options = parser.parse_args()
    if options.action == "prepare":
        prepare(options.folder)
    else:
        {"train": train, "check": check, "speed": speed}[options.action](options)


if __name__ == "__main__":
    main()
