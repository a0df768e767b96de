"""MNN: its session interface with static sizes.

As it comes, MNN takes Winograd's F(6, 3) and Strassen's products. The mode `accurate` leaves Winograd out. It is no peer
in bfloat16: asked for its precision `low_bf16`, the package from PyPI computes in float32 (logits within 6e-6).
"""

import subprocess
import sys

import MNN
import numpy as np

import worker

WINOGRAD_MEMORY_LEVEL = 3  # the number of the hint; the Python package has no name for it


def convert(request):
    subprocess.run(
        [sys.executable, "-c", "import sys; from MNN.tools.mnnconvert import main; sys.exit(main())", "-f", "ONNX",
         "--modelFile", worker.model_path(request, ".onnx"), "--MNNModel", worker.model_path(request, ".mnn"),
         "--bizCode", "benchmark"], check=True, stdout=sys.stderr)


def load(request, pictures):
    interpreter = MNN.Interpreter(worker.model_path(request, ".mnn"))
    if request["mode"] == "accurate":
        interpreter.setSessionHint(WINOGRAD_MEMORY_LEVEL, 0)
    session = interpreter.createSession({
        "backend": "CPU", "numThread": request["threads"],
        "precision": "high" if request["mode"] == "accurate" else "normal"})
    tensor = interpreter.getSessionInput(session)
    interpreter.resizeTensor(tensor, tuple(pictures.shape))
    interpreter.resizeSession(session)
    host = MNN.Tensor(tuple(pictures.shape), MNN.Halide_Type_Float, pictures, MNN.Tensor_DimensionType_Caffe)
    output = interpreter.getSessionOutput(session)

    def run():
        tensor.copyFrom(host)  # Each time: the session uses the memory of its input for other tensors as well.
        interpreter.runSession(session)

    def logits():
        shape = output.getShape()
        answer = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), MNN.Tensor_DimensionType_Caffe)
        output.copyToHostTensor(answer)
        return np.array(answer.getNumpyData()).reshape(shape)

    return run, logits


worker.main(load, MNN.version(), convert)
