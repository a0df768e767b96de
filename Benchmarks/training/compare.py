"""Measures training steps of hgnet beside PyTorch and PaddlePaddle in interleaved rounds; called by `compare`."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from safetensors.numpy import save_file

import workload
from machine import ROOT, commit, core_count, cpu_name, run, today, write_rows

CHECKED_STEPS = 3
WARMUP = 2


class EngineError(Exception):
    """A measurement that gave no answer."""


def call(command, environment):
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode != 0 or not lines:
        words = (result.stderr.strip() or result.stdout.strip() or "no answer").splitlines()
        raise EngineError(f"ended with {result.returncode}: {words[-1]}")
    return json.loads(lines[-1])


class Hgnet:
    name, bound, extra = "hgnet", 0.0, []

    def __init__(self, options, model, batch, threads, weights):
        self.version = commit()
        self.environment = dict(os.environ)
        self.command = [options.hgnet, "bench", weights, "--training", "--batch", str(batch), "--input-size",
                        str(options.input_size), "--threads", str(threads), "--json", *self.extra]

    def measure(self, warmup, iterations):
        answer = call([*self.command, "--warmup", str(warmup), "--iterations", str(iterations)], self.environment)
        return {"milliseconds": answer["iteration_milliseconds"], "losses": answer["losses"],
                "peak": answer["peak_memory_bytes"]}


class MixedHgnet(Hgnet):
    name, bound, extra = "hgnet-bfloat16", 0.01, ["--precision", "bfloat16"]


class LeanHgnet(Hgnet):
    name, bound, extra = "hgnet-bfloat16-O2", 0.01, ["--precision", "bfloat16", "--level", "O2"]


class Worker:
    """A peer: a script of this folder that takes a request and answers in JSON."""

    # How far the losses of the first steps may be off if that is more than the tolerance.
    bound = 0.0

    def __init__(self, options, model, batch, threads, weights):
        self.version = "unknown"
        self.request = {"model": model, "weights": weights, "classes": options.classes, "batch": batch,
                        "side": options.input_size, "threads": threads} | self.extra
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                                FLAGS_paddle_num_threads=str(threads))
        # What a round has compiled is there for the next one.
        self.environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str(ROOT / ".build/training-inductor"))

    def measure(self, warmup, iterations):
        request = json.dumps(self.request | {"warmup": warmup, "iterations": iterations})
        answer = call([sys.executable, "-W", "ignore", str(HERE / self.script), request], self.environment)
        self.version = answer["version"]
        return answer


class Torch(Worker):
    name, script, extra = "pytorch", "torch_worker.py", {"compiled": False, "mixed": False}


class CompiledTorch(Worker):
    name, script, extra = "pytorch-compiled", "torch_worker.py", {"compiled": True, "mixed": False}


class MixedTorch(Worker):
    name, script, extra = "pytorch-bfloat16", "torch_worker.py", {"compiled": False, "mixed": True}
    bound = 0.01


class MixedCompiledTorch(Worker):
    name, script, extra = "pytorch-compiled-bfloat16", "torch_worker.py", {"compiled": True, "mixed": True}
    bound = 0.01


class Paddle(Worker):
    name, script, extra = "paddle", "paddle_worker.py", {"mixed": False}


class MixedPaddle(Worker):
    name, script, extra = "paddle-bfloat16", "paddle_worker.py", {"mixed": True}
    bound = 0.01


PEERS = {engine.name: engine for engine in (Torch, CompiledTorch, MixedTorch, MixedCompiledTorch, Paddle, MixedPaddle)}
OURS = (Hgnet, MixedHgnet, LeanHgnet)


def parse():
    parser = argparse.ArgumentParser(
        prog="Benchmarks/training/compare",
        description="Training steps of hgnet beside PyTorch (timm's network) and PaddlePaddle: the same weights, batch, "
                    "loss and optimiser, a process per engine and round, in turn.",
        epilog="With --evaluation first: evaluation from JPEG files; see --evaluation --help.")
    parser.add_argument("--cells", default="B0:16,B4:8", help="comma-separated MODEL:BATCH (default: %(default)s)")
    parser.add_argument("--threads", default="2", help="comma-separated thread counts (default: %(default)s)")
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--float32", action="store_true", help="leave bfloat16 out, of hgnet and of its peers")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per cell (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0,
                        help="measured time per engine and round, roughly (default: %(default)s)")
    parser.add_argument("--hgnet", default=str(ROOT / ".build/release/hgnet"), help="the tool (default: the built one)")
    parser.add_argument("--output",
                        help="the CSV file (default: Benchmarks/results/training-DATE-CPU.csv; - for none)")
    parser.add_argument("--tolerance", type=float, default=1e-4,
                        help="largest relative difference of the losses of the first steps (default: %(default)s)")
    options = parser.parse_args()
    options.classes = 1000
    cells = []
    for cell in options.cells.split(","):
        name, _, batch = cell.strip().partition(":")
        if not batch.isdigit() or int(batch) == 0:
            parser.error(f"expected a cell such as B0:16, found {cell}")
        cells.append(("PPHGNetV2_" + name.upper().removeprefix("PPHGNETV2_"), int(batch)))
    options.cells = cells
    options.threads = [int(count) for count in options.threads.split(",")]
    options.mixed = not options.float32
    options.peers = [name for name in options.peers.split(",") if name and (options.mixed or "bfloat16" not in name)]
    for name in options.peers:
        if name not in PEERS:
            parser.error(f"unknown peer {name}; known: {', '.join(PEERS)}")
    if not os.access(options.hgnet, os.X_OK):
        parser.error(f"{options.hgnet} is not there; run `make build` first")
    return options


def first_steps(engines, tolerance):
    """The losses of the first steps, against hgnet's: engine → largest relative difference, or the reason of failure.

    Gives the time of the last of these steps as well, from which the number of steps of a round follows.
    """
    differences, estimates, expected = {}, {}, None
    for engine in engines:
        try:
            answer = engine.measure(0, CHECKED_STEPS)
        except EngineError as error:
            if engine.name == Hgnet.name:
                sys.exit(f"compare: hgnet {error}")
            differences[engine.name] = str(error)
            continue
        expected = expected or answer["losses"]
        difference = max(abs(theirs - ours) / abs(ours) for ours, theirs in zip(expected, answer["losses"]))
        within = difference <= max(tolerance, engine.bound)
        differences[engine.name] = difference if within else f"its losses differ by {difference:.1e}"
        estimates[engine.name] = answer["milliseconds"][-1]
        if not within:
            print(f"  {engine.name}: losses {answer['losses']}, hgnet {expected}", file=sys.stderr)
    return differences, estimates


def measure(options, engines, estimates):
    """Interleaved rounds: engine → list of answers, one a round; an engine that fails later is dropped."""
    answers = {engine.name: [] for engine in engines}
    failures = {}
    for index in range(options.rounds):
        for engine in engines if index % 2 == 0 else reversed(engines):
            if engine.name in failures:
                continue
            count = max(3, min(200, round(options.seconds * 1e3 / estimates[engine.name])))
            try:
                answers[engine.name].append(engine.measure(WARMUP, count))
            except EngineError as error:
                failures[engine.name] = str(error)
    return {name: rounds for name, rounds in answers.items() if name not in failures}, failures


def summary(rounds, batch):
    times = [time for answer in rounds for time in answer["milliseconds"]]
    peaks = [answer["peak"] for answer in rounds if answer["peak"]]
    median = statistics.median(times)
    return {"minimum": min(times), "median": median, "rate": batch / median * 1e3, "steps": len(times),
            "peak": max(peaks) / 1e6 if peaks else None,
            "rounds": [statistics.median(answer["milliseconds"]) for answer in rounds]}


def ratios(found, is_mixed):
    """The fastest peer ÷ hgnet, by minima, medians and rounds; hgnet ÷ the leanest peer by memory.

    In float32 that is float32 beside float32; `is_mixed` takes the fastest of all precisions on either side.
    """
    own = {engine.name for engine in OURS}
    able = {name: values for name, values in found.items() if is_mixed or "bfloat16" not in name}
    ours = min((values for name, values in able.items() if name in own), key=lambda values: values["minimum"])
    peers = [values for name, values in able.items() if name not in own]
    if not peers:
        return None
    by_round = [min(peer["rounds"][index] for peer in peers) / time for index, time in enumerate(ours["rounds"])]
    leanest = min((peer["peak"] for peer in peers if peer["peak"]), default=None)
    return {"minima": min(peer["minimum"] for peer in peers) / ours["minimum"],
            "medians": min(peer["median"] for peer in peers) / ours["median"],
            "rounds": statistics.median(by_round),
            "memory": ours["peak"] / leanest if leanest and ours["peak"] else None}


def cell(options, model, batch, threads, rows):
    """Measures and prints one cell, adds its rows; true when every engine gave an answer."""
    print(f"\n{model}, batch {batch}, {threads} thread{'' if threads == 1 else 's'}")
    with tempfile.TemporaryDirectory() as temporary:
        weights = str(pathlib.Path(temporary) / f"{model}.safetensors")
        description = json.loads(run([options.hgnet, "summary", model, "--json"]))
        save_file(workload.draw(description["state_dictionary"], seed=20), weights)
        engines = [kind(options, model, batch, threads, weights)
                   for kind in (*(OURS if options.mixed else OURS[:1]), *(PEERS[name] for name in options.peers))]
        differences, estimates = first_steps(engines, options.tolerance)
        able = [engine for engine in engines if isinstance(differences[engine.name], float)]
        answers, failures = measure(options, able, estimates)
    if Hgnet.name in failures:
        sys.exit(f"compare: hgnet {failures[Hgnet.name]}")
    failures |= {name: reason for name, reason in differences.items() if isinstance(reason, str)}
    found = {name: summary(rounds, batch) for name, rounds in answers.items()}
    ratio = ratios(found, options.mixed)
    heading = f"  {'':<26}{'min ms':>10}{'median':>10}{'pictures/s':>12}{'peak MB':>10}{'loss differs':>14}"
    print(heading)
    for engine in engines:
        if engine.name in failures:
            print(f"  {engine.name:<26}failed: {failures[engine.name]}")
            continue
        values = found[engine.name]
        peak = f"{values['peak']:.0f}" if values["peak"] else "?"
        print(f"  {engine.name:<26}{values['minimum']:>10.1f}{values['median']:>10.1f}{values['rate']:>12.2f}"
              f"{peak:>10}{differences[engine.name]:>14.1e}")
        rows.append({
            "date": today(), "cpu": cpu_name(), "cores": core_count(), "model": model, "batch": batch,
            "input_size": options.input_size, "threads": threads, "engine": engine.name, "version": engine.version,
            "minimum_ms": f"{values['minimum']:.2f}", "median_ms": f"{values['median']:.2f}",
            "pictures_per_second": f"{values['rate']:.2f}", "peak_mb": peak, "steps": values["steps"],
            "rounds": options.rounds, "loss_difference": f"{differences[engine.name]:.1e}",
            **{f"ratio_{name}": f"{value:.3f}" if value else "" for name, value in (ratio or {}).items()}})
    if ratio:
        memory = f"{ratio['memory']:.2f}" if ratio["memory"] else "?"
        print(f"  fastest peer ÷ hgnet: minima {ratio['minima']:.2f}, medians {ratio['medians']:.2f}, "
              f"by round {ratio['rounds']:.2f}; memory, hgnet ÷ leanest peer: {memory}", flush=True)
    return not failures


def main():
    options = parse()
    print(f"{cpu_name()}, {core_count()} cores; hgnet {commit()}; {options.input_size}x{options.input_size}; "
          f"{options.rounds} rounds")
    rows, complete = [], True
    for model, batch in options.cells:
        for threads in options.threads:
            complete = cell(options, model, batch, threads, rows) and complete
    write_rows(rows, options.output, "training-")
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
