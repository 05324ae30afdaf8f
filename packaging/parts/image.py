"""The OCI images: the binary, CA certificates and a user, and nothing else.

They are an image layout (a directory) with one image for each tag: VERSION, and with
--kubectl also VERSION-kubectl, for use in a cluster.
"""

import copy
import json
from datetime import datetime, timezone
from pathlib import Path

from .release import NAME, gz, sha256, tar
from .sbom import text
from .stage import put

# The user of the images, as in distroless ones. Its home is the only directory to write to.
USER = 65532
PASSWD = f"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/sbin/nologin\n"
GROUP = f"root:x:0:\nnonroot:x:{USER}:\n"


def write(release, contents, bill, directory, certificates, kubectl):
    """Writes the layout; `kubectl` is one with its version, or None."""
    layout = directory / f"{release.stem}.oci"
    roots, origin = certificates
    bill = with_component(bill, {"type": "file", "name": "ca-certificates.crt", "version": sha256(roots)[:12],
                                 "description": origin,
                                 "hashes": [{"alg": "SHA-256", "content": sha256(roots)}]})
    base = {"etc/group": GROUP.encode(), "etc/passwd": PASSWD.encode(), "etc/ssl/certs/ca-certificates.crt": roots}
    tool = {f"usr/bin/{NAME}": contents.binary, **bill_and_licences(contents, bill)}
    layers = [layer(release, layout, base, [("tmp", 0o1777, None)]), layer(release, layout, tool)]
    images = [image(release, layout, release.version, layers)]
    if kubectl:
        data, version = kubectl
        bill = with_component(bill, {"type": "application", "name": "kubectl", "version": version,
                                     "purl": f"pkg:golang/k8s.io/kubernetes@v{version}",
                                     "licenses": [{"expression": "Apache-2.0"}],
                                     "hashes": [{"alg": "SHA-256", "content": sha256(data)}]})
        # The bill of the layer before it is replaced.
        files = {"usr/bin/kubectl": data, **bill_and_licences(contents, bill)}
        images.append(image(release, layout, f"{release.version}-kubectl", [*layers, layer(release, layout, files)]))
    put(layout / "index.json", as_json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": images}) + b"\n")
    put(layout / "oci-layout", as_json({"imageLayoutVersion": "1.0.0"}) + b"\n")


def bill_and_licences(contents, bill):
    """The files about the contents of an image, where scanners find them."""
    return {f"usr/share/doc/{NAME}/{name}": data
            for name, data in {**contents.licences, f"{NAME}.cdx.json": text(bill)}.items()}


def with_component(bill, component):
    """A bill with one more component, which the tool does not depend on."""
    bill = copy.deepcopy(bill)
    bill["components"].append({"bom-ref": component.get("purl", component["name"]), **component})
    return bill


def layer(release, layout, files, entries=()):
    """Writes a layer; its descriptor, and the checksum of its contents."""
    parents = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    entries = [*((parent, 0o755, None) for parent in parents), *entries]
    entries += [(name, 0o755 if name.startswith("usr/bin/") else 0o644, data) for name, data in sorted(files.items())]
    data = tar(entries, release.epoch)
    return blob(layout, gz(data), "application/vnd.oci.image.layer.v1.tar+gzip"), f"sha256:{sha256(data)}"


def image(release, layout, tag, layers):
    """Writes an image of layers; its descriptor, with the tag."""
    created = datetime.fromtimestamp(release.epoch, timezone.utc).isoformat().replace("+00:00", "Z")
    labels = {"title": NAME, "description": release.description, "version": release.version,
              "licenses": release.licence, "created": created}
    if release.url:
        labels |= {"source": release.url, "url": release.url, "documentation": f"{release.page}README.md"}
    if release.commit:
        labels["revision"] = release.commit
    labels = {f"org.opencontainers.image.{name}": value for name, value in labels.items()}
    config = blob(layout, {
        "created": created, "architecture": release.arch, "os": "linux",
        "config": {"User": f"{USER}:{USER}", "Env": ["PATH=/usr/bin"], "Entrypoint": [f"/usr/bin/{NAME}"],
                   "WorkingDir": "/tmp", "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [checksum for _, checksum in layers]},
        "history": [{"created": created, "created_by": "packaging/dist"} for _ in layers],
    }, "application/vnd.oci.image.config.v1+json")
    manifest = blob(layout, {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
        "layers": [descriptor for descriptor, _ in layers], "annotations": labels,
    }, "application/vnd.oci.image.manifest.v1+json")
    return {**manifest, "platform": {"architecture": release.arch, "os": "linux"},
            "annotations": {"org.opencontainers.image.ref.name": tag}}


def blob(layout, content, kind):
    """Writes a blob, named by its checksum; its descriptor."""
    data = content if isinstance(content, bytes) else as_json(content)
    digest = sha256(data)
    put(layout / "blobs/sha256" / digest, data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def as_json(content):
    """JSON, as bytes."""
    return json.dumps(content, sort_keys=True).encode()
