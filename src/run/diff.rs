//! `diff`: two recordings are compared.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, bail};

use super::exit::{Ending, Exit};
use super::inputs::Inputs;
use super::output::{Output, all_written};
use crate::capture::line::Row;
use crate::classify::Classifier;
use crate::classify::changes::connections;
use crate::classify::history::History;
use crate::cli::options::DiffOptions;
use crate::evidence::directory::EvidenceDir;
use crate::evidence::next_step;
use crate::evidence::nodes::{read_file, read_nodes};
use crate::model::cluster::Cluster;
use crate::model::connection::Component;
use crate::model::evidence::Evidence;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::node::Node;
use crate::model::trace::{Coverage, Phase, Trace, TracedNode, TrafficChange};
use crate::model::traffic::{NodeTraffic, TrafficPath};
use crate::report::format::TraceFormat;
use crate::signals::under_way;

/// Compares two recordings and reports what changed.
pub(super) fn diff(options: &DiffOptions) -> Result<Ending> {
    if [&options.before, &options.after].iter().all(|path| path.as_os_str() == "-") {
        bail!("standard input can be one of the two recordings, not both");
    }
    let files = Output::open_all(&options.write, &Inputs::of_diff(options))?;
    let comparing = under_way("comparing the two recordings; no report was written");
    let (trace, is_compared) = compare(&options.before, &options.after)?;
    drop(comparing);
    let write = |format: &TraceFormat, output: Output| {
        output.write_whole(|out, style| (format.write)(&trace, None, style, out))
    };
    let outputs = files.into_iter().chain([(options.format, Output::stdout())]);
    all_written(outputs.map(|(format, output)| write(format, output)))?;
    Ok(if is_compared { Exit::Pass.into() } else { Exit::Inconclusive.into() })
}

/// What changed, and whether any node could be compared.
fn compare(before: &Path, after: &Path) -> Result<(Trace, bool)> {
    let mut history = History::default();
    let old = Side::read(before, "before", Phase::Before, &mut history)?;
    let new = Side::read(after, "after", Phase::After, &mut history)?;
    let cluster = match (old.cluster(), new.cluster()) {
        (Some(old), Some(new)) if old != new => {
            bail!(
                "{} is of the cluster {old:?} and {} of {new:?}; compare recordings of one cluster",
                before.display(),
                after.display()
            );
        }
        (old, new) => old.or(new).map(ToOwned::to_owned),
    };
    let mut gaps = gaps(&old, &new);
    let other_cluster = other_cluster(&old, &new);
    let is_of_two_clusters = other_cluster.is_some();
    gaps.extend(other_cluster);
    let names: BTreeSet<_> = old.captured.keys().chain(new.captured.keys()).collect();
    let mut nodes = Vec::new();
    for name in names {
        if let Some(gap) = not_compared(name, &old, &new) {
            history.forget(name);
            gaps.push(gap);
        } else {
            // What one of the two cannot contain did not appear or go.
            if [&old, &new].iter().any(|side| side.captured.get(name).is_some_and(|one| one.is_filtered)) {
                history.filter(name);
            }
            nodes.push(TracedNode {
                name: name.clone(),
                samples: 2,
                missed: 0,
                has_close_events: false,
                unseen_inbound: None,
                coverage: Coverage::default(),
            });
        }
    }
    if history.dropped > 0 {
        gaps.push(Gap {
            subject: Subject::Sockets,
            why: GapReason::TooMuchOutput,
            detail: format!("{} sockets exceeded the limit and were not kept", history.dropped),
            hint: "compare fewer nodes at a time".to_owned(),
        });
    }
    gaps.sort();
    let is_compared = !nodes.is_empty();
    let connections = connections(&history, &old.classifier, &new.classifier, false);
    let traffic = traffic_changes(&nodes, old, new);
    let trace =
        Trace { cluster, command: None, began: None, nodes, connections, traffic, is_of_two_clusters, gaps };
    Ok((trace, is_compared))
}

/// Which components of the nodes that are compared took another path in the second recording.
fn traffic_changes(nodes: &[TracedNode], old: Side, new: Side) -> Vec<TrafficChange> {
    let of_side = |side: Side| -> HashMap<_, _> {
        let traffic = side.classifier.finish(side.nodes).traffic.into_iter();
        let by_component = traffic.flat_map(|traffic| {
            let NodeTraffic { node, components, .. } = traffic;
            components.into_iter().map(move |one| ((node.clone(), one.component), one.path))
        });
        by_component.filter(|(_, path)| *path != TrafficPath::Unknown).collect()
    };
    let (old, new) = (of_side(old), of_side(new));
    let change = |node: &NodeName, component| {
        let of = |side: &HashMap<_, _>| side.get(&(node.clone(), component)).copied();
        let (before, after) = (of(&old)?, of(&new)?);
        (before != after).then(|| TrafficChange { node: node.clone(), component, before, after })
    };
    let components = [Component::Kubelet, Component::KubeProxy];
    nodes
        .iter()
        .flat_map(|node| components.into_iter().filter_map(|component| change(&node.name, component)))
        .collect()
}

/// One of the two recordings.
struct Side {
    /// Its name in messages: `before` or `after`.
    name: &'static str,
    classifier: Classifier,
    nodes: Vec<Node>,
    /// The nodes whose sockets it has.
    captured: BTreeMap<NodeName, Captured>,
}

/// How many addresses of a node are compared: far more than a node has.
const ADDRESSES_MAX: usize = 10_000;

/// The capture of a node.
#[derive(Default)]
struct Captured {
    /// The node's own addresses: the local addresses of its connections.
    addresses: HashSet<IpAddr>,
    /// Whether sockets are missing.
    is_incomplete: bool,
    /// Whether it was filtered on the node.
    is_filtered: bool,
}

impl Side {
    fn read(path: &Path, name: &'static str, phase: Phase, history: &mut History) -> Result<Self> {
        let mut captured: BTreeMap<NodeName, Captured> = BTreeMap::new();
        let dir = if path.is_dir() { Some(EvidenceDir::open(path)?) } else { None };
        let evidence = match &dir {
            Some(dir) => dir.read_any()?,
            None => Evidence::none(no_cluster(), next_step::capture),
        };
        let mut classifier = Classifier::new(evidence);
        let keep = |node: &NodeName, row: Row<'_>| {
            // Without a lookup first, each row would clone the name.
            let known = match captured.get_mut(node) {
                Some(known) => known,
                None => captured.entry(node.clone()).or_default(),
            };
            let own = row.socket.local.ip().filter(|ip| !ip.is_loopback());
            let own = own.filter(|_| known.addresses.len() < ADDRESSES_MAX);
            known.addresses.extend(own.filter(|_| row.socket.state.may_be_open_or_opening()));
            let processes = row.processes.map(|process| (process.comm, process.pid()));
            classifier.add(node, row.socket.clone(), processes.clone());
            history.resume_sample(node, phase).add(row.socket, processes);
        };
        let nodes = match &dir {
            Some(dir) => read_nodes(dir, keep)?,
            None => read_file(path, keep)?,
        };
        let is_nameless = classifier.evidence().cluster.name.is_empty();
        if dir.is_some() && nodes.is_empty() && is_nameless {
            bail!("{} contains no evidence: neither cluster.json nor nodes.txt nor nodes/", path.display());
        }
        for node in nodes.iter().filter(|node| node.tally.rows > 0 || node.has_header) {
            // A node that was read and has no socket counts as sampled too.
            history.resume_sample(&node.name, phase);
            let known = captured.entry(node.name.clone()).or_default();
            known.is_filtered = node.left_out.is_some();
            known.is_incomplete = node.gaps.iter().any(|gap| gap.why != GapReason::NoProcessNames);
        }
        Ok(Self { name, classifier, nodes, captured })
    }

    fn cluster(&self) -> Option<&str> {
        Some(self.classifier.evidence().cluster.name.as_str()).filter(|name| !name.is_empty())
    }

    /// What was not seen of paths and sockets.
    fn gaps(&self) -> Vec<Gap> {
        let mut gaps = self.classifier.evidence().attribution_gaps();
        gaps.extend(self.nodes.iter().flat_map(|node| node.gaps.iter().cloned()));
        gaps
    }
}

/// The gap for two clusters with the same name: one that was made again, or those of two accounts,
/// regions or VPCs. What changed between them is no change of one cluster.
fn other_cluster(old: &Side, new: &Side) -> Option<Gap> {
    let [old, new] = [old, new].map(|side| &side.classifier.evidence().cluster);
    let host = |cluster: &Cluster| cluster.endpoint.as_ref().map(|endpoint| endpoint.host.clone());
    let differs = |what: &str, before: Option<String>, after: Option<String>| match (before, after) {
        (Some(before), Some(after)) if before != after => Some(format!("{what} {before} and {after}")),
        _ => None,
    };
    let differences = [
        differs("ARN", old.arn.clone(), new.arn.clone()),
        differs("endpoint", host(old), host(new)),
        differs("VPC", old.vpc.clone(), new.vpc.clone()),
    ];
    let differences: Vec<_> = differences.into_iter().flatten().collect();
    (!differences.is_empty()).then(|| Gap {
        subject: File::CLUSTER.into(),
        why: GapReason::Malformed,
        detail: format!(
            "the two recordings are of different clusters with the same name: {}; one was made again, or they are of two accounts, regions or VPCs",
            differences.join(", ")
        ),
        hint: "compare recordings of one cluster".to_owned(),
    })
}

/// What was not seen in one of the recordings; what is missing in both is listed once.
fn gaps(old: &Side, new: &Side) -> Vec<Gap> {
    let (of_old, of_new) = (old.gaps(), new.gaps());
    let (both, of_old): (Vec<_>, Vec<_>) = of_old.into_iter().partition(|gap| of_new.contains(gap));
    let of_new = of_new.into_iter().filter(|gap| !both.contains(gap));
    let of_one = of_old.into_iter().map(|gap| (gap, old.name)).chain(of_new.map(|gap| (gap, new.name)));
    let of_one: Vec<_> = of_one
        .map(|(gap, side)| Gap { subject: Subject::Recording { of: gap.subject.into(), side }, ..gap })
        .collect();
    both.into_iter().chain(of_one).collect()
}

fn no_cluster() -> Gap {
    Gap {
        subject: File::CLUSTER.into(),
        why: GapReason::NotRecorded,
        detail: "a file of sockets does not describe the cluster, so no path to the API server is known"
            .to_owned(),
        hint: "compare two evidence directories: eks-netcheck collect --cluster NAME --out DIR".to_owned(),
    }
}

/// Why a node cannot be compared, if it cannot.
fn not_compared(name: &NodeName, old: &Side, new: &Side) -> Option<Gap> {
    let gap = |why, detail: String, hint: &str| {
        Some(Gap {
            subject: name.clone().into(),
            why,
            detail: format!("{detail}; it is not compared"),
            hint: hint.to_owned(),
        })
    };
    let (before, after) = match (old.captured.get(name), new.captured.get(name)) {
        (Some(before), Some(after)) => (before, after),
        (before, _) => {
            let side = if before.is_some() { old.name } else { new.name };
            return gap(
                GapReason::NotRecorded,
                format!("its sockets are in {side} only"),
                "record it for both; nodes are matched by name, which a file has in lines `>> node NAME <<` above the rows",
            );
        }
    };
    let incomplete = [(old, before), (new, after)].into_iter().find(|(_, known)| known.is_incomplete);
    if let Some((side, _)) = incomplete {
        return gap(
            GapReason::Incomplete,
            format!("not all of its sockets are in {}", side.name),
            "record it again: a socket that is missing there may have existed",
        );
    }
    let is_same = before.addresses.is_empty()
        || after.addresses.is_empty()
        || !before.addresses.is_disjoint(&after.addresses);
    if !is_same {
        return gap(
            GapReason::Malformed,
            "its connections before and after have no local address in common, so they are of two machines"
                .to_owned(),
            "compare recordings of one machine",
        );
    }
    None
}
