"""The binary that is packaged: what it is for, and what it says about itself."""

import re
import subprocess
import sys

from .release import NAME, TARGETS, Failure

# What `--version` prints: the version, the commit if it is known, and what the build can do.
VERSION = re.compile(rf"{NAME} (\S+) \((?:([0-9a-f]{{7,40}})(-modified)?(?: [0-9-]+)?, )?([a-z ]+)\)\n?")


def read(path, release):
    """The binary, if it is one of this version, for this target."""
    data = contents(path, "the binary")
    check(data, release.target)
    try:
        said = run(path, "--version").decode(errors="replace")
    except Failure as failure:
        raise Failure(f"{failure}: packaging/dist runs it, for its version, manual pages and completion scripts; "
                      f"run packaging/dist on {release.target}, with a binary that packaging/build made")
    compare(said, path, release)
    return data


def contents(path, what):
    """The bytes of a file; `what` it is, for messages."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{what} {path} cannot be read: {error.strerror}")


def check(data, target, what="the binary", other=None):
    """Refuses a binary for another target, and one that needs shared libraries on Linux; `other` is the next step."""
    static = other or "make the binary with packaging/build"
    other = other or "set --target, or make the binary with packaging/build"
    system, arch, _ = TARGETS[target]
    if system == "darwin":
        # Mach-O, 64 bits: https://github.com/apple-oss-distributions/xnu/blob/main/EXTERNAL_HEADERS/mach-o/loader.h
        kind = {"amd64": 0x01000007, "arm64": 0x0100000C}[arch]
        if data[:4] == b"\x7fELF":
            raise Failure(f"{what} is one for Linux, not for {target}: {other}")
        if data[:4] != b"\xcf\xfa\xed\xfe" or int.from_bytes(data[4:8], "little") != kind:
            raise Failure(f"{what} is not one for {target}: {other}")
        return
    machine = {"amd64": 62, "arm64": 183}[arch]
    if data[:6] != b"\x7fELF\x02\x01" or int.from_bytes(data[18:20], "little") != machine:
        raise Failure(f"{what} is not one for {target}: {other}")
    # ELF: program headers start at e_phoff, each e_phentsize long; type 3 is PT_INTERP.
    start, size, count = (int.from_bytes(data[at:at + length], "little")
                          for at, length in ((32, 8), (54, 2), (56, 2)))
    if any(data[start + size * at:start + size * at + 4] == b"\3\0\0\0" for at in range(count)):
        raise Failure(f"{what} is not static, so it would not run everywhere: {static}")


def compare(said, path, release):
    """Refuses a binary of another version or commit, or without a feature; `said` is what its --version prints."""
    form = VERSION.fullmatch(said)
    if not form:
        raise Failure(f"{path} is not {NAME}, by what its --version prints: name the binary that packaging/build made")
    version, commit, modified, build = form.groups()
    again = "make the binary again with packaging/build"
    if version != release.version:
        raise Failure(f"{path} is version {version}, and Cargo.toml has {release.version}: {again}, or check out the "
                      f"source of {version}")
    if build != "live":
        raise Failure(f"{path} was built without the feature live ({build}), which every package has: {again}")
    if not release.commit:
        return
    if not commit:
        print(f"packaging/dist: {path} names no commit, as a build with the profile dev does not: its version was "
              "compared with the checkout, and nothing else", file=sys.stderr)
        return
    head = release.commit.removesuffix("-modified")
    if not head.startswith(commit):
        raise Failure(f"{path} was built from the commit {commit}, and the checkout is at {head[:len(commit)]}: "
                      f"{again}, or check out {commit}")
    if release.source_modified and not modified:
        raise Failure(f"{path} was built from the commit {commit}, and the checkout has changes to its source that are "
                      f"not committed: {again}")
    if modified and head == release.commit:
        raise Failure(f"{path} was built from the commit {commit} with changes, and the checkout has none: "
                      f"`touch build.rs`, and {again}")


def run(path, *args):
    """What a program prints, run without environment and input."""
    try:
        return subprocess.run([path.resolve(), *args], check=True, stdin=subprocess.DEVNULL, capture_output=True,
                              env={}, timeout=60).stdout
    except OSError as error:
        raise Failure(f"{path} cannot be run here ({error.strerror})")
    except subprocess.TimeoutExpired:
        raise Failure(f"`{path} {' '.join(args)}` did not end within 60 seconds")
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {error.returncode}"]
        raise Failure(f"`{path} {' '.join(args)}` failed: {lines[-1]}")
