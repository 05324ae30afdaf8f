//! The variety of processes in a capture, which a filter reduces.

use super::line::Row;
use crate::model::connection::Component;
use crate::model::socket::State;

/// Of which processes the rows of a capture are.
#[derive(Debug, Default)]
pub(super) struct Variety {
    /// The first process of the first row that lists one.
    first: Vec<u8>,
    /// Whether a row lists another one first.
    has_several: bool,
    has_host_process: bool,
    /// Whether an established socket has no process.
    pub(super) has_nameless: bool,
}

impl Variety {
    pub(super) fn add_row(&mut self, row: &Row<'_>) {
        let Some(first) = row.processes.clone().next() else {
            self.has_nameless |= row.socket.state == State::Established;
            return;
        };
        if self.first.is_empty() {
            first.comm.clone_into(&mut self.first);
        }
        self.has_several |= self.first != first.comm;
        self.has_host_process |= Component::from_comm(first.comm).is_none();
    }

    /// Whether rows of several processes are there, one of which is no Kubernetes component:
    /// after `grep kube-proxy`, or `grep sshd`, there are none.
    pub(super) fn is_unfiltered(&self) -> bool {
        self.has_several && self.has_host_process
    }

    /// Whether a row lists a process first that is no Kubernetes component.
    pub(super) fn has_host_process(&self) -> bool {
        self.has_host_process
    }

    pub(super) fn merge(&mut self, other: Self) {
        let are_known = !self.first.is_empty() && !other.first.is_empty();
        self.has_several |= other.has_several || are_known && self.first != other.first;
        if self.first.is_empty() {
            self.first = other.first;
        }
        self.has_host_process |= other.has_host_process;
        self.has_nameless |= other.has_nameless;
    }
}
