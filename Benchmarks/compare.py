"""Measures hgnet beside ONNX Runtime in interleaved rounds; called by Benchmarks/compare."""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

from machine import ROOT, commit, core_count, cpu_name, run, today, write_rows
from network import MODELS, Network, write_safetensors

WORKER = pathlib.Path(__file__).resolve().parent / "onnxruntime_worker.py"


def parse():
    parser = argparse.ArgumentParser(
        prog="Benchmarks/compare",
        description="hgnet beside ONNX Runtime: the same weights and input, a process per engine and round, in turn.")
    parser.add_argument("--models", default="B0,B2,B4,B6", help="comma-separated, of B0 … B6 (default: %(default)s)")
    parser.add_argument("--threads", default="1,2", help="comma-separated thread counts (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=10, help="rounds per model and thread count (default: 10)")
    parser.add_argument("--seconds", type=float, default=1.0,
                        help="measured time per engine and round, roughly (default: 1)")
    parser.add_argument("--hgnet", default=str(ROOT / ".build/release/hgnet"), help="the tool (default: %(default)s)")
    parser.add_argument("--output", help="the CSV file (default: Benchmarks/results/DATE-CPU.csv; - for none)")
    parser.add_argument("--tolerance", type=float, default=1e-4,
                        help="largest difference of logits, relative to the largest logit (default: %(default)s)")
    options = parser.parse_args()
    options.models = [f"PPHGNetV2_{name.strip().upper().removeprefix('PPHGNETV2_')}"
                      for name in options.models.split(",")]
    options.threads = [int(count) for count in options.threads.split(",")]
    for name in options.models:
        if name not in MODELS:
            parser.error(f"unknown model {name}; known: {', '.join(MODELS)}")
    if not os.access(options.hgnet, os.X_OK):
        parser.error(f"{options.hgnet} is not there; run `make build` first")
    return options


class Ours:
    name = "hgnet"

    def __init__(self, options, directory, model):
        self.options, self.directory, self.model = options, directory, model
        self.weights = str(directory / f"{model}.safetensors")

    def logits(self):
        path = self.directory / "ours.npy"
        run([self.options.hgnet, "run", self.weights, "--model", self.model, "--input",
             str(self.directory / "input.npy"), "--output", str(path)])
        return np.load(path)

    def measure(self, threads, iterations):
        text = run([self.options.hgnet, "bench", self.weights, "--batch", str(self.options.batch), "--threads",
                    str(threads), "--input-size", f"{self.options.input_size}x{self.options.input_size}",
                    "--iterations", str(iterations), "--json"])
        return times_of(json.loads(text))


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, options, directory, model):
        self.directory = directory
        self.request = {"model": str(directory / f"{model}.onnx"), "input": str(directory / "input.npy")}

    def ask(self, **values):
        return json.loads(run([sys.executable, str(WORKER), json.dumps(self.request | values)]))

    def logits(self):
        path = self.directory / "theirs.npy"
        self.ask(threads=1, warmup=0, iterations=1, logits=str(path))
        return np.load(path)

    def measure(self, threads, iterations):
        return self.ask(threads=threads, warmup=max(2, iterations // 10), iterations=iterations)["milliseconds"]


def times_of(document):
    """The list of iteration times in the JSON of `hgnet bench`."""
    if "iteration_milliseconds" in document:
        return document["iteration_milliseconds"]
    sys.exit(f"compare: no iteration_milliseconds in the answer of hgnet bench: {list(document)}")


def prepare(options, directory, model):
    """Writes the model for both sides, and the input; checks that the two agree."""
    network = Network(model, seed=20, input_size=options.input_size)
    onnx.save(network.graph, directory / f"{model}.onnx")
    write_safetensors(network.parameters, directory / f"{model}.safetensors")
    shape = (options.batch, 3, options.input_size, options.input_size)
    np.save(directory / "input.npy", np.random.default_rng(7).normal(0, 1, shape).astype(np.float32))
    engines = [Ours(options, directory, model), OnnxRuntime(options, directory, model)]
    ours, theirs = (engine.logits() for engine in engines)
    if ours.shape != theirs.shape:
        sys.exit(f"compare: {model}: hgnet gives logits {ours.shape}, ONNX Runtime {theirs.shape}")
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not difference <= options.tolerance:
        sys.exit(f"compare: {model}: the logits differ by {difference:.1e} of the largest logit "
                 f"(tolerance {options.tolerance:g}); times of different answers mean nothing")
    return engines, difference


def compare(options, engines, threads):
    """Interleaved rounds; gives the times of each engine as a list of rounds."""
    counts = []
    for engine in engines:
        estimate = min(engine.measure(threads, 3))
        counts.append(max(3, min(200, round(options.seconds * 1e3 / estimate))))
    rounds = [[] for _ in engines]
    for index in range(options.rounds):
        order = range(len(engines)) if index % 2 == 0 else reversed(range(len(engines)))
        for position in order:
            rounds[position].append(engines[position].measure(threads, counts[position]))
    return rounds


def main():
    options = parse()
    cpu, revision = cpu_name(), commit()
    cores = core_count()
    print(f"{cpu}, {cores} cores; hgnet {revision}; ONNX Runtime {onnxruntime.__version__}; batch {options.batch}, "
          f"{options.input_size}x{options.input_size}; {options.rounds} rounds")
    print("milliseconds per run; a ratio above 1 means that hgnet is faster\n")
    heading = (f"{'model':<13}{'threads':>8}{'hgnet min':>11}{'median':>9}{'ORT min':>10}{'median':>9}"
               f"{'ratio min':>11}{'median':>8}{'rounds':>8}{'logits differ':>15}")
    print(heading)
    print("-" * len(heading))
    rows = []
    for model in options.models:
        with tempfile.TemporaryDirectory() as temporary:
            engines, difference = prepare(options, pathlib.Path(temporary), model)
            for threads in options.threads:
                rounds = compare(options, engines, threads)
                flat = [[time for one in engine for time in one] for engine in rounds]
                (our_min, our_median), (their_min, their_median) = ((min(x), statistics.median(x)) for x in flat)
                by_round = statistics.median(
                    statistics.median(theirs) / statistics.median(ours) for ours, theirs in zip(*rounds))
                print(f"{model:<13}{threads:>8}{our_min:>11.2f}{our_median:>9.2f}{their_min:>10.2f}"
                      f"{their_median:>9.2f}{their_min / our_min:>11.2f}{their_median / our_median:>8.2f}"
                      f"{by_round:>8.2f}{difference:>15.1e}", flush=True)
                for engine, version, times in zip(engines, (revision, onnxruntime.__version__), flat):
                    rows.append({
                        "date": today(), "cpu": cpu, "cores": cores, "model": model, "batch": options.batch,
                        "input_size": options.input_size, "threads": threads, "engine": engine.name,
                        "version": version, "minimum_ms": f"{min(times):.3f}",
                        "median_ms": f"{statistics.median(times):.3f}",
                        "p90_ms": f"{statistics.quantiles(times, n=10)[-1]:.3f}", "iterations": len(times),
                        "rounds": options.rounds, "ratio_of_medians": f"{their_median / our_median:.3f}",
                        "ratio_by_round": f"{by_round:.3f}"})
    print("\nratio: ONNX Runtime / hgnet, of the minima, of the medians, and the median over rounds of the ratio "
          "within a round")
    write_rows(rows, options.output)


if __name__ == "__main__":
    main()
