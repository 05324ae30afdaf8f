"""The CA certificates of the images."""

import ssl
import subprocess
from pathlib import Path

from .release import Failure

SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")


def read(path):
    """The CA certificates of a file, and where they are from."""
    other = "name a file of CA certificates in PEM with --ca-certificates, or install ca-certificates"
    try:
        roots = path.read_bytes()
    except OSError as error:
        raise Failure(f"the CA certificates {path} cannot be read ({error.strerror}): {other}")
    if b"PRIVATE KEY-----" in roots:
        raise Failure(f"{path} has a private key, which would be in the image: {other}")
    # The programs in the image read certificates of this form, and OpenSSL other ones too.
    form = b"-----BEGIN CERTIFICATE-----"
    try:
        if form not in roots:
            raise ValueError
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Comments may have other characters.
        context.load_verify_locations(cadata=roots.decode("ascii", errors="replace").replace("\ufffd", "?"))
    except ValueError:
        raise Failure(f"{path} has no certificate: {other}")
    except ssl.SSLError as error:
        raise Failure(f"{path} has a certificate that is damaged ({error.reason or 'it cannot be parsed'}): {other}")
    if path == SYSTEM:
        return roots, f"CA certificates of the system that made the image{origin()}"
    return roots, "CA certificates, named with --ca-certificates"


def origin():
    """The package that the certificates are of, if Debian's."""
    try:
        found = subprocess.run(["dpkg-query", "--show", "ca-certificates"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    except FileNotFoundError:
        return ""
    return f" ({' '.join(found.stdout.split())})" if found.returncode == 0 else ""
