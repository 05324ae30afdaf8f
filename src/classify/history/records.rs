//! The records of sockets: in which samples of its node each was.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::classify::Key;
use crate::model::connection::Component;
use crate::model::socket::{Host, State};
use crate::model::trace::{Moment, Phase};

/// The samples of a node.
#[derive(Debug, Default)]
pub(super) struct NodeHistory {
    pub(super) sockets: HashMap<Key, Record>,
    /// The processes that listen, by port and address.
    pub(super) listeners: HashMap<(u16, Host), Arc<str>>,
    /// The number of complete samples.
    pub(super) samples: u32,
    /// The number of the last one before the action.
    pub(super) before: Option<u32>,
    /// Whether there was one during the action.
    pub(super) during: bool,
    /// The number of those after the action.
    pub(super) after: u32,
    /// When the first of them arrived.
    pub(super) after_began: Option<Duration>,
    /// Whether the last sample is incomplete, or a final one is missing.
    pub(super) is_cut_off: bool,
    /// Whether sockets were not kept.
    pub(super) has_dropped: bool,
    /// The number of closed sockets that are kept and cannot be connections of the API server.
    pub(super) others: usize,
    /// When the last complete sample was taken.
    pub(super) last: Option<Moment>,
    /// The longest time between two complete samples since the last one before the action.
    pub(super) longest_gap: Option<Duration>,
}

/// The record of a socket.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) state: State,
    pub(super) process: Option<(Arc<str>, Option<u32>)>,
    pub(super) component: Option<Component>,
    pub(super) first_phase: Phase,
    /// The number of the last sample before the action that contains it.
    pub(super) before: Option<u32>,
    /// The number of the last complete sample before the action, if an incomplete one after it
    /// contains the socket.
    pub(super) before_incomplete: Option<u32>,
    pub(super) during: bool,
    /// Whether the first sample after the action contains it.
    pub(super) right_after: bool,
    /// The number of complete samples when it was last seen.
    pub(super) last: u32,
    /// Whether the kernel has reported its end since then.
    pub(super) is_closed: bool,
    pub(super) samples: u64,
    pub(super) seen: Option<(Moment, Moment)>,
}

impl NodeHistory {
    /// Whether the last sample is of this phase.
    pub(super) fn is_in(&self, phase: Phase) -> bool {
        match phase {
            Phase::Before => self.before == Some(self.samples),
            Phase::During => self.during && self.after == 0,
            Phase::After => self.after > 0,
        }
    }

    pub(super) fn add_moment(&mut self, phase: Phase, moment: Option<Moment>) {
        let gap = self.last.zip(moment).map(|(last, moment)| moment.since(last));
        self.last = moment;
        self.longest_gap = if phase == Phase::Before { None } else { self.longest_gap.max(gap) };
    }
}
