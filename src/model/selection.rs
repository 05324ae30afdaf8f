//! The selection of rules on the command line.

use super::rule::Rule;

/// Which rules a run judges, as selected on its command line. The default one has all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The only rules to judge; all if empty.
    only: Vec<&'static Rule>,
    /// The rules not to judge, also if they are among `only`.
    skip: Vec<&'static Rule>,
}

impl Selection {
    /// A selection of `only` these rules, or of all if there are none, without those of `skip`.
    #[must_use]
    pub fn new(only: Vec<&'static Rule>, skip: Vec<&'static Rule>) -> Self {
        Self { only, skip }
    }

    /// Whether it has a rule.
    #[must_use]
    pub fn includes(&self, rule: &Rule) -> bool {
        (self.only.is_empty() || self.names(rule)) && !has(&self.skip, rule)
    }

    /// Whether a rule is one of the only ones to judge, which counts more than that the policy
    /// turns it off.
    #[must_use]
    pub fn names(&self, rule: &Rule) -> bool {
        has(&self.only, rule)
    }

    /// Whether it has all rules.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.only.is_empty() && self.skip.is_empty()
    }

    /// Those of `rules` that it does not have.
    #[must_use]
    pub fn skipped(&self, rules: &[&'static Rule]) -> Vec<&'static Rule> {
        rules.iter().copied().filter(|rule| !self.includes(rule)).collect()
    }
}

fn has(rules: &[&'static Rule], rule: &Rule) -> bool {
    rules.iter().any(|one| one.id == rule.id)
}
