"""The Debian package."""

import hashlib
import gzip
import os
import subprocess
import tempfile
import textwrap
from email.utils import formatdate
from pathlib import Path

from . import pages
from .release import NAME, SHELLS
from .stage import cannot_write, put


def write(release, contents, directory):
    """Writes the package, with dpkg-deb."""
    # 1.2.0~rc.1 sorts before 1.2.0.
    version = release.version.replace("-", "~") + "-1"
    documents = f"usr/share/doc/{NAME}"
    files = {
        f"usr/bin/{NAME}": contents.binary,
        f"usr/share/bash-completion/completions/{NAME}": contents.completions["bash"],
        f"usr/share/zsh/vendor-completions/{SHELLS['zsh']}": contents.completions["zsh"],
        f"usr/share/fish/vendor_completions.d/{SHELLS['fish']}": contents.completions["fish"],
        **{f"usr/share/man/man1/{page}.gz": compress(text) for page, text in contents.man.items()},
        f"{documents}/copyright": copyright(release, contents.licences),
        f"{documents}/LICENSES-THIRD-PARTY.gz": compress(contents.licences["LICENSES-THIRD-PARTY"]),
        f"{documents}/{NAME}.cdx.json.gz": compress(contents.sbom),
        f"{documents}/changelog.gz": compress(pages.text(release, "CHANGELOG.md")),
        f"{documents}/changelog.Debian.gz": compress(changelog(release, version)),
        # It is static, so that the same package installs on every release of Debian and Ubuntu.
        f"usr/share/lintian/overrides/{NAME}": f"{NAME}: statically-linked-binary [usr/bin/{NAME}]\n".encode(),
    }
    size = sum((len(data) + 1023) // 1024 for data in files.values())
    sums = "".join(f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {path}\n"
                   for path, data in sorted(files.items()))
    package = directory / f"{file_stem(release)}{release.arch}.deb"
    with tempfile.TemporaryDirectory(dir=directory) as root:
        place(root, {**files, "DEBIAN/control": control(release, version, size), "DEBIAN/md5sums": sums.encode()})
        # All releases of Debian and Ubuntu read gzip; xz would take ten times as long to write.
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z6", "--build", root, package]
        built = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "SOURCE_DATE_EPOCH": str(release.epoch)})
    if built.returncode:
        raise cannot_write(package, (built.stderr.splitlines() or [f"dpkg-deb ended with {built.returncode}"])[-1])


def file_stem(release):
    """The name of the file up to the architecture. It has no tilde, which GitHub would replace, so that
    SHA256SUMS would name another file."""
    return f"{NAME}_{release.version.replace('-', '.')}-1_"


def place(root, files):
    """Writes files below a directory, with the modes that a package has."""
    os.chmod(root, 0o755)
    for name, data in files.items():
        path = Path(root, name)
        put(path, data)
        path.chmod(0o755 if name.startswith("usr/bin/") else 0o644)
        for parent in path.relative_to(root).parents:
            Path(root, parent).chmod(0o755)


def maintainer(release):
    """The maintainer: DEBFULLNAME and DEBEMAIL as for other tools of Debian, or the owner of the repository."""
    owner = release.repository.split("/")[0] if release.repository else None
    name = os.environ.get("DEBFULLNAME") or owner or "The eks-netcheck authors"
    address = f"{owner}@users.noreply.github.com" if owner else "root@localhost"
    return f"{name} <{os.environ.get('DEBEMAIL') or address}>"


def control(release, version, size):
    """The control file."""
    about = textwrap.fill(
        "eks-netcheck reads the configuration of an EKS cluster from AWS, resolves the name of the API server "
        "endpoint on this machine and on each node, and reads the TCP sockets of each node. It reports whether "
        "each kubelet and kube-proxy connection leads to the public endpoint or to a private network interface, "
        "the evidence for that, and how to fix what is wrong.", 78, initial_indent=" ", subsequent_indent=" ")
    fields = [f"Package: {NAME}", f"Version: {version}", f"Architecture: {release.arch}",
              f"Maintainer: {maintainer(release)}", f"Installed-Size: {size}",
              "Recommends: ca-certificates, openssh-client", "Suggests: kubernetes-client | kubectl, awscli",
              "Section: net", "Priority: optional", *([f"Homepage: {release.url}"] if release.url else []),
              "Description: audits the network paths between EKS nodes and the API server", about]
    return ("\n".join(fields) + "\n").encode()


def copyright(release, licences):
    """The licences, in the form of DEP 5."""
    indented = lambda text: "".join(f" {line}\n" if line.strip() else " .\n" for line in text.splitlines())  # noqa: E731
    mit = licences["LICENSE-MIT"].decode()
    holder = mit.splitlines()[0].removeprefix("Copyright (c) ")
    return (f"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: {NAME}\n"
            + (f"Source: {release.url}\n" if release.url else "")
            + f"Comment: The licences of the libraries in the binary are in LICENSES-THIRD-PARTY.gz.\n\n"
            f"Files: *\nCopyright: {holder}\nLicense: Apache-2.0 or Expat\n\n"
            "License: Apache-2.0\n On Debian, the text of the Apache License, Version 2.0, is in\n"
            f" /usr/share/common-licenses/Apache-2.0.\n\nLicense: Expat\n{indented(mit)}").encode()


def changelog(release, version):
    """The changelog of the package: the changes of the tool are in CHANGELOG.md."""
    date = formatdate(release.epoch)
    return (f"{NAME} ({version}) stable; urgency=medium\n\n  * Release {release.version}.\n\n"
            f" -- {maintainer(release)}  {date}\n").encode()


def compress(text):
    """What Debian's policy wants compressed, without name and date."""
    return gzip.compress(text, compresslevel=9, mtime=0)
