"""One body over every protocol and every port: the same probabilities, one count and one line in the log each; then what
bRPC's own ways ask for: several requests in flight, packed ones, refusals that keep the connection, clients that leave,
the end under load.

usage: protocols.py TOOL WEIGHTS PICTURE
"""

import base64
import gzip
import http.client
import json
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib

import cramjam
import grpc
import tritonclient.grpc
from brpc_client import SERVICE, Client, data, fields, frame, outputs, request, tensor
from server import Server

tool, weights, picture = sys.argv[1:]
body = open(picture, "rb").read()
text = base64.b64encode(body)


def check(condition, what):
    if not condition:
        raise SystemExit(f"protocols: {what}")


def post(port, path, content, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, named)) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def close(one, other):
    return len(one) == len(other) and all(abs(a - b) < 1e-6 for a, b in zip(one, other))


MESSAGE = request(tensor([text]))


def over_inference(port):
    asked = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [text.decode()]}],
             "outputs": [{"name": "probabilities"}]}
    status, _, told = post(port, "/v2/models/shapes/infer", json.dumps(asked).encode())
    check(status == 200, told)
    return json.loads(told)["outputs"][0]["data"]


def over_json(port):
    asked = {"tensor": [{"data": [text.decode()], "elem_type": 20, "shape": [1]}], "fetch_var_names": ["prediction"]}
    status, head, told = post(port, "/GeneralModelService/inference", json.dumps(asked).encode(), Content_Type="application/json")
    check(status == 200 and head["Content-Type"] == "application/json", told)
    return json.loads(told)["outputs"][0]["tensor"][0]["float_data"]


def over_message(port):
    status, head, told = post(port, f"/{SERVICE}/inference", gzip.compress(MESSAGE), Content_Type="application/proto",
                                Content_Encoding="gzip", Accept_Encoding="gzip")
    check(status == 200 and head["Content-Type"] == "application/proto", told)
    if head["Content-Encoding"] == "gzip":
        told = gzip.decompress(told)
    return outputs(told)["prediction"]


def over_grpc(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/{SERVICE}/inference", lambda message: message, lambda message: message)
        return outputs(call(MESSAGE, timeout=30))["prediction"]


def over_brpc(port):
    client = Client(port)
    _, code, told, payload = client.ask(MESSAGE)
    check(code == 0, told)
    client.close()
    return outputs(payload)["prediction"]


def pipeline_http(port):
    status, _, told = post(port, "/imagenet/anything", json.dumps({"key": ["image"], "value": [text.decode()]}).encode())
    told = json.loads(told)
    check(status == 200 and told["err_no"] == 0, told)
    return [float(told["value"][1][1:-1])]


def pipeline_grpc(port):
    """The other form of the pipeline: a text in field 3."""
    asked = data(3, data(9, text) + bytes([20 << 3 & 0x7F | 0x80, 1, 12]) + data(23, b"image"))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            "/baidu.paddle_serving.pipeline_serving.PipelineService/inference", lambda message: message, lambda message: message)
        values = [value.decode() for field, value in fields(call(asked, timeout=30)) if field == 4]
    return [float(values[1][1:-1])]


with Server(tool, "--weights", weights, "--name", "shapes", "--brpc-port", "0", "--max-body", "4",
            "--idle-timeout", "2", "--max-client-requests", "100") as server:
    server.ready()
    port = server.brpc_port
    expected = over_inference(server.port)
    ways = [(over_inference, "http", [server.port, port]), (over_json, "http", [server.port, port]),
            (over_message, "http", [server.port, port]), (over_grpc, "grpc", [server.grpc_port, port]),
            (over_brpc, "brpc", [port]), (pipeline_http, "http", [server.port, port]),
            (pipeline_grpc, "grpc", [server.grpc_port, port])]
    for way, protocol, ports in ways:
        for one in ports:
            before = len(server.requests())
            found = way(one)
            check(close(found, expected) or (len(found) == 1 and abs(found[0] - max(expected)) < 1e-6), f"{way.__name__}: {found}")
            server.wait(lambda: len(server.requests()) > before, 5)
            lines = server.requests()[before:]
            check(len(lines) == 1 and lines[0]["protocol"] == protocol and lines[0]["outcome"] == "ok", f"{way.__name__}: {lines}")

    # Control calls over gRPC are counted and logged, too.
    before = len(server.requests())
    tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}").get_server_metadata()
    server.wait(lambda: len(server.requests()) > before, 5)
    check(server.requests()[-1]["method"] == "ServerMetadata", "control calls over gRPC")

    # Pictures as bytes, pixels by name, packed, with an attachment, in pieces, with foreign fields.
    client = Client(port)
    for payload, options in [
        (request(tensor([body]), fetched=()), {}), (request(tensor(kind=7, shape=(len(body),), content=body)), {}),
        (gzip.compress(MESSAGE), {"packing": 2}), (zlib.compress(MESSAGE), {"packing": 3}),
        (MESSAGE, {"attachment": b"x" * 1000}), (MESSAGE, {"service": "GeneralModelService", "method": "debug"}),
        (MESSAGE, {"correlation": -3}), (MESSAGE, {"extra": data(1000, b"later")}),
    ]:
        correlation, code, told, answer = client.ask(payload, **options)
        check(code == 0 and close(next(iter(outputs(answer).values())), expected), f"{options}: {code} {told}")
        check(correlation == options.get("correlation", 1) % (1 << 64), correlation)
    # Answers are packed as their requests were, if there is something to gain.
    large = request(tensor([text]), fetched=[f"output-{place}" for place in range(12)])
    for packing, pack in [(0, bytes), (1, lambda it: bytes(cramjam.snappy.compress_raw(it))), (2, gzip.compress), (3, zlib.compress)]:
        _, code, told, answer = client.ask(pack(large), packing=packing)
        check(code == 0 and client.packing == packing, f"packed by {packing}: {code} {told}, the answer by {client.packing}")
        check(all(close(values, expected) for values in outputs(answer).values()) and len(outputs(answer)) == 12, f"packed by {packing}")
        client.ask(pack(MESSAGE), packing=packing)
        check(client.packing == 0, "a short answer that is packed")
    for byte in frame(MESSAGE)[:200]:
        client.send(bytes([byte]))
    client.send(frame(MESSAGE)[200:])
    check(client.receive()[1] == 0, "a message in pieces")

    # Refusals, after each of which the connection goes on.
    for message, code in [
        (frame(request(tensor([b"!"]))), 1003), (frame(MESSAGE, service="a.b.Nothing"), 1002),
        (frame(MESSAGE, service="Nothing"), 1001), (frame(MESSAGE, method="nonsense"), 1002),
        (frame(b"\xff\xff\xff\xffgarbage"), 1003), (frame(MESSAGE, packing=2), 1003), (frame(MESSAGE, packing=9), 1003),
        (frame(gzip.compress(bytes(50_000_000)), packing=2), 1003), (frame(bytes(5 << 20)), 1003), (frame(b""), 1003),
    ]:
        client.send(message)
        _, found, told, payload = client.receive()
        check(found == code and told and not payload, f"expected {code}, found {found} {told}")
        check(client.ask(MESSAGE)[1] == 0, "the connection ended with a refusal")
    # A meta longer than its body: skipped without an answer, as servers of bRPC do.
    client.send(b"PRPC" + (8).to_bytes(4, "big") + (9).to_bytes(4, "big") + bytes(8) + frame(MESSAGE, correlation=77))
    check(client.receive()[:2] == (77, 0), "after a meta longer than its body")

    # Ninety requests at once on one connection; all come back.
    client.send(b"".join(frame(MESSAGE, correlation=place) for place in range(90)))
    told = [client.receive() for _ in range(90)]
    check(sorted(one[0] for one in told) == list(range(90)) and all(one[1] == 0 for one in told), "ninety at once")

    # What makes no sense ends the connection at once; who only waits, or sends slowly, is sent away after a while.
    for wrong in [b"XRPC" + bytes(20), b"PRPC" + bytes([0, 255, 255, 255] * 2) + bytes(40), frame(b"")[:12] + b"\xff" * 200]:
        peer = Client(port)
        peer.send(wrong)
        check(peer.socket.recv(10) == b"", f"{wrong[:12]}: expected the end of the connection")
    for begun in [b"", b"PR", frame(MESSAGE)[:100]]:
        peer = Client(port)
        peer.send(begun)
        started = time.time()
        check(peer.socket.recv(10) == b"" and 1 < time.time() - started < 8, f"{begun[:4]}: a slow client stays")
    peer = Client(port)
    peer.send(bytes([0x16, 3, 1, 2, 0, 1]) + bytes(60))
    check(peer.socket.recv(10) == bytes([0x15, 3, 1, 0, 2, 2, 0x28]), "TLS is answered with an alert")

    # Who leaves takes its requests along.
    before = len(server.requests())
    peer = Client(port)
    peer.send(b"".join(frame(MESSAGE, correlation=place) for place in range(60)))
    time.sleep(0.02)
    peer.close()
    server.wait(lambda: len(server.requests()) >= before + 30, 20)
    time.sleep(0.5)
    outcomes = [line["outcome"] for line in server.requests()[before:]]
    check(outcomes.count("cancelled") > 5, f"a client that leaves: {outcomes}")

    # More than a client may have in flight: refused, not queued.
    peers = [Client(port) for _ in range(3)]
    for peer in peers:
        peer.send(b"".join(frame(MESSAGE, correlation=place) for place in range(60)))
    codes = [peer.receive()[1] for peer in peers for _ in range(60)]
    check(set(codes) <= {0, 2001} and codes.count(0) >= 50, f"a limit per client: {codes}")

    # HTTP: a body that cannot be unpacked is refused, counted and logged, and the connection goes on.
    peer = http.client.HTTPConnection("127.0.0.1", server.port)
    for _ in range(3):
        before = len(server.requests())
        peer.request("POST", "/v1/classify", b"no gzip", {"Content-Encoding": "gzip", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
        answer = peer.getresponse()
        answer.read()
        check(answer.status == 400 and answer.getheader("Connection") != "close", "a refused body ends the connection")
        server.wait(lambda: len(server.requests()) > before, 5)
        line = server.requests()[-1]
        check(line["outcome"] == "invalidRequest" and line["trace"] == "a" * 32, f"a refused body: {line}")
    peer.request("GET", "/health")
    check(peer.getresponse().read() == b"OK", "/health")

# The end under load: what has begun is answered, what comes later is refused with 2003 or finds nobody.
with Server(tool, "--weights", weights, "--name", "shapes", "--brpc-port", "0") as server:
    server.ready()
    answered, refused, lost = [], [], []

    def load():
        client = Client(server.brpc_port)
        while True:
            try:
                client.send(frame(MESSAGE))
            except OSError:
                return
            try:
                _, code, told, _ = client.receive()
            except ConnectionError as error:
                lost.append(repr(error))
                return
            if code == 2003:
                refused.append(told)
                return
            if code != 0:
                lost.append(f"{code} {told}")
                return
            answered.append(1)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    server.stop()
    for thread in threads:
        thread.join()
    check(not lost and len(refused) == 8 and len(answered) > 8, f"the end: {len(answered)} answered, {len(refused)} refused, lost {lost}")
    check(server.process.returncode == 0, f"ended with {server.process.returncode}")

print("protocols: every protocol tells the same over every port, bRPC's refusals and end are as they should be")
