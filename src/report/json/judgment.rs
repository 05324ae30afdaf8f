//! What a judgment holds, in JSON: findings, gaps, and rules that were not judged.

use schemars::JsonSchema;
use serde::Serialize;

use super::compliance::ControlName;
use super::step::StepReport;
use super::words::{BaselineState, Severity, Why};
use crate::model::audit::Unjudged;
use crate::model::baseline::{Comparison, FindingId, KnownFinding};
use crate::model::judgment::{Acceptance, JudgedFinding, JudgedGap, NotJudged, Waiver};
use crate::report::remediation::Remediations;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FindingReport {
    rule: String,
    severity: Severity,
    /// An ARN, an id or a node.
    subject: String,
    /// The part of the subject, where a rule can find several: a peer, an attribute.
    about: Option<String>,
    message: String,
    /// What it extends to, of which more is worse: the blocks that are open, the processes on a path.
    extent: Vec<String>,
    /// The controls of standards that its rule belongs to.
    controls: Vec<ControlName>,
    /// What resolves it, as text.
    remediation: String,
    /// The same as steps, where they depend on the cluster; those of all findings of the rule.
    steps: Vec<StepReport>,
    /// Whether it does not count because of a waiver.
    waived: bool,
    /// Its waiver, which may have expired.
    waiver: Option<WaiverReport>,
    /// Whether the baseline has it; null without a baseline. One that is unchanged does not count; one is worse if its
    /// severity is higher than then, or if it extends to something else.
    baseline: Option<BaselineState>,
}

/// What comparing with the baseline shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ComparisonReport {
    /// Findings of the baseline that are gone.
    gone: Vec<KnownReport>,
    /// Findings of the baseline of which that is not known, for lack of evidence or since their rule is off.
    not_judged: Vec<KnownReport>,
    /// What limits the comparison.
    note: Option<String>,
}

/// A finding of the baseline.
#[derive(Debug, Serialize, JsonSchema)]
struct KnownReport {
    rule: String,
    subject: String,
    about: Option<String>,
    /// Its message then.
    message: String,
}

impl From<&Comparison> for ComparisonReport {
    fn from(Comparison { gone, not_judged, note }: &Comparison) -> Self {
        let all = |findings: &[KnownFinding]| findings.iter().map(KnownReport::from).collect();
        Self { gone: all(gone), not_judged: all(not_judged), note: note.map(str::to_owned) }
    }
}

impl From<&KnownFinding> for KnownReport {
    fn from(KnownFinding { id, message }: &KnownFinding) -> Self {
        let FindingId { rule, subject, about } = id.clone();
        Self { rule, subject, about, message: message.clone() }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WaiverReport {
    resource: String,
    reason: String,
    owner: String,
    /// As written in the policy.
    expires: String,
    expired: bool,
}

impl FindingReport {
    pub(super) fn new(judged: &JudgedFinding, remediations: &mut Remediations<'_>) -> Self {
        Self {
            rule: judged.rule.id.to_owned(),
            severity: judged.severity.into(),
            subject: judged.finding.subject.clone(),
            about: judged.finding.about.clone(),
            message: judged.finding.message.clone(),
            extent: judged.finding.extent.clone(),
            controls: judged.rule.controls.iter().map(ControlName::from).collect(),
            remediation: remediations.of(judged).to_string(),
            steps: judged.steps.iter().map(StepReport::from).collect(),
            waived: judged.waived_by().is_some(),
            waiver: judged.waiver.as_ref().map(WaiverReport::from),
            baseline: judged.baseline.map(BaselineState::from),
        }
    }
}

impl From<&Waiver> for WaiverReport {
    fn from(waiver: &Waiver) -> Self {
        Self {
            resource: waiver.resource.clone(),
            reason: waiver.reason.clone(),
            owner: waiver.owner.clone(),
            expires: waiver.expires.clone(),
            expired: waiver.is_expired,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GapReport {
    what: String,
    why: Why,
    detail: String,
    /// The next step.
    hint: String,
    /// The rules that are inconclusive without it.
    rules: Vec<String>,
    /// Whether it does not count because of an acceptance.
    is_accepted: bool,
    /// The acceptance of the policy that matches it, which may have expired.
    accepted: Option<AcceptanceReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AcceptanceReport {
    subject: String,
    reason: String,
    owner: String,
    /// As written in the policy.
    expires: String,
    expired: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NotJudgedReport {
    rule: String,
    /// The evidence that is missing.
    what: String,
    why: Why,
    detail: String,
    /// The next step.
    hint: String,
}

impl From<&JudgedGap> for GapReport {
    fn from(judged: &JudgedGap) -> Self {
        let gap = &judged.gap;
        Self {
            what: gap.subject.to_string(),
            why: gap.why.into(),
            detail: gap.detail.clone(),
            hint: gap.hint.clone(),
            rules: judged.rules.iter().map(|rule| rule.id.to_owned()).collect(),
            is_accepted: judged.accepted_by().is_some(),
            accepted: judged.accepted.as_ref().map(AcceptanceReport::from),
        }
    }
}

impl From<&Unjudged> for GapReport {
    fn from(Unjudged { subject, gap }: &Unjudged) -> Self {
        Self {
            what: subject.clone(),
            why: gap.why.into(),
            detail: gap.detail.clone(),
            hint: gap.hint.clone(),
            rules: Vec::new(),
            is_accepted: false,
            accepted: None,
        }
    }
}

impl From<&Acceptance> for AcceptanceReport {
    fn from(accepted: &Acceptance) -> Self {
        Self {
            subject: accepted.subject.clone(),
            reason: accepted.reason.clone(),
            owner: accepted.owner.clone(),
            expires: accepted.expires.clone(),
            expired: accepted.is_expired,
        }
    }
}

impl From<&NotJudged> for NotJudgedReport {
    fn from(NotJudged { rule, gap }: &NotJudged) -> Self {
        Self {
            rule: rule.id.to_owned(),
            what: gap.subject.to_string(),
            why: gap.why.into(),
            detail: gap.detail.clone(),
            hint: gap.hint.clone(),
        }
    }
}
