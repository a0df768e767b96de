"""PyTorch: timm's network in channels_last.

The mode `compiled` is what PyTorch advises for deployment: exported, frozen and compiled ahead for one batch and size
with the search for the fastest templates; a process then only loads the result. `compiled-bfloat16` is the same of the
network in bfloat16.
"""

import os
import pathlib
import sys

import torch

import worker


def libraries(request):
    """What a process needs besides PyTorch itself."""
    if request["mode"].startswith("compiled") and request["action"] == "measure":
        from torch._inductor import package  # noqa: F401
        return
    if torch.version.cuda is None:
        # PyPI's torchvision, which timm imports, looks for operators that a PyTorch without CUDA does not load.
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        libraries.kept = library  # The definition lasts as long as this object.
    import safetensors.torch
    import timm


def timm_network(request):
    """timm's network with the weights of the comparison."""
    import timm
    from safetensors.torch import load_file

    network = timm.create_model(request["model"].replace("PPHGNetV2_B", "hgnetv2_b")).eval()
    network.load_state_dict(load_file(worker.model_path(request, "-timm.safetensors")), strict=True)
    return network.to(element(request), memory_format=torch.channels_last)


def settle(request):
    """Threads as asked for, and no gradients."""
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    torch.set_grad_enabled(False)


def element(request):
    return torch.bfloat16 if request["mode"].endswith("bfloat16") else torch.float32


def channels_last(pictures, request):
    return torch.from_numpy(pictures).to(element(request)).contiguous(memory_format=torch.channels_last)


def compiled_path(request):
    return worker.model_path(request, "-{mode}-{batch}-{side}-{threads}.pt2".format(**request))


def convert(request):
    """The weights under timm's names; for the mode `compiled` the network as a library of its own."""
    from safetensors.numpy import load_file, save_file

    sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "Scripts/parity.d"))
    from logits import timm_names

    state = timm_names(load_file(worker.model_path(request, ".safetensors")))
    save_file(state, worker.model_path(request, "-timm.safetensors"))
    if request["mode"].startswith("compiled"):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(pathlib.Path(request["folder"]) / "inductor")
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of processes, which now and then waits for ever
        settle(request)
        program = torch.export.export(timm_network(request), (channels_last(worker.pictures_of(request), request),))
        torch._inductor.aoti_compile_and_package(
            program, package_path=compiled_path(request),
            inductor_configs={"freezing": True, "max_autotune": True})


def load(request, pictures):
    settle(request)
    if element(request) is torch.bfloat16:
        request["precision"] = "bf16"
    if request["mode"].startswith("compiled"):
        network = torch._inductor.aoti_load_package(compiled_path(request))
    else:
        network = timm_network(request)
    batch = channels_last(pictures, request)
    answer = []

    def run():
        answer[:] = [network(batch)]

    return run, lambda: answer[0].float().numpy()


worker.main(load, torch.__version__, convert, libraries)
