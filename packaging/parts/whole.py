"""Whether packages are whole: what is truncated or of something else gets no checksum."""

import gzip
import io
import tarfile
import zipfile
import zlib

from . import binary
from .release import NAME, Failure

AGAIN = "make the package again with packaging/dist BINARY, or remove it"
ERRORS = (OSError, EOFError, ValueError, KeyError, zlib.error, tarfile.TarError, zipfile.BadZipFile)


def check(path, target):
    """Refuses a package that is damaged or has not the binary. `target` is that of an archive, whose binary is
    checked too."""
    kind = {".gz": archive, ".whl": wheel, ".deb": deb}[path.suffix]
    try:
        data = kind(path)
    except ERRORS as error:
        raise Failure(f"{path.name} is not whole ({error}): {AGAIN}")
    if target:
        binary.check(data, target, f"the binary in {path.name}", AGAIN)


def archive(path):
    """The binary in an archive."""
    stem = path.name.removesuffix(".tar.gz")
    return member(gzip.decompress(path.read_bytes()), f"{stem}/{NAME}")


def wheel(path):
    """The binary in a wheel."""
    with zipfile.ZipFile(path) as file:
        if damaged := file.testzip():
            raise ValueError(f"{damaged} is damaged")
        names = [name for name in file.namelist() if name.endswith(f".data/scripts/{NAME}")]
        if not names:
            raise ValueError(f"it has no {NAME}")
        return file.read(names[0])


def deb(path):
    """The binary in a Debian package, which is an archive of ar: https://manpages.debian.org/deb.5"""
    data = path.read_bytes()
    if not data.startswith(b"!<arch>\n"):
        raise ValueError("it is no archive of ar")
    at, members = 8, {}
    while at < len(data):
        header = data[at:at + 60]
        size = int(header[48:58])
        members[header[:16].decode(errors="replace").strip().rstrip("/")] = data[at + 60:at + 60 + size]
        at += 60 + size + size % 2
    if at != len(data):
        raise ValueError("it ends early")
    return member(gzip.decompress(members["data.tar.gz"]), f"./usr/bin/{NAME}")


def member(tar, name):
    """A file in a tar file, which is read to its end."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as file:
        found = [entry for entry in file if entry.isfile() and entry.name == name]
        if not found:
            raise ValueError(f"it has no {name}")
        return file.extractfile(found[0]).read()
