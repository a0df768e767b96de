"""OpenVINO: the LATENCY hint, static sizes, the model in OpenVINO's own format.

The mode `default` asks for float32; `as-it-comes` leaves the precision to OpenVINO, which computes in bfloat16 on a
processor that multiplies bfloat16 natively.
"""

import openvino
from openvino import properties
from openvino.properties import hint

import worker


def convert(request):
    model = openvino.convert_model(worker.model_path(request, ".onnx"))
    openvino.save_model(model, worker.model_path(request, ".xml"), compress_to_fp16=False)


def load(request, pictures, ending=".xml"):
    core = openvino.Core()
    model = core.read_model(worker.model_path(request, ending))
    model.reshape(list(pictures.shape))
    settings = {
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        hint.num_requests: 1,
        hint.enable_cpu_pinning: False,
        properties.inference_num_threads: request["threads"],
        properties.num_streams: 1,
    }
    if request["mode"] == "default":
        settings[hint.inference_precision] = openvino.Type.f32
    compiled = core.compile_model(model, "CPU", settings)
    request["precision"] = compiled.get_property(hint.inference_precision).get_type_name()
    inference = compiled.create_infer_request()
    inference.set_input_tensor(openvino.Tensor(pictures, shared_memory=True))
    return inference.infer, lambda: inference.get_output_tensor().data


if __name__ == "__main__":
    worker.main(load, openvino.__version__.split("-")[0], convert)
