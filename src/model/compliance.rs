//! Compliance: the controls of standards that rules belong to.

/// A standard, or a service of AWS with controls of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// CIS Amazon EKS Benchmark 1.8.0.
    CisEks,
    /// AWS Foundational Security Best Practices, of Security Hub.
    AwsFsbp,
    /// The managed rules of AWS Config.
    AwsConfig,
    /// The proactive controls of AWS Control Tower.
    ControlTower,
    /// PCI DSS 4.0.1.
    PciDss,
    /// NIST SP 800-53, revision 5.
    Nist80053,
}

impl Standard {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::CisEks, Self::AwsFsbp, Self::AwsConfig, Self::ControlTower, Self::PciDss, Self::Nist80053];

    /// Its id in reports, with its version.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::CisEks => "cis-eks-1.8.0",
            Self::AwsFsbp => "aws-fsbp-1.0.0",
            Self::AwsConfig => "aws-config",
            Self::ControlTower => "aws-control-tower",
            Self::PciDss => "pci-dss-4.0.1",
            Self::Nist80053 => "nist-800-53-r5",
        }
    }

    /// Its full name with its version.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CisEks => "CIS Amazon EKS Benchmark v1.8.0",
            Self::AwsFsbp => "AWS Foundational Security Best Practices v1.0.0",
            Self::AwsConfig => "AWS Config",
            Self::ControlTower => "AWS Control Tower",
            Self::PciDss => "PCI DSS v4.0.1",
            Self::Nist80053 => "NIST SP 800-53 Rev. 5",
        }
    }

    /// The URL of the standard, or of the page that lists its controls.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::CisEks => "https://www.cisecurity.org/benchmark/kubernetes",
            Self::AwsFsbp => "https://docs.aws.amazon.com/securityhub/latest/userguide/eks-controls.html",
            Self::AwsConfig => {
                "https://docs.aws.amazon.com/config/latest/developerguide/eks-endpoint-no-public-access.html"
            }
            Self::ControlTower => {
                "https://docs.aws.amazon.com/controltower/latest/controlreference/eks-rules.html"
            }
            Self::PciDss => "https://www.pcisecuritystandards.org/document_library/",
            Self::Nist80053 => "https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final",
        }
    }
}

/// The source of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mapping {
    /// The control's own text: the rule checks what it asks, or a part of that.
    Same,
    /// AWS: Security Hub lists the requirement as related to the control EKS.1, which the
    /// rule checks.
    Aws,
    /// This tool.
    Own,
}

impl Mapping {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Aws => "aws",
            Self::Own => "own",
        }
    }

    /// Its meaning in words, after the name of a control; empty for a control that asks the same.
    #[must_use]
    pub fn note(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Aws => "related to EKS.1 by AWS",
            Self::Own => "our own mapping",
        }
    }
}

/// A control of a standard, as a rule belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Control {
    /// The standard.
    pub standard: Standard,
    /// Its id in the standard.
    pub id: &'static str,
    /// Its title in the standard.
    pub title: &'static str,
    /// The source of the mapping.
    pub mapping: Mapping,
}

impl Control {
    /// Its name with the standard, as Security Hub writes related requirements.
    #[must_use]
    pub fn requirement(&self) -> String {
        match self.standard {
            Standard::Nist80053 => format!("NIST.800-53.r5 {}", self.id),
            _ => format!("{}/{}", self.standard.name(), self.id),
        }
    }
}
