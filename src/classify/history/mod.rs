//! The samples of the nodes' sockets, merged by node, local and peer address. Process ids
//! are not compared, since a restart changes them.

mod presence;
mod records;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

pub use self::presence::KnownSocket;
use self::records::{NodeHistory, Record};
use super::NAME_KEPT;
use crate::model::connection::{Component, KUBELET_PORT};
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::node::LeftOut;
use crate::model::socket::{Host, Port, Socket, State};
use crate::model::trace::{Coverage, Moment, Phase};

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
        if !socket.state.may_be_open_or_opening() {
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
mod tests;
