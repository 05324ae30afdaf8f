//! From evidence to facts, and from facts to a judgment.

use std::path::Path;

use crate::classify::Classifier;
use crate::evidence::directory::EvidenceDir;
use crate::evidence::error::EvidenceError;
use crate::evidence::nodes::read_nodes;
use crate::model::audit::Audited;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::judgment::Judgment;
use crate::model::rule::Threshold;
use crate::policy::Policy;
use crate::rules;

/// Classifies the evidence of a directory.
///
/// # Errors
/// If the evidence cannot be read.
pub(super) fn classify_recorded(dir: &Path, cluster: &str) -> Result<Facts, EvidenceError> {
    classify_evidence(&EvidenceDir::open(dir)?, cluster)
}

/// Classifies evidence.
///
/// # Errors
/// If the evidence cannot be read.
pub(super) fn classify_evidence(dir: &EvidenceDir, cluster: &str) -> Result<Facts, EvidenceError> {
    let mut classifier = Classifier::new(dir.read(cluster)?);
    let nodes = read_nodes(dir, |node, row| {
        classifier.add(node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
    })?;
    Ok(classifier.finish(nodes))
}

/// Judges facts, and keeps both.
pub(super) fn judged(facts: Facts, policy: &Policy, fail_on: Option<Threshold>) -> Audited {
    let judgment = judge_facts(&facts, policy, fail_on);
    Audited { facts, judgment }
}

/// Judges facts by all rules under a policy; `fail_on` takes precedence over the policy's.
#[must_use]
pub fn judge_facts(facts: &Facts, policy: &Policy, fail_on: Option<Threshold>) -> Judgment {
    let check = |expected: &Expectations| rules::outcomes(facts, expected);
    policy.judge(&facts.evidence, fail_on, check, &facts.evidence.all_gaps())
}
