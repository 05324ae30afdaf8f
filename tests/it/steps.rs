//! The steps of findings: ordered, for the cluster as it is.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, copy_of_dir, edit_json, fixtures, story, subdirs};

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
    assert!(steps[0].0.contains(" on n1; "), "{steps:?}");
    let close = [&restart[..], &["Close the public"]].concat();
    assert_eq!(outline(&report, "public-endpoint-enabled"), close);
}

/// Sets what Kubernetes lists: n1, and another node.
fn list_nodes(dir: &Path, image: &str, labels: &Value, os: &str) {
    let node = |name: &str, instance: &str| {
        json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"providerID": format!("aws:///ap-northeast-2a/{instance}")},
            "status": {"addresses": [], "nodeInfo": {"osImage": image, "operatingSystem": os}},
        })
    };
    let instances = std::fs::read(dir.join("instances.json")).unwrap();
    let instances: Value = serde_json::from_slice(&instances).unwrap();
    let ids = instances["Reservations"].as_array().unwrap().iter();
    let ids = ids.flat_map(|one| one["Instances"].as_array().unwrap()).enumerate();
    let nodes: Vec<_> =
        ids.map(|(at, one)| node(&format!("ip-10-0-0-{at}"), one["InstanceId"].as_str().unwrap())).collect();
    std::fs::create_dir_all(dir.join("kubernetes")).unwrap();
    std::fs::write(
        dir.join("kubernetes/nodes.json"),
        json!({"kind": "NodeList", "items": nodes}).to_string(),
    )
    .unwrap();
}

/// Each kind of node is restarted as it allows, by every command that suggests it: after a change
/// of access, after an attempt that hangs, and in a simulation.
#[test]
fn a_restart_is_that_of_the_kind_of_the_node() {
    let none = json!({});
    let of_type = |kind: &str| json!({"eks.amazonaws.com/compute-type": kind});
    let (systemd, daemon_set) = ("sudo systemctl restart kubelet", "daemonset kube-proxy");
    let cases = [
        ("Amazon Linux 2023.8", none.clone(), "linux", "Restart kubelet", systemd, true),
        ("Amazon Linux 2", none.clone(), "linux", "Restart kubelet", systemd, true),
        ("Ubuntu 24.04", of_type("hybrid"), "linux", "Restart kubelet", systemd, true),
        ("Bottlerocket OS 1.40.0", none.clone(), "linux", "Reboot n1", "aws ec2 reboot-instances", true),
        (
            "Bottlerocket (EKS Auto)",
            of_type("auto"),
            "linux",
            "Replace n1",
            "kubectl delete nodeclaim",
            false,
        ),
        ("Windows Server 2022", none.clone(), "windows", "Restart kubelet", "Restart-Service kubelet", false),
        ("", none, "linux", "Restart kubelet", systemd, true),
    ];
    for (image, labels, os, text, command, has_daemon_set) in cases {
        let copy = copy_of("public-and-private-stale");
        list_nodes(copy.path(), image, &labels, os);
        let (report, _) = Netcheck::audit(copy.path()).json();
        let simulate = ["simulate", "--cluster", "myeks", "--access", "private", "--format", "json"];
        let ran = Netcheck::new(simulate).arg("--evidence").arg(copy.path()).run();
        let simulation: Value = serde_json::from_str(&ran.stdout).unwrap();
        let of_simulation = simulation["steps"].as_array().unwrap().iter().map(|step| {
            let text = |key: &str| step[key].as_str().map(ToOwned::to_owned);
            (text("text").unwrap(), text("command"))
        });
        let clients = simulation["clients"].as_array().unwrap().iter();
        let needs = clients.flat_map(|client| client["needs"].as_array().unwrap()).map(|step| {
            (step["text"].as_str().unwrap().to_owned(), step["command"].as_str().map(ToOwned::to_owned))
        });
        // No interface has the address.
        let cut = copy_of_dir(copy.path());
        let rows = "SYN-SENT 0 1 192.168.1.20:50001 192.168.1.99:443 users:((\"kubelet\",pid=1,fd=9))\n";
        std::fs::write(cut.path().join("nodes/n1.txt"), rows).unwrap();
        let (cut, _) = Netcheck::audit(cut.path()).json();
        for (what, all) in [
            ("stale", steps(&report, "node-on-public-path")),
            ("hanging", steps(&cut, "node-cut-off")),
            ("simulate", of_simulation.collect::<Vec<_>>()),
            ("needs", needs.collect()),
        ] {
            let command_of = |(_, command): &(String, Option<String>)| command.clone().unwrap_or_default();
            let found = all.iter().find(|one| command_of(one).contains(command));
            let found = found.unwrap_or_else(|| panic!("{image}, {what}: {all:#?}"));
            assert!(found.0.starts_with(text), "{image}, {what}: {found:?}");
            assert_eq!(
                all.iter().any(|one| command_of(one).contains("systemctl")),
                command == systemd,
                "{image}, {what}: {all:#?}"
            );
            assert_eq!(
                all.iter().any(|one| command_of(one).contains(daemon_set)),
                has_daemon_set,
                "{image}, {what}: {all:#?}"
            );
            // How to find out what is not known.
            assert_eq!(found.0.contains("OS-IMAGE"), image.is_empty(), "{image}, {what}: {found:?}");
        }
    }
}

/// A cluster of nodes that run Bottlerocket and whose kubelet is connected to the public endpoint.
fn of_bottlerocket(number: usize) -> tempfile::TempDir {
    let copy = copy_of("public-and-private-stale");
    let path = |file: &str| copy.path().join(file);
    let read = |file: &str| std::fs::read_to_string(path(file)).unwrap();
    let (capture, answer) = (read("nodes/n1.txt"), read("dns/n1.txt"));
    for file in ["nodes/n1.txt", "nodes/n2.txt", "dns/n1.txt", "dns/n2.txt"] {
        std::fs::remove_file(path(file)).unwrap();
    }
    // The same with other ids and addresses.
    let changed = |text: &str, at: usize| {
        let ends = ['"', ':', ']'].into_iter().map(|end| {
            let of = |host: &str| format!("192.168.1.{host}{end}");
            (of("20"), of(&format!("2{at:02}")))
        });
        ends.fold(text.to_owned(), |text, (from, to)| text.replace(&from, &to))
            .replace("ip-192-168-1-20.", &format!("ip-192-168-1-2{at:02}."))
            .replace("i-0057b9268f0c08acb", &format!("i-0057b9268f0c080{at:02}"))
            .replace("eni-0", &format!("eni-{:x}", at + 1))
    };
    let mut id = String::new();
    edit_json(copy.path(), "instances.json", |list| {
        let instances = list["Reservations"].as_array().unwrap().iter();
        let mut instances = instances.flat_map(|one| one["Instances"].as_array().unwrap());
        let mut first = instances.find(|one| one["PrivateIpAddress"] == "192.168.1.20").unwrap().clone();
        let primary = first["PrivateIpAddress"].clone();
        let interfaces = first["NetworkInterfaces"].as_array_mut().unwrap();
        interfaces.retain(|one| one["PrivateIpAddress"] == primary);
        let addresses = interfaces[0]["PrivateIpAddresses"].as_array_mut().unwrap();
        addresses.retain(|one| one["PrivateIpAddress"] == primary);
        first["InstanceId"].as_str().unwrap().clone_into(&mut id);
        let all = (0..number).map(|at| changed(&first.to_string(), at).parse::<Value>().unwrap());
        *list = json!({"Reservations": [{"Instances": all.collect::<Vec<_>>()}]});
    });
    assert_eq!(id, "i-0057b9268f0c08acb");
    edit_json(copy.path(), "network-interfaces.json", |list| {
        let list = list["NetworkInterfaces"].as_array_mut().unwrap();
        let of_instance = |one: &Value| one["Attachment"]["InstanceId"] == id.as_str();
        let first = list.iter().find(|one| one["PrivateIpAddress"] == "192.168.1.20").unwrap().clone();
        list.retain(|one| !of_instance(one));
        for at in 0..number {
            let mut one: Value = changed(&first.to_string(), at).parse().unwrap();
            let primary = one["PrivateIpAddress"].clone();
            one["PrivateIpAddresses"].as_array_mut().unwrap().retain(|of| of["PrivateIpAddress"] == primary);
            list.push(one);
        }
    });
    for at in 0..number {
        std::fs::write(path(&format!("nodes/n{at:02}.txt")), changed(&capture, at)).unwrap();
        std::fs::write(path(&format!("dns/n{at:02}.txt")), &answer).unwrap();
    }
    list_nodes(copy.path(), "Bottlerocket OS 1.40.0", &json!({}), "linux");
    copy
}

/// A pasted command reboots one node after the other, and stops at one that does not come back.
#[test]
fn nodes_of_bottlerocket_are_rebooted_one_at_a_time() {
    for (number, listed, rest) in [(1, 1, ""), (2, 2, ""), (12, 10, "; the command has 10 of 12 nodes")] {
        let copy = of_bottlerocket(number);
        let (report, _) = Netcheck::audit(copy.path()).json();
        let all = steps(&report, "public-endpoint-enabled");
        let is_reboot = |command: &Option<String>| {
            command.as_ref().is_some_and(|command| command.contains("reboot-instances"))
        };
        let found: Vec<_> = all.iter().filter(|(_, command)| is_reboot(command)).collect();
        let [(text, Some(command))] = found.as_slice() else { panic!("{number}: {all:#?}") };
        assert_eq!(text.contains("; the command has"), !rest.is_empty(), "{text}");
        assert!(text.ends_with(rest), "{text}");
        let run = |aws: &str| {
            let script = format!("aws() {{ echo \"$@\"; {aws}; }}; sleep() {{ :; }}; {command}");
            let output = Command::new("bash").arg("-c").arg(script).output().unwrap();
            let stdout = String::from_utf8(output.stdout).unwrap();
            stdout.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let ran = run("true");
        let reboots: Vec<_> = ran.iter().filter(|line| line.contains("reboot-instances")).collect();
        assert_eq!(reboots.len(), listed, "{command}");
        for (at, line) in reboots.iter().enumerate() {
            let expected = format!("--region ap-northeast-2 --instance-ids i-0057b9268f0c080{at:02}");
            assert!(line.ends_with(&expected), "{line}");
        }
        assert_eq!(ran.len(), if number == 1 { 1 } else { 2 * listed }, "{ran:?}");
        assert_eq!(run("false").len(), 1, "{command}");
    }
}

/// Without what Kubernetes lists, EC2 shows the nodes of EKS Auto Mode.
#[test]
fn nodes_of_auto_mode_are_replaced() {
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
    assert!(all[0].0.starts_with("Replace n1, one at a time"), "{all:?}");
    assert_eq!(all[0].1.as_deref(), Some("kubectl delete nodeclaim NODECLAIM"));
    let commands = || all.iter().filter_map(|(_, command)| command.as_deref());
    assert!(!commands().any(|one| one.contains("systemctl") || one.contains("daemonset")), "{all:?}");
    // Before private access is on, the nodes that were not read are of the same kind.
    edit_json(copy.path(), "cluster.json", |json| {
        json["cluster"]["resourcesVpcConfig"]["endpointPrivateAccess"] = json!(false);
    });
    let (report, _) = Netcheck::audit(copy.path()).json();
    let all = steps(&report, "private-endpoint-disabled");
    assert!(all.iter().any(|(text, _)| text.starts_with("Replace ")), "{all:?}");
    assert!(!all.iter().any(|(text, _)| text.starts_with("Restart ")), "{all:?}");
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

/// The findings of a report for people, each command and sentence on one line.
fn findings(dir: &Path) -> String {
    let ran = Netcheck::audit(dir).run();
    crate::common::joined(&ran.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The nodes of a restart are named: a node that is cut off is not one that was not read.
#[test]
fn a_node_that_is_cut_off_is_restarted_by_its_name() {
    let text = findings(&story("endpoint-black-holed"));
    assert!(text.contains("on n1, n2 (n1 is cut off"), "{text}");
    assert!(!text.contains("nodes that were not read"), "{text}");
    // Nothing suggests that the VPC CNI has a connection to the public endpoint.
    assert!(!text.contains("Restart the VPC CNI"), "{text}");
}

/// A node without a readable capture may have old connections, also after private access was turned
/// on; the VPC CNI is restarted for a reason.
#[test]
fn a_node_that_was_not_read_is_restarted_too() {
    let copy = copy_of("public-and-private-stale");
    std::fs::write(copy.path().join("nodes/n1.txt"), "").unwrap();
    let text = findings(copy.path());
    assert!(text.contains("on n1 (the path of n1 is not known)"), "{text}");
    assert!(text.contains("Restart the VPC CNI (aws-node), which may keep connections on n1"), "{text}");
}

/// What cuts a node off and is not known is found out in an order, with commands that work.
#[test]
fn a_node_that_is_cut_off_has_a_way_back() {
    let dir = story("endpoint-black-holed");
    let (report, _) = Netcheck::audit(&dir).json();
    for rule in ["node-cut-off", "endpoint-connection-hanging"] {
        let commands: Vec<_> = steps(&report, rule).into_iter().filter_map(|(_, command)| command).collect();
        let at = |part: &str| {
            let found = commands.iter().position(|command| command.contains(part));
            found.unwrap_or_else(|| panic!("{rule}: no {part} in {commands:#?}"))
        };
        let order = [
            at("eks-netcheck reach"),
            at("describe-cluster"),
            at("eks-netcheck simulate"),
            at("endpointPrivateAccess=true"),
            at("kubectl get nodes"),
        ];
        assert!(order.is_sorted(), "{rule}: {commands:#?}");
        for own in commands.iter().filter(|command| !command.contains("netcheck audit")) {
            let Some(args) = own.strip_prefix("eks-netcheck ") else { continue };
            // Evidence has its own region.
            let args = args.replace(" --region ap-northeast-2", "");
            let ran = Netcheck::new(args.split(' ')).arg("--evidence").arg(&dir).run();
            assert!(matches!(ran.code, 0 | 1 | 3), "{own}: {}", ran.stderr);
        }
    }
}

/// Steps that another rule has too are written once, wherever they stand there; a node has one name.
#[test]
fn equal_steps_are_written_once_and_nodes_have_one_name() {
    let text = findings(&story("node-egress-missing"));
    assert_eq!(text.matches("Turn private access on, and leave").count(), 1, "{text}");
    assert!(
        text.contains("Steps 2 to 6 of node-egress-not-allowed above, then: 6. Close the public"),
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

/// Nodes of which nothing was read may keep connections to the public endpoint.
#[test]
fn nodes_are_restarted_when_none_was_read() {
    let restarts = ["Restart kubelet, ", "Restart kube-proxy, ", "Restart the VPC CNI "];
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
            for restart in restarts {
                assert!(all[at(restart)].contains("every node"), "{kept:?}: {all:#?}");
                assert!(at(restart) < at("Make sure that no node"), "{kept:?}: {all:#?}");
            }
            assert!(at("Make sure that no node") < at("Close the public endpoint"), "{all:#?}");
        }
    }
}

/// EKS refuses an update while another one runs: every command that updates waits for its end.
#[test]
fn every_update_is_waited_for() {
    let mut commands = Vec::new();
    for dir in every_dir() {
        let (report, _) = Netcheck::audit(&dir).json();
        commands_of(&report, &mut commands);
        for access in
            [&["--access", "private"][..], &["--access", "public"], &["--public-cidrs", "192.0.2.0/24"]]
        {
            let simulate = ["simulate", "--cluster", "myeks", "--format", "json"];
            let ran = Netcheck::new(simulate).args(access).arg("--evidence").arg(&dir).run();
            // Not every change is one of every cluster.
            if let Ok(report) = serde_json::from_str(&ran.stdout) {
                commands_of(&report, &mut commands);
            }
        }
    }
    let updates: Vec<_> = commands.iter().filter(|one| one.contains("update-cluster-config")).collect();
    assert!(updates.len() > 50, "{}", updates.len());
    for update in updates {
        let (update, wait) = update.split_once(" && ").unwrap_or_else(|| panic!("{update}"));
        let (of, _) = update.split_once(" --resources-vpc-config ").unwrap();
        assert_eq!(wait, of.replace("update-cluster-config", "wait cluster-active"));
    }
}

/// All commands of a report, wherever they stand.
fn commands_of(report: &Value, commands: &mut Vec<String>) {
    match report {
        Value::Array(all) => all.iter().for_each(|one| commands_of(one, commands)),
        Value::Object(all) => {
            commands.extend(all.get("command").and_then(Value::as_str).map(ToOwned::to_owned));
            all.values().for_each(|one| commands_of(one, commands));
        }
        _ => {}
    }
}

/// A command that records what is missing works in a directory without the subdirectory.
#[test]
fn what_is_recorded_has_a_directory() {
    let copy = copy_of("public-and-private-stale");
    for dir in ["nodes", "dns", "kubernetes"] {
        let path = copy.path().join(dir);
        assert!(!path.exists() || std::fs::remove_dir_all(path).is_ok());
    }
    let (report, _) = Netcheck::audit(copy.path()).json();
    let hints = report.to_string();
    let hints: Vec<_> = hints.split('"').filter(|text| text.contains(" > ")).collect();
    let mut dirs = std::collections::BTreeSet::new();
    for hint in hints {
        let Some((_, command)) = hint.split_once(": ") else { continue };
        let programs = "aws() { :; }; kubectl() { :; }; ssh() { :; }; dig() { :; }; set -e";
        let ran = Command::new("bash").args(["-c", &format!("{programs}; {command}")]).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
        let file = Path::new(command.rsplit_once(" > ").unwrap().1);
        assert!(file.is_file(), "{command}");
        dirs.insert(file.parent().unwrap().file_name().unwrap().to_owned());
    }
    assert!(dirs.iter().any(|dir| dir == "nodes"), "{dirs:?}");
    assert!(dirs.iter().any(|dir| dir == "dns" || dir == "kubernetes"), "{dirs:?}");
}
