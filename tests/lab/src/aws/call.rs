//! What a request asks for, and of which service.

use std::collections::BTreeMap;
use std::time::Instant;

use super::error::ApiError;
use crate::http::Request;

/// How the access key of an assumed role begins; its account is the rest.
pub(super) const ROLE_KEY_PREFIX: &str = "ASIALABROLE";

/// A service of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Elastic Kubernetes Service: REST and JSON.
    Eks,
    /// Elastic Compute Cloud: a form in, XML out.
    Ec2,
    /// Security Token Service: a form in, XML out.
    Sts,
}

impl Service {
    /// The name that a signature's scope gives the service, and an IAM action begins with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eks => "eks",
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
        }
    }
}

/// A call, as the journal keeps it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whom it asked.
    pub service: Service,
    /// The operation, such as `DescribeNetworkInterfaces`.
    pub operation: String,
    /// The parameters, as they came: `Filter.1.Name` of EC2, `name` of EKS.
    pub parameters: BTreeMap<String, String>,
    /// Which page it asked for, from 1. Of a token that is not ours, 0.
    pub page: usize,
    /// The access key that signed it.
    pub access_key: Option<String>,
    /// The region that it was signed for.
    pub region: Option<String>,
    /// What the client says it is: `x-amz-user-agent` where it is sent, else `user-agent`.
    pub user_agent: String,
    /// When the request had arrived.
    pub at: Instant,
}

impl Call {
    /// What `request` asks for.
    pub(super) fn from_request(request: &Request) -> Self {
        let (service, operation, parameters) = match request.method.as_str() {
            "POST" => form(request),
            _ => rest(request),
        };
        let token = parameters.get("NextToken").or_else(|| parameters.get("nextToken"));
        let page = token.map_or(1, |token| Token::parse(token).map_or(0, |token| token.page));
        let agent = request.header("x-amz-user-agent").or_else(|| request.header("user-agent"));
        Self {
            service,
            operation,
            parameters,
            page,
            access_key: scope(request).map(|(key, ..)| key.to_owned()),
            region: scope(request).map(|(_, region, _)| region.to_owned()),
            user_agent: agent.unwrap_or_default().to_owned(),
            at: Instant::now(),
        }
    }

    /// The account that asks, where that is a role's: its access key tells.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.access_key.as_deref()?.strip_prefix(ROLE_KEY_PREFIX)
    }

    /// A parameter's value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The values of the numbered parameters `name.1`, `name.2` and on.
    pub(super) fn numbered(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|number| self.parameter(&format!("{name}.{number}"))).collect()
    }
}

/// A query-protocol call: `Action` and its parameters as a form.
fn form(request: &Request) -> (Service, String, BTreeMap<String, String>) {
    let mut parameters: BTreeMap<_, _> = form_urlencoded::parse(&request.body).into_owned().collect();
    let operation = parameters.remove("Action").unwrap_or_default();
    parameters.remove("Version");
    let service = match operation.as_str() {
        "GetCallerIdentity" | "AssumeRole" | "AssumeRoleWithWebIdentity" => Service::Sts,
        _ => Service::Ec2,
    };
    (service, operation, parameters)
}

/// A REST call of EKS. One that is not known is named by its method and path.
fn rest(request: &Request) -> (Service, String, BTreeMap<String, String>) {
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

/// The access key, the region and the service that a request is signed with, by its `Authorization` header. The signature
/// itself is not verified: any secret will do.
fn scope(request: &Request) -> Option<(&str, &str, &str)> {
    let authorization = request.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let credential = authorization.split(',').find_map(|part| part.trim().strip_prefix("Credential="))?;
    match credential.split('/').collect::<Vec<_>>().as_slice() {
        [key, _date, region, service, "aws4_request"] => Some((key, region, service)),
        _ => None,
    }
}

/// Refuses a request that is not signed, or signed for another service.
pub(super) fn authenticate(request: &Request, service: Service) -> Result<(), ApiError> {
    match scope(request) {
        None => Err(ApiError::new(403, "MissingAuthenticationToken", "Missing Authentication Token")),
        Some((.., scoped)) if scoped != service.name() => {
            let message = format!("Credential should be scoped to correct service: '{}'.", service.name());
            Err(ApiError::new(403, "SignatureDoesNotMatch", message))
        }
        Some(_) => Ok(()),
    }
}

/// Where a page begins, as the client carries it from one call to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The page, from 1.
    pub(super) page: usize,
    /// The first element on it, from 0.
    pub(super) offset: usize,
}

impl Token {
    /// The token as a parameter. It has the characters of AWS's own ones, that a client must encode.
    pub(super) fn write(self) -> String {
        format!("lab+{}/{}==", self.page, self.offset)
    }

    /// The token that [`write`](Self::write) wrote.
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
    fn a_form_is_a_query_call() {
        let body = b"Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1&VpcId.2=vpc-2\
                     &NextToken=lab%2B3%2F10%3D%3D";
        let request = Request { method: "POST".to_owned(), body: body.to_vec(), ..Request::default() };
        let call = Call::from_request(&signed("ec2", request));
        assert_eq!((call.service, call.operation.as_str(), call.page), (Service::Ec2, "DescribeVpcs", 3));
        assert_eq!(call.numbered("VpcId"), ["vpc-1", "vpc-2"]);
        assert_eq!(call.access_key.as_deref(), Some("AKID"));
    }

    #[test]
    fn a_cluster_is_named_by_its_path() {
        let call = Call::from_request(&get("/clusters/my%2Feks%20x", ""));
        assert_eq!((call.operation.as_str(), call.parameter("name")), ("DescribeCluster", Some("my/eks x")));
        let call = Call::from_request(&get("/clusters", "maxResults=5"));
        assert_eq!((call.operation.as_str(), call.parameter("maxResults")), ("ListClusters", Some("5")));
        assert_eq!(Call::from_request(&get("/addons", "")).operation, "GET /addons");
    }

    #[test]
    fn a_signature_names_its_service() {
        let code = |request: &Request| authenticate(request, Service::Eks).map_err(|error| error.code);
        assert_eq!(code(&signed("eks", Request::default())), Ok(()));
        assert_eq!(code(&signed("ec2", Request::default())), Err("SignatureDoesNotMatch".to_owned()));
        assert_eq!(code(&Request::default()), Err("MissingAuthenticationToken".to_owned()));
    }
}
