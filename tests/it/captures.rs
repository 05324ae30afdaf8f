//! Captures and DNS answers that are not complete, in evidence directories.

use std::fs;

use serde_json::Value;

use crate::common::{Netcheck, copy_of, scratch};

/// The gaps that a rule needs.
fn needed(report: &Value) -> Vec<String> {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let needed = gaps.filter(|gap| !gap["rules"].as_array().unwrap().is_empty());
    let text =
        |gap: &Value| format!("{}: {}", gap["what"].as_str().unwrap(), gap["detail"].as_str().unwrap());
    needed.map(text).collect()
}

/// A row on the public path that a capture shows in part is never a pass, wherever it is.
#[test]
fn a_damaged_row_makes_a_capture_incomplete() {
    let row = "ESTAB 0 0 192.168.1.20:42801 3.39.1.1:443 users:((\"kubelet\",pid=3011,fd=44))";
    let netstat = "tcp 0 0 192.168.1.20:42801 3.39.1.1:443 ESTABLISHED 3011/kubelet";
    for damaged in [
        row.replace("ESTAB", "estab"),
        row.to_uppercase(),
        row.replace("users", "Users"),
        row.replace("ESTAB", "AB"),
        row.replace("users", "use\nrs"),
        row.replace(":443", ":4\n43"),
        row.replace("pid=", "p\nid="),
        row.replace("))", ""),
        row.replace('"', "&quot;"),
        row.replace(' ', ","),
        row.replace(' ', "\u{a0}"),
        format!("-{row}"),
        format!("{row}---Output truncated---"),
        netstat.replace("ESTABLISHED", "established"),
        netstat.replace("ESTABLISHED", "STABLISHED"),
        netstat.replace("ESTABLISHED ", "ESTABLISHED\n"),
        netstat.replace("tcp", "cp"),
        netstat.replace("kubelet", "k\nubelet"),
        netstat.replace("kubelet", "kube\nlet"),
        netstat.replace("kubelet", "kube-prox\ny"),
    ] {
        let copy = copy_of("private-only");
        let path = copy.path().join("nodes/n1.txt");
        let capture = fs::read_to_string(&path).unwrap();
        let (headings, rows) = capture.split_once('\n').unwrap();
        for text in [format!("{capture}{damaged}\n"), format!("{headings}\n{damaged}\n{rows}")] {
            fs::write(&path, text).unwrap();
            let (report, code) = Netcheck::audit(copy.path()).json();
            let gaps = needed(&report);
            assert_eq!(code, 3, "{damaged}: {gaps:?}");
            assert!(gaps[0].starts_with("node n1: ") && gaps[0].contains("cannot be parsed"), "{gaps:?}");
        }
    }
}

/// In a complete capture are rows of the host's own programs. Where all are of Kubernetes
/// components and none is of kube-proxy, a filter may have removed its rows.
#[test]
fn a_capture_of_components_alone_does_not_show_that_there_is_no_kube_proxy() {
    let agent = "ESTAB 0 0 LOCAL:50001 10.100.0.1:443 users:((\"aws-k8s-agent\",pid=3640,fd=7))";
    let controller = "ESTAB 0 0 LOCAL:50002 10.100.0.1:443 users:((\"controller\",pid=3650,fd=7))";
    let nameless = "ESTAB 0 0 LOCAL:50003 192.168.1.131:443";
    let sshd = "ESTAB 0 0 LOCAL:22 192.168.11.10:40712 users:((\"sshd\",pid=7745,fd=4))";
    for (others, code) in [
        (&[][..], 3),
        (&[agent][..], 3),
        (&[agent, controller, nameless][..], 3),
        (&[sshd][..], 0),
        (&[agent, sshd][..], 0),
    ] {
        let copy = copy_of("private-only");
        for (node, local, eni) in
            [("n1", "192.168.1.20", "192.168.1.55"), ("n2", "192.168.2.94", "192.168.2.66")]
        {
            let kubelet = format!("ESTAB 0 0 LOCAL:42778 {eni}:443 users:((\"kubelet\",pid=3011,fd=13))");
            let heading = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process";
            let lines: Vec<_> = [heading, &kubelet].into_iter().chain(others.iter().copied()).collect();
            let capture = (lines.join("\n") + "\n").replace("LOCAL", local);
            fs::write(copy.path().join("nodes").join(format!("{node}.txt")), capture).unwrap();
        }
        let (report, exit_code) = Netcheck::audit(copy.path()).json();
        assert_eq!(exit_code, code, "{others:?}: {:?}", needed(&report));
        let is_missing = needed(&report).iter().any(|gap| gap.contains("no socket of kube-proxy was seen"));
        assert_eq!(is_missing, code == 3, "{others:?}: {:?}", needed(&report));
    }
}

/// A number on a line of its own counts the lines of a part of a capture of `/proc`, and
/// nothing in any other.
#[test]
fn a_number_in_a_capture_of_ss_is_no_row() {
    let copy = copy_of("private-only");
    let path = copy.path().join("nodes/n1.txt");
    let capture = fs::read_to_string(&path).unwrap();
    let before = Netcheck::audit(copy.path()).json();
    fs::write(&path, capture.replacen('\n', "\n0\n", 1) + "7\n").unwrap();
    let (mut report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(report["nodes"][0]["skipped_lines"], 2);
    report["nodes"][0]["skipped_lines"] = Value::from(0);
    for key in ["nodes", "connections", "findings", "gaps", "verdict"] {
        assert_eq!(report[key], before.0[key], "{key}");
    }
    assert_eq!(code, before.1);
}

/// Captures that grep limited to established sockets do not show connections that hang.
#[test]
fn a_capture_of_one_state_does_not_show_what_hangs() {
    let copy = copy_of("private-only");
    for node in ["n1", "n2"] {
        let path = copy.path().join(format!("nodes/{node}.txt"));
        let capture = fs::read_to_string(&path).unwrap();
        let rows = capture.lines().filter(|row| row.starts_with("ESTAB"));
        fs::write(path, rows.map(|row| row.to_owned() + "\n").collect::<String>()).unwrap();
    }
    let (report, code) = Netcheck::audit(copy.path()).args(&["--fail-on", "medium"]).json();
    assert_eq!(code, 3);
    let gaps = needed(&report);
    assert!(gaps.iter().all(|gap| gap.contains("ss or grep selected a state")), "{gaps:?}");
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

/// `ss state X` omits the column of the state. The rows look the same whichever state was
/// selected, so they prove no connection: not those to the ENIs, and not those to the public
/// endpoint.
#[test]
fn a_capture_without_the_column_of_the_state_proves_no_connection() {
    let stateless = |capture: &str| {
        let rows = capture.lines().filter(|row| row.starts_with("ESTAB") || row.starts_with("State"));
        rows.map(|row| row.split_once(' ').unwrap().1.trim_start().to_owned() + "\n").collect::<String>()
    };
    let public = "0 1 192.168.1.20:42801 3.39.1.1:443 users:((\"kubelet\",pid=3011,fd=44))\n";
    let without_headings = |capture: &str| stateless(capture).split_once('\n').unwrap().1.to_owned();
    let with_protocol = |capture: &str| stateless(capture).replace("\n0 ", "\ntcp 0 ");
    let to_public = |capture: &str| stateless(capture).split_once('\n').unwrap().0.to_owned() + "\n" + public;
    let mixed = |capture: &str| capture.to_owned() + public;
    let filters: [&dyn Fn(&str) -> String; 5] =
        [&stateless, &without_headings, &with_protocol, &to_public, &mixed];
    for (name, filter) in filters.into_iter().enumerate() {
        let copy = copy_of("private-only");
        let path = copy.path().join("nodes/n1.txt");
        let capture = fs::read_to_string(&path).unwrap();
        fs::write(&path, filter(&capture)).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        let gaps = needed(&report);
        assert_eq!((code, &report["verdict"]), (3, &Value::from("inconclusive")), "{name}: {gaps:?}");
        assert_eq!(report["node_traffic"][0]["path"], "unknown", "{name}");
        let is_named = |gap: &String| gap.starts_with("node n1: ") && gap.contains("column of");
        assert!(gaps.iter().any(is_named), "{name}: {gaps:?}");
        let connections = report["connections"].as_array().unwrap().iter();
        let states: Vec<_> = connections.filter(|one| one["node"] == "n1").map(|one| &one["state"]).collect();
        assert!(states.contains(&&Value::from("UNKNOWN")), "{name}: {states:?}");
        assert!(name == 4 || !states.contains(&&Value::from("ESTAB")), "{name}: {states:?}");
        let mut rules = report["findings"].as_array().unwrap().iter().map(|finding| &finding["rule"]);
        assert!(rules.all(|rule| rule == "unattributed-connection"), "{name}: {:#}", report["findings"]);
    }
}

/// Sockets that only `ss` with a state shows are compared nonetheless.
#[test]
fn captures_without_the_column_of_the_state_are_compared() {
    let headings = "Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n";
    let row = |port: u16| format!("0 0 10.0.0.1:{port} 10.0.0.9:443 users:((\"kubelet\",pid=1,fd=2))\n");
    let dir = scratch();
    for (name, ports) in [("before", [40001, 40002]), ("after", [40002, 40003])] {
        let rows: String = ports.into_iter().map(row).collect();
        fs::write(dir.path().join(name), format!("{headings}{rows}")).unwrap();
    }
    let run = Netcheck::new(["diff", "before", "after", "--format", "json"]).dir(dir.path()).run();
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let changes = report["changes"].as_array().unwrap().iter();
    let changes: Vec<_> = changes
        .map(|change| (change["local"].as_str().unwrap(), change["change"].as_str().unwrap()))
        .collect();
    assert_eq!(changes, [("10.0.0.1:40001", "gone"), ("10.0.0.1:40003", "appeared")]);
}

/// The A records of the endpoint are needed, whether their query failed or was not made.
#[test]
fn answers_without_ipv4_addresses_are_incomplete() {
    let failed =
        ";; ->>HEADER<<- opcode: QUERY, status: SERVFAIL, id: 1\n;; QUESTION SECTION:\n;HOST. IN A\n\n";
    for (text, detail) in [("2600:1f13::1\n", "no answer has an IPv4 address"), (failed, "SERVFAIL")] {
        let copy = copy_of("private-only");
        let cluster: Value =
            serde_json::from_str(&fs::read_to_string(copy.path().join("cluster.json")).unwrap()).unwrap();
        let host = cluster["cluster"]["endpoint"].as_str().unwrap().replace("https://", "");
        for entry in fs::read_dir(copy.path().join("dns")).unwrap() {
            fs::write(entry.unwrap().path(), text.replace("HOST", &host) + "2600:1f13::1\n").unwrap();
        }
        let (report, code) = Netcheck::audit(copy.path()).json();
        let gaps = needed(&report);
        assert_eq!(code, 3, "{text}");
        assert!(gaps.iter().any(|gap| gap.starts_with("A records") && gap.contains(detail)), "{gaps:?}");
    }
}

/// A capture that was filtered on its node says what it does not contain; without that, it is a
/// part of a capture.
#[test]
fn a_filtered_capture_is_whole_only_with_its_last_line() {
    let row = |process: &str, peer: &str| {
        format!("ESTAB 0 0 192.168.1.20:42801 {peer}:443 users:((\"{process}\",pid=3011,fd=44))\n")
    };
    let first = "# eks-netcheck filtered 1\n# eks-netcheck server x.gr7.ap-northeast-2.eks.amazonaws.com\n";
    let heading = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n";
    let rows = row("kubelet", "192.168.1.55") + &row("kube-proxy", "192.168.1.55");
    let end = |ss, kept| {
        format!("# eks-netcheck end ss={ss} sockets=1805 kept={kept} named=1700 nameless=3 kube-proxy=yes\n")
    };
    let audit = |capture: String| {
        let copy = copy_of("private-only");
        fs::write(copy.path().join("nodes/n1.txt"), capture).unwrap();
        Netcheck::audit(copy.path()).json()
    };
    let whole = format!("{first}{heading}{rows}{}", end(0, 2));
    let (report, code) = audit(whole.clone());
    assert_eq!((code, needed(&report)), (0, Vec::new()), "{report:#}");
    let node = &report["nodes"][0];
    assert_eq!((&node["sockets"], &node["skipped_lines"]), (&Value::from(1805), &Value::from(0)));
    // With exactly the length at which Systems Manager cuts outputs.
    let padding = "x".repeat(24_000 - whole.len() - "# eks-netcheck \n".len());
    let (_, code) = audit(whole.replacen(heading, &format!("# eks-netcheck {padding}\n{heading}"), 1));
    assert_eq!(code, 0);
    for (damaged, detail) in [
        (format!("{first}{heading}{rows}"), "it was cut"),
        (format!("{first}{heading}{rows}{}", end(0, 3)), "has 2 rows of 3"),
        (format!("{first}{heading}{rows}{}", end(137, 2)), "exit code 137"),
        (format!("{first}{heading}{}{rows}", end(0, 2)), "it was cut"),
        (format!("{whole}{}", row("kubelet", "3.39.1.1")), "it was cut"),
        (whole.replace("kept=2", "kept="), "it was cut"),
    ] {
        let (report, code) = audit(damaged.clone());
        let gaps = needed(&report);
        let is_named = gaps.iter().any(|gap| gap.starts_with("node n1: ") && gap.contains(detail));
        assert!(code != 0 && is_named, "{damaged}: {code} {gaps:?}");
    }
    // One of several in a file, once and twice.
    let combined = |text: String| {
        let copy = copy_of("private-only");
        let n2 = fs::read_to_string(copy.path().join("nodes/n2.txt")).unwrap();
        fs::remove_dir_all(copy.path().join("nodes")).unwrap();
        fs::write(copy.path().join("nodes.txt"), format!("{text}>> node n2 <<\n{n2}")).unwrap();
        Netcheck::audit(copy.path()).json()
    };
    let (report, code) = combined(format!(">> node n1 <<\n{whole}"));
    assert_eq!((code, needed(&report)), (0, Vec::new()), "{report:#}");
    let (report, code) = combined(format!(">> node n1 <<\n{whole}>> node n1 <<\n{whole}"));
    assert_eq!(code, 3, "{report:#}");
    // The first line is that of the capture; programs of Windows write a byte order mark.
    let (report, code) = audit(format!("\u{feff}{whole}"));
    assert_eq!((code, needed(&report)), (0, Vec::new()), "{report:#}");
    let kubelet = row("kubelet", "192.168.1.55");
    for (damaged, detail) in [
        (format!("{heading}{kubelet}{first}{}", end(0, 1)), "does not begin with its first line"),
        (format!("\n{whole}"), "does not begin with its first line"),
        (format!("Warning: x\n{whole}"), "does not begin with its first line"),
        (whole.replacen(first, "", 1), "does not begin with its first line"),
        (whole.replacen(rows.lines().next().unwrap(), "", 1), "has 1 rows of 2"),
        (whole.replacen(rows.lines().next().unwrap(), "note", 1), "has 1 rows of 2"),
    ] {
        let (report, code) = audit(damaged.clone());
        let gaps = needed(&report);
        assert!(code != 0 && gaps.iter().any(|gap| gap.contains(detail)), "{damaged}: {code} {gaps:?}");
    }
    // A marker line of another node that is such a line is none.
    let (report, code) = audit(format!("{whole}>> node # eks-netcheck filtered 1 <<\n"));
    assert_eq!(code, 3, "{report:#}");
    // kube-proxy runs there, and has no socket.
    let capture = format!("{first}{heading}{}{}", row("kubelet", "192.168.1.55"), end(0, 1));
    let (report, code) = audit(capture);
    let gaps = needed(&report);
    assert!(code == 3 && gaps.iter().any(|gap| gap.contains("no socket of kube-proxy")), "{gaps:?}");
}
