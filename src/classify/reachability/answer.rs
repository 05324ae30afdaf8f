//! The answer of `reach` for a place.

use super::index::Reachabilities;
use crate::model::facts::Facts;
use crate::model::reachability::{ConditionResult, Place, ReachReport, Reaches};

/// Returns whether a place reaches the endpoint under the access that the cluster has. An answer
/// that would be another one without evidence of which only a part is there is unknown.
#[must_use]
pub fn reach_report(facts: &Facts, place: Place) -> ReachReport {
    let cluster = &facts.evidence.cluster;
    let reachability = Reachabilities::new(facts).of(&cluster.access, &place);
    let mut reaches = reachability.reaches();
    let mut gaps = Vec::new();
    for gap in reachability.conditions.iter().filter_map(|one| one.gap.as_ref()) {
        if !gaps.contains(gap) {
            gaps.push(gap.clone());
        }
    }
    if let Some(incomplete) = facts.incomplete.as_deref() {
        let without = Reachabilities::new(&incomplete.without).of(&cluster.access, &place);
        if without.reaches() == reaches {
            // What is not judged without it, and was judged with a part of it.
            let left_out = without.conditions.into_iter();
            let left_out = left_out.filter(|one| one.result == ConditionResult::NotApplicable);
            for gap in left_out.filter_map(|condition| condition.gap) {
                if incomplete.gaps.contains(&gap) && !gaps.contains(&gap) {
                    gaps.push(gap);
                }
            }
        } else {
            reaches = Reaches::Unknown;
            gaps.extend(incomplete.gaps.iter().cloned());
        }
    }
    ReachReport {
        cluster: cluster.name.clone(),
        access: cluster.access.clone(),
        place,
        reachability,
        reaches,
        gaps,
    }
}
