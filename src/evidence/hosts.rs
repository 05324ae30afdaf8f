//! Host names of endpoints, compared.

/// Whether two hosts are in the same domain, such as eks.amazonaws.com: by their last three
/// labels.
pub(super) fn has_domain_of(host: &str, other: &str) -> bool {
    let domain =
        |host: &str| -> Vec<String> { host.rsplit('.').take(3).map(str::to_ascii_lowercase).collect() };
    host.split('.').count() > 3 && domain(host) == domain(other)
}

/// Whether two hosts are endpoints of EKS, of clusters with different ids: one cluster may
/// have names in several domains.
pub(super) fn are_different_endpoints(host: &str, other: &str) -> bool {
    eks_id(host).zip(eks_id(other)).is_some_and(|(host, other)| host != other)
}

/// The id of the cluster in the name of an endpoint of EKS.
pub(super) fn eks_id(host: &str) -> Option<String> {
    let mut labels = host.split('.').map(str::to_ascii_lowercase);
    let id = labels.next()?;
    labels.any(|label| label == "eks" || label == "eks-cluster").then_some(id)
}
