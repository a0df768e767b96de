"""Opening, mistakes, threads, processes, published weights."""

from __future__ import annotations

import concurrent.futures
import gc
import http.server
import logging
import multiprocessing
import os
import pathlib
import pickle
import shutil
import threading

import numpy as np
import pytest

import hgnet
from hgnet import published


def test_what_it_is(classifier, tool):
    assert hgnet.__version__ == tool("--version").strip()
    assert classifier.model == "PPHGNetV2_B0" and classifier.class_count == 10 and len(classifier.labels) == 10
    assert classifier.threads <= 2 and classifier.precision == "float32" and "cpu" in classifier.device
    assert classifier.recipe_origin == "beside" and classifier.activation == "softmax"
    assert "PPHGNetV2_B0" in repr(classifier)


def test_weights_in_every_form(weights, pictures, classifier, tool, tmp_path):
    wanted = classifier.predict(pictures[0])
    assert hgnet.Classifier(pathlib.Path(weights)).predict(pictures[0]) == wanted
    # PaddleClas leaves the ending out.
    assert hgnet.Classifier(weights.removesuffix(".pdparams")).predict(pictures[0]) == wanted
    tool("export", "--weights", weights, "--output", str(tmp_path))
    folder = next(pathlib.Path(tmp_path).rglob("inference.yml")).parent
    assert [s.class_id for s in hgnet.Classifier(folder).predict(pictures[0])] == [s.class_id for s in wanted]
    height, width = classifier.input_size
    memory = hgnet.Classifier(
        pathlib.Path(weights).read_bytes(), labels=[f"class number {i}" for i in range(10)], crop_size=height
    )
    assert memory.labels[3] == "class number 3" and memory.input_size == (height, width)
    assert memory.embed(pictures[0]).shape == (2048,)


def test_options(weights, pictures, classifier):
    assert len(hgnet.Classifier(weights, top_k=3).predict(pictures[0])) == 3
    every = hgnet.Classifier(weights, threshold=0).predict(pictures[0])
    assert [score.class_id for score in every] == list(range(10))
    exact = hgnet.Classifier(weights, device="reference").predict_proba(pictures[0])
    assert np.abs(exact - classifier.predict_proba(pictures[0])).max() < 1e-5
    half = hgnet.Classifier(weights, precision="bfloat16")
    assert half.precision == "bfloat16" and np.abs(half.predict_proba(pictures[0]) - exact).max() < 0.05


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": 1025},
        {"threads": 2.5},
        {"threads": True},
        {"device": "toaster"},
        {"precision": "float8"},
        {"model": "PPHGNetV9"},
        {"top_k": 0},
        {"top_k": 3, "threshold": 0.5},
        {"crop_size": -1},
        {"labels": ["a\nb"]},
        {"threshold": float("nan")},
        {"recipe": 5},
    ],
)
def test_wrong_options(weights, options):
    with pytest.raises(hgnet.InvalidArgument) as caught:
        hgnet.Classifier(weights, **options)
    assert isinstance(caught.value, ValueError) and str(caught.value)


def test_wrong_weights(pictures):
    with pytest.raises(FileNotFoundError, match="nothing.pdparams"):
        hgnet.Classifier("folder/nothing.pdparams")
    with pytest.raises(hgnet.FileMissing):
        hgnet.Classifier("nothing.safetensors")
    with pytest.raises(hgnet.MalformedData):
        hgnet.Classifier(pictures[0])
    with pytest.raises(hgnet.InvalidArgument, match="PPHGNetV2_B4"):
        hgnet.Classifier("ResNet50")
    with pytest.raises(hgnet.Error):
        hgnet.Classifier(b"")
    for wrong in (None, 5, ["a"]):
        with pytest.raises(hgnet.InvalidArgument):
            hgnet.Classifier(wrong)
    with pytest.raises(hgnet.Error):
        hgnet.Classifier(b"not weights at all")


def test_labels_that_cannot_be_the_classes(weights, tmp_path):
    (tmp_path / "labels.txt").write_text("".join(f"{index} name\n" for index in range(50)))
    with pytest.raises(hgnet.MalformedData, match="labels.txt"):
        hgnet.Classifier(weights, labels=tmp_path / "labels.txt")
    with pytest.raises(hgnet.InvalidArgument, match="10 classes"):
        hgnet.Classifier(weights, labels=["a", "b"])


def test_wrong_pictures(classifier, pictures, tmp_path):
    for wrong in (None, 5, 1.5, object(), {"a": 1}.get, [None], [5]):
        with pytest.raises(hgnet.InvalidArgument):
            classifier.predict(wrong)
    for shape, kind in (
        ((5, 5, 3), np.float32),
        ((5, 5, 2), np.uint8),
        ((5,), np.uint8),
        ((1, 2, 3, 4, 5), np.uint8),
        ((0, 0, 3), np.uint8),
    ):
        with pytest.raises(hgnet.Error):
            classifier.predict(np.zeros(shape, kind))
    with pytest.raises(hgnet.FileMissing, match="nothing.jpg"):
        classifier.predict([pictures[0], "nothing.jpg"])
    with pytest.raises(hgnet.Unsupported, match="JPEG, PNG, WebP or BMP"):
        classifier.predict(b"no picture")
    with pytest.raises(hgnet.Error):
        classifier.predict(b"")
    for top_k in (0, -1, 2.5, "3"):
        with pytest.raises(hgnet.InvalidArgument):
            classifier.predict(pictures[0], top_k=top_k)
    with pytest.raises(hgnet.FileMissing):
        classifier.predict(tmp_path)
    with pytest.raises(hgnet.InvalidArgument):
        classifier.predict(pictures[0], channels="HSV")
    returned = classifier.predict([pictures[0], "nothing.jpg", b"x", pictures[1]], on_error="return")
    assert [prediction.error is None for prediction in returned] == [True, False, False, True]
    assert isinstance(returned[1].error, hgnet.FileMissing) and returned[3] == classifier.predict(pictures[1])
    with pytest.raises(hgnet.FileMissing):
        assert returned[1].label
    assert "nothing.jpg" in returned.__repr__() and "error" in returned[1].to_dict()


def test_wrong_tensors(classifier):
    x = np.zeros((1, 3, 64, 64), np.float32)
    for wrong in (None, x[0], x[:, :2], x.astype(np.int32), "x", [[1.0]]):
        with pytest.raises(hgnet.Error):
            classifier.run(wrong)
    with pytest.raises(hgnet.InvalidArgument):
        classifier.forward_features(x, 4)


def test_closed(weights, pictures):
    with hgnet.Classifier(weights) as classifier:
        classifier.predict(pictures[0])
    classifier.close()
    for call in (
        lambda: classifier.predict(pictures[0]),
        lambda: classifier.run(np.zeros((1, 3, 64, 64), np.float32)),
        lambda: classifier.embed(pictures[0]),
        lambda: pickle.dumps(classifier),
    ):
        with pytest.raises(hgnet.Closed):
            call()
    assert "closed" in repr(classifier)


def test_threads_side_by_side(classifier, pictures, expected):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for index, prediction in enumerate(
            pool.map(lambda i: classifier.predict(pictures[i % 12], top_k=10), range(48))
        ):
            assert prediction.to_dict() == expected[index % 12]


def test_the_interpreter_goes_on_meanwhile(classifier):
    # If a call held the interpreter's lock, the other thread could not count.
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1

    x = np.zeros((16, 3, 224, 224), np.float32)
    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    classifier.run(x)
    during = counted[0] - before
    done.set()
    thread.join()
    assert during > 1000


def _in_child(classifier, picture, queue):
    queue.put(classifier.predict(picture).to_dict())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes(classifier, pictures, method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_in_child, args=(classifier, pictures[0], queue))
    process.start()
    assert queue.get(timeout=60) == classifier.predict(pictures[0]).to_dict()
    process.join()
    assert process.exitcode == 0


def test_memory_is_given_back(weights, pictures):
    def resident() -> int:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def work():
        with hgnet.Classifier(weights, threads=1) as classifier:
            classifier.predict(pictures)

    for _ in range(3):
        work()
    gc.collect()
    before = resident()
    for _ in range(6):
        work()
    gc.collect()
    # The weights alone have 17 MB.
    assert resident() - before < 17e6


def test_what_is_noticed_goes_to_the_log(weights, caplog):
    with caplog.at_level(logging.INFO, "hgnet"):
        hgnet.Classifier(pathlib.Path(weights).read_bytes())
    assert any("assumed" in record.message for record in caplog.records)


# ---- Published weights ----


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HGNET_WEIGHTS_URL", raising=False)
    return tmp_path / "cache" / "hgnet"


NAME = "PPHGNetV2_B0_ssld_pretrained.pdparams"


def test_names():
    assert hgnet.list_models() == [f"PPHGNetV2_B{i}" for i in range(7)] + [
        f"PPHGNet_{size}" for size in ("tiny", "small", "base")
    ]
    for name in ("PPHGNetV2_B0", "b0", "hgnetv2_b0", "pphgnetv2-b0", NAME, NAME.removesuffix(".pdparams")):
        assert published.find(name).file == NAME
    assert published.find("tiny").model == "PPHGNet_tiny"
    assert published.find("PPHGNetV2_B4_ssld_infer.tar").is_inference_model


def test_offline(cache):
    with pytest.raises(hgnet.FileMissing, match=NAME):
        hgnet.Classifier("b0", offline=True)


def test_a_mirror_that_is_a_folder(cache, tmp_path, monkeypatch, weights, pictures):
    mirror = tmp_path / "mir ror"
    mirror.mkdir()
    monkeypatch.setenv("HGNET_WEIGHTS_URL", str(mirror))
    with pytest.raises(hgnet.NetworkFailure, match=NAME):
        hgnet.fetch("b0")
    assert not list(cache.iterdir())
    (mirror / NAME).write_bytes(pathlib.Path(weights).read_bytes()[:1000])
    with pytest.raises(hgnet.NetworkFailure, match="not a readable"):
        hgnet.fetch("b0")
    assert not list(cache.iterdir())
    shutil.copy(weights, mirror / NAME)
    assert hgnet.fetch("b0") == cache / NAME
    assert hgnet.Classifier("PPHGNetV2_B0", offline=True).class_count == 10
    monkeypatch.setenv("HGNET_WEIGHTS_URL", "gopher://nowhere")
    with pytest.raises(hgnet.InvalidArgument, match="HGNET_WEIGHTS_URL"):
        hgnet.fetch("b1")


def test_a_dropped_connection_is_resumed(cache, monkeypatch, weights):
    content = pathlib.Path(weights).read_bytes()
    ranges = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.path.startswith("/legendary_models/"):
                self.send_error(404)
                return
            header = self.headers.get("Range")
            ranges.append(header)
            begin = int(header.removeprefix("bytes=").removesuffix("-")) if header else 0
            self.send_response(206 if header else 200)
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            self.wfile.write(content[begin : begin + 6_000_000])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setenv("HGNET_WEIGHTS_URL", f"http://127.0.0.1:{server.server_port}")
        path = hgnet.fetch("b0", progress=False)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert path.read_bytes() == content and ranges[0] is None and len(ranges) > 1
    assert [entry.name for entry in cache.iterdir()] == [NAME]
