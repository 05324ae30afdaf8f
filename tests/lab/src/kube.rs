//! A Kubernetes API server, as far as `kubectl exec`, `attach` and `logs` ask it: the daemon set aws-node, a
//! pod of it on each node, and their streams, for which it connects to the node's kubelet.
//!
//! Without TLS and without asking who is there: what it is for is the sockets that it opens.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Bytes, Message, WebSocket};

use crate::http::{Request, Response, receive};
use crate::listen::{TcpServer, bind_in, lock};
use crate::sandbox::{Exec, Kubelet};

/// The subprotocol of `kubectl` since 1.30.
/// <https://kubernetes.io/blog/2024/08/20/websockets-transition/>
const PROTOCOL: &str = "v5.channel.k8s.io";
/// A message's first byte: which stream it belongs to.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const ERROR: u8 = 3;
const CLOSE: u8 = 255;

const CONTAINER: &str = "aws-eks-nodeagent";

/// The server. It stops when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    cluster: Arc<Cluster>,
    _server: TcpServer,
}

/// What there is, and what is open.
#[derive(Debug)]
struct Cluster {
    /// The kubelets by the names of their pods.
    pods: BTreeMap<String, Kubelet>,
    /// The network interface that the API server's connections come from.
    eni: Mutex<Ipv4Addr>,
    /// How long a command that does nothing takes.
    takes: Mutex<Duration>,
    /// Connections that the API server keeps for the next request.
    pooled: Mutex<Vec<Exec>>,
}

impl ApiServer {
    /// Serves on `address` in the network namespace that the file `netns` stands for.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the address not be bound there.
    pub fn serve_in(
        netns: &Path,
        address: SocketAddr,
        eni: Ipv4Addr,
        kubelets: impl IntoIterator<Item = Kubelet>,
    ) -> io::Result<Self> {
        let names = (1..).map(|number| format!("aws-node-{number}"));
        let cluster = Arc::new(Cluster {
            pods: names.zip(kubelets).collect(),
            eni: Mutex::new(eni),
            takes: Mutex::new(Duration::from_millis(30)),
            pooled: Mutex::default(),
        });
        let listener = bind_in(netns, || TcpListener::bind(address))?;
        let shared = Arc::clone(&cluster);
        let server = TcpServer::start(listener, move |stream| converse(stream, &shared))?;
        Ok(Self { address, cluster, _server: server })
    }

    /// The value for kubectl's `--server`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has connections come from another network interface.
    pub fn set_eni(&self, eni: Ipv4Addr) {
        *lock(&self.cluster.eni) = eni;
    }

    /// Has a command that does nothing take so long.
    pub fn set_takes(&self, takes: Duration) {
        *lock(&self.cluster.takes) = takes;
    }

    /// Ends the connections that are kept for the next request.
    pub fn forget_pooled(&self) {
        lock(&self.cluster.pooled).clear();
    }
}

fn converse(stream: &TcpStream, cluster: &Cluster) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = receive(&mut stream, &mut unread)? {
        let words: Vec<_> = request.path.trim_matches('/').split('/').collect();
        match words.as_slice() {
            ["api", "v1", "namespaces", "kube-system", "pods", pod, "exec" | "attach"] => {
                return match cluster.pods.get(*pod) {
                    Some(kubelet) => run(stream, &request, kubelet, cluster),
                    None => not_found().send(&mut stream),
                };
            }
            ["api", "v1", "namespaces", "kube-system", "pods", pod, "log"] => match cluster.pods.get(*pod) {
                Some(kubelet) => {
                    let pooled = connect(kubelet, cluster)?;
                    lock(&cluster.pooled).push(pooled);
                    text("a line of its log\n").send(&mut stream)?;
                }
                None => not_found().send(&mut stream)?,
            },
            words => answer(words, cluster).send(&mut stream)?,
        }
    }
    Ok(())
}

fn connect(kubelet: &Kubelet, cluster: &Cluster) -> io::Result<Exec> {
    let eni = *lock(&cluster.eni);
    kubelet.exec_from(eni).map_err(io::Error::other)
}

fn answer(path: &[&str], cluster: &Cluster) -> Response {
    let labels = json!({"k8s-app": "aws-node"});
    let pod = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
            "spec": {"containers": [{"name": CONTAINER, "image": "aws-eks-nodeagent", "stdin": true, "tty": true}]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": CONTAINER, "ready": true, "state": {"running": {}}}],
            },
        })
    };
    match path {
        ["version"] => text_json(&json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1-eks-0000000"})),
        ["api"] => text_json(&json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => {
            let version = json!({"groupVersion": "apps/v1", "version": "v1"});
            let group = json!({"name": "apps", "versions": [version], "preferredVersion": version});
            text_json(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}))
        }
        ["api", "v1"] => resources("v1", "pods", "po", "Pod"),
        ["apis", "apps", "v1"] => resources("apps/v1", "daemonsets", "ds", "DaemonSet"),
        ["apis", "apps", "v1", "namespaces", "kube-system", "daemonsets", "aws-node"] => text_json(&json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "aws-node", "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
        })),
        ["api", "v1", "namespaces", "kube-system", "pods"] => {
            let pods: Vec<_> = cluster.pods.keys().map(|name| pod(name)).collect();
            text_json(&json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods}))
        }
        ["api", "v1", "namespaces", "kube-system", "pods", name] if cluster.pods.contains_key(*name) => {
            text_json(&pod(name))
        }
        _ => not_found(),
    }
}

fn resources(version: &str, name: &str, short: &str, kind: &str) -> Response {
    let resource = json!({
        "name": name, "singularName": kind.to_lowercase(), "shortNames": [short], "namespaced": true,
        "kind": kind, "verbs": ["get", "list"],
    });
    text_json(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource],
    }))
}

fn text_json(value: &Value) -> Response {
    Response { status: 200, content_type: "application/json", headers: Vec::new(), body: value.to_string() }
}

fn text(body: &str) -> Response {
    Response { status: 200, content_type: "text/plain", headers: Vec::new(), body: body.to_owned() }
}

fn not_found() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "the server could not find the requested resource",
    });
    Response { status: 404, ..text_json(&status) }
}

/// Runs a command in a pod: connects to its kubelet, and plays the command's part.
fn run(mut stream: TcpStream, request: &Request, kubelet: &Kubelet, cluster: &Cluster) -> io::Result<()> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    if key.is_empty() {
        let refused = Response { status: 400, ..text("WebSockets only") };
        return refused.send(&mut stream);
    }
    let eni = *lock(&cluster.eni);
    let open = kubelet.stream_from(eni).map_err(io::Error::other)?;
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
    let last = words.next_back().unwrap_or_default().to_owned();
    let asks =
        |key: &str| parameters.iter().any(|parameter| *parameter == (key.to_owned(), "true".to_owned()));
    let code = if asks("stdin") {
        shell(&mut socket, asks("tty"))
    } else {
        thread::sleep(*lock(&cluster.takes));
        Ok(exit_code(&last).unwrap_or(0))
    };
    // Kubelet's connection ends with the command.
    drop(open);
    let status = match code? {
        0 => json!({"metadata": {}, "status": "Success"}),
        code => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
    };
    send(&mut socket, ERROR, status.to_string().as_bytes())?;
    let _gone = socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
    // Until the other side has closed too.
    while socket.read().is_ok() {}
    Ok(())
}

/// `exit N`.
fn exit_code(line: &str) -> Option<u8> {
    line.trim().strip_prefix("exit")?.trim().parse().ok()
}

/// A shell that knows `exit N` only, and otherwise says what it was told.
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
            // The end of standard input.
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
