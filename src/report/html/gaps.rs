//! What was not seen, those with one cause together.

use serde::Serialize;

use super::findings::StepView;
use super::list::{self, List};
use super::words::count;
use crate::model::gap::Subject;
use crate::model::groups::{GapGroup, gap_groups, not_judged_groups};
use crate::model::judgment::{JudgedGap, NotJudged};
use crate::report::alike;
use crate::report::entry::accepted_by;
use crate::report::names::Names;

/// The number of groups that are shown.
const GROUPS_MAX: usize = 500;
/// The number of names that a group lists.
const NAMES_MAX: usize = 2_000;

/// The gaps of a judgment.
#[derive(Debug, Serialize)]
pub(super) struct GapsView {
    total: usize,
    needed: Vec<GapView>,
    accepted: Vec<GapView>,
    others: Vec<GapView>,
    /// The number of groups that are not shown.
    more: usize,
}

/// Gaps with one cause.
#[derive(Debug, Serialize)]
struct GapView {
    title: String,
    detail: String,
    why: &'static str,
    names: Option<String>,
    rules: String,
    accepted: Option<String>,
    step: StepView,
    /// Whether the step is that of the first of several.
    is_example: bool,
}

impl GapsView {
    pub(super) fn new(gaps: &[JudgedGap]) -> Self {
        let groups = gap_groups(gaps);
        let more = groups.len().saturating_sub(GROUPS_MAX);
        let mut view =
            Self { total: gaps.len(), needed: Vec::new(), accepted: Vec::new(), others: Vec::new(), more };
        for group in groups.iter().take(GROUPS_MAX) {
            let Some(first) = group.gaps.first() else { continue };
            let part = match (first.needed, first.accepted_by()) {
                (true, _) => &mut view.needed,
                (false, Some(_)) => &mut view.accepted,
                (false, None) => &mut view.others,
            };
            part.push(GapView::new(group, first));
        }
        view
    }
}

impl GapView {
    fn new(group: &GapGroup<'_>, first: &JudgedGap) -> Self {
        let subjects: Vec<_> = group.gaps.iter().map(|judged| judged.gap.subject.to_string()).collect();
        let title = match subjects.as_slice() {
            [only] => only.clone(),
            several => count(several.len(), noun(&first.gap.subject)),
        };
        let names: Vec<_> = group.gaps.iter().filter_map(|judged| judged.gap.subject.name()).collect();
        let rules: Vec<_> = first.rules.iter().map(|rule| rule.id).collect();
        let hint = if first.accepted_by().is_some() { "" } else { &first.gap.hint };
        Self {
            title,
            detail: group.detail.clone(),
            why: first.gap.why.as_str(),
            names: (subjects.len() > 1).then(|| list::names(names.into_iter(), NAMES_MAX)),
            rules: rules.join(", "),
            accepted: first.accepted.as_ref().map(accepted_by),
            step: StepView::of_hint(hint),
            is_example: group.gaps.iter().any(|judged| judged.gap.hint != first.gap.hint),
        }
    }
}

/// What several subjects of a kind are called, without the plural's s.
fn noun(subject: &Subject) -> &'static str {
    match subject {
        Subject::Node(_) | Subject::Instance(_) => "node",
        Subject::Egress(_) => "egress addresse",
        Subject::Vantage(_) => "DNS answer",
        Subject::Probe(_) => "probe",
        _ => "part",
    }
}

/// Rules that were not judged for one cause.
#[derive(Debug, Serialize)]
pub(super) struct NotJudgedView {
    rules: String,
    problem: String,
}

impl NotJudgedView {
    pub(super) fn all(not_judged: &[NotJudged], names: &Names) -> List<Self> {
        list::of(&not_judged_groups(not_judged), list::MAX, |group| Self {
            rules: group.rules.join(", "),
            problem: alike::not_judged_text(group, names),
        })
    }
}
