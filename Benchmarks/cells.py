"""Measures one cell: first whether the engines agree with the reference, then their times in interleaved rounds."""

import statistics

import numpy as np

from engines import IN_BYTES, IN_HALVES, EngineError
from machine import core_count, cpu_name, today
from results import FIELDS

CHECK_RUNS = 4
# How far the logits of the same network may be off; random networks on noise lose more than trained ones on pictures.
BOUNDS = {IN_BYTES: 0.1, IN_HALVES: 0.05}
SAMPLE = 8  # pictures of the reference; a larger batch repeats them


def warmup(count):
    return max(2, count // 10)


class Round:
    """The answer of one engine in one round, without its warm-up."""

    def __init__(self, answer, skipped):
        self.load, self.first, self.peak, self.imports = (
            answer.load, answer.milliseconds[0], answer.peak, answer.imports)
        self.times = answer.milliseconds[skipped:]
        self.median = statistics.median(self.times)


class Measurement:
    """What is known of one engine in one cell."""

    def __init__(self, engine):
        self.engine, self.failure, self.difference, self.estimate, self.rounds = engine, None, None, None, []
        self.precision = ""

    def check(self, folder, cell, reference):
        """Prepares the engine, and compares its logits with the reference."""
        try:
            self.engine.prepare(folder, cell)
            answer = self.engine.measure(folder, cell, CHECK_RUNS, with_logits=True)
        except EngineError as error:
            self.failure = str(error)
            return
        expected = reference[np.arange(cell.batch) % len(reference)]
        if answer.logits.shape != expected.shape:
            self.failure = f"logits of shape {answer.logits.shape}, expected {expected.shape}"
            return
        difference = float(np.abs(answer.logits - expected).max() / np.abs(expected).max())
        bound = next((each for ending, each in BOUNDS.items() if self.engine.name.endswith(ending)), 0.01)
        if not difference < bound:
            self.failure = f"its logits differ by {difference:.1e} of the largest: not the same network"
            return
        self.difference, self.estimate = difference, min(answer.milliseconds)
        self.precision = answer.precision

    def take(self, folder, cell, seconds):
        """One round of about so many seconds, of three runs at least."""
        count = max(3, min(500, round(seconds * 1e3 / self.estimate)))
        skipped = warmup(count)
        try:
            self.rounds.append(Round(self.engine.measure(folder, cell, count + skipped), skipped))
        except EngineError as error:
            self.failure = str(error)

    def row(self, cell, ours):
        """The line of the CSV file; `ours` is hgnet's measurement."""
        row = dict.fromkeys(FIELDS, "") | {
            "date": today(), "cpu": cpu_name(), "cores": core_count(), "model": cell.model, "batch": cell.batch,
            "input_size": cell.side, "threads": cell.threads, "engine": self.engine.name,
            "version": self.engine.version, "precision": self.precision,
            "status": "ok" if not self.failure else f"failed: {self.failure}"}
        if self.difference is not None:
            row["difference"] = f"{self.difference:.1e}"
        if self.failure or not self.rounds:
            return row
        times = [time for each in self.rounds for time in each.times]
        row |= {
            "minimum_ms": f"{min(times):.3f}", "median_ms": f"{statistics.median(times):.3f}",
            "p90_ms": f"{statistics.quantiles(times, n=10)[-1]:.3f}",
            "load_ms": f"{min(each.load for each in self.rounds):.1f}",
            "first_run_ms": f"{min(each.first for each in self.rounds):.1f}",
            "peak_mb": f"{max(each.peak for each in self.rounds) / 1e6:.1f}",
            "imports_mb": f"{max(each.imports for each in self.rounds) / 1e6:.1f}",
            "iterations": len(times), "rounds": len(self.rounds)}
        if ours and ours.rounds and not ours.failure:
            our_times = [time for each in ours.rounds for time in each.times]
            by_round = [theirs.median / each.median for theirs, each in zip(self.rounds, ours.rounds)]
            row |= {
                "ratio_minima": f"{min(times) / min(our_times):.3f}",
                "ratio_medians": f"{statistics.median(times) / statistics.median(our_times):.3f}",
                "ratio_by_round": f"{statistics.median(by_round):.3f}"}
        return row


def measure(options, folder, cell, engines, reference):
    """The rows of one cell, one for each engine.

    An engine that is the accurate form of another one takes part only where that one misses the tolerance, or is not
    measured at all.
    """
    found = {}
    for engine in engines:
        other = found.get(engine.accurate_form_of)
        if other and (other.failure or other.difference <= options.tolerance):
            continue
        found[engine.name] = Measurement(engine)
        found[engine.name].check(folder, cell, reference)
    order = list(found.values())
    for index in range(options.rounds):
        for measurement in order if index % 2 == 0 else reversed(order):
            if not measurement.failure:
                measurement.take(folder, cell, options.seconds)
    return [measurement.row(cell, found.get("hgnet")) for measurement in order]
