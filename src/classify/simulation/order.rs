//! The steps of a change of access, in the order in which no client loses the API server, each
//! with the way back.

use std::collections::HashSet;

use ipnet::IpNet;

use super::needs;
use super::scenario::Scenario;
use crate::model::cluster::EndpointAccess;
use crate::model::facts::Facts;
use crate::model::rule::Step;
use crate::model::shell::shell_word;
use crate::model::simulation::{ChangeStep, Client, ClientKind, Effect, SimulationVerdict};
use crate::model::text::list;
use crate::steps;

/// What stands in a command for a list that is not known.
const YOUR_CIDRS: &str = "YOUR_CIDRS";
/// How many steps that clients need are listed; each client has its own.
const NEEDS_MAX: usize = 50;

/// Returns the steps of a change; none if nothing changes. `added` are the blocks that its list
/// has besides those that were asked for.
pub(super) fn steps_of(
    facts: &Facts,
    scenario: &Scenario,
    added: &[IpNet],
    clients: &[Client],
    verdict: SimulationVerdict,
) -> Vec<ChangeStep> {
    if scenario.is_identity() {
        return Vec::new();
    }
    let Scenario { from, to, .. } = scenario;
    let mut order = Order { facts, added, steps: before(clients) };
    let is_on = |flag: Option<bool>| flag == Some(true);
    let turns_private_on = !is_on(from.private()) && is_on(to.private());
    let closes = is_on(from.public()) && !is_on(to.public());
    let narrows = is_on(from.public()) && is_on(to.public()) && !same_blocks(from, to);
    let turns_private_off = is_on(from.private()) && !is_on(to.private());
    let is_cutting = closes || narrows || turns_private_off;
    let warning = warning(clients, verdict).map(alone);
    order.steps.extend(warning.clone().filter(|_| !is_cutting));
    if turns_private_on {
        order.steps.extend(steps::dns_attributes(facts).into_iter().map(alone));
        order.private_on();
        if steps::has_hybrid_nodes(facts) {
            order.steps.push(alone(steps::forward_to_vpc()));
        }
        order.steps.push(alone(steps::private_answers(facts, true)));
        let restarts = steps::restarts(facts, false).into_iter().chain(recreate_pods(facts, clients));
        order.steps.extend(restarts.map(alone));
        order.steps.push(alone(steps::check_paths(facts)));
    } else if is_on(to.private()) && (closes || narrows) {
        order.steps.extend(steps::after_private_access(facts).into_iter().map(alone));
    }
    order.steps.extend(warning.filter(|_| is_cutting));
    if !is_on(from.public()) && is_on(to.public()) {
        order.open(scenario);
    } else if narrows {
        order.narrow(scenario);
    } else if closes {
        order.close(from);
    }
    if turns_private_off {
        order.private_off();
        order.steps.extend(restarts(facts, clients).into_iter().map(alone));
    }
    order.steps.push(order.verify());
    order.steps
}

/// The step before one that cuts clients off: to make sure that it does not, unless the
/// verdict is that it does not.
fn warning(clients: &[Client], verdict: SimulationVerdict) -> Option<Step> {
    const SHOWN: usize = 5;
    let with = |effect| {
        let with = clients.iter().filter(move |client| client.effect == effect);
        with.map(|client| client.name.as_str()).collect::<Vec<_>>()
    };
    let (lost, unknown) = (with(Effect::Breaks), with(Effect::Unknown));
    let text = match (lost.is_empty(), unknown.is_empty(), verdict) {
        (false, true, _) => {
            format!("Do not go on before these can reach the API server afterwards: {}", list(&lost, SHOWN))
        }
        (true, false, _) => {
            format!(
                "Do not go on before it is known whether these keep the API server: {}",
                list(&unknown, SHOWN)
            )
        }
        (false, false, _) => format!(
            "Do not go on before these can reach the API server afterwards: {}; and before it is known whether these keep it: {}",
            list(&lost, SHOWN),
            list(&unknown, SHOWN)
        ),
        (true, true, SimulationVerdict::Unknown) => {
            "Do not go on before it is known what was not seen".to_owned()
        }
        (true, true, _) => return None,
    };
    Some(Step::new(text))
}

/// What clients need before the change. Other settings of the cluster are no part of it: they
/// are alternatives, which the clients list.
fn before(clients: &[Client]) -> Vec<ChangeStep> {
    let lacking = clients.iter().filter(|client| client.effect == Effect::Breaks);
    let is_setting = |step: &&Step| {
        !step.admits.is_empty()
            || step.command.as_ref().is_some_and(|command| command.contains(steps::UPDATE))
    };
    let needs = lacking.flat_map(|client| {
        let mut needs: Vec<_> = client.needs.iter().filter(|step| !is_setting(step)).cloned().collect();
        needs::without_alternative(&mut needs);
        needs
    });
    unique(needs.collect::<Vec<_>>().iter()).take(NEEDS_MAX).map(|step| alone(step.clone())).collect()
}

/// The restarts of what keeps connections on the path that it leaves.
fn restarts(facts: &Facts, clients: &[Client]) -> Vec<Step> {
    let stale = || clients.iter().filter(|client| client.is_stale);
    needs::restart_of(stale()).steps(facts).into_iter().chain(recreate_pods(facts, clients)).collect()
}

/// The new pods in the place of those on Fargate that keep connections on the path that it leaves.
fn recreate_pods<'a>(facts: &'a Facts, clients: &'a [Client]) -> impl Iterator<Item = Step> + 'a {
    let pods = clients.iter().filter(|client| client.is_stale && client.kind == ClientKind::FargatePod);
    pods.map(|client| steps::fargate_pod(facts, &client.name)).take(NEEDS_MAX)
}

fn unique<'a>(steps: impl Iterator<Item = &'a Step>) -> impl Iterator<Item = &'a Step> {
    let mut seen = HashSet::new();
    steps.filter(move |step| seen.insert((&step.text, &step.command)))
}

/// A step that one tool does.
fn alone(step: Step) -> ChangeStep {
    ChangeStep { step, eksctl: None, terraform: None, back: None }
}

fn same_blocks(from: &EndpointAccess, to: &EndpointAccess) -> bool {
    from.allowed() == to.allowed()
}

/// The steps so far.
struct Order<'a> {
    facts: &'a Facts,
    /// The blocks that the list has besides those that were asked for.
    added: &'a [IpNet],
    steps: Vec<ChangeStep>,
}

impl Order<'_> {
    fn private_on(&mut self) {
        let back = self.aws(
            "Turn private access off again, and restart kubelet and kube-proxy of the nodes that moved",
            "endpointPrivateAccess=false",
        );
        self.steps.push(ChangeStep {
            step: steps::private_access_on(self.facts),
            eksctl: Some(self.eksctl("--private-access=true")),
            terraform: Some("endpoint_private_access = true".to_owned()),
            back: Some(back),
        });
    }

    fn private_off(&mut self) {
        let text = "Turn private access off; nodes then connect to the public endpoint";
        let step = self.aws(text, "endpointPrivateAccess=false");
        let step = step.check("It worked when the nodes stay Ready", steps::kubectl(self.facts, "get nodes"));
        self.steps.push(ChangeStep {
            step,
            eksctl: Some(self.eksctl("--private-access=false")),
            terraform: Some("endpoint_private_access = false".to_owned()),
            back: Some(self.aws("Turn private access on again", "endpointPrivateAccess=true")),
        });
    }

    fn close(&mut self, from: &EndpointAccess) {
        let list = blocks(from);
        let back = self.aws(
            "Open the public endpoint again; the AWS API does not depend on it",
            &format!("endpointPublicAccess=true,publicAccessCidrs={}", list.join(",")),
        );
        self.steps.push(ChangeStep {
            step: steps::close(self.facts),
            eksctl: Some(self.eksctl("--private-access=true --public-access=false")),
            terraform: Some("endpoint_private_access = true, endpoint_public_access = false".to_owned()),
            back: Some(back),
        });
    }

    fn open(&mut self, scenario: &Scenario) {
        let list = self.list_of(scenario);
        let text = if scenario.is_list_assumed {
            format!(
                "Turn public access on, with your blocks in the place of {YOUR_CIDRS}: without a list AWS takes 0.0.0.0/0, for which the verdict is; simulate yours with --public-cidrs first{}",
                self.besides()
            )
        } else {
            format!("Turn public access on, for the blocks of the list{}", self.besides())
        };
        let step =
            self.aws(&text, &format!("endpointPublicAccess=true,publicAccessCidrs={}", list.join(",")));
        let check = steps::describe(self.facts, "cluster.resourcesVpcConfig.publicAccessCidrs");
        self.steps.push(ChangeStep {
            step: step.check("It worked when this prints the list", check),
            eksctl: Some(
                self.eksctl(&format!("--public-access=true --public-access-cidrs={}", list.join(","))),
            ),
            terraform: Some(format!("endpoint_public_access = true, {}", terraform_list(&list))),
            back: Some(self.aws("Turn public access off again", "endpointPublicAccess=false")),
        });
    }

    fn narrow(&mut self, scenario: &Scenario) {
        let (old, new) = (blocks(&scenario.from), self.list_of(scenario));
        let text = format!("Change publicAccessCidrs{}", self.besides());
        let step = self.aws(&text, &format!("publicAccessCidrs={}", new.join(",")));
        let back = self.aws(
            "Put the old list back; the AWS API does not depend on it",
            &format!("publicAccessCidrs={}", old.join(",")),
        );
        self.steps.push(ChangeStep {
            step: step.check(
                "It worked when the nodes stay Ready, once kubelet has connected again",
                steps::kubectl(self.facts, "get nodes"),
            ),
            eksctl: Some(self.eksctl(&format!("--public-access-cidrs={}", new.join(",")))),
            terraform: Some(terraform_list(&new)),
            back: Some(back),
        });
    }

    /// The list afterwards as text: a placeholder if it was not given.
    fn list_of(&self, scenario: &Scenario) -> Vec<String> {
        if !scenario.is_list_assumed {
            return blocks(&scenario.to);
        }
        let added = self.added.iter().map(ToString::to_string);
        [YOUR_CIDRS.to_owned()].into_iter().chain(added).collect()
    }

    /// What the list has besides the blocks that were asked for.
    fn besides(&self) -> String {
        const SHOWN: usize = 10;
        if self.added.is_empty() {
            return String::new();
        }
        let added: Vec<_> = self.added.iter().map(ToString::to_string).collect();
        format!(
            "; besides the blocks that were asked for, the list has those without which clients lose the API server: {}",
            list(&added, SHOWN)
        )
    }

    /// The last step: the settings and the paths are those that were meant.
    fn verify(&self) -> ChangeStep {
        alone(
            Step::new("Audit the cluster again")
                .command(steps::own(self.facts, "audit"))
                .done_when("It is done when every node was read and none is cut off"),
        )
    }

    fn aws(&self, text: &str, setting: &str) -> Step {
        Step::new(text).command(steps::update(self.facts, setting))
    }

    fn eksctl(&self, flags: &str) -> String {
        let name = shell_word(&self.facts.evidence.cluster.name, "CLUSTER");
        let options = steps::aws_options(self.facts);
        format!("eksctl utils update-cluster-vpc-config{options} --cluster {name} {flags} --approve")
    }
}

/// The blocks of a list as text: to be filled in where none is recorded.
fn blocks(access: &EndpointAccess) -> Vec<String> {
    if access.cidrs().is_empty() {
        return vec![YOUR_CIDRS.to_owned()];
    }
    access.public_cidrs().iter().map(ToString::to_string).collect()
}

fn terraform_list(blocks: &[String]) -> String {
    let quoted: Vec<_> = blocks.iter().map(|block| format!("\"{block}\"")).collect();
    format!("public_access_cidrs = [{}]", quoted.join(", "))
}
