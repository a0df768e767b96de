"""Compares hgnet on timm's and PyTorch's checkpoints, and the PaddlePaddle reference with timm's own networks.

    timm_checkpoints.py HGNET_BINARY WORK_FOLDER [--quick]

One set of random weights goes into timm's hgnetv2_b0 ... b6 and hgnet_tiny, small, base and into the reference. Two
differences between timm and PaddlePaddle are known, and the comparison between them is arranged around both:

- timm pads the stem's 2x2 maximum pool with zeros, PaddlePaddle lets the border never win. They agree where the
  values before the pool are never negative, so the first affine block of the stem gets a bias of at least 0.
- PPHGNet_base has dropout 0.2, which PaddlePaddle turns into a factor of 0.8 in inference and timm into nothing; so
  timm's classifier is asked with its weight times 0.8.

hgnet reads what timm would save (.pth in both of PyTorch's forms, safetensors) and must give PaddlePaddle's logits.
"""

import argparse
import os
import shutil

import numpy as np
import paddle  # Before torch: both bring an OpenMP library.

import logits
import reference


def timm_model_name(name):
    return name.replace("PPHGNetV2_B", "hgnetv2_b").replace("PPHGNet_", "hgnet_")


def main():
    parser = argparse.ArgumentParser(description="Compares hgnet on timm's and PyTorch's checkpoints.")
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true", help="three models only")
    arguments = parser.parse_args()

    import torch

    if torch.version.cuda is None:
        # PyPI's torchvision, which timm imports, looks for operators that a PyTorch without CUDA does not load.
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm
    from safetensors.torch import save_file

    names = ["PPHGNetV2_B0", "PPHGNetV2_B4", "PPHGNet_base"] if arguments.quick else list(reference.ROWS)
    report = logits.Report()
    print("Largest difference over the largest logit; timm", timm.__version__, "PyTorch", torch.__version__)
    print(f"{'model':14} {'timm':9} {'pth':9} {'legacy':9} safetensors  (timm against the reference; files read by hgnet)")
    for index, name in enumerate(names):
        folder = os.path.join(os.path.abspath(arguments.folder), name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        network = reference.build(name)
        logits.draw(network, 3000 + 17 * index)
        state = {key: value.numpy() for key, value in network.state_dict().items()}
        if "stem.stem1.lab.bias" in state:
            state["stem.stem1.lab.bias"] = np.abs(state["stem.stem1.lab.bias"])
            network.set_state_dict({key: paddle.to_tensor(value) for key, value in state.items()})
        values = logits.pictures(2, logits.SIZES[1], 3000 + 17 * index)
        expected, _ = logits.run_reference(network, values)
        source = os.path.join(folder, "x.npy")
        np.save(source, values)

        model = timm.create_model(timm_model_name(name)).eval()
        torch_state = {key: torch.from_numpy(np.array(value)) for key, value in logits.timm_names(state).items()}
        model.load_state_dict(torch_state, strict=True)
        files = [os.path.join(folder, file) for file in ("new.pth", "legacy.pth", "model.safetensors")]
        torch.save(model.state_dict(), files[0])
        torch.save({"state_dict": model.state_dict()}, files[1], _use_new_zipfile_serialization=False)
        save_file(model.state_dict(), files[2])
        with torch.no_grad():
            model.head.fc.weight *= 1 - reference.ROWS[name].get("dropout", 0.0)
            theirs = model(torch.from_numpy(values)).numpy()
        cells = [report.cell(logits.difference(theirs, expected))]
        for file in files:
            try:
                found, _ = logits.run_hgnet(arguments.binary, file, None, source, folder, False)
                cells.append(report.cell(logits.difference(found, expected)))
            except RuntimeError as error:
                report.fail(f"{name}: {error}")
        print(f"{name:14} {'  '.join(cells)}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"worst {report.worst:.1e} (bound {logits.FAIL:.0e})")
    print(f"{report.passed} passed, {report.failed} failed")
    raise SystemExit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
