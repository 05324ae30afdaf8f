"""The archive that a release has for each target."""

from . import pages
from .release import NAME, ROOT, SHELLS, gz, tar
from .stage import put

# The completion of the plugin of kubectl, which finds it by this name.
PLUGIN = "kubectl_complete-eks_netcheck"


def write(release, contents, directory):
    """Writes the archive. All of it is in one directory, named as the archive is."""
    files = {NAME: contents.binary, **{page: pages.text(release, page) for page in ("README.md", "CHANGELOG.md")},
             **contents.licences,
             **{f"completions/{SHELLS[shell]}": script for shell, script in contents.completions.items()},
             f"completions/{PLUGIN}": (ROOT / "packaging" / PLUGIN).read_bytes(),
             **{f"man/{page}": text for page, text in contents.man.items()}}
    programs = (NAME, f"completions/{PLUGIN}")
    entries = [(f"{release.stem}/{name}", 0o755 if name in programs else 0o644, data)
               for name, data in sorted(files.items())]
    put(directory / f"{release.stem}.tar.gz", gz(tar(entries, release.epoch)))
