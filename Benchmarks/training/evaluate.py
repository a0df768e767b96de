"""Measures evaluation from JPEG files, hgnet beside PyTorch with its DataLoader; called by `compare --evaluation`."""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

import workload
from compare import EngineError, call
from machine import ROOT, commit, core_count, cpu_name, run, today, write_rows

SUFFIXES = {".jpg", ".jpeg"}


class Hgnet:
    name = "hgnet"

    def __init__(self, options, folder, listing, weights, threads):
        self.version = commit()
        settings = {
            "Global.pretrained_model": weights, "Global.output_dir": pathlib.Path(weights).parent / "output",
            "Arch.pretrained": False, "DataLoader.Eval.dataset.image_root": folder,
            "DataLoader.Eval.dataset.cls_label_path": listing, "DataLoader.Eval.sampler.batch_size": options.batch}
        self.command = [options.hgnet, "eval", "-c", str(ROOT / f"Configs/{options.model}.yaml"), "--json", "--threads",
                        str(threads)]
        for key, value in settings.items():
            self.command += ["-o", f"{key}={value}"]

    def measure(self):
        answer = json.loads(run(self.command))
        if answer["broken"]:
            raise EngineError(f"could not read {answer['broken'][0]['file_name']}")
        return {"rate": answer["pictures_per_second"], "top1": answer["metrics"]["top1"],
                "loss": answer["losses"]["CELoss"]}


class Torch:
    def __init__(self, options, folder, listing, weights, threads, workers):
        self.name, self.version = f"pytorch, {workers} worker{'' if workers == 1 else 's'}", "unknown"
        self.request = {"model": options.model, "weights": weights, "classes": 1000, "folder": folder, "list": listing,
                        "batch": options.batch, "threads": threads, "workers": workers}
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))

    def measure(self):
        answer = call([sys.executable, "-W", "ignore", str(HERE / "torch_evaluation_worker.py"),
                       json.dumps(self.request)], self.environment)
        self.version = answer["version"]
        return answer


def parse():
    parser = argparse.ArgumentParser(
        prog="Benchmarks/training/compare --evaluation",
        description="Evaluation from JPEG files, hgnet beside PyTorch with its DataLoader: the same weights, pictures "
                    "and transforms (short side 232 bicubic, centre crop 224), a process per engine and round, in turn.")
    parser.add_argument("--model", default="B0")
    parser.add_argument("--pictures", help="a folder of JPEGs, with its subfolders (default: pictures are drawn)")
    parser.add_argument("--count", type=int, default=512, help="pictures at most (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", default="0,1,2",
                        help="PyTorch's loader processes, comma-separated; the best counts (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hgnet", default=str(ROOT / ".build/release/hgnet"), help="the tool (default: the built one)")
    parser.add_argument("--output",
                        help="the CSV file (default: Benchmarks/results/evaluation-DATE-CPU.csv; - for none)")
    options = parser.parse_args()
    options.model = "PPHGNetV2_" + options.model.upper().removeprefix("PPHGNETV2_")
    options.workers = [int(count) for count in options.workers.split(",")]
    if not os.access(options.hgnet, os.X_OK):
        parser.error(f"{options.hgnet} is not there; run `make build` first")
    return options


def draw(folder, count):
    """Photograph-like JPEGs of 500×375: noise of several scales, so that they compress as photographs do."""
    random = np.random.default_rng(5)
    for index in range(count):
        values = np.zeros((375, 500, 3), np.float32)
        for cell, strength in ((125, 60), (25, 30), (5, 12), (1, 4)):
            coarse = random.normal(0, strength, (375 // cell, 500 // cell, 3)).astype(np.float32)
            planes = [np.asarray(Image.fromarray(coarse[..., c]).resize((500, 375), Image.Resampling.BICUBIC))
                      for c in range(3)]
            values += np.stack(planes, axis=-1)
        Image.fromarray(np.clip(values + 120, 0, 255).astype(np.uint8)).save(folder / f"{index:05}.jpg", quality=90)


def prepare(options, temporary):
    """The folder of pictures, a list of them and the weights."""
    folder = pathlib.Path(options.pictures).resolve() if options.pictures else temporary / "pictures"
    if not options.pictures:
        folder.mkdir()
        draw(folder, options.count)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)[:options.count]
    if not paths:
        sys.exit(f"compare: expected JPEG files in {folder}, found none")
    listing, weights = temporary / "list.txt", temporary / f"{options.model}.safetensors"
    listing.write_text("".join(f"{path.relative_to(folder)} 0\n" for path in paths))
    description = json.loads(run([options.hgnet, "summary", options.model, "--json"]))
    save_file(workload.draw(description["state_dictionary"], seed=20), weights)
    return str(folder), listing, str(weights), paths


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        folder, listing, weights, paths = prepare(options, pathlib.Path(name))
        ours = Hgnet(options, folder, str(listing), weights, options.threads)
        peers = [Torch(options, folder, str(listing), weights, options.threads, count) for count in options.workers]
        # Every second picture is labelled with what PyTorch takes it for, so that top-1 is a check as well.
        predictions = peers[0].measure()["predictions"]
        listing.write_text("".join(
            f"{path.relative_to(folder)} {(best + index % 2) % 1000}\n"
            for index, (path, best) in enumerate(zip(paths, predictions))))
        check(ours.measure(), peers[0].measure(), options)
        print(f"{cpu_name()}, {core_count()} cores; hgnet {ours.version}; PyTorch {peers[0].version}; {options.model}, "
              f"{len(paths)} pictures, batch {options.batch}, {options.threads} threads; {options.rounds} rounds")
        rates = {engine.name: [] for engine in (ours, *peers)}
        for index in range(options.rounds):
            for engine in (ours, *peers) if index % 2 == 0 else reversed((ours, *peers)):
                rates[engine.name].append(engine.measure()["rate"])
    report(options, ours, peers, rates, len(paths))


def check(ours, theirs, options):
    """The same answers: PyTorch rounds sizes differently, so pictures that are not drawn may be a pixel off."""
    tolerance = 2e-2 if options.pictures else 1e-3
    difference = abs(ours["loss"] - theirs["loss"]) / theirs["loss"]
    print(f"loss {ours['loss']:.5f} and {theirs['loss']:.5f}, top-1 {ours['top1']:.4f} and {theirs['top1']:.4f}")
    if difference > tolerance or abs(ours["top1"] - theirs["top1"]) > (0.05 if options.pictures else 0.01):
        sys.exit("compare: hgnet and PyTorch answer differently; times of different answers mean nothing")


def report(options, ours, peers, rates, count):
    print(f"\n{'pictures/s':<22}{'maximum':>10}{'median':>10}")
    for name, values in rates.items():
        print(f"{name:<22}{max(values):>10.1f}{statistics.median(values):>10.1f}")
    best = max(peers, key=lambda peer: statistics.median(rates[peer.name]))
    mine = rates[ours.name]
    ratio = {
        "ratio_maxima": max(mine) / max(max(rates[peer.name]) for peer in peers),
        "ratio_medians": statistics.median(mine) / statistics.median(rates[best.name]),
        "ratio_rounds": statistics.median(
            mine[index] / max(rates[peer.name][index] for peer in peers) for index in range(options.rounds))}
    print(f"hgnet ÷ fastest PyTorch: maxima {ratio['ratio_maxima']:.2f}, medians {ratio['ratio_medians']:.2f}, "
          f"by round {ratio['ratio_rounds']:.2f}")
    rows = [{
        "date": today(), "cpu": cpu_name(), "cores": core_count(), "model": options.model, "batch": options.batch,
        "threads": options.threads, "pictures": count, "engine": engine.name, "version": engine.version,
        "maximum_per_second": f"{max(rates[engine.name]):.1f}",
        "median_per_second": f"{statistics.median(rates[engine.name]):.1f}", "rounds": options.rounds,
        **{name: f"{value:.3f}" for name, value in ratio.items()}} for engine in (ours, *peers)]
    write_rows(rows, options.output, "evaluation-")


if __name__ == "__main__":
    main()
