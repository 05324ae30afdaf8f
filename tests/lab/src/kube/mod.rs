//! A Kubernetes API server, as far as kubectl uses it here: nodes, endpoint slices, pods, logs, events, Jobs,
//! the objects of `apply --server-side`, which nothing acts on, and the streams of `exec` and `attach`, for which it connects to the node's kubelet. Pods are real processes
//! on the nodes, apart from those of the `DaemonSet` aws-node, whose commands are emulated.
//!
//! It has TLS only through [`Tls`], and refuses wrong tokens, and what rules of RBAC do not allow, only if it
//! has some.

mod emulated;
mod exec;
mod objects;
mod pod;
mod rbac;
mod state;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use self::objects::{json_response, not_found, respond, text};
pub use self::rbac::Access;
use self::state::State;
pub use self::state::{Admission, Faults};
pub use self::tls::Tls;
use crate::http::{Response, read_request};
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
    controllers: Option<JoinHandle<()>>,
    _server: TcpServer,
}

/// The interval at which the controllers act.
const TICK: Duration = Duration::from_millis(20);

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
    state: Mutex<State>,
    /// The rules of RBAC, if there are any.
    roles: Mutex<Option<Vec<Value>>>,
    /// The only token that is accepted, if there is one.
    token: Mutex<Option<String>>,
    /// What was requested, apart from discovery.
    journal: Mutex<Vec<Access>>,
    has_stopped: AtomicBool,
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
        let pods: BTreeMap<_, _> = names.zip(kubelets).collect();
        let mut state = State::default();
        let mut by_address: Vec<_> = pods.values().collect();
        by_address.sort_by_key(|kubelet| kubelet.address());
        for (index, kubelet) in by_address.into_iter().enumerate() {
            state.add_node(index, kubelet.clone());
        }
        let cluster = Arc::new(Cluster {
            pods,
            state: Mutex::new(state),
            roles: Mutex::default(),
            token: Mutex::default(),
            journal: Mutex::default(),
            has_stopped: AtomicBool::default(),
            source_eni: Mutex::new(source_eni),
            exec_duration: Mutex::new(Duration::from_millis(30)),
            pooled: Mutex::default(),
        });
        let listener = bind_in(netns, || TcpListener::bind(address))?;
        let shared = Arc::clone(&cluster);
        let server = TcpServer::start(listener, move |stream| serve_connection(stream, &shared))?;
        let controlled = Arc::clone(&cluster);
        let controllers = thread::spawn(move || {
            while !controlled.has_stopped.load(Ordering::SeqCst) {
                lock(&controlled.state).tick();
                thread::sleep(TICK);
            }
        });
        Ok(Self { address, cluster, controllers: Some(controllers), _server: server })
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

    /// Changes how pods are created and started.
    pub fn set_faults(&self, faults: Faults) {
        lock(&self.cluster.state).faults = faults;
    }

    /// Refuses from now on what these `ClusterRole`s and `Role`s do not allow.
    pub fn set_roles(&self, roles: Option<Vec<Value>>) {
        *lock(&self.cluster.roles) = roles;
    }

    /// Refuses from now on requests with another token.
    pub fn set_token(&self, token: Option<&str>) {
        *lock(&self.cluster.token) = token.map(ToOwned::to_owned);
    }

    /// The address that it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes a node, such as its `osImage`.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn change_node(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut state = lock(&self.cluster.state);
        change(&mut state.nodes.get_mut(name).expect("a node").json);
    }

    /// Runs a pod of the EKS node monitoring agent on a node.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn add_agent(&self, node: &str) {
        let name = format!("eks-node-monitoring-agent-{node}");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "kube-system", "labels": {
                "app.kubernetes.io/name": "eks-node-monitoring-agent",
            }},
            "spec": {
                "hostNetwork": true, "hostPID": true,
                "containers": [{
                    "name": "eks-node-monitoring-agent", "image": "eks-node-monitoring-agent",
                    "command": ["sleep", "100000"], "securityContext": {"privileged": true},
                }],
                "volumes": [{"name": "host-root", "hostPath": {"path": "/"}}],
            },
            "status": {},
        });
        lock(&self.cluster.state).add_pod("kube-system", node, pod).expect("the agent's pod");
    }

    /// The Jobs.
    #[must_use]
    pub fn jobs(&self) -> Vec<Value> {
        lock(&self.cluster.state).jobs.values().map(|job| job.json.clone()).collect()
    }

    /// The names of the pods of Jobs and agents.
    #[must_use]
    pub fn pods(&self) -> Vec<String> {
        lock(&self.cluster.state).pods.keys().map(|(_, name)| name.clone()).collect()
    }

    /// The objects that `kubectl apply --server-side` brought, in any order.
    #[must_use]
    pub fn applied(&self) -> Vec<Value> {
        lock(&self.cluster.state).applied.values().cloned().collect()
    }

    /// Removes all Jobs, pods, faults and rules.
    pub fn reset(&self) {
        let mut state = lock(&self.cluster.state);
        state.jobs.clear();
        state.pods.clear();
        state.events.clear();
        state.applied.clear();
        state.faults = Faults::default();
        state.ahead = Duration::ZERO;
        drop(state);
        self.set_roles(None);
        self.set_token(None);
        lock(&self.cluster.journal).clear();
    }

    /// Advances the clock of the controllers: of deadlines and times to live.
    pub fn advance(&self, time: Duration) {
        let mut state = lock(&self.cluster.state);
        state.ahead += time;
        state.tick();
    }

    /// What was requested since the last call, apart from discovery.
    #[must_use]
    pub fn take_journal(&self) -> Vec<Access> {
        std::mem::take(&mut lock(&self.cluster.journal))
    }

    /// Closes the idle connections to kubelets.
    pub fn close_pooled_connections(&self) {
        lock(&self.cluster.pooled).clear();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.cluster.has_stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.controllers.take() {
            let _panicked = thread.join();
        }
        lock(&self.cluster.state).pods.clear();
    }
}

fn serve_connection(stream: &TcpStream, cluster: &Cluster) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        let segments: Vec<_> = request.path.trim_matches('/').split('/').collect();
        let is_known = lock(&cluster.token).as_ref().is_none_or(|token| {
            request.header("authorization").is_some_and(|header| header == format!("Bearer {token}"))
        });
        if !is_known {
            Response { status: 401, ..json_response(&unauthorized()) }.send(&mut stream)?;
            continue;
        }
        if let Some(access) = Access::of(&request) {
            let is_allowed = lock(&cluster.roles).as_ref().is_none_or(|roles| access.is_allowed(roles));
            lock(&cluster.journal).push(access.clone());
            if !is_allowed {
                Response { status: 403, ..json_response(&access.refusal()) }.send(&mut stream)?;
                continue;
            }
        }
        match segments.as_slice() {
            ["api", "v1", "namespaces", namespace, "pods", pod, "exec" | "attach"] => {
                return match cluster.pods.get(*pod).filter(|_| *namespace == "kube-system") {
                    Some(kubelet) => emulated::serve(stream, &request, kubelet, cluster),
                    None => exec::serve(stream, &request, cluster, namespace, pod),
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
            segments => respond(&request, segments, cluster).send(&mut stream)?,
        }
    }
    Ok(())
}

fn unauthorized() -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Unauthorized",
        "code": 401, "message": "Unauthorized",
    })
}

fn connect(kubelet: &Kubelet, cluster: &Cluster) -> io::Result<ExecConnection> {
    let eni = *lock(&cluster.source_eni);
    kubelet.exec_from(eni).map_err(io::Error::other)
}
