"""Measures algorithms for convolutions and fits the cost table; called by Benchmarks/algorithms."""

import csv
import pathlib
import sys
import tempfile

import numpy as np

from machine import ROOT, commit, cpu_name, run, today, write_rows


GREATEST_RATIO = 0.99  # that of AlgorithmCosts.swift


def measure():
    """The rows that algorithms.c prints, for each instruction set that the machine has."""
    kernels = ROOT / "Sources/CHGNetKernels"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        program = str(pathlib.Path(folder) / "algorithms")
        run(["clang", "-O2", "-std=gnu17", "-I", kernels / "include", "-o", program, ROOT / "Benchmarks/algorithms.c",
             *sorted(kernels.glob("*.c")), "-lm"])
        for name in ("avx512", "avx2", "neon"):
            found = list(csv.DictReader(run([program, name]).splitlines()))
            if found[0]["instruction_set"] == name:
                rows += found
    return rows


def fit(rows):
    """Prints Strassen ÷ product as constant + a / channels + b / columns + c / pixels, and how well that chooses."""
    for name in dict.fromkeys(row["instruction_set"] for row in rows):
        own = [row for row in rows if row["instruction_set"] == name and row["kernel"] == "1x1"]
        extents = np.array([[float(row[key]) for key in ("channels", "columns", "pixels")] for row in own])
        product, strassen = (np.array([float(row[f"{key}_us"]) for row in own]) for key in ("product", "strassen"))
        ratio = strassen / product
        terms = np.column_stack([np.ones(len(own)), 1 / extents])
        near = ratio < 1.15  # Where the choice is open; small extents would bend the fit.
        values, *_ = np.linalg.lstsq(terms[near], ratio[near], rcond=None)
        taken = terms @ values < GREATEST_RATIO
        chosen, best = np.where(taken, strassen, product), np.minimum(product, strassen)
        print(f"{name}: {values[0]:.3f} + {values[1]:.1f} / channels + {values[2]:.1f} / columns + {values[3]:.1f} / pixels; "
              f"off by {np.abs(terms[near] @ values - ratio[near]).mean():.3f} on average")
        print(f"  chosen {taken.sum()} of {len(own)} times, {1 - (strassen / product)[taken].mean():.1%} quicker there; "
              f"the best choice everywhere would take {1 - (best / chosen).mean():.2%} less")
        for row in rows:
            if row["instruction_set"] == name and row["kernel"] == "3x3":
                times = {key: float(row[f"{key}_us"]) for key in ("direct", "winograd_f2", "winograd_f4")}
                if min(times, key=times.get) != "winograd_f4":
                    print(f"  {row['pixels']} pixels, {row['channels']} channels: "
                          + ", ".join(f"{key} {value:g}" for key, value in times.items()) + " µs")


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--fit"]:
        lines = [line for line in pathlib.Path(arguments[1]).read_text().splitlines() if not line.startswith("#")]
        fit(list(csv.DictReader(lines)))
        return
    rows = measure()
    fit(rows)
    write_rows(rows, arguments[0] if arguments else None, "algorithms-",
               f"{today()}; hgnet {commit()}; {cpu_name()}; one thread, least of 8 rounds")


main()
