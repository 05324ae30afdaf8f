"""Files appear under their final names only when all of them are whole."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .release import Failure

PREFIX = ".dist-"


def check(directory):
    """Refuses a directory that cannot be written to."""
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not place.is_dir():
        raise Failure(f"{place} is not a directory: name another one to write to")
    if not os.access(place, os.W_OK | os.X_OK):
        raise Failure(f"{place} cannot be written to: name another directory")


@contextmanager
def staged(directory):
    """A directory beside the final files: what is in it replaces these at the end, or is removed after an error."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        stage = tempfile.TemporaryDirectory(prefix=PREFIX, dir=directory)
    except OSError as error:
        raise Failure(f"{directory} cannot be written to ({error.strerror}): name another directory")
    with stage as path:
        yield Path(path)
        for new in sorted(Path(path).iterdir()):
            old = directory / new.name
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            new.replace(old)


def put(path, data):
    """Writes a file of the stage."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise cannot_write(path, error.strerror)


def cannot_write(path, reason):
    """The failure of a file that cannot be written."""
    return Failure(f"cannot write {path.name}: {reason}; make room, or name another directory. The files that were "
                   "there are as they were")


def present(directory, stage):
    """All files as they will be, by their paths in the directory: those of the stage, and others that stay."""
    new = {path.name for path in stage.iterdir()}
    stays = [path for path in directory.iterdir() if path.name not in new and not path.name.startswith(PREFIX)]
    files = {}
    for base, paths in ((directory, stays), (stage, stage.iterdir())):
        for top in paths:
            for path in (top, *top.rglob("*")):
                if path.is_file():
                    files[path.relative_to(base)] = path
    return dict(sorted(files.items()))
