//! The signature of a request for an object.

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign as signed,
};
use aws_sigv4::sign::v4::SigningParams;

/// The headers that sign a request for a URL, with further headers that it has.
pub(super) fn sign(
    url: &str,
    headers: &[(&str, &str)],
    credentials: Credentials,
    region: &str,
    time: SystemTime,
) -> Result<Vec<(String, String)>, Box<dyn Error + Send + Sync>> {
    let mut settings = SigningSettings::default();
    // The key is encoded once, and `..` is an ordinary part of it.
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = credentials.into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(time)
        .settings(settings)
        .build()?;
    let request = SignableRequest::new("GET", url, headers.iter().copied(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = signed(request, &parameters.into())?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
        headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value)
    }

    /// The example of S3's documentation.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
    #[test]
    fn the_signature_is_that_of_the_documentation() {
        let credentials = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
            None,
            "test",
        );
        let time = SystemTime::UNIX_EPOCH + Duration::from_hours(380_376);
        let url = "https://examplebucket.s3.amazonaws.com/test.txt";
        let headers =
            sign(url, &[("range", "bytes=0-9")], credentials, "us-east-1", time).expect("a signature");
        assert_eq!(
            header(&headers, "authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(header(&headers, "x-amz-date"), "20130524T000000Z");
        assert_eq!(header(&headers, "x-amz-content-sha256"), EMPTY);
    }

    #[test]
    fn a_session_token_is_signed() {
        let credentials = Credentials::new("AKID", "secret", Some("token".to_owned()), None, "test");
        let headers = sign("https://s3.example/b/k", &[], credentials, "eu-west-1", SystemTime::UNIX_EPOCH);
        let headers = headers.expect("a signature");
        assert_eq!(header(&headers, "x-amz-security-token"), "token");
        assert!(header(&headers, "authorization").contains(";x-amz-security-token"));
    }
}
