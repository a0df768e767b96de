"""systemd's part, played by launch.py: sockets that are handed over, READY=1, the watchdog, and the end.

usage: activation.py TOOL WEIGHTS PICTURE
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
from brpc_client import SERVICE, Client, outputs, request, tensor
from server import Server

tool, weights, picture = sys.argv[1:]
body = open(picture, "rb").read()
MESSAGE = request(tensor([body]))
LAUNCH = str(pathlib.Path(__file__).parent / "launch.py")


def check(condition, what):
    if not condition:
        raise SystemExit(f"activation: {what}")


def listener():
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(128)
    made.set_inheritable(True)
    return made


def launcher(names, sockets):
    return [sys.executable, LAUNCH, names, ":".join(str(one.fileno()) for one in sockets)]


def port(one):
    return one.getsockname()[1]


# READY=1, the watchdog, the end.
folder = os.environ.get("TMPDIR", "/tmp")
path = os.path.join(folder, f"notify-{os.getpid()}")
notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notices.bind(path)
notices.settimeout(20)
os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"] = path, "400000"
try:
    with Server(tool, "--weights", weights) as server:
        server.ready()
        seen = set()
        while seen < {b"READY=1", b"WATCHDOG=1"}:
            seen.add(notices.recv(100))
        server.stop()
        while b"STOPPING=1" not in seen:
            seen.add(notices.recv(100))
finally:
    del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
    os.remove(path)

# Three sockets: each protocol on its own, whatever the options say.
sockets = [listener() for _ in range(3)]
brpc, http, rpc = sockets
# Who comes before the server waits for it.
early = socket.create_connection(("127.0.0.1", port(http)), timeout=60)
early.sendall(f"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
with Server(tool, "--weights", weights, launcher=launcher("brpc:http:grpc", sockets), pass_fds=sockets) as server:
    check((server.port, server.grpc_port, server.brpc_port) == (port(http), port(rpc), port(brpc)), "the ports of the sockets")
    server.ready()
    check(b" 200 " in early.recv(100), "a request from before the start")
    code, *_ = [Client(port(brpc)).ask(MESSAGE)[1]]
    check(code == 0, "bRPC")
    with grpc.insecure_channel(f"127.0.0.1:{port(rpc)}") as channel:
        call = channel.unary_unary(f"/{SERVICE}/inference", lambda message: message, lambda message: message)
        check(len(outputs(call(MESSAGE, timeout=30))["prediction"]) > 1, "gRPC")
    with urllib.request.urlopen(f"http://127.0.0.1:{port(brpc)}/health") as answer:
        check(answer.read() == b"OK", "HTTP on the port of bRPC")

# A socket without a name of ours is that of HTTP; and a server that follows another on it loses no request.
one = listener()
answered, lost = [], []
stop = threading.Event()


def load():
    while not stop.is_set():
        try:
            asked = urllib.request.Request(f"http://127.0.0.1:{port(one)}/v1/classify", body)
            with urllib.request.urlopen(asked, timeout=60) as answer:
                answered.append(json.load(answer)["predictions"][0]["classes"][0]["index"])
        except Exception as error:
            lost.append(repr(error))


threads = [threading.Thread(target=load) for _ in range(4)]
for thread in threads:
    thread.start()
counts = []
for _ in range(3):
    with Server(tool, "--weights", weights, launcher=launcher("hgnet.socket", [one]), pass_fds=[one]) as server:
        server.ready()
        time.sleep(0.5)
    check(server.process.returncode == 0, f"ended with {server.process.returncode}")
    counts.append(len(answered))
# The last ones, which wait for a server.
with Server(tool, "--weights", weights, launcher=launcher("hgnet.socket", [one]), pass_fds=[one]) as server:
    server.ready()
    stop.set()
    for thread in threads:
        thread.join()
check(not lost and counts[0] < counts[1] < counts[2] and len(set(answered)) == 1, f"three servers on one socket: {counts}, lost {lost[:3]}")

# What does not fit is told.
for names, handed, options in [("http:other", sockets[:2], []), ("http:http", sockets[:2], []), ("grpc", [rpc], ["--no-grpc"])]:
    told = subprocess.run(
        [*launcher(names, handed), tool, "serve", "--weights", weights, "--port", "0", "--grpc-port", "0", *options],
        stderr=subprocess.PIPE, text=True, timeout=60, pass_fds=[one.fileno() for one in handed])
    check(told.returncode != 0 and ("LISTEN_FDNAMES" in told.stderr or "grpc" in told.stderr), f"{names}: {told.stderr}")
print(f"activation: sockets that are handed over, {len(answered)} requests over four servers on one socket, systemd's notices")
