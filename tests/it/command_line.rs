//! Flags, exit codes, report files and standard output.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{Netcheck, scratch, story};

#[test]
fn fail_on_sets_the_exit_code_and_formats_do_not_change_it() {
    let dir = story("node-egress-missing");
    for (threshold, code) in [("critical", 0), ("high", 1), ("medium", 1), ("low", 1), ("never", 0)] {
        for format in ["table", "json"] {
            let ran = Netcheck::audit(&dir).args(&["--fail-on", threshold, "--format", format]).run();
            assert_eq!(ran.code, code, "{threshold} {format}");
        }
    }
    let ran = Netcheck::audit(&story("study-public")).args(&["--fail-on", "never"]).run();
    assert_eq!(ran.code, 0);
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [
        &["audit"][..],
        &["audit", "--cluster", "x", "--nodes", "none"],
        &["audit", "--cluster", ""],
        &["audit", "--cluster", "x", "--node", "a=b", "--node", "a=c"],
        &["audit", "--cluster", "x", "--node", "here"],
        &["audit", "--cluster", "x", "--node", "10.0.0.2", "--resolver", "10.0.0.2"],
        &["audit", "--cluster", "x", "--evidence", "y", "--write", "json=f", "--write", "table=./f"],
        &["\u{1b}[31maudit"],
        &["frobnicate"],
        &["audit", "--cluster", "x", "--evidence", "y", "--fail-on", "bad"],
        &["audit", "--cluster", "x", "--evidence", "y", "--write", "json"],
        &["audit", "--cluster", "x", "--evidence", "y", "--write", "xml=f"],
        &[],
    ] {
        let ran = Netcheck::new(args).run();
        assert_eq!(ran.code, 2, "{args:?}");
        assert_eq!(ran.stdout, "");
        assert!(!ran.stderr.is_empty());
        assert!(!ran.stderr.contains('\u{1b}'), "{args:?}: {:?}", ran.stderr);
    }
}

/// kubectl runs `kubectl-eks_netcheck` for `kubectl eks-netcheck`, and krew makes that link.
#[test]
fn help_and_errors_of_a_plugin_have_what_was_typed() {
    let dir = scratch();
    let run = |name: &str, args: &[&str]| {
        let link = dir.path().join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_eks-netcheck"), &link).unwrap();
        }
        let output = Command::new(link).args(args).env_clear().current_dir(dir.path()).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let help = run("kubectl-eks_netcheck", &["audit", "--help"]);
    assert!(help.contains("Usage: kubectl eks-netcheck audit "), "{help}");
    let error = run("kubectl-eks-netcheck", &["audit", "--nonsense"]);
    assert!(error.contains("Usage: kubectl eks netcheck audit "), "{error}");
    // Another name is one of the user's choice.
    let renamed = run("netcheck", &["audit", "--help"]);
    assert!(renamed.contains("Usage: netcheck audit "), "{renamed}");
    // The commands that errors name as the next step.
    for (name, typed) in [
        ("kubectl-eks_netcheck", "kubectl eks-netcheck"),
        ("eks-netcheck", "eks-netcheck"),
        ("netcheck", "netcheck"),
    ] {
        let error = run(name, &["explain", "nonsense-in-the-extreme"]);
        assert!(error.contains(&format!("tip: `{typed} explain` lists the rules")), "{error}");
    }
    let error = run("kubectl-eks_netcheck", &["policy", "check"]);
    assert!(error.contains("write one with: kubectl eks-netcheck policy init\n"), "{error}");
}

#[test]
fn help_lists_the_exit_codes() {
    for args in [&["--help"][..], &["audit", "--help"]] {
        let ran = Netcheck::new(args).run();
        assert_eq!(ran.code, 0);
        for line in [
            "0   judged, and nothing",
            "1   judged, and findings",
            "2   usage",
            "3   could not judge",
            "4   nothing to judge",
            "70  a bug",
        ] {
            assert!(ran.stdout.contains(line), "{args:?} lacks {line}");
        }
    }
}

#[test]
fn colour_follows_clicolor_force_and_no_color() {
    let dir = story("study-public");
    let plain = Netcheck::audit(&dir).run().stdout;
    assert!(!plain.contains('\x1b'));
    let coloured = Netcheck::audit(&dir).env("CLICOLOR_FORCE", "1").run().stdout;
    assert!(coloured.contains("\x1b["));
    let without = Netcheck::audit(&dir).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").run().stdout;
    assert_eq!(without, plain);
    // Without its escape sequences, coloured output equals plain output.
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn one_run_can_write_several_reports() {
    let dir = scratch();
    let (json, table) = (dir.path().join("report.json"), dir.path().join("report.txt"));
    fs::write(&json, "an older and longer report".repeat(1000)).unwrap();
    let write = [format!("json={}", json.display()), format!("table={}", table.display())];
    let audit = Netcheck::audit(&story("study-public"));
    let ran = audit.args(&["--write", &write[0], "--write", &write[1]]).run();
    assert_eq!(ran.code, 1);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["verdict"], "fail");
    assert_eq!(fs::read_to_string(&table).unwrap(), ran.stdout);
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_unwritable_report_path_is_refused_before_the_audit() {
    let ran =
        Netcheck::audit(&story("study-public")).args(&["--write", "json=/nonexistent/report.json"]).run();
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stdout, "");
    assert_eq!(
        ran.stderr,
        "error: cannot write to /nonexistent/report.json: there is no directory /nonexistent\n"
    );
}

#[test]
fn reports_get_default_permissions_and_keep_existing_ones() {
    use std::os::unix::fs::PermissionsExt;
    let dir = scratch();
    let file = dir.path().join("report.json");
    Netcheck::audit(&story("study-public")).args(&["--write", &format!("json={}", file.display())]).run();
    let other = dir.path().join("other");
    fs::write(&other, "").unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&file), mode(&other));
    // An existing file keeps its mode.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    Netcheck::audit(&story("study-public")).args(&["--write", &format!("json={}", file.display())]).run();
    assert_eq!(mode(&file) & 0o777, 0o600);
}

#[test]
fn writing_into_the_evidence_directory_is_refused() {
    let copy = crate::common::copy_of("study-public");
    for file in ["cluster.json", "nodes/n3.txt"] {
        let write = format!("json={}", copy.path().join(file).display());
        let ran = Netcheck::audit(copy.path()).args(&["--write", &write]).run();
        assert_eq!(ran.code, 2, "{file}");
        assert!(ran.stderr.contains("in the evidence directory"), "{}", ran.stderr);
    }
    assert_eq!(Netcheck::audit(copy.path()).run().code, 1);
}

#[test]
fn a_refused_run_keeps_the_existing_report() {
    let dir = scratch();
    let file = dir.path().join("report.json");
    fs::write(&file, "older").unwrap();
    let ran = Netcheck::audit(dir.path()).args(&["--write", &format!("json={}", file.display())]).run();
    assert_eq!(ran.code, 2);
    assert_eq!(fs::read_to_string(&file).unwrap(), "older");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn devices_are_written_to_and_not_replaced() {
    let ran = Netcheck::audit(&story("study-public")).args(&["--write", "json=/dev/null"]).run();
    assert_eq!(ran.code, 1);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_closed_standard_output_does_not_change_the_exit_code() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"))
        .args(["audit", "--cluster", "myeks", "--evidence"])
        .arg(story("study-public"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn rules_are_found_however_they_are_typed() {
    let explain = |rule: &str| Netcheck::new(["explain", rule]).run();
    let right = explain("public-endpoint-open");
    assert_eq!(right.code, 0);
    for rule in
        ["PUBLIC-ENDPOINT-OPEN", "public_endpoint_open", "Public_Endpoint-open", " public endpoint open"]
    {
        assert_eq!(explain(rule).stdout, right.stdout, "{rule}");
    }
    for (wrong, near) in [
        ("public-endpiont-open", "'public-endpoint-open'"),
        ("PUBLIC_ENDPOINT_OPN", "'public-endpoint-open'"),
        ("certificate", "'endpoint-certificate-mismatch'"),
        ("security-group", "'security-group-blocks-kubelet'"),
        ("dns", "'private-dns-unavailable'"),
    ] {
        let ran = explain(wrong);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{wrong}");
        assert!(ran.stderr.contains("similar value") && ran.stderr.contains(near), "{wrong}: {}", ran.stderr);
    }
    for wrong in ["", "q", "frobnicate", "\u{1b}[31mopen", "public-endpoint-open-and-more-and-more-and-more"]
    {
        let ran = explain(wrong);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{wrong}");
        assert!(ran.stderr.contains("tip: ") && !ran.stderr.contains('\u{1b}'), "{wrong}: {}", ran.stderr);
    }
}

#[test]
fn misspelt_formats_and_commands_have_a_suggestion() {
    let dir = story("study-public");
    for (args, near) in [
        (&["--format", "jsno"][..], "'json'"),
        (&["--write", "srif=out"], "sarif=out"),
        (&["--fail-on", "hihg"], "'high'"),
        (&["--formt", "json"], "'--format'"),
    ] {
        let ran = Netcheck::audit(&dir).args(args).run();
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.stderr.contains(near), "{args:?}: {}", ran.stderr);
    }
    assert!(Netcheck::new(["adit"]).run().stderr.contains("'audit'"));
}

#[test]
fn rules_are_explained_as_json() {
    let explain = |args: &[&str]| {
        let ran = Netcheck::new(["explain", "--format", "json"].iter().chain(args)).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let schema =
            fs::read_to_string(crate::common::root().join("src/report/rules.v1.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
        let errors: Vec<_> = schema.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(json["schema"], "eks-netcheck.rules.v1");
        assert_eq!(json["tool"]["version"], env!("CARGO_PKG_VERSION"));
        json["rules"].as_array().unwrap().clone()
    };
    let all = explain(&[]);
    let ids: Vec<_> = all.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let known: Vec<_> = eks_netcheck::rules::ALL.iter().map(|rule| rule.id).collect();
    assert_eq!(ids, known);
    let [rule] = explain(&["nat_address_not_stable"]).try_into().unwrap();
    assert_eq!(rule, all[ids.iter().position(|id| *id == "nat-address-not-stable").unwrap()]);
    assert_eq!((&rule["severity"], &rule["without_evidence"]), (&"medium".into(), &"not-judged".into()));
    let [open] = explain(&["public-endpoint-open"]).try_into().unwrap();
    let controls = open["controls"].as_array().unwrap();
    assert!(controls.iter().any(|control| control["id"] == "EKS.1"), "{controls:?}");
}

#[test]
fn the_name_of_a_recorded_cluster_is_not_required() {
    let dir = story("private-only");
    let dir = dir.to_str().unwrap();
    for args in [&["audit"][..], &["simulate", "--access", "public"], &["reach", "--from", "10.50.0.0/16"]] {
        let run = |more: &[&str]| Netcheck::new(args.iter().chain(&["--evidence", dir]).chain(more)).run();
        let (with, without) = (run(&["--cluster", "myeks"]), run(&[]));
        assert_eq!((with.code, with.stdout.as_str()), (without.code, without.stdout.as_str()), "{args:?}");
        assert!(with.stdout.contains("myeks"), "{}", with.stdout);
        let other = run(&["--cluster", "other"]);
        assert_eq!((other.code, other.stdout.as_str()), (4, ""), "{args:?}");
        assert!(other.stderr.contains("describes the cluster \"myeks\", not \"other\""), "{}", other.stderr);
        // Without either, there is no cluster.
        let ran = Netcheck::new(args).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ran.stderr.contains("--cluster <NAME>"), "{args:?}: {}", ran.stderr);
        // The name is in cluster.json only.
        let empty = scratch();
        let ran = Netcheck::new(args).arg("--evidence").arg(empty.path()).run();
        assert_eq!(ran.code, 2);
        assert!(ran.stderr.contains("has no cluster.json"), "{}", ran.stderr);
        // The directory that recordings are in.
        let ran = Netcheck::new(args).arg("--evidence").arg(story("private-only").parent().unwrap()).run();
        assert_eq!(ran.code, 2);
        let other = "/cluster-ip-client has one: name a single directory";
        assert!(ran.stderr.contains(other), "{}", ran.stderr);
    }
    let all = Netcheck::new(["audit", "--all-clusters", "--cluster", "myeks"]).run();
    assert_eq!(all.code, 2);
    assert!(all.stderr.contains("cannot be used with"), "{}", all.stderr);
}

#[test]
fn a_plan_is_of_the_recorded_cluster() {
    let dir = story("public-and-private-stale");
    let plan = scratch();
    let plan = plan.path().join("plan.json");
    let values = |public: bool| serde_json::json!({"name": "myeks", "vpc_config": [{"endpoint_public_access": public, "endpoint_private_access": true}]});
    let json = serde_json::json!({
        "format_version": "1.2",
        "resource_changes": [{
            "address": "aws_eks_cluster.this", "mode": "managed", "type": "aws_eks_cluster", "name": "this",
            "change": {"actions": ["update"], "before": values(true), "after": values(false), "after_unknown": {}},
        }],
    });
    fs::write(&plan, json.to_string()).unwrap();
    let ran = Netcheck::new(["simulate", "--evidence"]).arg(&dir).arg("--plan").arg(&plan).run();
    let named =
        Netcheck::new(["simulate", "--cluster", "myeks", "--evidence"]).arg(&dir).arg("--plan").arg(&plan);
    assert!(ran.stdout.contains("myeks"), "{}", ran.stderr);
    assert_eq!(ran.stdout, named.run().stdout);
}

#[test]
fn durations_are_written_in_one_way_everywhere() {
    let audit = |timeout: &str| Netcheck::new(["audit", "--cluster", "x", "--timeout", timeout]).run();
    let trace = |option: &str, value: &str| Netcheck::new(["trace", "--cluster", "x", option, value]).run();
    for (ran, expected) in [
        (
            audit("5 parsecs"),
            "expected a duration, such as 500ms, 30s, 5m or 1h30m; a number alone is in seconds",
        ),
        (audit("500ms"), "the minimum is 1s"),
        (audit("0"), "the minimum is 1s"),
        (audit("61m"), "the maximum is 1h"),
        (audit("3601"), "the maximum is 1h"),
        (trace("--interval", "19ms"), "the minimum is 20ms"),
        (trace("--interval", "1h1s"), "the maximum is 1h"),
        (trace("--settle", "2h"), "the maximum is 1h"),
        (trace("--settle", "-1s"), "unexpected argument '-1'"),
        (trace("--settle=-1s", "true"), "expected a duration"),
    ] {
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    // What is accepted gets as far as the next error: no option of a recorded audit is left.
    let recorded = story("private-only");
    for timeout in ["5m", "30s", "30", "1h", "2m30s", "1.5s"] {
        let ran = Netcheck::audit(&recorded).args(&["--timeout", timeout]).run();
        assert!(ran.stderr.contains("cannot be used with"), "{timeout}: {}", ran.stderr);
    }
}

#[test]
fn the_version_names_what_is_built_in() {
    for option in ["--version", "-V"] {
        let ran = Netcheck::new([option]).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        let live = if cfg!(feature = "live") { "live" } else { "recorded evidence only" };
        let head = concat!("eks-netcheck ", env!("CARGO_PKG_VERSION"), " (");
        let build = ran.stdout.strip_prefix(head).and_then(|rest| rest.strip_suffix(")\n")).unwrap();
        assert!(build == live || build.ends_with(&format!(", {live}")), "{build}");
    }
    let json = Netcheck::new(["explain", "--format", "json"]).run().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["tool"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn help_is_found_in_every_way() {
    let ran = Netcheck::new([""; 0]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("Commands:") && ran.stderr.contains("simulate"), "{}", ran.stderr);
    for (one, other) in [(&["help", "explain"][..], &["explain", "--help"][..]), (&["help"], &["--help"])] {
        let (one, other) = (Netcheck::new(one).run(), Netcheck::new(other).run());
        assert_eq!((one.code, &one.stdout), (0, &other.stdout));
    }
    // Coloured on request, with the same text.
    let plain = Netcheck::new(["audit", "--help"]).run().stdout;
    let coloured = Netcheck::new(["audit", "--help"]).env("CLICOLOR_FORCE", "1").run().stdout;
    assert!(coloured.contains("\u{1b}[92m"));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

/// Errors in the command line name what was typed, and all that would do.
#[test]
fn errors_in_the_command_line_name_what_was_typed() {
    let both = "<--cluster <NAME>|--evidence <DIR>>";
    let dir = scratch();
    let dir = dir.path().to_str().unwrap();
    for (args, said, not_said) in [
        (&["reach"][..], both, "--cluster <NAME>\n"),
        (&["simulate", "--access", "private"], both, "--cluster <NAME>\n"),
        (&["reach", "--evidence", "x", "--nodes", "ssh"], "cannot be used with '--nodes <HOW>'", "--node <"),
        (
            &["simulate", "--evidence", "x", "--access", "private", "--timeout=5", "--nodes", "ssm"],
            "--timeout",
            "--image",
        ),
        (&["completions", "tcsh"], "possible values: bash, ", "similar"),
        (&["policy", "check", "--policy", "p.toml"], "tip: the files are arguments", "as a value"),
        (&["policy", "init", "--out", "p.toml"], "tip: the file is an argument", "as a value"),
        (&["audit", "--evidence", dir, "p.toml"], "a policy with --policy", "as a value"),
        (&["policy", "check", "--polic", "p.toml"], "unexpected argument '--polic'", "tip: the files"),
        (&["completions", "fsh"], "'fish'", "\u{1b}"),
        (&["audit", "--evidence", dir, "--baseline", dir], "it is a directory", "standard input"),
    ] {
        let ran = Netcheck::new(args).run();
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains(not_said), "{args:?}: {}", ran.stderr);
    }
}
