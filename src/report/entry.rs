//! Findings of all clusters, each with an id that stays.

use uuid::Uuid;

use super::text::escape;
use crate::model::audit::{Audit, Audited};
use crate::model::cluster::Cluster;
use crate::model::judgment::{JudgedFinding, JudgedGap, Waiver};
use crate::model::rule::Finding;

/// A finding and where it is from.
pub(super) struct Entry<'a> {
    pub(super) audited: &'a Audited,
    pub(super) judged: &'a JudgedFinding,
    /// The same in every run: of rule, cluster and what it is about, not of words,
    /// order or lines.
    pub(super) fingerprint: Uuid,
}

impl Entry<'_> {
    /// The cluster's ARN, or its name without one.
    pub(super) fn cluster(&self) -> &str {
        self.audited.facts.evidence.cluster.subject()
    }

    /// The message with the subject, unless that is the cluster; harmless.
    pub(super) fn message(&self) -> String {
        escape(&about(&self.judged.finding, &self.audited.facts.evidence.cluster)).into_owned()
    }

    /// The same with the cluster's name in front, for where nothing else tells it.
    pub(super) fn message_of_cluster(&self) -> String {
        format!("{}: {}", escape(&self.audited.facts.evidence.cluster.name), self.message())
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

/// What a waiver does, in words.
pub(super) fn waived_by(waiver: &Waiver) -> String {
    let Waiver { owner, reason, expires, .. } = waiver;
    if waiver.is_expired {
        format!("counts again: its waiver expired {expires} ({owner}: {reason})")
    } else {
        format!("waived until {expires} ({owner}: {reason})")
    }
}

/// All findings, the worst of all clusters first, what is waived last.
pub(super) fn entries(audit: &Audit) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    for audited in &audit.clusters {
        let cluster = audited.facts.evidence.cluster.subject();
        for judged in &audited.judgment.findings {
            let finding = &judged.finding;
            let fingerprint =
                id(&[Some(judged.rule.id), Some(cluster), Some(&finding.subject), finding.about.as_deref()]);
            entries.push(Entry { audited, judged, fingerprint });
        }
    }
    entries
        .sort_by_key(|entry| (entry.judged.waived_by().is_some(), std::cmp::Reverse(entry.judged.severity)));
    entries
}

/// An id that names have in every run.
pub(super) fn id(names: &[Option<&str>]) -> Uuid {
    let name = serde_json::json!(["eks-netcheck", names]).to_string();
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
}

/// What was not seen, in words: of clusters, and of what could not be judged at
/// all. `needed` where a verdict wanted it.
pub(super) struct Unseen<'a> {
    /// The cluster, or what else.
    pub(super) subject: &'a str,
    /// Which of its evidence; none where there is nothing of it.
    pub(super) what: Option<String>,
    pub(super) text: String,
    pub(super) why: &'static str,
    pub(super) needed: bool,
}

pub(super) fn unseen(audit: &Audit) -> impl Iterator<Item = Unseen<'_>> {
    let judged = audit.clusters.iter().flat_map(|audited| {
        let cluster = &audited.facts.evidence.cluster;
        audited.judgment.gaps.iter().map(|JudgedGap { gap, needed, .. }| Unseen {
            subject: cluster.subject(),
            what: Some(gap.subject.to_string()),
            text: said(&cluster.name, &gap.problem(), &gap.hint),
            why: gap.why.as_str(),
            needed: *needed,
        })
    });
    unjudged(audit).chain(judged)
}

/// Of this, what could not be judged at all.
pub(super) fn unjudged(audit: &Audit) -> impl Iterator<Item = Unseen<'_>> {
    audit.unjudged.iter().map(|unjudged| Unseen {
        subject: &unjudged.subject,
        what: None,
        text: said(&unjudged.subject, &unjudged.gap.detail, &unjudged.gap.hint),
        why: unjudged.gap.why.as_str(),
        needed: true,
    })
}

fn said(name: &str, detail: &str, hint: &str) -> String {
    let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
    escape(&format!("{name}: not seen: {detail}{hint}")).into_owned()
}

/// A rule's id as a title: `public-endpoint-open` is `PublicEndpointOpen`.
pub(super) fn pascal(id: &str) -> String {
    let words = id.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}
