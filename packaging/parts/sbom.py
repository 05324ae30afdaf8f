"""The bill of materials (CycloneDX 1.6), and the texts of the licences of what is in the binary.

`cargo tree` says which crates are in it, for exactly its features and target; cargo-cyclonedx
would take them from `cargo metadata`, which lists crates that are not compiled.
"""

import json
import platform
import re
import subprocess
import tomllib
import uuid
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from urllib.parse import quote

from .release import NAME, ROOT, Failure, every, needs, sha256

LICENCE_FILES = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


def check(release):
    """Refuses to go on without the programs that the bill is made with."""
    rust = "Rust (https://rustup.rs)"
    every(lambda: needs("cargo", "lists the crates of the binary", rust),
          lambda: needs("rustc", "names the version of the standard library", rust),
          *([lambda: needs("getconf", "names the version of the C library", "libc-bin on Debian and Ubuntu, or "
                           "glibc-common on Fedora")] if release.system == "linux" else []))


def bill(release, binary):
    """The bill of the binary."""
    edges = dependencies(release.target)
    packages = details()
    checksums = {(package["name"], package["version"]): package.get("checksum")
                 for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    root = next(iter(edges))
    components = []
    for crate in sorted(edges):
        if crate == root:
            continue
        component = {"type": "library", "bom-ref": purl(crate), "name": crate[0], "version": crate[1],
                     "licenses": [{"expression": expression(packages[crate]["license"])}], "purl": purl(crate)}
        if packages[crate]["description"]:
            component["description"] = packages[crate]["description"].strip()
        if checksums.get(crate):
            component["hashes"] = [{"alg": "SHA-256", "content": checksums[crate]}]
        if packages[crate]["repository"]:
            component["externalReferences"] = [{"type": "vcs", "url": packages[crate]["repository"]}]
        components.append(component)
    components += runtime(release)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{release.stem} {sha256(binary)}')}", "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(release.epoch, timezone.utc).isoformat().replace("+00:00", "Z"),
            "component": {
                "type": "application", "bom-ref": purl(root), "name": NAME, "version": release.version,
                "description": release.description, "purl": purl(root),
                "licenses": [{"expression": release.licence}],
                "hashes": [{"alg": "SHA-256", "content": sha256(binary)}],
                **({"externalReferences": [{"type": "vcs", "url": release.url}]} if release.url else {}),
            },
            "tools": {"components": [{"type": "application", "name": "packaging/dist of eks-netcheck",
                                      "version": release.version}]},
        },
        "components": components,
        "dependencies": [
            {"ref": purl(crate), "dependsOn": sorted(purl(other) for other in others)
             + ([other["bom-ref"] for other in runtime(release)] if crate == root else [])}
            for crate, others in sorted(edges.items())] + [{"ref": other["bom-ref"]} for other in runtime(release)],
    }


def text(bill):
    """A bill as a file."""
    return (json.dumps(bill, indent=1, ensure_ascii=False) + "\n").encode()


def dependencies(target):
    """The crates in the binary, each with those that it uses; the first is the tool."""
    # A procedural macro runs in the compiler, as what it uses does.
    tree = output("cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--target", target, "--package", NAME,
                  "--prefix", "depth", "--format", " {p}")
    edges, path = {}, []
    for line in tree.splitlines():
        form = re.match(r"(\d+) (\S+) v(\S+)", line)
        depth, crate = int(form[1]), (form[2], form[3])
        del path[depth:]
        if path:
            edges[path[-1]].add(crate)
        edges.setdefault(crate, set())
        path.append(crate)
    return edges


def runtime(release):
    """What is in the binary besides crates: the standard library, and on Linux the C library."""
    rustc = output("rustc", "--version").split()[1]
    parts = [("rust-std", rustc, f"pkg:generic/rust-std@{rustc}", "MIT OR Apache-2.0", "The standard library of Rust")]
    if release.system == "linux":
        version = output("getconf", "GNU_LIBC_VERSION").split()[1]
        parts.append(("glibc", *(debian_glibc() or (version, f"pkg:generic/glibc@{version}")),
                      "LGPL-2.1-or-later", "The GNU C Library, linked statically"))
    return [{"type": "library", "bom-ref": url, "name": name, "version": version, "description": about,
             "licenses": [{"expression": licence}], "purl": url}
            for name, version, url, licence, about in parts]


@cache
def debian_glibc():
    """The version and package URL of the package that has the static C library, on Debian and its kin."""
    try:
        found = subprocess.run(["dpkg-query", "--show", "--showformat=${Version} ${Architecture}", "libc6-dev"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        system = platform.freedesktop_os_release()
    except OSError:
        return None
    if found.returncode or system["ID"] not in ("debian", "ubuntu"):
        return None
    version, arch = found.stdout.split()
    distro = f"&distro={system['ID']}-{system['VERSION_ID']}" if "VERSION_ID" in system else ""
    return version, f"pkg:deb/{system['ID']}/libc6-dev@{quote(version, safe='.~-')}?arch={arch}{distro}"


def licences(release):
    """The texts of the licences of all crates, each once, with the crates that it is of."""
    packages = details()
    crates = {}
    for crate in sorted(dependencies(release.target)):
        if crate[0] == NAME:
            continue
        directory = Path(packages[crate]["manifest_path"]).parent
        found = sorted(path for path in directory.iterdir() if path.is_file() and LICENCE_FILES.match(path.name))
        label = f"{crate[0]} {crate[1]} ({expression(packages[crate]['license'])})"
        texts = [path.read_text(errors="replace").strip() for path in found]
        source = packages[crate]["repository"] or f"https://crates.io/crates/{crate[0]}"
        texts = texts or [f"The crate has no file with its licence. Its source: {source}"]
        for licence in texts:
            crates.setdefault(licence, []).append(label)
    parts = ["The binary of eks-netcheck contains the libraries below. Each text is the licence, or one of the "
             "licences,\nof the libraries before it.\n",
             "The standard library of Rust (https://github.com/rust-lang/rust) is under Apache-2.0, whose text is in "
             "LICENSE-APACHE,\nor MIT, at your option. Copyright The Rust Project Contributors.\n"]
    if release.system == "linux":
        lesser = (ROOT / "packaging/licences/LGPL-2.1").read_text().strip()
        parts.append(
            "The binary is linked statically with the GNU C Library, under the GNU Lesser General Public License, "
            "version 2.1\nor later, which is below. To link it with another version of that library, build it from "
            "the source of the\nsame release, with packaging/build.\n")
        crates[lesser] = ["GNU C Library (LGPL-2.1-or-later)"]
    for licence, labels in sorted(crates.items(), key=lambda item: item[1]):
        parts.append("=" * 100 + "\n" + "\n".join(labels) + "\n" + "-" * 100 + f"\n{licence}\n")
    return "\n".join(parts).encode()


@cache
def details():
    """What Cargo knows of each crate."""
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1"))
    return {(package["name"], package["version"]): package for package in metadata["packages"]}


def expression(licence):
    """A licence as SPDX has it: old crates separate alternatives with a slash."""
    return re.sub(r"\s*/\s*", " OR ", licence)


def purl(crate):
    """The package URL of a crate."""
    return f"pkg:cargo/{crate[0]}@{crate[1].replace('+', '%2B')}"


@cache
def output(*command):
    """What a command prints."""
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"the bill of materials needs `{' '.join(command)}`: {error}")
