//! The controls of standards in words.

use std::collections::BTreeSet;

use crate::model::compliance::{Control, Mapping, Standard};
use crate::model::judgment::{ControlResult, ControlStatus, Judgment};

/// Whether the cluster meets the controls of a standard, with the status of each: `5.4.1 fail,
/// 5.4.2 unknown`; none for a standard without results.
pub(super) fn by_standard(judgment: &Judgment) -> impl Iterator<Item = (Standard, String)> {
    Standard::ALL.into_iter().filter_map(|standard| {
        let results = judgment.controls.iter().filter(|result| result.control.standard == standard);
        let words: Vec<_> =
            results.map(|result| format!("{} {}", result.control.id, result.status.as_str())).collect();
        (!words.is_empty()).then(|| (standard, words.join(", ")))
    })
}

/// The controls that ask the same as rules do, by their status, worst first: `not met: CIS
/// Amazon EKS Benchmark v1.8.0 5.4.1, ...`.
pub(super) fn by_status(judgment: &Judgment) -> impl Iterator<Item = String> {
    let statuses = [
        (ControlStatus::Fail, "not met"),
        (ControlStatus::Unknown, "not known"),
        (ControlStatus::Waived, "not met, and waived"),
        (ControlStatus::Pass, "met"),
    ];
    statuses.into_iter().filter_map(|(status, word)| {
        let has =
            |result: &&ControlResult| result.status == status && result.control.mapping == Mapping::Same;
        let names: Vec<_> = judgment.controls.iter().filter(has).map(|result| name(result.control)).collect();
        (!names.is_empty()).then(|| format!("{word}: {}", names.join(", ")))
    })
}

/// The short name of a control: with the standard where the id does not say it.
fn name(control: &Control) -> String {
    match control.standard {
        Standard::CisEks => format!("CIS EKS 1.8.0 {}", control.id),
        Standard::AwsFsbp => format!("FSBP {}", control.id),
        Standard::AwsConfig => format!("AWS Config {}", control.id),
        Standard::ControlTower => format!("Control Tower {}", control.id),
        Standard::PciDss | Standard::Nist80053 => format!("{} {}", control.standard.name(), control.id),
    }
}

/// The names of the standards of controls, each once.
pub(super) fn standards(controls: &[&Control]) -> Vec<&'static str> {
    let standards: BTreeSet<_> = controls.iter().map(|control| control.standard).collect();
    standards.into_iter().map(Standard::name).collect()
}

/// The name of a control with its standard, marked if it is our own mapping.
pub(super) fn requirement(control: &Control) -> String {
    match control.mapping {
        Mapping::Own => format!("{} ({})", control.requirement(), control.mapping.note()),
        Mapping::Same | Mapping::Aws => control.requirement(),
    }
}
