//! What is not known of a place.

use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::reachability::{Location, Place};

/// A gap about a place.
pub(super) fn about(place: &Place, detail: impl Into<String>, hint: &str) -> Gap {
    Gap {
        subject: Subject::Other(place.name.clone()),
        why: GapReason::NotSupported,
        detail: detail.into(),
        hint: hint.to_owned(),
    }
}

/// A gap that evidence from the place closes.
pub(super) fn at(place: &Place, detail: impl Into<String>) -> Gap {
    about(place, detail, "run eks-netcheck reach there")
}

/// It is not known where a place is.
pub(super) fn unknown_place(place: &Place) -> Gap {
    let detail = "where it is in the network is not known, and no connection from it was seen";
    about(place, detail, "probe the endpoint from there, as collect does, or pass its address with --from")
}

/// The address with which a place leaves its network is not known.
pub(super) fn unknown_address(place: &Place) -> Gap {
    let detail = "the address with which it leaves its network is not known";
    let hint =
        "pass that address with --from; there, it is printed by: curl -s https://checkip.amazonaws.com";
    about(place, detail, hint)
}

/// No interface has the addresses of a place in the VPC.
pub(super) fn no_interface(place: &Place) -> Gap {
    if matches!(place.location, Location::Vpc { id: Some(_), .. }) {
        let detail = "the security groups of its network interface are not recorded";
        return about(place, detail, "record the network interfaces of the VPC again, as collect does");
    }
    if is_host(place) {
        let detail = "no recorded network interface has this address, so its security groups are not known";
        return about(place, detail, NO_HOST);
    }
    let detail = "no single network interface has its addresses, so its security groups are not known";
    about(place, detail, ONE_HOST)
}

/// The subnet of a place in the VPC is not known, and so not what applies there.
pub(super) fn no_subnet(place: &Place, what: &str) -> Gap {
    if is_host(place) {
        let detail =
            format!("no recorded network interface or subnet has this address, so {what} is not known");
        return about(place, detail, NO_HOST);
    }
    let detail = format!("it is not known to be in one subnet, so {what} is not known");
    about(place, detail, ONE_HOST)
}

/// The next step for a block.
const ONE_HOST: &str = "pass the address of one host with --from";
/// The next step for an address that nothing has.
const NO_HOST: &str =
    "check the address that is passed with --from; if the host is newer than the evidence, record it again";

/// Whether a place is a single address.
fn is_host(place: &Place) -> bool {
    match &place.location {
        Location::Vpc { blocks, .. } | Location::Outside { blocks } => {
            matches!(blocks.as_slice(), [block] if block.prefix_len() == block.max_prefix_len())
        }
        Location::Unknown => false,
    }
}
