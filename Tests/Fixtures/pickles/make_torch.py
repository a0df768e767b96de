"""Writes the PyTorch files of this folder; run it in this folder.

Needs torch 2.13.0 (CPU).
"""

import argparse
import struct
import zipfile
import zlib
from collections import OrderedDict

import torch


def ramp(*shape):
    count = 1
    for extent in shape:
        count *= extent
    return (torch.arange(count, dtype=torch.float32) - 5).reshape(shape) / 4


def state():
    whole = ramp(4, 6)
    result = OrderedDict(
        {
            "stem.stem1.conv.weight": ramp(2, 3, 3, 3),
            "head.fc.weight": torch.nn.Parameter(ramp(3, 4)),
            "half": ramp(2, 2).half(),
            "brain": ramp(2, 2).bfloat16(),
            "double": ramp(3).double(),
            "num_batches_tracked": torch.tensor(12),
            "transposed": ramp(3, 4).t(),
            "channels_last": ramp(1, 3, 2, 2).to(memory_format=torch.channels_last),
            "rows": whole[1:3],
            "columns": whole[:, 2:4],
            "whole": whole,
            "truth": torch.tensor([True, False]),
            "empty": torch.zeros(0, 3),
        }
    )
    result._metadata = OrderedDict({"": {"version": 1}})
    return result


class Holder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = torch.nn.BatchNorm2d(2)


torch.save(state(), "zip.pth")
torch.save(state(), "legacy.pth", _use_new_zipfile_serialization=False)
torch.save(state(), "legacy4.pth", _use_new_zipfile_serialization=False, pickle_protocol=4)
torch.save(
    {
        "epoch": 3,
        "arch": "hgnetv2_b0",
        "args": argparse.Namespace(lr=0.1, model="hgnetv2_b0", betas=None),
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
        "state_dict": {"w": ramp(2)},
        "state_dict_ema": {"w": ramp(2) + 1},
    },
    "nested.pth",
)
torch.save({"ema": {"module": {"w": ramp(2)}, "updates": 4}}, "ema.pth")
torch.save(Holder(), "module.pth")
torch.jit.script(Holder().bn).save("script.pt")
# Without the entries for debugging, which name folders of the machine.
with zipfile.ZipFile("script.pt") as archive:
    kept = [(name, archive.read(name)) for name in archive.namelist() if not name.endswith(".debug_pkl")]
with zipfile.ZipFile("script.pt", "w", zipfile.ZIP_STORED) as archive:
    for name, data in kept:
        archive.writestr(zipfile.ZipInfo(name), data)
torch.jit.load("script.pt")

# The same container with the sizes of every entry and of the directory in their 64-bit form, as for files beyond 4 GiB.
torch.save({"w": ramp(2, 3)}, "zip64.pth")
with zipfile.ZipFile("zip64.pth") as archive:
    contents = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
with open("zip64.pth", "wb") as file:
    directory = b""
    for name, data in contents:
        offset, name, crc = file.tell(), name.encode(), zlib.crc32(data)
        sizes = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        file.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, crc, 2**32 - 1, 2**32 - 1, len(name), 20))
        file.write(name + sizes + data)
        sizes = struct.pack("<HHQQQ", 1, 24, len(data), len(data), offset)
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0, crc, 2**32 - 1, 2**32 - 1,
                                 len(name), 28, 0, 0, 0, 0, 2**32 - 1) + name + sizes
    start = file.tell()
    file.write(directory)
    record, count = file.tell(), len(contents)
    file.write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, len(directory), start))
    file.write(struct.pack("<IIQI", 0x07064B50, 0, record, 1))
    file.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0))
assert (torch.load("zip64.pth")["w"] == ramp(2, 3)).all()
