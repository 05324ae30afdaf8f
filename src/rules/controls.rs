//! The controls of standards that rules belong to.
//!
//! EKS.1 of Security Hub, the rule of AWS Config and the control of Control Tower fail on any
//! public access, whatever its CIDR blocks: they belong to the two rules that together
//! report all of it. The requirements of NIST and PCI DSS at these rules are those that AWS
//! lists as related to EKS.1; at other rules they are our own mapping.
//!
//! <https://docs.aws.amazon.com/securityhub/latest/userguide/eks-controls.html#eks-1>

use crate::model::compliance::{Control, Mapping, Standard};

/// The controls of [`PUBLIC_ACCESS`] and [`PRIVATE_ACCESS`]: the CIS benchmark asks for
/// private access in both.
const CIS_RESTRICT: Control = Control {
    standard: Standard::CisEks,
    id: "5.4.1",
    title: "Restrict access to the control plane endpoint",
    mapping: Mapping::Same,
};
const CIS_PRIVATE: Control = Control {
    standard: Standard::CisEks,
    id: "5.4.2",
    title: "Private endpoint enabled and public access disabled",
    mapping: Mapping::Same,
};

/// A requirement that AWS lists as related to EKS.1.
const fn related(standard: Standard, id: &'static str, title: &'static str) -> Control {
    Control { standard, id, title, mapping: Mapping::Aws }
}

/// A control of NIST by our own mapping.
const fn own(id: &'static str, title: &'static str) -> Control {
    Control { standard: Standard::Nist80053, id, title, mapping: Mapping::Own }
}

const EKS_1: Control = Control {
    standard: Standard::AwsFsbp,
    id: "EKS.1",
    title: "EKS cluster endpoints should not be publicly accessible",
    mapping: Mapping::Same,
};
const CONFIG: Control = Control {
    standard: Standard::AwsConfig,
    id: "eks-endpoint-no-public-access",
    title: "The EKS endpoint is not publicly accessible",
    mapping: Mapping::Same,
};
const CONTROL_TOWER: Control = Control {
    standard: Standard::ControlTower,
    id: "CT.EKS.PR.1",
    title: "Public access to the cluster's API server endpoint is disabled",
    mapping: Mapping::Same,
};
const PCI: Control = related(
    Standard::PciDss,
    "1.4.4",
    "System components that store cardholder data are not directly accessible from untrusted networks",
);
const AC_3: Control = related(Standard::Nist80053, "AC-3", "Access Enforcement");
const AC_3_7: Control = related(Standard::Nist80053, "AC-3(7)", "Role-based Access Control");
const AC_4: Control = related(Standard::Nist80053, "AC-4", "Information Flow Enforcement");
const AC_4_21: Control =
    related(Standard::Nist80053, "AC-4(21)", "Physical or Logical Separation of Information Flows");
const AC_6: Control = related(Standard::Nist80053, "AC-6", "Least Privilege");
const AC_21: Control = related(Standard::Nist80053, "AC-21", "Information Sharing");
const SC_7: Control = related(Standard::Nist80053, "SC-7", "Boundary Protection");
const SC_7_3: Control = related(Standard::Nist80053, "SC-7(3)", "Access Points");
const SC_7_4: Control = related(Standard::Nist80053, "SC-7(4)", "External Telecommunications Services");
const SC_7_9: Control =
    related(Standard::Nist80053, "SC-7(9)", "Restrict Threatening Outgoing Communications Traffic");
const SC_7_11: Control = related(Standard::Nist80053, "SC-7(11)", "Restrict Incoming Communications Traffic");
const SC_7_16: Control = related(Standard::Nist80053, "SC-7(16)", "Prevent Discovery of System Components");
const SC_7_20: Control = related(Standard::Nist80053, "SC-7(20)", "Dynamic Isolation and Segregation");
const SC_7_21: Control = related(Standard::Nist80053, "SC-7(21)", "Isolation of System Components");

/// The controls of a rule that reports public access from the internet at large.
pub(super) static OPEN_ACCESS: [Control; 20] = [
    CIS_RESTRICT,
    CIS_PRIVATE,
    EKS_1,
    CONFIG,
    CONTROL_TOWER,
    PCI,
    AC_3,
    AC_4,
    AC_6,
    AC_21,
    SC_7,
    AC_3_7,
    AC_4_21,
    SC_7_3,
    SC_7_4,
    SC_7_9,
    SC_7_11,
    SC_7_16,
    SC_7_20,
    SC_7_21,
];

/// The controls of a rule that reports public access limited to some blocks: all but the one that
/// asks for that limit.
pub(super) static PUBLIC_ACCESS: &[Control] = OPEN_ACCESS.split_at(1).1;

/// The controls of a rule that reports that private access is off.
pub(super) static PRIVATE_ACCESS: [Control; 2] = [CIS_RESTRICT, CIS_PRIVATE];

/// The controls of a rule that compares `publicAccessCidrs` with a list of allowed blocks.
pub(super) static ALLOWED_BLOCKS: [Control; 1] = [own("SC-7(5)", "Deny by Default - Allow by Exception")];

/// The controls of a rule that compares a setting with the one that the policy asks for.
pub(super) static SETTINGS: [Control; 1] = [own("CM-6", "Configuration Settings")];

/// The controls of a rule that reports traffic that leaves the way that it should take.
pub(super) static INFORMATION_FLOW: [Control; 1] = [own("AC-4", "Information Flow Enforcement")];

/// The controls of a rule that reports traffic that enters from outside.
pub(super) static BOUNDARY: [Control; 1] = [own("SC-7", "Boundary Protection")];

/// The controls of a rule that reports answers to anonymous requests.
pub(super) static ANONYMOUS: [Control; 1] =
    [own("AC-14", "Permitted Actions Without Identification or Authentication")];

/// The controls of a rule that reports an endpoint that is not the cluster's.
pub(super) static AUTHENTICITY: [Control; 1] = [own("SC-23", "Session Authenticity")];
