"""Installs a section of requirements.txt into the environment of the Python that runs this: `requirements.py SECTION`.

Needs the standard library alone, since it brings the rest.
"""

import importlib.metadata
import pathlib
import subprocess
import sys

FILE = pathlib.Path(__file__).resolve().with_name("requirements.txt")


def section(name):
    """The pinned packages of a section, `package==version` each."""
    result, current = [], None
    for line in FILE.read_text().splitlines():
        if line.startswith("# ["):
            current = line[3:].rstrip("]")
        elif line and not line.startswith("#") and current == name:
            result.append(line.strip())
    return result


def is_installed(requirement):
    package, version = requirement.split("==")
    try:
        return importlib.metadata.version(package).split("+")[0] == version
    except importlib.metadata.PackageNotFoundError:
        return False


def install(name):
    """Installs what is missing of a section; gives the reason where that fails, None where all is there."""
    missing = [requirement for requirement in section(name) if not is_installed(requirement)]
    if not missing:
        return None
    print(f"compare: installing {' '.join(missing)}", file=sys.stderr)
    result = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check", *missing],
        capture_output=True, text=True)
    importlib.invalidate_caches()
    if result.returncode == 0:
        return None
    lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
    return f"pip cannot install {' '.join(missing)}: {(lines or ['no reason given'])[-1]}"


if __name__ == "__main__":
    reason = install(sys.argv[1])
    if reason:
        sys.exit(f"compare: {reason}")
