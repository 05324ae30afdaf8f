//! From evidence to facts, and from facts to a judgment.

use std::path::{Path, PathBuf};

use crate::classify::Classifier;
use crate::evidence::directory::EvidenceDir;
use crate::evidence::error::EvidenceError;
use crate::evidence::nodes::read_nodes;
use crate::model::audit::Audited;
use crate::model::evidence::Evidence;
use crate::model::expectations::Expectations;
use crate::model::facts::{Facts, Incomplete};
use crate::model::file::File;
use crate::model::gap::{Gap, Subject};
use crate::model::judgment::Judgment;
use crate::model::rule::{Need, Outcome, Rule, Threshold};
use crate::policy::Policy;
use crate::report::text::escape;
use crate::rules;
use crate::signals::under_way;

/// Classifies the evidence of a directory, and of bundles of nodes' logs.
///
/// # Errors
/// If the evidence cannot be read.
pub(super) fn classify_recorded(
    dir: &Path,
    cluster: Option<&str>,
    bundles: &[PathBuf],
) -> Result<Facts, EvidenceError> {
    let _reading = under_way(format!(
        "reading the evidence in {}; no report was written",
        escape(&dir.to_string_lossy())
    ));
    classify_evidence(&EvidenceDir::open(dir)?.with_bundles(bundles), cluster)
}

/// Classifies evidence.
///
/// # Errors
/// If the evidence cannot be read.
pub(super) fn classify_evidence(dir: &EvidenceDir, cluster: Option<&str>) -> Result<Facts, EvidenceError> {
    let mut facts = classify(dir, dir.read(cluster)?, true)?;
    let gaps = facts.evidence.incomplete();
    if !gaps.is_empty() {
        let evidence = take_away(&gaps, facts.evidence.clone());
        let without = classify(dir, evidence, !is_about_nodes(&gaps))?;
        facts.incomplete = Some(Box::new(Incomplete { gaps, without }));
    }
    Ok(facts)
}

/// Whether any of these gaps is about the sockets of all nodes.
pub(super) fn is_about_nodes(gaps: &[Gap]) -> bool {
    gaps.iter().any(|gap| need(gap) == Some(Need::Nodes))
}

/// Evidence without the answers that these gaps are about.
pub(super) fn take_away(gaps: &[Gap], mut evidence: Evidence) -> Evidence {
    for gap in gaps {
        evidence.take_away(gap);
    }
    evidence
}

/// Classifies evidence, with or without the sockets of the nodes.
fn classify(dir: &EvidenceDir, evidence: Evidence, has_nodes: bool) -> Result<Facts, EvidenceError> {
    let mut classifier = Classifier::new(evidence);
    if !has_nodes {
        return Ok(classifier.finish(Vec::new()));
    }
    let nodes = read_nodes(dir, |node, row| {
        classifier.add(node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
    })?;
    Ok(classifier.finish(nodes))
}

/// Judges facts, and keeps both.
pub(super) fn judged(facts: Facts, policy: &Policy, fail_on: Option<Threshold>) -> Audited {
    let _judging = under_way("judging; no report was written");
    let judgment = judge_facts(&facts, policy, fail_on);
    Audited { facts, judgment }
}

/// Judges facts by all rules under a policy; `fail_on` takes precedence over the policy's.
#[must_use]
pub fn judge_facts(facts: &Facts, policy: &Policy, fail_on: Option<Threshold>) -> Judgment {
    let check = |expected: &Expectations| outcomes(facts, expected);
    policy.judge(&facts.evidence, fail_on, check, &facts.evidence.all_gaps())
}

/// The outcomes of all rules. What incomplete evidence proves stands; a rule whose outcome
/// would be another one without this evidence has read it, and needs the rest of it.
fn outcomes(facts: &Facts, expected: &Expectations) -> Vec<(&'static Rule, Outcome)> {
    let mut outcomes = rules::outcomes(facts, expected);
    let Some(Incomplete { gaps, without }) = facts.incomplete.as_deref() else { return outcomes };
    for ((rule, outcome), (_, without)) in outcomes.iter_mut().zip(rules::outcomes(without, expected)) {
        // The text of a finding may name what other evidence shows.
        let findings = |outcome: &Outcome| -> Vec<_> {
            let findings = outcome.findings.iter();
            findings.map(|one| (one.subject.clone(), one.about.clone(), one.severity)).collect()
        };
        let has_read = findings(outcome) != findings(&without) || outcome.gaps != without.gaps;
        // All rules read the description of the cluster.
        let is_needed = |gap: &&Gap| {
            gap.subject == Subject::File(File::CLUSTER)
                || has_read && need(gap).is_some_and(|need| rule.needs.contains(&need))
        };
        outcome.gaps.extend(gaps.iter().filter(is_needed).cloned());
    }
    outcomes
}

/// The kind of evidence that a gap is about.
fn need(gap: &Gap) -> Option<Need> {
    match &gap.subject {
        Subject::File(file) => Some(Need::File(*file)),
        Subject::Vantage(_) | Subject::Vantages | Subject::Records { .. } => Some(Need::Dns),
        Subject::Nodes | Subject::Sockets => Some(Need::Nodes),
        Subject::Probe(_) => Some(Need::Probe),
        _ => None,
    }
}
