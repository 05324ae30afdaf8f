//! `simulate`: what holds for every change of every recorded cluster, and its reports.

use std::collections::{BTreeMap, BTreeSet};
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
use serde_json::{Value, json};

use crate::common::{
    Netcheck, Ran, copy, copy_of, edit_json, fixtures, joined, root, scratch, story, subdirs,
};
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

fn run(dir: &std::path::Path, args: &[&str]) -> Ran {
    Netcheck::new(["simulate", "--cluster", "myeks", "--evidence"]).arg(dir).args(args).run()
}

fn json(dir: &std::path::Path, args: &[&str]) -> (Value, i32) {
    let ran = run(dir, &[args, &["--format", "json"]].concat());
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    is_valid(&report);
    (report, ran.code)
}

/// Validates a JSON report against its schema.
fn is_valid(report: &Value) {
    let schema = root().join("src/report/simulation.v1.schema.json");
    let schema = std::fs::read_to_string(schema).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let errors: Vec<_> = schema.iter_errors(report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn client<'a>(report: &'a Value, name: &str) -> &'a Value {
    let clients = report["clients"].as_array().unwrap();
    clients.iter().find(|client| client["name"] == name).unwrap_or_else(|| panic!("{name}: {clients:#?}"))
}

#[test]
fn stale_connections_are_cut_when_the_public_endpoint_closes() {
    let (report, code) = json(&story("public-and-private-stale"), &["--access", "private"]);
    assert_eq!((code, &report["verdict"]), (1, &json!("breaks")));
    let kubelet = client(&report, "n1 kubelet");
    assert_eq!(kubelet["effect"], "interrupted", "{kubelet}");
    assert_eq!((&kubelet["today"], &kubelet["after"]), (&json!("public"), &json!("private")));
    assert_eq!(kubelet["needs"][0]["command"], "sudo systemctl restart kubelet");
    let unchanged = client(&report, "n2 kubelet");
    assert_eq!((&unchanged["effect"], &unchanged["reaches"]), (&json!("unchanged"), &json!("yes")));
    // Narrowing takes nothing from them: they go to the ENIs next time.
    let (report, _) = json(&story("public-and-private-stale"), &["--public-cidrs", "198.51.100.0/24"]);
    assert_eq!(client(&report, "n1 kubelet")["reaches"], "yes");
}

/// Once the steps before it are taken, closing is safe; with evidence that is a part of what it
/// should be, that is not known.
#[test]
fn closing_is_safe_after_the_restarts() {
    let dir = copy_of("public-and-private-stale");
    let capture = dir.path().join("nodes/n1.txt");
    let stale = std::fs::read_to_string(&capture).unwrap();
    let restarted =
        stale.replace("3.37.178.179:443", "192.168.2.66:443").replace("3.39.55.189:443", "192.168.1.55:443");
    assert_ne!(restarted, stale);
    std::fs::write(&capture, restarted).unwrap();
    // The operator is outside the VPC.
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!(code, 3, "{report:#}");
    assert_eq!(client(&report, "here")["effect"], "unknown");
    std::fs::remove_file(dir.path().join("dns/here.txt")).unwrap();
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!(code, 0, "{report:#}");
    assert!(report["notes"].to_string().contains("from here is not judged"), "{report:#}");
    let closing = report["steps"].as_array().unwrap().iter().filter_map(|step| step["command"].as_str());
    assert!(closing.filter(|command| command.contains("endpointPublicAccess=false")).count() == 1);
    let part = json!({"gaps": [{"what": "instances.json", "why": "incomplete", "detail": "the first page"}]});
    std::fs::write(dir.path().join("manifest.json"), part.to_string()).unwrap();
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!(code, 3, "{report:#}");
    assert!(report["gaps"].to_string().contains("the first page"), "{report:#}");
}

#[test]
fn a_file_of_each_format_has_the_same_verdict() {
    let dir = scratch();
    let file = dir.path().join("change.md");
    let write = format!("markdown={}", file.display());
    let args = ["--access", "private", "--client", "ci <b>=198.51.100.64/27", "--write", &write];
    let ran = run(&story("public-and-private-stale"), &args);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("BREAKS  myeks"), "{}", ran.stdout);
    let markdown = std::fs::read_to_string(file).unwrap();
    assert!(markdown.starts_with("## ❌ breaks: endpoint access of myeks"), "{markdown}");
    assert!(markdown.contains("ci &lt;b&gt;") && !markdown.contains("<b>"), "{markdown}");
    for words in ["To go back", "With eksctl", "endpoint_public_access = false", "endpointPublicAccess=false"]
    {
        assert!(markdown.contains(words) && ran.stdout.contains(words), "{words}: {markdown}");
    }
}

#[test]
fn lines_fit_the_terminal() {
    for columns in ["80", "200"] {
        let ran = Netcheck::new(["simulate", "--cluster", "myeks", "--access", "private", "--evidence"])
            .arg(story("public-and-private-stale"))
            .env("COLUMNS", columns)
            .run();
        // Commands are not broken, so that they can be pasted.
        let prose = ran.stdout.lines().filter(|line| !line.trim_start().starts_with(char::is_lowercase));
        for line in prose {
            assert!(line.chars().count() <= columns.parse().unwrap(), "{columns}: {line}");
        }
    }
}

/// Nodes that are alike are one line of the table, and a client each in JSON.
#[test]
fn nodes_that_are_alike_are_one_line() {
    let dir = copy_of("study-public");
    let row = std::fs::read_to_string(dir.path().join("nodes/n1.txt")).unwrap();
    for number in 3..=900 {
        let node = row.replace("192.168.1.", &format!("10.{}.{}.", number / 250, number % 250));
        std::fs::write(dir.path().join(format!("nodes/n{number}.txt")), node).unwrap();
    }
    let args = ["--access", "public", "--public-cidrs", "0.0.0.0/0"];
    let (report, code) = json(dir.path(), &args);
    assert_eq!(code, 0, "{report:#}");
    assert!(report["clients"].as_array().unwrap().len() > 1800);
    let ran = run(dir.path(), &args);
    assert!(ran.stdout.lines().count() < 40, "{}", ran.stdout);
    assert!(ran.stdout.contains("900 x kubelet"), "{}", ran.stdout);
}

/// Agents may have any number of names.
#[test]
fn agents_that_are_alike_are_one_line() {
    let dir = scratch();
    copy(&fixtures().join("access/public-and-private"), dir.path());
    std::fs::write(dir.path().join("dns/outside.txt"), "3.39.55.189\n").unwrap();
    let node = dir.path().join("nodes/n1.txt");
    let mut rows = std::fs::read(&node).unwrap();
    for number in 10..30 {
        let port = 42_000 + number;
        writeln!(
            rows,
            "ESTAB 0 0 192.168.1.20:{port} 3.39.55.189:443 users:((\"agent-{number}\",pid={number},fd=6))"
        )
        .unwrap();
    }
    std::fs::write(&node, rows).unwrap();
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(client(&report, "n1 agent-29")["effect"], "interrupted");
    let table = run(dir.path(), &["--access", "private"]).stdout;
    let rows: Vec<_> = table.lines().filter(|line| line.contains("interrupted")).collect();
    assert_eq!(rows.len(), 1, "{table}");
    assert!(rows[0].starts_with("agent-10 and 19 more (n1)"), "{table}");
}

#[test]
fn lists_that_eks_refuses_are_refused() {
    let many: Vec<_> = (0..41).map(|number| format!("203.0.113.{number}/32")).collect();
    let many = many.join(",");
    for (args, message) in [
        (&["--public-cidrs", "10.0.0.0/16"][..], "EKS refuses private and reserved blocks"),
        (&["--public-cidrs", "203.0.113.0/24,192.168.7.7/32"], "EKS refuses private"),
        (&["--public-cidrs", "100.64.0.0/24"], "100.64.0.0/10"),
        (&["--public-cidrs", "fd00::/16"], "fc00::/7"),
        (&["--public-cidrs", "203.0.113.7/24"], "write 203.0.113.0/24"),
        (&["--public-cidrs", "203.0.113.7"], "write 203.0.113.7/32"),
        (&["--public-cidrs", "052.78.10.20/32"], "without leading zeros"),
        (&["--public-cidrs", "52.78.10.20/032"], "expected a CIDR block"),
        (&["--public-cidrs", "52.78.10.20/0"], "did you mean 52.78.10.20/32"),
        (&["--access", "private", "--client", "ci=052.78.10.20/32"], "without leading zeros"),
        (&["--access", "private", "--client", "ci\u{1b}[1m=198.51.100.7"], "control characters"),
        (&["--public-cidrs", "203.0.113.0/33"], "expected a CIDR block"),
        (&["--public-cidrs", ""], "expected a CIDR block"),
        (&["--public-cidrs", &many], "at most 40"),
        (&["--access", "private", "--public-cidrs", "203.0.113.0/24"], "has no effect"),
        (&["--client", "ci=198.51.100.0/24"], "--access"),
        (&["--access", "private", "--client", "=198.51.100.0/24"], "a name has"),
        (&["--access", "private", "--client", "ci=198.51.100.7/24"], "write 198.51.100.0/24"),
    ] {
        let ran = run(&story("study-public"), args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stdout);
        assert!(ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{args:?}");
    }
    let ran = run(&story("private-only"), &["--public-cidrs", "203.0.113.0/24"]);
    assert!(ran.code == 2 && ran.stderr.contains("the public endpoint is off"), "{}", ran.stderr);
}

/// A report would not say which of two clients of one name it is about.
#[test]
fn clients_have_names_of_their_own() {
    for (clients, message) in [
        (&["here=198.51.100.7", "here=198.51.100.8"][..], "--client: here is given twice"),
        (&["n1=198.51.100.7"], "--client n1: this is the name of a node"),
        (&["n1 kubelet=198.51.100.7"], "--client n1 kubelet: this is the name"),
        (&["pods=198.51.100.7"], "--client pods: this is the name"),
        (&["ci=198.51.100.7", " n2 =198.51.100.7"], "--client n2: this is the name"),
        (&["ci=198.51.100.7", "vpn=198.51.100.8", "ci=198.51.100.9"], "--client: ci is given twice"),
        (&["ci=198.51.100.7", "ci=198.51.100.7"], "--client: ci is given twice"),
        (&["ci=198.51.100.7,"], "expected a CIDR block"),
    ] {
        let args = clients.iter().flat_map(|client| ["--client", client]);
        let args: Vec<_> = ["--access", "private"].into_iter().chain(args).collect();
        let ran = run(&story("study-public"), &args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{clients:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{clients:?}: {}", ran.stderr);
    }
    // Ids, DNS names and Name tags of nodes are names of theirs too.
    let instances = std::fs::read_to_string(story("study-public").join("instances.json")).unwrap();
    let instances: Value = serde_json::from_str(&instances).unwrap();
    let reservations = instances["Reservations"].as_array().unwrap().iter();
    let mut listed = reservations.flat_map(|one| one["Instances"].as_array().unwrap());
    let node = listed.find(|instance| instance["Tags"].to_string().contains("eks:cluster-name")).unwrap();
    for name in [&node["InstanceId"], &node["PrivateDnsName"]] {
        let client = format!("{}=198.51.100.7", name.as_str().unwrap());
        let ran = run(&story("study-public"), &["--access", "private", "--client", &client]);
        assert_eq!(ran.code, 2, "{client}: {}", ran.stdout);
    }
    // One client has several blocks.
    let (report, _) = json(
        &story("study-public"),
        &["--access", "private", "--client", "ci=198.51.100.7, 2001:db8::/32", "--client", "n=192.168.11.10"],
    );
    for name in ["ci (198.51.100.7/32)", "ci (2001:db8::/32)"] {
        assert_eq!(client(&report, name)["reaches"], "no");
    }
    assert_eq!(client(&report, "n")["kind"], "client");
}

/// The head counts the clients once, steps are sentences, and commands can be pasted.
#[test]
fn the_table_reads_well_in_every_mode_and_width() {
    let is_command = |line: &str| {
        line.starts_with("    ")
            && ["aws ", "eksctl ", "kubectl ", "getent ", "sudo ", "ssh ", "dig ", "curl "]
                .iter()
                .any(|program| line.trim_start().starts_with(program))
    };
    let mut commands = BTreeMap::new();
    for dir in subdirs(&fixtures().join("evidence")).into_iter().map(|name| story(&name)) {
        for mode in ["public", "public-and-private", "private"] {
            for width in [40, 80, 200] {
                let name = format!("{} {mode} {width}", dir.display());
                let args = ["--access", mode, "--client", "ci=198.51.100.64/27"];
                let run =
                    Netcheck::new(["simulate", "--cluster", "myeks", "--evidence"]).arg(&dir).args(&args);
                let table = run.env("COLUMNS", &width.to_string()).run().stdout;
                let steps = table.lines().filter_map(|line| {
                    let (number, step) = line.split_once(". ")?;
                    number.parse::<u32>().is_ok().then_some(step)
                });
                for step in steps {
                    assert!(step.starts_with(char::is_uppercase), "{name}: {step}");
                }
                // An alternative follows what it is one to.
                assert!(!table.contains("\n1. Or "), "{name}: {table}");
                assert!(!table.contains("here: here:") && !table.contains("back: Turn"), "{name}: {table}");
                let head =
                    table.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(head.matches(" of ").count() <= 1, "{name}: {head}");
                // The same commands in every width, each on lines that a shell joins.
                let table = crate::common::joined(&table);
                let found: Vec<_> = table
                    .lines()
                    .filter(|line| is_command(line))
                    .map(|line| line.trim().to_owned())
                    .collect();
                let known = commands.entry((dir.clone(), mode)).or_insert_with(|| found.clone());
                assert_eq!(*known, found, "{name}");
                let loose = ["--filters", "--region", "nodes/NODE.txt", "https://checkip"];
                let is_loose = |line: &&str| {
                    loose.iter().any(|word| line.contains(word))
                        && !is_command(line)
                        && !line.contains("eks-netcheck")
                };
                assert_eq!(table.lines().find(is_loose), None, "{name}");
            }
        }
    }
}

#[test]
fn the_head_counts_the_clients() {
    for (evidence, args, head) in [
        (
            "public-and-private-stale",
            &["--access", "private"][..],
            "BREAKS myeks: 2 of 8 clients are cut off until they connect again; 1 is not known",
        ),
        (
            "study-public",
            &["--access", "private", "--client", "ci=198.51.100.64/27"],
            "BREAKS myeks: 1 of 9 clients loses the API server; 4 are cut off until they connect again; 1 is not known",
        ),
        ("study-public", &["--access", "public"], "SAFE myeks: nothing changes"),
    ] {
        let ran = run(&story(evidence), args);
        let first = ran.stdout.split("Today:").next().unwrap();
        assert_eq!(first.split_whitespace().collect::<Vec<_>>().join(" "), head);
    }
}

/// They decide nothing, and a note names the command that records them.
#[test]
fn network_acls_that_were_not_seen_do_not_decide() {
    let (report, _) = json(&story("private-only"), &["--access", "public"]);
    for name in ["n1 kubelet", "n2 kube-proxy"] {
        assert_eq!(client(&report, name)["reaches"], "yes", "{report:#}");
    }
    let notes = report["notes"].to_string();
    assert!(notes.contains("network ACLs were not seen") && notes.contains("/network-acls.json"), "{notes}");
    assert!(!report["gaps"].to_string().contains("network-acls"), "{report:#}");
    // Where nothing changes, nothing is missed.
    let (report, code) = json(&story("private-only"), &["--access", "private"]);
    assert_eq!((code, &report["notes"]), (0, &json!([])), "{report:#}");
}

/// What a flag is that is not recorded decides: then the outcome is not known.
#[test]
fn flags_that_are_not_recorded_are_not_guessed() {
    let dir = copy_of("study-public");
    edit_json(dir.path(), "cluster.json", |json| {
        let config = json["cluster"]["resourcesVpcConfig"].as_object_mut().unwrap();
        config.remove("endpointPrivateAccess").unwrap();
    });
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_ne!(code, 0, "{report:#}");
    assert_eq!(report["from"]["access"], "unknown");
    let gaps = report["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["what"] == "cluster.json: endpoint access"), "{gaps:?}");
}

#[test]
fn a_cluster_without_an_endpoint_of_eks_is_refused() {
    let dir = copy_of("study-public");
    edit_json(dir.path(), "cluster.json", |json| {
        json["cluster"]["connectorConfig"] = json!({"provider": "OTHER"});
        json["cluster"].as_object_mut().unwrap().remove("endpoint");
    });
    let ran = run(dir.path(), &["--access", "private"]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("EKS Connector"), "{}", ran.stderr);
}

/// Names in evidence have no effect on a terminal.
#[test]
fn names_are_escaped() {
    let ran = run(&story("hostile-names"), &["--access", "private"]);
    for format in ["table", "markdown", "json"] {
        let ran = run(&story("hostile-names"), &["--access", "private", "--format", format]);
        let is_plain = |char: char| !char.is_control() || char == '\n';
        assert!(ran.stdout.chars().all(is_plain), "{format}: {:?}", ran.stdout);
    }
    assert!([0, 1, 3].contains(&ran.code), "{}", ran.stderr);
}

/// The plan of a change, as Terraform prints it.
fn plan(change: &Value) -> Value {
    json!({
        "format_version": "1.2",
        "terraform_version": "1.9.8",
        "resource_changes": [
            {"address": "aws_vpc.this", "type": "aws_vpc", "change": {"actions": ["no-op"]}},
            {"address": "module.eks.aws_eks_cluster.this[0]", "type": "aws_eks_cluster", "change": change},
        ],
    })
}

fn settings(public: bool, private: bool, cidrs: &Value) -> Value {
    json!({"name": "myeks", "vpc_config": [{
        "endpoint_public_access": public,
        "endpoint_private_access": private,
        "public_access_cidrs": cidrs,
    }]})
}

#[test]
fn a_terraform_plan_has_the_change() {
    let dir = scratch();
    let path = dir.path().join("plan.json");
    let with = |change: Value| {
        std::fs::write(&path, plan(&change).to_string()).unwrap();
        run(&story("study-public"), &["--plan", path.to_str().unwrap(), "--format", "json"])
    };
    let before = settings(true, false, &json!(["0.0.0.0/0"]));
    let ran = with(
        json!({"actions": ["update"], "before": before, "after": settings(true, true, &json!(["203.0.113.0/24"])), "after_unknown": {"vpc_config": [{"public_access_cidrs": [false]}]}}),
    );
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    assert_eq!(
        report["to"],
        json!({"access": "public-and-private", "public_access_cidrs": ["203.0.113.0/24"]})
    );
    let ran = with(json!({"actions": ["no-op"], "before": before, "after": before, "after_unknown": {}}));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let unknown = json!({"vpc_config": [{"public_access_cidrs": true}]});
    let element = json!({"vpc_config": [{"public_access_cidrs": [false, true]}]});
    let after = settings(true, true, &json!(["203.0.113.0/24"]));
    for (change, message) in [
        (json!({"actions": ["update"], "after": after, "after_unknown": unknown}), "known only after apply"),
        (json!({"actions": ["update"], "after": after, "after_unknown": element}), "known only after apply"),
        (
            json!({"actions": ["update"], "after": after, "after_unknown": {"vpc_config": true}}),
            "known only after apply",
        ),
        (json!({"actions": ["delete", "create"], "before": before, "after": after}), "it deletes"),
        (
            json!({"actions": ["update"], "after": settings(false, false, &json!([]))}),
            "has no value that EKS accepts",
        ),
        (
            json!({"actions": ["update"], "after": settings(true, true, &json!(["no block"]))}),
            "has no value that EKS accepts",
        ),
        (
            json!({"actions": ["update"], "after": settings(true, true, &json!(["203.0.113.7/24"]))}),
            "has no value that EKS accepts",
        ),
        (
            json!({"actions": ["update"], "after": settings(true, true, &json!(["10.0.0.0/16"]))}),
            "has no value that EKS accepts",
        ),
        (
            json!({"actions": ["update"], "after": settings(true, true, &json!(vec!["203.0.113.0/24"; 41]))}),
            "has no value that EKS accepts",
        ),
        (json!({"actions": ["update"], "after": {"name": "other"}}), "those in it are other"),
    ] {
        let ran = with(change);
        assert_eq!(ran.code, 2, "{message}: {}", ran.stdout);
        assert!(ran.stderr.contains(message) && ran.stdout.is_empty(), "{message}: {}", ran.stderr);
    }
    // A data source of the same name is read during apply, and a deposed object is deleted.
    let mut with_data = plan(&json!({"actions": ["update"], "before": before, "after": after}));
    let changes = with_data["resource_changes"].as_array_mut().unwrap();
    let mut data = changes[0].clone();
    data["mode"] = "data".into();
    data["change"] =
        json!({"actions": ["read"], "after": {"name": "myeks"}, "after_unknown": {"vpc_config": true}});
    let mut deposed = changes[0].clone();
    deposed["deposed"] = "d1a2b3c4".into();
    deposed["change"]["actions"] = json!(["delete"]);
    changes.extend([data, deposed]);
    std::fs::write(&path, with_data.to_string()).unwrap();
    let ran = run(&story("study-public"), &["--plan", path.to_str().unwrap(), "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    assert_eq!(report["to"]["access"], "public-and-private");
    std::fs::write(&path, "# a plan for people").unwrap();
    let ran = run(&story("study-public"), &["--plan", path.to_str().unwrap()]);
    assert!(ran.code == 2 && ran.stderr.contains("terraform show -json"), "{}", ran.stderr);
}

/// What a connection that is still open shows is not what a new one meets: once private access
/// is off, the new ones go to the public endpoint, as the list then is.
#[test]
fn new_connections_of_a_kubelet_on_a_stale_path_are_judged() {
    let nats = "203.0.113.0/24,198.51.100.210/32,198.51.100.211/32";
    // The arguments, a file that is missing, the exit code, and whether n1's kubelet gets through.
    let cases: [(&[&str], Option<&str>, i32, &str); 6] = [
        (&["--access", "public"], None, 1, "no"),
        (&["--access", "public", "--public-cidrs", "198.51.100.211/32,203.0.113.0/24"], None, 1, "no"),
        (&["--access", "public", "--public-cidrs", nats], None, 0, "yes"),
        (&["--access", "public", "--public-cidrs", "0.0.0.0/0"], None, 0, "yes"),
        // An old connection does not show that the list of today admits a new one.
        (&["--access", "public"], Some("nat-gateways.json"), 3, "unknown"),
        // Nothing changes.
        (&["--access", "public-and-private"], None, 0, "yes"),
    ];
    for (args, missing, exit, reaches) in cases {
        let dir = copy_of("public-and-private-stale");
        if let Some(file) = missing {
            std::fs::remove_file(dir.path().join(file)).unwrap();
        }
        let (report, code) = json(dir.path(), args);
        let kubelet = client(&report, "n1 kubelet");
        assert_eq!(
            (code, kubelet["reaches"].as_str()),
            (exit, Some(reaches)),
            "{args:?} {missing:?} {kubelet:#}"
        );
    }
}

/// What a client needs, with its command, is in each format.
#[test]
fn what_clients_need_is_in_every_format() {
    let evidence = fixtures().join("access/public");
    for format in ["table", "markdown", "json"] {
        let args = ["simulate", "--public-cidrs", "203.0.113.0/24", "--format", format, "--evidence"];
        let ran = Netcheck::new(args).arg(&evidence).env("COLUMNS", "200").run();
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        for address in ["52.78.10.20", "13.125.30.40"] {
            let need = format!("dd {address}/32 to publicAccessCidrs; the list in the steps has");
            assert!(ran.stdout.contains(&need), "{format}: {}", ran.stdout);
        }
        let command = "publicAccessCidrs=203.0.113.0/24,13.125.30.40/32,52.78.10.20/32";
        assert!(ran.stdout.contains(command), "{format}: {}", ran.stdout);
    }
}

/// The lists to which a text sets `publicAccessCidrs`, without those of the ways back.
fn lists_set(text: &str) -> BTreeSet<String> {
    let mut is_back = false;
    let mut lists = BTreeSet::new();
    for line in text.lines() {
        let start = line.trim_start();
        let is_item = start.is_empty()
            || start.starts_with(|first: char| first.is_ascii_digit())
            || ["- ", "#", "}"].iter().any(|mark| start.starts_with(mark));
        is_back = line.contains("To go back") || line.contains("\"back\": {") || is_back && !is_item;
        if is_back {
            continue;
        }
        for mark in ["publicAccessCidrs=", "--public-access-cidrs="] {
            let ends = |one: char| one.is_whitespace() || "\"\\".contains(one);
            lists.extend(line.split(mark).skip(1).map(|rest| rest.split(ends).next().unwrap().to_owned()));
        }
    }
    lists
}

/// A command replaces the whole list: what all clients need is in one list, in one step.
#[test]
fn what_all_clients_need_is_in_one_list() {
    let clients = ["--client", "ci=198.51.100.5", "--client", "vpn=198.51.100.6"];
    let narrow: &[&str] = &["--public-cidrs", "203.0.113.0/24"];
    let open: &[&str] = &["--access", "public", "--public-cidrs", "203.0.113.0/24"];
    for (name, change, added) in [
        ("study-public", narrow, "198.51.100.5/32,198.51.100.6/32,198.51.100.120/32,198.51.100.194/32"),
        // The clients do not reach it today, and are not cut off by the change.
        ("private-only", open, "198.51.100.210/32,198.51.100.211/32"),
        ("node-egress-missing", narrow, "3.34.50.60/32,13.125.30.40/32,52.78.10.20/32"),
    ] {
        for format in ["table", "markdown", "json"] {
            let args = [change, &clients, &["--format", format]].concat();
            let ran = Netcheck::new(["simulate", "--evidence"])
                .arg(story(name))
                .args(&args)
                .env("COLUMNS", "250")
                .run();
            assert_eq!(ran.code, 1, "{}", ran.stderr);
            let lists = lists_set(&ran.stdout);
            let expected = format!("203.0.113.0/24,{added}");
            assert_eq!(lists, BTreeSet::from([expected]), "{name} {format}: {}", ran.stdout);
            let terraform = format!("203.0.113.0/24,{added}").replace(',', "\", \"");
            let text = ran.stdout.replace("\\\"", "\"");
            assert!(text.contains(&format!("public_access_cidrs = [\"{terraform}\"]")), "{format}: {text}");
        }
    }
}

/// Clients outside a VPC whose public endpoint closes have one alternative, which is another
/// change, and names what it replaces.
#[test]
fn the_alternative_to_a_closed_endpoint_is_one_for_all_clients() {
    let args = ["--access", "private", "--client", "ci=198.51.100.5", "--client", "office=203.0.113.0/25"];
    for format in ["table", "markdown", "json"] {
        let ran = run(&story("study-public"), &[&args[..], &["--format", format]].concat());
        let text = joined(&ran.stdout);
        let command = "eks-netcheck simulate --cluster myeks --region ap-northeast-2 --access public-and-private --public-cidrs 198.51.100.5/32,203.0.113.0/25";
        assert!(text.contains(command), "{format}: {text}");
        assert!(lists_set(&ran.stdout).is_empty(), "{format}: {:?}", lists_set(&ran.stdout));
        if format != "json" {
            assert!(text.contains("ci, office: instead of step"), "{text}");
            let number = text.split("instead of step ").nth(1).unwrap().split(',').next().unwrap();
            let is_closing = |start: String| text.contains(&start);
            assert!(
                is_closing(format!(" {number}. Close the public endpoint"))
                    || is_closing(format!("\n{number}. Close the public endpoint")),
                "{text}"
            );
            assert!(!text.contains(": or "), "{text}");
        }
    }
}

/// The words of a report, however it is wrapped.
fn unwrapped(text: &str) -> String {
    // Commands are continued, and Markdown escapes, with backslashes.
    text.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The alternative admits those that the change cuts off, and says what it drops of today's list.
#[test]
fn the_alternative_to_a_closed_endpoint_admits_nobody_else() {
    let args =
        ["--access", "private", "--client", "office=203.0.113.0/25", "--client", "ci=198.51.100.64/27"];
    for format in ["table", "markdown", "json"] {
        let ran = run(&story("public-and-private-stale"), &[&args[..], &["--format", format]].concat());
        let text = unwrapped(&ran.stdout);
        assert!(
            text.contains("--public-cidrs 203.0.113.0/25")
                && !text.contains("--public-cidrs 198.51.100.64")
                && !text.contains(",198.51.100.64"),
            "{text}"
        );
        assert!(
            text.contains("for 203.0.113.0/25 alone, which drops the rest of today's list (203.0.113.0/24)"),
            "{text}"
        );
    }
    // What keeps the list whole drops nothing.
    let whole = ["--access", "private", "--client", "office=203.0.113.0/24"];
    let text = unwrapped(&run(&story("public-and-private-stale"), &whole).stdout);
    assert!(text.contains("for 203.0.113.0/24 alone; simulate that change"), "{text}");
}

/// A list that was not given is a placeholder: a command that is pasted does not open to all what
/// is closed today.
#[test]
fn a_list_that_was_not_given_is_not_in_the_steps() {
    let opened = "publicAccessCidrs=0.0.0.0/0";
    for mode in ["public", "public-and-private"] {
        for format in ["table", "markdown", "json"] {
            let args = ["--access", mode, "--client", "here=203.0.113.9", "--format", format];
            let ran = run(&story("private-only"), &args);
            let text = unwrapped(&ran.stdout);
            assert_eq!(ran.code, 0, "{text}");
            assert!(text.contains("publicAccessCidrs=YOUR_CIDRS") && !text.contains(opened), "{text}");
            assert!(
                text.contains("AWS's default is 0.0.0.0/0") && text.contains("public-endpoint-open"),
                "{text}"
            );
        }
        let given = ["--access", mode, "--public-cidrs", "203.0.113.0/24"];
        let text = unwrapped(&run(&story("private-only"), &given).stdout);
        assert!(!text.contains("YOUR_CIDRS") && !text.contains("AWS's default"), "{text}");
    }
    // The way back from a change has the list of today, or none that nobody wrote.
    let dir = copy_of("public-and-private-stale");
    edit_json(dir.path(), "cluster.json", |cluster| {
        cluster["cluster"]["resourcesVpcConfig"].as_object_mut().unwrap().remove("publicAccessCidrs");
    });
    let ran = run(dir.path(), &["--access", "private"]);
    assert!(
        ran.stdout.contains("YOUR_CIDRS") && !ran.stdout.contains(opened),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

/// A private block has no address of its own at the public endpoint: that it uses that today is
/// not known to `reach`, and `simulate`, which counts it as one that may do so, says it.
#[test]
fn a_client_whose_access_today_is_not_known_is_said_to_be_so() {
    let dir = story("public-and-private-stale");
    let (report, code) = json(&dir, &["--access", "private", "--client", "vpn=10.8.0.0/16"]);
    let vpn = client(&report, "vpn");
    assert_eq!((&vpn["effect"], &vpn["reaches"]), (&json!("breaks"), &json!("no")), "{vpn}");
    assert!(
        vpn["why"].as_str().unwrap().contains("not known whether it reaches the API server today"),
        "{vpn}"
    );
    let reach = Netcheck::new(["reach", "--evidence"]).arg(&dir).args(&["--from", "10.8.0.0/16"]).run();
    assert_eq!(reach.code, 3, "{}", reach.stdout);
    assert_eq!(code, 1);
}

/// Safe for the clients is not safe: what a rule would find afterwards stands at the verdict.
#[test]
fn a_change_that_opens_the_endpoint_is_safe_with_a_warning() {
    let dir = scratch();
    let simulate = |story_of: &str, args: &[&str]| {
        let run = Netcheck::new(["simulate", "--evidence"]).arg(story(story_of)).args(args);
        run.dir(dir.path()).env("COLUMNS", "120")
    };
    let open = "warning: afterwards, anyone in 0.0.0.0/0 can reach the endpoint (public-endpoint-open)";
    let ran = simulate("public-and-private-stale", &["--public-cidrs", "0.0.0.0/0"]).run();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(ran.code, 0);
    assert!(lines[0].starts_with("SAFE ") && lines[1].trim() == open, "{}", ran.stdout);
    // At the end too.
    assert_eq!(lines[lines.len() - 2..], lines[..2]);
    let (report, code) =
        simulate("public-and-private-stale", &["--public-cidrs", "0.0.0.0/1,128.0.0.0/1"]).json();
    assert!(code == 0 && report["warnings"][0].as_str().unwrap().contains("0.0.0.0/0"), "{report}");
    let markdown =
        simulate("public-and-private-stale", &["--public-cidrs", "0.0.0.0/0", "--format", "markdown"]);
    let markdown = markdown.run().stdout;
    assert!(markdown.contains("Warning: afterwards, anyone in"), "{markdown}");
    // A list that is narrow, no public endpoint, and what is so today.
    for (story, args) in [
        ("public-and-private-stale", &["--public-cidrs", "198.51.100.0/24"][..]),
        ("public-and-private-stale", &["--access", "private"]),
        ("study-public", &["--access", "public-and-private"]),
    ] {
        let (report, _) = simulate(story, args).json();
        assert_eq!(report["warnings"], serde_json::json!([]), "{args:?}");
    }
    // The limit, the modes and the list are those of the policy here.
    let policy = "[endpoint]\nwidest-ipv4 = \"/24\"\n";
    std::fs::write(dir.path().join("eks-netcheck.toml"), policy).unwrap();
    let (report, _) = simulate("public-and-private-stale", &["--public-cidrs", "198.51.0.0/16"]).json();
    assert!(report["warnings"].to_string().contains("198.51.0.0/16"), "{report}");
}

/// A node has the name that it has in an audit; commands have the whole one.
#[test]
fn nodes_have_one_short_name() {
    let dir = crate::common::copy_of("public-and-private-stale");
    let nodes = dir.path().join("nodes");
    for number in 0..20 {
        let name = format!("ip-10-9-0-{number}.ap-northeast-2.compute.internal.txt");
        std::fs::copy(nodes.join(if number < 10 { "n1.txt" } else { "n2.txt" }), nodes.join(name)).unwrap();
    }
    let ran = Netcheck::new(["simulate", "--access", "private", "--evidence"]).arg(dir.path()).run();
    assert!(ran.stdout.contains("11 x kubelet (ip-10-9-0-0,"), "{}", ran.stdout);
    // Of many that keep the API server, the number is enough.
    assert!(ran.stdout.contains("11 x kubelet   "), "{}", ran.stdout);
    assert!(!ran.stdout.contains("compute.internal"), "{}", ran.stdout);
}
