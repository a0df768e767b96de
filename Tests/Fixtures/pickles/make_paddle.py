"""Writes the Paddle and NumPy files of this folder; run it in this folder.

Needs paddlepaddle 3.3.1 and numpy 2. The values are small integers and their quotients, so that every element type
holds them exactly.
"""

import pickle

import numpy as np
import paddle


def ramp(*shape):
    count = int(np.prod(shape))
    return (np.arange(count, dtype=np.float32) - 5).reshape(shape) / 4


def state():
    tensors = {
        "stem.stem1.conv.weight": paddle.to_tensor(ramp(2, 3, 3, 3)),
        "stem.stem1.bn._mean": paddle.to_tensor(ramp(2)),
        "fc.weight": paddle.to_tensor(ramp(4, 3)),
        "half": paddle.to_tensor(ramp(2, 2)).astype("float16"),
        "brain": paddle.to_tensor(ramp(2, 2)).astype("bfloat16"),
        "double": paddle.to_tensor(ramp(3).astype(np.float64)),
        "long": paddle.to_tensor(np.array([1, -2, 3], dtype=np.int64)),
        "int": paddle.to_tensor(np.array([1, -2, 3], dtype=np.int32)),
        "byte": paddle.to_tensor(np.array([0, 128, 255], dtype=np.uint8)),
        "truth": paddle.to_tensor(np.array([True, False])),
        "scalar": paddle.to_tensor(np.float32(2.5)),
    }
    for name, tensor in tensors.items():
        tensor.name = "internal_" + name.replace(".", "_")
    return tensors


for protocol in (2, 3, 4):
    paddle.save(state(), f"protocol{protocol}.pdparams", protocol=protocol)

# As NumPy 1 named its module.
with open("protocol3.pdparams", "rb") as file:
    data = file.read()
with open("numpy1.pdparams", "wb") as file:
    file.write(data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))

# A number beside the tensors changes the encoding: each tensor becomes a tuple of name and array.
paddle.save({"epoch": 7, **state()}, "tuples.pdparams")

# The optimizer's form: a list of dictionaries.
paddle.save([{"w_velocity_0": paddle.to_tensor(ramp(2)), "LR_Scheduler": {"last_epoch": 3, "last_lr": 0.25}}],
            "momentum.pdopt")


# Pieces as PaddlePaddle makes them of tensors of more than 2^30 bytes, with a lower limit; paddle.load joins them.
def cut(dictionary, limit=4):
    result, table = {}, {}
    for key, value in dictionary.items():
        value = value.numpy() if hasattr(value, "numpy") else value
        if value.size <= limit:
            result[key] = value
            continue
        flat = value.flatten()
        names = []
        for start in range(0, flat.size, limit):
            names.append(f"{key}@@.{len(names)}")
            result[names[-1]] = flat[start:start + limit]
        table[key] = {"OriginShape": value.shape, "slices": names}
    result["UnpackBigParamInfor@@"] = table
    return result


with open("pieces.pdparams", "wb") as file:
    pickle.dump(cut({"fc.weight": paddle.to_tensor(ramp(4, 3)), "fc.bias": paddle.to_tensor(ramp(3))}), file, 2)
assert (paddle.load("pieces.pdparams")["fc.weight"].numpy() == ramp(4, 3)).all()

with open("fortran.pdparams", "wb") as file:
    pickle.dump({"w": np.asfortranarray(ramp(2, 3, 4))}, file, 4)
with open("bigendian.pdparams", "wb") as file:
    pickle.dump({"w": ramp(2, 3).astype(">f4")}, file, 4)
with open("protocol5.pdparams", "wb") as file:
    pickle.dump({"w": ramp(2, 3), "n": np.float32(1.5), "s": {1, 2}}, file, 5)


class Evil:
    def __reduce__(self):
        import os
        return os.system, ("echo pwned",)


for protocol in (2, 4):
    with open(f"evil{protocol}.pdparams", "wb") as file:
        pickle.dump({"w": ramp(2), "x": Evil()}, file, protocol)

np.save("f4.npy", ramp(2, 3, 4))
np.save("f2.npy", ramp(2, 3).astype(np.float16))
np.save("f8.npy", ramp(2, 3).astype(np.float64))
np.save("i8.npy", np.array([1, -2, 3]))
np.save("fortran.npy", np.asfortranarray(ramp(2, 3, 4)))
np.save("scalar.npy", np.float32(2.5))
np.save("bigendian.npy", ramp(2, 3).astype(">f4"))
np.save("rank5.npy", ramp(1, 1, 1, 1, 2))
with open("v2.npy", "wb") as file:
    np.lib.format.write_array(file, ramp(2, 3), version=(2, 0))
with open("v3.npy", "wb") as file:
    np.lib.format.write_array(file, ramp(2, 3), version=(3, 0))
