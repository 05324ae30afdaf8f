//! Commands to the stub processes of a host, over their control sockets.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The stub processes of one host, one for each name.
#[derive(Clone, Debug)]
pub(super) struct Stubs {
    directory: PathBuf,
}

impl Stubs {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Connects to `peer`, and returns the local port.
    pub(super) fn dial(&self, process: &str, peer: SocketAddr, from: Option<IpAddr>) -> Result<u16> {
        let from = from.map(|from| format!(" {from}")).unwrap_or_default();
        let port = self.command(process, &format!("dial {} {}{from}", peer.ip(), peer.port()))?;
        port.parse().with_context(|| format!("invalid local port from {process}: {port:?}"))
    }

    /// Starts a connection to `peer` without waiting for it.
    pub(super) fn dial_nonblocking(&self, process: &str, peer: SocketAddr) -> Result<()> {
        self.command(process, &format!("dial-nonblocking {} {}", peer.ip(), peer.port())).map(drop)
    }

    /// Kills a stub process and starts it again with another id.
    pub(super) fn restart(&self, process: &str) -> Result<()> {
        send(&self.directory.join("init"), &format!("restart {}", hex(process))).map(drop)
    }

    /// Resets the connection with the given local port.
    pub(super) fn reset(&self, process: &str, local_port: u16) -> Result<()> {
        self.command(process, &format!("reset {local_port}")).map(drop)
    }

    /// Resets all connections of all stub processes.
    pub(super) fn reset_all(&self) -> Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            // A control socket is named by the process' name in hexadecimal.
            if let Some(hex) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit()))
            {
                send(&self.directory.join(hex), "reset")?;
            }
        }
        Ok(())
    }

    /// Sends a command to a stub process, which is started if necessary.
    fn command(&self, process: &str, command: &str) -> Result<String> {
        let hex = hex(process);
        let socket = self.directory.join(&hex);
        if !socket.exists() {
            send(&self.directory.join("init"), &format!("start {hex}"))
                .with_context(|| format!("starting {process}"))?;
        }
        send(&socket, command).with_context(|| format!("{process}: {command}"))
    }
}

/// The name of a process in hexadecimal.
fn hex(process: &str) -> String {
    process.bytes().fold(String::new(), |mut hex, byte| {
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Sends a command to a control socket, and returns the rest of an `ok` reply.
fn send(socket: &Path, command: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    writeln!(stream, "{command}")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    match reply.trim().strip_prefix("ok") {
        Some(rest) => Ok(rest.trim().to_owned()),
        None => bail!("{}", reply.trim()),
    }
}
