//! The next step for evidence that a live run did not obtain: an option to pass, or
//! something to change at its source.

use super::transport::ROOT_HINTS;
use crate::evidence::aws::CALLS;
use crate::evidence::next_step::{IN_A_DEBUG_POD, of_any_source};
use crate::model::cluster::Cluster;
use crate::model::file::{Field, File};
use crate::model::gap::{GapReason, Subject};
use crate::model::kubernetes::{ENDPOINT_SLICES, NODES};

/// The next step for evidence that was requested and is missing or incomplete.
pub(crate) fn next_step(_: &Cluster, subject: &Subject, why: GapReason) -> String {
    if let Some(step) = of_any_source(subject, why) {
        return step.to_owned();
    }
    match (subject, why) {
        (Subject::Field(Field::Endpoint), _) => "try again when the cluster is ACTIVE".to_owned(),
        (Subject::Field(field), _) => permission(field.file()),
        (Subject::File(file), GapReason::Incomplete) if is_list_of_nodes(*file) => {
            "name the nodes with --node NAME=TARGET".to_owned()
        }
        (Subject::File(NODES | ENDPOINT_SLICES), _) => "pass --nodes kubectl, which asks for it".to_owned(),
        (Subject::File(file), _) => permission(*file),
        (Subject::Vantage(_) | Subject::Vantages | Subject::Records { .. }, _) => {
            "pass another name server with --resolver".to_owned()
        }
        (Subject::Node(name), GapReason::NoProcessNames) => {
            format!("on {name}, allow `sudo -n ss -tnp`, or {ROOT_HINTS}")
        }
        (Subject::Node(name), _) => format!("run it by hand on {name}: sudo ss -tnp"),
        (Subject::Instance(_), GapReason::NotSupported) => {
            format!("pass --nodes kubectl; or {IN_A_DEBUG_POD} and judge it with --evidence")
        }
        (Subject::Instance(id), _) => format!("name it as well: --node {id}=TARGET"),
        (Subject::Nodes, _) => "name them with --node NAME=TARGET".to_owned(),
        (Subject::Probe(_), _) => {
            "record it at that vantage point with: eks-netcheck collect, which probes the endpoint".to_owned()
        }
        (Subject::HybridNodes, _) => "name each with --node NAME=TARGET, or pass --nodes kubectl".to_owned(),
        (
            Subject::FargatePods
            | Subject::Egress(_)
            | Subject::Recording { .. }
            | Subject::Sockets
            | Subject::Action(_)
            | Subject::Other(_),
            _,
        ) => "try again".to_owned(),
    }
}

fn is_list_of_nodes(file: File) -> bool {
    file == crate::model::net::INSTANCES
}

/// The next step for an answer of AWS that is incomplete.
fn permission(file: File) -> String {
    let actions = CALLS.iter().find(|call| call.file == file).map(|call| call.actions.join(" and "));
    let actions = actions.unwrap_or_else(|| "eks:DescribeCluster".to_owned());
    format!("check the answer of {actions} with the aws CLI")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::aws::eks::parse_cluster;
    use crate::model::seen_from::HERE;

    #[test]
    fn no_next_step_of_a_live_run_is_to_edit_a_recording() {
        let cluster =
            parse_cluster(br#"{"cluster": {"name": "myeks", "resourcesVpcConfig": {}}}"#).expect("JSON");
        let files = CALLS
            .iter()
            .map(|call| Subject::File(call.file))
            .chain([File::CLUSTER, NODES, ENDPOINT_SLICES].map(Subject::File));
        let fields = [Field::Endpoint, Field::EnableDnsSupport].map(Subject::Field);
        let node = "n1".parse().expect("a name");
        let others = [
            Subject::Vantage("n1".to_owned()),
            Subject::Records { kind: "A", vantage: HERE.to_owned() },
            Subject::Vantages,
            Subject::Node(node),
            Subject::Instance("i-1".to_owned()),
            Subject::Nodes,
            Subject::HybridNodes,
            Subject::Egress("i-1".to_owned()),
            Subject::FargatePods,
        ];
        for subject in files.chain(fields).chain(others) {
            for why in [GapReason::Incomplete, GapReason::NoProcessNames, GapReason::NotSupported] {
                let step = next_step(&cluster, &subject, why);
                assert!(!step.is_empty(), "{subject}");
                // A host that takes no ssh has no target.
                let takes_ssh = why != GapReason::NotSupported || !matches!(subject, Subject::Instance(_));
                assert!(takes_ssh || !step.contains("TARGET"), "{subject}: {step}");
                for word in ["record", ".txt", ".json", " > "] {
                    assert!(!step.contains(word), "{subject}: {step}");
                }
            }
        }
    }
}
