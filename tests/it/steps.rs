//! The steps of findings: ordered, for the cluster as it is.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, edit_json, fixtures, story, subdirs};

/// The steps of a rule's findings, as texts and commands.
fn steps(report: &Value, rule: &str) -> Vec<(String, Option<String>)> {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["rule"] == rule);
    let finding = finding.unwrap_or_else(|| panic!("{rule}: {findings:?}"));
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let steps = finding["steps"].as_array().unwrap().iter();
    steps.map(|step| (text(&step["text"]).unwrap(), text(&step["command"]))).collect()
}

/// The first words of each step.
fn outline(report: &Value, rule: &str) -> Vec<String> {
    let first = |(text, _): &(String, _)| text.split([',', ' ']).take(3).collect::<Vec<_>>().join(" ");
    steps(report, rule).iter().map(first).collect()
}

fn every_dir() -> Vec<PathBuf> {
    let stories = subdirs(&fixtures().join("evidence")).into_iter().map(|name| story(&name));
    let rules = subdirs(&fixtures().join("rules")).into_iter();
    let rules = rules.map(|rule| fixtures().join("rules").join(rule).join("fires"));
    let cases = subdirs(&fixtures().join("cases/reports")).into_iter();
    let cases = cases.map(|name| fixtures().join("cases/reports").join(name));
    stories.chain(rules).chain(cases).collect()
}

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
    assert!(steps[0].0.ends_with("on n1"), "{steps:?}");
    let close = [&restart[..], &["Close the public"]].concat();
    assert_eq!(outline(&report, "public-endpoint-enabled"), close);
}

/// On EKS Auto Mode there is no ssh.
#[test]
fn nodes_without_ssh_are_replaced() {
    let copy = copy_of("public-and-private-stale");
    edit_json(copy.path(), "instances.json", |json| {
        for reservation in json["Reservations"].as_array_mut().unwrap() {
            for instance in reservation["Instances"].as_array_mut().unwrap() {
                instance["Operator"] = json!({"Managed": true, "Principal": "eks.amazonaws.com"});
            }
        }
    });
    let (report, _) = Netcheck::audit(copy.path()).json();
    let all = steps(&report, "node-on-public-path");
    assert!(all[0].0.starts_with("Replace or reboot n1, one at a time"), "{all:?}");
    let command = all[0].1.as_ref().unwrap();
    assert!(command.contains("reboot-instances") && command.contains("--instance-ids i-0"), "{command}");
    assert!(all.iter().all(|(_, command)| !command.as_ref().unwrap().contains("systemctl")), "{all:?}");
}

/// A component that is on the private path is not restarted.
#[test]
fn only_stale_components_are_restarted() {
    let copy = copy_of("public-and-private-stale");
    let path = copy.path().join("nodes/n1.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let moved = text.replace("3.37.178.179:443", "192.168.2.66:443");
    assert_ne!(moved, text);
    std::fs::write(&path, moved).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    assert_eq!(outline(&report, "node-on-public-path"), ["Restart kubelet ", "Make sure that"]);
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
    for format in ["table", "json", "sarif", "junit", "markdown", "github", "gitlab", "ocsf"] {
        let ran = Netcheck::audit(&story("study-public")).args(&["--format", format]).run();
        let position = |text: &str| ran.stdout.find(text).unwrap_or_else(|| panic!("{format}: no {text}"));
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

/// Every command can be pasted into a shell.
#[test]
fn every_command_parses() {
    let mut script = String::new();
    for dir in every_dir() {
        let (report, _) = Netcheck::audit(&dir).json();
        for finding in report["findings"].as_array().unwrap() {
            for step in finding["steps"].as_array().unwrap() {
                for command in [&step["command"], &step["check"]["command"]] {
                    script += &command.as_str().map(|command| format!("{command}\n")).unwrap_or_default();
                }
            }
        }
    }
    assert!(script.lines().count() > 50);
    let mut bash =
        Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
