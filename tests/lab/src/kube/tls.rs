//! TLS in front of the API server: a certificate authority, and a process that accepts TLS
//! connections and passes on what they contain.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::sandbox::Lab;

/// Listens at the addresses after the first one, which is where to connect to.
const FORWARD: &str = r#"
import asyncio, ssl, sys

async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)

async def accept(reader, writer):
    to_reader, to_writer = await asyncio.open_connection(*address(sys.argv[3]))
    await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    for listener in sys.argv[4:]:
        await asyncio.start_server(accept, *address(listener), ssl=context)
    print("listening", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"#;

/// TLS in front of a server of the operator's network. It ends when it is dropped.
#[derive(Debug)]
pub struct Tls {
    process: Child,
    authority: String,
    dir: TempDir,
}

impl Tls {
    /// Passes connections to `listeners` on to `to`. The certificate is valid for these names
    /// and addresses.
    ///
    /// # Errors
    ///
    /// The certificates cannot be made, or an address cannot be bound.
    pub fn start(
        lab: &Lab,
        to: SocketAddr,
        listeners: &[SocketAddr],
        names: &[&str],
        addresses: &[IpAddr],
    ) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = |name: &str| dir.path().join(name);
        certificate(&file("ca"), "/CN=kubernetes", &["basicConstraints=critical,CA:TRUE"], None)?;
        let names = names.iter().map(|name| format!("DNS:{name}"));
        let names = names.chain(addresses.iter().map(|address| format!("IP:{address}")));
        let names = format!("subjectAltName={}", names.collect::<Vec<_>>().join(","));
        let usage = ["basicConstraints=CA:FALSE", &names];
        certificate(&file("server"), "/CN=kube-apiserver", &usage, Some(&file("ca")))?;
        let authority = fs::read_to_string(file("ca.pem"))?;
        let mut process = lab
            .operator_command("python3")
            .args(["-c", FORWARD])
            .args([file("server.pem"), file("server.key")])
            .arg(to.to_string())
            .args(listeners.iter().map(ToString::to_string))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let tls = Self { process, authority, dir };
        ensure!(line == "listening\n", "TLS does not start");
        Ok(tls)
    }

    /// The certificate of the authority, in PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The same in Base64, as in a kubeconfig.
    ///
    /// # Panics
    ///
    /// If openssl cannot be run.
    #[must_use]
    pub fn authority_data(&self) -> String {
        let file = self.dir.path().join("ca.pem");
        let output = Command::new("openssl").args(["base64", "-A", "-in"]).arg(file).output();
        String::from_utf8(output.expect("openssl").stdout).expect("Base64")
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Makes a key and a certificate, signed by an authority or by itself: `PATH.key` and
/// `PATH.pem`.
fn certificate(path: &Path, subject: &str, extensions: &[&str], authority: Option<&Path>) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-days", "2", "-subj", subject, "-keyout"]).arg(path.with_extension("key"));
    openssl.arg("-out").arg(path.with_extension("pem"));
    for extension in extensions {
        openssl.args(["-addext", extension]);
    }
    if let Some(authority) = authority {
        openssl.arg("-CA").arg(authority.with_extension("pem"));
        openssl.arg("-CAkey").arg(authority.with_extension("key"));
    }
    let output = openssl.output().context("openssl")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
