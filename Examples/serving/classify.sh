#!/usr/bin/env bash
# Classifies a picture with curl: classify.sh http://127.0.0.1:8080 photo.jpg
set -euo pipefail
curl --fail-with-body --silent --show-error --data-binary "@$2" "$1/v1/classify?top_k=1"
