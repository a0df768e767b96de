"""The engines that are compared, and how one of them is asked.

Each measurement is a process of its own: `hgnet` itself, or a script of workers/ for a peer.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np

import requirements
from machine import ROOT, commit

WORKERS = pathlib.Path(__file__).resolve().parent / "workers"
AS_IT_COMES = "-as-it-comes"  # ends the name of a peer that chooses its precision by itself
IN_HALVES = "-bfloat16"  # ends the name of an engine that was asked for bfloat16
IN_BYTES = "-int8"  # ends the name of an engine that computes with quantised weights
PATIENCE = 900  # seconds after which a process is given up; compiling the largest network takes minutes


class EngineError(Exception):
    """An engine gave no answer; the text says why, in one line."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is measured: one model with one batch, side and number of threads."""

    model: str
    batch: int
    side: int
    threads: int

    def __str__(self):
        return (f"{self.model}, batch {self.batch}, {self.side}x{self.side}, "
                f"{self.threads} thread{'' if self.threads == 1 else 's'}")


@dataclasses.dataclass
class Answer:
    """One measurement: milliseconds, bytes."""

    load: float
    milliseconds: list
    imports: int  # resident memory before the model was touched: interpreter and libraries
    peak: int
    logits: np.ndarray | None = None
    precision: str = "f32"  # the element type that the engine computes in


def call(command, threads):
    """Runs a command and reads the JSON object in the last line that holds one."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    # These two are set on some machines to work around old versions of OpenBLAS; the engines bring their own products.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        environment.pop(name, None)
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment,
                                timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise EngineError(f"no answer within {PATIENCE} s") from None
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode != 0 or not lines:
        words = (result.stderr.strip() or result.stdout.strip() or "no answer").splitlines()
        raise EngineError(f"ended with {result.returncode}: {words[-1].strip()[:160]}")
    return json.loads(lines[-1])


def write_bitmap(path, pixels):
    """Writes RGB pixels [H, W, 3] as an uncompressed bitmap; a row must be a multiple of four bytes."""
    height, width, _ = pixels.shape
    header = b"BM" + struct.pack("<IIIIiiHHIIiiII", 54 + pixels.size, 0, 54, 40, width, height, 1, 24, 0, pixels.size,
                                 2835, 2835, 0, 0)
    path.write_bytes(header + np.ascontiguousarray(pixels[::-1, :, ::-1]).tobytes())


class Hgnet:
    """Ours at one precision: `hgnet run` for the logits, `hgnet bench` for the times."""

    accurate_form_of, prepares_each_cell = None, False
    start = 0.3

    def __init__(self, executable, precision="float32"):
        self.executable, self.version, self.precision = executable, commit(), precision
        self.name = "hgnet" if precision == "float32" else f"hgnet-{precision}"

    def prepare(self, folder, cell):
        """For int8 makes the quantised weights, with noise as pictures, once for a model."""
        if self.precision != "int8" or self.weights(folder, cell).exists():
            return
        pictures = folder / "calibration"
        pictures.mkdir(exist_ok=True)
        random = np.random.default_rng(7)
        for number in range(16):
            write_bitmap(pictures / f"{number}.bmp", random.integers(0, 256, (224, 224, 3), dtype=np.uint8))
        result = subprocess.run(
            [self.executable, "quantize", str(folder / f"{cell.model}.safetensors"), "--data", str(pictures), "-o",
             str(self.weights(folder, cell))], capture_output=True, text=True)
        if result.returncode != 0:
            raise EngineError((result.stderr.strip() or "no reason given").splitlines()[-1])

    def weights(self, folder, cell):
        return folder / f"{cell.model}{'.int8' if self.precision == 'int8' else ''}.safetensors"

    def measure(self, folder, cell, iterations, with_logits=False):
        weights = str(self.weights(folder, cell))
        answer = call(
            [self.executable, "bench", weights, "--batch", str(cell.batch), "--input-size", f"{cell.side}x{cell.side}",
             "--threads", str(cell.threads), "--warmup", "0", "--iterations", str(iterations), "--json",
             "--precision", self.precision], cell.threads)
        return Answer(answer["load_milliseconds"], answer["iteration_milliseconds"], 0, answer["peak_memory_bytes"],
                      self.logits(folder, cell, weights) if with_logits else None,
                      {"float32": "f32", "bfloat16": "bf16", "int8": "i8"}[self.precision])

    def logits(self, folder, cell, weights):
        pictures, target = folder / "hgnet-input.npy", folder / "hgnet-logits.npy"
        np.save(pictures, np.load(folder / "input.npy")[:cell.batch])
        result = subprocess.run(
            [self.executable, "run", weights, "--model", cell.model, "--input", str(pictures), "--output", str(target),
             "--threads", str(cell.threads), "--precision", self.precision], capture_output=True, text=True)
        if result.returncode != 0:
            raise EngineError((result.stderr.strip() or "no reason given").splitlines()[-1])
        return np.load(target)


class Peer:
    """An engine behind a worker; `start` is roughly what a process needs before its first run, in seconds."""

    def __init__(self, name, worker, mode="default", start=1.0, accurate_form_of=None, prepares_each_cell=False):
        self.name, self.worker, self.mode, self.start = name, worker, mode, start
        self.accurate_form_of, self.prepares_each_cell = accurate_form_of, prepares_each_cell
        self.version = "unknown"
        self.prepared = {}  # what has been converted → the reason why that failed, or None

    def ask(self, folder, cell, **values):
        values |= {"folder": str(folder), "mode": self.mode, **dataclasses.asdict(cell)}
        answer = call([sys.executable, "-W", "ignore", str(WORKERS / f"{self.worker}_worker.py"), json.dumps(values)],
                      cell.threads)
        self.version = answer["version"]
        return answer

    def origin(self, folder, cell):
        """What a converted model is made of: the peer's packages and worker, and the weights."""
        digest = hashlib.sha256(" ".join(requirements.section(self.worker)).encode())
        for path in (WORKERS / f"{self.worker}_worker.py", folder / f"{cell.model}.safetensors"):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def prepare(self, folder, cell):
        """Installs the packages and converts the model, once for what needs it."""
        key = cell if self.prepares_each_cell else cell.model
        if key not in self.prepared:
            each = f"-{cell.batch}-{cell.side}-{cell.threads}" if self.prepares_each_cell else ""
            mark = folder / f"{self.name}-{cell.model}{each}.converted"
            origin = self.origin(folder, cell)
            try:
                reason = requirements.install(self.worker)
                if not reason and not (mark.exists() and mark.read_text() == origin):
                    self.ask(folder, cell, action="convert")
                    mark.write_text(origin)
            except EngineError as error:
                reason = f"conversion: {error}"
            self.prepared[key] = reason
        if self.prepared[key]:
            raise EngineError(self.prepared[key])

    def measure(self, folder, cell, iterations, with_logits=False):
        values = {"action": "measure", "iterations": iterations}
        if with_logits:
            values["logits"] = str(folder / f"{self.name}-logits.npy")
        answer = self.ask(folder, cell, **values)
        return Answer(answer["load"], answer["milliseconds"], answer["imports"], answer["peak"],
                      np.load(values["logits"]) if with_logits else None, answer["precision"])


def lower_precisions(executable):
    """hgnet at the precisions below float32."""
    return [Hgnet(executable, "bfloat16"), Hgnet(executable, "int8")]


def peers():
    """All peers, in the order of the table; one with `accurate_form_of` only runs where that one is not accurate."""
    return [
        Peer("onnxruntime", "onnxruntime"),
        Peer(f"onnxruntime{IN_BYTES}", "onnxruntime_int8"),
        Peer("openvino", "openvino", start=1.5),
        Peer(f"openvino{AS_IT_COMES}", "openvino", mode="as-it-comes", start=1.5),
        Peer(f"openvino{IN_BYTES}", "openvino_int8", start=1.5),
        Peer("mnn", "mnn"),
        Peer("mnn-accurate", "mnn", mode="accurate", accurate_form_of="mnn"),
        Peer("ncnn", "ncnn", start=0.8),
        Peer("ncnn-accurate", "ncnn", mode="accurate", start=0.8, accurate_form_of="ncnn"),
        Peer(f"ncnn{IN_HALVES}", "ncnn", mode="bfloat16", start=0.8),
        Peer("paddle-inference", "paddle", start=4.0),
        Peer("pytorch", "torch", start=7.0),
        Peer("pytorch-compiled", "torch", mode="compiled", start=3.0, prepares_each_cell=True),
        Peer(f"pytorch-compiled{IN_HALVES}", "torch", mode="compiled-bfloat16", start=3.0, prepares_each_cell=True),
    ]


def default_tool():
    return str(ROOT / ".build/release/hgnet")
