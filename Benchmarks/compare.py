"""Measures hgnet beside the other engines in interleaved rounds; called by Benchmarks/compare."""

import argparse
import contextlib
import os
import pathlib
import signal
import sys
import tempfile
import time

import numpy as np
import onnx

import cells
import chart
import float64
import report
from engines import Cell, EngineError, Hgnet, default_tool, lower_precisions, peers
from machine import commit, core_count, cpu_name, peaks, results_path, today
from network import MODELS, Network, write_safetensors
from results import Results, read

SWEEPS = {"batch": [1, 2, 4, 8, 16, 32], "side": [96, 128, 160, 192, 224, 256, 320, 384, 448]}
GIGA_MULTIPLY_ADDS = {"B0": 0.32, "B1": 0.49, "B2": 1.14, "B3": 1.77, "B4": 2.73, "B5": 6.54, "B6": 16.84}


def numbers(text):
    return [int(part) for part in text.split(",")]


def parse():
    known = ", ".join(engine.name for engine in [*lower_precisions(""), *peers()])
    parser = argparse.ArgumentParser(
        prog="Benchmarks/compare",
        description="hgnet beside other engines: the same weights and input, logits checked against float64 first, a "
                    "process per engine and round, in turn.")
    parser.add_argument("--models", help="comma-separated, of B0 … B6 (default: all; for a sweep B0,B4)")
    parser.add_argument("--threads", type=numbers, help="comma-separated (default: 1,2; for a sweep 1)")
    parser.add_argument("--batch", type=numbers, help="pictures per run, comma-separated (default: 1,8)")
    parser.add_argument("--input-size", type=numbers, help="side in pixels, comma-separated (default: 224)")
    parser.add_argument("--engines", help=f"comma-separated, of {known} (default: all)")
    parser.add_argument("--sweep", choices=SWEEPS, help="time and memory of hgnet and of the fastest accurate peer "
                                                        "against the batch (1 … 32) or the side (96 … 448)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds per cell (default: 10)")
    parser.add_argument("--seconds", type=float, default=1.0,
                        help="measured time per engine and round, roughly; three runs at least (default: 1)")
    parser.add_argument("--tolerance", type=float, default=1e-4,
                        help="largest difference of logits that counts as accurate, relative to the largest logit "
                             "(default: %(default)s)")
    parser.add_argument("--hgnet", default=default_tool(), help="the tool (default: .build/release/hgnet)")
    parser.add_argument("--output", help="the CSV file; .md and .svg lie beside it (default: "
                                         "Benchmarks/results/DATE-CPU.csv; - for none)")
    parser.add_argument("--resume", action="store_true", help="keep the cells that the CSV file has of this revision")
    parser.add_argument("--folder", help="keep the converted models there; a later call takes them as they are")
    parser.add_argument("--convert", action="store_true", help="convert the models into --folder and end")
    parser.add_argument("--report", metavar="CSV", help="only write the table and the chart of a CSV file again")
    options = parser.parse_args()
    sweep = options.sweep
    options.models = [f"PPHGNetV2_{name.strip().upper().removeprefix('PPHGNETV2_')}"
                      for name in (options.models or ("B0,B4" if sweep else "B0,B1,B2,B3,B4,B5,B6")).split(",")]
    options.threads = options.threads or ([1] if sweep else [1, 2])
    options.batch = (SWEEPS["batch"] if sweep == "batch" else options.batch or ([1] if sweep else [1, 8]))
    options.sides = SWEEPS["side"] if sweep == "side" else options.input_size or [224]
    options.engines = [name.strip() for name in (options.engines or known).split(",")]
    for name in options.models:
        if name not in MODELS:
            parser.error(f"unknown model {name}; known: {', '.join(MODELS)}")
    for name in options.engines:
        if name not in known.split(", "):
            parser.error(f"unknown engine {name}; known: {known}")
    if min(*options.threads, *options.batch, *options.sides, options.rounds, options.seconds) <= 0:
        parser.error("expected positive numbers of threads, pictures, pixels, rounds and seconds")
    if options.convert and not options.folder:
        parser.error("--convert needs --folder")
    if not options.report and not os.access(options.hgnet, os.X_OK):
        parser.error(f"{options.hgnet} is not there; run `make build` first")
    return options


class Workshop:
    """The folder with one model in every engine's form, the input and the reference."""

    def __init__(self, model, folder):
        self.folder, self.model = folder, model
        network = Network(model, seed=20)
        self.graph = network.graph
        onnx.save(self.graph, folder / f"{model}.onnx")
        write_safetensors(network.parameters, folder / f"{model}.safetensors")
        self.reference, self.side = None, None

    def pictures(self, side, largest):
        """Writes the pictures of a side; gives the float64 logits of the first ones, which the others repeat."""
        if side != self.side:
            sample = np.random.default_rng(7).normal(0, 1, (min(largest, cells.SAMPLE), 3, side, side))
            sample = sample.astype(np.float32)
            np.save(self.folder / "input.npy", sample[np.arange(largest) % len(sample)])
            self.reference, self.side = float64.logits(self.graph, sample), side
        return self.reference


def expected_seconds(options, cell, engines):
    """A guess of the time that a cell takes: 40 billion multiply-adds a second and thread, and starting the engines."""
    work = GIGA_MULTIPLY_ADDS[cell.model.removeprefix("PPHGNetV2_")] * cell.batch * (cell.side / 224) ** 2
    run = work / 40 / cell.threads
    total = 0
    for engine in engines:
        if engine.accurate_form_of:
            continue
        compiling = 60 + 15 * work / cell.batch if engine.prepares_each_cell else 0
        total += engine.start + compiling + cells.CHECK_RUNS * run
        total += options.rounds * (engine.start + max(options.seconds * 1.2, 5 * run))
    return total


def duration(seconds):
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else "a minute"


def fastest_peer(rows, tolerance):
    """The name of the fastest peer that is accurate, None where all failed."""
    able = [row for row in rows if not report.is_ours(row["engine"]) and report.is_accurate(row, tolerance)]
    return min(able, key=lambda row: float(row["minimum_ms"]))["engine"] if able else None


def run_all(options, results, engines):
    plan = [Cell(model, batch, side, threads) for model in options.models for side in options.sides
            for batch in options.batch for threads in options.threads]
    plan = [cell for cell in plan if not results.has(cell)]
    left = {cell: expected_seconds(options, cell, engines) for cell in plan}
    print(f"{len(plan)} cells, about {duration(sum(left.values()))}\n", flush=True)
    pace, is_whole = 1.0, True
    for model in options.models:
        own = [cell for cell in plan if cell.model == model]
        if not own:
            continue
        with kept_folder(options, model) as folder:
            workshop = Workshop(model, pathlib.Path(folder))
            if options.convert:
                is_whole &= convert(options, workshop, own, engines)
                continue
            chosen = choose(options, workshop, engines) if options.sweep else engines
            for cell in own:
                begin = time.monotonic()
                reference = workshop.pictures(cell.side, max(options.batch))
                rows = cells.measure(options, workshop.folder, cell, chosen, reference)
                results.add(rows)
                print(f"{cell}\n{report.cell_table(rows, options.tolerance)}", flush=True)
                pace = 0.5 * pace + 0.5 * (time.monotonic() - begin) / left.pop(cell)
                if left:
                    print(f"{len(left)} cells left, about {duration(pace * sum(left.values()))}", flush=True)
                print(flush=True)
    return is_whole


def kept_folder(options, model):
    """The folder for a model's files, which goes with the block unless --folder names it."""
    if not options.folder:
        return tempfile.TemporaryDirectory(prefix="hgnet-compare.")
    folder = pathlib.Path(options.folder) / model
    folder.mkdir(parents=True, exist_ok=True)
    return contextlib.nullcontext(folder)


def convert(options, workshop, plan, engines):
    """Converts a model for all engines, without measuring; says whether all could be."""
    is_whole = True
    for cell in plan:
        workshop.pictures(cell.side, max(options.batch))
        for engine in engines:
            begin = time.monotonic()
            try:
                engine.prepare(workshop.folder, cell)
                print(f"{cell}: {engine.name}, {time.monotonic() - begin:.0f} s", flush=True)
            except EngineError as error:
                print(f"{cell}: {engine.name}: {error}", flush=True)
                is_whole = False
    return is_whole


def choose(options, workshop, engines):
    """For a sweep: hgnet, and the peer that is fastest with one picture of 224x224."""
    if len(engines) <= 2:
        return engines
    cell = Cell(workshop.model, 1, 224, options.threads[0])
    short = argparse.Namespace(**(vars(options) | {"rounds": 2}))
    rows = cells.measure(short, workshop.folder, cell, engines, workshop.pictures(224, 1))
    workshop.side = None
    name = fastest_peer(rows, options.tolerance)
    print(f"{cell}\n{report.cell_table(rows, options.tolerance)}\n{workshop.model}: beside {name}\n", flush=True)
    return [engine for engine in engines if engine.name in ("hgnet", name)]


def write_report(options, path, rows, notes):
    """The table on the standard output; table and chart beside the CSV file."""
    if not rows:
        return
    text = report.summary(rows, options.tolerance)
    print(text)
    if path:
        path.with_suffix(".md").write_text(report.document(text, notes))
        for ending, picture in chart.charts(rows, options.tolerance).items():
            path.with_name(path.stem + ending).write_text(picture)
        print(f"written to {os.path.relpath(path)} and beside it")


def main():
    options = parse()
    if options.report:
        notes, rows = read(options.report)
        write_report(options, pathlib.Path(options.report), rows, notes)
        return
    version = commit()
    notes = [f"# {today()}; hgnet {version}; {cpu_name()}, {core_count()} cores; kernel {os.uname().release}; "
             f"{options.rounds} rounds of {options.seconds:g} s"]
    for threads, values in peaks(options.threads).items():
        notes.append(f"# peak with {threads} thread{'' if threads == '1' else 's'}: " + ", ".join(
            f"{name} {value:g} {'GB/s' if name.startswith('read') else 'GFLOP/s'}" for name, value in values.items()))
    print("\n".join(note[2:] for note in notes), flush=True)
    path = None if options.output == "-" or options.convert else pathlib.Path(
        options.output or results_path(f"sweep-{options.sweep}-" if options.sweep else ""))
    results = Results(path, notes, options.resume, version)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    engines = [Hgnet(options.hgnet), *(
        engine for engine in [*lower_precisions(options.hgnet), *peers()]
        if engine.name in options.engines or engine.accurate_form_of in options.engines)]
    try:
        is_whole = run_all(options, results, engines)
    except KeyboardInterrupt:
        print("\ninterrupted; the finished cells are kept, and --resume goes on with the rest", file=sys.stderr)
        write_report(options, path, results.rows, notes)
        sys.exit(130)
    write_report(options, path, results.rows, notes)
    sys.exit(0 if is_whole and all(row["status"] == "ok" for row in results.rows) else 1)


if __name__ == "__main__":
    main()
