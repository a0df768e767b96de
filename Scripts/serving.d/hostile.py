"""Hostile requests beside good ones of each protocol: the server answers every good one, does not end, and does not grow.

usage: hostile.py TOOL WEIGHTS PICTURE SECONDS [OPTIONS of hgnet serve…]

With --max-connections all connections that the port of bRPC may have are taken beside: the good ones hold theirs.
"""

import gzip
import http.client
import json
import os
import random
import socket
import struct
import sys
import threading
import time
import zlib

import grpc
from brpc_client import SERVICE, Client, frame as message, outputs, request as model_request, tensor
from server import Server

tool, weights, picture, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
body = open(picture, "rb").read()
chance = random.Random(1)


def bomb():
    """A PNG of 30000 × 30000 pixels in a few hundred kilobytes, cut short: the size alone must be refused."""
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(30_000_000)))


BOMB = bomb()
# A hundred megabytes in a hundred kilobytes.
PACKED_BOMB = gzip.compress(bytes(100_000_000))


def connection(server, port=None):
    return socket.create_connection(("127.0.0.1", port or server.port), timeout=10)


def half_body(server):
    with connection(server) as peer:
        peer.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + body[:500])


def aborted(server):
    with connection(server) as peer:
        peer.sendall(f"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        # No farewell: the reset reaches the server while the picture waits.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def slow(server):
    with connection(server) as peer:
        for byte in b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nX: ":
            peer.sendall(bytes([byte]))
            time.sleep(0.02)


def slow_body(server):
    with connection(server) as peer:
        peer.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(20):
            peer.sendall(b"x")
            time.sleep(0.05)


def giant_header(server):
    with connection(server) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Large: " + b"x" * 1_000_000 + b"\r\n\r\n")
        peer.recv(1024)


def many_headers(server):
    with connection(server) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(20000)) + b"\r\n")
        peer.recv(1024)


def noise(server):
    with connection(server) as peer:
        peer.sendall(chance.randbytes(2000))
        peer.recv(1024)


def request(server, path, data, headers={}, method="POST"):
    peer = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        peer.request(method, path, data, headers)
        answer = peer.getresponse()
        return answer.status, answer.read()
    finally:
        peer.close()


def refused(server, path, data, headers={}, statuses=range(400, 500)):
    status, text = request(server, path, data, headers)
    assert status in statuses, f"{path}: expected a refusal, found {status}: {text[:200]}"


def wrong_json(server):
    path = "/v2/models/shapes/infer"
    deep = b"[" * 100_000
    for data in (
        b"", b"{", b"[]", b"{}", deep, b'{"inputs": 1}', b'{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3, 9999999999, 9999999999], "data": [1]}]}',
        b'{"inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 64, 64], "data": []}]}',
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["!!"]}]}',
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 99999999999}}]}',
    ):
        refused(server, path, data)
    refused(server, path, b"{}", {"Inference-Header-Content-Length": "-5"})
    refused(server, path, b"{}", {"Inference-Header-Content-Length": "5000"})
    good = json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1],
                                   "parameters": {"binary_data_size": len(body) + 4}}]}).encode()
    damaged = bytearray(good + struct.pack("<I", len(body)) + body)
    for _ in range(20):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    status, _ = request(server, path, bytes(damaged), {"Inference-Header-Content-Length": str(len(good))})
    assert status in (200, 400, 404, 413), status


def bombs(server):
    refused(server, "/v1/classify", BOMB)
    refused(server, "/v1/classify", PACKED_BOMB, {"Content-Encoding": "gzip"}, [413])
    refused(server, "/v1/classify", body[: chance.randrange(1, 200)])
    damaged = bytearray(body)
    for _ in range(30):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    status, _ = request(server, "/v1/classify", bytes(damaged))
    assert status in (200, 400, 413), status


def packed(server):
    whole = gzip.compress(body, 1)
    for data, coding in (
        (whole[:-4], "gzip"), (whole + b"x", "gzip"), (whole, "deflate"), (body, "gzip"), (b"", "gzip"),
        (chance.randbytes(500), "deflate"), (gzip.compress(chance.randbytes(500)), "gzip"),
    ):
        refused(server, "/v1/classify", data, {"Content-Encoding": coding}, [400])
    for coding in ("br", "gzip, gzip", "\xff"):
        refused(server, "/v1/classify", whole, {"Content-Encoding": coding}, [415])
    damaged = bytearray(whole)
    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    status, _ = request(server, "/v1/classify", bytes(damaged), {"Content-Encoding": "gzip"})
    # Bits of gzip's header that say nothing of the contents may change.
    assert status in (200, 400), status


def too_large(server):
    with connection(server) as peer:
        peer.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in peer.recv(1024)
    with connection(server) as peer:
        peer.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        block = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        try:
            for _ in range(64):
                peer.sendall(block)
        except OSError:
            pass


def forms(server):
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for data in (b"", b"--x", b"--x--", b"--x\r\n\r\n", b"--x\r\nA: b\r\n\r\n" + body, b"--x\r\n\r\n--x\r\n" * 3000):
        refused(server, "/v1/classify", data, kind)
    refused(server, "/v1/classify", body, {"Content-Type": "multipart/form-data"})


def paddle(server):
    for data in (b"", b"{}", b'{"key": ["image"], "value": ["!"]}'):
        status, text = request(server, "/shapes/prediction", data)
        assert (status, json.loads(text).get("err_no", 10000)) in ((200, 10000), (400, 10000)), text
    status, text = request(server, "/shapes/prediction", b'{"key": ["a", "b"], "value": []}')
    assert json.loads(text)["err_no"] == 8000, text
    assert json.loads(request(server, "/nope/prediction", b"{}")[1])["err_no"] == 3002


def paths(server):
    for path in ("/%zz", "/../../etc/passwd", "/v2/models/%00/infer", "/" + "a/" * 3000, "/v2/models//x"):
        status, _ = request(server, path, None, method="GET")
        assert 400 <= status < 500, (path, status)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def grpc_call(server, message, packing=None):
    """A call of ModelInfer in bytes, so that no client stands between."""
    literal = lambda name, value: b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b"te", b"trailers"),
              (b":path", b"/inference.GRPCInferenceService/ModelInfer"), (b"content-type", b"application/grpc")]
    if packing:
        fields.append((b"grpc-encoding", packing))
    data = bytes([packing is not None]) + struct.pack(">I", len(message)) + message
    parts = [data[start : start + 16_000] for start in range(0, len(data), 16_000)]
    with connection(server, server.grpc_port) as peer:
        peer.sendall(
            PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, b"".join(literal(*field) for field in fields))
            + b"".join(frame(0, place == len(parts) - 1, 1, part) for place, part in enumerate(parts)))
        peer.recv(4096)


def protobuf(server):
    grpc_call(server, chance.randbytes(chance.randrange(1, 3000)))


def grpc_packed(server):
    grpc_call(server, PACKED_BOMB[:48_000], b"gzip")
    grpc_call(server, chance.randbytes(chance.randrange(1, 3000)), chance.choice([b"gzip", b"deflate", b"br", b"identity"]))


def grpc_noise(server):
    with connection(server, server.grpc_port) as peer:
        peer.sendall((PREFACE if chance.random() < 0.5 else b"") + chance.randbytes(3000))
        peer.recv(4096)


def brpc_lies(server):
    """Frames that lie about every length."""
    good = bytearray(message(model_request(tensor([body]))))
    for place in (4, 8, chance.randrange(12, 120)):
        lying = bytearray(good)
        lying[place : place + 4] = struct.pack(">I", chance.choice([0, 1, 11, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))
        with connection(server, server.brpc_port) as peer:
            peer.settimeout(1)
            peer.sendall(bytes(lying))
            peer.recv(4096)


def brpc_noise(server):
    with connection(server, server.brpc_port) as peer:
        peer.sendall((b"PRPC" if chance.random() < 0.7 else b"") + chance.randbytes(3000))
        peer.recv(4096)


def brpc_flood(server):
    """Many requests at once of a client that reads nothing and vanishes."""
    with connection(server, server.brpc_port) as peer:
        peer.sendall(b"".join(message(model_request(tensor([body])), correlation=place) for place in range(200)))
        if chance.random() < 0.5:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def brpc_refused(server):
    client = Client(server.brpc_port, timeout=20)
    damaged = bytearray(body)
    for _ in range(30):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    for payload, packing, codes in (
        (model_request(tensor([BOMB])), 0, [1003]), (PACKED_BOMB, 2, [1003]), (zlib.compress(bytes(100_000_000)), 3, [1003]),
        (b"\x80\x80\x80\x80\x08" + bytes(20), 1, [1003]), (model_request(tensor([bytes(damaged)])), 0, [0, 1003]),
        (model_request(tensor(kind=1, shape=(1, 3, 1 << 30, 1 << 30), floats=[1.0])), 0, [1003]),
        (model_request(tensor(kind=7, shape=(1, 1 << 20, 1 << 20, 3), content=b"x")), 0, [1003]),
        (chance.randbytes(chance.randrange(1, 3000)), chance.choice([0, 1, 2, 3]), [1003]),
    ):
        _, code, text, _ = client.ask(payload, packing=packing)
        # A queue that is full says 2001.
        assert code in codes or code == 2001, f"{code} {text}"
    client.close()


def brpc_slow(server):
    with connection(server, server.brpc_port) as peer:
        for byte in message(model_request(tensor([body])))[:40]:
            peer.sendall(bytes([byte]))
            time.sleep(0.02)


def one_port(server):
    """Other protocols on the port of bRPC, and mistaken ones on every port."""
    port = chance.choice([server.brpc_port, server.brpc_port, server.port, server.grpc_port])
    for first in (message(model_request(tensor([body]))),b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", PREFACE + chance.randbytes(300), bytes([0x16, 3, 1]) + chance.randbytes(200),
                  b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + body[:500], b"P", b"SSH-2.0-x\r\n"):
        with connection(server, port) as peer:
            peer.settimeout(1)
            peer.sendall(first)
            if chance.random() < 0.5:
                peer.recv(4096)


HOSTILE = [brpc_lies, brpc_noise, brpc_flood, brpc_refused, brpc_slow, one_port, half_body, aborted, slow, slow_body, giant_header, many_headers, noise, wrong_json, bombs, too_large, forms,
           paddle, paths, packed, protobuf, grpc_packed, grpc_noise]
failures = []
counts = {"hostile": 0}


def attack(server, end):
    while time.time() < end and not failures:
        for act in chance.sample(HOSTILE, len(HOSTILE)):
            try:
                act(server)
            except (OSError, http.client.HTTPException):
                # The server may end such a connection as it likes.
                pass
            except Exception as error:
                failures.append(f"{act.__name__}: {error!r}")
                return
            counts["hostile"] += 1


class Good:
    """A client that asks again and again over one connection; a queue that is full says so, and then the request comes again."""

    def __init__(self, title):
        self.title = title
        self.count = 0
        self.expected = None

    def http(self, port):
        peer = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

        def ask():
            peer.request("POST", "/v1/classify", body)
            answer = peer.getresponse()
            text = json.loads(answer.read())
            if answer.status == 200:
                return text["predictions"][0]["classes"]
            return None if answer.status == 503 and "wait already" in str(text) else f"{answer.status} {text}"

        return ask

    def brpc(self, port):
        client = Client(port)
        payload = model_request(tensor([body]))

        def ask():
            _, code, text, answer = client.ask(payload)
            if code == 0:
                return outputs(answer)["prediction"]
            return None if code == 2001 and "wait already" in text else f"{code} {text}"

        return ask

    def grpc(self, port):
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        call = channel.unary_unary(f"/{SERVICE}/inference", lambda message: message, lambda message: message)
        payload = model_request(tensor([body]))

        def ask():
            try:
                return outputs(call(payload, timeout=30))["prediction"]
            except grpc.RpcError as error:
                return None if "wait already" in str(error.details()) else repr(error)

        return ask

    def begin(self, server):
        """Takes the connection."""
        name, place = self.title.split(" at ")
        port = {"bRPC": server.brpc_port, "HTTP": server.port, "gRPC": server.grpc_port}[place]
        self.ask = {"HTTP": self.http, "bRPC": self.brpc, "gRPC": self.grpc}[name](port)
        while self.expected is None:
            self.expected = self.ask()
            assert not isinstance(self.expected, str), self.expected

    def run(self, stop):
        while not stop.is_set() and not failures:
            try:
                found = self.ask()
                if found is None:
                    time.sleep(0.01)
                    continue
                if found != self.expected:
                    failures.append(f"a good request of {self.title}'s port: {found}")
                self.count += 1
            except Exception as error:
                failures.append(f"a good request of {self.title}'s port: {error!r}")


def fill(server, end, limit):
    """Takes all connections of the port of bRPC, silently or with a request that does not go on."""
    peers = []
    while time.time() < end and not failures:
        try:
            while len(peers) < limit:
                peer = connection(server, server.brpc_port)
                peer.sendall(chance.choice([b"", b"PR", b"GET / HT", message(b"")[:20]]))
                peer.settimeout(0)
                peers.append(peer)
        except OSError:
            pass
        for peer in list(peers):
            try:
                if peer.recv(100) == b"":
                    raise ConnectionError
            except BlockingIOError:
                pass
            except OSError:
                peer.close()
                peers.remove(peer)
        time.sleep(0.05)
    for peer in peers:
        peer.close()


with Server(tool, "--weights", weights, "--name", "shapes", "--idle-timeout", "3", "--brpc-port", "0", *sys.argv[5:]) as server:
    server.ready()

    options = sys.argv[5:]
    limit = int(options[options.index("--max-connections") + 1]) if "--max-connections" in options else 0
    clients = [Good(title) for title in ("HTTP at HTTP", "HTTP at bRPC", "bRPC at bRPC", "gRPC at bRPC", "gRPC at gRPC")]
    for client in clients:
        client.begin(server)

    def run(seconds):
        end = time.time() + seconds
        hostile = [threading.Thread(target=attack, args=(server, end)) for _ in range(4)]
        if limit:
            hostile.append(threading.Thread(target=fill, args=(server, end, limit)))
        for thread in hostile:
            thread.start()
        for thread in hostile:
            thread.join()

    # They ask without a pause, so that their connections are never idle.
    stop = threading.Event()
    asking = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in asking:
        thread.start()
    # Buffers find their size first.
    run(seconds / 2)
    first = server.resident_bytes
    run(seconds / 2)
    last = server.resident_bytes
    stop.set()
    for thread in asking:
        thread.join()
    if server.process.poll() is not None:
        failures.append("the server has ended")
    if last > first * 1.3 + (16 << 20):
        failures.append(f"memory grows: {first >> 20} MiB, then {last >> 20} MiB")
    if failures:
        raise SystemExit("hostile: " + "; ".join(failures[:5]) + "\n" + "\n".join(server.lines[-5:]))
told = ", ".join(f"{client.count} of {client.title}" for client in clients)
print(f"hostile: {sum(client.count for client in clients)} good requests answered ({told}) beside {counts['hostile']} hostile ones; "
      f"{first >> 20} MiB, then {last >> 20} MiB")
