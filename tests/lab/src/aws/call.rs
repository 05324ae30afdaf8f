//! Parses a request into a call: the service, the operation and its parameters.

use std::collections::BTreeMap;
use std::time::Instant;

use super::error::ApiError;
use crate::http::Request;

/// The prefix of the access key of an assumed role; the role's account ID follows it.
pub(super) const ROLE_KEY_PREFIX: &str = "ASIALABROLE";

/// An AWS service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Elastic Kubernetes Service: REST, JSON.
    Eks,
    /// Elastic Compute Cloud: query protocol, XML responses.
    Ec2,
    /// Systems Manager: JSON 1.1.
    Ssm,
    /// Security Token Service: query protocol, XML responses.
    Sts,
    /// Simple Storage Service: REST, XML errors.
    S3,
}

impl Service {
    /// The service's name in a signature's credential scope and in IAM actions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eks => "eks",
            Self::Ec2 => "ec2",
            Self::Ssm => "ssm",
            Self::Sts => "sts",
            Self::S3 => "s3",
        }
    }
}

/// A call that the API has received.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service called.
    pub service: Service,
    /// The operation, such as `DescribeNetworkInterfaces`.
    pub operation: String,
    /// The parameters under the names they have in the request: `Filter.1.Name` in EC2, `name` in EKS. In
    /// JSON, each is text or, for other values, JSON.
    pub parameters: BTreeMap<String, String>,
    /// The number of the page requested, from 1; 0 if the pagination token is invalid.
    pub page: usize,
    /// The access key ID in its signature.
    pub access_key: Option<String>,
    /// The region in its signature.
    pub region: Option<String>,
    /// The client's `x-amz-user-agent` header, or `user-agent` if there is none.
    pub user_agent: String,
    /// When the request was received.
    pub received_at: Instant,
}

impl Call {
    /// Parses a request.
    pub(super) fn from_request(request: &Request) -> Self {
        let (service, operation, parameters) = match request.method.as_str() {
            "POST" => match request.header("x-amz-target") {
                Some(target) => parse_json_call(request, target),
                None => parse_query_call(request),
            },
            _ if is_of_s3(request) => parse_s3_call(request),
            _ => parse_rest_call(request),
        };
        let token = parameters.get("NextToken").or_else(|| parameters.get("nextToken"));
        let page = token.map_or(1, |token| PageToken::parse(token).map_or(0, |token| token.page));
        let agent = request.header("x-amz-user-agent").or_else(|| request.header("user-agent"));
        Self {
            service,
            operation,
            parameters,
            page,
            access_key: credential_scope(request).map(|(key, ..)| key.to_owned()),
            region: credential_scope(request).map(|(_, region, _)| region.to_owned()),
            user_agent: agent.unwrap_or_default().to_owned(),
            received_at: Instant::now(),
        }
    }

    /// The account of the assumed role that signed the call; `None` if no role did.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.access_key.as_deref()?.strip_prefix(ROLE_KEY_PREFIX)
    }

    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The values of a list parameter: `name.1`, `name.2` and so on.
    pub(super) fn list_parameter(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|number| self.parameter(&format!("{name}.{number}"))).collect()
    }
}

/// Parses a call of the query protocol: a form with `Action` and the parameters.
fn parse_query_call(request: &Request) -> (Service, String, BTreeMap<String, String>) {
    let mut parameters: BTreeMap<_, _> = form_urlencoded::parse(&request.body).into_owned().collect();
    let operation = parameters.remove("Action").unwrap_or_default();
    parameters.remove("Version");
    let service = match operation.as_str() {
        "GetCallerIdentity" | "AssumeRole" | "AssumeRoleWithWebIdentity" => Service::Sts,
        _ => Service::Ec2,
    };
    (service, operation, parameters)
}

/// Parses a call of JSON 1.1: the operation is in a header, the parameters are the body's members.
fn parse_json_call(request: &Request, target: &str) -> (Service, String, BTreeMap<String, String>) {
    let body: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&request.body).unwrap_or_default();
    let parameters = body.into_iter().map(|(name, value)| {
        let text = value.as_str().map(ToOwned::to_owned);
        (name, text.unwrap_or_else(|| value.to_string()))
    });
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    (Service::Ssm, operation, parameters.collect())
}

/// Whether a request is one to S3: its path is any.
fn is_of_s3(request: &Request) -> bool {
    credential_scope(request).is_some_and(|(.., service)| service == "s3")
}

/// Parses a call of S3: the bucket is in the path, before the key.
fn parse_s3_call(request: &Request) -> (Service, String, BTreeMap<String, String>) {
    let path = percent_encoding::percent_decode_str(request.path.trim_start_matches('/'));
    let path = path.decode_utf8_lossy();
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    let parameters = [("Bucket", bucket), ("Key", key)];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let operation = match request.method.as_str() {
        "GET" if !key.is_empty() => "GetObject".to_owned(),
        method => format!("{method} {path}"),
    };
    (Service::S3, operation, parameters)
}

/// Parses a REST call of EKS. An unknown operation is named by its method and path.
fn parse_rest_call(request: &Request) -> (Service, String, BTreeMap<String, String>) {
    let mut parameters: BTreeMap<_, _> =
        form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
    let unknown = || format!("{} {}", request.method, request.path);
    let segments: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let operation = match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["clusters"]) => "ListClusters".to_owned(),
        ("GET", ["clusters", name]) => {
            let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            parameters.insert("name".to_owned(), name.into_owned());
            "DescribeCluster".to_owned()
        }
        _ => unknown(),
    };
    (Service::Eks, operation, parameters)
}

/// The access key ID, the region and the service in a request's `Authorization` header. The signature itself
/// is not verified.
fn credential_scope(request: &Request) -> Option<(&str, &str, &str)> {
    let authorization = request.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let credential = authorization.split(',').find_map(|part| part.trim().strip_prefix("Credential="))?;
    match credential.split('/').collect::<Vec<_>>().as_slice() {
        [key, _date, region, service, "aws4_request"] => Some((key, region, service)),
        _ => None,
    }
}

/// Rejects a request that is not signed, or is signed for another service.
pub(super) fn authenticate(request: &Request, service: Service) -> Result<(), ApiError> {
    match credential_scope(request) {
        None => Err(ApiError::new(403, "MissingAuthenticationToken", "Missing Authentication Token")),
        Some((.., scoped)) if scoped != service.name() => {
            let message = format!("Credential should be scoped to correct service: '{}'.", service.name());
            Err(ApiError::new(403, "SignatureDoesNotMatch", message))
        }
        Some(_) => Ok(()),
    }
}

/// A pagination token: the position of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageToken {
    /// The page number, from 1.
    pub(super) page: usize,
    /// The index of its first element.
    pub(super) offset: usize,
}

impl PageToken {
    /// Formats the token. Like AWS's own tokens it has characters that a client must percent-encode.
    pub(super) fn write(self) -> String {
        format!("lab+{}/{}==", self.page, self.offset)
    }

    /// Parses the output of [`write`](Self::write).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (page, offset) = text.strip_prefix("lab+")?.strip_suffix("==")?.split_once('/')?;
        Some(Self { page: page.parse().ok()?, offset: offset.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(service: &str, request: Request) -> Request {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/{service}/aws4_request, Signature=0"
        );
        Request { headers: vec![("Authorization".to_owned(), value)], ..request }
    }

    fn get(path: &str, query: &str) -> Request {
        Request {
            method: "GET".to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            ..Request::default()
        }
    }

    #[test]
    fn query_call_is_parsed_from_a_form() {
        let body = b"Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1&VpcId.2=vpc-2\
                     &NextToken=lab%2B3%2F10%3D%3D";
        let request = Request { method: "POST".to_owned(), body: body.to_vec(), ..Request::default() };
        let call = Call::from_request(&signed("ec2", request));
        assert_eq!((call.service, call.operation.as_str(), call.page), (Service::Ec2, "DescribeVpcs", 3));
        assert_eq!(call.list_parameter("VpcId"), ["vpc-1", "vpc-2"]);
        assert_eq!(call.access_key.as_deref(), Some("AKID"));
    }

    #[test]
    fn cluster_name_is_decoded_from_the_path() {
        let call = Call::from_request(&get("/clusters/my%2Feks%20x", ""));
        assert_eq!((call.operation.as_str(), call.parameter("name")), ("DescribeCluster", Some("my/eks x")));
        let call = Call::from_request(&get("/clusters", "maxResults=5"));
        assert_eq!((call.operation.as_str(), call.parameter("maxResults")), ("ListClusters", Some("5")));
        assert_eq!(Call::from_request(&get("/addons", "")).operation, "GET /addons");
    }

    #[test]
    fn signature_for_another_service_is_rejected() {
        let code = |request: &Request| authenticate(request, Service::Eks).map_err(|error| error.code);
        assert_eq!(code(&signed("eks", Request::default())), Ok(()));
        assert_eq!(code(&signed("ec2", Request::default())), Err("SignatureDoesNotMatch".to_owned()));
        assert_eq!(code(&Request::default()), Err("MissingAuthenticationToken".to_owned()));
    }
}
