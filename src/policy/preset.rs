//! Presets: settings that a policy extends. They have the lowest precedence.

use schemars::JsonSchema;
use serde::Deserialize;

use super::entries::Settings;
use crate::model::rule::Severity;

/// A preset, by its name in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum Preset {
    /// The rules' own severities.
    #[serde(rename = "default")]
    Default,
    /// Any public access fails, as for EKS.1 of AWS Foundational Security Best Practices.
    #[serde(rename = "fsbp-eks.1")]
    FsbpEks1,
    /// Any public access fails, and private access that is off, as for 5.4.1 and 5.4.2 of the CIS Amazon EKS Benchmark
    /// 1.8.0.
    #[serde(rename = "cis-eks-1.8")]
    CisEks18,
}

impl Preset {
    /// Its name in the policy and in reports.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::FsbpEks1 => "fsbp-eks.1",
            Self::CisEks18 => "cis-eks-1.8",
        }
    }

    /// The rules that report what its controls forbid, all of which fail a run.
    fn rules(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::FsbpEks1 => &["public-endpoint-open", "public-endpoint-enabled"],
            Self::CisEks18 => {
                &["public-endpoint-open", "public-endpoint-enabled", "private-endpoint-disabled"]
            }
        }
    }

    /// Its settings.
    pub(super) fn settings(self) -> Settings {
        let is_default = self == Self::Default;
        Settings {
            fail_on: (!is_default).then_some(Some(Severity::High)),
            rules: self.rules().iter().map(|rule| ((*rule).to_owned(), Some(Severity::High))).collect(),
            private_only: (!is_default).then_some(true),
            ..Settings::default()
        }
    }
}
