"""Reads written.yaml with PyYAML as PaddleClas does and compares it with texts.json."""
import json
import math

import yaml

import make

texts = json.load(open("texts.json", encoding="utf-8"))
found = make.walked(yaml.safe_load(open("written.yaml", encoding="utf-8", newline="").read()))
assert list(found["values"].values()) == texts
assert found["list"] == texts
assert found["labels"] == [{"label_list": texts, "first": texts[0]}]
assert list(found["names"]) == texts
assert [entry["name"] for entry in found["entries"]] == texts
for found_number, number in zip(
    found["numbers"],
    [0, -1, 2**63 - 1, -(2**63), 2**63, 0.0, -0.0, 1.0, 1e-5, 1e16, 1e300, 5e-324, 0.1, math.inf, -math.inf], strict=True):
    assert repr(found_number) == repr(number), (found_number, number)
print(len(texts), "texts are what they were")
