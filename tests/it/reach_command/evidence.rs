//! Evidence that was not recorded, or of which a part is missing.

use serde_json::json;

use super::{reach, step, with_acls};
use crate::common::{Netcheck, copy_of, edit_json, story};

/// The next step of what is not known is that of its cause: evidence that is there need not be
/// recorded again.
#[test]
fn the_next_step_of_a_place_that_is_not_known_is_that_of_its_cause() {
    for (name, kinds) in [
        ("public-and-private-stale", ["route", "security-groups"]),
        ("study-public", ["route", "security-groups"]),
    ] {
        let (report, code) = reach(&story(name), "192.168.0.0/16").json();
        assert_eq!(code, 3, "{report:#}");
        for kind in kinds {
            let step = step(&report, kind);
            assert_eq!(step["result"], "unknown", "{report:#}");
            assert_eq!(
                step["fix"][0]["text"], "Pass the address of one host with --from",
                "{name} {kind}: {report:#}"
            );
        }
        let table = reach(&story(name), "192.168.0.0/16").run().stdout;
        for file in ["route-tables.json", "security-groups.json", "subnets.json"] {
            assert!(!table.contains(file), "{name}: {table}");
        }
        // One address was passed.
        let (report, code) = reach(&story(name), "192.168.1.200").json();
        assert_eq!(code, 3, "{report:#}");
        let step = step(&report, "security-groups");
        let why = step["why"].as_str().unwrap();
        assert!(why.contains("no recorded network interface has this address"), "{report:#}");
        let text = step["fix"][0]["text"].as_str().unwrap();
        assert!(text.contains("Check the address that is passed with --from"), "{report:#}");
    }
    let simulate = Netcheck::new(["simulate", "--evidence"]).arg(story("public-and-private-stale"));
    let ran = simulate.args(&["--access", "private", "--client", "bastion=192.168.1.5"]).run();
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("no recorded network interface has this address"), "{text}");
    assert!(!text.contains("no single network interface"), "{text}");
    // Evidence that is missing is recorded.
    let copy = copy_of("public-and-private-stale");
    std::fs::remove_file(copy.path().join("subnets.json")).unwrap();
    let table = reach(copy.path(), "192.168.1.200").run().stdout;
    assert!(table.contains("subnets.json"), "{table}");
}

/// A VPC's default network ACL lets everything pass, and few recordings have the file.
#[test]
fn network_acls_that_were_not_recorded_decide_nothing_and_are_named_with_the_command() {
    // It writes into the directory of the evidence.
    let path = story("private-only").join("network-acls.json");
    let command = format!(
        "aws ec2 describe-network-acls --region ap-northeast-2 --filters Name=vpc-id,Values=vpc-0743da384fd1e48f4 > {0}.new && mv {0}.new {0}",
        path.display()
    );
    let ran = reach(&story("private-only"), "192.168.11.10").env("COLUMNS", "60").run();
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    // On lines of its own, which a shell joins.
    let joined = crate::common::joined(&ran.stdout);
    assert!(joined.lines().any(|line| line.trim() == command), "{}", ran.stdout);
    let (report, code) = reach(&story("private-only"), "192.168.11.10").json();
    assert_eq!((code, &report["verdict"]), (0, &"yes".into()));
    let acl = step(&report, "network-acl");
    assert_eq!(acl["result"], "not-applicable");
    assert!(acl["why"].as_str().unwrap().contains("were not seen"), "{acl:#}");
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], report["gaps"].as_array().unwrap().len()), (&"network-acls.json".into(), 1));
    assert!(gap["hint"].as_str().unwrap().ends_with(&command), "{gap:#}");
    assert_eq!(step(&report, "security-groups")["result"], "met");
    // To the public endpoint too, of a place whose subnet is not known.
    let (report, _) = reach(&story("study-public"), "192.168.1.103").json();
    assert_eq!(step(&report, "network-acl")["result"], "not-applicable");
    // Where another condition is not met, that is the answer.
    assert_eq!(reach(&story("private-only"), "10.9.0.0/16").json().1, 1);
    // A node that is connected shows that they let it pass.
    let (report, code) = reach(&story("private-only"), "n1").json();
    assert_eq!((code, &report["gaps"]), (0, &serde_json::json!([])), "{report:#}");
    // No rule of audit needs them, and none misses them.
    let audit = Netcheck::audit(&story("private-only")).run();
    assert!(!audit.stdout.contains("network-acls"), "{}", audit.stdout);
}

/// Every subnet has an association with a network ACL, also with the default one.
#[test]
fn a_subnet_without_an_association_is_not_known_to_pass() {
    let dir = with_acls();
    assert_eq!(reach(dir.path(), "192.168.11.10").json().1, 0);
    edit_json(dir.path(), "network-acls.json", |json| json["NetworkAcls"][0]["Associations"] = json!([]));
    let (report, code) = reach(dir.path(), "192.168.11.10").json();
    assert_eq!((code, &step(&report, "network-acl")["result"]), (3, &"unknown".into()), "{report:#}");
}

/// Evidence of which its source says that it is a part proves nothing that the rest could
/// change.
#[test]
fn a_part_of_an_answer_is_no_yes() {
    // What the network ACLs of a missing page would deny decides no more than if none was seen.
    for (file, code) in [("security-groups.json", 3), ("network-acls.json", 0)] {
        let dir = with_acls();
        assert_eq!(reach(dir.path(), "192.168.11.10").run().code, 0);
        let manifest = json!({
            "version": "0.1.0", "time": "2026-01-01T00:00:00Z",
            "gaps": [{"what": file, "why": "incomplete", "detail": "a page is missing", "hint": ""}],
        });
        std::fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
        let ran = reach(dir.path(), "192.168.11.10").run();
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("a page is missing"), "{}", ran.stdout);
        // A connection does not need them.
        assert_eq!(reach(dir.path(), "n1").run().code, 0);
    }
}
