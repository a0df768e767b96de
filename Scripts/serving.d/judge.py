"""tritonclient's ordinary calls, over HTTP and gRPC, at once and with asyncio, must work unchanged, and Prometheus'
parser must read the page of metrics.

usage: judge.py TOOL WEIGHTS PICTURE…
"""

import asyncio
import base64
import json
import subprocess
import sys
import threading
import urllib.request

import grpc
import numpy
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from server import Server

sys.path.append("Sources/HGNetServing/Protocols")
tool, weights, *pictures = sys.argv[1:]
expected = json.loads(
    subprocess.run(
        [tool, "predict", *pictures, "--weights", weights, "--json"], capture_output=True, text=True, check=True
    ).stdout
)
files = numpy.array([open(path, "rb").read() for path in pictures], dtype=numpy.object_)


def check(condition, text):
    if not condition:
        raise SystemExit(f"judge: {text}")


def picture_input(package):
    given = package.InferInput("image", [len(files)], "BYTES")
    given.set_data_from_numpy(files)
    return given


def judge_pictures(result, name):
    scores, labels, indices = (result.as_numpy(output) for output in ("score", "label", "index"))
    for row, told in enumerate(expected):
        check(indices[row].tolist() == told["class_ids"], f"{name}: other classes than predict")
        check(numpy.allclose(scores[row], told["scores"], atol=1e-6), f"{name}: other scores than predict")
        check([text.decode() for text in labels[row]] == told["label_names"], f"{name}: other labels than predict")


def judge(package, client, name):
    text = lambda value: value if isinstance(value, str) else value.name
    check(client.is_server_live() and client.is_server_ready() and client.is_model_ready("shapes"), f"{name}: health")
    metadata = client.get_server_metadata()
    check((metadata["name"] if isinstance(metadata, dict) else metadata.name) == "hgnet", f"{name}: server metadata")
    model = client.get_model_metadata("shapes")
    shape = model["inputs"][1]["shape"] if isinstance(model, dict) else list(model.inputs[1].shape)
    check(shape[:2] == [-1, 3], f"{name}: model metadata")
    client.get_model_config("shapes")
    client.get_inference_statistics("shapes")
    client.get_model_repository_index()

    given = picture_input(package)
    wanted = [package.InferRequestedOutput(output) for output in ("score", "label", "index")]
    result = client.infer("shapes", [given], outputs=wanted, request_id="one", model_version="1")
    judge_pictures(result, name)
    response = result.get_response()
    check((response["id"] if isinstance(response, dict) else response.id) == "one", f"{name}: the id is lost")
    result = client.infer("shapes", [given], parameters={"who": "me", "count": 3})
    judge_pictures(result, name)
    response = result.get_response()
    echoed = response["parameters"] if isinstance(response, dict) else response.parameters
    check(set(echoed) == {"who", "count"}, f"{name}: the parameters are lost")
    best = client.infer(
        "shapes", [given], outputs=[package.InferRequestedOutput("probabilities", class_count=2)]
    ).as_numpy("probabilities")
    check(best.shape == (len(files), 2), f"{name}: classification")
    score, index, label = best[0][0].decode().split(":")
    check([int(index), label] == [expected[0]["class_ids"][0], expected[0]["label_names"][0]], f"{name}: classification")

    # The same picture as a file, as pixels in both orders, and as what the network takes, in two precisions.
    image = numpy.asarray(Image.effect_noise((96, 80), 60).convert("RGB"))
    for pixels in (image[None], numpy.ascontiguousarray(image.transpose(2, 0, 1))[None]):
        tensor = package.InferInput("input", list(pixels.shape), "UINT8")
        tensor.set_data_from_numpy(pixels)
        scores = client.infer("shapes", [tensor]).as_numpy("score")
        check(abs(scores.sum() - 1) < 0.5, f"{name}: pixels")
    values = numpy.random.default_rng(1).standard_normal([3, *shape[1:]]).astype(numpy.float32)
    tensor = package.InferInput("input", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    logits = client.infer("shapes", [tensor]).as_numpy("logits")
    half = package.InferInput("input", list(values.shape), "FP16")
    half.set_data_from_numpy(values.astype(numpy.float16))
    # Half precision has 11 bits.
    check(numpy.abs(client.infer("shapes", [half]).as_numpy("logits") - logits).max() < 0.05, f"{name}: FP16")
    for place in range(3):
        one = package.InferInput("input", [1, *shape[1:]], "FP32")
        one.set_data_from_numpy(values[place : place + 1])
        alone = client.infer("shapes", [one]).as_numpy("logits")
        check((alone[0] == logits[place]).all(), f"{name}: the results depend on the batch")
    for bad, message in ((("nope", [given]), "unknown model"), (("shapes", []), "expected one input")):
        try:
            client.infer(*bad)
            check(False, f"{name}: expected a refusal")
        except tritonclient.utils.InferenceServerException as error:
            check(message in error.message(), f"{name}: {error.message()}")
    return given, logits, tensor


def judge_http(url):
    client = tritonclient.http.InferenceServerClient(url, concurrency=4)
    given, logits, tensor = judge(tritonclient.http, client, "http")
    for future in [client.async_infer("shapes", [given]) for _ in range(8)]:
        judge_pictures(future.get_result(), "http, async_infer")
    values = numpy.random.default_rng(1).standard_normal(logits.shape[:1] + tuple(tensor.shape()[1:])).astype(numpy.float32)
    tensor.set_data_from_numpy(values, binary_data=False)
    result = client.infer(
        "shapes", [tensor], outputs=[tritonclient.http.InferRequestedOutput("logits", binary_data=False)])
    check((result.as_numpy("logits") == logits).all(), "http: JSON differs from binary")
    for packing in ("gzip", "deflate"):
        judge_pictures(
            client.infer(
                "shapes", [given], request_compression_algorithm=packing, response_compression_algorithm=packing),
            f"http, {packing}")
    client.unload_model("shapes")
    check(not client.is_model_ready("shapes") and not client.is_server_ready(), "http: unload")
    client.load_model("shapes")
    check(client.is_model_ready("shapes"), "http: load")


def judge_grpc(url):
    client = tritonclient.grpc.InferenceServerClient(url)
    given, _, _ = judge(tritonclient.grpc, client, "grpc")
    for packing in ("gzip", "deflate"):
        judge_pictures(client.infer("shapes", [given], compression_algorithm=packing), f"grpc, {packing}")
    done = threading.Event()
    results = []

    def collect(result, error):
        results.append((result, error))
        if len(results) >= 4:
            done.set()

    for _ in range(4):
        client.async_infer("shapes", [given], collect)
    check(done.wait(20), "grpc: async_infer does not answer")
    for result, error in results:
        check(error is None, f"grpc: {error}")
        judge_pictures(result, "grpc, async_infer")
    done.clear()
    results.clear()
    client.start_stream(collect)
    for name in ("shapes", "nope", "shapes", "shapes"):
        client.async_stream_infer(name, [given], request_id=name)
    check(done.wait(20), "grpc: the stream does not answer")
    client.stop_stream()
    check([error is None for _, error in results] == [True, False, True, True], "grpc: stream")
    try:
        client.infer("shapes", [given], client_timeout=0.00001)
        check(False, "grpc: expected a refusal for lack of time")
    except tritonclient.utils.InferenceServerException as error:
        check("DEADLINE" in str(error.status()), f"grpc: {error}")
    client.unload_model("shapes")
    check(not client.is_model_ready("shapes"), "grpc: unload")
    client.load_model("shapes")
    check(client.is_model_ready("shapes"), "grpc: load")


async def judge_asyncio(server):
    async with tritonclient.http.aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        check(await client.is_server_ready(), "http, asyncio: health")
        given = picture_input(tritonclient.http)
        for result in await asyncio.gather(*[client.infer("shapes", [given]) for _ in range(8)]):
            judge_pictures(result, "http, asyncio")
    async with tritonclient.grpc.aio.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        check(await client.is_server_ready(), "grpc, asyncio: health")
        given = picture_input(tritonclient.grpc)
        for result in await asyncio.gather(*[client.infer("shapes", [given]) for _ in range(8)]):
            judge_pictures(result, "grpc, asyncio")


def judge_pipeline(url):
    """Paddle Serving's client over gRPC, with messages made of the .proto file."""
    messages, services = grpc.protos_and_services("paddle_serving.proto")
    stub = services.PipelineServiceStub(grpc.insecure_channel(url))
    pictures = [base64.b64encode(file).decode() for file in files]
    answer = stub.inference(messages.Request(key=[f"image{place}" for place in range(len(files))], value=pictures))
    labels = ", ".join(repr(told["label_names"][0]) for told in expected)
    check((answer.err_no, list(answer.key)) == (0, ["label", "prob"]), f"pipeline: {answer}")
    check(answer.value[0] == f"[{labels}]", f"pipeline: {answer}")
    check(stub.inference(messages.Request(key=["image"], value=["!"])).err_no == 10000, "pipeline: a bad picture")
    check(stub.inference(messages.Request(name="nope")).err_no == 3002, "pipeline: an unknown name")


def metrics(server):
    """The families of the page, and each sample by its name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        check(answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), "metrics: the content type")
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            check(key not in samples, f"metrics: {key} twice")
            samples[key] = sample.value
    check(len({family.name for family in families}) == len(families), "metrics: a family twice")
    return families, samples


def judge_metrics(server):
    model = {"model": "shapes", "version": "1"}
    families, before = metrics(server)
    kinds = {family.name: family.type for family in families}
    # Prometheus' parser takes _total off the names of counters.
    wanted = {
        "hgnet_ready": "gauge", "hgnet_inference_requests": "counter", "hgnet_other_requests": "counter",
        "hgnet_pictures": "counter", "hgnet_queue_pictures": "gauge", "hgnet_batch_pictures": "histogram",
        "hgnet_request_seconds": "histogram", "hgnet_stage_seconds": "histogram", "hgnet_connections": "gauge",
        "hgnet_metrics_left_out": "counter", "process_resident_memory_bytes": "gauge",
    }
    check(kinds == wanted, f"metrics: {kinds}")
    check(all(family.documentation for family in families), "metrics: a family without help")

    over_http = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}")
    over_grpc = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    for _ in range(3):
        over_http.infer("shapes", [picture_input(tritonclient.http)])
    for _ in range(2):
        over_grpc.infer("shapes", [picture_input(tritonclient.grpc)])
    try:
        over_http.infer("shapes", [])
    except tritonclient.utils.InferenceServerException:
        pass
    families, after = metrics(server)

    def rise(name, **labels):
        key = (name, frozenset({**model, **labels}.items()))
        return after.get(key, 0) - before.get(key, 0)

    requests = "hgnet_inference_requests_total"
    check(rise(requests, protocol="http", outcome="ok") == 3, "metrics: requests over http")
    check(rise(requests, protocol="grpc", outcome="ok") == 2, "metrics: requests over grpc")
    check(rise(requests, protocol="http", outcome="invalidRequest") == 1, "metrics: refused requests")
    check(rise("hgnet_pictures_total") == 5 * len(files), "metrics: pictures")
    check(rise("hgnet_request_seconds_count") == 6, "metrics: timed requests")
    check(rise("hgnet_batch_pictures_count") == 5 and rise("hgnet_batch_pictures_sum") >= 5 * len(files), "metrics: batches")
    for stage in ("queue", "decode", "network"):
        check(rise("hgnet_stage_seconds_count", stage=stage) == 5, f"metrics: {stage}")
    for protocol in ("http", "grpc"):
        check(after[("hgnet_connections", frozenset({"protocol": protocol}.items()))] >= 1, f"metrics: {protocol}")
    for family in families:
        rows = {}
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                rest = frozenset((name, value) for name, value in sample.labels.items() if name != "le")
                rows.setdefault(rest, []).append((float(sample.labels["le"]), sample.value))
        for labels, row in rows.items():
            check(row == sorted(row) and [count for _, count in row] == sorted(count for _, count in row),
                  f"metrics: {family.name} is not ascending")
            check(row[-1][1] == after[(family.name + "_count", labels)], f"metrics: the count of {family.name}")

    # The statistics of the protocol are the same numbers.
    told = over_http.get_inference_statistics("shapes")["model_stats"][0]
    value = lambda name, **labels: after.get((name, frozenset({**model, **labels}.items())), 0)
    check(told["inference_count"] == value("hgnet_pictures_total"), "statistics: pictures")
    stats = told["inference_stats"]
    check(stats["queue"]["count"] == value("hgnet_stage_seconds_count", stage="queue"), "statistics: requests")
    check(abs(stats["compute_infer"]["ns"] - 1e9 * value("hgnet_stage_seconds_sum", stage="network")) < 10, "statistics: time")
    total = stats["success"]["ns"] + stats["fail"]["ns"]
    check(abs(total - 1e9 * value("hgnet_request_seconds_sum")) < 10, "statistics: time of requests")
    check(stats["success"]["count"] + stats["fail"]["count"] == value("hgnet_request_seconds_count"), "statistics: count")


with Server(tool, "--weights", weights, "--name", "shapes") as server:
    server.ready()
    judge_http(f"127.0.0.1:{server.port}")
    judge_grpc(f"127.0.0.1:{server.grpc_port}")
    asyncio.run(judge_asyncio(server))
    judge_pipeline(f"127.0.0.1:{server.grpc_port}")
    judge_metrics(server)
check(server.process.returncode == 0, f"the server ended with {server.process.returncode}")
print("judge: tritonclient agrees over http and grpc, Prometheus' parser reads the metrics")
