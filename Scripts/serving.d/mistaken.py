"""Clients at the wrong port, as real ones see it, and more connections than the process has descriptors for.

usage: mistaken.py TOOL WEIGHTS PICTURE      needs curl and openssl
"""

import resource
import socket
import subprocess
import sys
import time
import urllib.request

import grpc
from brpc_client import Client, request, tensor
from server import Server

tool, weights, picture = sys.argv[1:]
body = open(picture, "rb").read()
MESSAGE = request(tensor([body]))


def check(condition, what):
    if not condition:
        raise SystemExit(f"mistaken: {what}")


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


with Server(tool, "--weights", weights, "--brpc-port", "0") as server:
    server.ready()
    told = run("curl", "--silent", "--show-error", "--write-out", "%{http_code}", "--data-binary", f"@{picture}",
               f"http://127.0.0.1:{server.grpc_port}/v1/classify").stdout
    check(told == f"this port is for gRPC; HTTP is on port {server.port}\n400", f"curl at gRPC's port: {told}")
    for port in (server.port, server.grpc_port, server.brpc_port):
        told = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}").stderr
        check("alert handshake failure" in told, f"openssl at port {port}: {told}")
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            channel.unary_unary("/inference.GRPCInferenceService/ServerLive", lambda it: it, lambda it: it)(b"", timeout=10)
        check(False, "gRPC at HTTP's port has an answer")
    except grpc.RpcError as error:
        check(error.code() == grpc.StatusCode.UNAVAILABLE, f"gRPC at HTTP's port: {error}")
    _, code, told, _ = Client(server.port).ask(MESSAGE)
    check(code == 1003 and told.endswith(f"bRPC is on port {server.brpc_port}"), f"bRPC at HTTP's port: {told}")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(b"GET\r\n\r\n")
        check(peer.recv(1000).startswith(b"HTTP/1.1 400 "), "a bare GET")
    server.wait(lambda: len(server.requests()) >= 7, 5)
    found = [line.get("found") for line in server.requests()]
    check(len(found) >= 7 and found.count("tls") == 3 and "http2" in found and "brpc" in found, f"the log: {server.requests()}")

# As many connections as the process can hold, and more: the server stays, and goes on when they have gone.
limit = 64


def few():
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


with Server(tool, "--weights", weights, "--brpc-port", "0", preexec_fn=few) as server:
    server.ready()
    peers = []
    for port in (server.port, server.grpc_port, server.brpc_port):
        for _ in range(limit):
            try:
                peers.append(socket.create_connection(("127.0.0.1", port), timeout=1))
            except OSError:
                break
    time.sleep(2)
    check(server.process.poll() is None, "the server ended for want of descriptors")
    for peer in peers:
        peer.close()
    time.sleep(1)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=30) as answer:
        check(answer.read() == b"OK", "HTTP after many connections")
    check(Client(server.brpc_port).ask(MESSAGE)[1] == 0, "bRPC after many connections")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        channel.unary_unary("/inference.GRPCInferenceService/ServerLive", lambda it: it, lambda it: it)(b"", timeout=30)
    check(any("no connection can be taken" in line for line in server.lines), "what was the matter is in the log")
print("mistaken: clients at the wrong port are told the right one, and a server without descriptors goes on")
