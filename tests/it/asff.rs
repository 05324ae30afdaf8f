//! `--format asff`: findings for Security Hub.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Netcheck, copy_of, edit_json, of_another_machine, scratch, story};
use crate::formats::{audit_of, hostile, mixed};

/// The findings of the only batch, by rule.
fn findings(run: Netcheck) -> BTreeMap<String, Value> {
    let ran = run.args(&["--format", "asff"]).run();
    let batch: Vec<Value> =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    let rule = |finding: &Value| finding["ProductFields"]["eks-netcheck/rule"].as_str().unwrap().to_owned();
    let by_rule: BTreeMap<_, _> = batch.iter().map(|finding| (rule(finding), finding.clone())).collect();
    assert_eq!(by_rule.len(), batch.len());
    by_rule
}

/// Every outcome of a rule has its status, in one batch that `--findings file://FILE` takes.
#[test]
fn every_rule_has_a_finding_with_the_status_of_its_outcome() {
    let (copy, policy) = mixed();
    let all = findings(Netcheck::audit(copy.path()).args(&policy.each_ref().map(String::as_str)));
    assert_eq!(all.len(), eks_netcheck::rules::ALL.len());
    let of = |rule: &str| {
        let one = &all[rule];
        let field = |pointer: &str| one.pointer(pointer).and_then(Value::as_str).unwrap_or("none").to_owned();
        (
            field("/Compliance/Status"),
            field("/Severity/Label"),
            field("/Workflow/Status"),
            field("/RecordState"),
        )
    };
    let is = |rule: &str, expected: [&str; 4]| {
        let [status, label, workflow, state] = expected.map(str::to_owned);
        assert_eq!(of(rule), (status, label, workflow, state), "{rule}: {:#}", all[rule]);
    };
    is("private-endpoint-disabled", ["FAILED", "MEDIUM", "none", "ACTIVE"]);
    is("public-endpoint-open", ["FAILED", "INFORMATIONAL", "none", "ACTIVE"]);
    is("cidr-not-allowed", ["PASSED", "INFORMATIONAL", "none", "ACTIVE"]);
    is("control-plane-enis-missing", ["NOT_AVAILABLE", "INFORMATIONAL", "none", "ARCHIVED"]);
    // The policy makes it high, so that the verdict needs what it lacks.
    is("unattributed-connection", ["NOT_AVAILABLE", "MEDIUM", "none", "ACTIVE"]);
    // Listed as not judged.
    is("endpoint-certificate-mismatch", ["WARNING", "INFORMATIONAL", "none", "ACTIVE"]);
    let open = &all["public-endpoint-open"];
    assert_eq!(
        open["ProductFields"]["eks-netcheck/waiver"],
        "platform: moves <behind> the VPN (until 9999-12-31)"
    );
    assert_eq!(open["Severity"]["Original"], "high");
    let account = open["AwsAccountId"].as_str().unwrap();
    let region = open["Resources"][0]["Region"].as_str().unwrap();
    assert_eq!(
        open["ProductArn"],
        format!("arn:aws:securityhub:{region}:{account}:product/{account}/default")
    );
    let resource = &open["Resources"][0];
    assert_eq!((&resource["Type"], &resource["Partition"]), (&"AwsEksCluster".into(), &"aws".into()));
    assert_eq!(resource["Details"]["AwsEksCluster"]["ResourcesVpcConfig"]["EndpointPublicAccess"], true);
    let related = open["Compliance"]["RelatedRequirements"].as_array().unwrap();
    for name in ["NIST.800-53.r5 AC-21", "PCI DSS v4.0.1/1.4.4", "CIS Amazon EKS Benchmark v1.8.0/5.4.1"] {
        assert!(related.contains(&name.into()), "{related:?}");
    }
    let standards = open["Compliance"]["AssociatedStandards"].as_array().unwrap();
    assert_eq!(standards.len(), 3, "{standards:?}");
    // It passes, and a control that it belongs to is not met.
    let enabled = &all["public-endpoint-enabled"];
    assert_eq!(enabled["Compliance"], serde_json::json!({ "Status": "PASSED" }));
}

/// No import changes `Workflow` and `Note` of a finding that exists: what a waiver sets has to be
/// what the import after its end takes back.
#[test]
fn a_waiver_sets_nothing_that_the_next_import_cannot_take_back() {
    let copy = copy_of("study-public");
    let policy = copy.path().join("eks-netcheck.toml");
    let arguments = ["--policy", policy.to_str().unwrap()];
    let until = |expires: &str| {
        let waiver = format!(
            "[[waiver]]\nrule = \"public-endpoint-open\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = {expires}\n"
        );
        fs::write(&policy, waiver).unwrap();
        let all = findings(Netcheck::audit(copy.path()).args(&arguments));
        for finding in all.values() {
            for field in
                ["Note", "UserDefinedFields", "VerificationState", "Workflow", "Confidence", "Criticality"]
            {
                assert!(finding[field].is_null(), "{field}: {finding:#}");
            }
            assert_eq!(finding["Severity"], finding["FindingProviderFields"]["Severity"]);
        }
        all["public-endpoint-open"].clone()
    };
    let (waived, expired) = (until("9999-12-31"), until("2020-01-01"));
    assert_eq!(waived["Id"], expired["Id"]);
    let field =
        |finding: &Value, pointer: &str| finding.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    for (pointer, before, after) in [
        ("/Compliance/Status", Some("FAILED"), Some("FAILED")),
        ("/RecordState", Some("ACTIVE"), Some("ACTIVE")),
        ("/FindingProviderFields/Severity/Label", Some("INFORMATIONAL"), Some("HIGH")),
        ("/ProductFields/eks-netcheck~1waiver", Some("o: r (until 9999-12-31)"), None),
    ] {
        assert_eq!(field(&waived, pointer).as_deref(), before, "{pointer}");
        assert_eq!(field(&expired, pointer).as_deref(), after, "{pointer}");
    }
    let text = |finding: &Value| field(finding, "/Description").unwrap();
    assert!(text(&waived).ends_with(" (waived until 9999-12-31)"), "{}", text(&waived));
    assert!(!text(&expired).contains("waived"), "{}", text(&expired));
}

/// A rule that is not selected was not judged: it neither passes nor fails, and what an earlier
/// run imported stays.
#[test]
fn a_rule_that_is_not_selected_has_no_finding() {
    let dir = story("private-only");
    let all = findings(Netcheck::audit(&dir).args(&["--rule", "public-endpoint-open,node-cut-off"]));
    assert_eq!(all.keys().collect::<Vec<_>>(), ["node-cut-off", "public-endpoint-open"]);
    // A control of which a rule was not judged is not known to be met.
    assert!(all["public-endpoint-open"]["Compliance"]["RelatedRequirements"].is_null(), "{all:#?}");
    let all = findings(Netcheck::audit(&dir).args(&["--skip-rule", "public-endpoint-open"]));
    assert!(!all.contains_key("public-endpoint-open") && all.len() == eks_netcheck::rules::ALL.len() - 1);
}

/// The id says nothing of the outcome, so that a fixed cluster updates its findings.
#[test]
fn ids_are_the_same_in_every_run() {
    let ids = |run: Netcheck| {
        let all = findings(run);
        all.into_iter().map(|(rule, one)| (rule, one["Id"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let copy = copy_of("study-public");
    let before = ids(Netcheck::audit(copy.path()));
    edit_json(copy.path(), "cluster.json", |cluster| {
        let config = &mut cluster["cluster"]["resourcesVpcConfig"];
        config["endpointPublicAccess"] = false.into();
        config["endpointPrivateAccess"] = true.into();
    });
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    assert_eq!(ids(Netcheck::audit(copy.path())), before);
}

/// Without an account there is nothing to import to: the report leaves the cluster out with a
/// warning, whatever its verdict, which the exit code still has.
#[test]
fn a_cluster_without_an_account_is_left_out_with_a_warning() {
    for (name, code) in [("study-public", 1), ("private-only", 0)] {
        let copy = copy_of(name);
        edit_json(copy.path(), "cluster.json", |cluster| {
            cluster["cluster"].as_object_mut().unwrap().remove("arn");
        });
        let dir = scratch();
        let (asff, json) = (dir.path().join("asff.json"), dir.path().join("report.json"));
        let write = ["asff", "json"].map(|format| {
            format!("{format}={}", if format == "asff" { asff.display() } else { json.display() })
        });
        let audit = || Netcheck::audit(copy.path());
        let ran = audit().args(&["--write", &write[0], "--write", &write[1]]).run();
        assert_eq!(ran.code, code, "{name}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("warning: asff leaves out cluster myeks, "), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert_eq!(fs::read_to_string(&asff).unwrap(), "[]\n");
        assert!(json.exists());
        let ran = audit().args(&["--format", "asff", "--write", &write[0]]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (code, "[]\n"), "{name}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

/// The documented limits of fields, in bytes, whatever names and messages hold.
#[test]
fn texts_are_within_the_limits_of_security_hub() {
    let limits = [
        ("/Id", 512),
        ("/GeneratorId", 512),
        ("/Title", 256),
        ("/Description", 1024),
        ("/Remediation/Recommendation/Text", 512),
        ("/ProductFields/eks-netcheck~1waiver", 2048),
        ("/ProductFields/eks-netcheck~1node-traffic", 2048),
        ("/Compliance/StatusReasons/0/Description", 1024),
        ("/Resources/0/Details/AwsEksCluster/Name", 512),
    ];
    let long = copy_of("public-and-private-stale");
    edit_json(long.path(), "cluster.json", |cluster| {
        let name = "\u{20ac}".repeat(5000);
        cluster["cluster"]["arn"] = format!("arn:aws:eks:ap-northeast-2:111122223333:cluster/{name}").into();
        cluster["cluster"]["status"] = name.into();
    });
    // Many findings of one rule.
    let capture = fs::read_to_string(long.path().join("nodes/n1.txt")).unwrap();
    for number in 0..60 {
        let path = long.path().join(format!("nodes/a-node-with-a-long-name-{number}.txt"));
        fs::write(path, of_another_machine(&capture, number)).unwrap();
    }
    let hostile = hostile();
    let check = |all: BTreeMap<String, Value>| {
        for finding in all.values() {
            for (pointer, max) in limits {
                let text = finding.pointer(pointer).map(|text| text.as_str().unwrap());
                assert!(text.is_none_or(|text| (1..=max).contains(&text.len())), "{pointer}: {finding:#}");
            }
        }
        all
    };
    check(findings(audit_of(hostile.path())));
    let all = check(findings(Netcheck::audit(long.path())));
    let stale = all["node-on-public-path"]["Description"].as_str().unwrap();
    assert!(stale.contains("; ") && stale.contains(" more"), "{stale}");
    // Commands are whole, or left out.
    let text = all["node-on-public-path"]["Remediation"]["Recommendation"]["Text"].as_str().unwrap();
    assert!(text.ends_with("or explain node-on-public-path"), "{text}");
}

/// The file is what the documented command takes: each line is a batch.
#[test]
fn each_line_of_the_file_is_a_batch() {
    let dir = scratch();
    let file = dir.path().join("findings.asff");
    let written = |dir: &Path| {
        Netcheck::audit(dir).args(&["--write", &format!("asff={}", file.display())]).run();
        fs::read_to_string(&file).unwrap()
    };
    let text = written(&story("private-only"));
    assert_eq!(text.lines().count(), 1);
    assert!(text.ends_with("]\n") && text.starts_with("[{"), "{text}");
}
