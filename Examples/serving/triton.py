"""Classifies pictures through the Open Inference Protocol, over HTTP or gRPC, with NVIDIA's client.

    pip install 'tritonclient[http,grpc]'
    python triton.py http 127.0.0.1:8080 MODEL photo.jpg …
    python triton.py grpc 127.0.0.1:8081 MODEL photo.jpg …
"""

import importlib
import sys

import numpy

protocol, address, model, *paths = sys.argv[1:]
package = importlib.import_module(f"tritonclient.{protocol}")
client = package.InferenceServerClient(address)

files = numpy.array([open(path, "rb").read() for path in paths], dtype=numpy.object_)
given = package.InferInput("image", [len(files)], "BYTES")
given.set_data_from_numpy(files)
result = client.infer(model, [given], outputs=[package.InferRequestedOutput(name) for name in ("label", "score")])
for path, labels, scores in zip(paths, result.as_numpy("label"), result.as_numpy("score")):
    print(path, labels[0].decode(), f"{scores[0]:.4f}")
