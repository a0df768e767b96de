"""Makes the wheel of the package: its modules, libhgnet.so and the licences in one file.

    python3 wheel.py LIBRARY FOLDER [--licences FILE...]

`pip wheel .` does the same with the library that lies in hgnet/lib. The tag says which glibc the library needs, as its
own table of versions has it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import pathlib
import platform
import re
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
# The oldest that pip knows for a processor of 64 bits.
OLDEST = (2, 17)

SUMMARY = "PP-HGNetV2 image classifiers: fast inference on processors, without a framework"
METADATA = """\
Metadata-Version: 2.1
Name: hgnet
Version: {version}
Summary: {summary}
License: Apache-2.0
Keywords: image classification,PP-HGNetV2,PaddleClas,inference
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Python :: 3
Classifier: Topic :: Scientific/Engineering :: Image Recognition
Classifier: Typing :: Typed
Requires-Python: >=3.9
Requires-Dist: numpy>=1.22
Description-Content-Type: text/markdown

{description}
"""
# The time of every file in the wheel, so that the same contents give the same bytes.
MOMENT = (2020, 1, 1, 0, 0, 0)


def version_of(library: pathlib.Path) -> str:
    """The version that the library names."""
    code = (
        "import ctypes, sys; version = ctypes.CDLL(sys.argv[1]).hgnet_version; version.restype = ctypes.c_char_p; "
        "print(version().decode())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(library.resolve())], check=True, capture_output=True, text=True
    ).stdout.strip()


def glibc_of(library: pathlib.Path) -> tuple[int, int]:
    """The newest version of glibc that the library asks for."""
    content = library.read_bytes()
    versions = {(int(major), int(minor)) for major, minor in re.findall(rb"\bGLIBC_(\d+)\.(\d+)", content)}
    return max(versions | {OLDEST})


def make(library: pathlib.Path, folder: pathlib.Path, licences: list[pathlib.Path]) -> pathlib.Path:
    """Writes the wheel into a folder and gives its path."""
    version = version_of(library)
    major, minor = glibc_of(library)
    tag = f"py3-none-manylinux_{major}_{minor}_{platform.machine()}"
    information = f"hgnet-{version}.dist-info"
    description = (HERE / "README.md").read_text(encoding="utf-8")
    files = {
        f"hgnet/{path.name}": path.read_bytes()
        for path in sorted((HERE / "hgnet").iterdir())
        if path.suffix in (".py", ".typed")
    }
    files["hgnet/lib/libhgnet.so"] = library.read_bytes()
    files |= {f"{information}/licenses/{path.name}": path.read_bytes() for path in licences}
    texts = {
        "METADATA": METADATA.format(version=version, summary=SUMMARY, description=description),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: hgnet\nRoot-Is-Purelib: false\nTag: {tag}\n",
        "entry_points.txt": "[console_scripts]\nhgnet = hgnet.__main__:main\n",
    }
    files |= {f"{information}/{name}": text.encode() for name, text in texts.items()}
    record = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{information}/RECORD"] = "\n".join([*record, f"{information}/RECORD,,", ""]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"hgnet-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            wheel.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _inside() -> pathlib.Path:
    found = sorted((HERE / "hgnet" / "lib").glob("libhgnet.so*"))
    if not found:
        raise SystemExit("expected libhgnet.so in hgnet/lib; Scripts/python-wheel makes it and the wheel")
    return found[0]


# What pip calls.
def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    """Makes the wheel of a checkout."""
    return make(_inside(), pathlib.Path(wheel_directory), []).name


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    """There is none: the library is not built by pip."""
    raise NotImplementedError("the library is built from Swift; take the wheel")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=pathlib.Path, help="libhgnet.so")
    parser.add_argument("folder", type=pathlib.Path, help="where the wheel goes")
    parser.add_argument("--licences", type=pathlib.Path, nargs="*", default=[], help="files to put in")
    options = parser.parse_args()
    print(make(options.library, options.folder, options.licences))
