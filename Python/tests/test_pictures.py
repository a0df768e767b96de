"""Pictures in every form give what the tool gives."""

from __future__ import annotations

import io
import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

import hgnet


def pairs(prediction) -> list[tuple[int, float]]:
    return [(score.class_id, score.score) for score in prediction]


def test_files_give_the_bits_of_the_tool(classifier, pictures, expected):
    for prediction, entry in zip(classifier.predict(pictures, top_k=10), expected):
        assert prediction.to_dict() == entry
    assert len(pictures) == len(expected) == 12


def test_one_is_one_and_several_are_a_list(classifier, pictures):
    one = classifier.predict(pictures[0])
    assert isinstance(one, hgnet.Prediction) and len(one) == 5
    several = classifier.predict(pictures[:3], top_k=1)
    assert isinstance(several, list) and [len(prediction) for prediction in several] == [1, 1, 1]
    assert classifier.predict([]) == []
    assert one.label == one[0].label and one.class_id == one[0].class_id and one.score == one[0].score
    assert [score.score for score in one] == sorted((score.score for score in one), reverse=True)


def test_every_form_of_a_picture_is_the_same_picture(classifier, pictures, tmp_path):
    # A PNG holds the pixels exactly; every decoder gives the same.
    pixels = np.asarray(Image.open(pictures[0]).convert("RGB"))
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    wanted = pairs(classifier.predict(str(path)))
    forms = {
        "path": path,
        "bytes": content,
        "bytearray": bytearray(content),
        "memoryview": memoryview(content),
        "array": pixels,
        "pillow": Image.open(path),
        "rows apart": np.pad(pixels, ((0, 0), (0, 7), (0, 0)))[:, : pixels.shape[1]],
        "mirrored twice": np.ascontiguousarray(pixels[:, ::-1])[:, ::-1],
        "fortran": np.asfortranarray(pixels),
        "with alpha": np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)]),
        "palette": Image.open(path).convert("RGBA"),
    }
    for name, form in forms.items():
        assert pairs(classifier.predict(form)) == wanted, name
    assert pairs(classifier.predict(pixels[:, :, ::-1], channels="BGR")) == wanted
    assert [pairs(prediction) for prediction in classifier.predict(np.stack([pixels, pixels]))] == [wanted, wanted]
    grey = np.ascontiguousarray(pixels[:, :, 0])
    spread = np.dstack([grey, grey, grey])
    assert (
        pairs(classifier.predict(grey))
        == pairs(classifier.predict(spread))
        == pairs(classifier.predict(Image.fromarray(grey)))
    )


def test_a_generator_is_read_no_further_than_needed(classifier, pictures):
    taken = []

    def source():
        for picture in pictures * 5:
            taken.append(picture)
            yield picture

    results = classifier.predict(source(), top_k=1)
    assert not taken
    first = next(results)
    assert len(taken) == 16 and first == classifier.predict(pictures[0], top_k=1)
    assert len(list(results)) == 59


def test_a_folder_is_its_pictures(classifier, demo):
    folder = demo / "pictures" / "new"
    predictions = classifier.predict(folder)
    assert [prediction.source for prediction in predictions] == sorted(
        os.path.join(place, name) for place, _, names in os.walk(folder) for name in names
    )


def test_probabilities_are_scikit_learns(classifier, pictures, expected):
    probabilities = classifier.predict_proba(pictures)
    assert probabilities.shape == (12, 10) and probabilities.dtype == np.float64
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    for row, entry in zip(probabilities, expected):
        assert row[entry["class_ids"]].tolist() == entry["scores"]
    assert classifier.classes_[expected[0]["class_ids"]].tolist() == expected[0]["label_names"]
    assert classifier.predict_proba(pictures[0]).shape == (1, 10)


def test_what_the_network_sees_is_what_the_tool_writes(classifier, tool, weights, pictures, tmp_path):
    tool("preprocess", *pictures, "--weights", weights, "--output", str(tmp_path / "x.npy"))
    x = np.load(tmp_path / "x.npy")
    assert np.array_equal(classifier.preprocess(pictures), x)
    tool("run", weights, "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy"), "--features")
    assert np.array_equal(classifier.run(x), np.load(tmp_path / "y.npy"))
    for stage in range(4):
        wanted = np.load(tmp_path / f"y.stages.{stage}.npy")
        assert np.array_equal(classifier.forward_features(x, stage), wanted)
    assert np.array_equal(classifier.forward_features(pictures), wanted)


def test_embeddings_are_the_tools(classifier, tool, weights, pictures, tmp_path):
    tool("embed", *pictures, "--weights", weights, "-o", str(tmp_path / "vectors.npy"))
    vectors = classifier.embed(pictures)
    assert vectors.shape == (12, classifier.embedding_count) and vectors.dtype == np.float32
    assert np.array_equal(vectors, np.load(tmp_path / "vectors.npy"))
    assert np.array_equal(classifier.embed(pictures[3]), vectors[3])
    assert np.array_equal(classifier.embed(picture for picture in pictures), vectors)


def test_tensors_of_other_libraries(classifier):
    x = np.random.default_rng(1).standard_normal((2, 3, 64, 64)).astype(np.float32)
    wanted = classifier.run(x)

    class Foreign:
        """An array of another library, which only knows how to be exported."""

        def __dlpack__(self, **options):
            return x.__dlpack__()

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    class Older:
        __array_interface__ = x.__array_interface__
        keeps = x

    assert np.array_equal(classifier.run(Foreign()), wanted)
    assert np.array_equal(classifier.run(Older()), wanted)
    assert np.array_equal(classifier(x.astype(np.float64)), wanted)
    assert np.array_equal(classifier.run(np.asfortranarray(x)), wanted)
    assert classifier.run(x[:0]).shape == (0, 10)


def test_a_notebook_shows_the_picture_and_bars(classifier, pictures):
    shown = classifier.predict(pictures[0])._repr_html_()
    assert "data:image/jpeg;base64," in shown and shown.count("width:") > 5
    pixels = np.asarray(Image.open(pictures[0]))
    import base64

    from hgnet.predictions import picture_address

    for source in (pixels, Image.open(pictures[0]), pixels[:, :, 0], np.tile(pixels, (9, 9, 1))):
        address = picture_address(source)
        image = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
        assert max(image.size) <= 256
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(base64.b64decode(picture_address(pixels).split(",")[1])))), pixels
    )
    assert "<script" not in hgnet.Prediction([hgnet.Score(0, 0.5, "<script>")])._repr_html_()
    assert classifier.predict(pictures)._repr_html_().count("<img") == 12


def test_paddleclas_code_runs(weights, pictures, demo, tmp_path):
    model = hgnet.PaddleClas(inference_model_dir=weights, topk=2, batch_size=5, resize_short=64, crop_size=64)
    batches = list(model.predict(input_data=str(demo / "pictures" / "new")))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    first = batches[0][0]
    assert list(first) == ["class_ids", "scores", "label_names", "filename"]
    assert len(first["class_ids"]) == 2 and first["filename"] == pictures[0]
    assert first["scores"] == [round(score, 5) for score in first["scores"]]
    assert list(next(model.predict(np.asarray(Image.open(pictures[0]))))[0]) == ["class_ids", "scores", "label_names"]
    with pytest.raises(hgnet.InvalidArgument):
        hgnet.PaddleClas()
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(hgnet.Unsupported, match="a.jpg"):
        next(model.predict(str(tmp_path / "a.jpg")))


def test_the_command_prints_what_the_tool_prints(capfd, weights, pictures, expected, tool):
    from hgnet.__main__ import main

    assert main(["predict", *pictures, "--weights", weights, "--top-k", "10", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == expected
    csv = tool("predict", *pictures, "--weights", weights, "--csv")
    assert main(["predict", *pictures, "--weights", weights, "--csv"]) == 0
    assert capfd.readouterr().out == csv
    assert main(["predict", pictures[0], "nothing.jpg", "--weights", weights]) == 65
    assert main(["predict", pictures[0], "--weights", "nothing.pdparams"]) == 66
    capfd.readouterr()
    assert main(["embed", *pictures, "--weights", weights, "--nearest", pictures[4], "--count", "1"]) == 0
    assert capfd.readouterr().out == f"1.0000  {pictures[4]}\n"
    assert main(["bench", "--weights", weights, "--runs", "2", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["batch"] == 1
    assert main(["models", "--json"]) == 0
    models = json.loads(capfd.readouterr().out)
    theirs = json.loads(tool("models", "--json"))
    for own, other in zip(models, theirs):
        for key in ("model", "file", "parameters", "multiply_adds", "input_size", "top1"):
            assert own[key] == other[key]
    assert len(models) == len(theirs) == 10


def test_a_session_like_onnx_runtimes(tool, weights, pictures, classifier, tmp_path):
    tool("export", "--weights", weights, "--format", "onnx", "--output", str(tmp_path))
    path = str(next(pathlib.Path(tmp_path).rglob("*.onnx")))
    x = classifier.preprocess(pictures)
    session = hgnet.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    ours = session.run(None, {name: x})[0]
    assert ours.dtype == np.float32 and session.run([session.get_outputs()[0].name], {name: x})[0].shape == (12, 10)
    with pytest.raises(hgnet.InvalidArgument):
        session.run(["nonsense"], {name: x})
    onnxruntime = pytest.importorskip("onnxruntime", reason="nothing to compare with")
    other = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    theirs = other.run(None, {other.get_inputs()[0].name: x})[0]
    # Two orders of summation in float32.
    assert np.abs(ours - theirs).max() < 1e-4
