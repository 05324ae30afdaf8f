//! Restarts: as the kind of the node allows, of what is stale, cut off or not known.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{findings, outline, steps};
use crate::common::{Netcheck, copy_of, copy_of_dir, edit_json, story};

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

/// The nodes of a restart are named: a node that is cut off is not one that was not read.
#[test]
fn a_node_that_is_cut_off_is_restarted_by_its_name() {
    let text = findings(&story("endpoint-black-holed"));
    assert!(text.contains("on n1, n2 (n1 is cut off"), "{text}");
    assert!(!text.contains("nodes that were not read"), "{text}");
    // Nothing suggests that the VPC CNI has a connection to the public endpoint.
    assert!(!text.contains("Restart the VPC CNI"), "{text}");
}

/// A node without a readable capture may have old connections after private access was turned on,
/// which another capture shows: nothing is restarted before. Until private access is on, its
/// connections are to the public endpoint.
#[test]
fn a_node_whose_path_is_not_known_is_read_before_it_is_restarted() {
    let copy = copy_of("public-and-private-stale");
    std::fs::write(copy.path().join("nodes/n1.txt"), "").unwrap();
    let text = findings(copy.path());
    assert!(!text.contains("Restart "), "{text}");
    let read = "Find out the path of n1, which is not known: what the audit finds on the public path there is restarted";
    assert!(text.find(read).unwrap() < text.find("Make sure that no node").unwrap(), "{text}");
    edit_json(copy.path(), "cluster.json", |json| {
        json["cluster"]["resourcesVpcConfig"]["endpointPrivateAccess"] = json!(false);
    });
    let text = findings(copy.path());
    assert!(text.contains("(the path of n1 is not known)"), "{text}");
    assert!(text.contains("Restart the VPC CNI (aws-node), which may keep connections on n1"), "{text}");
    assert!(!text.contains("Find out the path"), "{text}");
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
