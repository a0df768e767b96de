"""Starts and stops `hgnet serve` for the checks."""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request


class Server:
    """A server on free ports of this machine's own address; `lines` holds what it has logged."""

    def __init__(self, tool, *options, launcher=(), pass_fds=(), preexec_fn=None):
        """`launcher` is a command that starts another; `pass_fds` are sockets for it."""
        command = [*launcher, tool, "serve", "--port", "0", "--grpc-port", "0", "--log-format", "json", *options]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, pass_fds=[one.fileno() for one in pass_fds], preexec_fn=preexec_fn)
        self.lines = []
        self.port = self.grpc_port = self.brpc_port = None
        self._wants_brpc = "--brpc-port" in options or len(pass_fds) == 3
        self._seen = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait(lambda: self.port and self.grpc_port and (self.brpc_port or not self._wants_brpc))

    def _read(self):
        for line in self.process.stderr:
            with self._seen:
                self.lines.append(line.rstrip())
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if entry["message"] == "listening":
                    port = int(entry["port"])
                    if entry["protocol"].startswith("http"):
                        self.port = port
                    elif entry["protocol"] == "brpc":
                        self.brpc_port = port
                    else:
                        self.grpc_port = port
                self._seen.notify_all()

    def requests(self):
        """The entries of the log about requests, without those that ask whether the server is ready."""
        with self._seen:
            entries = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [one for one in entries if one["message"] == "request" and one.get("path") != "/v2/health/ready"]

    def wait(self, condition, seconds=60):
        """Waits for the log to bring something about."""
        end = time.time() + seconds
        with self._seen:
            while not condition():
                if self.process.poll() is not None or not self._seen.wait(max(0.01, end - time.time())):
                    raise SystemExit("what was waited for did not come:\n" + "\n".join(self.lines[-20:]))

    def ready(self, seconds=60):
        """Waits until the server says that it is ready."""
        end = time.time() + seconds
        while time.time() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=5)
                return self
            except OSError:
                time.sleep(0.05)
        raise SystemExit("the server is not ready:\n" + "\n".join(self.lines[-20:]))

    @property
    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self, seconds=60):
        """Ends the server as an operator does, and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("the server did not end")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()
