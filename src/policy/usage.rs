//! Which entries of a policy a run uses, and notes to its owner.

use std::collections::{BTreeSet, HashSet};

use super::entries::Entries;
use super::exceptions::Exceptions;
use super::scope::Applies;
use crate::model::audit::Audited;
use crate::model::expectations::AllowedCidr;
use crate::model::judgment::{Acceptance, PolicyNote, PolicyNoteKind, Waiver};

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
    fn add(&mut self, applies: Applies) {
        self.is_used |= applies == Applies::Yes;
        self.may_be_used |= applies == Applies::Unknown;
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
        let exceptions = Exceptions::new(self.entries, &facts.evidence.cluster);
        exceptions.used_waivers(judgment, |at, applies| self.waivers[at].add(applies));
        // Where its rule was inconclusive or not selected, it may apply.
        let not_judged = judgment.not_judged.iter().map(|not_judged| not_judged.rule);
        let inconclusive = judgment.gaps.iter().flat_map(|judged| judged.rules.iter().copied());
        let skipped = judgment.skipped.iter().copied();
        let rules: HashSet<_> = not_judged.chain(inconclusive).chain(skipped).map(|rule| rule.id).collect();
        for (one, used) in self.entries.waivers.iter().zip(&mut self.waivers) {
            used.may_be_used |= rules.contains(one.waiver.rule.as_str());
        }
        let of_gaps = judgment.gaps.iter().map(|judged| &judged.gap);
        let gaps = of_gaps.chain(judgment.not_judged.iter().map(|not_judged| &not_judged.gap));
        exceptions.used_acceptances(gaps, |at, applies| self.accepted[at].add(applies));
        // The gaps of rules that are not selected are not known.
        let is_partial = !judgment.skipped.is_empty();
        self.accepted.iter_mut().for_each(|used| used.may_be_used |= is_partial);
    }

    /// The entries that have expired at the time for which the policy was read, in the file's order:
    /// their lines, what they are, and until when they apply.
    #[must_use]
    pub fn expired(&self) -> BTreeSet<(usize, String)> {
        let Entries { waivers, accepted, .. } = self.entries;
        let waivers = waivers.iter().map(|one| &one.waiver).filter(|waiver| waiver.is_expired);
        let waivers = waivers.map(|waiver| {
            let Waiver { line, owner, expires, .. } = waiver;
            (*line, format!("{} expires {expires}; owner: {owner}", name_of_waiver(waiver)))
        });
        let accepted = accepted.iter().map(|one| &one.acceptance).filter(|accepted| accepted.is_expired);
        let accepted = accepted.map(|accepted| {
            let Acceptance { line, owner, expires, .. } = accepted;
            (*line, format!("{} expires {expires}; owner: {owner}", name_of_acceptance(accepted)))
        });
        let allowed = self.allowed().filter(|(_, entry)| entry.is_expired).map(|(line, entry)| {
            let AllowedCidr { cidr, owner, expires, .. } = entry;
            let expires = expires.as_deref().unwrap_or_default();
            (*line, format!("{cidr} is allowed until {expires}; owner: {owner}"))
        });
        waivers.chain(accepted).chain(allowed).collect()
    }

    /// The allowed blocks of all settings, with their lines.
    fn allowed(&self) -> impl Iterator<Item = &'a (usize, AllowedCidr)> {
        let Entries { settings, overrides, .. } = self.entries;
        let settings = overrides.iter().map(|one| &one.settings).chain([settings]);
        settings.filter_map(|settings| settings.allowed.as_deref()).flatten()
    }

    /// Notes to the owner of the policy, in the file's order. `is_whole` if every cluster
    /// was judged: only then is an entry known to be unused.
    #[must_use]
    pub fn notes(&self, is_whole: bool) -> Vec<PolicyNote> {
        let Entries { waivers, accepted, .. } = self.entries;
        let waivers = waivers.iter().map(|one| &one.waiver).zip(&self.waivers);
        let waivers = waivers.filter_map(|(waiver, used)| note_on_waiver(waiver, used, is_whole));
        let accepted = accepted.iter().map(|one| &one.acceptance).zip(&self.accepted);
        let accepted = accepted.filter_map(|(accepted, used)| note_on_acceptance(accepted, used, is_whole));
        let allowed = self.allowed().filter(|(_, entry)| entry.is_expired).map(|(line, entry)| {
            let AllowedCidr { cidr, owner, expires, .. } = entry;
            let expires = expires.as_deref().unwrap_or_default();
            let text = format!("{cidr} was allowed until {expires}; owner: {owner}");
            PolicyNote { line: *line, kind: PolicyNoteKind::CidrExpired, text }
        });
        waivers.chain(accepted).chain(allowed).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn name_of_waiver(waiver: &Waiver) -> String {
    format!("the waiver of {} for {:?}", waiver.rule, waiver.resource)
}

fn name_of_acceptance(accepted: &Acceptance) -> String {
    format!("the acceptance of the gap {:?}", accepted.subject)
}

fn note_on_waiver(waiver: &Waiver, used: &EntryUse, is_whole: bool) -> Option<PolicyNote> {
    let Waiver { line, owner, expires, is_expired, .. } = waiver;
    let what = name_of_waiver(waiver);
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
    let Acceptance { line, owner, expires, is_expired, .. } = accepted;
    let what = name_of_acceptance(accepted);
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
