//! Files of the evidence directory, and fields in them that can be missing.

use std::fmt;

/// The name of a file of the evidence directory. The files with answers of EC2 are
/// defined next to their types in [`net`](super::net).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct File(&'static str);

impl File {
    /// `aws eks describe-cluster`: the only required file.
    pub const CLUSTER: Self = Self("cluster.json");
    /// `aws ec2 describe-network-interfaces`.
    pub const INTERFACES: Self = Self("network-interfaces.json");
    /// `aws ec2 describe-vpcs`, and `describe-vpc-attribute` for the DNS attributes.
    pub const VPC: Self = Self("vpc.json");
    /// `aws ec2 describe-network-acls`.
    pub const NETWORK_ACLS: Self = Self("network-acls.json");

    /// The file with this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A field of a file that a rule needs and that can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `arn` of the cluster.
    Arn,
    /// `endpoint` of the cluster.
    Endpoint,
    /// `endpointPublicAccess` or `endpointPrivateAccess`.
    EndpointAccess,
    /// `endpointPrivateAccess`.
    EndpointPrivateAccess,
    /// `AvailabilityZone` of a network interface.
    AvailabilityZone,
    /// The VPC's attribute `enableDnsSupport`.
    EnableDnsSupport,
    /// The VPC's attribute `enableDnsHostnames`.
    EnableDnsHostnames,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 7] = [
        Self::Arn,
        Self::Endpoint,
        Self::EndpointAccess,
        Self::EndpointPrivateAccess,
        Self::AvailabilityZone,
        Self::EnableDnsSupport,
        Self::EnableDnsHostnames,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arn => "arn",
            Self::Endpoint => "endpoint",
            Self::EndpointAccess => "endpoint access",
            Self::EndpointPrivateAccess => "endpointPrivateAccess",
            Self::AvailabilityZone => "AvailabilityZone",
            Self::EnableDnsSupport => "enableDnsSupport",
            Self::EnableDnsHostnames => "enableDnsHostnames",
        }
    }

    /// The file that contains it.
    #[must_use]
    pub fn file(self) -> File {
        match self {
            Self::Arn | Self::Endpoint | Self::EndpointAccess | Self::EndpointPrivateAccess => File::CLUSTER,
            Self::AvailabilityZone => File::INTERFACES,
            Self::EnableDnsSupport | Self::EnableDnsHostnames => File::VPC,
        }
    }
}
