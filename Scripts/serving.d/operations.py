"""What an operator relies on: drain and reload under load lose no request, overload is refused at once, deadlines are
kept, tokens and TLS, readiness, metrics.

usage: operations.py TOOL WEIGHTS OTHER_WEIGHTS PICTURE
"""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import numpy
import tritonclient.grpc
from server import Server

tool, weights, other, picture = sys.argv[1:]
body = open(picture, "rb").read()


def check(condition, text):
    if not condition:
        raise SystemExit(f"operations: {text}")


def get(server, path, data=None, headers={}, scheme="http", context=None):
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{server.port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


class Load:
    """Clients that keep their connections as long as the server lets them; every answer is kept."""

    def __init__(self, server, clients=8, path="/v1/classify"):
        self.answers = []
        self.failures = []
        self.stopped = threading.Event()
        self.server, self.path = server, path
        self.threads = [threading.Thread(target=self._client) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _client(self):
        peer = None
        while not self.stopped.is_set():
            try:
                if peer is None:
                    peer = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
                    peer.connect()
            except OSError:
                # Nobody listens any more: nothing was sent, nothing is lost.
                return
            try:
                peer.request("POST", self.path, body)
                answer = peer.getresponse()
                text = answer.read()
                self.answers.append((answer.status, text))
                if answer.getheader("Connection") == "close":
                    peer.close()
                    peer = None
            except Exception as error:
                self.failures.append(repr(error))
                return

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        return self


def best(text):
    return json.loads(text)["predictions"][0]["classes"][0]["score"]


# SIGTERM under load.
with Server(tool, "--weights", weights, "--name", "shapes") as server:
    server.ready()
    load = Load(server)
    time.sleep(1)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    time.sleep(0.5)
    status, _, text = get(server, "/v2/health/ready")
    check(status == 503, f"ready while draining: {status}")
    check(get(server, "/v2/health/live")[0] == 200, "not live while draining")
    stopper.join()
    load.stop()
    check(server.process.returncode == 0, f"ended with {server.process.returncode}")
    check(not load.failures, f"lost while draining: {load.failures[:3]}")
    check(all(status == 200 for status, _ in load.answers), "refused while draining")
    drained = len(load.answers)

# The same over gRPC: what a client has begun is answered; only then is it told that nobody listens.
with Server(tool, "--weights", weights, "--name", "shapes") as server:
    server.ready()
    ends, answered = [], []

    def call():
        client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
        given = tritonclient.grpc.InferInput("image", [1], "BYTES")
        given.set_data_from_numpy(numpy.array([body], dtype=numpy.object_))
        while True:
            try:
                client.infer("shapes", [given])
                answered.append(1)
            except tritonclient.utils.InferenceServerException as error:
                ends.append(error.message())
                return

    clients = [threading.Thread(target=call) for _ in range(8)]
    for client in clients:
        client.start()
    time.sleep(1)
    server.stop()
    for client in clients:
        client.join()
    check(len(answered) > 8 and all("connect" in end for end in ends), f"lost while draining gRPC: {ends}")
    drained += len(answered)

# A folder of models: a model is replaced, breaks, is mended, comes and goes while requests run.
with tempfile.TemporaryDirectory() as folder:
    version = f"{folder}/shapes/1"
    os.makedirs(version)

    def place(source, target, extras=True):
        shutil.copy(source, target + ".new")
        os.replace(target + ".new", target)

    place(weights, f"{version}/model.pdparams")
    with Server(tool, "--repository", folder, "--poll", "1") as server:
        server.ready()
        load = Load(server)
        time.sleep(1)
        place(other, f"{version}/model.pdparams")
        time.sleep(3)
        place(picture, f"{version}/model.pdparams")
        time.sleep(3)
        entry = json.loads(get(server, "/v2/repository/index", b"")[2])[0]
        check(entry["state"] == "READY" and entry["reason"], f"a broken replacement: {entry}")
        place(weights, f"{version}/model.pdparams")
        os.makedirs(f"{folder}/shapes/2")
        place(other, f"{folder}/shapes/2/model.pdparams")
        os.makedirs(f"{folder}/second/1")
        place(other, f"{folder}/second/1/model.pdparams")
        time.sleep(4)
        check(get(server, "/v2/models/shapes/versions/2/ready")[0] == 200, "version 2 has not come")
        check(get(server, "/v2/models/second/ready")[0] == 200, "the second model has not come")
        check(json.loads(get(server, "/v2/models/shapes")[2])["versions"] == ["1", "2"], "versions")
        shutil.rmtree(f"{folder}/second")
        time.sleep(2.5)
        check(get(server, "/v2/models/second/ready")[0] == 404, "the second model has not gone")
        load.stop()
        scores = {best(text) for status, text in load.answers if status == 200}
        check(not load.failures, f"lost while reloading: {load.failures[:3]}")
        check(all(status == 200 for status, _ in load.answers), "refused while reloading")
        check(len(scores) == 2, f"expected the answers of two weights, found {scores}")
        reloaded = len(load.answers)

# Overload and deadlines.
with Server(tool, "--weights", weights, "--name", "shapes", "--max-queue", "4", "--max-batch", "1") as server:
    server.ready()
    load = Load(server, clients=32)
    time.sleep(2)
    load.stop()
    statuses = {status for status, _ in load.answers}
    check(statuses <= {200, 503} and 503 in statuses, f"overload: {statuses}")
    check(not load.failures, f"overload: {load.failures[:3]}")
    check(get(server, "/v1/classify", body)[0] == 200, "nothing is answered after an overload")
    request = json.dumps({"inputs": [{"name": "input", "datatype": "FP32", "shape": [4, 3, 224, 224],
                                      "data": [0.0] * (4 * 3 * 224 * 224)}], "parameters": {"timeout": 1}}).encode()
    status, _, text = get(server, "/v2/models/shapes/infer", request)
    check(status == 504, f"a deadline: {status} {text[:200]}")
    text = get(server, "/metrics")[2].decode()
    for name in ("hgnet_ready 1", "hgnet_inference_requests_total", 'outcome="overloaded"', "hgnet_queue_pictures",
                 "hgnet_batch_pictures_bucket", "hgnet_request_seconds_bucket", 'stage="network"'):
        check(name in text, f"metrics: {name} is missing")

# No more connections over gRPC than are allowed: the next one is closed, and has room once another is gone.
with Server(tool, "--weights", weights, "--max-connections", "3") as server:
    server.ready()
    peers = [socket.create_connection(("127.0.0.1", server.grpc_port)) for _ in range(4)]
    for peer in peers:
        peer.settimeout(2)

    def is_open(peer):
        try:
            return peer.recv(64) != b""
        except ConnectionError:
            return False
        except TimeoutError:
            return True

    # The server begins with its settings, so that an open connection has something to read.
    check(sum(map(is_open, peers)) == 3, "gRPC connections beyond the limit")
    for peer in peers:
        peer.close()
    for _ in range(50):
        client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
        try:
            if client.is_server_ready():
                break
        except tritonclient.utils.InferenceServerException:
            pass
        time.sleep(0.1)
    else:
        check(False, "no gRPC connection after others have ended")

# A token and TLS, over both protocols.
with tempfile.TemporaryDirectory() as folder:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{folder}/key.pem", "-out",
         f"{folder}/certificate.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    with open(f"{folder}/token", "w") as file:
        file.write("a-secret\n")
    server = Server(tool, "--weights", weights, "--name", "shapes", "--token-file", f"{folder}/token",
                    "--tls-certificate", f"{folder}/certificate.pem", "--tls-key", f"{folder}/key.pem")
    with server:
        context = ssl.create_default_context(cafile=f"{folder}/certificate.pem")
        for _ in range(100):
            if get(server, "/v2/health/ready", scheme="https", context=context)[0] == 200:
                break
            time.sleep(0.1)
        ask = lambda headers: get(server, "/v1/classify", body, headers, "https", context)
        check(ask({})[0] == 401, "expected a refusal without a token")
        for wrong in ("Bearer a-secre", "Bearer a-secret2", "Bearer ", "a-secret", "Basic a-secret"):
            check(ask({"Authorization": wrong})[0] == 401, f"accepted {wrong}")
        check(ask({"Authorization": "Bearer a-secret"})[0] == 200, "refused the token")
        check(get(server, "/metrics", scheme="https", context=context)[0] == 401, "metrics without a token")
        client = tritonclient.grpc.InferenceServerClient(
            f"localhost:{server.grpc_port}", ssl=True, root_certificates=f"{folder}/certificate.pem")
        check(client.is_server_ready(), "gRPC over TLS")
        try:
            client.get_server_metadata()
            check(False, "gRPC without a token")
        except tritonclient.utils.InferenceServerException as error:
            check("UNAUTHENTICATED" in str(error.status()), f"gRPC without a token: {error}")
        client.get_server_metadata(headers={"authorization": "Bearer a-secret"})

# What cannot work ends at once, with a reason.
result = subprocess.run([tool, "serve", "--weights", picture, "--port", "0", "--no-grpc"], capture_output=True, text=True)
check(result.returncode == 65 and "found a picture" in result.stderr, f"a picture as weights: {result}")
with Server(tool, "--weights", weights) as server:
    result = subprocess.run(
        [tool, "serve", "--weights", weights, "--port", str(server.port), "--no-grpc"], capture_output=True, text=True)
    check(result.returncode == 64 and "whether the port is free" in result.stderr, f"a port in use: {result}")
print(f"operations: {drained} requests around a drain and {reloaded} around reloads, none lost")
