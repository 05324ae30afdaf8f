//! The access modes of an endpoint.

use ipnet::IpNet;

use super::cluster::EndpointAccess;

/// An access mode that EKS accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessMode {
    /// Public only.
    Public,
    /// Public and private.
    PublicAndPrivate,
    /// Private only.
    Private,
}

impl AccessMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Public, Self::PublicAndPrivate, Self::Private];

    /// Its name, as in options and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::PublicAndPrivate => "public-and-private",
            Self::Private => "private",
        }
    }

    /// Whether the public endpoint is on.
    #[must_use]
    pub fn public(self) -> bool {
        self != Self::Private
    }

    /// Whether the private endpoint is on.
    #[must_use]
    pub fn private(self) -> bool {
        self != Self::Public
    }

    /// The access with this mode and these `publicAccessCidrs`.
    #[must_use]
    pub fn with(self, cidrs: &[IpNet]) -> EndpointAccess {
        match self {
            Self::Public => EndpointAccess::Public { cidrs: cidrs.to_vec() },
            Self::PublicAndPrivate => EndpointAccess::PublicAndPrivate { cidrs: cidrs.to_vec() },
            Self::Private => EndpointAccess::Private,
        }
    }

    /// The modes that an access may have: several if a flag is not recorded, of which the
    /// first is the one that is assumed (a public endpoint is on, a private one is off).
    #[must_use]
    pub fn possible(access: &EndpointAccess) -> Vec<Self> {
        let fits = |known: Option<bool>, is_on: bool| known.is_none_or(|known| known == is_on);
        let modes = Self::ALL.into_iter();
        let may =
            |mode: &Self| fits(access.public(), mode.public()) && fits(access.private(), mode.private());
        modes.filter(may).collect()
    }
}
