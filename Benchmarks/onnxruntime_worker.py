"""One measurement of ONNX Runtime in a process of its own: `onnxruntime_worker.py REQUEST`, the answer as JSON.

The request names the model, the input as `.npy`, threads, warm-up and measured iterations, and perhaps a file for the
logits.
"""

import json
import sys
import time

import numpy as np
import onnxruntime

request = json.loads(sys.argv[1])
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
options.intra_op_num_threads = request["threads"]
options.inter_op_num_threads = 1
options.log_severity_level = 3

started = time.perf_counter()
session = onnxruntime.InferenceSession(request["model"], options, providers=["CPUExecutionProvider"])
load = (time.perf_counter() - started) * 1e3

feeds = {"input": np.load(request["input"])}
for _ in range(request["warmup"]):
    logits = session.run(None, feeds)[0]
times = []
for _ in range(request["iterations"]):
    started = time.perf_counter()
    logits = session.run(None, feeds)[0]
    times.append((time.perf_counter() - started) * 1e3)
if "logits" in request:
    np.save(request["logits"], logits)
print(json.dumps({"milliseconds": times, "load": load}))
