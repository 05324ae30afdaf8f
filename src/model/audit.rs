//! A run of `audit`: what was found out, and what it comes to.

use super::facts::Facts;
use super::gap::Gap;
use super::judgment::{Judgment, PolicyNote, Verdict};
use super::rule::Rule;

/// The whole run.
#[derive(Debug)]
pub struct Audit {
    /// The clusters that were judged.
    pub clusters: Vec<Audited>,
    /// What could not be judged at all.
    pub unjudged: Vec<Unjudged>,
    /// Whether several may have been asked for, however many there are.
    pub is_many: bool,
    /// Every rule that there is.
    pub rules: &'static [&'static Rule],
    /// The policy, where there is one.
    pub policy: Option<PolicyUsed>,
    /// The file that findings are shown at where a format wants one: relative,
    /// with `/` between its parts.
    pub anchor: String,
    /// When it was judged, in milliseconds since 1970.
    pub time: i64,
}

impl Audit {
    /// What it all comes to: findings first, then what could not be seen.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let is = |verdict| self.clusters.iter().any(|audited| audited.judgment.verdict == verdict);
        if is(Verdict::Fail) {
            Verdict::Fail
        } else if is(Verdict::Inconclusive) || !self.unjudged.is_empty() {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        }
    }

    /// How many clusters have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.clusters.iter().filter(|audited| audited.judgment.verdict == verdict).count()
    }

    /// The clusters, those that fail first, those that pass last.
    #[must_use]
    pub fn worst_first(&self) -> Vec<&Audited> {
        let mut clusters: Vec<_> = self.clusters.iter().collect();
        clusters.sort_by_key(|audited| match audited.judgment.verdict {
            Verdict::Fail => 0,
            Verdict::Inconclusive => 1,
            Verdict::Pass => 2,
        });
        clusters
    }
}

/// A cluster, judged.
#[derive(Debug)]
pub struct Audited {
    /// What is known of it.
    pub facts: Facts,
    /// What that comes to.
    pub judgment: Judgment,
}

/// A cluster, or all of an account and region, that could not be judged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unjudged {
    /// What it is called.
    pub subject: String,
    /// Why.
    pub gap: Gap,
}

/// The policy that was judged by.
#[derive(Debug, Clone)]
pub struct PolicyUsed {
    /// The file, as it was found.
    pub path: String,
    /// The file as pipelines know it: relative, with `/` between its parts.
    pub place: String,
    /// What its owner should know of it.
    pub notes: Vec<PolicyNote>,
}
