"""The command `hgnet` of the Python package: predict, embed, bench, models.

The tool of the same name, built from Swift, has more commands; what both have they call alike.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
import typing

import numpy as np

from . import errors, published
from ._inputs import pictures_in
from ._native import version
from .classifier import Classifier
from .predictions import Prediction

# Exit codes follow sysexits.h, as the tool's do.
_STATUSES: tuple[tuple[type[errors.Error], int], ...] = (
    (errors.InvalidArgument, 64),
    (errors.FileMissing, 66),
    (errors.UnreadableFile, 66),
    (errors.NetworkFailure, 69),
    (errors.UnwritableFile, 73),
    (errors.InvalidConfiguration, 78),
    (errors.InternalError, 70),
    (errors.Error, 65),
)


def main(arguments: typing.Sequence[str] | None = None) -> int:
    """Runs a command; gives the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except errors.Error as error:
        print(f"hgnet: error: {error}", file=sys.stderr)
        return next(status for kind, status in _STATUSES if isinstance(error, kind))
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hgnet", description="PP-HGNetV2 image classifiers.")
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="classify pictures or folders of pictures")
    _add_pictures(predict)
    predict.add_argument("--top-k", type=int, metavar="K", help="how many classes are told (default: 5)")
    predict.add_argument("--threshold", type=float, metavar="SCORE", help="tell every class whose score reaches this")
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", dest="form", const="json", help="print one JSON list")
    form.add_argument(
        "--json-lines", action="store_const", dest="form", const="json-lines", help="one JSON object a line"
    )
    form.add_argument(
        "--csv", action="store_const", dest="form", const="csv", help="a line for each class of each picture"
    )
    predict.set_defaults(run=_predict)

    embed = commands.add_parser("embed", help="write embeddings, or find the nearest pictures")
    _add_pictures(embed)
    embed.add_argument("-o", "--output", metavar="FILE", help="vectors.npy (names go to vectors.txt) or vectors.csv")
    embed.add_argument("--nearest", metavar="PICTURE", help="print the pictures nearest to this one, by cosine")
    embed.add_argument("--count", type=int, default=5, metavar="N", help="how many of them (default: 5)")
    embed.set_defaults(run=_embed)

    bench = commands.add_parser("bench", help="measure milliseconds of a run")
    _add_model(bench)
    bench.add_argument("--batch", type=int, default=1, metavar="N", help="pictures of a run (default: 1)")
    bench.add_argument("--runs", type=int, default=50, metavar="N", help="runs that are measured (default: 50)")
    bench.add_argument("--json", action="store_true", help="print JSON")
    bench.set_defaults(run=_bench)

    models = commands.add_parser("models", help="list the models and their published weights")
    models.add_argument("--json", action="store_true", help="print JSON")
    models.set_defaults(run=_models)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", metavar="FILE", help="weights in any format, or the name of published ones")
    parser.add_argument("--model", metavar="NAME", help="the model whose published weights are taken (PPHGNetV2_B4)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads; otherwise all that the process may use")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu or reference")
    parser.add_argument("--precision", default="float32", metavar="NAME", help="float32, bfloat16, int8 or auto")
    parser.add_argument("--offline", action="store_true", help="never use the network")


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="pictures and folders; - for one on standard input")
    _add_model(parser)
    parser.add_argument("--labels", metavar="FILE", help='names of the classes: lines "index name"')


def _classifier(options: argparse.Namespace, **others: typing.Any) -> Classifier:
    return Classifier(
        options.weights or options.model or "PPHGNetV2_B4",
        model=options.model if options.weights else None,
        threads=options.threads,
        device=options.device,
        precision=options.precision,
        offline=options.offline,
        **others,
    )


def _pictures(paths: typing.Sequence[str]) -> typing.Iterator[tuple[str, typing.Any]]:
    for path in paths:
        if path == "-":
            yield "-", sys.stdin.buffer.read()
        elif os.path.isdir(path):
            yield from ((picture, picture) for picture in pictures_in(path))
        else:
            yield path, path


def _predict(options: argparse.Namespace) -> int:
    classifier = _classifier(options, labels=options.labels, top_k=options.top_k, threshold=options.threshold)
    pictures = list(_pictures(options.paths))
    results = classifier.predict((picture for _, picture in pictures), on_error="return")
    failures, writer, documents = 0, csv.writer(sys.stdout, lineterminator="\n"), []
    if options.form == "csv":
        writer.writerow(["file_name", "rank", "class_id", "score", "label_name", "error"])
    for (name, _), prediction in zip(pictures, results):
        if prediction.error is not None:
            failures += 1
            print(f"hgnet: warning: {prediction.error}; the picture is skipped", file=sys.stderr)
        document = {**prediction.to_dict(), "file_name": name}
        if options.form == "json":
            documents.append(document)
        elif options.form == "json-lines":
            print(json.dumps(document, ensure_ascii=False))
        elif options.form == "csv":
            writer.writerows(_rows(name, prediction))
        elif prediction.error is None:
            print(name)
            for score in prediction:
                print(f"  {score.score:.4f}  {score.label or f'class {score.class_id}'}")
    if options.form == "json":
        json.dump(documents, sys.stdout, ensure_ascii=False, indent=2)
        print()
    return 65 if failures else 0


def _rows(name: str, prediction: Prediction) -> list[list[typing.Any]]:
    if prediction.error is not None:
        return [[name, "", "", "", "", prediction.error]]
    rows = [
        [name, rank + 1, score.class_id, score.score, score.label or "", ""] for rank, score in enumerate(prediction)
    ]
    return rows or [[name, "", "", "", "", ""]]


def _embed(options: argparse.Namespace) -> int:
    if options.output is None and options.nearest is None:
        raise errors.InvalidArgument("expected --output FILE or --nearest PICTURE, found neither")
    if options.output is not None and not options.output.endswith((".npy", ".csv")):
        raise errors.InvalidArgument(f"expected --output of .npy or .csv, found {options.output}")
    classifier = _classifier(options)
    pictures = list(_pictures(options.paths))
    names = [name for name, _ in pictures]
    vectors = classifier.embed(picture for _, picture in pictures)
    if options.output is not None:
        _write(options.output, names, vectors)
    if options.nearest is not None:
        wanted = classifier.embed(options.nearest)
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted)
        similarities = np.divide(vectors @ wanted, lengths, out=np.zeros(len(names)), where=lengths > 0)
        for index in np.argsort(-similarities, kind="stable")[: options.count]:
            print(f"{similarities[index]:.4f}  {names[index]}")
    return 0


def _write(path: str, names: list[str], vectors: np.ndarray) -> None:
    try:
        if path.endswith(".npy"):
            np.save(path, vectors)
            with open(f"{path[:-4]}.txt", "w", encoding="utf-8", errors="surrogateescape") as file:
                file.writelines(f"{name}\n" for name in names)
            return
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["file_name", *(f"v{index}" for index in range(vectors.shape[1]))])
            writer.writerows([name, *map(str, row)] for name, row in zip(names, vectors))
    except OSError as error:
        raise errors.UnwritableFile(f"{path}: cannot write the file ({error})") from error


def _bench(options: argparse.Namespace) -> int:
    if options.batch < 1 or options.runs < 1:
        raise errors.InvalidArgument("expected --batch and --runs of 1 or more")
    begin = time.perf_counter()
    classifier = _classifier(options)
    loading = (time.perf_counter() - begin) * 1e3
    x = np.random.default_rng(0).standard_normal((options.batch, 3, *classifier.input_size), dtype=np.float32)
    for _ in range(3):
        classifier.run(x)
    times = []
    for _ in range(options.runs):
        begin = time.perf_counter()
        classifier.run(x)
        times.append((time.perf_counter() - begin) * 1e3)
    result = {
        "model": classifier.model,
        "device": classifier.device,
        "precision": classifier.precision,
        "threads": classifier.threads,
        "batch": options.batch,
        "load_ms": loading,
        "minimum_ms": min(times),
        "median_ms": float(np.median(times)),
        "p95_ms": float(np.percentile(times, 95)),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{classifier!r}, batch {options.batch}")
        print(
            f"  load {loading:.1f} ms, run: minimum {result['minimum_ms']:.2f} ms, "
            f"median {result['median_ms']:.2f} ms, 95 % below {result['p95_ms']:.2f} ms"
        )
    return 0


def _models(options: argparse.Namespace) -> int:
    best = [file for file in published.files() if file.is_best]
    if options.json:
        print(
            json.dumps(
                [
                    {
                        "model": file.model,
                        "file": file.file,
                        "parameters": file.parameters,
                        "multiply_adds": file.multiply_adds,
                        "input_size": list(file.input_size),
                        "top1": file.top1,
                        "cached": file.is_cached,
                    }
                    for file in best
                ],
                indent=2,
            )
        )
        return 0
    print(f"{'model':14} {'parameters':>11} {'multiply-adds':>15}  input    top-1 %  cached")
    for file in best:
        top1 = "" if file.top1 is None else f"{file.top1:.2f}"
        print(
            f"{file.model:14} {file.parameters / 1e6:9.2f} M {file.multiply_adds / 1e9:13.2f} G  "
            f"{file.input_size[0]}×{file.input_size[1]}  {top1:>7}  {'yes' if file.is_cached else 'no'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
