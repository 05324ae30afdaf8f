//! A Kubernetes API server with the endpoints that `kubectl exec`, `attach` and `logs` use: the `DaemonSet`
//! aws-node, one of its pods on each node, and their streams, for which it connects to the node's kubelet.
//!
//! It has neither TLS nor authentication: the tests need only the connections that it opens.

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

use crate::http::{Request, Response, read_request};
use crate::listen::{TcpServer, bind_in, lock};
use crate::sandbox::{ExecConnection, Kubelet};

/// The WebSocket subprotocol of kubectl since 1.30.
/// <https://kubernetes.io/blog/2024/08/20/websockets-transition/>
const PROTOCOL: &str = "v5.channel.k8s.io";
/// The channel numbers, each the first byte of a message.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const ERROR: u8 = 3;
const CLOSE: u8 = 255;

/// The container that all requests refer to.
const CONTAINER: &str = "aws-eks-nodeagent";

/// The API server. It stops when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    cluster: Arc<Cluster>,
    _server: TcpServer,
}

/// The state that the connections' threads share.
#[derive(Debug)]
struct Cluster {
    /// Each pod's name and the kubelet of its node.
    pods: BTreeMap<String, Kubelet>,
    /// The address of the EKS-owned ENI that connections to kubelets come from.
    source_eni: Mutex<Ipv4Addr>,
    /// How long a command without standard input runs.
    exec_duration: Mutex<Duration>,
    /// Idle connections to kubelets by pod, kept for reuse.
    pooled: Mutex<BTreeMap<String, ExecConnection>>,
}

impl ApiServer {
    /// Serves on `address` in the network namespace that the file `netns` refers to.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the address cannot be bound in it.
    pub fn serve_in(
        netns: &Path,
        address: SocketAddr,
        source_eni: Ipv4Addr,
        kubelets: impl IntoIterator<Item = Kubelet>,
    ) -> io::Result<Self> {
        let names = (1..).map(|number| format!("aws-node-{number}"));
        let cluster = Arc::new(Cluster {
            pods: names.zip(kubelets).collect(),
            source_eni: Mutex::new(source_eni),
            exec_duration: Mutex::new(Duration::from_millis(30)),
            pooled: Mutex::default(),
        });
        let listener = bind_in(netns, || TcpListener::bind(address))?;
        let shared = Arc::clone(&cluster);
        let server = TcpServer::start(listener, move |stream| serve_connection(stream, &shared))?;
        Ok(Self { address, cluster, _server: server })
    }

    /// The server's URL, for kubectl's `--server` option.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the ENI that further connections to kubelets come from.
    pub fn set_source_eni(&self, eni: Ipv4Addr) {
        *lock(&self.cluster.source_eni) = eni;
    }

    /// Sets how long a command without standard input runs.
    pub fn set_exec_duration(&self, duration: Duration) {
        *lock(&self.cluster.exec_duration) = duration;
    }

    /// Closes the idle connections to kubelets.
    pub fn close_pooled_connections(&self) {
        lock(&self.cluster.pooled).clear();
    }
}

fn serve_connection(stream: &TcpStream, cluster: &Cluster) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        let segments: Vec<_> = request.path.trim_matches('/').split('/').collect();
        match segments.as_slice() {
            ["api", "v1", "namespaces", "kube-system", "pods", pod, "exec" | "attach"] => {
                return match cluster.pods.get(*pod) {
                    Some(kubelet) => exec(stream, &request, kubelet, cluster),
                    None => not_found().send(&mut stream),
                };
            }
            ["api", "v1", "namespaces", "kube-system", "pods", pod, "log"] => match cluster.pods.get(*pod) {
                Some(kubelet) => {
                    let mut pooled = lock(&cluster.pooled);
                    if !pooled.contains_key(*pod) {
                        pooled.insert((*pod).to_owned(), connect(kubelet, cluster)?);
                    }
                    drop(pooled);
                    text("a log line\n").send(&mut stream)?;
                }
                None => not_found().send(&mut stream)?,
            },
            segments => respond(segments, cluster).send(&mut stream)?,
        }
    }
    Ok(())
}

fn connect(kubelet: &Kubelet, cluster: &Cluster) -> io::Result<ExecConnection> {
    let eni = *lock(&cluster.source_eni);
    kubelet.exec_from(eni).map_err(io::Error::other)
}

/// The response to a request for discovery or for an object.
fn respond(path: &[&str], cluster: &Cluster) -> Response {
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
        ["version"] => {
            json_response(&json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1-eks-0000000"}))
        }
        ["api"] => json_response(&json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => {
            let version = json!({"groupVersion": "apps/v1", "version": "v1"});
            let group = json!({"name": "apps", "versions": [version], "preferredVersion": version});
            json_response(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}))
        }
        ["api", "v1"] => resources("v1", "pods", "po", "Pod"),
        ["apis", "apps", "v1"] => resources("apps/v1", "daemonsets", "ds", "DaemonSet"),
        ["apis", "apps", "v1", "namespaces", "kube-system", "daemonsets", "aws-node"] => {
            json_response(&json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet",
                "metadata": {"name": "aws-node", "namespace": "kube-system"},
                "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
            }))
        }
        ["api", "v1", "namespaces", "kube-system", "pods"] => {
            let pods: Vec<_> = cluster.pods.keys().map(|name| pod(name)).collect();
            json_response(&json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods}))
        }
        ["api", "v1", "namespaces", "kube-system", "pods", name] if cluster.pods.contains_key(*name) => {
            json_response(&pod(name))
        }
        _ => not_found(),
    }
}

/// An `APIResourceList` with one resource.
fn resources(version: &str, name: &str, short: &str, kind: &str) -> Response {
    let resource = json!({
        "name": name, "singularName": kind.to_lowercase(), "shortNames": [short], "namespaced": true,
        "kind": kind, "verbs": ["get", "list"],
    });
    json_response(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource],
    }))
}

fn json_response(value: &Value) -> Response {
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
    Response { status: 404, ..json_response(&status) }
}

/// Serves `exec` or `attach`: connects to the pod's kubelet and emulates the command.
fn exec(mut stream: TcpStream, request: &Request, kubelet: &Kubelet, cluster: &Cluster) -> io::Result<()> {
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
