"""A load of one picture over bRPC and over HTTP with the same generator: requests a second, percentiles.

usage: load.py PORT BRPC_PORT PICTURE CLIENTS SECONDS [ROUNDS]

Each client has one connection and one request in flight. The rounds of the ways are interleaved; the medians are told.
compare runs it. Alone: hgnet serve --weights FILE --no-grpc --brpc-port 9292 --log-level warning & sleep 3
python3 Benchmarks/serving/load.py 8080 9292 photo.jpg 16 5
"""

import base64
import json
import pathlib
import selectors
import socket
import statistics
import struct
import sys
import time

sys.path.append(str(pathlib.Path(__file__).parents[2] / "Scripts/serving.d"))
from brpc_client import frame, request, tensor  # noqa: E402

port, brpc_port, picture, clients, seconds, *rest = sys.argv[1:]
body = open(picture, "rb").read()
text = base64.b64encode(body)


def post(path, content, kind):
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def http_size(data):
    """Bytes of the first whole answer, 0 for none yet."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = bytes(data[:end]).lower()
    if not head.startswith(b"http/1.1 200"):
        raise SystemExit(f"load: {head[:100]}")
    place = head.index(b"content-length:") + 15
    size = end + 4 + int(head[place:].split(b"\r\n")[0])
    return size if len(data) >= size else 0


def brpc_size(data):
    if len(data) < 12:
        return 0
    size, meta = struct.unpack(">II", data[4:12])
    if size + 12 > len(data):
        return 0
    if size == meta:
        raise SystemExit(f"load: {bytes(data)}")
    return size + 12


message = request(tensor([text]))
pipeline = json.dumps({"key": ["image"], "value": [text.decode()]}).encode()
general = json.dumps({"tensor": [{"data": [text.decode()], "elem_type": 20}], "fetch_var_names": ["prediction"]}).encode()
WAYS = {
    "brpc, base64": (int(brpc_port), frame(message), brpc_size),
    "http, base64 (pipeline)": (int(port), post("/imagenet/prediction", pipeline, "application/json"), http_size),
    "http, base64 (GeneralModelService)": (int(port), post("/GeneralModelService/inference", general, "application/json"), http_size),
    "brpc, bytes": (int(brpc_port), frame(request(tensor([body]))), brpc_size),
    "http, bytes (/v1/classify)": (int(port), post("/v1/classify", body, "image/jpeg"), http_size),
}


class Peer:
    def __init__(self, port, asked, size):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.asked, self.size, self.data = asked, size, bytearray()

    def ask(self):
        self.started = time.perf_counter()
        self.socket.sendall(self.asked)

    def read(self):
        """Whether the answer is whole."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise SystemExit("load: the server has closed the connection")
        self.data += part
        size = self.size(self.data)
        if size:
            del self.data[:size]
        return size > 0


def measure(way):
    times = []
    with selectors.DefaultSelector() as selector:
        peers = [Peer(*WAYS[way]) for _ in range(int(clients))]
        for peer in peers:
            selector.register(peer.socket, selectors.EVENT_READ, peer)
            peer.ask()
        started = time.perf_counter()
        end = started + float(seconds)
        while time.perf_counter() < end:
            for key, _ in selector.select(1):
                if key.data.read():
                    times.append(time.perf_counter() - key.data.started)
                    key.data.ask()
        taken = time.perf_counter() - started
        for peer in peers:
            peer.socket.close()
    times.sort()
    return len(times) / taken, times[len(times) // 2] * 1e3, times[int(len(times) * 0.99)] * 1e3


found = {way: [] for way in WAYS}
for _ in range(int(rest[0]) if rest else 3):
    for way in WAYS:
        found[way].append(measure(way))
for way, rows in found.items():
    rate, middle, high = (statistics.median(column) for column in zip(*rows))
    print(f"{way}: {rate:.1f} requests a second, p50 {middle:.2f} ms, p99 {high:.2f} ms")
