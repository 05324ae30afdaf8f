//! The samples of the nodes' sockets, merged by node, local and peer address. Process ids
//! are not compared, since a restart changes them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::NAME_KEPT;
use crate::model::connection::{Component, KUBELET_PORT};
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::node::LeftOut;
use crate::model::socket::{Host, Port, Process, Socket, SocketAddress, State};
use crate::model::trace::{Coverage, Moment, Phase, Presence, Sighting};

/// The largest number of sockets that are kept: a trace may run for days.
const SOCKETS_MAX: usize = 500_000;
/// The largest number of sockets of one node that are kept.
const OF_NODE_MAX: usize = 100_000;

/// How much later than the first sample after the action the kernel's report of a socket may
/// be received that was closed during the action: both come by ways of their own.
const LATE_REPORT: Duration = Duration::from_millis(300);

/// The largest number of sockets of a node that are kept of which only the end was
/// reported, and which can be no connections of the API server. Further ones are not listed.
const OTHERS_MAX: usize = 10_000;

/// The samples of all nodes.
#[derive(Debug, Default)]
pub struct History {
    nodes: BTreeMap<NodeName, NodeHistory>,
    names: HashSet<Arc<str>>,
    kept: usize,
    /// Whether any node was sampled during the action.
    has_during: bool,
    /// The number of sockets that were not kept.
    pub dropped: u64,
}

/// The samples of a node.
#[derive(Debug, Default)]
struct NodeHistory {
    sockets: HashMap<Key, Record>,
    /// The processes that listen, by port and address.
    listeners: HashMap<(u16, Host), Arc<str>>,
    /// The number of complete samples.
    samples: u32,
    /// The number of the last one before the action.
    before: Option<u32>,
    /// Whether there was one during the action.
    during: bool,
    /// The number of those after the action.
    after: u32,
    /// When the first of them arrived.
    after_began: Option<Duration>,
    /// Whether the last sample is incomplete, or a final one is missing.
    is_cut_off: bool,
    /// Whether sockets were not kept.
    has_dropped: bool,
    /// The number of closed sockets that are kept and cannot be connections of the API server.
    others: usize,
    /// When the last complete sample was taken.
    last: Option<Moment>,
    /// The longest time between two complete samples since the last one before the action.
    longest_gap: Option<Duration>,
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
    /// The number of the last complete sample before the action, if an incomplete one after it
    /// contains the socket.
    before_incomplete: Option<u32>,
    during: bool,
    /// Whether the first sample after the action contains it.
    right_after: bool,
    /// The number of complete samples when it was last seen.
    last: u32,
    /// Whether the kernel has reported its end since then.
    is_closed: bool,
    samples: u64,
    seen: Option<(Moment, Moment)>,
}

/// A socket and when it existed.
#[derive(Debug)]
pub struct KnownSocket {
    /// The socket as of the last sample that contains it.
    pub socket: Socket,
    /// The first process of its row; if no row names one, the process that listens on its
    /// port, without a process id.
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
    /// Whether it has all sockets.
    is_complete: bool,
    number: u32,
    /// Whether it has a new established socket whose process is unknown.
    pub has_new_nameless: bool,
}

impl History {
    /// Begins a sample of a node.
    pub fn begin_sample(&mut self, node: &NodeName, phase: Phase, moment: Option<Moment>) -> OpenSample<'_> {
        self.has_during |= phase == Phase::During;
        let known = self.nodes.entry(node.clone()).or_default();
        known.samples += 1;
        let number = known.samples;
        known.is_cut_off = false;
        match phase {
            Phase::Before => known.before = Some(number),
            Phase::During => known.during = true,
            Phase::After => {
                known.after += 1;
                known.after_began = known.after_began.or(moment.map(|moment| moment.arrived));
            }
        }
        known.add_moment(phase, moment);
        self.open(node, phase, moment, number, true)
    }

    /// Begins a sample that does not have all sockets of a node: it shows that sockets exist,
    /// and not that others do not.
    pub fn begin_incomplete_sample(
        &mut self,
        node: &NodeName,
        phase: Phase,
        moment: Option<Moment>,
    ) -> OpenSample<'_> {
        let known = self.nodes.entry(node.clone()).or_default();
        known.is_cut_off = true;
        let number = known.samples;
        self.open(node, phase, moment, number, false)
    }

    fn open(
        &mut self,
        node: &NodeName,
        phase: Phase,
        moment: Option<Moment>,
        number: u32,
        is_complete: bool,
    ) -> OpenSample<'_> {
        OpenSample {
            history: self,
            node: node.clone(),
            phase,
            moment,
            is_complete,
            number,
            has_new_nameless: false,
        }
    }

    /// Resumes the last sample of a node if it is of this phase; otherwise begins one.
    pub fn resume_sample(&mut self, node: &NodeName, phase: Phase) -> OpenSample<'_> {
        match self.nodes.get(node) {
            Some(known) if known.is_in(phase) => {
                let number = known.samples;
                self.open(node, phase, None, number, true)
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

    /// Removes the sockets of a node that a capture does not contain which was filtered on it.
    pub fn filter(&mut self, node: &NodeName) {
        if let Some(known) = self.nodes.get_mut(node) {
            let before = known.sockets.len();
            known.sockets.retain(|(local, peer), record| LeftOut::contains(record.component, local, peer));
            self.kept -= before - known.sockets.len();
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
            record.is_closed = true;
            return;
        }
        if !may_show_path(socket) {
            if known.others >= OTHERS_MAX {
                return;
            }
            known.others += 1;
        }
        if self.kept >= SOCKETS_MAX || known.sockets.len() >= OF_NODE_MAX {
            self.dropped += 1;
            known.has_dropped = true;
            return;
        }
        self.kept += 1;
        let is_late = known.after_began.is_some_and(|began| moment.arrived > began + LATE_REPORT);
        let first_phase = if is_late { phase } else { phase.min(Phase::During) };
        known.sockets.insert(
            key,
            Record {
                state: State::Established,
                process: None,
                component: None,
                first_phase,
                before: None,
                before_incomplete: None,
                during: first_phase == Phase::During,
                right_after: false,
                last: known.samples,
                is_closed: true,
                samples: 0,
                seen: Some((moment, moment)),
            },
        );
    }

    /// The nodes that were sampled.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.keys()
    }

    /// Records that the final sample of a node is missing.
    pub fn set_lost(&mut self, node: &NodeName) {
        if let Some(known) = self.nodes.get_mut(node) {
            known.is_cut_off = true;
        }
    }

    /// Whether sockets of a node were not kept.
    #[must_use]
    pub fn has_dropped(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|known| known.has_dropped)
    }

    /// The number of complete samples of a node.
    #[must_use]
    pub fn samples(&self, node: &NodeName) -> u32 {
        self.nodes.get(node).map_or(0, |known| known.samples)
    }

    /// What the samples of a node cover.
    #[must_use]
    pub fn coverage(&self, node: &NodeName) -> Coverage {
        let never = NodeHistory::default();
        let known = self.nodes.get(node).unwrap_or(&never);
        let all = [
            (Phase::Before, known.before.is_some()),
            (Phase::During, known.has_all_during(self.has_during)),
            (Phase::After, known.has_end()),
        ];
        let unseen = all.into_iter().filter_map(|(phase, is_seen)| (!is_seen).then_some(phase)).collect();
        Coverage { unseen, longest_gap: known.longest_gap }
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
            detail: "no sample of its sockets succeeded after the command".to_owned(),
            hint: "try again".to_owned(),
        });
        gaps.collect()
    }

    /// The sockets of all samples.
    pub fn sockets(&self) -> impl Iterator<Item = (&NodeName, KnownSocket)> {
        let has_during = self.has_during;
        self.nodes
            .iter()
            .flat_map(move |(name, node)| node.sockets(has_during).map(move |socket| (name, socket)))
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

/// Whether a socket may be a connection between the API server and a node, or carry the
/// stream of one. The API server of EKS has port 443.
fn may_show_path(socket: &Socket) -> bool {
    let is_loopback = matches!(socket.peer.host, Host::Ip(ip) if ip.to_canonical().is_loopback());
    is_loopback || socket.local.port == Port::Number(KUBELET_PORT) || socket.peer.port == Port::Number(443)
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

    fn add_moment(&mut self, phase: Phase, moment: Option<Moment>) {
        let gap = self.last.zip(moment).map(|(last, moment)| moment.since(last));
        self.last = moment;
        self.longest_gap = if phase == Phase::Before { None } else { self.longest_gap.max(gap) };
    }

    /// Whether it was seen to the end of the action; `has_during` if any node was seen during
    /// it: no sample may fall into a short one.
    fn has_all_during(&self, has_during: bool) -> bool {
        self.after > 0 && (self.during || !has_during) && !self.has_dropped
    }

    /// Whether it was seen to the end of the trace.
    fn has_end(&self) -> bool {
        self.after > 0 && !self.is_cut_off && !self.has_dropped
    }

    fn sockets(&self, has_during: bool) -> impl Iterator<Item = KnownSocket> {
        self.sockets.iter().map(move |((local, peer), record)| KnownSocket {
            socket: Socket { state: record.state, local: local.clone(), peer: peer.clone() },
            process: record
                .process
                .as_ref()
                .map(|(name, pid)| Process { name: name.to_string(), pid: *pid })
                .or_else(|| self.owner(local).map(|name| Process { name: name.to_string(), pid: None })),
            component: record.component.or_else(|| {
                let name = self.owner(local).filter(|_| record.process.is_none())?;
                Component::from_comm(name.as_bytes())
            }),
            presence: self.presence(record, has_during),
            first_phase: record.first_phase,
            samples: record.samples,
            seen: record.seen,
        })
    }

    fn presence(&self, record: &Record, has_during: bool) -> Presence {
        let is_before = record.before.is_some() && record.before == self.before;
        let is_last = record.last == self.samples;
        // A short action may lie between two samples: a socket in both existed during it,
        // and one only in the sample right after it belongs to the action.
        let is_during = record.during
            || (record.right_after && (is_before || (record.first_phase == Phase::During && !is_last)));
        let has_end = self.has_end();
        let has_ended = !is_last || (record.is_closed && !has_end) || record.samples == 0;
        Presence {
            before: match self.before {
                Some(_) if is_before => Sighting::Present,
                // A later sample than the last complete one contains it.
                Some(last) if record.before_incomplete != Some(last) => Sighting::Absent,
                _ => Sighting::Unknown,
            },
            during: match is_during {
                false if !self.has_all_during(has_during) => Sighting::Unknown,
                is_during => Sighting::seen(is_during),
            },
            after: match has_ended {
                true => Sighting::Absent,
                false if has_end => Sighting::Present,
                false => Sighting::Unknown,
            },
            has_ended,
            is_after_only: has_ended && !is_before && !is_during && record.first_phase == Phase::After,
        }
    }

    /// The process that listens on an address; where it is not known, the kubelet for its
    /// port.
    fn owner(&self, local: &SocketAddress) -> Option<&str> {
        let kubelet = (local.port == Port::Number(KUBELET_PORT)).then_some(Component::Kubelet.as_str());
        self.listener(local).or(kubelet)
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
                known.has_dropped = true;
                return;
            }
            self.history.kept += 1;
        }
        // The first one after the action: it is not counted itself unless it is complete.
        let is_right_after = self.phase == Phase::After && known.after == u32::from(self.is_complete);
        let record = known.sockets.entry(key).or_insert_with(|| Record {
            state: socket.state,
            process: None,
            component: None,
            // A socket in the first sample after the action was opened before its end.
            first_phase: if is_right_after { Phase::During } else { self.phase },
            before: None,
            before_incomplete: None,
            during: false,
            right_after: false,
            last: 0,
            is_closed: false,
            samples: 0,
            seen: self.moment.map(|moment| (moment, moment)),
        });
        record.state = socket.state;
        record.last = self.number;
        record.is_closed = false;
        record.samples += 1;
        record.seen = record.seen.zip(self.moment).map(|((first, _), last)| (first, last));
        match self.phase {
            Phase::Before if self.is_complete => record.before = Some(self.number),
            Phase::During => record.during = true,
            Phase::After => record.right_after |= is_right_after,
            Phase::Before => record.before_incomplete = Some(self.number),
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
        let mut changes: Vec<_> = history
            .sockets()
            .map(|(_, known)| (known.socket.peer.to_string(), known.presence.change()))
            .collect();
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
            [("1.0.0.1:1", None), ("1.0.0.2:1", Some(Change::Gone)), ("1.0.0.3:1", Some(Change::Appeared))];
        assert_eq!(found, expected.map(|(peer, change)| (peer.to_owned(), change)));
    }

    /// The sightings of the sockets 1.0.0.1 and 1.0.0.2, as `before during after`, and
    /// whether their ends were seen.
    fn sightings(history: &History) -> Vec<String> {
        let mark = |sighting| match sighting {
            Sighting::Present => '+',
            Sighting::Absent => '-',
            Sighting::Unknown => '?',
        };
        let mut all: Vec<_> = history.sockets().map(|(_, known)| known).collect();
        all.sort_by(|a, b| a.socket.cmp(&b.socket));
        let phases = [Phase::Before, Phase::During, Phase::After];
        let line = |known: &KnownSocket| -> String {
            let presence = known.presence;
            let marks: String = phases.iter().map(|phase| mark(presence.of(*phase))).collect();
            if presence.has_ended { format!("{marks} ended") } else { marks }
        };
        all.iter().map(line).collect()
    }

    #[test]
    fn what_follows_the_last_sample_of_a_node_is_not_known() {
        use Phase::{After, Before, During};
        let node: NodeName = "n1".parse().expect("a name");
        let moment = Moment { arrived: Duration::from_secs(1), node: None };
        let row = |peer: &str| socket(State::Established, "10.0.0.1:5", peer);
        let record = |phases: &[(Phase, &[&str])]| {
            let mut history = History::default();
            for (phase, peers) in phases {
                let mut sample = history.begin_sample(&node, *phase, Some(moment));
                peers.iter().for_each(|peer| sample.add(row(peer), [KUBELET].into_iter()));
            }
            history
        };
        let both: &[&str] = &["1.0.0.1:1", "1.0.0.2:1"];
        let unseen = |history: &History| history.coverage(&node).unseen;
        // Before, during and after the action; lost during and after it.
        let mut history = record(&[(Before, both), (During, both), (After, both)]);
        assert_eq!(sightings(&history), ["+++", "+++"]);
        assert_eq!(unseen(&history), []);
        history.set_lost(&node);
        assert_eq!(sightings(&history), ["++?", "++?"]);
        assert_eq!(unseen(&history), [After]);
        let mut history = record(&[(Before, both), (During, &both[..1])]);
        assert_eq!(sightings(&history), ["++?", "+?- ended"]);
        assert_eq!(unseen(&history), [During, After]);
        // The kernel reported the end of one before the node was lost.
        history.closed(&node, &row(both[0]), During, moment);
        assert_eq!(sightings(&history), ["++- ended", "+?- ended"]);
        assert_eq!(sightings(&record(&[(Before, both)])), ["+??", "+??"]);
        assert_eq!(sightings(&record(&[(During, both), (After, &both[..1])])), ["?++", "?+- ended"]);
        assert_eq!(unseen(&record(&[(During, both), (After, both)])), [Before]);
        // An incomplete sample shows that a socket exists, and nothing of the others.
        let mut history = record(&[(Before, both), (During, &both[..1]), (After, &both[..1])]);
        let mut sample = history.begin_incomplete_sample(&node, After, Some(moment));
        sample.add(row("1.0.0.3:1"), [KUBELET].into_iter());
        assert_eq!(sightings(&history), ["++?", "+-- ended", "--?"]);
        history.begin_sample(&node, After, Some(moment)).add(row(both[0]), [KUBELET].into_iter());
        assert_eq!(sightings(&history), ["+++", "+-- ended", "--- ended"]);
        assert_eq!(unseen(&history), []);
    }

    #[test]
    fn the_longest_time_between_samples_counts_from_the_last_one_before_the_action() {
        use Phase::{After, Before, During};
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        let mut sample = |phase, arrived, on_node| {
            let moment = Moment {
                arrived: Duration::from_millis(arrived),
                node: Some(Duration::from_millis(on_node)),
            };
            history.begin_sample(&node, phase, Some(moment));
            history.coverage(&node).longest_gap.map(|gap| gap.as_millis())
        };
        assert_eq!(sample(Before, 0, 0), None);
        assert_eq!(sample(Before, 900, 900), None);
        assert_eq!(sample(During, 1000, 1000), Some(100));
        // Two that arrive at once were taken one after the other.
        assert_eq!(sample(During, 1300, 1100), Some(300));
        assert_eq!(sample(After, 1300, 1500), Some(400));
        assert_eq!(sample(After, 1400, 1600), Some(400));
    }

    /// It may have been opened after the action, unless its end is reported right after the
    /// first sample.
    #[test]
    fn a_socket_destroyed_after_the_action_is_a_change_of_that_time() {
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        let moment = |arrived| Moment { arrived: Duration::from_millis(arrived), node: None };
        for phase in [Phase::Before, Phase::During, Phase::After] {
            history.begin_sample(&node, phase, Some(moment(1000)));
        }
        for (arrived, peer) in [(1010, "10.0.0.9:40"), (1900, "10.0.0.9:41")] {
            let socket = socket(State::Close, "10.0.0.1:10250", peer);
            history.closed(&node, &socket, Phase::After, moment(arrived));
        }
        let mut found: Vec<_> = history
            .sockets()
            .map(|(_, known)| (known.presence.change(), known.first_phase, known.presence.during))
            .collect();
        found.sort_by_key(|(_, phase, _)| *phase);
        let transient = Some(Change::Transient);
        let expected =
            [(transient, Phase::During, Sighting::Present), (transient, Phase::After, Sighting::Absent)];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_node_whose_sockets_were_not_kept_is_not_compared() {
        let node: NodeName = "n1".parse().expect("a name");
        let mut history = History::default();
        let moment = Moment { arrived: Duration::from_secs(1), node: None };
        let close = |history: &mut History, peer: &str, number: usize| {
            for number in 0..number {
                let local = format!("10.{}.{}.{}:5", number >> 16, number >> 8 & 255, number & 255);
                history.closed(&node, &socket(State::Close, &local, peer), Phase::During, moment);
            }
            (history.dropped, history.has_dropped(&node))
        };
        history.begin_sample(&node, Phase::Before, Some(moment));
        // Of those that are no connections of the API server, the first ones are kept.
        assert_eq!(close(&mut history, "10.0.0.9:8080", OTHERS_MAX + 5), (0, false));
        assert_eq!(history.sockets().count(), OTHERS_MAX);
        history.begin_sample(&node, Phase::After, Some(moment));
        assert!(history.coverage(&node).unseen.is_empty());
        assert_eq!(close(&mut history, "10.0.0.9:443", OF_NODE_MAX), (OTHERS_MAX as u64, true));
        assert_eq!(history.coverage(&node).unseen, [Phase::During, Phase::After]);
    }

    #[test]
    fn a_node_that_was_sampled_once_has_no_change() {
        for phase in [Phase::Before, Phase::During, Phase::After] {
            assert_eq!(changes(&[(phase, &["1.0.0.1:1"])]), [("1.0.0.1:1".to_owned(), None)]);
        }
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
