//! The report: the answer, its reasons, and what is kept out of it.

use eks_netcheck::report::text::is_hostile;
use serde_json::{Value, json};

use super::{reach, step, with_acls, without_the_bastion};
use crate::common::{copy_of, copy_probe, edit_json, fixtures, root, scratch, story};

#[test]
fn the_table_has_the_answer_its_reasons_and_the_command() {
    let dir = with_acls();
    without_the_bastion(dir.path());
    for width in [80, 200] {
        let ran = reach(dir.path(), "192.168.11.10").env("COLUMNS", &width.to_string()).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
        let head = "NO  192.168.11.10 does not reach the private endpoint of myeks: no inbound rule";
        assert!(ran.stdout.starts_with(&head[..70]), "{}", ran.stdout);
        let rows: Vec<Vec<_>> =
            ran.stdout.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
        for row in [["name", "met", "with"], ["route", "met", "it"], ["security-groups", "NOT", "met"]] {
            assert!(rows.iter().any(|cells| cells.starts_with(&row)), "{row:?} in {}", ran.stdout);
        }
        assert!(!ran.stdout.contains("public-access-cidrs"), "{}", ran.stdout);
        let joined = crate::common::joined(&ran.stdout);
        let command = joined.lines().find(|line| line.contains("authorize-security-group-ingress")).unwrap();
        assert!(
            command.contains("--group-id sg-043c307828ef68129")
                && command.contains("GroupId=sg-051dadfda260b0305")
        );
        // A word of a command is not broken.
        let too_long = ran
            .stdout
            .lines()
            .filter(|line| line.chars().count() > width && line.split_whitespace().count() > 2);
        assert_eq!(too_long.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

/// The answer is yes, and the line says that not every connection is.
#[test]
fn an_address_that_is_not_reached_is_in_the_answer() {
    let story = crate::common::fixtures().join("reach/peered-vpc-with-one-route-back/evidence");
    let dir = crate::common::copy_of_dir(&crate::common::fixtures().join("access/private"));
    crate::common::copy(&story, dir.path());
    let ran = reach(dir.path(), "10.50.3.7").run();
    let head = "YES  10.50.3.7 reaches the private endpoint of myeks, but some connections hang: see route\n";
    assert!(ran.code == 0 && ran.stdout.starts_with(head), "{}", ran.stdout);
    assert!(ran.stdout.contains("What to do\n  1. Add a route to 10.50.3.7/32 in rtb-09c51c1c6edb922e8"));
    let whole = crate::common::fixtures().join("reach/peered-vpc-that-is-admitted/evidence");
    crate::common::copy(&whole, dir.path());
    let ran = reach(dir.path(), "10.50.3.7").run();
    assert!(
        ran.stdout.starts_with("YES  10.50.3.7 reaches the private endpoint of myeks\n"),
        "{}",
        ran.stdout
    );
}

/// The reason is in the answer and in the table; what is not seen has the next step alone.
#[test]
fn a_reason_is_not_repeated() {
    let dir = crate::common::copy_of_dir(&crate::common::fixtures().join("access/private"));
    let ran = reach(dir.path(), "192.168.0.0/15").env("COLUMNS", "200").run();
    let words = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    // Once each in the first line and in the table.
    assert_eq!(words.matches("only a part of it is in the VPC").count(), 2, "{}", ran.stdout);
    assert!(ran.stdout.contains("Not seen\n  - route: pass a block within the VPC"), "{}", ran.stdout);
}

#[test]
fn json_follows_its_schema_and_is_written_whole() {
    let schema = std::fs::read_to_string(root().join("src/report/reach.v1.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let dir = with_acls();
    let out = scratch();
    let file = out.path().join("reach.json");
    for (from, code, verdict) in [
        ("n1", 0, "yes"),
        ("192.168.11.10", 0, "yes"),
        ("203.0.113.7", 1, "no"),
        ("10.9.0.0/16", 1, "no"),
        ("192.168.11.77", 3, "unknown"),
        ("here", 3, "unknown"),
    ] {
        let ran = reach(dir.path(), from)
            .args(&["--format", "json", "--write"])
            .arg(format!("json={}", file.display()))
            .run();
        assert_eq!(ran.code, code, "{from}: {}{}", ran.stdout, ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let errors: Vec<_> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), ran.stdout);
        assert_eq!(report["schema"], "eks-netcheck.reach.v1");
        assert_eq!(report["cluster"], "myeks");
        assert_eq!(report["verdict"], verdict, "{from}");
        // Unknown says what is missing.
        let gaps = report["gaps"].as_array().unwrap();
        let is_needed = |gap: &&Value| gap["what"] != "network-acls.json";
        assert_eq!(gaps.iter().any(|gap| is_needed(&gap)), verdict == "unknown", "{report:#}");
        assert_eq!(ran.stderr, "");
    }
    let (report, _) = reach(dir.path(), "203.0.113.7").json();
    assert_eq!(report["from"], "203.0.113.7");
    assert_eq!(step(&report, "route")["result"], "not-met");
    assert!(step(&report, "route")["fix"][0]["text"].is_string());
}

/// An answer shows that what applies on the way is met. What does not apply there does not apply.
#[test]
fn an_answer_does_not_show_conditions_that_do_not_apply() {
    let dir = copy_of("study-public");
    copy_probe(&fixtures().join("rules/anonymous-version-disclosed/fires"), dir.path());
    let (report, code) = reach(dir.path(), "here").json();
    let results: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| &step["result"]).collect();
    let expected = ["met", "met", "not-applicable", "not-applicable", "not-applicable", "met", "met"];
    assert_eq!((results, code), (expected.map(serde_json::Value::from).iter().collect(), 0), "{report}");
    let text = reach(dir.path(), "here").run().stdout;
    assert!(text.contains("the public endpoint has no security groups"), "{text}");
    assert!(!text.contains("for the same reason"), "{text}");
    // They apply to a node of the VPC, whose connection meets them.
    let text = reach(dir.path(), "n1").run().stdout;
    assert_eq!(text.matches("met     for the same reason").count(), 3, "{text}");
}

#[test]
fn hostile_names_are_escaped_and_kept_out_of_commands() {
    let hostile = "x\u{1b}[2J\u{202e}; rm -rf ~\n::error::";
    let dir = with_acls();
    without_the_bastion(dir.path());
    let text = |file: &str, old: &str| {
        let path = dir.path().join(file);
        let json = serde_json::to_string(hostile).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace(&format!("\"{old}\""), &json);
        std::fs::write(path, text).unwrap();
    };
    for file in ["security-groups.json", "network-interfaces.json", "cluster.json", "instances.json"] {
        for id in ["sg-043c307828ef68129", "sg-051dadfda260b0305", "i-0ee483ee5fe7933d4"] {
            text(file, id);
        }
    }
    text("network-acls.json", "acl-0a1b2c3d4e5f60718");
    let deny = |json: &mut Value| json["NetworkAcls"][0]["Entries"][0]["RuleAction"] = json!("deny");
    let groups = reach(dir.path(), "192.168.11.10").run();
    edit_json(dir.path(), "network-acls.json", deny);
    let acl = reach(dir.path(), "192.168.11.10").run();
    for (ran, command) in [(groups, "authorize-security-group-ingress"), (acl, "create-network-acl-entry")] {
        assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.lines().all(|line| !line.contains(is_hostile)), "{:?}", ran.stdout);
        let command = ran.stdout.lines().find(|line| line.contains(command)).unwrap();
        assert!(!command.contains("rm -rf"), "{command}");
    }
    for format in ["json", "table"] {
        let ran = reach(dir.path(), "192.168.11.10").args(&["--format", format]).run();
        assert!(ran.stdout.lines().all(|line| !line.contains(is_hostile)), "{:?}", ran.stdout);
    }
}

/// A report that a small terminal shows whole has its answer once, a longer one at its end too and
/// then without the reason.
#[test]
fn the_answer_is_said_again_where_it_has_scrolled_away() {
    for (columns, answers) in [("200", 1), ("40", 2)] {
        let ran = reach(&story("public-and-private-stale"), "198.51.100.7").env("COLUMNS", columns).run();
        let rows = ran.stdout.lines().count();
        assert_eq!(rows >= 24, answers == 2, "{rows}: {}", ran.stdout);
        let word = ran.stdout.split_whitespace().next().unwrap();
        let number = ran.stdout.lines().filter(|line| line.starts_with(word)).count();
        assert_eq!(number, answers, "{}", ran.stdout);
    }
}
