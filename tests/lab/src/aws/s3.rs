//! S3: `GetObject`. The signature's form is checked, and not the signature itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::call::Call;
use super::error::ApiError;
use super::xml;
use crate::http::{Request, Response};
use crate::listen::lock;

/// The SHA-256 digest of an empty body.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A bucket.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Its region, if only requests that are signed for it are answered.
    pub region: Option<String>,
    /// Whether such a request is a malformed one, as at the endpoint of the bucket's region, instead
    /// of one to redirect.
    pub is_strict: bool,
    /// The time before an object that was written exists.
    pub appears_after: Duration,
    /// Whether its objects may not be listed: those that do not exist are denied.
    pub is_unlisted: bool,
}

/// The service.
#[derive(Debug, Default)]
pub struct S3 {
    buckets: Mutex<BTreeMap<String, Bucket>>,
    /// The objects, by bucket and key, and when they were written.
    objects: Mutex<BTreeMap<(String, String), (Instant, String)>>,
}

impl S3 {
    /// Creates or replaces a bucket.
    pub fn create_bucket(&self, name: &str, bucket: Bucket) {
        lock(&self.buckets).insert(name.to_owned(), bucket);
    }

    /// Writes an object. Without its bucket it is lost.
    pub fn put(&self, bucket: &str, key: &str, content: String) {
        if lock(&self.buckets).contains_key(bucket) {
            lock(&self.objects).insert((bucket.to_owned(), key.to_owned()), (Instant::now(), content));
        }
    }

    /// Removes all buckets.
    pub fn reset(&self) {
        lock(&self.buckets).clear();
        lock(&self.objects).clear();
    }

    /// Responds to a call.
    pub(super) fn respond(&self, request: &Request, call: &Call) -> Result<Response, ApiError> {
        check_signature(request)?;
        if call.operation != "GetObject" {
            return Err(ApiError::new(405, "MethodNotAllowed", "The specified method is not allowed."));
        }
        let parameter = |name| call.parameter(name).unwrap_or_default().to_owned();
        let (name, key) = (parameter("Bucket"), parameter("Key"));
        let Some(bucket) = lock(&self.buckets).get(&name).cloned() else {
            return Err(ApiError::new(404, "NoSuchBucket", "The specified bucket does not exist"));
        };
        if let Some(region) = bucket.region.as_ref().filter(|region| call.region.as_ref() != Some(region)) {
            return Ok(elsewhere(region, bucket.is_strict));
        }
        let object = lock(&self.objects).get(&(name, key)).cloned();
        match object.filter(|(written, _)| written.elapsed() >= bucket.appears_after) {
            Some((_, body)) => Ok(Response {
                status: 200,
                content_type: "text/plain",
                headers: vec![("accept-ranges", "bytes".to_owned())],
                body,
            }),
            None if bucket.is_unlisted => Err(ApiError::new(403, "AccessDenied", "Access Denied")),
            None => Err(ApiError::new(404, "NoSuchKey", "The specified key does not exist.")),
        }
    }
}

/// The response to a request for a bucket in another region.
fn elsewhere(region: &str, is_strict: bool) -> Response {
    let (status, code) =
        if is_strict { (400, "AuthorizationHeaderMalformed") } else { (301, "PermanentRedirect") };
    let rest = if is_strict { format!("<Region>{region}</Region>") } else { String::new() };
    let body =
        format!("{}<Error><Code>{code}</Code><Message>elsewhere</Message>{rest}</Error>", xml::PROLOGUE);
    let headers = if is_strict { Vec::new() } else { vec![("x-amz-bucket-region", region.to_owned())] };
    Response { status, content_type: xml::CONTENT_TYPE, headers, body }
}

/// Rejects a request whose signature does not have the form that S3 requires.
fn check_signature(request: &Request) -> Result<(), ApiError> {
    let header = |name| request.header(name).unwrap_or_default();
    let part = |name: &str| {
        let mut parts = header("authorization").split([',', ' ']).map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    };
    if header("x-amz-content-sha256") != EMPTY {
        let message = "Missing required header for this request: x-amz-content-sha256";
        return Err(ApiError::new(400, "MissingSecurityHeader", message));
    }
    let date = header("x-amz-date");
    let has_date = date.len() == 16 && date.ends_with('Z') && part("Credential").contains(&date[..8]);
    let signature = part("Signature");
    let is_hex = signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_hexdigit());
    let signed: Vec<_> = part("SignedHeaders").split(';').collect();
    let mut required = vec!["host", "x-amz-content-sha256", "x-amz-date"];
    if request.header("x-amz-security-token").is_some() {
        required.push("x-amz-security-token");
    }
    if has_date && is_hex && required.iter().all(|name| signed.contains(name)) {
        return Ok(());
    }
    Err(ApiError::new(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided.",
    ))
}
