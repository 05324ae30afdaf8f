"""What package managers need to find the archives of a release, and the checksums of all files.

For krew, Homebrew, aqua and mise, made of the templates and the archives in the directory.
"""

import hashlib
import sys
from pathlib import Path
from string import Template

from . import deb, wheel, whole
from .release import NAME, ROOT, TARGETS, Failure, sha256
from .stage import present, put

TEMPLATES = ROOT / "packaging/templates"
SUMS = "SHA256SUMS"
BREW = {"linux": "on_linux", "darwin": "on_macos", "amd64": "on_intel", "arm64": "on_arm"}
MISE = {"linux": "linux", "darwin": "macos", "amd64": "x64", "arm64": "arm64"}


def check(release, directory):
    """Refuses a directory with packages of another version: SHA256SUMS would list them too."""
    kinds = (f"{NAME}-", f"{NAME}_", f"{NAME.replace('-', '_')}-")
    own = (deb.file_stem(release), f"{wheel.file_stem(release)}-",
           *(f"{NAME}-{release.version}-{target}." for target in TARGETS))
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    others = sorted(name for name in names if name.startswith(kinds) and not name.startswith(own))
    if others:
        raise Failure(f"{directory} has files of another version than {release.version}, such as {others[0]}: "
                      "remove them, or name another directory")


def write(release, directory, stage):
    """Writes all of them to the stage, for the archives that the directory has or will have."""
    repository = release.repository or f"OWNER/{NAME}"
    if not release.repository:
        print(f"packaging/dist: the manifests name the repository {repository}: set --repository", file=sys.stderr)
    base = f"https://github.com/{repository}/releases/download/v{release.version}"
    archives = []
    targets = {f"{NAME}-{release.version}-{target}.tar.gz": target for target in TARGETS}
    files = present(directory, stage)
    for name, path in files.items():
        if str(name) in targets or name.suffix in (".whl", ".deb"):
            whole.check(path, targets.get(str(name)))
    for name, target in targets.items():
        if path := files.get(Path(name)):
            system, arch, _ = TARGETS[target]
            archives.append({"stem": name.removesuffix(".tar.gz"), "system": system, "arch": arch, "target": target,
                             "url": f"{base}/{name}", "sha256": sha256(path.read_bytes())})
    if not archives:
        raise Failure(f"{directory} has no archive of version {release.version}: make one with packaging/dist BINARY")
    values = {
        "name": NAME, "version": release.version, "description": release.description,
        "homepage": f"https://github.com/{repository}", "repository": repository,
        "owner": repository.split("/")[0], "repo": repository.split("/")[1],
        "systems": "".join(f"      - {one['system']}/{one['arch']}\n" for one in archives),
        "krew": "".join(KREW.substitute(one) for one in archives).rstrip(),
        "homebrew": "\n".join(homebrew(system, archives) for system in ("linux", "darwin")
                              if any(one["system"] == system for one in archives)),
        "mise": "\n".join(mise(one) for one in archives),
    }
    for template, name in (("krew.yaml", f"{NAME}.krew.yaml"), ("homebrew.rb", f"{NAME}.rb"),
                           ("aqua.yaml", f"{NAME}.aqua.yaml"), ("mise.toml", f"{NAME}.mise.toml")):
        put(stage / name, Template((TEMPLATES / template).read_text()).substitute(values).encode())
    sums = []
    for name, path in present(directory, stage).items():
        if str(name) != SUMS:
            with path.open("rb") as file:
                sums.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    put(stage / SUMS, "".join(sums).encode())


KREW = Template("""\
    - selector:
        matchLabels:
          os: $system
          arch: $arch
      uri: $url
      sha256: $sha256
      files:
        - from: $stem/eks-netcheck
          to: .
        - from: $stem/LICENSE*
          to: .
      bin: eks-netcheck
""")


def homebrew(system, archives):
    """The block of a formula for one system."""
    lines = [f"  {BREW[system]} do"]
    for one in archives:
        if one["system"] == system:
            lines += [f"    {BREW[one['arch']]} do", f'      url "{one["url"]}"', f'      sha256 "{one["sha256"]}"',
                      "    end"]
    return "\n".join([*lines, "  end", ""])


def mise(one):
    """The line of mise for one platform."""
    platform = f"{MISE[one['system']]}-{MISE[one['arch']]}"
    return f'{platform} = {{ asset_pattern = "{one["stem"]}.tar.gz", checksum = "sha256:{one["sha256"]}" }}'
