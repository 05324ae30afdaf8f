//! The regions of AWS, and the next step where the host of one does not answer.

use super::http::Final;

/// The regions of the SDK's endpoint rules. There can be newer ones: a region that is not
/// here is not refused.
const REGIONS: [&str; 44] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-west-1",
    "us-west-2",
];

/// The domains of AWS's own endpoints, one or more for each partition.
const DOMAINS: [&str; 9] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".api.aws",
    ".api.amazonwebservices.com.cn",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];

/// The most characters of a label of a host name (RFC 1035).
pub(super) const LABEL_MAX: usize = 63;

/// Whether a text may be the name of a region: it becomes a label of a host name.
pub(super) fn is_region(text: &str) -> bool {
    let is_label = !text.is_empty() && text.len() <= LABEL_MAX;
    is_label && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a region is known here.
pub(super) fn is_known(region: &str) -> bool {
    REGIONS.contains(&region)
}

/// The name of the known region that is the most similar to a name.
fn nearest(region: &str) -> &'static str {
    let distance = |known: &&str| strsim::damerau_levenshtein(&region.to_lowercase(), known);
    REGIONS.into_iter().min_by_key(distance).unwrap_or_default()
}

/// Whether a host, which may have a port, is one of AWS's own.
fn is_of_aws(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    DOMAINS.iter().any(|domain| name.ends_with(domain))
}

/// Whether the reason of a failure is that there is no such region.
pub(super) fn is_unknown_region(reason: &Final, region: &str) -> bool {
    matches!(reason, Final::NoSuchHost(host) | Final::NotResolved(host) if is_of_aws(host))
        && !is_known(region)
}

/// The next step for a request in a region that cannot be repeated.
pub(super) fn next_step(reason: &Final, region: &str) -> String {
    if is_unknown_region(reason, region) {
        let nearest = nearest(region);
        return format!("is {region} a region? did you mean {nearest}? pass --region, or set AWS_REGION");
    }
    let endpoint = "is AWS_ENDPOINT_URL right, or endpoint_url in ~/.aws/config?";
    match reason {
        Final::NoSuchHost(host) | Final::NotResolved(host) if is_of_aws(host) => {
            "check this machine's network and name servers".to_owned()
        }
        Final::NoNameServer { .. } => {
            "check the name servers in /etc/resolv.conf, which a static executable queries by itself"
                .to_owned()
        }
        Final::Refused(host) if is_of_aws(host) => {
            "check the firewall of this machine's network, and whether it requires a proxy (HTTPS_PROXY)"
                .to_owned()
        }
        Final::NoSuchHost(_)
        | Final::NotResolved(_)
        | Final::Refused(_)
        | Final::Scheme
        | Final::TooLarge { .. } => endpoint.to_owned(),
        Final::Tls { host, .. } if is_of_aws(host) => {
            "if a proxy opens TLS connections, set AWS_CA_BUNDLE to the file of its certificate".to_owned()
        }
        Final::Tls { .. } => {
            "is AWS_ENDPOINT_URL right? a certificate of your own is trusted by AWS_CA_BUNDLE".to_owned()
        }
        Final::NoSuchProxy
        | Final::ProxyRefused
        | Final::ProxyAuthorization
        | Final::ProxyRejected(_)
        | Final::ProxyScheme => {
            "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; NO_PROXY lists the hosts to connect to without"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_region_is_the_one_that_was_meant() {
        for (typed, meant) in [
            ("us-esat-1", "us-east-1"),
            ("us-east1", "us-east-1"),
            ("US-EAST-1", "us-east-1"),
            ("eu-west-11", "eu-west-1"),
            ("ap-norteast-2", "ap-northeast-2"),
            ("eu-central", "eu-central-1"),
        ] {
            assert_eq!(nearest(typed), meant, "{typed}");
        }
    }

    #[test]
    fn only_hosts_of_aws_tell_of_a_region() {
        let absent = |host: &str| Final::NoSuchHost(host.to_owned());
        assert!(is_unknown_region(&absent("eks.us-esat-1.amazonaws.com"), "us-esat-1"));
        assert!(is_unknown_region(&absent("eks.eu-moon-1.api.aws:443"), "eu-moon-1"));
        assert!(!is_unknown_region(&absent("eks.us-east-1.amazonaws.com"), "us-east-1"));
        assert!(!is_unknown_region(&absent("localstack"), "us-esat-1"));
        assert!(!is_unknown_region(&Final::Refused("eks.us-esat-1.amazonaws.com".into()), "us-esat-1"));
    }
}
