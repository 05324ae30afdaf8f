//! Why Systems Manager did not read a node, with the next step.

use super::super::diagnosis::{Diagnosis, excerpt};
use super::output::resolver_problem;
use crate::collect::aws::ssm::Agent;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::{NodeName, SSM_DOCUMENT};
use crate::model::shell::shell_word;

/// The next step for a node that Systems Manager cannot read.
pub(super) const OTHER_TRANSPORT: &str = "read it by another of --nodes, such as ssm,ssh";
/// The next step for a node whose agent is not connected.
pub(super) const START_AGENT: &str = "check on the node: systemctl status amazon-ssm-agent, and that it reaches the endpoints of ssm and ssmmessages";

/// Why a node that EC2 does not list is not known to be of the cluster: its kubelet does not
/// connect to the cluster's endpoint.
pub(super) fn of_another_cluster(host: Option<&str>, server: Option<&str>) -> Option<Diagnosis> {
    let is_endpoint = host.zip(server).is_some_and(|(host, server)| server.eq_ignore_ascii_case(host));
    let detail = match server {
        _ if is_endpoint => return None,
        Some(server) => format!(
            "its kubelet connects to {:?}, which is not the endpoint of the cluster, so that its sockets are another cluster's",
            excerpt(server)
        ),
        None => "EC2 does not list it as a node of the cluster, and no kubeconfig of its kubelet names the endpoint".to_owned(),
    };
    Some(Diagnosis::new(
        GapReason::NotSupported,
        detail,
        "check its id with: kubectl get nodes -o wide; or read it by ssh",
    ))
}

/// How to create the document.
pub(super) fn create(document: &str) -> String {
    format!(
        "create it: eks-netcheck ssm-document > {SSM_DOCUMENT}.json; aws ssm create-document --name {} --document-type Command --content file://{SSM_DOCUMENT}.json",
        shell_word(document, "NAME")
    )
}

/// Why no command can be run by an agent; `None` if one can.
pub(super) fn without_agent(agent: Option<&Agent>) -> Option<Diagnosis> {
    let Some(agent) = agent else {
        return Some(Diagnosis::new(
            GapReason::NotSupported,
            "no agent of Systems Manager is registered for it",
            "attach the policy AmazonSSMManagedInstanceCore to the node's role and run amazon-ssm-agent on it, or read it by another of --nodes",
        ));
    };
    if agent.platform.starts_with("Bottlerocket") {
        return Some(Diagnosis::new(
            GapReason::NotSupported,
            "it runs Bottlerocket, whose agent is in a container with neither ss nor the processes of the node",
            OTHER_TRANSPORT,
        ));
    }
    if !agent.is_linux {
        let detail = format!("it does not run Linux: {:?}", excerpt(&agent.platform));
        return Some(Diagnosis::new(GapReason::NotSupported, detail, OTHER_TRANSPORT));
    }
    (!agent.is_online).then(|| {
        let detail = format!("its agent of Systems Manager is not connected: {:?}", excerpt(&agent.ping));
        Diagnosis::new(GapReason::Unreachable, detail, START_AGENT)
    })
}

/// Why a command did not end by itself.
pub(super) fn stopped(details: &str) -> Diagnosis {
    let words: String = details.chars().filter(char::is_ascii_alphabetic).collect();
    let (why, detail, hint) = match words.as_str() {
        "Undeliverable" | "DeliveryTimedOut" | "TimedOut" => (
            GapReason::Unreachable,
            "Systems Manager could not deliver the command to its agent",
            START_AGENT,
        ),
        "ExecutionTimedOut" => (
            GapReason::TimedOut,
            "the command did not end within 60 s on it",
            "run it by hand on the node: sudo ss -tnp",
        ),
        "Cancelled" | "Canceled" => (GapReason::Interrupted, "the command was cancelled", "try again"),
        _ => (
            GapReason::Failed,
            "Systems Manager did not run the command",
            "see aws ssm list-command-invocations --details",
        ),
    };
    Diagnosis::new(why, format!("{detail} ({})", excerpt(details)), hint)
}

/// The answer of a node's resolver for the cluster's endpoint, or why there is none: the
/// script resolves the host that the node's own kubeconfig names.
pub(super) fn answer(
    node: &NodeName,
    host: &str,
    server: Option<&str>,
    answer: Option<(u32, Vec<u8>)>,
) -> Result<Vec<u8>, Gap> {
    let gap = |why, detail: String, hint: &str| Gap {
        subject: Subject::Vantage(node.to_string()),
        why,
        detail,
        hint: hint.to_owned(),
    };
    let Some((server, (status, text))) = server.zip(answer) else {
        let detail = "no kubeconfig of its kubelet names an API server to resolve";
        let hint = "resolve the endpoint's name on the node, with getent ahosts";
        return Err(gap(GapReason::NotSupported, detail.to_owned(), hint));
    };
    if !server.eq_ignore_ascii_case(host) {
        let detail = format!(
            "its kubelet connects to {:?}, which is not the endpoint of the cluster",
            excerpt(server)
        );
        let hint = "is it a node of this cluster?";
        return Err(gap(GapReason::NotSupported, detail, hint));
    }
    match resolver_problem(status) {
        None => Ok(text),
        Some((why, detail)) => {
            let hint = "check on the node: cat /etc/resolv.conf, and what its resolver answers";
            Err(gap(why, detail, hint))
        }
    }
}
