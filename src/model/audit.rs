//! A run of `audit`: the judged clusters one by one, and what is known at the end.

use std::fmt;

use super::facts::Facts;
use super::gap::Gap;
use super::judgment::{Judgment, PolicyNote, Verdict};
use super::rule::Rule;

/// A cluster that was judged.
#[derive(Debug)]
pub struct Audited {
    /// The facts.
    pub facts: Facts,
    /// Their judgment under the policy.
    pub judgment: Judgment,
}

/// The result of a whole run, known after the last cluster.
#[derive(Debug, Default)]
pub struct Summary {
    /// The name of the cluster that the run is about; `None` if it may be about several.
    pub cluster: Option<String>,
    /// The number of judged clusters by verdict.
    pub counts: Counts,
    /// What could not be judged at all.
    pub unjudged: Vec<Unjudged>,
    /// The policy.
    pub policy: PolicyUsed,
    /// The rules that are not selected on the command line.
    pub skipped: Vec<&'static Rule>,
}

impl Summary {
    /// The verdict of the run: `fail` if a cluster fails, else `inconclusive` if one is
    /// inconclusive or could not be judged, or there is none.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.counts.fail > 0 {
            Verdict::Fail
        } else if self.counts.pass == 0 || self.counts.inconclusive > 0 || !self.unjudged.is_empty() {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        }
    }
}

/// The number of clusters by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Clusters that pass.
    pub pass: usize,
    /// Clusters that fail.
    pub fail: usize,
    /// Clusters whose verdict is inconclusive.
    pub inconclusive: usize,
}

impl Counts {
    /// Counts a cluster.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => self.pass += 1,
            Verdict::Fail => self.fail += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
        }
    }

    /// The number of all clusters.
    #[must_use]
    pub fn total(self) -> usize {
        self.pass + self.fail + self.inconclusive
    }
}

/// A cluster, or all clusters of an account and region, that could not be judged. Its
/// text is `subject: detail; hint`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unjudged {
    /// Its name in reports.
    pub subject: String,
    /// The reason.
    pub gap: Gap,
}

impl Unjudged {
    /// The reason and the next step: `detail; hint`.
    #[must_use]
    pub fn cause(&self) -> String {
        self.gap.cause()
    }
}

impl fmt::Display for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.cause())
    }
}

/// The policy of a run.
#[derive(Debug, Clone, Default)]
pub struct PolicyUsed {
    /// Where it is from.
    pub origin: PolicyOrigin,
    /// The path of the file, or `-`; `None` for the default policy.
    pub path: Option<String>,
    /// The preset that it extends.
    pub preset: Option<&'static str>,
    /// The path for CI systems: relative, with `/` between its parts.
    pub place: String,
    /// Notes to the owner of the policy.
    pub notes: Vec<PolicyNote>,
}

impl PolicyUsed {
    /// Its name in text, with the preset that it extends.
    #[must_use]
    pub fn name(&self) -> String {
        let name = match self.path.as_deref() {
            None => "default policy (no eks-netcheck.toml was found)",
            Some("-") => "standard input",
            Some(path) => path,
        };
        self.preset.map_or_else(|| name.to_owned(), |preset| format!("{name}, extends {preset}"))
    }
}

/// Where a policy is from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// No file was named or found.
    #[default]
    Default,
    /// The file was found in the working directory or one above it.
    Found,
    /// The user named the file.
    Named,
}

/// The judgment of a trace by the rules of `audit`.
#[derive(Debug)]
pub struct TraceJudgment {
    /// The judgment.
    pub judgment: Judgment,
    /// The policy that it was made by.
    pub policy: PolicyUsed,
}
