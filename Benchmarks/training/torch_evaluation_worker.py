"""Evaluation from picture files in PyTorch, in a process of its own: `torch_evaluation_worker.py REQUEST`, answers JSON.

PyTorch's DataLoader with torchvision's transforms on Pillow pictures, timm's network in channels_last. The time is
that of one pass over the loader, from its start to the last result.
"""

import json
import pathlib
import sys
import time

import numpy as np
import torch

import torch_worker
import workload


class Pictures(torch.utils.data.Dataset):
    """The lines of a list file: `PATH LABEL`, paths relative to a folder."""

    def __init__(self, folder, lines):
        from torchvision import transforms

        self.folder = pathlib.Path(folder)
        self.rows = [line.rsplit(" ", 1) for line in lines]
        self.transform = transforms.Compose([
            transforms.Resize(232, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224), transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        from PIL import Image

        path, label = self.rows[index]
        with Image.open(self.folder / path) as picture:
            return self.transform(picture.convert("RGB")), int(label)


def main():
    request = json.loads(sys.argv[1])
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    model = torch_worker.network(request["model"], request["weights"], request["classes"]).eval()
    pictures = Pictures(request["folder"], pathlib.Path(request["list"]).read_text().splitlines())
    loader = torch.utils.data.DataLoader(pictures, batch_size=request["batch"], num_workers=request["workers"])
    right, loss, predictions = 0, 0.0, []
    with torch.inference_mode():
        side = torch.zeros(request["batch"], 3, 224, 224).contiguous(memory_format=torch.channels_last)
        model(side)  # Whatever the first call sets up is not measured.
        started = time.perf_counter()
        for inputs, labels in loader:
            logits = model(inputs.contiguous(memory_format=torch.channels_last))
            loss += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            best = logits.argmax(1)
            right += (best == labels).sum().item()
            predictions.append(best.numpy())
        seconds = time.perf_counter() - started
    count = len(pictures)
    print(json.dumps({
        "rate": count / seconds, "top1": right / count, "loss": loss / count, "peak": workload.peak_memory(),
        "version": torch.__version__, "predictions": np.concatenate(predictions).tolist()}))


if __name__ == "__main__":
    main()
