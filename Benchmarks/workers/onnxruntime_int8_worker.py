"""ONNX Runtime in int8: quantised by its own `quantize_static`, QDQ, a scale for each output channel."""

import onnxruntime
from onnxruntime import quantization

import onnxruntime_worker
import worker


class Reader(quantization.CalibrationDataReader):
    """Gives the pictures one by one."""

    def __init__(self, pictures):
        self.pictures = iter(pictures)

    def get_next(self):
        picture = next(self.pictures, None)
        return None if picture is None else {"input": picture}


def convert(request):
    quantization.quantize_static(
        worker.model_path(request, ".onnx"), worker.model_path(request, ".int8.onnx"),
        Reader(worker.calibration(request)), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)


def load(request, pictures):
    request["precision"] = "i8"
    return onnxruntime_worker.load(request, pictures, ending=".int8.onnx")


worker.main(load, onnxruntime.__version__, convert)
