"""What all files of a distribution share: version, target, date, and contents."""

import gzip
import hashlib
import io
import os
import re
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
    """What makes a distribution impossible, with the next step."""


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

    def check(self, binary):
        """Refuses a binary for another target, and one that needs shared libraries on Linux."""
        machine = {"amd64": 62, "arm64": 183}[self.arch]
        if self.system != "linux":
            if binary[:4] == b"\x7fELF":
                raise Failure(f"the binary is one for Linux, not for {self.target}: set --target")
            return
        if binary[:6] != b"\x7fELF\x02\x01" or int.from_bytes(binary[18:20], "little") != machine:
            raise Failure(f"the binary is not one for {self.target}: set --target")
        # ELF: program headers start at e_phoff, each e_phentsize long; type 3 is PT_INTERP.
        start, size, count = (int.from_bytes(binary[at:at + length], "little")
                              for at, length in ((32, 8), (54, 2), (56, 2)))
        if any(binary[at:at + 4] == b"\3\0\0\0" for at in range(start, start + size * count, size)):
            raise Failure("the binary is not static, so it would not run everywhere: make it with packaging/build")


class Contents:
    """The files that every package has, as bytes."""

    def __init__(self, binary, path, third_party, sbom):
        self.binary = binary
        self.sbom = sbom
        self.licences = {name: (ROOT / name).read_bytes() for name in ("LICENSE-APACHE", "LICENSE-MIT")}
        self.licences["LICENSES-THIRD-PARTY"] = third_party
        run = lambda *args: subprocess.run(  # noqa: E731
            [path.resolve(), *args], check=True, stdout=subprocess.PIPE, env={}).stdout
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
