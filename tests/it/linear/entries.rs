//! Entries of policies, of the evidence directory and of baselines.

use std::path::Path;

use serde_json::json;

use super::{
    BASELINE, Kind, Run, address, assert_linear, audit, baseline, findings, policy, public_blocks, write,
};

/// An audit with a baseline.
fn compared() -> Run {
    let args = &["audit", "--cluster", "myeks", "--evidence", ".", "--baseline", BASELINE];
    Run { args, ..audit() }
}

fn check() -> Run {
    Run { args: &["policy", "check", "--strict"], formats: Vec::new() }
}

/// Entries of policies and of the evidence directory.
const ENTRIES: [Kind; 9] = [
    ("waivers", 150, |dir, items| {
        policy(dir, items, |number| waiver(&format!("x{number}"), "2999-01-01"));
        findings(dir, items);
    }),
    // A wildcard at the beginning, and one that all findings begin with.
    ("waivers by an end", 300, |dir, items| {
        policy(dir, items, |number| waiver(&format!("*-x{number}"), "2999-01-01"));
        findings(dir, items);
    }),
    ("waivers by a beginning", 300, |dir, items| {
        policy(dir, items, |number| waiver(&format!("node-x{number}*"), "2999-01-01"));
        findings(dir, items);
    }),
    ("accepted gaps by an end", 300, |dir, items| {
        policy(dir, items, |number| {
            format!(
                "[[accept-gap]]\nsubject = \"*-x{number}\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2999-01-01\n"
            )
        });
        gaps(dir, items);
    }),
    ("accepted gaps", 200, |dir, items| {
        policy(dir, items, |number| {
            format!(
                "[[accept-gap]]\nsubject = \"x{number}\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2999-01-01\n"
            )
        });
        gaps(dir, items);
    }),
    ("overrides", 200, |dir, items| {
        policy(dir, items, |number| format!("[[override]]\nclusters = [\"x{number}\"]\nfail-on = \"low\"\n"));
    }),
    ("allowed blocks", 200, |dir, items| {
        let entry = |number: usize| {
            format!("[[allowed-cidr]]\ncidr = \"{}/32\"\nreason = \"r\"\nowner = \"o\"\n", address(number))
        };
        policy(dir, items, entry);
        public_blocks(dir, items);
    }),
    ("gaps of the manifest", 500, gaps),
    ("unknown files", 500, |dir, items| {
        for number in 0..items {
            write(dir, &format!("unknown-{number}"), "");
        }
    }),
];

/// An entry of a policy.
fn waiver(resource: &str, expires: &str) -> String {
    format!(
        "[[waiver]]\nrule = \"node-on-public-path\"\nresource = \"{resource}\"\nreason = \"r\"\nowner = \"o\"\nexpires = {expires}\n"
    )
}

/// Policies that are checked.
const POLICIES: [Kind; 4] = [
    ("waivers", 1_000, |dir, items| {
        policy(dir, items, |number| waiver(&format!("x{number}"), "2999-01-01"));
    }),
    ("expired waivers", 1_000, |dir, items| {
        policy(dir, items, |number| waiver(&format!("x{number}"), "2020-01-01"));
    }),
    ("expired blocks", 1_000, |dir, items| {
        policy(dir, items, |number| {
            format!(
                "[[allowed-cidr]]\ncidr = \"{}/32\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2020-01-01\n",
                address(number)
            )
        });
    }),
    ("overrides", 1_000, |dir, items| {
        policy(dir, items, |number| {
            format!("[[override]]\nclusters = [\"x{number}*\"]\nfail-on = \"low\"\n")
        });
    }),
];

/// Baselines.
const BASELINES: [Kind; 3] = [
    ("findings that are gone", 500, baseline),
    ("findings that are gone, and others that are new", 150, |dir, items| {
        baseline(dir, items);
        findings(dir, items);
    }),
    ("clusters", 3_000, |dir, items| {
        let report = |number: usize| json!({"cluster": {"name": format!("c{number}"), "arn": null}, "findings": [], "verdict": "inconclusive"});
        let reports: Vec<_> = (0..items).map(report).collect();
        let reports =
            json!({"schema": "eks-netcheck.reports.v1", "verdict": "fail", "reports": reports}).to_string();
        write(dir, BASELINE, &reports);
    }),
];

/// A number of gaps of each kind.
fn gaps(dir: &Path, items: usize) {
    let gap = |number: usize| {
        let what = match number % 4 {
            0 => format!("node gap-{number}"),
            1 => format!("dns/gap-{number}.txt"),
            2 => format!("egress of node i-{number}"),
            _ => format!("notes {number}"),
        };
        json!({"what": what, "why": "failed", "detail": "it failed"})
    };
    let gaps: Vec<_> = (0..items).map(gap).collect();
    write(dir, "manifest.json", &json!({"gaps": gaps}).to_string());
}

#[test]
fn time_is_linear_in_the_number_of_entries() {
    assert_linear(&audit(), &ENTRIES);
}

#[test]
fn time_is_linear_in_the_number_of_entries_of_a_policy_that_is_checked() {
    assert_linear(&check(), &POLICIES);
}

#[test]
fn time_is_linear_in_the_size_of_a_baseline() {
    assert_linear(&compared(), &BASELINES);
}
