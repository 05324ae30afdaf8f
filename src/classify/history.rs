//! The samples of the nodes' sockets, merged by node, local and peer address. Process ids
//! are not compared, since a restart changes them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::NAME_KEPT;
use crate::model::connection::Component;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::socket::{Host, Port, Process, Socket, SocketAddress, State};
use crate::model::trace::{Moment, Phase, Presence};

/// The largest number of sockets that are kept: a trace may run for days.
const SOCKETS_MAX: usize = 500_000;
/// The largest number of sockets of one node that are kept.
const OF_NODE_MAX: usize = 100_000;

/// The samples of all nodes.
#[derive(Debug, Default)]
pub struct History {
    nodes: BTreeMap<NodeName, NodeHistory>,
    names: HashSet<Arc<str>>,
    kept: usize,
    /// The number of sockets that were not kept.
    pub dropped: u64,
}

/// The samples of a node.
#[derive(Debug, Default)]
struct NodeHistory {
    sockets: HashMap<Key, Record>,
    /// The processes that listen, by port and address.
    listeners: HashMap<(u16, Host), Arc<str>>,
    samples: u32,
    /// The number of the last sample before the action.
    before: Option<u32>,
    /// Whether it was sampled during the action.
    during: bool,
    /// The number of samples after the action.
    after: u32,
}

type Key = (SocketAddress, SocketAddress);

/// The record of a socket.
#[derive(Debug)]
struct Record {
    state: State,
    process: Option<(Arc<str>, Option<u32>)>,
    component: Option<Component>,
    first_phase: Phase,
    /// The number of the last sample before the action that contains it.
    before: Option<u32>,
    during: bool,
    /// Whether the first sample after the action contains it.
    right_after: bool,
    /// The number of the last sample that contains it.
    last: Option<u32>,
    samples: u64,
    seen: Option<(Moment, Moment)>,
}

/// A socket and when it existed.
#[derive(Debug)]
pub struct KnownSocket {
    /// The socket as of the last sample that contains it.
    pub socket: Socket,
    /// The first process of its row; if only its close was reported, the process
    /// that listens on its port.
    pub process: Option<Process>,
    /// The Kubernetes component among the row's processes.
    pub component: Option<Component>,
    /// The parts of the trace that it existed in.
    pub presence: Presence,
    /// The part of the trace of the first sample that contains it.
    pub first_phase: Phase,
    /// The number of samples that contain it.
    pub samples: u64,
    /// The times of the first and the last sample that contain it.
    pub seen: Option<(Moment, Moment)>,
}

/// A sample of a node whose rows are being added.
#[derive(Debug)]
pub struct OpenSample<'a> {
    history: &'a mut History,
    node: NodeName,
    phase: Phase,
    moment: Option<Moment>,
    number: u32,
    /// Whether it has a new established socket whose process is unknown.
    pub has_new_nameless: bool,
}

impl History {
    /// Begins a sample of a node.
    pub fn begin_sample(&mut self, node: &NodeName, phase: Phase, moment: Option<Moment>) -> OpenSample<'_> {
        let known = self.nodes.entry(node.clone()).or_default();
        known.samples += 1;
        let number = known.samples;
        match phase {
            Phase::Before => known.before = Some(number),
            Phase::During => known.during = true,
            Phase::After => known.after += 1,
        }
        OpenSample { history: self, node: node.clone(), phase, moment, number, has_new_nameless: false }
    }

    /// Resumes the last sample of a node if it is of this phase; otherwise begins one.
    pub fn resume_sample(&mut self, node: &NodeName, phase: Phase) -> OpenSample<'_> {
        match self.nodes.get(node) {
            Some(known) if known.is_in(phase) => {
                let number = known.samples;
                OpenSample {
                    history: self,
                    node: node.clone(),
                    phase,
                    moment: None,
                    number,
                    has_new_nameless: false,
                }
            }
            _ => self.begin_sample(node, phase, None),
        }
    }

    /// Removes a node, whose samples cannot be compared.
    pub fn forget(&mut self, node: &NodeName) {
        if let Some(known) = self.nodes.remove(node) {
            self.kept -= known.sockets.len();
        }
    }

    /// Records that the kernel closed a socket. One that no sample contains existed
    /// between two of them.
    pub fn closed(&mut self, node: &NodeName, socket: &Socket, phase: Phase, moment: Moment) {
        // A socket that never had a peer was not a connection.
        if !matches!((&socket.peer.host, &socket.peer.port), (Host::Ip(_), Port::Number(_))) {
            return;
        }
        let known = self.nodes.entry(node.clone()).or_default();
        let key = (socket.local.clone(), socket.peer.clone());
        if let Some(record) = known.sockets.get_mut(&key) {
            record.seen = record.seen.map(|(first, _)| (first, moment));
            return;
        }
        if self.kept >= SOCKETS_MAX || known.sockets.len() >= OF_NODE_MAX {
            self.dropped += 1;
            return;
        }
        self.kept += 1;
        // A socket that is closed before the first sample after the action is received
        // existed during the action.
        let first_phase = if known.after > 0 { phase } else { phase.min(Phase::During) };
        known.sockets.insert(
            key,
            Record {
                state: State::Established,
                process: None,
                component: None,
                first_phase,
                before: None,
                during: first_phase == Phase::During,
                right_after: false,
                last: None,
                samples: 0,
                seen: Some((moment, moment)),
            },
        );
    }

    /// The nodes that were sampled.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.keys()
    }

    /// Whether a node was sampled before the action, and during or after it.
    #[must_use]
    pub fn is_comparable(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|known| known.before.is_some() && (known.during || known.after > 0))
    }

    /// A gap for each node that was not sampled after the action and has none among the
    /// gaps that are `known`.
    #[must_use]
    pub fn incomplete(&self, known: &[Gap]) -> Vec<Gap> {
        let has_gap = |name: &NodeName| known.iter().any(|gap| gap.subject.node() == Some(name));
        let nodes = self.nodes.iter().filter(|(name, node)| node.after == 0 && !has_gap(name));
        let gaps = nodes.map(|(name, _)| Gap {
            subject: name.clone().into(),
            why: GapReason::Incomplete,
            detail: "no sample of its sockets succeeded after the action".to_owned(),
            hint: "try again".to_owned(),
        });
        gaps.collect()
    }

    /// The sockets of all samples.
    pub fn sockets(&self) -> impl Iterator<Item = (&NodeName, KnownSocket)> {
        self.nodes.iter().flat_map(|(name, node)| node.sockets().map(move |socket| (name, socket)))
    }

    fn intern(&mut self, comm: &[u8]) -> Arc<str> {
        let name = String::from_utf8_lossy(&comm[..comm.len().min(NAME_KEPT)]);
        if let Some(known) = self.names.get(name.as_ref()) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        // Processes choose their names, so the number of names is limited.
        if self.names.len() < SOCKETS_MAX {
            self.names.insert(Arc::clone(&name));
        }
        name
    }
}

impl NodeHistory {
    /// Whether the last sample is of this phase.
    fn is_in(&self, phase: Phase) -> bool {
        match phase {
            Phase::Before => self.before == Some(self.samples),
            Phase::During => self.during && self.after == 0,
            Phase::After => self.after > 0,
        }
    }

    fn sockets(&self) -> impl Iterator<Item = KnownSocket> {
        self.sockets.iter().map(|((local, peer), record)| KnownSocket {
            socket: Socket { state: record.state, local: local.clone(), peer: peer.clone() },
            process: record
                .process
                .as_ref()
                .map(|(name, pid)| Process { name: name.to_string(), pid: *pid })
                .or_else(|| self.listener(local).map(|name| Process { name: name.to_string(), pid: None })),
            component: record.component.or_else(|| {
                let name = self.listener(local).filter(|_| record.process.is_none())?;
                Component::from_comm(name.as_bytes())
            }),
            presence: self.presence(record),
            first_phase: record.first_phase,
            samples: record.samples,
            seen: record.seen,
        })
    }

    fn presence(&self, record: &Record) -> Presence {
        let before = record.before.is_some() && record.before == self.before;
        let is_last = record.last == Some(self.samples);
        Presence {
            before,
            // A short action may lie between two samples: a socket in both existed during it,
            // and one only in the sample right after it belongs to the action.
            during: record.during
                || (record.right_after && (before || (record.first_phase == Phase::During && !is_last))),
            // A socket in the last sample of a node whose connection was lost is not gone.
            after: is_last && (self.after > 0 || before),
        }
    }

    /// The process that listens on an address.
    fn listener(&self, local: &SocketAddress) -> Option<&str> {
        let Port::Number(port) = local.port else { return None };
        let own = self.listeners.get(&(port, local.host.clone()));
        own.or_else(|| self.listeners.get(&(port, Host::Any))).map(AsRef::as_ref)
    }
}

impl OpenSample<'_> {
    /// Adds a row.
    pub fn add<'a>(
        &mut self,
        socket: Socket,
        processes: impl Iterator<Item = (&'a [u8], Option<u32>)> + Clone,
    ) {
        if socket.state == State::Listen {
            self.add_listener(&socket, { processes }.next());
            return;
        }
        if !socket.state.is_open_or_opening() {
            return;
        }
        let component = processes.clone().find_map(|(comm, _)| Component::from_comm(comm));
        let process = { processes }.next().map(|(comm, pid)| (self.history.intern(comm), pid));
        let Some(known) = self.history.nodes.get_mut(&self.node) else { return };
        let key = (socket.local, socket.peer);
        if !known.sockets.contains_key(&key) {
            if self.history.kept >= SOCKETS_MAX || known.sockets.len() >= OF_NODE_MAX {
                self.history.dropped += 1;
                return;
            }
            self.history.kept += 1;
        }
        let known_after = known.after;
        let record = known.sockets.entry(key).or_insert_with(|| Record {
            state: socket.state,
            process: None,
            component: None,
            // A socket in the first sample after the action was opened before its end.
            first_phase: if known_after == 1 { Phase::During } else { self.phase },
            before: None,
            during: false,
            right_after: false,
            last: None,
            samples: 0,
            seen: self.moment.map(|moment| (moment, moment)),
        });
        record.state = socket.state;
        record.last = Some(self.number);
        record.samples += 1;
        record.seen = record.seen.zip(self.moment).map(|((first, _), last)| (first, last));
        match self.phase {
            Phase::Before => record.before = Some(self.number),
            Phase::During => record.during = true,
            Phase::After => record.right_after |= known_after == 1,
        }
        self.has_new_nameless |=
            record.samples == 1 && process.is_none() && record.state == State::Established;
        // A row without a process does not remove the process of an earlier row.
        if process.is_some() {
            record.process = process;
            record.component = component;
        }
    }

    fn add_listener(&mut self, socket: &Socket, process: Option<(&[u8], Option<u32>)>) {
        let (Some((comm, _)), Port::Number(port)) = (process, &socket.local.port) else { return };
        let name = self.history.intern(comm);
        let Some(known) = self.history.nodes.get_mut(&self.node) else { return };
        if known.listeners.len() < OF_NODE_MAX {
            known.listeners.entry((*port, socket.local.host.clone())).or_insert(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::model::trace::Change;

    fn at(address: &str) -> SocketAddress {
        let (ip, port) = address.rsplit_once(':').expect("a port");
        let host = if ip == "*" { Host::Any } else { Host::Ip(ip.parse::<IpAddr>().expect("an address")) };
        SocketAddress { host, port: port.parse().map_or(Port::Any, Port::Number) }
    }

    fn socket(state: State, local: &str, peer: &str) -> Socket {
        Socket { state, local: at(local), peer: at(peer) }
    }

    const KUBELET: (&[u8], Option<u32>) = (b"kubelet", Some(7));

    /// The changes that samples show, each a phase and the peers of its sockets.
    fn changes(samples: &[(Phase, &[&str])]) -> Vec<(String, Option<Change>)> {
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        for (phase, peers) in samples {
            let mut sample = history.begin_sample(&node, *phase, None);
            for peer in *peers {
                sample.add(socket(State::Established, "10.0.0.1:5", peer), [KUBELET].into_iter());
            }
        }
        let known = history.sockets().filter(|(node, _)| history.is_comparable(node));
        let mut changes: Vec<_> =
            known.map(|(_, known)| (known.socket.peer.to_string(), known.presence.change())).collect();
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        changes
    }

    #[test]
    fn a_change_follows_from_the_phases_of_the_samples() {
        use Phase::{After, Before, During};
        let found = changes(&[
            (Before, &["1.0.0.1:1", "1.0.0.2:1", "1.0.0.5:1"]),
            (Before, &["1.0.0.1:1", "1.0.0.2:1"]),
            (During, &["1.0.0.1:1", "1.0.0.3:1", "1.0.0.4:1"]),
            (After, &["1.0.0.1:1", "1.0.0.3:1", "1.0.0.4:1"]),
            (After, &["1.0.0.1:1", "1.0.0.4:1"]),
        ]);
        let expected = [
            ("1.0.0.1:1", None),
            ("1.0.0.2:1", Some(Change::Gone)),
            ("1.0.0.3:1", Some(Change::Transient)),
            ("1.0.0.4:1", Some(Change::Appeared)),
            // Gone before the action: no change.
            ("1.0.0.5:1", None),
        ];
        assert_eq!(found, expected.map(|(peer, change)| (peer.to_owned(), change)));
    }

    #[test]
    fn a_short_action_shows_in_the_first_sample_after_it() {
        use Phase::{After, Before};
        let found = changes(&[
            (Before, &["1.0.0.1:1"]),
            (After, &["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"]),
            (After, &["1.0.0.1:1", "1.0.0.3:1"]),
        ]);
        let expected = [
            ("1.0.0.1:1", None),
            ("1.0.0.2:1", Some(Change::Transient)),
            ("1.0.0.3:1", Some(Change::Appeared)),
        ];
        assert_eq!(found, expected.map(|(peer, change)| (peer.to_owned(), change)));
    }

    #[test]
    fn a_socket_in_the_last_sample_of_a_lost_node_is_not_gone() {
        use Phase::{Before, During};
        let found = changes(&[(Before, &["1.0.0.1:1", "1.0.0.2:1"]), (During, &["1.0.0.1:1", "1.0.0.3:1"])]);
        let expected =
            [("1.0.0.1:1", None), ("1.0.0.2:1", Some(Change::Gone)), ("1.0.0.3:1", Some(Change::Transient))];
        assert_eq!(found, expected.map(|(peer, change)| (peer.to_owned(), change)));
        assert_eq!(changes(&[(Before, &["1.0.0.1:1"]), (Before, &["1.0.0.2:1"])]), []);
    }

    /// It may belong to another exec.
    #[test]
    fn a_socket_destroyed_after_a_sample_after_the_action_is_no_change() {
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        let moment = Moment { arrived: Duration::from_secs(1), node: None };
        for phase in [Phase::Before, Phase::During, Phase::After] {
            history.begin_sample(&node, phase, Some(moment));
        }
        history.closed(&node, &socket(State::Close, "10.0.0.1:10250", "10.0.0.9:40"), Phase::After, moment);
        let changes: Vec<_> = history.sockets().map(|(_, known)| known.presence.change()).collect();
        assert_eq!(changes, [None]);
    }

    #[test]
    fn a_node_that_was_sampled_once_has_no_change() {
        assert_eq!(changes(&[(Phase::Before, &["1.0.0.1:1"])]), []);
        assert_eq!(changes(&[(Phase::After, &["1.0.0.1:1"])]), []);
    }

    #[test]
    fn a_destroyed_socket_existed_between_two_samples() {
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        let moment = Moment { arrived: Duration::from_secs(1), node: None };
        let mut sample = history.begin_sample(&node, Phase::Before, Some(moment));
        sample.add(socket(State::Listen, "*:10250", "*:*"), [KUBELET].into_iter());
        history.closed(&node, &socket(State::Close, "10.0.0.1:10250", "10.0.0.9:40"), Phase::After, moment);
        history.closed(&node, &socket(State::Close, "10.0.0.1:10250", "*:*"), Phase::During, moment);
        history.begin_sample(&node, Phase::After, Some(moment));
        let known: Vec<_> = history.sockets().map(|(_, known)| known).collect();
        let [known] = known.as_slice() else { panic!("{known:?}") };
        assert_eq!(known.presence.change(), Some(Change::Transient));
        assert_eq!(known.component, Some(Component::Kubelet));
        assert_eq!(known.process.as_ref().map(|process| process.name.as_str()), Some("kubelet"));
    }
}
