//! The waivers and accepted gaps of a policy for one cluster, found without comparing each
//! of them with each finding or gap.

use std::collections::{BTreeSet, HashMap, HashSet};

use glob::Pattern;

use super::entries::{Entries, WaiverRule};
use super::scope::{Applies, names_cluster};
use crate::model::cluster::Cluster;
use crate::model::gap::Gap;
use crate::model::judgment::{Acceptance, Judgment, Waiver};
use crate::model::rule::{Finding, Rule};

/// The entries of a policy that may apply to findings and gaps of a cluster.
pub(super) struct Exceptions<'a> {
    entries: &'a Entries,
    /// The waivers, by rule, that may match subjects of findings.
    waivers: Globs<'a>,
    /// The waivers, by rule, that apply or may apply to every finding of it, by the
    /// cluster's names.
    of_cluster: HashMap<&'a str, Vec<(usize, Applies)>>,
    /// Of these, by rule, the one that expires last: of those that apply, and of all.
    last: HashMap<&'a str, [Option<usize>; 2]>,
    /// The accepted gaps.
    accepted: Globs<'a>,
    /// Whether each entry includes the cluster.
    waiver_scopes: Vec<Applies>,
    accepted_scopes: Vec<Applies>,
}

impl<'a> Exceptions<'a> {
    pub(super) fn new(entries: &'a Entries, cluster: &Cluster) -> Self {
        let mut exceptions = Self {
            entries,
            waivers: Globs::default(),
            of_cluster: HashMap::new(),
            last: HashMap::new(),
            accepted: Globs::default(),
            waiver_scopes: entries.waivers.iter().map(|one| one.scope.includes(cluster)).collect(),
            accepted_scopes: entries.accepted.iter().map(|one| one.scope.includes(cluster)).collect(),
        };
        for (at, one) in entries.waivers.iter().enumerate() {
            let scope = exceptions.waiver_scopes[at];
            if scope == Applies::No {
                continue;
            }
            let rule = one.waiver.rule.as_str();
            let by_name = names_cluster(&one.resource, cluster);
            if by_name != Applies::Yes {
                exceptions.waivers.add(rule, &one.resource, at);
            }
            let applies = by_name.min(scope);
            if applies != Applies::No {
                exceptions.of_cluster.entry(rule).or_default().push((at, applies));
                let [known, any] = exceptions.last.entry(rule).or_default();
                *any = later(&entries.waivers, *any, Some(at));
                if applies == Applies::Yes {
                    *known = later(&entries.waivers, *known, Some(at));
                }
            }
        }
        for (at, one) in entries.accepted.iter().enumerate() {
            if exceptions.accepted_scopes[at] != Applies::No {
                exceptions.accepted.add("", &one.subject, at);
            }
        }
        exceptions
    }

    /// The waiver for a finding: of several, the one that expires last. `with_unknown` are
    /// those of which it is not known whether they apply.
    pub(super) fn waiver(&self, rule: &Rule, finding: &Finding, with_unknown: bool) -> Option<&'a Waiver> {
        let of_cluster = self.last.get(rule.id).and_then(|last| last[usize::from(with_unknown)]);
        let matching = self.matching(rule, finding).into_iter();
        let matching = matching.filter(|at| counts(self.waiver_scopes[*at], with_unknown));
        let last = matching.fold(of_cluster, |last, at| later(&self.entries.waivers, last, Some(at)));
        last.map(|at| &self.entries.waivers[at].waiver)
    }

    /// The acceptance of a gap: of several, the one that expires last.
    pub(super) fn acceptance(&self, gap: &Gap, with_unknown: bool) -> Option<&'a Acceptance> {
        let matching = self.accepting(gap).into_iter();
        let matching = matching.filter(|at| counts(self.accepted_scopes[*at], with_unknown));
        let last = matching.max_by_key(|at| (self.entries.accepted[*at].until, *at));
        last.map(|at| &self.entries.accepted[at].acceptance)
    }

    /// The entries that except something in a judgment if they apply to the cluster, which
    /// is not known: what they are, and their lines.
    pub(super) fn unknown(&self, judgment: &Judgment) -> Vec<(&'static str, usize)> {
        let mut findings: HashMap<&str, usize> = HashMap::new();
        let mut matched = vec![0; self.entries.waivers.len()];
        for judged in &judgment.findings {
            *findings.entry(judged.rule.id).or_default() += 1;
            for at in self.matching(judged.rule, &judged.finding) {
                matched[at] += 1;
            }
        }
        let mut unknown = BTreeSet::new();
        for (rule, waivers) in &self.of_cluster {
            let all = findings.get(rule).copied().unwrap_or_default();
            // Where it matches the subject of a finding, only its scope can be unknown.
            let is_unknown =
                |(at, applies): &&(usize, Applies)| *applies == Applies::Unknown && all > matched[*at];
            unknown.extend(waivers.iter().filter(is_unknown).map(|(at, _)| *at));
        }
        let by_subject = (0..matched.len()).filter(|at| matched[*at] > 0);
        unknown.extend(by_subject.filter(|at| self.waiver_scopes[*at] == Applies::Unknown));
        let waivers = unknown.into_iter().map(|at| &self.entries.waivers[at].waiver);
        let waivers = waivers.filter(|waiver| !waiver.is_expired).map(|waiver| ("waiver", waiver.line));
        let accepted: BTreeSet<_> =
            judgment.gaps.iter().flat_map(|judged| self.accepting(&judged.gap)).collect();
        let accepted =
            accepted.into_iter().filter(|at| self.accepted_scopes[*at] == Applies::Unknown).map(|at| {
                let acceptance = &self.entries.accepted[at].acceptance;
                (acceptance.is_expired, ("accept-gap", acceptance.line))
            });
        waivers.chain(accepted.filter(|(is_expired, _)| !is_expired).map(|(_, what)| what)).collect()
    }

    /// Passes each waiver that applies, or may apply, to a finding of a judgment to `sink`.
    pub(super) fn used_waivers(&self, judgment: &Judgment, mut sink: impl FnMut(usize, Applies)) {
        let mut rules = HashSet::new();
        for judged in &judgment.findings {
            rules.insert(judged.rule.id);
            for at in self.matching(judged.rule, &judged.finding) {
                sink(at, self.waiver_scopes[at]);
            }
        }
        for (at, applies) in rules.iter().filter_map(|rule| self.of_cluster.get(rule)).flatten() {
            sink(*at, *applies);
        }
    }

    /// The same for acceptances and gaps.
    pub(super) fn used_acceptances<'g>(
        &self,
        gaps: impl Iterator<Item = &'g Gap>,
        mut sink: impl FnMut(usize, Applies),
    ) {
        for at in gaps.flat_map(|gap| self.accepting(gap)) {
            sink(at, self.accepted_scopes[at]);
        }
    }

    /// The waivers that match the subject of a finding, without those that apply to all
    /// findings of the rule.
    fn matching(&self, rule: &Rule, finding: &Finding) -> BTreeSet<usize> {
        let subject = finding.subject.as_str();
        let about = finding.about.as_ref().map(|about| format!("{subject} {about}"));
        let names = [Some(subject), about.as_deref()].into_iter().flatten();
        let matching = names.flat_map(|name| {
            let candidates = self.waivers.candidates(rule.id, name);
            candidates.filter(move |at| self.entries.waivers[*at].resource.matches(name))
        });
        matching.collect()
    }

    /// The acceptances that match the subject of a gap.
    fn accepting(&self, gap: &Gap) -> Vec<usize> {
        let subject = gap.subject.to_string();
        let candidates = self.accepted.candidates("", &subject);
        candidates.filter(|at| self.entries.accepted[*at].subject.matches(&subject)).collect()
    }
}

/// Whether an entry counts. `with_unknown` are those of which it is not known whether they
/// apply.
fn counts(applies: Applies, with_unknown: bool) -> bool {
    applies == Applies::Yes || with_unknown && applies == Applies::Unknown
}

/// Of two waivers the one that expires later; the second one if both expire together.
fn later(waivers: &[WaiverRule], a: Option<usize>, b: Option<usize>) -> Option<usize> {
    a.into_iter().chain(b).max_by_key(|at| (waivers[*at].until, *at))
}

/// Globs in groups, by the literal text with which they begin, or else by the one with which
/// they end. Those that have neither are compared with every text.
#[derive(Default)]
struct Globs<'a> {
    by_beginning: ByText<'a>,
    by_end: ByText<'a>,
}

/// Globs by group and literal text.
#[derive(Default)]
struct ByText<'a> {
    globs: HashMap<(&'a str, &'a str), Vec<usize>>,
    /// The lengths of these texts, by group.
    lengths: HashMap<&'a str, BTreeSet<usize>>,
}

impl<'a> ByText<'a> {
    fn add(&mut self, group: &'a str, text: &'a str, at: usize) {
        self.globs.entry((group, text)).or_default().push(at);
        self.lengths.entry(group).or_default().insert(text.len());
    }

    /// The globs of which `part`, which returns the part of a length of the text that is looked
    /// up, returns the literal text.
    fn find<'s>(
        &'s self,
        group: &'s str,
        part: impl Fn(usize) -> Option<&'s str> + 's,
    ) -> impl Iterator<Item = usize> + 's
    where
        'a: 's,
    {
        let lengths = self.lengths.get(group).into_iter().flatten();
        let parts = lengths.filter_map(move |length| part(*length));
        parts.filter_map(move |text| self.globs.get(&(group, text))).flatten().copied()
    }
}

impl<'a> Globs<'a> {
    fn add(&mut self, group: &'a str, glob: &'a Pattern, at: usize) {
        let text = glob.as_str();
        let beginning = &text[..text.find(['*', '?', '[']).unwrap_or(text.len())];
        // What stands below the last sign of a glob is literal.
        let end = text.rfind(['*', '?', '[', ']']).map_or(text, |sign| &text[sign + 1..]);
        if beginning.is_empty() && !end.is_empty() {
            self.by_end.add(group, end, at);
        } else {
            self.by_beginning.add(group, beginning, at);
        }
    }

    /// The globs with whose literal text a text begins or ends.
    fn candidates<'s>(&'s self, group: &'s str, text: &'s str) -> impl Iterator<Item = usize> + 's
    where
        'a: 's,
    {
        let beginnings = self.by_beginning.find(group, move |length| text.get(..length));
        let ends = self.by_end.find(group, move |length| text.get(text.len().checked_sub(length)?..));
        beginnings.chain(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_the_globs_with_whose_literal_text_a_text_begins_or_ends() {
        let globs: Vec<_> = ["n1", "n*", "*", "n1?", "n[12]", "m", "é*", "*1", "?-é", "[]n]1", "*n*", "[1]"]
            .map(|glob| Pattern::new(glob).expect("a glob"))
            .into();
        let mut index = Globs::default();
        for (at, glob) in globs.iter().enumerate() {
            index.add("rule", glob, at);
        }
        let candidates = |group, text| index.candidates(group, text).collect::<BTreeSet<_>>();
        assert_eq!(candidates("rule", "n1"), BTreeSet::from([0, 1, 2, 3, 4, 7, 9, 10, 11]));
        assert_eq!(candidates("rule", "è"), BTreeSet::from([2, 10, 11]));
        assert_eq!(candidates("rule", "-é"), BTreeSet::from([2, 8, 10, 11]));
        assert_eq!(candidates("rule", ""), BTreeSet::from([2, 10, 11]));
        assert_eq!(candidates("other", "n1"), BTreeSet::new());
    }
}
