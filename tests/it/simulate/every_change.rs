//! What holds for every change of every recorded cluster.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use eks_netcheck::classify::simulation::simulate;
use eks_netcheck::model::access::AccessMode;
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::rule::Need;
use eks_netcheck::model::simulation::{
    AccessChange, Client, ClientKind, Effect, NamedClient, Simulation, SimulationVerdict,
};
use ipnet::IpNet;

use crate::common::{fixtures, story, subdirs};
use crate::needs::{NEEDS, facts};

/// Every recorded cluster.
fn every_dir() -> Vec<PathBuf> {
    let stories = subdirs(&fixtures().join("evidence")).into_iter().map(|name| story(&name));
    let rules = subdirs(&fixtures().join("rules")).into_iter().flat_map(|rule| {
        ["fires", "quiet", "unseen"].map(|case| fixtures().join("rules").join(&rule).join(case))
    });
    stories.chain(rules).filter(|dir| dir.is_dir()).collect()
}

fn blocks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Lists that are compared, each wider than the one before.
fn lists() -> [Vec<IpNet>; 4] {
    [
        blocks(&["203.0.113.0/24"]),
        blocks(&["203.0.113.0/24", "52.78.0.0/16"]),
        blocks(&["203.0.113.0/24", "52.0.0.0/8", "198.51.100.0/24"]),
        blocks(&["0.0.0.0/0", "::/0"]),
    ]
}

/// Changes to every mode, with and without a list.
fn changes() -> Vec<AccessChange> {
    let modes = [None].into_iter().chain(AccessMode::ALL.map(Some));
    let all = modes.flat_map(|mode| {
        let lists = [None].into_iter().chain(lists().map(Some));
        lists.map(move |cidrs| AccessChange { mode, cidrs })
    });
    all.collect()
}

fn clients() -> Vec<NamedClient> {
    let client = |name: &str, block: &str| NamedClient { name: name.to_owned(), blocks: blocks(&[block]) };
    vec![
        client("office", "203.0.113.0/25"),
        client("ci", "198.51.100.64/27"),
        client("bastion", "192.168.11.10/32"),
        client("other", "10.50.0.0/16"),
    ]
}

/// The outcome of a change; `None` if the cluster cannot have it.
fn outcome(facts: &Facts, change: &AccessChange) -> Option<Simulation> {
    simulate(facts, change, &clients()).ok()
}

fn describe(dir: &std::path::Path, change: &AccessChange) -> String {
    format!("{} {change:?}", dir.display())
}

#[test]
fn the_access_that_a_cluster_has_is_safe() {
    let mut count = 0;
    for dir in every_dir() {
        let facts = facts(&dir, false, &[]);
        let access = &facts.evidence.cluster.access;
        // With a flag that is not recorded, a change may be one.
        let [mode] = AccessMode::possible(access)[..] else { continue };
        let list = mode.public().then(|| access.public_cidrs());
        for change in [
            AccessChange { mode: Some(mode), cidrs: None },
            AccessChange { mode: Some(mode), cidrs: list.clone() },
            AccessChange { mode: None, cidrs: list.clone() },
        ] {
            let Some(simulation) = outcome(&facts, &change) else { continue };
            let text = describe(&dir, &change);
            assert_eq!(simulation.verdict, SimulationVerdict::Safe, "{text}: {:#?}", simulation.clients);
            assert!(simulation.steps.is_empty(), "{text}: {:#?}", simulation.steps);
            for client in &simulation.clients {
                assert_eq!(
                    (client.effect, client.today),
                    (Effect::Unchanged, client.after),
                    "{text}: {client:?}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn a_wider_list_is_never_worse() {
    let rank = |verdict: SimulationVerdict| match verdict {
        SimulationVerdict::Safe => 0,
        SimulationVerdict::Unknown => 1,
        SimulationVerdict::Breaks => 2,
    };
    for dir in every_dir() {
        let facts = facts(&dir, false, &[]);
        for mode in [None, Some(AccessMode::Public), Some(AccessMode::PublicAndPrivate)] {
            let outcomes: Vec<_> = lists()
                .into_iter()
                .filter_map(|list| outcome(&facts, &AccessChange { mode, cidrs: Some(list) }))
                .collect();
            for pair in outcomes.windows(2) {
                assert!(rank(pair[1].verdict) <= rank(pair[0].verdict), "{} {mode:?}", dir.display());
            }
        }
        // Blocks that are added to the list of today.
        let access = &facts.evidence.cluster.access;
        let more = [access.public_cidrs(), blocks(&["198.51.100.7/32"])].concat();
        if access.public() == Some(true)
            && let Some(simulation) = outcome(&facts, &AccessChange { mode: None, cidrs: Some(more) })
        {
            let broken = simulation.clients.iter().filter(|client| client.effect != Effect::Unchanged);
            assert_eq!(broken.count(), 0, "{}", dir.display());
            assert_eq!(simulation.verdict, SimulationVerdict::Safe, "{}", dir.display());
        }
    }
}

/// What was not seen is never a pass.
#[test]
fn less_evidence_makes_no_change_safe() {
    let (mut count, mut wrong) = (0, Vec::new());
    let narrow = |change: &AccessChange| change.cidrs.as_ref().is_none_or(|list| *list == lists()[0]);
    for dir in every_dir() {
        let is_story = dir.parent().is_some_and(|parent| parent.ends_with("evidence"));
        for with_rows in [false, true].into_iter().filter(|with_rows| is_story || !with_rows) {
            let whole = facts(&dir, with_rows, &[]);
            for need in NEEDS {
                let less = facts(&dir, with_rows, &[need]);
                for change in changes().into_iter().filter(narrow) {
                    let Some(before) = outcome(&whole, &change) else { continue };
                    let Some(after) = outcome(&less, &change) else { continue };
                    count += 1;
                    // Whoever is known by the answer of DNS alone is no client without it.
                    let is_harmed = |client: &Client| {
                        client.kind != ClientKind::Operator
                            && [Effect::Breaks, Effect::Interrupted, Effect::Unknown].contains(&client.effect)
                    };
                    let are_others_safe = !before.clients.iter().any(is_harmed);
                    if need == Need::Dns && are_others_safe {
                        continue;
                    }
                    if before.verdict != SimulationVerdict::Safe && after.verdict == SimulationVerdict::Safe {
                        wrong.push(format!("{} without {}", describe(&dir, &change), need.as_str()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
    assert!(count > 4_000, "{count}");
}

#[test]
fn the_verdict_is_that_of_the_clients() {
    for dir in every_dir() {
        let facts = facts(&dir, false, &[]);
        for change in changes() {
            let Some(simulation) = outcome(&facts, &change) else { continue };
            let has = |effect| simulation.clients.iter().any(|client| client.effect == effect);
            let text = describe(&dir, &change);
            match simulation.verdict {
                SimulationVerdict::Breaks => {
                    assert!(has(Effect::Breaks) || has(Effect::Interrupted), "{text}");
                }
                SimulationVerdict::Unknown => assert!(!simulation.gaps.is_empty(), "{text}"),
                SimulationVerdict::Safe => {
                    assert!(
                        !has(Effect::Breaks) && !has(Effect::Unknown) && !has(Effect::Interrupted),
                        "{text}"
                    );
                }
            }
            // A client more makes nothing safe.
            let without = simulate(&facts, &change, &[]).unwrap();
            if without.verdict == SimulationVerdict::Breaks {
                assert_eq!(simulation.verdict, SimulationVerdict::Breaks, "{text}");
            }
            assert!(simulation.clients.iter().all(|client| !client.why.is_empty()), "{text}");
        }
    }
}

/// No step closes or narrows the public endpoint before private access is on, where that is
/// a part of the change; each change of settings has a way back; each command parses.
#[test]
fn the_steps_are_ordered_and_can_be_pasted_and_undone() {
    let mut script = String::new();
    for dir in every_dir() {
        let facts = facts(&dir, false, &[]);
        for change in changes() {
            let Some(simulation) = outcome(&facts, &change) else { continue };
            let text = describe(&dir, &change);
            let commands: Vec<_> =
                simulation.steps.iter().filter_map(|step| step.step.command.as_deref()).collect();
            let at = |words: &str| commands.iter().rposition(|command| command.contains(words));
            if let (Some(on), Some(off)) = (
                commands.iter().position(|command| command.ends_with(" endpointPrivateAccess=true")),
                at("endpointPublicAccess=false"),
            ) {
                assert!(on < off, "{text}: {commands:?}");
            }
            for step in &simulation.steps {
                if step.terraform.is_some() {
                    assert!(step.back.is_some() && step.eksctl.is_some(), "{text}: {step:?}");
                }
                let check = step.step.check.as_ref().and_then(|check| check.command.as_ref());
                let back = step.back.as_ref().and_then(|back| back.command.as_ref());
                for command in
                    [step.step.command.as_ref(), step.eksctl.as_ref(), check, back].into_iter().flatten()
                {
                    script.extend([command.as_str(), "\n"]);
                }
            }
            for client in &simulation.clients {
                let first = client.needs.first();
                assert!(first.is_none_or(|step| !step.text.starts_with("Or ")), "{client:#?}");
            }
            let needs = simulation.clients.iter().flat_map(|client| &client.needs);
            let needed = needs.filter_map(|step| step.command.as_deref());
            let lists: BTreeSet<_> = commands
                .iter()
                .copied()
                .chain(needed)
                .filter_map(|command| command.split_once("publicAccessCidrs="))
                .collect();
            assert!(lists.len() < 2, "{text}: {lists:?}");
            for step in simulation.clients.iter().flat_map(|client| &client.needs) {
                assert!(step.text.starts_with(char::is_uppercase), "{step:#?}");
                script += &step.command.as_ref().map(|command| format!("{command}\n")).unwrap_or_default();
            }
        }
    }
    assert!(script.lines().count() > 1000);
    let mut bash =
        Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
