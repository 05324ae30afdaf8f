//! Looks at the nodes' sockets, put together by node, local and peer address.
//! Pure: a process id means nothing here, since a restart gives another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::model::connection::Component;
use crate::model::name::NodeName;
use crate::model::socket::{Host, Port, Process, Socket, SocketAddress, State};
use crate::model::trace::{Moment, Phase, Presence};

/// More sockets than this are counted and not kept: a trace may go on for days.
const SOCKETS_MAX: usize = 1_000_000;
/// No kernel gives a longer name than 15 bytes; a file may.
const NAME_KEPT: usize = 200;

/// All that was seen so far.
#[derive(Debug, Default)]
pub struct History {
    nodes: BTreeMap<NodeName, NodeHistory>,
    names: HashSet<Arc<str>>,
    kept: usize,
    /// Sockets that were not kept.
    pub dropped: u64,
}

/// What was seen of a node.
#[derive(Debug, Default)]
struct NodeHistory {
    sockets: HashMap<Key, Sighting>,
    /// Who listens where.
    listeners: HashMap<(u16, Host), Arc<str>>,
    looks: u32,
    /// The last look before the action.
    before: Option<u32>,
    /// Whether it was looked at while the action lasted.
    during: bool,
    /// Looks after the action.
    after: u32,
}

type Key = (SocketAddress, SocketAddress);

/// What is known of a socket.
#[derive(Debug)]
struct Sighting {
    state: State,
    process: Option<(Arc<str>, Option<u32>)>,
    component: Option<Component>,
    first_phase: Phase,
    /// The last look that saw it before the action.
    before: Option<u32>,
    during: bool,
    /// Whether the first look after the action saw it.
    right_after: bool,
    last: Option<u32>,
    samples: u64,
    seen: Option<(Moment, Moment)>,
}

/// A socket with everything that the looks tell of it.
#[derive(Debug)]
pub struct Seen {
    /// The socket as it was last seen.
    pub socket: Socket,
    /// The first process of its row; where only its end was told, whoever
    /// listens on its port.
    pub process: Option<Process>,
    /// The Kubernetes component among the row's processes.
    pub component: Option<Component>,
    /// When it was there.
    pub presence: Presence,
    /// The part of the trace in which it was first seen.
    pub first_phase: Phase,
    /// In how many looks it was.
    pub samples: u64,
    /// When it was first and last seen.
    pub seen: Option<(Moment, Moment)>,
}

/// One look at a node.
#[derive(Debug)]
pub struct Look<'a> {
    history: &'a mut History,
    node: NodeName,
    phase: Phase,
    moment: Option<Moment>,
    number: u32,
    /// Whether there is a new socket that a process has, and it is not known which.
    pub has_new_nameless: bool,
}

impl History {
    /// Begins a look at a node.
    pub fn look(&mut self, node: &NodeName, phase: Phase, moment: Option<Moment>) -> Look<'_> {
        let known = self.nodes.entry(node.clone()).or_default();
        known.looks += 1;
        let number = known.looks;
        match phase {
            Phase::Before => known.before = Some(number),
            Phase::During => known.during = true,
            Phase::After => known.after += 1,
        }
        Look { history: self, node: node.clone(), phase, moment, number, has_new_nameless: false }
    }

    /// Goes on with the last look at a node; begins one if there is none.
    pub fn look_on(&mut self, node: &NodeName, phase: Phase) -> Look<'_> {
        match self.nodes.get(node) {
            Some(known) if known.is_in(phase) => {
                let number = known.looks;
                Look {
                    history: self,
                    node: node.clone(),
                    phase,
                    moment: None,
                    number,
                    has_new_nameless: false,
                }
            }
            _ => self.look(node, phase, None),
        }
    }

    /// Forgets a node: what was seen of it tells nothing.
    pub fn forget(&mut self, node: &NodeName) {
        if let Some(known) = self.nodes.remove(node) {
            self.kept -= known.sockets.len();
        }
    }

    /// The kernel told that a socket is no more. One that no look saw was there
    /// between two of them.
    pub fn ended(&mut self, node: &NodeName, socket: &Socket, phase: Phase, moment: Moment) {
        // What never had a peer was no connection.
        if !matches!((&socket.peer.host, &socket.peer.port), (Host::Ip(_), Port::Number(_))) {
            return;
        }
        let known = self.nodes.entry(node.clone()).or_default();
        let key = (socket.local.clone(), socket.peer.clone());
        if let Some(sighting) = known.sockets.get_mut(&key) {
            sighting.seen = sighting.seen.map(|(first, _)| (first, moment));
            return;
        }
        if self.kept >= SOCKETS_MAX {
            self.dropped += 1;
            return;
        }
        self.kept += 1;
        // What ended while the last look of the action was on its way is the
        // action's: it ended with it.
        let first_phase = if known.after > 0 { phase } else { phase.min(Phase::During) };
        known.sockets.insert(
            key,
            Sighting {
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

    /// The nodes that were looked at.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.keys()
    }

    /// Whether a node was looked at before and once more.
    #[must_use]
    pub fn is_comparable(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|known| known.before.is_some() && (known.during || known.after > 0))
    }

    /// Whether a node was looked at after the action.
    #[must_use]
    pub fn has_after(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|known| known.after > 0)
    }

    /// Everything seen.
    pub fn seen(&self) -> impl Iterator<Item = (&NodeName, Seen)> {
        self.nodes.iter().flat_map(|(name, known)| known.seen().map(move |seen| (name, seen)))
    }

    fn intern(&mut self, comm: &[u8]) -> Arc<str> {
        let name = String::from_utf8_lossy(&comm[..comm.len().min(NAME_KEPT)]);
        if let Some(known) = self.names.get(name.as_ref()) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        // Names are chosen by whoever runs a process.
        if self.names.len() < SOCKETS_MAX {
            self.names.insert(Arc::clone(&name));
        }
        name
    }
}

impl NodeHistory {
    /// Whether the last look was of this phase.
    fn is_in(&self, phase: Phase) -> bool {
        match phase {
            Phase::Before => self.before == Some(self.looks),
            Phase::During => self.during && self.after == 0,
            Phase::After => self.after > 0,
        }
    }

    fn seen(&self) -> impl Iterator<Item = Seen> {
        self.sockets.iter().map(|((local, peer), sighting)| Seen {
            socket: Socket { state: sighting.state, local: local.clone(), peer: peer.clone() },
            process: sighting
                .process
                .as_ref()
                .map(|(name, pid)| Process { name: name.to_string(), pid: *pid })
                .or_else(|| self.listener(local).map(|name| Process { name: name.to_string(), pid: None })),
            component: sighting.component.or_else(|| {
                let name = self.listener(local).filter(|_| sighting.process.is_none())?;
                Component::from_comm(name.as_bytes())
            }),
            presence: self.presence(sighting),
            first_phase: sighting.first_phase,
            samples: sighting.samples,
            seen: sighting.seen,
        })
    }

    fn presence(&self, sighting: &Sighting) -> Presence {
        let before = sighting.before.is_some() && sighting.before == self.before;
        let is_last = sighting.last == Some(self.looks);
        Presence {
            before,
            // A short action may fall between two looks: what is the same on both
            // sides was there, and what only the one right after it saw came with it.
            during: sighting.during
                || (sighting.right_after && (before || (sighting.first_phase == Phase::During && !is_last))),
            // Of a node that was lost, what was there to the last is not gone.
            after: is_last && (self.after > 0 || before),
        }
    }

    /// Who listens on this address.
    fn listener(&self, local: &SocketAddress) -> Option<&str> {
        let Port::Number(port) = local.port else { return None };
        let own = self.listeners.get(&(port, local.host.clone()));
        own.or_else(|| self.listeners.get(&(port, Host::Any))).map(AsRef::as_ref)
    }
}

impl Look<'_> {
    /// Takes a row of the look.
    pub fn row<'a>(
        &mut self,
        socket: Socket,
        processes: impl Iterator<Item = (&'a [u8], Option<u32>)> + Clone,
    ) {
        if socket.state == State::Listen {
            self.listens(&socket, { processes }.next());
            return;
        }
        if !socket.state.shows_path() {
            return;
        }
        let component = processes.clone().find_map(|(comm, _)| Component::from_comm(comm));
        let process = { processes }.next().map(|(comm, pid)| (self.history.intern(comm), pid));
        let Some(known) = self.history.nodes.get_mut(&self.node) else { return };
        let key = (socket.local, socket.peer);
        if !known.sockets.contains_key(&key) {
            if self.history.kept >= SOCKETS_MAX {
                self.history.dropped += 1;
                return;
            }
            self.history.kept += 1;
        }
        let known_after = known.after;
        let sighting = known.sockets.entry(key).or_insert_with(|| Sighting {
            state: socket.state,
            process: None,
            component: None,
            // What the first look after the action finds came before it ended.
            first_phase: if known_after == 1 { Phase::During } else { self.phase },
            before: None,
            during: false,
            right_after: false,
            last: None,
            samples: 0,
            seen: self.moment.map(|moment| (moment, moment)),
        });
        sighting.state = socket.state;
        sighting.last = Some(self.number);
        sighting.samples += 1;
        sighting.seen = sighting.seen.zip(self.moment).map(|((first, _), last)| (first, last));
        match self.phase {
            Phase::Before => sighting.before = Some(self.number),
            // Between two looks it was there.
            Phase::During => sighting.during = true,
            Phase::After => sighting.right_after |= known_after == 1,
        }
        self.has_new_nameless |=
            sighting.samples == 1 && process.is_none() && sighting.state == State::Established;
        // A row that names nobody does not make the socket nobody's.
        if process.is_some() {
            sighting.process = process;
            sighting.component = component;
        }
    }

    fn listens(&mut self, socket: &Socket, process: Option<(&[u8], Option<u32>)>) {
        let (Some((comm, _)), Port::Number(port)) = (process, &socket.local.port) else { return };
        let name = self.history.intern(comm);
        let Some(known) = self.history.nodes.get_mut(&self.node) else { return };
        if known.listeners.len() < SOCKETS_MAX {
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

    /// Looks in the words of a test: a phase and the peers that are there.
    fn changes(looks: &[(Phase, &[&str])]) -> Vec<(String, Option<Change>)> {
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        for (phase, peers) in looks {
            let mut look = history.look(&node, *phase, None);
            for peer in *peers {
                look.row(socket(State::Established, "10.0.0.1:5", peer), [KUBELET].into_iter());
            }
        }
        let told = history.seen().filter(|(node, _)| history.is_comparable(node));
        let mut changes: Vec<_> =
            told.map(|(_, seen)| (seen.socket.peer.to_string(), seen.presence.change())).collect();
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        changes
    }

    #[test]
    fn a_socket_is_told_by_the_parts_it_was_seen_in() {
        use Phase::{After, Before, During};
        let told = changes(&[
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
            // Gone before the action: nothing that happened then.
            ("1.0.0.5:1", None),
        ];
        assert_eq!(told, expected.map(|(peer, change)| (peer.to_owned(), change)));
    }

    /// Between two looks, and right after it.
    #[test]
    fn a_short_action_is_told_by_the_first_look_after_it() {
        use Phase::{After, Before};
        let told = changes(&[
            (Before, &["1.0.0.1:1"]),
            (After, &["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"]),
            (After, &["1.0.0.1:1", "1.0.0.3:1"]),
        ]);
        let expected = [
            ("1.0.0.1:1", None),
            ("1.0.0.2:1", Some(Change::Transient)),
            ("1.0.0.3:1", Some(Change::Appeared)),
        ];
        assert_eq!(told, expected.map(|(peer, change)| (peer.to_owned(), change)));
    }

    #[test]
    fn a_node_that_was_lost_has_no_after() {
        use Phase::{Before, During};
        let told = changes(&[(Before, &["1.0.0.1:1", "1.0.0.2:1"]), (During, &["1.0.0.1:1", "1.0.0.3:1"])]);
        let expected =
            [("1.0.0.1:1", None), ("1.0.0.2:1", Some(Change::Gone)), ("1.0.0.3:1", Some(Change::Transient))];
        assert_eq!(told, expected.map(|(peer, change)| (peer.to_owned(), change)));
        assert_eq!(changes(&[(Before, &["1.0.0.1:1"]), (Before, &["1.0.0.2:1"])]), []);
    }

    /// Anybody's exec may end while the sockets settle.
    #[test]
    fn an_end_told_after_a_look_after_the_action_is_not_the_actions() {
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        let moment = Moment { arrived: Duration::from_secs(1), node: None };
        for phase in [Phase::Before, Phase::During, Phase::After] {
            history.look(&node, phase, Some(moment));
        }
        history.ended(&node, &socket(State::Close, "10.0.0.1:10250", "10.0.0.9:40"), Phase::After, moment);
        let changes: Vec<_> = history.seen().map(|(_, seen)| seen.presence.change()).collect();
        assert_eq!(changes, [None]);
    }

    #[test]
    fn a_node_that_was_looked_at_once_tells_no_change() {
        assert_eq!(changes(&[(Phase::Before, &["1.0.0.1:1"])]), []);
        assert_eq!(changes(&[(Phase::After, &["1.0.0.1:1"])]), []);
    }

    #[test]
    fn an_end_that_was_told_is_a_socket_between_two_looks() {
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        let moment = Moment { arrived: Duration::from_secs(1), node: None };
        let mut look = history.look(&node, Phase::Before, Some(moment));
        look.row(socket(State::Listen, "*:10250", "*:*"), [KUBELET].into_iter());
        history.ended(&node, &socket(State::Close, "10.0.0.1:10250", "10.0.0.9:40"), Phase::After, moment);
        history.ended(&node, &socket(State::Close, "10.0.0.1:10250", "*:*"), Phase::During, moment);
        history.look(&node, Phase::After, Some(moment));
        let seen: Vec<_> = history.seen().map(|(_, seen)| seen).collect();
        let [seen] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(seen.presence.change(), Some(Change::Transient));
        assert_eq!(seen.component, Some(Component::Kubelet));
        assert_eq!(seen.process.as_ref().map(|process| process.name.as_str()), Some("kubelet"));
    }
}
