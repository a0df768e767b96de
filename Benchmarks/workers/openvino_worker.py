"""OpenVINO: the LATENCY hint, float32, static sizes, the model in OpenVINO's own format."""

import openvino
from openvino import properties
from openvino.properties import hint

import worker


def convert(request):
    model = openvino.convert_model(worker.model_path(request, ".onnx"))
    openvino.save_model(model, worker.model_path(request, ".xml"), compress_to_fp16=False)


def load(request, pictures):
    core = openvino.Core()
    model = core.read_model(worker.model_path(request, ".xml"))
    model.reshape(list(pictures.shape))
    compiled = core.compile_model(model, "CPU", {
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        hint.inference_precision: openvino.Type.f32,
        hint.num_requests: 1,
        hint.enable_cpu_pinning: False,
        properties.inference_num_threads: request["threads"],
        properties.num_streams: 1,
    })
    inference = compiled.create_infer_request()
    inference.set_input_tensor(openvino.Tensor(pictures, shared_memory=True))
    return inference.infer, lambda: inference.get_output_tensor().data


worker.main(load, openvino.__version__.split("-")[0], convert)
