"""ncnn: Winograd, sgemm and packed layouts, as it comes; a batch is a loop, since its blobs hold one picture.

The mode `accurate` leaves Winograd out; `bfloat16` stores weights and results in bfloat16 and computes as ncnn then chooses.
"""

import pathlib
import subprocess
import sys

import ncnn
import numpy as np

import worker


def convert(request):
    """pnnx reads ONNX and writes ncnn's pair of files beside it."""
    pnnx = pathlib.Path(sys.executable).with_name("pnnx")
    side = request["side"]
    subprocess.run(
        [str(pnnx), worker.model_path(request, ".onnx"), f"inputshape=[1,3,{side},{side}]", "fp16=0"],
        cwd=request["folder"], check=True, stdout=sys.stderr)


def load(request, pictures):
    threads = request["threads"]
    ncnn.set_omp_num_threads(threads)
    network = ncnn.Net()
    network.opt.num_threads = threads
    network.opt.use_vulkan_compute = False
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.opt.use_winograd_convolution = request["mode"] != "accurate"
    if request["mode"] == "bfloat16":
        network.opt.use_bf16_storage = True
        request["precision"] = "bf16"
    if network.load_param(worker.model_path(request, ".ncnn.param")) or network.load_model(
            worker.model_path(request, ".ncnn.bin")):
        raise SystemExit("ncnn cannot read what pnnx wrote")
    source, = network.input_names()
    target, = network.output_names()
    inputs = [ncnn.Mat(picture) for picture in pictures]
    answers = [None] * len(inputs)

    def run():
        for index, picture in enumerate(inputs):
            extractor = network.create_extractor()
            extractor.input(source, picture)
            answers[index] = extractor.extract(target)[1]

    return run, lambda: np.stack([np.array(answer).reshape(-1) for answer in answers])


worker.main(load, ncnn.__version__, convert)
