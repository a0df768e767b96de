"""What both Python servers do with a picture: Pillow's transforms, ONNX Runtime, the five likeliest classes."""

import io

import numpy
import onnxruntime
from PIL import Image

MEAN = numpy.array([0.485, 0.456, 0.406], dtype=numpy.float32)
DEVIATION = numpy.array([0.229, 0.224, 0.225], dtype=numpy.float32)


class Classifier:
    def __init__(self, model, threads=0):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def scores(self, body):
        """The probabilities of a picture's bytes."""
        image = Image.open(io.BytesIO(body)).convert("RGB")
        scale = 232 / min(image.size)
        image = image.resize([max(232, round(side * scale)) for side in image.size], Image.BICUBIC)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        values = numpy.asarray(image.crop((left, top, left + 224, top + 224)), dtype=numpy.float32) / 255
        logits = self.session.run(None, {self.name: ((values - MEAN) / DEVIATION).transpose(2, 0, 1)[None]})[0][0]
        scores = numpy.exp(logits - logits.max())
        return scores / scores.sum()

    def classify(self, body):
        scores = self.scores(body)
        return [{"index": int(index), "score": float(scores[index])} for index in numpy.argsort(-scores)[:5]]
