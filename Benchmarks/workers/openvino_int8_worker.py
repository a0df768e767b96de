"""OpenVINO in int8: quantised by NNCF with its defaults, run as it comes."""

import nncf
import openvino

import openvino_worker
import worker


def convert(request):
    model = openvino.convert_model(worker.model_path(request, ".onnx"))
    pictures = worker.calibration(request)
    quantised = nncf.quantize(model, nncf.Dataset(pictures), subset_size=len(pictures))
    openvino.save_model(quantised, worker.model_path(request, ".int8.xml"), compress_to_fp16=False)


def load(request, pictures):
    functions = openvino_worker.load(request, pictures, ending=".int8.xml")
    request["precision"] = "i8"
    return functions


worker.main(load, f"{openvino.__version__.split('-')[0]} (nncf {nncf.__version__})", convert)
