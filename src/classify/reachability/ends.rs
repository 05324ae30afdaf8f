//! The addresses of the two ends of a connection.

use ipnet::IpNet;

use crate::model::net::{Interface, host_addresses};

/// The addresses of a place and of an ENI in each family that both have. If those of the place
/// are not known, one element without them.
pub(super) fn common_families(
    blocks: &[IpNet],
    eni: &Interface,
) -> impl Iterator<Item = (Vec<IpNet>, Vec<IpNet>)> {
    let of_family = |is_v4: bool| {
        let own = blocks.iter().copied().filter(move |block| block.addr().is_ipv4() == is_v4);
        let of_eni = host_addresses(&eni.addresses).filter(|address| address.is_ipv4() == is_v4);
        (own.collect::<Vec<_>>(), of_eni.map(IpNet::from).collect::<Vec<_>>())
    };
    let families = [of_family(true), of_family(false)];
    let is_unknown = blocks.is_empty();
    families.into_iter().filter(move |(own, of_eni)| !of_eni.is_empty() && (is_unknown || !own.is_empty()))
}

/// How long connections hang where some addresses of the endpoint do not answer. Go's dialer
/// divides its time between the addresses, and that of kubelet and kubectl has 30 s.
///
/// <https://pkg.go.dev/net#Dialer>
pub(super) fn delay(lost: usize, all: usize) -> String {
    const DIAL_MAX: usize = 30;
    let (does, it) = if lost == 1 { ("does", "it") } else { ("do", "them") };
    format!(
        "{lost} of {all} addresses {does} not answer: connections that try {it} first hang before they try another one, those of kubelet and kubectl up to {} s",
        DIAL_MAX * lost / all.max(1)
    )
}
