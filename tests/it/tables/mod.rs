//! Captures without `ss`: the tables in `/proc`, `conntrack -L`, and netstat of `BusyBox`.

mod agreement;
mod conntrack;
mod incomplete;
pub(crate) mod printers;
mod proc;

use std::fs;

use eks_netcheck::capture::parser::{Event, Parser};
use eks_netcheck::capture::reading::CaptureSummary;
use eks_netcheck::evidence::next_step;
use eks_netcheck::evidence::nodes::node;
use eks_netcheck::model::node::NodeStatus;
use eks_netcheck::model::socket::Socket;
use serde_json::Value;

use crate::common::fixtures;

/// A socket with its processes, as name and id.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    socket: Socket,
    /// Whether an IPv4 connection is in the table of IPv6.
    is_mapped: bool,
    processes: Vec<(String, u32)>,
}

/// The sockets of a capture.
pub(crate) fn entries(mut capture: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut sink = |event: Event<'_>| {
        if let Event::Row(row) = event {
            let name = |comm: &[u8]| String::from_utf8(comm.to_vec()).unwrap();
            let processes = row.processes.map(|process| (name(process.comm), process.pid().unwrap()));
            entries.push(Entry { socket: row.socket, is_mapped: false, processes: processes.collect() });
        }
    };
    let mut parser = Parser::new();
    while parser.read_from(&mut capture, &mut sink).unwrap() > 0 {}
    parser.finish(&mut sink);
    entries
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

fn fixture(path: &str) -> String {
    fs::read_to_string(fixtures().join(path)).unwrap()
}

/// What is missing of a capture of the node `n1`, and its status.
fn gaps(capture: &[u8]) -> (NodeStatus, Vec<String>) {
    let name = "n1".parse().unwrap();
    let summary = CaptureSummary::read(&name, capture, |_| {}).unwrap();
    let node = node(name, summary, next_step::capture);
    (node.status, node.gaps.into_iter().map(|gap| gap.detail).collect())
}

/// The subjects of the gaps that a rule needs.
fn needed(report: &Value) -> Vec<String> {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let needed = gaps.filter(|gap| !gap["rules"].as_array().unwrap().is_empty());
    needed.map(|gap| gap["what"].as_str().unwrap().to_owned()).collect()
}
