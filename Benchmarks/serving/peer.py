"""The server that people write in Python: FastAPI, Pillow and ONNX Runtime, one picture a request.

usage: peer.py MODEL.onnx PORT [THREADS]
"""

import io
import sys

import numpy
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

options = onnxruntime.SessionOptions()
if len(sys.argv) > 3:
    options.intra_op_num_threads = int(sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
mean = numpy.array([0.485, 0.456, 0.406], dtype=numpy.float32)
deviation = numpy.array([0.229, 0.224, 0.225], dtype=numpy.float32)
app = FastAPI()


def classify(body):
    image = Image.open(io.BytesIO(body)).convert("RGB")
    scale = 232 / min(image.size)
    image = image.resize([max(232, round(side * scale)) for side in image.size], Image.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    values = numpy.asarray(image.crop((left, top, left + 224, top + 224)), dtype=numpy.float32) / 255
    logits = session.run(None, {name: ((values - mean) / deviation).transpose(2, 0, 1)[None]})[0][0]
    scores = numpy.exp(logits - logits.max())
    scores /= scores.sum()
    best = numpy.argsort(-scores)[:5]
    return [{"index": int(index), "score": float(scores[index])} for index in best]


@app.post("/v1/classify")
async def answer(request: Request):
    body = await request.body()
    # In a thread, so that others are read meanwhile.
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(classify, body)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
