"""Classifies a picture as clients of Paddle Serving do.

    pip install requests
    python paddle.py http://127.0.0.1:8080/imagenet/prediction photo.jpg
"""

import base64
import json
import sys

import requests

address, path = sys.argv[1:]
with open(path, "rb") as file:
    picture = base64.b64encode(file.read()).decode("utf8")
answer = requests.post(url=address, data=json.dumps({"key": ["image"], "value": [picture]}), timeout=60)
print(answer.json())
