"""Paddle Serving's own client against a server; see paddle-client, which installs it.

usage: paddle_client.py TOOL WEIGHTS PICTURE PYTHON LIBRARIES     starts a server and this file again under PYTHON
       paddle_client.py ask PORT PICTURE FOLDER                   asks the server
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading

PICTURE = '''feed_var {
  name: "x"
  alias_name: "inputs"
  is_lod_tensor: false
  feed_type: %d
  shape: %s
}
fetch_var {
  name: "softmax_0.tmp_0"
  alias_name: "prediction"
  is_lod_tensor: false
  fetch_type: 1
  shape: 10
}
'''


def check(condition, what):
    if not condition:
        raise SystemExit(f"paddle-client: {what}")


def ask(port, picture, folder):
    import numpy
    from paddle_serving_client import Client, HttpClient

    body = open(picture, "rb").read()
    text = base64.b64encode(body).decode()
    confs = {}
    for name, (kind, shape) in {"text": (20, "1"), "float": (1, "3\n  shape: 64\n  shape: 64"), "bytes": (7, "1")}.items():
        confs[name] = os.path.join(folder, name)
        os.makedirs(confs[name])
        with open(os.path.join(confs[name], "serving_client_conf.prototxt"), "w") as file:
            file.write(PICTURE % (kind, shape))

    def client(name):
        made = Client()
        made.load_client_config(confs[name])
        made.connect([f"127.0.0.1:{port}"])
        return made

    asked = client("text")
    expected = asked.predict(feed={"inputs": text}, fetch=["prediction"], batch=False)["prediction"]
    check(expected.shape[0] == 1 and abs(expected.sum() - 1) < 1e-5, expected)
    same = lambda told: told is not None and numpy.array_equal(told["prediction"], expected)
    check(same(asked.predict(feed={"inputs": body}, fetch=["prediction"], batch=False)), "a picture as it is")
    check(same(asked.predict(feed={"inputs": text}, fetch=None, batch=False)), "no names to fetch")
    check(asked.predict(feed={"inputs": "!"}, fetch=["prediction"], batch=False) is None, "a refusal")
    check(same(asked.predict(feed={"inputs": text}, fetch=["prediction"], batch=False, log_id=7)), "after a refusal")
    pixels = client("bytes").predict(
        feed={"inputs": numpy.frombuffer(body, numpy.uint8)}, fetch=["prediction"], batch=False)
    check(same(pixels), "a picture as UINT8")
    floats = client("float").predict(
        feed={"inputs": numpy.zeros((2, 3, 64, 64), numpy.float32)}, fetch=["prediction"], batch=True)
    check(floats["prediction"].shape == (2, expected.shape[1]), "a batch of tensors")

    # One client per thread: those that share one fail at times in the client itself.
    failures = []

    def work():
        own = client("text")
        for _ in range(20):
            if not same(own.predict(feed={"inputs": text}, fetch=["prediction"], batch=False)):
                failures.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failures, f"{len(failures)} of 80 requests of four threads failed")

    for way in ("proto", "json", "proto gzip", "json gzip", "grpc"):
        other = HttpClient()
        other.load_client_config(confs["text"])
        other.set_http_proto("json" not in way)
        other.set_use_grpc_client(way == "grpc")
        if "gzip" in way:
            other.set_request_compress(True)
            other.set_response_compress(True)
        other.connect([f"127.0.0.1:{port}"])
        told = other.predict(feed={"inputs": text}, fetch=["prediction"], batch=False)
        values = None
        if told is not None and not isinstance(told, dict):
            values = told.outputs[0].tensor[0].float_data
        elif told is not None:
            values = told["outputs"][0]["tensor"][0]["float_data"] if "outputs" in told else told["prediction"].ravel()
        check(values is not None and numpy.allclose(list(values), expected[0], atol=1e-6), f"HttpClient, {way}: {str(told)[:200]}")


if sys.argv[1] == "ask":
    ask(int(sys.argv[2]), sys.argv[3], sys.argv[4])
else:
    from server import Server

    tool, weights, picture, python, libraries = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, Server(tool, "--weights", weights, "--brpc-port", "0") as server:
        server.ready()
        told = subprocess.run(
            [python, __file__, "ask", str(server.brpc_port), picture, folder], stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "LD_LIBRARY_PATH": libraries}, timeout=300)
        if told.returncode != 0:
            raise SystemExit(told.stderr[-2000:])
    print("paddle-client: Paddle Serving's own client gets its answers over bRPC, HTTP and gRPC on one port")
