"""Lists parameter names and shapes, one `name<TAB>extents` a line; run once with each system's name.

paddle: paddlepaddle 3.3.1 and the folder of an unpacked paddleclas 2.6.0 as second argument.
timm: torch 2.13.0, timm 1.0.31. transformers: torch 2.13.0, transformers 5.23.0.
"""

import importlib
import importlib.machinery
import sys
import types


def write(path, state):
    with open(path, "w") as file:
        for name, tensor in state.items():
            file.write(name + "\t" + ",".join(str(extent) for extent in tensor.shape) + "\n")


def module(name, **members):
    stub = types.ModuleType(name)
    stub.__spec__ = importlib.machinery.ModuleSpec(name, None)
    stub.__path__ = []
    stub.__file__ = name
    stub.__dict__.update(members)
    sys.modules[name] = stub
    if "." in name:
        setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], stub)


system = sys.argv[1]
if system == "paddle":
    # Only the two network files are wanted, not what the packages around them import.
    root = sys.argv[2]
    for name in ("ppcls", "ppcls.arch", "ppcls.arch.backbone", "ppcls.arch.backbone.legendary_models", "ppcls.utils",
                 "ppcls.arch.backbone.base"):
        module(name)
        sys.modules[name].__path__ = [root + "/" + name.replace(".", "/")]
    nothing = lambda *arguments, **options: None
    module("ppcls.utils.save_load", load_dygraph_pretrain=nothing, load_dygraph_pretrain_from_url=nothing)
    v2 = importlib.import_module("ppcls.arch.backbone.legendary_models.pp_hgnet_v2")
    v1 = importlib.import_module("ppcls.arch.backbone.legendary_models.pp_hgnet")
    write("b0.paddle.tsv", v2.PPHGNetV2_B0(class_num=4).state_dict())
    write("tiny.paddle.tsv", v1.PPHGNet_tiny(class_num=4).state_dict())
elif system == "timm":
    import torch

    # Of torchvision, timm only needs names to exist.
    for part in ("", ".datasets", ".ops", ".ops.misc", ".transforms", ".transforms.functional"):
        module("torchvision" + part)
        sys.modules["torchvision" + part].__getattr__ = lambda member: type(member, (torch.nn.Identity,), {
            "NEAREST": 0, "BILINEAR": 1, "BICUBIC": 2, "BOX": 3, "HAMMING": 4, "LANCZOS": 5})
    import timm

    write("b0.timm.tsv", timm.create_model("hgnetv2_b0", num_classes=4).state_dict())
    write("tiny.timm.tsv", timm.create_model("hgnet_tiny", num_classes=4).state_dict())
else:
    from transformers import HGNetV2Backbone, HGNetV2Config

    config = HGNetV2Config(
        stem_channels=[3, 16, 16], stage_in_channels=[16, 64, 256, 512], stage_mid_channels=[16, 32, 64, 128],
        stage_out_channels=[64, 256, 512, 1024], stage_num_blocks=[1, 1, 2, 1], stage_numb_of_layers=[3, 3, 3, 3],
        use_learnable_affine_block=True)
    write("b0.transformers.tsv", HGNetV2Backbone(config).state_dict())
