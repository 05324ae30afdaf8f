//! The next step for evidence that is missing from a recording: the command that
//! records it.

use super::aws::CALLS;
use super::json::JsonError;
use crate::model::cluster::Cluster;
use crate::model::file::{Field, File};
use crate::model::gap::{GapReason, Subject};
use crate::model::kubernetes::{ENDPOINT_SLICES, NODES};
use crate::model::net::{NETWORK_ACLS, SECURITY_GROUPS};
use crate::model::seen_from::HERE;
use crate::model::shell::{saved, shell_word};

/// Returns the next step for evidence that is missing from an evidence directory. A command in it
/// that writes a file is completed by [`written_into`](crate::model::shell::written_into).
#[must_use]
pub fn record(cluster: &Cluster, subject: &Subject, why: GapReason) -> String {
    if let Some(step) = of_any_source(subject, why) {
        return step.to_owned();
    }
    match (subject, why) {
        (Subject::Field(Field::Endpoint), _) => "record it again when the cluster is ACTIVE".to_owned(),
        (Subject::Field(field @ (Field::EnableDnsSupport | Field::EnableDnsHostnames)), _) => format!(
            "record it with: aws ec2 describe-vpc-attribute{} --vpc-id {} --attribute {}",
            region(cluster),
            shell_word(cluster.vpc.as_deref().unwrap_or_default(), "VPC"),
            field.name()
        ),
        (Subject::Field(field), _) => record_file(cluster, field.file()),
        (Subject::File(file), _) => record_file(cluster, *file),
        (Subject::Vantage(name) | Subject::Records { vantage: name, .. }, _) => record_answer(cluster, name),
        (Subject::Vantages, _) => record_answer(cluster, HERE),
        (Subject::Node(name), GapReason::NoProcessNames) => {
            format!("capture it as root: ssh {name} sudo ss -tnp > nodes/{name}.txt")
        }
        (Subject::Node(name), _) => {
            format!("capture its complete output: ssh {name} sudo ss -tnp > nodes/{name}.txt")
        }
        (Subject::Instance(_), GapReason::NotSupported) => {
            format!("{IN_A_DEBUG_POD} and put it into nodes/NODE.txt")
        }
        (Subject::Instance(_) | Subject::Nodes | Subject::HybridNodes, _) => {
            "record each node, NODE being its name or address for ssh, with: ssh NODE sudo ss -tnp > nodes/NODE.txt".to_owned()
        }
        (Subject::Probe(_), _) => {
            "record it at that vantage point with: eks-netcheck collect, which probes the endpoint".to_owned()
        }
        (Subject::Recording { of, .. }, why) => record(cluster, of, why),
        (
            Subject::FargatePods
            | Subject::Egress(_)
            | Subject::Sockets
            | Subject::Action(_)
            | Subject::Other(_),
            _,
        ) => String::new(),
    }
}

/// The next step for a node that accepts no login, as those of EKS Auto Mode.
pub(crate) const IN_A_DEBUG_POD: &str = "capture `ss -tnp` in a debug pod (kubectl debug node/NODE --profile=sysadmin, NODE being its name in `kubectl get nodes`)";

/// The next step for evidence that neither a recording nor a live run can have.
#[must_use]
pub fn of_any_source(subject: &Subject, why: GapReason) -> Option<&'static str> {
    match (subject, why) {
        (Subject::File(File::CLUSTER), GapReason::NotSupported) => {
            Some("ask the operator of that control plane")
        }
        (Subject::File(File::INTERFACES), GapReason::NotSupported) => {
            Some("find the control plane's instances in the Outpost")
        }
        (Subject::FargatePods, _) => {
            Some("if that is known and accepted, list it in the policy under [[accept-gap]]")
        }
        (Subject::File(SECURITY_GROUPS), GapReason::NotSupported) => Some(
            "compare the rules by hand: aws ec2 describe-security-group-rules, and get-managed-prefix-list-entries for prefix lists",
        ),
        (Subject::File(NETWORK_ACLS), GapReason::NotSupported) => {
            Some("compare the entries by hand: aws ec2 describe-network-acls")
        }
        (Subject::Egress(_), _) => {
            Some("find its egress address by running on the node: curl -s https://checkip.amazonaws.com")
        }
        _ => None,
    }
}

fn record_file(cluster: &Cluster, file: File) -> String {
    if file == File::CLUSTER {
        return format!(
            "record it with: aws eks describe-cluster{} --name {} > {file}",
            region(cluster),
            shell_word(&cluster.name, "NAME")
        );
    }
    if let Some(command) = kubectl(file) {
        return format!("record it with: {command} > {file}");
    }
    let vpc = shell_word(cluster.vpc.as_deref().unwrap_or_default(), "VPC");
    let command = CALLS.iter().find(|call| call.file == file).map_or("describe-...", |call| call.command);
    // What follows a comma is no part of the command.
    let (command, rest) = command
        .split_once(", ")
        .map_or((command, String::new()), |(command, rest)| (command, format!(", {rest},")));
    let (verb, options) = command.split_once(' ').unwrap_or((command, ""));
    let options =
        if options.is_empty() { String::new() } else { format!(" {}", options.replace("VPC", vpc)) };
    format!("record it{rest} with: aws ec2 {verb}{}{options} > {file}", region(cluster))
}

/// The option of the aws CLI with the cluster's region.
fn region(cluster: &Cluster) -> String {
    let region = cluster.region();
    region.map(|region| format!(" --region {}", shell_word(region, "REGION"))).unwrap_or_default()
}

/// The command of kubectl that prints a file; `None` if another tool prints it.
fn kubectl(file: File) -> Option<&'static str> {
    match file {
        NODES => Some("kubectl get nodes -o json"),
        ENDPOINT_SLICES => Some("kubectl get endpointslices -n default -o json"),
        _ => None,
    }
}

/// Returns the next step for a JSON file that cannot be parsed.
pub(super) fn record_again(file: &str, error: &JsonError) -> String {
    if file.starts_with("probe/") {
        return "record it with: eks-netcheck collect; or remove it".to_owned();
    }
    match [NODES, ENDPOINT_SLICES].into_iter().find(|known| known.name() == file).and_then(kubectl) {
        Some(command) if error.is_other_shape => format!("record the whole answer of: {command}"),
        Some(command) => format!("record it with: {}", saved(command, file)),
        None if error.is_other_shape => {
            "record the whole answer as the aws CLI prints it: leave out --query".to_owned()
        }
        None => "record it as the aws CLI prints it with --output json".to_owned(),
    }
}

fn record_answer(cluster: &Cluster, vantage: &str) -> String {
    let host = cluster.endpoint.as_ref().map_or("", |endpoint| endpoint.host.as_str());
    format!("record it with: dig +short {} > dns/{vantage}.txt", shell_word(host, "ENDPOINT"))
}

/// Returns the next step for evidence that is missing from a single file with the output
/// of `ss -tnp`.
#[must_use]
pub fn capture(_: &Cluster, subject: &Subject, why: GapReason) -> String {
    match (subject, why) {
        (Subject::File(File::CLUSTER), _) => {
            "compare two evidence directories: eks-netcheck collect --cluster NAME --out DIR".to_owned()
        }
        (_, GapReason::NoProcessNames) => "capture it as root: sudo ss -tnp".to_owned(),
        _ => "capture the complete output: sudo ss -tnp".to_owned(),
    }
}
