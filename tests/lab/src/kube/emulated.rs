//! `exec` and `attach` in the pods of aws-node, whose commands are emulated.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;

use serde_json::json;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Bytes, Message, WebSocket};

use super::objects::text;
use super::{CLOSE, Cluster, ERROR, PROTOCOL, STDIN, STDOUT};
use crate::http::{Request, Response};
use crate::listen::lock;
use crate::sandbox::Kubelet;

/// Serves `exec` or `attach`: connects to the pod's kubelet and emulates the command.
pub(super) fn serve(
    mut stream: TcpStream,
    request: &Request,
    kubelet: &Kubelet,
    cluster: &Cluster,
) -> io::Result<()> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    if key.is_empty() {
        let rejected = Response { status: 400, ..text("only WebSocket streams are supported") };
        return rejected.send(&mut stream);
    }
    let eni = *lock(&cluster.source_eni);
    let connection = kubelet.exec_with_stream_from(eni).map_err(io::Error::other)?;
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )?;
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    let parameters: Vec<(String, String)> =
        form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
    let mut words = parameters.iter().filter(|(key, _)| key == "command").map(|(_, word)| word.as_str());
    let script = words.next_back().unwrap_or_default().to_owned();
    let is_true =
        |key: &str| parameters.iter().any(|parameter| *parameter == (key.to_owned(), "true".to_owned()));
    let code = if is_true("stdin") {
        shell(&mut socket, is_true("tty"))
    } else {
        thread::sleep(*lock(&cluster.exec_duration));
        Ok(exit_code(&script).unwrap_or(0))
    };
    // Kubelet closes its connection when the command has exited.
    drop(connection);
    let status = match code? {
        0 => json!({"metadata": {}, "status": "Success"}),
        code => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
    };
    send(&mut socket, ERROR, status.to_string().as_bytes())?;
    let _disconnected = socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
    // Read until the client has completed the closing handshake.
    while socket.read().is_ok() {}
    Ok(())
}

/// The N of `exit N`.
fn exit_code(line: &str) -> Option<u8> {
    line.trim().strip_prefix("exit")?.trim().parse().ok()
}

/// Emulates a shell whose only built-in is `exit N`; it echoes any other line.
fn shell(socket: &mut WebSocket<TcpStream>, tty: bool) -> io::Result<u8> {
    send(socket, STDOUT, b"bash-5.2# ")?;
    let mut line = String::new();
    loop {
        let message = match socket.read() {
            Ok(Message::Binary(message)) => message,
            Ok(Message::Close(_)) => return Ok(0),
            Ok(_) => continue,
            Err(error) => return Err(io::Error::other(error)),
        };
        match message.split_first() {
            Some((&STDIN, typed)) => {
                if tty {
                    send(socket, STDOUT, typed)?;
                }
                line.push_str(&String::from_utf8_lossy(typed));
            }
            // End of standard input.
            Some((&CLOSE, _)) => return Ok(0),
            _ => continue,
        }
        while let Some((first, rest)) = line.split_once(['\r', '\n']) {
            if let Some(code) = exit_code(first) {
                return Ok(code);
            }
            let reply = format!("\r\nbash: {first}\r\nbash-5.2# ");
            send(socket, STDOUT, reply.as_bytes())?;
            line = rest.to_owned();
        }
    }
}

fn send(socket: &mut WebSocket<impl Read + Write>, stream: u8, bytes: &[u8]) -> io::Result<()> {
    let message: Vec<u8> = [&[stream], bytes].concat();
    socket.send(Message::Binary(Bytes::from(message))).map_err(io::Error::other)
}
