"""Paddle Inference with oneDNN, on the exported form of the reference network in Scripts/parity.d."""

import os
import pathlib
import sys

os.environ.setdefault("GLOG_minloglevel", "2")

import paddle
from paddle import inference

import worker


def convert(request):
    from safetensors.numpy import load_file

    sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "Scripts/parity.d"))
    import reference

    network = reference.build(request["model"])
    values = load_file(worker.model_path(request, ".safetensors"))
    missing, unused = network.set_state_dict({name: paddle.to_tensor(value) for name, value in values.items()})
    if missing or unused:
        sys.exit(f"missing {missing}, unused {unused}")
    shape = paddle.static.InputSpec([None, 3, None, None], "float32", "input")
    paddle.jit.save(paddle.jit.to_static(network, input_spec=[shape], full_graph=True),
                    worker.model_path(request, "-paddle"))


def load(request, pictures):
    config = inference.Config(worker.model_path(request, "-paddle.json"),
                              worker.model_path(request, "-paddle.pdiparams"))
    config.disable_gpu()
    config.enable_mkldnn()
    config.set_cpu_math_library_num_threads(request["threads"])
    config.switch_ir_optim(True)
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(pictures)
    output = predictor.get_output_handle(predictor.get_output_names()[0])
    return predictor.run, output.copy_to_cpu


worker.main(load, paddle.__version__, convert)
