"""The server that people write in Python: FastAPI, Pillow and ONNX Runtime, one picture a request.

usage: peer.py MODEL.onnx PORT [THREADS]
"""

import sys

import uvicorn
from classifier import Classifier
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

classifier = Classifier(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 0)
app = FastAPI()


@app.post("/v1/classify")
async def answer(request: Request):
    body = await request.body()
    # In a thread, so that others are read meanwhile.
    return await run_in_threadpool(classifier.classify, body)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
