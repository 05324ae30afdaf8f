"""The kubectl of the image that runs in a cluster."""

import io
import json
import sys
import tarfile

from . import binary
from .release import NAME, Failure, sha256


def read(path, release):
    """A kubectl for an image, and its version."""
    other = "packaging/kubectl.txt has one that is, and docs/kubernetes.md the command that installs it"
    data = binary.contents(path, "--kubectl")
    binary.check(data, release.target, f"--kubectl {path}", other)
    try:
        said = json.loads(binary.run(path, "version", "--client", "--output=json"))
        return data, said["clientVersion"]["gitVersion"].removeprefix("v")
    except Failure as failure:
        raise Failure(f"--kubectl {path} is no kubectl that can be run ({failure}): {other}")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failure(f"--kubectl {path} is no kubectl, by what its `version` prints: {other}")


def before(directory, release):
    """The kubectl of the images that an earlier run made, and its version; None if they have none."""
    layout = directory / f"{release.stem}.oci"
    if not (layout / "index.json").exists():
        return None
    try:
        images = json.loads((layout / "index.json").read_text())["manifests"]
        tag = f"{release.version}-kubectl"
        found = [one for one in images if one["annotations"]["org.opencontainers.image.ref.name"] == tag]
        if not found:
            return None
        files = blob_of(layout, json.loads(blob_of(layout, found[0]))["layers"][-1])
        with tarfile.open(fileobj=io.BytesIO(files)) as file:
            data = file.extractfile("usr/bin/kubectl").read()
            bill = json.load(file.extractfile(f"usr/share/doc/{NAME}/{NAME}.cdx.json"))
        version = next(one["version"] for one in bill["components"] if one["name"] == "kubectl")
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, StopIteration, tarfile.TarError) as error:
        raise Failure(f"the image with kubectl of an earlier run, in {layout}, is not whole ({error}): set --kubectl, or "
                      "remove that directory")
    print(f"packaging/dist: the image with kubectl is made again, with the kubectl {version} of the earlier run: set "
          f"--kubectl for another one, or remove {layout} for none", file=sys.stderr)
    return data, version


def blob_of(layout, descriptor):
    """A blob of a layout, if it is whole."""
    digest = descriptor["digest"].removeprefix("sha256:")
    data = (layout / "blobs/sha256" / digest).read_bytes()
    if sha256(data) != digest:
        raise ValueError(f"the blob {digest} is damaged")
    return data
