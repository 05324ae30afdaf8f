//! What is not known of a place.

use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::reachability::Place;

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
    let detail = "no single network interface has its addresses, so its security groups are not known";
    about(place, detail, "pass the address of one host with --from")
}
