//! The cases under `fixtures/cases`: evidence from public reports, and evidence that
//! misleads, with the right answers.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Netcheck, copy, fixtures, scratch, subdirs};

/// A report with its right answer.
struct Case {
    name: &'static str,
    codes: &'static [i32],
    /// Words that the findings and gaps contain.
    contains: &'static [&'static str],
    /// Words that they do not contain.
    lacks: &'static [&'static str],
}

const REPORTS: [Case; 18] = [
    Case {
        name: "02-rows-shortened-by-hand",
        codes: &[1],
        contains: &[],
        lacks: &["cannot be parsed", "no line of its capture"],
    },
    Case { name: "03-grep-transcript", codes: &[1], contains: &[], lacks: &["no address in it"] },
    Case {
        name: "05-watch-loop-two-nodes",
        codes: &[1],
        contains: &["node-on-public-path", "192.168.1.170", "192.168.2.244", "2 machines"],
        lacks: &[],
    },
    Case {
        name: "08-elided-ssm-session",
        codes: &[3],
        contains: &["of kubelet or kube-proxy"],
        lacks: &["of its kubelet to the API server was seen"],
    },
    Case {
        name: "10-netstat-grep-kube-proxy",
        codes: &[3],
        contains: &["no socket of kubelet was seen"],
        lacks: &["kube-proxy to the API server", "machines"],
    },
    Case { name: "11-netstat-names", codes: &[3], contains: &[], lacks: &["\"status\":\"read\""] },
    Case { name: "13-own-dns-private-only", codes: &[0], contains: &[], lacks: &["DHCP"] },
    Case { name: "17-dns-as-pasted", codes: &[0], contains: &[], lacks: &["no address in it"] },
    Case {
        name: "20-no-way-out-open",
        codes: &[1],
        contains: &["node-cut-off", "no public address to leave with"],
        lacks: &[],
    },
    Case {
        name: "21-no-way-out-restricted",
        codes: &[1],
        contains: &["node-egress-not-allowed", "no public address to leave with"],
        lacks: &["curl"],
    },
    Case {
        name: "26-nat64-answer-and-hang",
        codes: &[3],
        contains: &["endpoint-connection-hanging"],
        lacks: &["\"path\":\"public-endpoint\"", "over the public endpoint"],
    },
    Case {
        name: "28-interface-replaced",
        codes: &[3],
        contains: &["unattributed-connection", "in the VPC, and no network interface has it"],
        lacks: &[],
    },
    Case {
        name: "29-kubelet-through-proxy",
        codes: &[3],
        contains: &["3128 (probably an HTTP proxy)"],
        lacks: &["kube-proxy to the API server"],
    },
    Case {
        name: "31-hybrid-node-both-endpoints",
        codes: &[1],
        contains: &["node-on-public-path", "hybrid node", "turn one of them off"],
        lacks: &["unexpected-kubelet-client"],
    },
    Case {
        name: "38-loop-second-kubelet-missing",
        codes: &[3],
        contains: &["2 machines"],
        lacks: &["\"path\":\"private\",\"node\":"],
    },
    Case {
        name: "39-kube-proxy-on-replaced-interface",
        codes: &[3],
        contains: &["kube-proxy is connected to 192.168.1.91:443"],
        lacks: &[],
    },
    Case {
        name: "42-agent-left-on-public",
        codes: &[0],
        contains: &["node-agent-on-public-path", "aws-k8s-agent", "would cut it off"],
        lacks: &[],
    },
    Case {
        name: "44-no-443-from-nodes",
        codes: &[1],
        contains: &[
            "SYN-SENT",
            "add to sg-0c1c1c1c1c1c1c1c1 an inbound rule for TCP 443 from sg-00de0000000000001",
        ],
        lacks: &[],
    },
];

#[test]
fn public_reports_are_answered_right() {
    let names: Vec<_> = REPORTS.iter().map(|case| case.name).collect();
    assert_eq!(subdirs(&fixtures().join("cases/reports")), names);
    for Case { name, codes, contains, lacks } in REPORTS {
        let (mut report, code) = Netcheck::audit(&fixtures().join("cases/reports").join(name)).json();
        // The remediation of a rule is general.
        for finding in report["findings"].as_array_mut().unwrap() {
            finding.as_object_mut().unwrap().remove("remediation");
        }
        let text = report.to_string();
        assert!(codes.contains(&code), "{name}: {code} {}", report["gaps"]);
        for word in contains {
            assert!(text.contains(word), "{name} lacks {word:?}: {} {}", report["findings"], report["gaps"]);
        }
        for word in lacks {
            assert!(!text.contains(word), "{name} has {word:?}: {} {}", report["findings"], report["gaps"]);
        }
    }
}

/// The same connection several times, as a loop records it, is one.
#[test]
fn a_connection_that_was_recorded_twice_counts_once() {
    let (report, _) = Netcheck::audit(&fixtures().join("cases/reports/05-watch-loop-two-nodes")).json();
    let rows: Vec<_> = report["connections"].as_array().unwrap().iter().map(Value::to_string).collect();
    let unique: std::collections::BTreeSet<_> = rows.iter().collect();
    assert_eq!(unique.len(), rows.len());
}

/// Rows that were shortened by hand are rows: two such recordings show the exec.
#[test]
fn the_exec_shows_between_recordings_that_were_shortened_by_hand() {
    let during = fixtures().join("cases/reports/02-rows-shortened-by-hand");
    let before = scratch();
    copy(&during, before.path());
    let path = before.path().join("nodes.txt");
    let capture = fs::read_to_string(&path).unwrap();
    let is_exec = |line: &&str| line.contains(":10250") && line.contains("kubelet");
    assert!(capture.lines().any(|line| is_exec(&line)), "{capture}");
    let without: Vec<_> = capture.lines().filter(|line| !is_exec(line)).collect();
    fs::write(&path, without.join("\n") + "\n").unwrap();
    let ran = Netcheck::diff(before.path(), &during).args(&["--format", "json"]).run();
    let diff: Value = serde_json::from_str(&ran.stdout).unwrap();
    let appeared = diff["changes"].as_array().unwrap().iter();
    let mut appeared = appeared.filter(|change| change["change"] == "appeared");
    assert!(appeared.any(|change| change["path"] == "private-eni"), "{diff}");
}

/// `EXPECT` of a case, as keys and values.
fn expected(case: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(case.join("EXPECT")).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Creates what a case needs and a repository cannot hold.
fn set_up(case: &str, dir: &Path) {
    match case {
        "evidence-links-out" => {
            fs::write(dir.join("private.txt"), "password=TOPSECRET\n").unwrap();
            for sub in ["dns", "nodes"] {
                symlink("../../private.txt", dir.join("evidence").join(sub).join("zz.txt")).unwrap();
            }
        }
        "markdown-of-a-line-of-dots" => {
            fs::write(dir.join("evidence/dns/zz.txt"), ".".repeat(1_024_000) + "\n").unwrap();
        }
        "policy-of-somebody-else" => {
            let policy = dir.join("build/eks-netcheck.toml");
            fs::create_dir_all(dir.join("build/a")).unwrap();
            fs::write(&policy, "fail-on = \"never\"\n").unwrap();
            // Only root can give a file away.
            let _ = std::os::unix::fs::chown(&policy, Some(65534), Some(65534));
            fs::set_permissions(&policy, fs::Permissions::from_mode(0o666)).unwrap();
        }
        _ => {}
    }
}

#[test]
fn misleading_evidence_is_judged_right() {
    let cases = subdirs(&fixtures().join("cases/verdict"));
    assert!(cases.len() >= 20);
    let mut wrong = Vec::new();
    for name in cases {
        let scratch = scratch();
        copy(&fixtures().join("cases/verdict").join(&name), scratch.path());
        set_up(&name, scratch.path());
        let expected = expected(scratch.path());
        let words: Vec<_> = expected["command"].split(' ').collect();
        let dir = expected.get("cwd").map_or(scratch.path().to_owned(), |cwd| scratch.path().join(cwd));
        let began = Instant::now();
        let ran = Netcheck::new(words).dir(&dir).run();
        let limit = Duration::from_secs(expected["timeout"].parse().unwrap());
        let secret = expected.get("not-in-output");
        let is_leaked = secret.is_some_and(|text| (ran.stdout.clone() + &ran.stderr).contains(text));
        let is_right = expected["exit"].split('|').any(|code| code == ran.code.to_string());
        if !is_right || is_leaked || began.elapsed() > limit {
            wrong.push(format!("{name}: {} after {:?}, {}", ran.code, began.elapsed(), expected["why"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
