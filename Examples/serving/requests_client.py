"""Classifies pictures with plain HTTP: several files in one form.

    pip install requests
    python requests_client.py http://127.0.0.1:8080 photo.jpg …
"""

import sys

import requests

address, *paths = sys.argv[1:]
answer = requests.post(
    f"{address}/v1/classify", files=[("pictures", (path, open(path, "rb"))) for path in paths], timeout=60
)
answer.raise_for_status()
for prediction in answer.json()["predictions"]:
    best = prediction["classes"][0]
    print(prediction["file"], best.get("label", best["index"]), f"{best['score']:.4f}")
