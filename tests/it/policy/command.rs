//! `policy init` and `policy check`.

use std::path::Path;

use super::waiver;
use crate::common::{Netcheck, Ran, scratch, story};

fn policy(dir: &Path, args: &[&str]) -> Ran {
    Netcheck::new(["policy"]).args(args).dir(dir).run()
}

#[test]
fn policies_can_be_created_and_checked() {
    let dir = scratch();
    assert_eq!(policy(dir.path(), &["check"]).code, 2);
    assert_eq!(policy(dir.path(), &["init"]).code, 0);
    let ran = policy(dir.path(), &["check"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("no problem found"), "{}", ran.stdout);
    // An existing policy is not overwritten.
    let again = policy(dir.path(), &["init"]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("eks-netcheck.toml"), "{}", again.stderr);
    let written = std::fs::read_to_string(dir.path().join("eks-netcheck.toml")).unwrap();
    assert_eq!(policy(dir.path(), &["init", "-"]).stdout, written);
    // Expired waivers are listed, and are no error.
    std::fs::write(dir.path().join("old.toml"), waiver("public-endpoint-open", "*", "2024-01-01")).unwrap();
    let ran = policy(dir.path(), &["check", "old.toml"]);
    assert!(ran.code == 0 && ran.stdout.contains("old.toml:1: the waiver"), "{}", ran.stdout);
    // Several files in one run, as pre-commit passes them: the errors of all.
    std::fs::write(dir.path().join("bad.toml"), "fail-on = \"hihg\"\n").unwrap();
    let ran = policy(dir.path(), &["check", "old.toml", "bad.toml"]);
    assert!(ran.code == 2 && ran.stderr.contains("bad.toml:1:"), "{}", ran.stderr);
    std::fs::write(dir.path().join("worse.toml"), "fail_on = \"high\"\n[rules]\nx = \"low\"\n").unwrap();
    let ran = policy(dir.path(), &["check", "bad.toml", "none.toml", "worse.toml", "old.toml"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let lines: Vec<_> = ran.stderr.lines().collect();
    let begins = [
        "error: bad.toml:1:11: ",
        "error: cannot read the policy none.toml",
        "error: worse.toml:1:1: ",
        "error: worse.toml:3:1: ",
        "error: 4 errors",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:?}");
    assert!(lines.iter().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{lines:?}");
    assert!(ran.stdout.contains("old.toml:1: the waiver"), "{}", ran.stdout);
    // Other commands name the first one.
    let ran = Netcheck::audit(&story("private-only")).dir(dir.path()).args(&["--policy", "worse.toml"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("worse.toml:1:1: ") && ran.stderr.contains("and 1 more"), "{}", ran.stderr);
}

/// Each error of a key or a type costs as much as the file: no more than some are looked for.
#[test]
fn the_total_of_errors_is_not_made_up() {
    let dir = scratch();
    let path = dir.path().join("bad.toml");
    let check = || policy(dir.path(), &["check", "bad.toml"]);
    let audit =
        || Netcheck::audit(&story("private-only")).dir(dir.path()).args(&["--policy", "bad.toml"]).run();
    let overrides = |number: usize| "[[override]]\nclusters = [\"a\"]\nfail-on = 3\n".repeat(number);
    for (number, last) in [(1, "error: bad.toml:3:"), (2, "error: 2 errors"), (99, "error: 99 errors")] {
        std::fs::write(&path, overrides(number)).unwrap();
        let ran = check();
        assert!(ran.code == 2 && ran.stderr.lines().last().unwrap().starts_with(last), "{}", ran.stderr);
    }
    std::fs::write(&path, overrides(150)).unwrap();
    let ran = check();
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!((ran.code, lines.len()), (2, 101), "{}", ran.stderr);
    assert_eq!(lines[100], "error: the first 100 errors; there may be more");
    let ran = audit();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("bad.toml:3:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("; and more: eks-netcheck policy check lists them"), "{}", ran.stderr);
    // Errors of values cost nothing: all of them are counted.
    std::fs::write(
        &path,
        (0..150).fold("[rules]\n".to_owned(), |text, id| format!("{text}x{id} = \"low\"\n")),
    )
    .unwrap();
    let ran = check();
    assert_eq!(ran.stderr.lines().last(), Some("error: 150 errors"), "{}", ran.stderr);
    assert!(audit().stderr.contains("and 149 more"), "{}", audit().stderr);
}

#[test]
fn what_is_no_toml_is_one_error() {
    let dir = scratch();
    let passwd = "root:x:0:0:root:/root:/bin/bash\nbin:x:1:1:bin:/bin:/sbin/nologin\n".repeat(20);
    let yaml = "rules:\n  public-endpoint-open: off\nwaiver:\n  - rule: x\n";
    let json = "{\n  \"rules\": {\n    \"public-endpoint-open\": \"off\"\n  }\n}\n";
    for text in [&passwd, yaml, json, "<html>\n<body>\n</body>\n</html>\n"] {
        std::fs::write(dir.path().join("x"), text).unwrap();
        let ran = policy(dir.path(), &["check", "x"]);
        assert_eq!((ran.code, ran.stderr.lines().count()), (2, 1), "{}", ran.stderr);
        assert!(ran.stderr.starts_with("error: x:1:"), "{}", ran.stderr);
        assert!(ran.stderr.contains("this is not a policy in TOML: "), "{}", ran.stderr);
    }
    // A policy with errors of the syntax has all of them, wherever its keys are.
    for text in [
        "fail-on = high\nx y\n",
        "x y\nz\n  [rules]\n",
        "a b\nc\n[[ waiver ]]\n",
        "a b\nc\nendpoint.access = 3\n",
    ] {
        std::fs::write(dir.path().join("x"), text).unwrap();
        let ran = policy(dir.path(), &["check", "x"]);
        assert!(ran.stderr.contains("error: 2 errors"), "{text}: {}", ran.stderr);
    }
}

/// What has expired, or soon will, fails a strict check alone.
#[test]
fn a_strict_check_fails_before_entries_expire() {
    let dir = scratch();
    let day = |days: i64| {
        let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        day.strftime("%Y-%m-%d").to_string()
    };
    let check = |expires: &str, args: &[&str]| {
        std::fs::write(dir.path().join("p.toml"), waiver("public-endpoint-open", "*", expires)).unwrap();
        let ran = policy(dir.path(), &[&["check", "p.toml"], args].concat());
        (ran.code, ran.stdout + &ran.stderr)
    };
    for (days, args, code) in [
        (-2, &["--strict"][..], 1),
        (3, &["--strict"], 1),
        (12, &["--strict"], 1),
        (20, &["--strict"], 0),
        (20, &["--strict", "--within", "30"], 1),
        (3, &["--strict", "--within", "1"], 0),
        (-2, &["--strict", "--within", "0"], 1),
        (-2, &[], 0),
        (3, &[], 0),
    ] {
        let (found, text) = check(&day(days), args);
        assert_eq!(found, code, "{days} {args:?}: {text}");
        assert_eq!(
            text.contains("p.toml:1: the waiver of public-endpoint-open"),
            code == 1 || days < 0,
            "{days} {args:?}: {text}"
        );
    }
    let block = format!(
        "[[allowed-cidr]]\ncidr = \"203.0.113.0/24\"\nowner = \"o\"\nreason = \"r\"\nexpires = {}\n",
        day(5)
    );
    let gap =
        format!("[[accept-gap]]\nsubject = \"nodes\"\nowner = \"o\"\nreason = \"r\"\nexpires = {}\n", day(5));
    std::fs::write(dir.path().join("p.toml"), block + &gap).unwrap();
    let ran = policy(dir.path(), &["check", "p.toml", "--strict"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("p.toml:1: 203.0.113.0/24 is allowed until")
            && ran.stdout.contains("p.toml:6: the acceptance of the gap"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("2 entries have expired, or will within 14 days"), "{}", ran.stderr);
}
