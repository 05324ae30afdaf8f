//! `exec` in a pod whose processes are real: the streams of the process over a WebSocket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use tungstenite::handshake::derive_accept_key;

use super::objects::no_such;
use super::{CLOSE, Cluster, ERROR, PROTOCOL, STDIN, STDOUT};
use crate::http::Request;
use crate::listen::lock;

const STDERR: u8 = 2;
/// The opcodes of frames.
/// <https://www.rfc-editor.org/rfc/rfc6455#section-5.2>
const BINARY: u8 = 2;
const CLOSING: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Runs the command of a request in a pod.
pub(super) fn serve(
    mut stream: TcpStream,
    request: &Request,
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
) -> io::Result<()> {
    let parameters: Vec<(String, String)> =
        form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
    let words: Vec<_> =
        parameters.iter().filter(|(key, _)| key == "command").map(|(_, word)| word.clone()).collect();
    let has_stdin = parameters.contains(&("stdin".to_owned(), "true".to_owned()));
    let state = lock(&cluster.state);
    let found = state.pods.get(&(namespace.to_owned(), pod.to_owned()));
    let running = found.and_then(|pod| Some((pod.process.as_ref()?, pod.json["spec"]["nodeName"].as_str()?)));
    let Some((process, node)) = running else {
        drop(state);
        return no_such("pods", pod).send(&mut stream);
    };
    let kubelet = state.nodes[node].kubelet.clone();
    let mut command = process.exec(&words);
    drop(state);
    let eni = *lock(&cluster.source_eni);
    let connection = kubelet.exec_with_stream_from(eni).map_err(io::Error::other)?;
    let key = request.header("sec-websocket-key").unwrap_or_default();
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )?;
    command.stdin(if has_stdin { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let writer = Arc::new(Mutex::new(stream.try_clone()?));
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("no pipes"));
    };
    let outputs = [pump(stdout, STDOUT, Arc::clone(&writer)), pump(stderr, STDERR, Arc::clone(&writer))];
    let (stdin, pongs) = (child.stdin.take(), Arc::clone(&writer));
    let mut frames = stream.try_clone()?;
    let input = thread::spawn(move || {
        let _disconnected = read_input(&mut frames, stdin, &pongs);
    });
    let status = child.wait()?;
    for output in outputs {
        let _panicked = output.join();
    }
    // Kubelet closes its connection when the command has exited.
    drop(connection);
    let status = match status.code() {
        Some(0) => json!({"metadata": {}, "status": "Success"}),
        code => {
            let code = code.unwrap_or(137);
            json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": format!("command terminated with non-zero exit code {code}"),
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            })
        }
    };
    send(&writer, BINARY, &[&[ERROR], status.to_string().as_bytes()].concat())?;
    send(&writer, CLOSING, &1000_u16.to_be_bytes())?;
    let _panicked = input.join();
    Ok(())
}

/// Sends what a pipe has as messages of a channel.
fn pump(
    mut pipe: impl Read + Send + 'static,
    channel: u8,
    writer: Arc<Mutex<TcpStream>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if send(&writer, BINARY, &[&[channel], &buffer[..length]].concat()).is_err() {
                return;
            }
        }
    })
}

/// Sends a frame.
fn send(writer: &Mutex<TcpStream>, opcode: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(u8::try_from(length).map_err(io::Error::other)?),
        length => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    lock(writer).write_all(&frame)
}

/// Writes the messages of the client to the standard input of the process, until the client closes it or the
/// connection.
fn read_input(
    stream: &mut TcpStream,
    mut stdin: Option<std::process::ChildStdin>,
    writer: &Mutex<TcpStream>,
) -> io::Result<()> {
    loop {
        let (opcode, payload) = read_frame(stream)?;
        match (opcode, payload.split_first()) {
            (CLOSING, _) => return Ok(()),
            (PING, _) => send(writer, PONG, &payload)?,
            (_, Some((&STDIN, bytes))) => {
                if let Some(pipe) = &mut stdin {
                    // Fails if the process has exited.
                    let _ = pipe.write_all(bytes);
                }
            }
            (_, Some((&CLOSE, [STDIN, ..]))) => stdin = None,
            _ => {}
        }
    }
}

/// Reads a frame of the client, which is masked and, as kubectl sends it, not fragmented.
fn read_frame(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let length = match head[1] & 0x7f {
        126 => {
            let mut bytes = [0; 2];
            stream.read_exact(&mut bytes)?;
            u64::from(u16::from_be_bytes(bytes))
        }
        127 => {
            let mut bytes = [0; 8];
            stream.read_exact(&mut bytes)?;
            u64::from_be_bytes(bytes)
        }
        length => u64::from(length),
    };
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        stream.read_exact(&mut mask)?;
    }
    let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut payload)?;
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[index % 4];
    }
    Ok((head[0] & 0x0f, payload))
}
