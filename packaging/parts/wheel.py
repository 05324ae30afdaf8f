"""The wheel for PyPI, which puts the binary on PATH.

maturin could make it, but would compile the tool again, and a wheel of a binary is no more
than a zip file with three files of metadata (PEP 427, PEP 639, PEP 770).
"""

import base64
import hashlib
import io
import re
import stat
import time
import zipfile

from . import pages
from .release import NAME, SHELLS, Failure
from .stage import put


# What PyPI's search filters by: https://pypi.org/classifiers/
CLASSIFIERS = (
    "Environment :: Console", "Intended Audience :: Information Technology",
    "Intended Audience :: System Administrators", "Programming Language :: Rust", "Topic :: Security",
    "Topic :: System :: Networking", "Topic :: System :: Systems Administration",
)


def write(release, contents, directory):
    """Writes the wheel."""
    version = pep440(release.version)
    stem = file_stem(release)
    info, data = f"{stem}.dist-info", f"{stem}.data"
    platforms = release.wheel_platforms.split(".")
    share = f"{data}/data/share"
    files = {
        f"{data}/scripts/{NAME}": contents.binary,
        f"{share}/bash-completion/completions/{NAME}": contents.completions["bash"],
        f"{share}/zsh/site-functions/{SHELLS['zsh']}": contents.completions["zsh"],
        f"{share}/fish/vendor_completions.d/{SHELLS['fish']}": contents.completions["fish"],
        **{f"{share}/man/man1/{page}": text for page, text in contents.man.items()},
        f"{info}/METADATA": metadata(release, version, contents.licences),
        f"{info}/WHEEL": "".join([
            "Wheel-Version: 1.0\n", "Generator: packaging/dist\n", "Root-Is-Purelib: false\n",
            *(f"Tag: py3-none-{platform}\n" for platform in platforms)]).encode(),
        **{f"{info}/licenses/{name}": text for name, text in contents.licences.items()},
        f"{info}/sboms/{NAME}.cdx.json": contents.sbom,
    }
    files[f"{info}/RECORD"] = record(files, f"{info}/RECORD")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, time.gmtime(release.epoch)[:6])
            entry.create_system = 3
            mode = 0o755 if "/scripts/" in name else 0o644
            entry.external_attr = (stat.S_IFREG | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, content)
    put(directory / f"{stem}-py3-none-{release.wheel_platforms}.whl", out.getvalue())


def file_stem(release):
    """The name of the file up to the platforms, and of the directories in it."""
    return f"{NAME.replace('-', '_')}-{pep440(release.version)}"


def metadata(release, version, licences):
    """The core metadata, with the README."""
    lines = ["Metadata-Version: 2.4", f"Name: {NAME}", f"Version: {version}",
             f"Summary: {release.description}", f"Keywords: {','.join(release.keywords)}",
             f"License-Expression: {release.licence}", *(f"License-File: {name}" for name in licences),
             *(f"Classifier: {name}" for name in CLASSIFIERS), "Requires-Python: >=3.7",
             "Description-Content-Type: text/markdown"]
    if release.url:
        for name, url in (("Source", release.url), ("Documentation", f"{release.page}docs/README.md"),
                          ("Changelog", f"{release.page}CHANGELOG.md"), ("Issues", f"{release.url}/issues")):
            lines.append(f"Project-URL: {name}, {url}")
    return ("\n".join(lines) + "\n\n").encode() + pages.text(release, "README.md")


def record(files, own):
    """The list of all files, with their checksums."""
    checksum = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()  # noqa: E731
    lines = [f"{name},sha256={checksum(data)},{len(data)}\n" for name, data in files.items()]
    return ("".join(lines) + f"{own},,\n").encode()


def pep440(version):
    """A version of Cargo as Python writes it: 1.2.0-rc.1 is 1.2.0rc1."""
    form = re.fullmatch(r"(\d+\.\d+\.\d+)(?:-(alpha|beta|rc)\.?(\d+))?", version)
    if not form:
        raise Failure(f"the version {version} has no form in Python: use X.Y.Z, or X.Y.Z-alpha.N, -beta.N or -rc.N")
    number, stage, count = form.groups()
    return number + ({"alpha": "a", "beta": "b", "rc": "rc"}[stage] + count if stage else "")
