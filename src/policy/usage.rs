//! Which entries of a policy a run uses, and notes to its owner.

use std::collections::BTreeSet;

use super::entries::Entries;
use super::scope::Applies;
use crate::model::audit::Audited;
use crate::model::expectations::AllowedCidr;
use crate::model::judgment::{Acceptance, PolicyNote, PolicyNoteKind, Waiver};
use crate::model::rule::Rule;

/// The use of a policy's waivers and accepted gaps in a run. It keeps nothing of a cluster.
#[derive(Debug)]
pub struct Usage<'a> {
    entries: &'a Entries,
    /// In the order of the policy's waivers.
    waivers: Vec<EntryUse>,
    /// In the order of the policy's accepted gaps.
    accepted: Vec<EntryUse>,
}

/// The use of an entry.
#[derive(Debug, Clone, Default)]
struct EntryUse {
    /// It applied to a finding or a gap.
    is_used: bool,
    /// It may apply to one that is not known.
    may_be_used: bool,
}

impl EntryUse {
    fn add(&mut self, applies: Option<Applies>) {
        self.is_used |= applies == Some(Applies::Yes);
        self.may_be_used |= applies == Some(Applies::Unknown);
    }
}

impl<'a> Usage<'a> {
    pub(super) fn new(entries: &'a Entries) -> Self {
        let unused = |number: usize| vec![EntryUse::default(); number];
        Self { entries, waivers: unused(entries.waivers.len()), accepted: unused(entries.accepted.len()) }
    }

    /// Records a cluster.
    pub fn cluster(&mut self, audited: &Audited) {
        let Audited { facts, judgment } = audited;
        let cluster = &facts.evidence.cluster;
        for (one, used) in self.entries.waivers.iter().zip(&mut self.waivers) {
            let findings = judgment.findings.iter();
            used.add(findings.map(|judged| one.applies_to(judged.rule, cluster, &judged.finding)).max());
            // Where its rule was inconclusive, it may apply.
            let is_of_rule = |rule: &Rule| rule.id == one.waiver.rule;
            used.may_be_used |= judgment.not_judged.iter().any(|not_judged| is_of_rule(not_judged.rule))
                || judgment.gaps.iter().any(|gap| gap.rules.iter().any(|rule| is_of_rule(rule)));
        }
        for (one, used) in self.entries.accepted.iter().zip(&mut self.accepted) {
            let of_gaps = judgment.gaps.iter().map(|judged| &judged.gap);
            let gaps = of_gaps.chain(judgment.not_judged.iter().map(|not_judged| &not_judged.gap));
            used.add(gaps.map(|gap| one.applies_to(cluster, &gap.subject)).max());
        }
    }

    /// Notes to the owner of the policy, in the file's order. `is_whole` if every cluster
    /// was judged: only then is an entry known to be unused.
    #[must_use]
    pub fn notes(&self, is_whole: bool) -> Vec<PolicyNote> {
        let Entries { settings, overrides, waivers, accepted } = self.entries;
        let waivers = waivers.iter().map(|one| &one.waiver).zip(&self.waivers);
        let waivers = waivers.filter_map(|(waiver, used)| note_on_waiver(waiver, used, is_whole));
        let accepted = accepted.iter().map(|one| &one.acceptance).zip(&self.accepted);
        let accepted = accepted.filter_map(|(accepted, used)| note_on_acceptance(accepted, used, is_whole));
        let settings = overrides.iter().map(|one| &one.settings).chain([settings]);
        let allowed = settings.filter_map(|settings| settings.allowed.as_deref()).flatten();
        let allowed = allowed.filter(|(_, entry)| entry.is_expired).map(|(line, entry)| {
            let AllowedCidr { cidr, owner, expires, .. } = entry;
            let expires = expires.as_deref().unwrap_or_default();
            let text = format!("{cidr} was allowed until {expires}; owner: {owner}");
            PolicyNote { line: *line, kind: PolicyNoteKind::CidrExpired, text }
        });
        waivers.chain(accepted).chain(allowed).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn note_on_waiver(waiver: &Waiver, used: &EntryUse, is_whole: bool) -> Option<PolicyNote> {
    let Waiver { line, rule, resource, owner, expires, is_expired, .. } = waiver;
    let what = format!("the waiver of {rule} for {resource:?}");
    let (kind, text) = match (is_expired, used.is_used) {
        (true, true) => (
            PolicyNoteKind::WaiverExpired,
            format!("{what} expired {expires}, so its findings count; owner: {owner}"),
        ),
        (true, false) => {
            (PolicyNoteKind::WaiverExpired, format!("{what} expired {expires}: remove it; owner: {owner}"))
        }
        (false, false) if is_whole && !used.may_be_used => {
            (PolicyNoteKind::WaiverUnused, format!("{what} matches no finding; owner: {owner}"))
        }
        (false, _) => return None,
    };
    Some(PolicyNote { line: *line, kind, text })
}

fn note_on_acceptance(accepted: &Acceptance, used: &EntryUse, is_whole: bool) -> Option<PolicyNote> {
    let Acceptance { line, subject, owner, expires, is_expired, .. } = accepted;
    let what = format!("the acceptance of the gap {subject:?}");
    let (kind, text) = match (is_expired, used.is_used) {
        (true, true) => (
            PolicyNoteKind::AcceptanceExpired,
            format!("{what} expired {expires}, so the gap counts; owner: {owner}"),
        ),
        (true, false) => (
            PolicyNoteKind::AcceptanceExpired,
            format!("{what} expired {expires}: remove it; owner: {owner}"),
        ),
        (false, false) if is_whole && !used.may_be_used => {
            (PolicyNoteKind::AcceptanceUnused, format!("{what} matches no gap; owner: {owner}"))
        }
        (false, _) => return None,
    };
    Some(PolicyNote { line: *line, kind, text })
}
