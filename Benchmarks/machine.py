"""What every benchmark says about the machine and the revision, and how it calls other programs."""

import csv
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def cpu_name():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"model name\s*:\s*(.+)", text)
    flags = re.search(r"(?:flags|Features)\s*:\s*(.+)", text)
    flags = set(flags.group(1).split()) if flags else set()
    sets = [label for flag, label in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("asimd", "NEON")) if flag in flags]
    return f"{name.group(1).strip() if name else platform.machine()} ({' '.join(sets) or 'baseline'})"


def core_count():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def commit():
    """The revision, with -dirty where anything but earlier results differs from it."""
    git = lambda *words: subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!Benchmarks/results")
    return (git("describe", "--always") or "unknown") + ("-dirty" if changed else "")


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")


def results_path(prefix=""):
    """Where a run on this machine is recorded: Benchmarks/results/[PREFIX]DATE-CPU-N-cores.csv."""
    slug = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")
    return ROOT / "Benchmarks/results" / f"{prefix}{today()}-{slug}-{core_count()}-cores.csv"


def run(command, environment=None):
    """The standard output of a program; ends this one where it fails."""
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode != 0:
        sys.exit(f"compare: {' '.join(map(str, command[:3]))} … failed ({result.returncode}):\n{result.stderr}")
    return result.stdout


def peaks(threads):
    """What machine_peak.c measures for each number of threads, {} where no compiler is found."""
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("clang", "cc", "gcc")), None)
    if not compiler:
        return {}
    source = str(ROOT / "Benchmarks/machine_peak.c")
    with tempfile.TemporaryDirectory() as folder:
        program = str(pathlib.Path(folder) / "machine_peak")
        run([compiler, "-O2", "-ffp-contract=fast", "-pthread", "-o", program, source])
        return json.loads(run([program, *map(str, threads)]))["threads"]


def write_rows(rows, output, prefix="", note=None):
    """Writes rows as CSV to a path, to the standard one without, nowhere for "-"; a note goes before them."""
    if output == "-" or not rows:
        return
    path = pathlib.Path(output or results_path(prefix))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        if note:
            file.write(f"# {note}\n")
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"written to {os.path.relpath(path)}")
