//! The order of the steps, and which are left out.

use std::path::Path;

use serde_json::{Value, json};

use super::{every_dir, findings, outline, steps};
use crate::common::{Netcheck, copy_of, edit_json, story};

#[test]
fn private_access_comes_before_a_narrow_list() {
    let (report, _) = Netcheck::audit(&story("study-public")).json();
    assert_eq!(
        outline(&report, "public-endpoint-open"),
        [
            "Turn private access",
            "Wait until the",
            "Restart kubelet ",
            "Restart kube-proxy ",
            "Make sure that",
            "Limit the public",
        ]
    );
    // Private access is on and every node resolves to ENIs: n1 is restarted, and no more.
    let (report, _) = Netcheck::audit(&story("public-and-private-stale")).json();
    let restart = ["Restart kubelet ", "Restart kube-proxy ", "Make sure that"];
    assert_eq!(outline(&report, "node-on-public-path"), restart);
    let steps = steps(&report, "node-on-public-path");
    assert!(steps[0].0.contains(" on n1; "), "{steps:?}");
    let close = [&restart[..], &["Close the public"]].concat();
    assert_eq!(outline(&report, "public-endpoint-enabled"), close);
}

/// AWS supports one endpoint for clusters with hybrid nodes.
#[test]
fn clusters_with_hybrid_nodes_end_with_one_endpoint() {
    for (name, rules) in [
        ("study-public", &["public-endpoint-open", "private-endpoint-disabled"][..]),
        ("public-and-private-stale", &["hybrid-nodes-with-both-endpoints", "public-endpoint-enabled"]),
    ] {
        let copy = copy_of(name);
        edit_json(copy.path(), "cluster.json", |json| {
            json["cluster"]["remoteNetworkConfig"] =
                json!({"remoteNodeNetworks": [{"cidrs": ["10.80.0.0/16"]}]});
        });
        let (report, _) = Netcheck::audit(copy.path()).json();
        for rule in rules {
            let all = steps(&report, rule);
            let last = all.last().unwrap().1.as_ref().unwrap();
            assert!(last.contains("endpointPublicAccess=false"), "{rule}: {all:?}");
            let narrows = |(_, command): &(String, Option<String>)| {
                command.as_ref().is_some_and(|command| command.contains("publicAccessCidrs="))
            };
            assert!(!all.iter().any(narrows), "{rule}: {all:?}");
            let is_on = name == "public-and-private-stale";
            let forwards = all.iter().any(|(text, _)| text.contains("Route 53 Resolver inbound endpoint"));
            assert!(forwards || is_on, "{rule}: {all:?}");
        }
    }
}

/// The steps end in a mode that the policy allows.
#[test]
fn steps_lead_to_an_allowed_access_mode() {
    for (name, modes, last) in [
        ("study-public", r#"["public-and-private"]"#, Some("eks-netcheck audit")),
        ("study-public", r#"["public-and-private", "private"]"#, Some("eks-netcheck audit")),
        ("study-public", r#"["private"]"#, Some("endpointPublicAccess=false")),
        ("public-and-private-stale", r#"["private"]"#, Some("endpointPublicAccess=false")),
        ("public-and-private-stale", r#"["public"]"#, None),
        ("private-only", r#"["public-and-private"]"#, None),
    ] {
        let copy = copy_of(name);
        std::fs::write(copy.path().join("eks-netcheck.toml"), format!("[endpoint]\naccess = {modes}\n"))
            .unwrap();
        let (report, _) = Netcheck::audit(copy.path()).dir(copy.path()).json();
        let all = steps(&report, "access-mode-not-allowed");
        let command = all.last().and_then(|(_, command)| command.as_deref());
        assert_eq!(command.is_some(), last.is_some(), "{name} {modes}: {all:?}");
        assert!(last.is_none_or(|last| command.unwrap().contains(last)), "{name} {modes}: {all:?}");
    }
}

/// The commands of the steps are in every format.
#[test]
fn every_format_has_the_steps() {
    for format in ["table", "html", "json", "sarif", "junit", "markdown", "github", "gitlab", "ocsf"] {
        let ran = Netcheck::audit(&story("study-public")).args(&["--format", format]).run();
        let text = if format == "table" { crate::common::joined(&ran.stdout) } else { ran.stdout };
        let position = |part: &str| text.find(part).unwrap_or_else(|| panic!("{format}: no {part}"));
        let on = position("--name myeks --resources-vpc-config endpointPrivateAccess=true");
        assert!(
            on < position("--name myeks --resources-vpc-config publicAccessCidrs=YOUR_CIDRS"),
            "{format}"
        );
        position("kubectl -n kube-system rollout restart daemonset kube-proxy");
    }
}

/// Only what is off is turned on.
#[test]
fn an_attribute_that_is_on_is_not_turned_on() {
    let copy = copy_of("private-only");
    edit_json(copy.path(), "vpc.json", |json| json["EnableDnsHostnames"]["Value"] = json!(false));
    let (report, _) = Netcheck::audit(copy.path()).json();
    let commands: Vec<_> =
        steps(&report, "private-dns-unavailable").into_iter().filter_map(|(_, command)| command).collect();
    assert!(commands[0].contains("--enable-dns-hostnames"), "{commands:?}");
    assert!(commands.iter().all(|command| !command.contains("--enable-dns-support")), "{commands:?}");
}

/// Of every recorded cluster: no step closes or narrows the public endpoint before private
/// access is on, and none does what is known to be done.
#[test]
fn no_step_cuts_nodes_off() {
    let mut narrowing = 0;
    for dir in every_dir() {
        let (report, _) = Netcheck::audit(&dir).json();
        let is_private_on =
            matches!(report["cluster"]["access"].as_str(), Some("private" | "public-and-private"));
        for finding in report["findings"].as_array().unwrap() {
            let mut is_on = is_private_on;
            for step in finding["steps"].as_array().unwrap() {
                let command = step["command"].as_str().unwrap_or_default();
                let turns_on = command.contains("endpointPrivateAccess=true")
                    && !command.contains("endpointPublicAccess");
                assert!(!(turns_on && is_private_on), "{}: {step}", dir.display());
                is_on |= turns_on;
                let text = step["text"].as_str().unwrap();
                let closes =
                    command.contains("endpointPublicAccess=false") || command.contains("publicAccessCidrs=");
                if closes && !text.starts_with("Add the egress") {
                    assert!(is_on, "{}: {}", dir.display(), finding["steps"]);
                    narrowing += 1;
                }
            }
        }
    }
    assert!(narrowing > 5, "{narrowing}");
}

/// Steps that another rule has too are written once, wherever they stand there; a node has one name.
#[test]
fn equal_steps_are_written_once_and_nodes_have_one_name() {
    let text = findings(&story("node-egress-missing"));
    assert_eq!(text.matches("Turn private access on, and leave").count(), 1, "{text}");
    assert!(
        text.contains("1 to 5. Do steps 2 to 6 of node-egress-not-allowed above. 6. Close the public"),
        "{text}"
    );
    assert!(text.contains("- n3 (i-079ba5c338ae1ddb6): it has the egress address"), "{text}");
    assert!(text.contains(": n2 (i-00c8b5ab157798644) has the egress address"), "{text}");
    assert!(text.contains("2 findings at or above high: node-egress-not-allowed (2);"), "{text}");
}

/// The steps of a simulation, as texts, commands and what shows that they are done.
fn simulated(dir: &Path, args: &[&str]) -> Vec<[String; 3]> {
    let simulate = ["simulate", "--cluster", "myeks", "--format", "json"];
    let ran = Netcheck::new(simulate).args(args).arg("--evidence").arg(dir).run();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let steps = report["steps"].as_array().unwrap().iter();
    steps.map(|step| [text(&step["text"]), text(&step["command"]), text(&step["check"]["text"])]).collect()
}

/// What closes the public endpoint comes after a check that holds only if every node was read.
#[test]
fn the_public_endpoint_is_closed_when_every_node_was_read() {
    const READ: &str = "every node was read and its traffic is private, and it reports neither";
    let copy = copy_of("public-and-private-stale");
    std::fs::remove_file(copy.path().join("nodes/n1.txt")).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    let all = steps(&report, "public-endpoint-enabled");
    assert!(all.last().unwrap().0.starts_with("Close the public endpoint"), "{all:?}");
    // What the check is for: n1 is cut off by the next step, and the audit has no finding of it.
    assert_eq!(report["verdict"], "inconclusive", "{}", report["verdict"]);
    let text = findings(copy.path());
    assert!(text.contains(READ), "{text}");
    let all = simulated(copy.path(), &["--access", "private"]);
    let at = |text: &str| all.iter().position(|step| step[0].starts_with(text)).unwrap();
    let check = &all[at("Make sure that no node")];
    assert!(check[2].contains(READ), "{check:?}");
    assert!(at("Make sure that no node") < at("Close the public endpoint"), "{all:?}");
}

/// Nodes of which nothing was read may keep connections to the public endpoint: they are read before
/// it is closed. What is not changed is not waited for.
#[test]
fn nodes_are_read_when_none_was() {
    for kept in [&["instances.json", "network-interfaces.json", "vpc.json"][..], &[]] {
        let copy = copy_of("public-and-private-stale");
        for entry in std::fs::read_dir(copy.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && (kept.is_empty() || name == "nodes") {
                std::fs::remove_dir_all(&path).unwrap();
            } else if path.is_file() && kept.is_empty() && name != "cluster.json" {
                std::fs::remove_file(&path).unwrap();
            }
        }
        let (report, _) = Netcheck::audit(copy.path()).json();
        let audited = steps(&report, "public-endpoint-enabled").into_iter().map(|(text, _)| text);
        let simulated = simulated(copy.path(), &["--access", "private"]).into_iter();
        for all in [audited.collect::<Vec<_>>(), simulated.map(|[text, ..]| text).collect()] {
            let at = |text: &str| {
                let found = all.iter().position(|step| step.starts_with(text));
                found.unwrap_or_else(|| panic!("{kept:?}: no {text} in {all:#?}"))
            };
            assert!(!all.iter().any(|step| step.starts_with("Restart ")), "{kept:?}: {all:#?}");
            assert!(
                at("Find out the path of every node") < at("Make sure that no node"),
                "{kept:?}: {all:#?}"
            );
            assert!(at("Make sure that no node") < at("Close the public endpoint"), "{all:#?}");
            assert!(!all.iter().any(|step| step.contains("8 to 15 minutes")), "{kept:?}: {all:#?}");
            at("Check that the endpoint's name resolves to private addresses on every node");
        }
    }
    // A change is waited for.
    for access in ["study-public", "private-only"] {
        let copy = copy_of(access);
        edit_json(copy.path(), "vpc.json", |json| json["EnableDnsHostnames"]["Value"] = json!(false));
        let rule = if access == "private-only" { "private-dns-unavailable" } else { "public-endpoint-open" };
        let (report, _) = Netcheck::audit(copy.path()).json();
        let all = steps(&report, rule);
        assert!(all.iter().any(|(text, _)| text.contains("8 to 15 minutes after the change")), "{all:#?}");
    }
}
