//! Logins and looks that go wrong, each told apart, and those that go right nonetheless.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use eks_netcheck_lab::sandbox::{CLOSES, CUTS, MUTE, PUBLIC, REFUSES, SILENT, STALLS, UNREACHABLE};
use serde_json::{Value, json};

use super::{Access, paths, ran, scene};
use crate::common::scratch;
use crate::pty::Pty;

/// What a node's trouble is called, and what its detail and hint say.
const TROUBLES: [(&str, &str, &str, &str); 20] = [
    ("nobody-has-this-name", "name-not-resolved", "does not resolve here", "--node NAME=TARGET"),
    ("REFUSES", "connection-refused", "as on Bottlerocket", "--evidence"),
    ("SILENT", "timed-out", "no answer", "ProxyJump"),
    ("UNREACHABLE", "unreachable", "no route", "ProxyJump"),
    ("MUTE", "timed-out", "", ""),
    ("flood@CUTS", "connection-lost", "broke off midway", "try again"),
    ("flood@STALLS", "connection-lost", "broke off midway", "try again"),
    ("CLOSES", "connection-lost", "before the login", "MaxStartups"),
    ("otherkey@N1", "login-refused", "none of your keys", "--ssh-user"),
    ("nosuchuser@N1", "login-refused", "none of your keys", "--ssh-user"),
    ("askpass@N1", "no-process-names", "sudo wants a password", "NOPASSWD"),
    ("nosudo@N1", "no-process-names", "sudo wants a password", "NOPASSWD"),
    ("requiretty@N1", "no-process-names", "requiretty", "requiretty"),
    ("nosudobin@N1", "no-process-names", "no sudo", "--ssh-user"),
    ("noss@N1", "not-supported", "no ss on it", "iproute2"),
    ("nologin@N1", "no-shell", "not available", "with a shell"),
    ("flood@N1", "too-much-output", "more than ss does", "by hand"),
    ("blank@N1", "incomplete", "ss printed nothing", "by hand"),
    ("hang@N1", "timed-out", "ss did not end within 4 s", "--timeout"),
    ("cut@N1", "connection-lost", "broke off midway", "try again"),
];

#[test]
fn every_trouble_of_a_node_is_told_apart_with_its_next_step() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let hosts = [
        ("REFUSES", REFUSES),
        ("SILENT", SILENT),
        ("UNREACHABLE", UNREACHABLE),
        ("MUTE", MUTE),
        ("CUTS", CUTS),
        ("STALLS", STALLS),
        ("CLOSES", CLOSES),
        ("N1", scene.lab.node(0).address()),
    ];
    // All in one run: one node's trouble is not another's.
    let mut args: Vec<String> =
        vec!["--timeout".into(), "4".into(), "--node".into(), "good=N1".replace("N1", "192.168.10.10")];
    for (number, (target, ..)) in TROUBLES.iter().enumerate() {
        let mut target = (*target).to_owned();
        for (word, address) in hosts {
            target = target.replace(word, &address.to_string());
        }
        args.extend(["--node".to_owned(), format!("t{number}={target}")]);
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    // A path that died is noticed before the time is up.
    let options = ["--ssh-option", "ServerAliveInterval=1", "--ssh-option", "ServerAliveCountMax=1"];
    let (report, code) = scene.audit(&[&options[..], &args[..]].concat());
    assert_ne!(code, 0);
    let gaps = report["gaps"].as_array().unwrap();
    let mut wrong = Vec::new();
    for (number, (target, why, detail, hint)) in TROUBLES.iter().enumerate() {
        let what = format!("node t{number}");
        let of_node: Vec<_> = gaps.iter().filter(|gap| gap["what"] == what.as_str()).collect();
        let fits = |gap: &&&Value| {
            gap["why"] == *why
                && gap["detail"].as_str().unwrap().contains(detail)
                && gap["hint"].as_str().unwrap().contains(hint)
        };
        if !of_node.iter().any(|gap| fits(&gap)) {
            wrong.push(format!("{target}: wanted {why} {detail:?} {hint:?}, got {of_node:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let good = report["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "good").unwrap();
    assert_eq!(good["status"], "read");
    // What came before a connection was lost is judged, and names its processes.
    for number in [18, 19] {
        assert_eq!(
            paths(&report, &format!("t{number}")).get("kubelet outbound public-endpoint"),
            Some(&1),
            "{number}"
        );
    }
}

#[test]
fn a_noisy_login_is_read_as_a_quiet_one() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, gaps) = scene.n1_by("noisy@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    let node = &report["nodes"][0];
    assert_eq!((&node["status"], &node["skipped_lines"]), (&json!("read"), &json!(0)), "{report:#}");
    let mut addresses: Vec<IpAddr> = serde_json::from_value(report["dns"][1]["addresses"].clone()).unwrap();
    addresses.sort();
    assert_eq!(addresses, PUBLIC);
}

#[test]
fn root_needs_no_sudo() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, gaps) = scene.n1_by("root@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
}

#[test]
fn a_host_key_that_changed_or_is_unknown_is_not_taken() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let n2 = scene.lab.node(1);
    n2.forget_host_key().unwrap();
    let (report, gaps) = scene.n1_by("192.168.10.11", &[]);
    assert_eq!(gaps[0]["why"], "host-key-unknown", "{report:#}");
    n2.trust_host_key().unwrap();
    n2.change_host_key().unwrap();
    let (report, gaps) = scene.n1_by("192.168.10.11", &[]);
    assert_eq!(gaps[0]["why"], "host-key-changed", "{report:#}");
    assert!(gaps[0]["hint"].as_str().unwrap().contains("ssh-keygen -R 192.168.10.11"), "{report:#}");
    assert_eq!(report["nodes"][0]["status"], "unreachable");
    n2.forget_host_key().unwrap();
    n2.trust_host_key().unwrap();
    let (_, gaps) = scene.n1_by("192.168.10.11", &[]);
    assert_eq!(gaps, [] as [Value; 0]);
}

#[test]
fn a_node_behind_a_bastion_is_read_through_it() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, gaps) = scene.n1_by("192.168.10.10", &["--ssh-option", "ProxyJump=ec2-user@192.168.10.11"]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    assert_eq!(report["nodes"][0]["status"], "read");
}

#[test]
fn a_server_with_too_many_logins_is_tried_again() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let n1 = scene.lab.node(0);
    n1.set_sshd("MaxStartups 1:100:1").unwrap();
    let nodes: Vec<_> =
        (0..6).flat_map(|number| ["--node".to_owned(), format!("m{number}=192.168.10.10")]).collect();
    let nodes: Vec<_> = nodes.iter().map(String::as_str).collect();
    let (report, _) = scene.audit(&nodes);
    n1.set_sshd("MaxStartups 1000").unwrap();
    let read = report["nodes"].as_array().unwrap().iter().filter(|node| node["status"] == "read").count();
    assert_eq!(read, 6, "{report:#}");
}

/// Session Manager knows instances by their ids.
#[test]
fn an_instance_can_be_reached_by_its_id() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let here = ["--ssh-option", "HostName=192.168.10.10", "--ssh-option", "HostKeyAlias=192.168.10.10"];
    let id = "i-00000000000000000";
    for which in [["--node", id], ["--node-address", "id"]] {
        let (report, _) = scene.audit(&[&here[..], &which].concat());
        let nodes = report["nodes"].as_array().unwrap();
        assert!(nodes.iter().all(|node| node["status"] == "read"), "{which:?}: {report:#}");
    }
    // The id is what ssh is given, and not an address that EC2 has for it.
    let ran = scene.run(&["audit", "--node", id, "--ssh-option", "HostName=id-%h.invalid"]);
    assert!(ran.stdout.contains(&format!("id-{id}.invalid")), "{}", ran.stdout);
}

#[test]
fn the_least_sudo_rule_is_enough() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, gaps) = scene.n1_by("onlyss@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    assert_eq!(paths(&report, "n1").get("kubelet outbound public-endpoint"), Some(&1));
}

#[test]
fn a_jump_host_that_cannot_be_reached_is_told_at_once() {
    let scene = scene(Access::Public);
    let jump = format!("ProxyJump=ec2-user@{REFUSES}");
    let mut audit = scene.netcheck(&["audit", "-vv", "--node", "n1=192.168.10.10", "--ssh-option", &jump]);
    audit.args(["--format", "json"]);
    let ran = ran(audit);
    assert_eq!(ran.stderr.matches("ssh begins").count(), 1, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n1").unwrap();
    assert_eq!(gap["why"], "connection-refused");
    assert!(gap["detail"].as_str().unwrap().contains(&REFUSES.to_string()), "{gap}");
}

#[test]
fn few_open_files_cost_time_and_no_node() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let mut audit = scene.lab.operator("sh");
    audit.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_eks-netcheck")]);
    let nodes = (0..30).flat_map(|number| ["--node".to_owned(), format!("m{number}=192.168.10.10")]);
    audit.args(["audit", "--cluster", "myeks", "--concurrency", "30", "--format", "json"]).args(nodes);
    audit
        .args(["--ssh-user", "ec2-user"])
        .envs(scene.netcheck(&[]).get_envs().filter_map(|(key, value)| Some((key, value?))));
    let ran = ran(audit);
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    let read = report["nodes"].as_array().unwrap().iter().filter(|node| node["status"] == "read").count();
    assert_eq!(read, 30, "{:#}", report["gaps"]);
}

#[test]
fn a_hosts_name_is_no_option() {
    let scene = scene(Access::Public);
    let marker = scratch();
    let file = marker.path().join("ran");
    for target in [
        format!("-oProxyCommand=touch {}", file.display()),
        format!("ec2-user@-oProxyCommand=touch${{IFS}}{}", file.display()),
        format!("$(touch {})", file.display()),
    ] {
        let ran = scene.run(&["audit", "--node", &format!("n1={target}")]);
        assert_eq!(ran.code, 2, "{target}");
        assert!(ran.stderr.contains("no ssh destination"), "{}", ran.stderr);
    }
    // Nor is one that AWS says.
    scene.aws.change(|account| {
        account.reservations[0]["Instances"][0]["PrivateDnsName"] = json!("-oProxyCommand=touch");
    });
    let (report, _) = scene.audit(&["--node-address", "name"]);
    assert!(!file.exists());
    assert!(report["gaps"].to_string().contains("no ssh destination"), "{report:#}");
}

/// It is the bastion's key that changed, and its name that ssh-keygen wants.
#[test]
fn a_bastions_changed_host_key_names_the_bastion() {
    let scene = scene(Access::Public);
    let n2 = scene.lab.node(1);
    n2.change_host_key().unwrap();
    let (report, gaps) = scene.n1_by("192.168.10.10", &["--ssh-option", "ProxyJump=ec2-user@192.168.10.11"]);
    n2.forget_host_key().unwrap();
    n2.trust_host_key().unwrap();
    assert_eq!(gaps[0]["why"], "host-key-changed", "{report:#}");
    assert!(gaps[0]["hint"].as_str().unwrap().contains("ssh-keygen -R 192.168.10.11"), "{report:#}");
}

/// The client that `ProxyJump` starts would ask on the terminal: `BatchMode` is not for it.
#[test]
fn a_bastion_that_ssh_does_not_know_is_no_question() {
    let scene = scene(Access::Public);
    let n2 = scene.lab.node(1);
    n2.forget_host_key().unwrap();
    let options = ["--ssh-option", "ProxyJump=ec2-user@192.168.10.11", "--timeout", "10"];
    let mut audit = scene.netcheck(&["audit", "-q", "--node", "n1=192.168.10.10"]);
    audit.args(options).env("TERM", "xterm");
    let began = Instant::now();
    let (code, screen) = Pty::run(&audit).end();
    n2.trust_host_key().unwrap();
    assert!(!screen.contains("continue connecting") && code != 0, "{screen}");
    assert!(screen.contains("host key"), "{screen}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
