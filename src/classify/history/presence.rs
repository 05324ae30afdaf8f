//! The presence of sockets: in which parts of a trace each existed, as far as the samples of
//! its node show.

use super::records::{NodeHistory, Record};
use crate::model::connection::{Component, KUBELET_PORT};
use crate::model::socket::{Host, Port, Process, Socket, SocketAddress};
use crate::model::trace::{Moment, Phase, Presence, Sighting};

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

impl NodeHistory {
    /// Whether it was seen to the end of the action; `has_during` if any node was seen during
    /// it: no sample may fall into a short one.
    pub(super) fn has_all_during(&self, has_during: bool) -> bool {
        self.after > 0 && (self.during || !has_during) && !self.has_dropped
    }

    /// Whether it was seen to the end of the trace.
    pub(super) fn has_end(&self) -> bool {
        self.after > 0 && !self.is_cut_off && !self.has_dropped
    }

    pub(super) fn sockets(&self, has_during: bool) -> impl Iterator<Item = KnownSocket> {
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
