"""What every worker does with its peer: one request in JSON on the command line, one answer in JSON.

A worker is a script that calls `main(load, version, convert, libraries)`:

- `convert(request)` writes the peer's own form of the model into `request["folder"]`; absent where it reads ONNX;
- `load(request, pictures)` makes the peer ready for pictures [N, 3, H, W] and returns two functions, `run()` for one
  inference and `logits()` for its answer [N, classes] as an array;
- `version` is what the peer says about itself;
- `libraries(request)` imports what only some modes need, before the clock runs.

`load` may add `precision` to the request, the element type that the peer computes in; otherwise it is f32.

A request names the action, the folder, the model, `threads`, `batch`, `side`, the `mode` of the peer and, to measure,
how many `iterations`. The first one is measured as well: what a peer puts off until then belongs to its start.
"""

import json
import pathlib
import sys
import time

import numpy as np


def status(field):
    """A line of /proc/self/status in bytes, 0 where the system has none."""
    try:
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def model_path(request, ending):
    return str(pathlib.Path(request["folder"]) / (request["model"] + ending))


def pictures_of(request):
    """The first `batch` pictures of the file that all engines share."""
    all_of_them = np.load(pathlib.Path(request["folder"]) / "input.npy")
    return np.ascontiguousarray(all_of_them[:request["batch"]])


def calibration(request):
    """Pictures [1, 3, 224, 224] to read ranges from, the same for all peers: noise, normalised as ImageNet's."""
    mean = np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    deviation = np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    random = np.random.default_rng(7)
    pixels = [random.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(16)]
    return [((each.transpose(2, 0, 1)[None] / 255 - mean) / deviation).astype(np.float32) for each in pixels]


def measure(request, load):
    pictures = pictures_of(request)
    imports = status("VmRSS")
    started = time.perf_counter()
    run, logits = load(request, pictures)
    loaded = time.perf_counter()
    times = []
    for _ in range(request["iterations"]):
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) * 1e3)
    answer = {"load": (loaded - started) * 1e3, "milliseconds": times, "imports": imports, "peak": status("VmHWM"),
              "precision": request.get("precision", "f32")}
    if "logits" in request:
        np.save(request["logits"], np.asarray(logits(), dtype=np.float32).reshape(len(pictures), -1))
    return answer


def main(load, version, convert=None, libraries=None):
    request = json.loads(sys.argv[1])
    if libraries:
        libraries(request)
    if request["action"] == "convert":
        if convert:
            convert(request)
        answer = {}
    else:
        answer = measure(request, load)
    print(json.dumps(answer | {"version": version}), flush=True)
