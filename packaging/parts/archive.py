"""The archive that a release has for each target."""

from .release import NAME, ROOT, SHELLS, gz, tar


def write(release, contents, directory):
    """Writes the archive. All of it is in one directory, named as the archive is."""
    files = {NAME: contents.binary, "README.md": (ROOT / "README.md").read_bytes(),
             "CHANGELOG.md": (ROOT / "CHANGELOG.md").read_bytes(), **contents.licences,
             **{f"completions/{SHELLS[shell]}": script for shell, script in contents.completions.items()},
             **{f"man/{page}": text for page, text in contents.man.items()}}
    entries = [(f"{release.stem}/{name}", 0o755 if name == NAME else 0o644, data)
               for name, data in sorted(files.items())]
    (directory / f"{release.stem}.tar.gz").write_bytes(gz(tar(entries, release.epoch)))
