//! What a client needs to reach the API server after a change, or to use the new path.

use super::clients::{ClientHost, User};
use super::lists;
use super::socket_evidence::SocketEvidence;
use crate::model::cluster::EndpointAccess;
use crate::model::connection::{Component, UNNAMED};
use crate::model::facts::Facts;
use crate::model::reachability::{ConditionResult, Location, Reachability, Reaches};
use crate::model::rule::Step;
use crate::model::simulation::{Client, ClientKind, LEAVE_PRIVATE_ACCESS_ON};
use crate::model::text::capital;
use crate::steps::{self, Restart};

/// Returns the steps that a client needs, in their order.
pub(super) fn of(
    facts: &Facts,
    [from, to]: [&EndpointAccess; 2],
    host: &ClientHost,
    user: &User,
    client: &Client,
    then: &Reachability,
) -> Vec<Step> {
    let result = match then.reaches() {
        Reaches::Yes => None,
        Reaches::No => Some(ConditionResult::NotMet),
        Reaches::Unknown => Some(ConditionResult::Unknown),
    };
    let conditions = then.conditions.iter().filter(|condition| Some(condition.result) == result);
    let mut needs: Vec<Step> = Vec::new();
    for step in conditions.flat_map(|condition| &condition.fix) {
        let step = lists::without_list(step, to, client.kind);
        let step = Step { text: of_simulate(&step.text, client.kind), ..step };
        if !needs.contains(&step) {
            needs.push(step);
        }
    }
    let is_in_vpc = matches!(host.place.location, Location::Vpc { .. });
    if client.reaches == Reaches::No && is_in_vpc && to.private() == Some(false) {
        needs.push(if from.private() == Some(true) {
            Step::new(LEAVE_PRIVATE_ACCESS_ON)
        } else {
            steps::or_private_access(facts)
        });
    }
    // A change of the list alone does not change the path of a client.
    let has_other_mode = from.public() != to.public() || from.private() != to.private();
    let may_be_stale = client.is_stale
        || has_other_mode && matches!(user.sight, SocketEvidence::Unexplained | SocketEvidence::Unplaced);
    if may_be_stale && client.reaches != Reaches::No {
        needs.extend(restart(facts, &host.place.name, client));
    }
    without_alternative(&mut needs);
    needs
}

/// Makes the first step one of its own, where what it is an alternative to is not among the
/// steps.
pub(super) fn without_alternative(steps: &mut [Step]) {
    if let Some(first) = steps.first_mut()
        && let Some(rest) = first.text.strip_prefix("Or ")
    {
        first.text = capital(rest);
    }
}

/// A next step with the option by which `simulate` gets the address of a place.
pub(super) fn of_simulate(next_step: &str, kind: ClientKind) -> String {
    let option = if kind == ClientKind::Operator { "--client here=ADDRESS" } else { "--client NAME=CIDR" };
    next_step.replace("--from", option)
}

/// The steps that make a client resolve the endpoint's name again.
fn restart(facts: &Facts, place: &str, client: &Client) -> Vec<Step> {
    if client.kind == ClientKind::FargatePod {
        return vec![steps::fargate_pod(facts, place)];
    }
    restart_of([client].into_iter()).steps(facts)
}

/// The restart of processes of nodes.
pub(super) fn restart_of<'a>(clients: impl Iterator<Item = &'a Client>) -> Restart<'a> {
    let mut restart = Restart::default();
    for client in clients {
        let (Some(process), Some(node)) = (client.process.as_deref(), &client.node) else { continue };
        if process == Component::Kubelet.as_str() {
            restart.kubelet.push(node);
        } else if process == Component::KubeProxy.as_str() {
            restart.kube_proxy.push(node);
        } else {
            restart.agents.insert((Some(process).filter(|process| *process != UNNAMED), node));
        }
    }
    restart
}
