"""What all files of a distribution share: version, target, date, and contents."""

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "eks-netcheck"
SHELLS = {"bash": f"{NAME}.bash", "zsh": f"_{NAME}", "fish": f"{NAME}.fish"}

# For each target: the system and architecture in Go's words, which OCI, krew and aqua use,
# and the platform tags of a wheel. A static binary needs no libc, so the wheel is for
# glibc and musl alike.
TARGETS = {
    "x86_64-unknown-linux-gnu": ("linux", "amd64",
                                 "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64"),
    "aarch64-unknown-linux-gnu": ("linux", "arm64",
                                  "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64"),
    "x86_64-apple-darwin": ("darwin", "amd64", "macosx_10_12_x86_64"),
    "aarch64-apple-darwin": ("darwin", "arm64", "macosx_11_0_arm64"),
}


class Failure(Exception):
    """What makes a distribution impossible, with the next step: one message, or several."""


def every(*checks):
    """The results of all checks, or one failure with the messages of all that fail."""
    results, messages = [], []
    for check in checks:
        try:
            results.append(check())
        except Failure as failure:
            messages += failure.args
    if messages:
        raise Failure(*messages)
    return results


def needs(program, what, package):
    """Refuses to go on without a program."""
    if not shutil.which(program):
        raise Failure(f"{program}, which {what}, is not on PATH: install {package}")


class Release:
    """One version for one target."""

    def __init__(self, target, repository):
        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        self.version = package["version"]
        self.description = package["description"]
        self.licence = package["license"]
        self.keywords = package["keywords"]
        self.target = target
        self.system, self.arch, self.wheel_platforms = TARGETS[target]
        self.stem = f"{NAME}-{self.version}-{target}"
        self.repository = repository
        if repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            raise Failure(f"{repository} is not the name of a repository: give OWNER/NAME")
        self.url = repository and f"https://github.com/{repository}"
        # Below it are the files of the version.
        self.page = self.url and f"{self.url}/blob/v{self.version}/"
        self.epoch = epoch()
        self.commit = commit()
        self.source_modified = bool(self.commit) and source_modified()


class Contents:
    """The files that every package has, as bytes. `run` runs the binary with arguments."""

    def __init__(self, binary, run, third_party, sbom):
        self.binary = binary
        self.sbom = sbom
        self.licences = {name: (ROOT / name).read_bytes() for name in ("LICENSE-APACHE", "LICENSE-MIT")}
        self.licences["LICENSES-THIRD-PARTY"] = third_party
        self.completions = {shell: run("completions", shell) for shell in SHELLS}
        with tempfile.TemporaryDirectory() as pages:
            run("man", "--out", pages)
            self.man = {page.name: page.read_bytes() for page in sorted(Path(pages).iterdir())}


def epoch():
    """The date of all files, in seconds since 1970; outside a checkout, the first that a zip file can have."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if not given:
        given = commit_date() if (ROOT / ".git").exists() else "315532800"
    if not given.isdigit() or int(given) < 315532800:
        raise Failure(f"SOURCE_DATE_EPOCH is {given}: it must be a time after 1980, in seconds since 1970")
    return int(given)


def commit_date():
    """The date of the commit, in seconds since 1970."""
    try:
        git = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True)
    except FileNotFoundError:
        raise Failure("the date of the commit needs git: install it, or set SOURCE_DATE_EPOCH")
    if git.returncode:
        raise Failure(f"git does not give the date of the commit: {git.stderr.strip()}\n"
                      "Do what it says, or set SOURCE_DATE_EPOCH")
    return git.stdout.strip()


def commit():
    """The commit, marked if a file differs from it; None outside a checkout and without git."""
    if not (ROOT / ".git").exists():
        return None
    try:
        git = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty=-modified", "--abbrev=40",
                              "--exclude=*"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return git.stdout.strip() or None


def source_modified():
    """Whether a file that the binary is compiled from differs from the commit."""
    git = subprocess.run(["git", "-C", ROOT, "diff", "--quiet", "HEAD", "--", "src", "build.rs", "Cargo.toml",
                          "Cargo.lock"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return git.returncode == 1


def sha256(data):
    """The SHA-256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def tar(entries, epoch):
    """A tar file: entries are (name, mode, bytes), or None as bytes for a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for name, mode, data in entries:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = mode, epoch
            if data is None:
                entry.type = tarfile.DIRTYPE
                file.addfile(entry)
            else:
                entry.size = len(data)
                file.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def gz(data):
    """Data, compressed, without a date."""
    return gzip.compress(data, compresslevel=6, mtime=0)
