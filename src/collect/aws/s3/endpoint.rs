//! The URLs of objects.

use std::fmt::{self, Write};

use aws_config::SdkConfig;
use aws_sdk_ssm::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_types::service_config::ServiceConfigKey;

use crate::collect::aws::failure::Failure;
use crate::collect::aws::http::host_of;

/// An object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a> {
    /// Its bucket.
    pub(crate) bucket: &'a str,
    /// Its key.
    pub(crate) key: &'a str,
}

/// Where S3 is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// At a configured URL.
    Configured(String),
    /// At a host of AWS for each region.
    OfAws {
        /// The first labels of the host name, before that of the region.
        service: &'static str,
        /// The domain of the partition.
        domain: String,
    },
}

impl Endpoint {
    /// The endpoint of a configuration: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, their
    /// counterparts in a profile, or the hosts of the region's partition.
    pub(super) async fn of(config: &SdkConfig) -> Result<Self, Failure> {
        if let Some(url) = configured(config) {
            return Ok(Self::Configured(url));
        }
        let region = config.region().map(AsRef::as_ref).unwrap_or_default();
        // https://docs.aws.amazon.com/general/latest/gr/s3.html
        let service = match (config.use_fips().unwrap_or(false), config.use_dual_stack().unwrap_or(false)) {
            (false, false) => "s3",
            (false, true) => "s3.dualstack",
            (true, false) => "s3-fips",
            (true, true) => "s3-fips.dualstack",
        };
        let domain = domain(region).await.ok_or_else(|| Failure::no_endpoint(region))?;
        Ok(Self::OfAws { service, domain })
    }

    /// The URL of an object. The name of a bucket with a dot cannot be a label of a host name
    /// for which the certificate of S3 is valid.
    pub(super) fn url(&self, region: &str, object: Object<'_>) -> String {
        let Object { bucket, key } = object;
        let key = encoded(key);
        let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match self {
            Self::Configured(url) => format!("{}/{bucket}/{key}", url.trim_end_matches('/')),
            Self::OfAws { service, domain } if bucket.bytes().all(is_label) => {
                format!("https://{bucket}.{service}.{region}.{domain}/{key}")
            }
            Self::OfAws { service, domain } => format!("https://{service}.{region}.{domain}/{bucket}/{key}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured(url) => f.write_str(&host_of(url)),
            Self::OfAws { domain, .. } => f.write_str(domain),
        }
    }
}

/// The URL that is configured for S3, as the SDK's own clients look for it.
fn configured(config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let of_service = config.service_config().zip(key.build().ok());
    let of_service = of_service.and_then(|(services, key)| services.load_config(key));
    of_service.or_else(|| config.endpoint_url().map(ToOwned::to_owned))
}

/// The domain of a region's partition, which is known of another service.
async fn domain(region: &str) -> Option<String> {
    let parameters = Params::builder().region(region).build().ok()?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&parameters).await.ok()?;
    let domain = endpoint.url().strip_prefix("https://ssm.")?.strip_prefix(region)?.strip_prefix('.')?;
    Some(domain.to_owned())
}

/// The key as a part of a URL: S3 requires all but these characters to be encoded.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
fn encoded(key: &str) -> String {
    let mut encoded = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use aws_config::Region;

    use super::*;

    fn endpoint(config: &SdkConfig) -> Endpoint {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(Endpoint::of(config)).expect("an endpoint")
    }

    fn url(region: &'static str, bucket: &str) -> String {
        let config = SdkConfig::builder().region(Region::new(region)).build();
        endpoint(&config).url(region, Object { bucket, key: "a/b=c" })
    }

    #[test]
    fn each_partition_has_its_domain() {
        for (region, domain) in [
            ("eu-west-1", "amazonaws.com"),
            ("us-gov-west-1", "amazonaws.com"),
            ("cn-north-1", "amazonaws.com.cn"),
            ("eusc-de-east-1", "amazonaws.eu"),
            ("us-iso-east-1", "c2s.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov"),
            ("ap-somewhere-9", "amazonaws.com"),
        ] {
            assert_eq!(url(region, "my-bucket"), format!("https://my-bucket.s3.{region}.{domain}/a/b%3Dc"));
        }
    }

    #[test]
    fn a_bucket_that_is_no_label_is_in_the_path() {
        for bucket in ["my.bucket", "my_bucket"] {
            assert_eq!(
                url("eu-west-1", bucket),
                format!("https://s3.eu-west-1.amazonaws.com/{bucket}/a/b%3Dc")
            );
        }
    }

    #[test]
    fn fips_and_dual_stack_hosts_are_others() {
        let config = || SdkConfig::builder().region(Region::new("us-west-2"));
        let object = Object { bucket: "bucket", key: "k" };
        let fips = endpoint(&config().use_fips(true).build()).url("us-west-2", object);
        assert_eq!(fips, "https://bucket.s3-fips.us-west-2.amazonaws.com/k");
        let both = endpoint(&config().use_fips(true).use_dual_stack(true).build()).url("us-west-2", object);
        assert_eq!(both, "https://bucket.s3-fips.dualstack.us-west-2.amazonaws.com/k");
    }

    #[test]
    fn a_configured_endpoint_has_the_bucket_in_the_path() {
        let config = SdkConfig::builder().endpoint_url("http://127.0.0.1:4566/").build();
        let url = endpoint(&config).url("eu-west-1", Object { bucket: "bucket", key: "k" });
        assert_eq!(url, "http://127.0.0.1:4566/bucket/k");
    }
}
