//! Presets: what a policy may extend.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, edit_json, fixtures, story};
use crate::policy::{Policy, findings};

/// A preset fails what its controls forbid, whatever the severity of the rules by default;
/// what the policy says itself takes precedence, and reports name the preset.
#[test]
fn presets_fail_what_their_controls_forbid() {
    let limited = copy_of("private-only");
    edit_json(limited.path(), "cluster.json", |cluster| {
        let config = &mut cluster["cluster"]["resourcesVpcConfig"];
        config["endpointPublicAccess"] = true.into();
        config["publicAccessCidrs"] = json!(["203.0.113.0/24"]);
    });
    let limited = limited.path();
    let public_only = copy_of("study-public");
    edit_json(public_only.path(), "cluster.json", |cluster| {
        cluster["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = json!(["203.0.113.0/24"]);
    });
    let private = story("private-only");
    let audit = |dir: &Path, policy: &str| {
        let policy = Policy::new(policy);
        let (report, code) = Netcheck::audit(dir).dir(policy.0.path()).json();
        (report, code)
    };
    let failing = |report: &Value| -> BTreeSet<String> {
        let all = findings(report).into_iter();
        all.filter(|(_, severity, _)| *severity == "high").map(|(rule, ..)| rule.to_owned()).collect()
    };
    let set = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect::<BTreeSet<_>>();
    for (policy, dir, rules, code) in [
        ("", limited, &[][..], 0),
        ("extends = \"default\"\n", limited, &[], 0),
        ("extends = \"fsbp-eks.1\"\n", limited, &["public-endpoint-enabled"], 1),
        ("extends = \"cis-eks-1.8\"\n", limited, &["public-endpoint-enabled"], 1),
        ("extends = \"fsbp-eks.1\"\n", &private, &[], 0),
        ("extends = \"cis-eks-1.8\"\n", &private, &[], 0),
        // Entries of the policy take precedence, and so does an override for its clusters.
        ("extends = \"fsbp-eks.1\"\nrules.public-endpoint-enabled = \"low\"\n", limited, &[], 0),
        ("extends = \"fsbp-eks.1\"\nfail-on = \"critical\"\n", limited, &["public-endpoint-enabled"], 0),
        (
            "extends = \"fsbp-eks.1\"\n[[override]]\nclusters = [\"*\"]\nrules.public-endpoint-enabled = \"off\"\n",
            limited,
            &[],
            0,
        ),
    ] {
        let (report, got) = audit(dir, policy);
        assert_eq!((failing(&report), got), (set(rules), code), "{policy}: {report:#}");
    }
    // The presets differ in private access alone.
    let dir = public_only.path();
    let of = |preset: &str| audit(dir, &format!("extends = \"{preset}\"\n")).0;
    let (fsbp, cis) = (failing(&of("fsbp-eks.1")), failing(&of("cis-eks-1.8")));
    let only_cis: Vec<_> = cis.difference(&fsbp).collect();
    assert_eq!(only_cis, ["private-endpoint-disabled"]);
    assert!(fsbp.is_subset(&cis) && fsbp.contains("public-endpoint-enabled"), "{fsbp:?}");
    // Evidence that a rule of the preset lacks makes the run inconclusive.
    let unseen = fixtures().join("rules/public-endpoint-enabled/unseen");
    assert_eq!(audit(&unseen, "extends = \"fsbp-eks.1\"\n").1, 3);
    assert_eq!(of("cis-eks-1.8")["policy"]["extends"], "cis-eks-1.8");
    let policy = Policy::new("extends = \"cis-eks-1.8\"\n");
    let name = "eks-netcheck.toml, extends cis-eks-1.8";
    for format in ["table", "sarif", "junit"] {
        let ran = policy.audit("study-public").args(&["--format", format]).run();
        assert!(ran.stdout.contains(name), "{format}: {}", ran.stdout);
    }
    // In Markdown, some characters are escaped.
    let ran = policy.audit("study-public").args(&["--format", "markdown"]).run();
    assert!(ran.stdout.contains("extends cis-eks-1.8"), "{}", ran.stdout);
}

/// Where no public access is allowed, narrower blocks resolve nothing.
#[test]
fn steps_close_the_endpoint_where_no_public_access_is_allowed() {
    let commands = |policy: &str| -> String {
        let (report, _) = Policy::new(policy).json("study-public");
        let findings = report["findings"].as_array().unwrap();
        let open = findings.iter().find(|finding| finding["rule"] == "public-endpoint-open").unwrap();
        open["remediation"].as_str().unwrap().to_owned()
    };
    let allowing = "extends = \"fsbp-eks.1\"\nendpoint.access = [\"public-and-private\"]\n";
    for (policy, closes) in [
        ("", false),
        ("extends = \"fsbp-eks.1\"\n", true),
        ("[endpoint]\naccess = [\"private\"]\n", true),
        (allowing, false),
    ] {
        let text = commands(policy);
        assert_eq!(text.contains("endpointPublicAccess=false"), closes, "{policy}: {text}");
        assert_eq!(text.contains("publicAccessCidrs=YOUR_CIDRS"), !closes, "{policy}: {text}");
    }
}

#[test]
fn an_unknown_preset_is_refused_with_its_place_and_the_nearest_one() {
    for (text, message) in [
        ("extends = \"fsbp-eks1\"\n", "1:11: unknown value \"fsbp-eks1\"; did you mean \"fsbp-eks.1\"?"),
        (
            "\n extends = \"cis-eks-1.7\"\n",
            "2:12: unknown value \"cis-eks-1.7\"; did you mean \"cis-eks-1.8\"?",
        ),
        ("extends = \"x\"\n", "1:11: unknown value \"x\"; known are default, fsbp-eks.1, cis-eks-1.8"),
    ] {
        let ran = Policy::new(text).audit("study-public").run();
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
}
