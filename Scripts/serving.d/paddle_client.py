"""Paddle Serving's own client against a server; see paddle-client, which installs it.

usage: paddle_client.py TOOL WEIGHTS PICTURE PYTHON LIBRARIES     starts a server and this file again under PYTHON
       paddle_client.py ask PORT GRPC_PORT PICTURE FOLDER         asks the server; FOLDER/export is its exported model
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


def ask(port, grpc_port, picture, folder):
    import google.protobuf.text_format
    import numpy
    from paddle_serving_client import Client, HttpClient
    from paddle_serving_client.client import SDKConfig
    from paddle_serving_client.proto import general_model_config_pb2
    from paddle_serving_server.pipeline import PipelineClient

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

    # The library with other protocols of bRPC; only the description given to it is changed.
    describe = SDKConfig.gen_desc
    for protocol, connection in [("baidu_std", "single"), ("http", "pooled"), ("http", "short"), ("h2:grpc", "single")]:

        def described(self, timeout):
            made = describe(self, timeout)
            made.default_variant_conf.rpc_parameter.protocol = protocol
            made.default_variant_conf.connection_conf.connection_type = connection
            return made

        SDKConfig.gen_desc = described
        other = client("text")
        for _ in range(3):
            told = other.predict(feed={"inputs": text}, fetch=["prediction"], batch=False)
            # HTTP and gRPC carry the message as bRPC does.
            check(same(told), f"{protocol}, {connection}: {told}")
        check(other.predict(feed={"inputs": "!"}, fetch=["prediction"], batch=False) is None, f"{protocol}: a refusal")
        check(same(other.predict(feed={"inputs": text}, fetch=["prediction"], batch=False)), f"{protocol}: after a refusal")
    SDKConfig.gen_desc = describe

    # What hgnet export writes beside a model: both forms say the same, and the client uses it.
    for side in ("client", "server"):
        path = os.path.join(folder, "export", f"serving_{side}", f"serving_{side}_conf")
        written, message = general_model_config_pb2.GeneralModelConfig(), general_model_config_pb2.GeneralModelConfig()
        plain = open(path + ".prototxt").read()
        google.protobuf.text_format.Merge(plain, written)
        stream = open(path + ".stream.prototxt", "rb").read()
        message.ParseFromString(stream)
        check(written == message and written.SerializeToString() == stream and str(written) == plain, f"{path}: {message}")
    exported = Client()
    exported.load_client_config(os.path.join(folder, "export", "serving_client"))
    exported.connect([f"127.0.0.1:{port}"])
    shape, name = list(written.feed_var[0].shape), written.fetch_var[0].alias_name
    told = exported.predict(feed={"x": numpy.zeros([2] + shape, numpy.float32)}, fetch=[name], batch=True)
    check(told is not None and told[name].shape == (2, expected.shape[1]), f"the exported description: {told}")

    # The pipeline's client, with a picture as a text and as a tensor.
    pipeline = PipelineClient()
    pipeline.connect([f"127.0.0.1:{grpc_port}"])
    for options in ({}, {"pack_tensor_format": True}, {"profile": True}):
        told = pipeline.predict(feed_dict={"image": text}, fetch=["label", "prob"], **options)
        check(told.err_no == 0 and abs(float(told.value[1][1:-1]) - expected.max()) < 1e-6, f"PipelineClient, {options}: {told}")

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


def demonstrations(tool, weights, python, environment, folder):
    """Runs PaddleClas' scripts in its folder's stead, as its pages say."""
    sources = os.path.join(os.environ["PADDLECLAS"], "deploy", "paddleserving")
    place = os.path.join(folder, "demonstration")
    shutil.copytree(sources, place, symlinks=True)
    os.makedirs(os.path.join(place, "ResNet50_client"))
    with open(os.path.join(place, "ResNet50_client", "serving_client_conf.prototxt"), "w") as file:
        file.write(PICTURE % (20, "1"))
    with Server(tool, "--weights", weights, "--port", "18080", "--grpc-port", "9993", "--brpc-port", "9292") as server:
        server.ready()
        for script, expected in [("test_cpp_serving_client.py", "prediction: "), ("pipeline_http_client.py", "'err_no': 0"),
                                 ("pipeline_rpc_client.py", "err_no: 0")]:
            told = subprocess.run([python, script], cwd=place, capture_output=True, text=True, env=environment, timeout=120)
            # A message without an error leaves the number out.
            found = expected in told.stdout or (script.startswith("pipeline_rpc") and "key: \"prob\"" in told.stdout and "err_no" not in told.stdout)
            check(told.returncode == 0 and found, f"{script}: {told.stdout[-500:]} {told.stderr[-1500:]}")
            print(f"paddle-client: {script}: {told.stdout.splitlines()[0][:100]}")


if sys.argv[1] == "ask":
    ask(*sys.argv[2:])
else:
    import shutil

    from server import Server

    tool, weights, picture, python, libraries = sys.argv[1:]
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [tool, "export", "--weights", weights, "--format", "paddle", "--serving", "--output", os.path.join(folder, "export")],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with Server(tool, "--weights", weights, "--brpc-port", "0") as server:
            server.ready()
            told = subprocess.run(
                [python, __file__, "ask", str(server.brpc_port), str(server.grpc_port), picture, folder],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, timeout=300)
            if told.returncode != 0:
                raise SystemExit(told.stderr[-3000:])
        if os.environ.get("PADDLECLAS"):
            demonstrations(tool, weights, os.path.abspath(python), {**environment, "LD_LIBRARY_PATH": ":".join(map(os.path.abspath, libraries.split(":")))}, folder)
    print("paddle-client: Paddle Serving's own client gets its answers over bRPC, HTTP and gRPC on one port, and its pipeline's")
