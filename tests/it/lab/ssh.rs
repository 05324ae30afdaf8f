//! Reading nodes by ssh: each failure has its own gap and hint; bastions, retries and
//! limited rights work.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Fault, FaultKind};
use eks_netcheck_lab::sandbox::{
    CLOSING_HOST, DROPPING_HOST, ENIS, NO_BANNER_HOST, PUBLIC, REFUSING_HOST, STALLING_HOST, TRUNCATING_HOST,
    UNREACHABLE_HOST,
};
use serde_json::{Value, json};

use super::{Access, paths, remove_commands, run_command, testbed};
use crate::common::scratch;
use crate::pty::Pty;

/// The ssh target, and the reason, detail and hint of the gap about it.
const FAILURES: [(&str, &str, &str, &str); 19] = [
    ("nobody-has-this-name", "name-not-resolved", "does not resolve on this machine", "--node NAME=TARGET"),
    ("REFUSING_HOST", "connection-refused", "as on Bottlerocket", "--evidence"),
    ("DROPPING_HOST", "timed-out", "no answer", "ProxyJump"),
    ("UNREACHABLE_HOST", "unreachable", "no route", "ProxyJump"),
    ("NO_BANNER_HOST", "timed-out", "", ""),
    ("flood@TRUNCATING_HOST", "connection-lost", "connection was lost", "try again"),
    ("flood@STALLING_HOST", "connection-lost", "connection was lost", "try again"),
    ("CLOSING_HOST", "connection-lost", "before the login", "MaxStartups"),
    ("otherkey@N1", "login-refused", "none of your keys", "--ssh-user"),
    ("nosuchuser@N1", "login-refused", "none of your keys", "--ssh-user"),
    ("askpass@N1", "no-process-names", "sudo requires a password", "NOPASSWD"),
    ("nosudo@N1", "no-process-names", "sudo requires a password", "NOPASSWD"),
    ("requiretty@N1", "no-process-names", "requiretty", "requiretty"),
    ("nosudobin@N1", "no-process-names", "sudo is not installed", "--ssh-user"),
    ("noss@N1", "not-supported", "ss is not installed", "iproute2"),
    ("nologin@N1", "no-shell", "not available", "with a shell"),
    ("blank@N1", "incomplete", "ss printed nothing", "by hand"),
    ("hang@N1", "timed-out", "ss did not end within 4 s", "--timeout"),
    ("cut@N1", "connection-lost", "connection was lost", "try again"),
];

#[test]
fn each_ssh_failure_has_its_own_gap_and_hint() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let hosts = [
        ("REFUSING_HOST", REFUSING_HOST),
        ("DROPPING_HOST", DROPPING_HOST),
        ("UNREACHABLE_HOST", UNREACHABLE_HOST),
        ("NO_BANNER_HOST", NO_BANNER_HOST),
        ("TRUNCATING_HOST", TRUNCATING_HOST),
        ("STALLING_HOST", STALLING_HOST),
        ("CLOSING_HOST", CLOSING_HOST),
        ("N1", testbed.lab.node(0).address()),
    ];
    // All in one run: a failure of one node does not affect another.
    let mut args: Vec<String> =
        vec!["--timeout".into(), "4".into(), "--node".into(), "good=N1".replace("N1", "192.168.10.10")];
    for (number, (target, ..)) in FAILURES.iter().enumerate() {
        let mut target = (*target).to_owned();
        for (word, address) in hosts {
            target = target.replace(word, &address.to_string());
        }
        args.extend(["--node".to_owned(), format!("t{number}={target}")]);
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    // A lost connection is detected before the time-out.
    let options = ["--ssh-option", "ServerAliveInterval=1", "--ssh-option", "ServerAliveCountMax=1"];
    let (report, code) = testbed.audit(&[&options[..], &args[..]].concat());
    assert_ne!(code, 0);
    let gaps = report["gaps"].as_array().unwrap();
    let mut wrong = Vec::new();
    for (number, (target, why, detail, hint)) in FAILURES.iter().enumerate() {
        let what = format!("node t{number}");
        let of_node: Vec<_> = gaps.iter().filter(|gap| gap["what"] == what.as_str()).collect();
        let matches = |gap: &&&Value| {
            gap["why"] == *why
                && gap["detail"].as_str().unwrap().contains(detail)
                && gap["hint"].as_str().unwrap().contains(hint)
        };
        if !of_node.iter().any(|gap| matches(&gap)) {
            wrong.push(format!("{target}: expected {why} {detail:?} {hint:?}, got {of_node:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let good = report["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "good").unwrap();
    assert_eq!(good["status"], "read");
    // Rows that arrived before the connection was lost are judged, with process names.
    for (number, _) in
        FAILURES.iter().enumerate().filter(|(_, (target, ..))| ["hang@N1", "cut@N1"].contains(target))
    {
        assert_eq!(
            paths(&report, &format!("t{number}")).get("kubelet outbound public-endpoint"),
            Some(&1),
            "{number}"
        );
    }
}

/// Alone, with the usual time limit: how long it takes until there is too much depends on the machine.
#[test]
fn output_without_end_is_cut_off() {
    let testbed = testbed(Access::Public);
    let (_, gaps) = testbed.audit_n1("flood@192.168.10.10", &[]);
    let [gap] = &gaps[..] else { panic!("{gaps:#?}") };
    assert_eq!(gap["why"], "too-much-output", "{gap:#}");
    assert!(gap["detail"].as_str().unwrap().contains("more output than ss prints"), "{gap:#}");
    assert!(gap["hint"].as_str().unwrap().contains("by hand"), "{gap:#}");
}

#[test]
fn banners_and_prompts_of_a_login_are_ignored() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let (report, gaps) = testbed.audit_n1("noisy@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    let node = &report["nodes"][0];
    assert_eq!((&node["status"], &node["skipped_lines"]), (&json!("read"), &json!(0)), "{report:#}");
    let mut addresses: Vec<IpAddr> = serde_json::from_value(report["dns"][1]["addresses"].clone()).unwrap();
    addresses.sort();
    assert_eq!(addresses, PUBLIC);
}

#[test]
fn root_needs_no_sudo() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let (report, gaps) = testbed.audit_n1("root@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
}

#[test]
fn changed_and_unknown_host_keys_are_rejected() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let n2 = testbed.lab.node(1);
    n2.forget_host_key().unwrap();
    let (report, gaps) = testbed.audit_n1("192.168.10.11", &[]);
    assert_eq!(gaps[0]["why"], "host-key-unknown", "{report:#}");
    n2.trust_host_key().unwrap();
    n2.change_host_key().unwrap();
    let (report, gaps) = testbed.audit_n1("192.168.10.11", &[]);
    assert_eq!(gaps[0]["why"], "host-key-changed", "{report:#}");
    assert!(gaps[0]["hint"].as_str().unwrap().contains("ssh-keygen -R 192.168.10.11"), "{report:#}");
    assert_eq!(report["nodes"][0]["status"], "unreachable");
    n2.forget_host_key().unwrap();
    n2.trust_host_key().unwrap();
    let (_, gaps) = testbed.audit_n1("192.168.10.11", &[]);
    assert_eq!(gaps, [] as [Value; 0]);
}

#[test]
fn a_node_behind_a_bastion_is_read() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let (report, gaps) =
        testbed.audit_n1("192.168.10.10", &["--ssh-option", "ProxyJump=ec2-user@192.168.10.11"]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    assert_eq!(report["nodes"][0]["status"], "read");
}

#[test]
fn logins_refused_by_max_startups_are_retried() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let n1 = testbed.lab.node(0);
    n1.set_sshd_option("MaxStartups 1:100:1").unwrap();
    let nodes: Vec<_> =
        (0..6).flat_map(|number| ["--node".to_owned(), format!("m{number}=192.168.10.10")]).collect();
    let nodes: Vec<_> = nodes.iter().map(String::as_str).collect();
    let (report, _) = testbed.audit(&nodes);
    n1.set_sshd_option("MaxStartups 1000").unwrap();
    let read = report["nodes"].as_array().unwrap().iter().filter(|node| node["status"] == "read").count();
    assert_eq!(read, 6, "{report:#}");
}

/// Session Manager identifies instances by their ids.
#[test]
fn an_instance_can_be_reached_by_its_id() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let here = ["--ssh-option", "HostName=192.168.10.10", "--ssh-option", "HostKeyAlias=192.168.10.10"];
    let id = "i-00000000000000000";
    for selection in [["--node", id], ["--node-address", "id"]] {
        let (report, _) = testbed.audit(&[&here[..], &selection].concat());
        let nodes = report["nodes"].as_array().unwrap();
        assert!(nodes.iter().all(|node| node["status"] == "read"), "{selection:?}: {report:#}");
    }
    // ssh is given the id, not the address that EC2 has for it.
    let ran = testbed.run(&["audit", "--node", id, "--ssh-option", "HostName=id-%h.invalid"]);
    assert!(ran.stdout.contains(&format!("id-{id}.invalid")), "{}", ran.stdout);
}

#[test]
fn a_sudo_rule_for_ss_alone_is_enough() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let (report, gaps) = testbed.audit_n1("onlyss@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    assert_eq!(paths(&report, "n1").get("kubelet outbound public-endpoint"), Some(&1));
}

#[test]
fn an_unreachable_jump_host_is_not_retried() {
    let testbed = testbed(Access::Public);
    let jump = format!("ProxyJump=ec2-user@{REFUSING_HOST}");
    let mut audit = testbed.netcheck(&["audit", "-vv", "--node", "n1=192.168.10.10", "--ssh-option", &jump]);
    audit.args(["--format", "json"]);
    let ran = run_command(audit);
    assert_eq!(ran.stderr.matches("starting the client").count(), 1, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n1").unwrap();
    assert_eq!(gap["why"], "connection-refused");
    assert!(gap["detail"].as_str().unwrap().contains(&REFUSING_HOST.to_string()), "{gap}");
}

#[test]
fn a_low_open_file_limit_loses_no_node() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let mut audit = testbed.lab.operator_command("sh");
    audit.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_eks-netcheck")]);
    let nodes = (0..30).flat_map(|number| ["--node".to_owned(), format!("m{number}=192.168.10.10")]);
    audit.args(["audit", "--cluster", "myeks", "--concurrency", "30", "--format", "json"]).args(nodes);
    audit
        .args(["--ssh-user", "ec2-user"])
        .envs(testbed.netcheck(&[]).get_envs().filter_map(|(key, value)| Some((key, value?))));
    let ran = run_command(audit);
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    let read = report["nodes"].as_array().unwrap().iter().filter(|node| node["status"] == "read").count();
    assert_eq!(read, 30, "{:#}", report["gaps"]);
}

#[test]
fn a_target_cannot_be_an_ssh_option() {
    let testbed = testbed(Access::Public);
    let marker = scratch();
    let file = marker.path().join("ran");
    for target in [
        format!("-oProxyCommand=touch {}", file.display()),
        format!("ec2-user@-oProxyCommand=touch${{IFS}}{}", file.display()),
        format!("$(touch {})", file.display()),
    ] {
        let ran = testbed.run(&["audit", "--node", &format!("n1={target}")]);
        assert_eq!(ran.code, 2, "{target}");
        assert!(ran.stderr.contains("not an ssh destination"), "{}", ran.stderr);
    }
    // Nor can a host name from AWS.
    testbed.aws.update_account(|account| {
        account.reservations[0]["Instances"][0]["PrivateDnsName"] = json!("-oProxyCommand=touch");
    });
    let (report, _) = testbed.audit(&["--node-address", "name"]);
    assert!(!file.exists());
    assert!(report["gaps"].to_string().contains("not an ssh destination"), "{report:#}");
}

/// The changed key is the bastion's: the hint's ssh-keygen command has to name it.
#[test]
fn the_hint_about_a_bastions_changed_host_key_names_the_bastion() {
    let testbed = testbed(Access::Public);
    let n2 = testbed.lab.node(1);
    n2.change_host_key().unwrap();
    let (report, gaps) =
        testbed.audit_n1("192.168.10.10", &["--ssh-option", "ProxyJump=ec2-user@192.168.10.11"]);
    n2.forget_host_key().unwrap();
    n2.trust_host_key().unwrap();
    assert_eq!(gaps[0]["why"], "host-key-changed", "{report:#}");
    assert!(gaps[0]["hint"].as_str().unwrap().contains("ssh-keygen -R 192.168.10.11"), "{report:#}");
}

/// The ssh that `ProxyJump` starts would prompt on the terminal, as `BatchMode` does not
/// apply to it.
#[test]
fn an_unknown_bastion_host_key_does_not_prompt() {
    let testbed = testbed(Access::Public);
    let n2 = testbed.lab.node(1);
    n2.forget_host_key().unwrap();
    let options = ["--ssh-option", "ProxyJump=ec2-user@192.168.10.11", "--timeout", "10"];
    let mut audit = testbed.netcheck(&["audit", "-q", "--node", "n1=192.168.10.10"]);
    audit.args(options).env("TERM", "xterm");
    let began = Instant::now();
    let (code, screen) = Pty::run(&audit).end();
    n2.trust_host_key().unwrap();
    assert!(!screen.contains("continue connecting") && code != 0, "{screen}");
    assert!(screen.contains("host key"), "{screen}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

/// The number of bytes that were read of a node's sockets, as the log says.
fn captured(stderr: &str) -> u64 {
    let line = stderr.lines().find(|line| line.contains("the client ended")).expect("a client");
    let value = line.split("captured=").nth(1).expect("a number").split_whitespace().next();
    value.expect("a number").parse().expect("a number")
}

/// An audit has rows left out on the node that do not matter, wherever awk is; `collect` has
/// not. The report is the same. Rows of the control plane's interfaces matter whatever the
/// port.
#[test]
fn an_audit_filters_rows_on_the_node_and_reports_the_same() {
    let testbed = testbed(Access::PublicAndPrivate);
    testbed.dial(PUBLIC);
    let (n1, n2) = (testbed.lab.node(0), testbed.lab.node(1));
    let [from, to] = [IpAddr::V4(n1.address()), IpAddr::V4(ENIS[1])];
    testbed.lab.block(from, to).unwrap();
    n1.dial_nonblocking("webhook", (ENIS[1], 9443)).unwrap();
    for _ in 0..60 {
        n1.dial("load", (n2.address(), 10250)).unwrap();
    }
    let run = |user: &str| {
        let node = format!("n1={user}@192.168.10.10");
        let ran = testbed.run(&["audit", "-vv", "--format", "json", "--node", &node]);
        let mut report: Value = serde_json::from_str(&ran.stdout).unwrap();
        remove_commands(&mut report["findings"]);
        (captured(&ran.stderr), report)
    };
    let (whole, expected) = run("noawk");
    let users = ["ec2-user", "onlyss", "root"].map(run);
    testbed.lab.unblock(from, to).unwrap();
    assert_eq!(expected["nodes"][0]["status"], "read", "{expected:#}");
    assert_eq!(paths(&expected, "n1").get("webhook none private-eni"), Some(&1), "{expected:#}");
    for (filtered, report) in users {
        assert!(filtered < whole / 3, "{filtered} of {whole} bytes");
        for key in
            ["verdict", "findings", "node_traffic", "connections", "gaps", "other_connections", "nodes"]
        {
            assert_eq!(report[key], expected[key], "{key}");
        }
    }
    // Where the interfaces are not known, nothing is left out.
    testbed.aws.inject_fault(Fault::always("DescribeNetworkInterfaces", FaultKind::Denied));
    assert!(run("ec2-user").0 > whole / 2);
}
