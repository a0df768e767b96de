"""Training steps of timm's network in PyTorch, in a process of its own: `torch_worker.py REQUEST`, answers JSON.

The network lies in channels_last, the faster layout on a CPU; `compiled` compiles it; `mixed` takes autocast in bfloat16.
The optimiser is PyTorch's fused one.
"""

import json
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Scripts/parity.d"))

import workload


def import_timm():
    if torch.version.cuda is None:
        # PyPI's torchvision, which timm imports, looks for operators that a PyTorch without CUDA does not load.
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_timm.library = library  # The definition lasts as long as this object.
    import timm
    return timm


def network(model, weights, classes):
    """timm's network with weights under PaddlePaddle's names."""
    from logits import timm_names
    from safetensors.numpy import load_file

    timm = import_timm()
    result = timm.create_model(model.replace("PPHGNetV2_B", "hgnetv2_b").replace("PPHGNet_", "hgnet_"),
                               num_classes=classes)
    state = timm_names(load_file(weights))
    result.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=True)
    return result.to(memory_format=torch.channels_last)


def optimizer(model):
    """Momentum with PaddleClas' exceptions: no decay for normalisations, a small rate for affine blocks."""
    groups = {}
    for name, parameter in model.named_parameters():
        decay = 0.0 if workload.is_normalization(name) else workload.DECAY
        rate = workload.LEARNING_RATE * (workload.AFFINE_FACTOR if workload.is_affine(name) else 1)
        groups.setdefault((decay, rate), []).append(parameter)
    return torch.optim.SGD(
        [{"params": list_, "weight_decay": decay, "lr": rate} for (decay, rate), list_ in groups.items()],
        lr=workload.LEARNING_RATE, momentum=workload.MOMENTUM, fused=True)


def main():
    request = json.loads(sys.argv[1])
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    model = network(request["model"], request["weights"], request["classes"]).train()
    update = optimizer(model)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=workload.SMOOTHING)
    pictures = torch.from_numpy(workload.pictures(request["batch"], request["side"]))
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(workload.labels(request["batch"], request["classes"]))
    forward = torch.compile(model) if request["compiled"] else model

    def step():
        update.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=request["mixed"]):
            loss = criterion(forward(pictures), labels)
        loss.backward()
        update.step()
        return loss.item()

    workload.measure(request, step, torch.__version__)


if __name__ == "__main__":
    main()
