//! A change of access: the settings before and after it.

use crate::model::cluster::EndpointAccess;
use crate::model::reachability::EndpointSide;

/// The access today and afterwards.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) from: EndpointAccess,
    pub(super) to: EndpointAccess,
    /// Whether the list afterwards is neither given nor recorded: AWS's default, every IPv4
    /// address, is assumed.
    pub(super) is_list_assumed: bool,
}

impl Scenario {
    fn has_same_mode(&self) -> bool {
        self.from.public() == self.to.public() && self.from.private() == self.to.private()
    }

    /// Whether both endpoints are on today, or may be.
    pub(super) fn has_both(&self) -> bool {
        self.from.public() != Some(false) && self.from.private() != Some(false)
    }

    /// Whether the public endpoint, if it was on, stays on and admits all addresses that it
    /// admitted.
    fn is_wider(&self) -> bool {
        let from = self.from.public_cidrs();
        if self.to.public() == Some(false) {
            return from.is_empty();
        }
        self.to.allowed().contains_all(&from)
    }

    /// Whether no client can lose its path, wherever it is.
    pub(super) fn is_monotone(&self) -> bool {
        self.has_same_mode() && self.is_wider()
    }

    /// Whether nothing changes.
    pub(super) fn is_identity(&self) -> bool {
        let back = Self { from: self.to.clone(), to: self.from.clone(), ..*self };
        self.is_monotone() && back.is_wider()
    }

    /// Whether the change concerns a connection on a side, `then` being the side on which
    /// it ends once it is made again.
    pub(super) fn touches(&self, today: Option<EndpointSide>, then: Option<EndpointSide>) -> bool {
        let (was_private, is_private) = (self.from.private(), self.to.private());
        match today {
            Some(EndpointSide::ClusterIp) => false,
            Some(EndpointSide::Public) => {
                let turns_on = was_private != Some(true) && is_private == Some(true);
                !self.is_wider() || turns_on && then != Some(EndpointSide::Public)
            }
            Some(EndpointSide::Private) => {
                let turns_off = was_private != Some(false) && is_private == Some(false);
                turns_off || then != Some(EndpointSide::Private) && !self.is_monotone()
            }
            None => !self.is_monotone(),
        }
    }
}
