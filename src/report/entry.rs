//! What the formats for CI systems have in common: findings with a stable id, and gaps
//! as text.

use std::rc::Rc;

use uuid::Uuid;

use super::remediation::Remediations;
use super::text::escape;
use crate::model::audit::{Audited, Unjudged};
use crate::model::baseline::{BaselineState, FindingId, KnownFinding};
use crate::model::cluster::Cluster;
use crate::model::judgment::{Acceptance, JudgedFinding, JudgedGap, Waiver};
use crate::model::rule::Finding;

/// A finding and its cluster.
pub(super) struct Entry<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) judged: &'a JudgedFinding,
    /// An id that is the same in every run: derived from the rule, the cluster and the
    /// subject, not from the wording, the order or line numbers.
    pub(super) fingerprint: Uuid,
}

impl<'a> Entry<'a> {
    /// The findings of a cluster, in the order of its judgment.
    pub(super) fn all_of(audited: &'a Audited) -> impl Iterator<Item = Self> {
        let cluster = &audited.facts.evidence.cluster;
        audited.judgment.findings.iter().map(move |judged| {
            let finding = &judged.finding;
            let names = [
                Some(judged.rule.id),
                Some(cluster.subject()),
                Some(&finding.subject),
                finding.about.as_deref(),
            ];
            Self { cluster, judged, fingerprint: id(&names) }
        })
    }

    /// The message with its subject, unless that is the cluster; escaped.
    pub(super) fn message(&self) -> String {
        escape(&about(&self.judged.finding, self.cluster)).into_owned()
    }

    /// The same after the cluster's name.
    pub(super) fn message_of_cluster(&self) -> String {
        format!("{}: {}", escape(&self.cluster.name), self.message())
    }

    /// What resolves it, as lines of text; none if it is waived or known. Escaped.
    pub(super) fn remediation(&self, remediations: &mut Remediations<'_>) -> Option<Rc<str>> {
        self.judged.counts().then(|| remediations.of(self.judged))
    }
}

/// A finding's message, with its subject unless that is the cluster itself.
pub(super) fn about(finding: &Finding, cluster: &Cluster) -> String {
    if finding.subject == cluster.subject() {
        finding.message.clone()
    } else {
        format!("{}: {}", finding.subject, finding.message)
    }
}

/// Why a finding does not count, or counts again, in words.
pub(super) fn exception(judged: &JudgedFinding) -> Option<String> {
    if judged.is_known() {
        return Some(KNOWN.to_owned());
    }
    let is_worse = judged.baseline == Some(BaselineState::Worse);
    judged.waiver.as_ref().map(waived_by).or_else(|| is_worse.then(|| WORSE.to_owned()))
}

/// Why a known finding does not count.
pub(super) const KNOWN: &str = "known: it is in the baseline";

/// Why a finding counts that is like one of the baseline.
const WORSE: &str = "counts, since it is worse than in the baseline";

/// The mark of a finding that does not count.
pub(super) fn mark(judged: &JudgedFinding) -> Option<&'static str> {
    if judged.is_known() { Some("known") } else { judged.waived_by().map(|_| "waived") }
}

/// The id of a finding of the baseline, which is that of the finding.
pub(super) fn known_id(known: &KnownFinding, cluster: &Cluster) -> Uuid {
    let FindingId { rule, subject, about } = &known.id;
    id(&[Some(rule), Some(cluster.subject()), Some(subject), about.as_deref()])
}

/// The effect of a waiver, in words.
fn waived_by(waiver: &Waiver) -> String {
    let Waiver { owner, reason, expires, .. } = waiver;
    if waiver.is_expired {
        format!("counts, since its waiver expired {expires} ({owner}: {reason})")
    } else {
        format!("waived until {expires} ({owner}: {reason})")
    }
}

/// Why an entry of the policy excepts something, by whom and until when, where a field of the format
/// says that it is excepted.
pub(super) fn justification(owner: &str, reason: &str, expires: &str) -> String {
    format!("{owner}: {reason} (until {expires})")
}

/// The effect of an acceptance, in words.
pub(super) fn accepted_by(accepted: &Acceptance) -> String {
    let Acceptance { owner, reason, expires, .. } = accepted;
    if accepted.is_expired {
        format!("counts, since its acceptance expired {expires} ({owner}: {reason})")
    } else {
        format!("accepted until {expires} ({owner}: {reason})")
    }
}

/// The text of a gap: with the next step, or with what accepts it.
pub(super) fn gap_text(judged: &JudgedGap) -> String {
    match &judged.accepted {
        Some(accepted) if !accepted.is_expired => {
            format!("{}; {}", judged.gap.problem(), accepted_by(accepted))
        }
        Some(accepted) => format!("{}; {}", judged.gap, accepted_by(accepted)),
        None => judged.gap.to_string(),
    }
}

/// An id derived from names, the same in every run.
pub(super) fn id(names: &[Option<&str>]) -> Uuid {
    let name = serde_json::json!(["eks-netcheck", names]).to_string();
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
}

/// A gap of a cluster, or a cluster that could not be judged, as text.
pub(super) struct Unseen {
    /// The cluster, or whatever could not be judged.
    pub(super) subject: String,
    /// The missing evidence; none where nothing of the cluster was seen.
    pub(super) what: Option<String>,
    /// Escaped.
    pub(super) text: String,
    pub(super) why: &'static str,
    /// Whether the verdict needed it.
    pub(super) needed: bool,
    /// Whether the policy accepts it.
    pub(super) is_accepted: bool,
}

impl Unseen {
    /// The gaps of a cluster.
    pub(super) fn all_of(audited: &Audited) -> impl Iterator<Item = Self> {
        let cluster = &audited.facts.evidence.cluster;
        audited.judgment.gaps.iter().map(|judged| Self {
            subject: cluster.subject().to_owned(),
            what: Some(judged.gap.subject.to_string()),
            text: escape(&format!("{}: not seen: {}", cluster.name, gap_text(judged))).into_owned(),
            why: judged.gap.why.as_str(),
            needed: judged.needed,
            is_accepted: judged.accepted_by().is_some(),
        })
    }
}

impl From<&Unjudged> for Unseen {
    fn from(unjudged: &Unjudged) -> Self {
        Self {
            subject: unjudged.subject.clone(),
            what: None,
            text: escape(&format!("{}: not seen: {}", unjudged.subject, unjudged.cause())).into_owned(),
            why: unjudged.gap.why.as_str(),
            needed: true,
            is_accepted: false,
        }
    }
}
