//! The nodes of a cluster: the target of each, and their sockets and DNS answers.

mod reading;
mod request;

use std::collections::{BTreeMap, BTreeSet};

use self::reading::{NodeRead, Readings};
pub use self::request::NodesRequest;
pub(super) use self::request::{Awaited, NodesRecording};
use super::error::{CollectError, Result};
use super::placing::{Answers, Described, Targets, WantedNode, find_targets};
use super::transport::Target;
use super::transport::kubectl::Jobs;
use crate::evidence::write::EvidenceWriter;
use crate::messages::{self, Label};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::kubernetes::{ENDPOINT_SLICES, NODES};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::node::Via;

/// Reads all nodes and records their evidence: each by the first transport that reaches it.
/// The endpoint's host name may become known after the logins.
///
/// # Errors
/// If the evidence cannot be written.
pub(super) async fn record_nodes(
    recording: NodesRecording<'_>,
    instances: Option<&[Instance]>,
    cluster: &Described,
) -> Result<()> {
    let NodesRecording { request, writer, progress, .. } = recording;
    let mut wanted = wanted_nodes(request, instances.unwrap_or_default());
    let mut known = wanted.clone();
    for node in &wanted {
        writer.expect(node.name.clone());
    }
    progress.expect(wanted.len() as u64);
    let mut failed = BTreeMap::new();
    for (number, transport) in request.transports.iter().enumerate() {
        let is_last = number + 1 == request.transports.len();
        let mut unread = Vec::new();
        let are_named = !request.named.is_empty();
        let found =
            find_targets(transport, std::mem::take(&mut wanted), &known, are_named, &|_| true, cluster);
        let Targets { nodes, jobs, kubernetes, kubectl } =
            found.await.map_err(|error| CollectError::Configuration(error.0))?;
        if let Some(answers) = kubernetes {
            record_answers(writer, answers)?;
        }
        if let Some(kubectl) = kubectl {
            writer.kubectl(kubectl);
        }
        for (node, target) in &nodes {
            if let Some(login) = target.as_ref().ok().and_then(Target::login) {
                writer.login(&node.name, login);
            }
            if known.iter().all(|known| known.name != node.name) {
                writer.expect(node.name.clone());
                progress.expect(1);
                known.push(node.clone());
            }
        }
        let mut readings = Readings::new(recording, transport, nodes);
        while let Some((node, read)) = readings.next().await? {
            let attempts: &mut Vec<NodeRead> = failed.entry(node.name.clone()).or_default();
            attempts.push(read);
            if attempts.last().is_some_and(NodeRead::has_reached) || is_last {
                progress.answered();
                record_node(writer, &node.name, failed.remove(&node.name).unwrap_or_default())?;
            } else {
                unread.push(node);
            }
        }
        wanted = unread;
        if let Some(warning) = remove(jobs).await {
            messages::print(Label::Warning, &warning);
        }
    }
    if known.is_empty() {
        writer.gap(no_nodes(instances.is_some()));
    }
    Ok(())
}

/// Records what the cluster answered about itself.
fn record_answers(writer: &EvidenceWriter, answers: Answers) -> Result<()> {
    for (file, answer) in [(NODES, answers.nodes), (ENDPOINT_SLICES, answers.slices)] {
        match answer {
            Ok(json) => writer.write(file, json)?,
            Err(gap) => writer.gap(gap),
        }
    }
    Ok(())
}

/// Removes what was created in the cluster. Returns what is to be done if that fails.
pub(super) async fn remove(jobs: Option<Jobs>) -> Option<String> {
    jobs?.remove().await
}

/// Records what was read of a node: by the last attempt if that reached it, or else by the
/// first that read anything.
fn record_node(writer: &EvidenceWriter, name: &NodeName, mut attempts: Vec<NodeRead>) -> Result<()> {
    let best = match attempts.last() {
        Some(last) if last.has_reached() => attempts.len() - 1,
        _ => attempts.iter().position(|read| read.capture.is_some()).unwrap_or(0),
    };
    let failures = |attempts: &[NodeRead]| {
        let gaps: Vec<_> = attempts.iter().filter_map(|read| Some((read.via, read.gap.clone()?))).collect();
        all_failures(gaps)
    };
    let all = failures(&attempts);
    let read = attempts.swap_remove(best);
    let has_reached = read.has_reached();
    if let Some(capture) = read.capture {
        writer.keep_capture(name, capture, read.via)?;
    }
    match read.answer {
        Some(Ok(answer)) => writer.write(Subject::Vantage(name.to_string()), answer)?,
        Some(Err(gap)) => writer.gap(gap),
        None => {}
    }
    match read.probe {
        Some(Ok(probe)) => writer.write_probe(&probe)?,
        Some(Err(gap)) => writer.gap(gap),
        None => {}
    }
    if let Some(gap) = if has_reached { read.gap } else { all } {
        writer.gap(gap);
    }
    Ok(())
}

/// The gap of a node that no transport reached, with the reason of each.
fn all_failures(gaps: Vec<(Via, Gap)>) -> Option<Gap> {
    let is_one = gaps.len() == 1;
    gaps.into_iter()
        .map(
            |(via, gap)| {
                if is_one {
                    gap
                } else {
                    Gap { detail: format!("by {}: {}", via.as_str(), gap.detail), ..gap }
                }
            },
        )
        .reduce(|first, next| Gap {
            detail: format!("{}; {}", first.detail, next.detail),
            hint: format!("{}; or {}", first.hint, next.hint),
            ..first
        })
}

/// The nodes that the user named, or else those that EC2 lists.
pub(super) fn wanted_nodes(request: &NodesRequest, instances: &[Instance]) -> Vec<WantedNode> {
    if request.named.is_empty() {
        let mut taken = BTreeSet::new();
        // Every instance id of EC2 is a valid name. One that is not would be reported as
        // not read.
        let listed = instances.iter().filter_map(|instance| {
            // Instances with the same DNS name are named by their ids.
            let name = node_name(instance).filter(|name| taken.insert(name.clone()));
            let name = name.or_else(|| instance.id.parse().ok())?;
            Some(WantedNode { name, instance: Some(instance.clone()), is_named: false, target: None })
        });
        return listed.collect();
    }
    let named = request.named.iter().map(|(name, target)| {
        let instance = instances.iter().find(|instance| is_named(instance, name.as_str()));
        WantedNode { name: name.clone(), instance: instance.cloned(), is_named: true, target: target.clone() }
    });
    named.collect()
}

/// The name of an instance's node in Kubernetes: its private DNS name.
fn node_name(instance: &Instance) -> Option<NodeName> {
    instance.dns_name.as_deref()?.parse().ok()
}

/// Whether a name is one of an instance's: its id, DNS name, host name, Name tag, or address.
pub(super) fn is_named(instance: &Instance, name: &str) -> bool {
    let dns_name = instance.dns_name.as_deref().unwrap_or_default();
    instance.id == name
        || dns_name == name
        || dns_name.split('.').next() == Some(name)
        || instance.name_tag() == Some(name)
        || instance.addresses.iter().any(|address| address.to_string() == name)
}

/// The gap that `--nodes none` leaves.
#[must_use]
pub(super) fn nodes_left_out() -> Gap {
    Gap {
        subject: Subject::Nodes,
        why: GapReason::NotAsked,
        detail: "no node was read (--nodes none)".to_owned(),
        hint: "omit --nodes none to have their connections judged".to_owned(),
    }
}

/// The gap of a cluster without nodes; `is_listed`: EC2 listed its instances.
pub(super) fn no_nodes(is_listed: bool) -> Gap {
    let detail = if is_listed {
        "EC2 lists no running instance with the cluster's tags: there are none, or they are on Fargate or outside of EC2"
    } else {
        "EC2 did not list the instances of the cluster"
    };
    Gap {
        subject: Subject::Nodes,
        why: GapReason::NotRecorded,
        detail: detail.to_owned(),
        hint: "name them with --node NAME=TARGET".to_owned(),
    }
}
