"""What the tests need: weights that `hgnet demo` made, its pictures, and the tool as the oracle.

HGNET_DEMO is the folder of `hgnet demo`, HGNET_TOOL the tool; Scripts/check-python makes both.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest

import hgnet


@pytest.fixture(scope="session")
def demo() -> pathlib.Path:
    folder = os.environ.get("HGNET_DEMO")
    if not folder:
        pytest.fail("expected HGNET_DEMO, the folder of `hgnet demo`; run Scripts/check-python")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def weights(demo: pathlib.Path) -> str:
    return str(demo / "training" / "best_model.pdparams")


@pytest.fixture(scope="session")
def pictures(demo: pathlib.Path) -> list[str]:
    return sorted(str(path) for path in (demo / "pictures" / "new").rglob("*.jpg"))


@pytest.fixture(scope="session")
def tool():
    """Runs the tool and gives what it prints."""

    def run(*arguments: str) -> str:
        return subprocess.run([os.environ["HGNET_TOOL"], *arguments], check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture(scope="session")
def expected(tool, weights: str, pictures: list[str]) -> list[dict]:
    """What the tool says about the pictures, all classes."""
    return json.loads(tool("predict", *pictures, "--weights", weights, "--top-k", "10", "--json"))


@pytest.fixture(scope="module")
def classifier(weights: str):
    with hgnet.Classifier(weights, threads=2) as opened:
        yield opened
