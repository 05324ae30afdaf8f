//! Orders to the stand-ins of a host, over their control sockets.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The stand-ins of one host: one process for each name.
#[derive(Clone, Debug)]
pub(super) struct StandIns {
    directory: PathBuf,
}

impl StandIns {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Connects, and tells the local port.
    pub(super) fn dial(&self, process: &str, peer: SocketAddr, from: Option<IpAddr>) -> Result<u16> {
        let from = from.map(|from| format!(" {from}")).unwrap_or_default();
        let port = self.order(process, &format!("dial {} {}{from}", peer.ip(), peer.port()))?;
        port.parse().with_context(|| format!("{process} dialed from port {port:?}"))
    }

    /// Sends a SYN, and does not wait for what comes of it.
    pub(super) fn attempt(&self, process: &str, peer: SocketAddr) -> Result<()> {
        self.order(process, &format!("attempt {} {}", peer.ip(), peer.port())).map(drop)
    }

    /// Ends the connection of that local port.
    pub(super) fn close(&self, process: &str, local_port: u16) -> Result<()> {
        self.order(process, &format!("close {local_port}")).map(drop)
    }

    /// Ends all connections of all processes.
    pub(super) fn close_all(&self) -> Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            // A name in hexadecimal is a stand-in's socket.
            if let Some(hex) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit()))
            {
                ask(&self.directory.join(hex), "close")?;
            }
        }
        Ok(())
    }

    fn order(&self, process: &str, order: &str) -> Result<String> {
        let hex = process.bytes().fold(String::new(), |mut hex, byte| {
            _ = write!(hex, "{byte:02x}");
            hex
        });
        let socket = self.directory.join(&hex);
        if !socket.exists() {
            ask(&self.directory.join("init"), &format!("start {hex}"))
                .with_context(|| format!("starting {process}"))?;
        }
        ask(&socket, order).with_context(|| format!("{process}, told to {order}"))
    }
}

fn ask(socket: &Path, order: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    writeln!(stream, "{order}")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    match reply.trim().strip_prefix("ok") {
        Some(rest) => Ok(rest.trim().to_owned()),
        None => bail!("{}", reply.trim()),
    }
}
