"""Makes a container image of the tool without a container engine: an OCI image layout, and a tar of it for `load`.

    image.py STAGE OUTPUT VERSION

STAGE is the unpacked archive of a release (bin/hgnet, share/...). OUTPUT receives `hgnet-VERSION-image/` (OCI image layout
1.0) and `hgnet-VERSION-image.tar`, which `podman load` and `docker load` take (it also has Docker's manifest.json). The image
holds the tool, the shared libraries of this machine that it needs, libcurl for downloads, and the certificates of
authorities. The same input gives the same bytes.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def needed(path):
    """The shared libraries of a program or library, with those that they need: {place in the image: file here}."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True)
    missing = re.findall(r"(\S+) => not found", done.stdout)
    if done.returncode != 0 or missing:
        raise SystemExit(f"image: expected all libraries of {path}, found none of {', '.join(missing) or done.stderr.strip()}")
    return {place: os.path.realpath(place) for place in re.findall(r"(/\S+) \(0x", done.stdout)}


def curl():
    """libcurl as the tool loads it, None where it is not installed."""
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    found = re.search(r"libcurl\.so\.4 .*=> (\S+)", listed)
    return found and found[1]


def copyrights(files):
    """The copyright files of the Debian packages that own files."""
    found = {}
    for file in files:
        for name in (file, re.sub("^/usr", "", file)):
            done = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
            if done.returncode == 0:
                place = f"/usr/share/doc/{done.stdout.split(':')[0].split(',')[0]}/copyright"
                if os.path.exists(place):
                    found[place] = os.path.realpath(place)
                break
    return found


class Layer:
    """A tar whose bytes depend on nothing but names, modes and contents."""

    def __init__(self):
        self.entries = {}

    def add(self, place, data, mode):
        self.entries[place.lstrip("/")] = (data, mode)

    def file(self, place, source):
        data = pathlib.Path(source).read_bytes()
        self.add(place, data, 0o755 if os.access(source, os.X_OK) else 0o644)

    def tar(self):
        folders = {"tmp": 0o1777, "data": 0o1777, "cache": 0o1777}
        for place in self.entries:
            for parent in pathlib.PurePosixPath(place).parents:
                if str(parent) != ".":
                    folders.setdefault(str(parent), 0o755)
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for place, mode in sorted(folders.items()):
                entry = tarfile.TarInfo(place)
                entry.type, entry.mode = tarfile.DIRTYPE, mode
                archive.addfile(entry)
            for place, (data, mode) in sorted(self.entries.items()):
                entry = tarfile.TarInfo(place)
                entry.size, entry.mode = len(data), mode
                archive.addfile(entry, io.BytesIO(data))
        return target.getvalue()


def layer(stage):
    content = Layer()
    tool = str(stage / "bin/hgnet")
    libraries = needed(tool)
    library = curl()
    if library:
        libraries |= needed(library) | {library: os.path.realpath(library)}
        if os.path.exists(CERTIFICATES):
            content.file(CERTIFICATES, CERTIFICATES)
    else:
        print("image: libcurl is not installed here, so the image cannot fetch published weights", file=sys.stderr)
    for place, source in (libraries | copyrights(list(libraries))).items():
        content.file(place, source)
    content.file("/usr/bin/hgnet", tool)
    for file in sorted((stage / "share/doc").rglob("*")):
        if file.is_file():
            content.file(f"/usr/{file.relative_to(stage)}", file)
    content.add("/etc/passwd", b"root:x:0:0:root:/:/\n", 0o644)
    return content.tar()


def main():
    stage, output, version = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    layout = output / f"hgnet-{version}-image"
    shutil.rmtree(layout, ignore_errors=True)
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, kind, **more):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data), **more}

    plain = layer(stage)
    packed = blob(gzip.compress(plain, 9, mtime=0), "layer.v1.tar+gzip")
    settings = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()), "os": "linux",
        "config": {
            "Entrypoint": ["/usr/bin/hgnet"], "Cmd": ["--help"], "WorkingDir": "/data",
            "Env": ["PATH=/usr/bin", "XDG_CACHE_HOME=/cache"],
            "Labels": {
                "org.opencontainers.image.title": "hgnet", "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "Apache-2.0"}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
        "history": [{"created_by": "Scripts/release"}]}
    config = blob(json.dumps(settings, sort_keys=True).encode(), "config.v1+json")
    manifest = blob(
        json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
            "layers": [packed]}, sort_keys=True).encode(), "manifest.v1+json",
        annotations={"org.opencontainers.image.ref.name": f"hgnet:{version}",
                     "io.containerd.image.name": f"docker.io/library/hgnet:{version}"})
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (layout / "index.json").write_text(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}))
    # Engines before OCI layouts read this file.
    (layout / "manifest.json").write_text(json.dumps([{
        "Config": f"blobs/sha256/{config['digest'][7:]}", "RepoTags": [f"hgnet:{version}"],
        "Layers": [f"blobs/sha256/{packed['digest'][7:]}"]}]))
    with tarfile.open(output / f"hgnet-{version}-image.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(layout.rglob("*")):
            entry = archive.gettarinfo(path, str(path.relative_to(layout)))
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            archive.addfile(entry, path.open("rb") if path.is_file() else None)
    print(f"image: {layout.name}, {packed['size']} bytes packed, {len(plain)} unpacked")


main()
