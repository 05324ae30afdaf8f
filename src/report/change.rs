//! What the formats of `simulate` for people have in common: its head, and the clients that
//! are alike as one.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::names::Names;
use super::style::count;
use crate::model::cluster::EndpointAccess;
use crate::model::gap::Gap;
use crate::model::reachability::Reaches;
use crate::model::rule::Step;
use crate::model::seen_from::HERE;
use crate::model::simulation::{
    ChangeStep, Client, ClientKind, Effect, LEAVE_PRIVATE_ACCESS_ON, Simulation, SimulationVerdict,
};
use crate::model::text::{list, uncapital};

/// How many blocks of a list, and how many names of a group are shown.
const SHOWN: usize = 5;

/// How many steps that clients need are shown; JSON has all.
const NEEDS_MAX: usize = 20;

/// How many agents that differ by their names only are groups of their own.
const AGENTS_MAX: usize = 3;

/// Clients that the change concerns in the same way.
pub(super) struct Group<'a> {
    /// The first of them.
    pub(super) first: &'a Client,
    /// What they are, with their names.
    pub(super) label: String,
}

/// The names of the nodes.
pub(super) fn names(simulation: &Simulation) -> Names {
    let of_gaps = simulation.gaps.iter().filter_map(|gap| gap.subject.node());
    Names::new(simulation.clients.iter().filter_map(|client| client.node.as_ref()).chain(of_gaps))
}

/// The clients, grouped by what the change does to them, worst first.
pub(super) fn groups<'a>(simulation: &'a Simulation, nodes: &Names) -> Vec<Group<'a>> {
    let mut groups: Vec<Vec<&Client>> = Vec::new();
    let mut places = HashMap::new();
    // Agents may have any number of names: many that are alike are one group.
    let mut names: HashMap<_, HashSet<&str>> = HashMap::new();
    let alike = |client: &Client| {
        let Client { kind, today, after, reaches, effect, .. } = client;
        (*kind, *today, *after, *reaches, *effect)
    };
    for client in &simulation.clients {
        if let (ClientKind::Agent, Some(process)) = (client.kind, &client.process) {
            names.entry((alike(client), &client.why)).or_default().insert(process);
        }
    }
    for client in &simulation.clients {
        let is_one_of_many =
            names.get(&(alike(client), &client.why)).is_some_and(|names| names.len() > AGENTS_MAX);
        let process = client.process.as_ref().filter(|_| !is_one_of_many);
        let key = (alike(client), process, &client.why);
        let new = groups.len();
        let place = *places.entry(key).or_insert(new);
        if place == new {
            groups.push(Vec::new());
        }
        groups[place].push(client);
    }
    groups.sort_by_key(|group| group[0].effect);
    groups.into_iter().map(|group| Group { first: group[0], label: label(&group, nodes) }).collect()
}

/// A number of clients with their names.
fn label(group: &[&Client], nodes: &Names) -> String {
    let names: Vec<_> = group
        .iter()
        .map(|client| client.node.as_ref().map_or(client.name.as_str(), |node| nodes.name(node)))
        .collect();
    let first = group[0];
    let processes: BTreeSet<_> = group.iter().filter_map(|client| client.process.as_deref()).collect();
    if let (1.., Some(process)) = (processes.len().saturating_sub(1), &first.process) {
        let nodes: BTreeSet<_> = names.into_iter().collect();
        let nodes = list(&Vec::from_iter(nodes), SHOWN);
        return format!("{process} and {} more ({nodes})", processes.len() - 1);
    }
    let names = list(&names, SHOWN);
    let what = match (first.kind, &first.process) {
        (_, Some(process)) => process.as_str(),
        (ClientKind::Node, _) => "node, not read",
        (ClientKind::HybridNode, _) => "hybrid node, not read",
        (ClientKind::FargatePod, _) => "Fargate pod",
        (ClientKind::Pods, _) => return "pods, by the ClusterIP".to_owned(),
        (ClientKind::Operator, _) => return HERE.to_owned(),
        _ => return names,
    };
    match group.len() {
        1 => format!("{what} ({names})"),
        // Of many that keep the API server, the names do not matter.
        many if many > SHOWN && first.effect == Effect::Unchanged && first.reaches == Reaches::Yes => {
            format!("{many} x {what}")
        }
        many => format!("{many} x {what} ({names})"),
    }
}

/// The access in words.
pub(super) fn access(access: &EndpointAccess) -> String {
    let cidrs: Vec<_> = access.public_cidrs().iter().map(ToString::to_string).collect();
    if cidrs.is_empty() {
        return access.as_str().to_owned();
    }
    format!("{}, open to {}", access.as_str(), list(&cidrs, SHOWN))
}

/// The verdict as a sentence.
pub(super) fn sentence(simulation: &Simulation) -> String {
    let with = |effect: Effect| simulation.clients.iter().filter(|client| client.effect == effect).count();
    let all = count(simulation.clients.len(), "client");
    let mut parts: Vec<String> = Vec::new();
    for (number, one, many) in [
        (with(Effect::Breaks), "loses the API server", "lose the API server"),
        (
            with(Effect::Interrupted),
            "is cut off until it connects again",
            "are cut off until they connect again",
        ),
    ] {
        let of = if parts.is_empty() { format!(" of {all}") } else { String::new() };
        match number {
            0 => {}
            1 => parts.push(format!("1{of} {one}")),
            number => parts.push(format!("{number}{of} {many}")),
        }
    }
    if let (Some(lost), Some(doubt)) = (parts.first_mut(), doubt(simulation)) {
        lost.push_str(&doubt);
    }
    match (with(Effect::Unknown), parts.is_empty()) {
        (0, false) => {}
        (0, true) if simulation.verdict == SimulationVerdict::Unknown => {
            return format!("none of {all} loses the API server, as far as was seen");
        }
        (0, true) if simulation.steps.is_empty() => return "nothing changes".to_owned(),
        (0, true) => {
            return format!(
                "none of {} loses the API server",
                count(simulation.clients.len(), "known client")
            );
        }
        (1, true) => return format!("whether 1 of {all} keeps the API server is not known"),
        (unknown, true) => return format!("whether {unknown} of {all} keep the API server is not known"),
        (1, false) => parts.push("1 is not known".to_owned()),
        (unknown, false) => parts.push(format!("{unknown} are not known")),
    }
    parts.join("; ")
}

/// That clients lose the API server only if they reach it today, where that is not known of them.
fn doubt(simulation: &Simulation) -> Option<String> {
    let lost: Vec<_> = simulation.clients.iter().filter(|client| client.effect == Effect::Breaks).collect();
    let doubtful = lost.iter().filter(|client| client.reaches_today == Reaches::Unknown).count();
    let of_them = if doubtful == lost.len() { String::new() } else { format!("{doubtful} of them only ") };
    let pronoun = if doubtful == 1 { "it has" } else { "they have" };
    (doubtful > 0).then(|| format!(", {of_them}if {pronoun} access today, which is not known"))
}

/// What groups of clients need.
pub(super) struct Needed<'a> {
    /// What to do, to be continued after a colon.
    pub(super) text: String,
    /// The command that does it.
    pub(super) command: Option<&'a str>,
    /// The groups of clients that need it.
    pub(super) labels: Vec<&'a str>,
}

/// What the clients need that the change leaves without the API server, each with the groups of
/// those that need it; without what the steps of the change have anyway.
pub(super) fn needs<'a>(simulation: &Simulation, groups: &'a [Group<'_>]) -> Vec<Needed<'a>> {
    let steps: HashMap<_, _> =
        (1..).zip(&simulation.steps).map(|(number, step)| (step.step.text.as_str(), number)).collect();
    let mut needs: Vec<(&Step, Vec<&str>)> = Vec::new();
    let mut places = HashMap::new();
    let lacking = groups.iter().filter(|group| group.first.effect == Effect::Breaks);
    for (group, step) in lacking.flat_map(|group| group.first.needs.iter().map(move |step| (group, step))) {
        let place = *places.entry(step).or_insert(needs.len());
        match needs.get_mut(place) {
            Some((_, labels)) => labels.push(&group.label),
            None => needs.push((step, vec![&group.label])),
        }
    }
    // An alternative comes after what it replaces.
    needs.sort_by_key(|(step, _)| step.text.starts_with("Or "));
    let (done, others): (Vec<_>, Vec<_>) =
        needs.into_iter().partition(|(step, _)| steps.contains_key(step.text.as_str()));
    let replaced = |labels: &[&str]| {
        let of_them = done.iter().filter(|(_, known)| known.iter().any(|label| labels.contains(label)));
        of_them.filter_map(|(step, _)| steps.get(step.text.as_str())).copied().min()
    };
    let named: HashSet<_> = others
        .iter()
        .filter(|(step, _)| !step.text.starts_with("Or "))
        .flat_map(|(_, labels)| labels)
        .collect();
    // The step that does the contrary of an alternative is the one that it replaces.
    let contrary = |step: &Step| {
        let command = step.command.as_deref().unwrap_or_default();
        let setting = if !step.admits.is_empty() {
            "endpointPublicAccess=false"
        } else if command.contains("endpointPrivateAccess=true") || step.text == LEAVE_PRIVATE_ACCESS_ON {
            "endpointPrivateAccess=false"
        } else {
            return None;
        };
        let sets = |one: &ChangeStep| one.step.command.as_ref().is_some_and(|text| text.contains(setting));
        (1..).zip(&simulation.steps).find(|(_, one)| sets(one)).map(|(number, _)| number)
    };
    let number = |step: &Step, labels: &[&str]| contrary(step).or_else(|| replaced(labels));
    let text = |step: &Step, labels: &[&str]| match (step.text.strip_prefix("Or "), number(step, labels)) {
        (Some(rest), Some(number)) => format!("instead of step {number}, {rest}"),
        // What it is an alternative to is not listed.
        (Some(rest), None) if !labels.iter().any(|label| named.contains(label)) => rest.to_owned(),
        _ => uncapital(&step.text),
    };
    let needed = others.iter().take(NEEDS_MAX).map(|(step, labels)| Needed {
        text: text(step, labels),
        command: step.command.as_deref(),
        labels: labels.clone(),
    });
    needed.collect()
}

/// The gaps as text: those with the same next step as one.
pub(super) fn gaps(simulation: &Simulation) -> Vec<String> {
    let mut groups: Vec<(&Gap, usize)> = Vec::new();
    let mut places = HashMap::new();
    for gap in &simulation.gaps {
        // A gap without a next step is like no other.
        let new = groups.len();
        let is_alone = gap.hint.is_empty();
        let place = if is_alone { new } else { *places.entry((gap.why, &gap.hint)).or_insert(new) };
        if place == new {
            groups.push((gap, 0));
        } else {
            groups[place].1 += 1;
        }
    }
    let text = |(gap, more): (&Gap, usize)| match more {
        0 => gap.to_string(),
        more => format!("{} (and {more} more for the same reason); {}", gap.problem(), gap.hint),
    };
    groups.into_iter().map(text).collect()
}
