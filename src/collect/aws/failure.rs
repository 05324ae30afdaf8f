//! Failures of requests: the code and message of an SDK error, never a dump of the
//! response.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::cause::{Cause, NoCredentials, TEXT_MAX, causes, find};
use super::http::{CutOff, Final};
use super::region;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::text::cut;

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: GapReason,
    pub(crate) detail: String,
    pub(crate) cause: Cause,
    /// The next step, where neither the reason nor the cause states it.
    next: Option<String>,
}

impl Failure {
    pub(super) fn new(why: GapReason, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into(), cause: Cause::Reason, next: None }
    }

    fn with_cause(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    /// The same, with another next step.
    pub(super) fn with_next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// The same, of a field.
    pub(super) fn of(self, field: &str) -> Self {
        Self { detail: format!("{field}: {}", self.detail), ..self }
    }

    /// An answer that is not what AWS documents.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(GapReason::Malformed, detail)
    }

    /// An answer without the list that it is about: an empty list is an answer, none is not.
    pub(super) fn no_list(name: &str) -> Self {
        Self::malformed(format!("the answer has no list of {}", name.replace('_', " ")))
    }

    /// The gap that it leaves; `actions` are the IAM actions of the request.
    pub(crate) fn gap(&self, subject: impl Into<Subject>, actions: &[&str]) -> Gap {
        Gap {
            subject: subject.into(),
            why: self.why,
            detail: format!("{}: {}", actions.first().copied().unwrap_or_default(), self.detail),
            hint: self.hint(&actions.join(" and ")),
        }
    }

    /// The next step.
    pub(crate) fn hint(&self, action: &str) -> String {
        if let Some(next) = &self.next {
            return next.clone();
        }
        match (self.cause, self.why) {
            (Cause::ExpiredCredentials, _) => {
                "log in again (aws sso login), and check that this machine's clock is right".to_owned()
            }
            (Cause::InvalidCredentials, _) => {
                "check whose they are with `aws sts get-caller-identity` and where they come from with `aws configure list`, and that this machine's clock is right".to_owned()
            }
            (Cause::RegionDisabled, _) => "enable the region for the account, or pass another --region".to_owned(),
            (_, GapReason::AccessDenied) => {
                format!("allow {action}; `eks-netcheck iam-policy` prints the minimal policy that all calls need")
            }
            (_, GapReason::NoCredentials) => {
                "log in (aws sso login), or pass another --profile; `aws configure list` shows where credentials come from".to_owned()
            }
            (_, GapReason::TimedOut) => "try again, or pass a longer --timeout".to_owned(),
            (_, GapReason::Malformed) => {
                "check what answers at that address: a proxy, or AWS_ENDPOINT_URL set to something else?".to_owned()
            }
            _ => "try again".to_owned(),
        }
    }

    /// The failure that an error of the SDK is, in a region.
    pub(super) fn from_sdk<E>(error: &SdkError<E, HttpResponse>, region: &str) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ServiceError(context) => {
                let status = context.raw().status().as_u16();
                service_failure(context.err().code(), context.err().message(), status)
            }
            // The connection was lost, or ended before the answer did.
            SdkError::ResponseError(_) => Self::new(GapReason::Incomplete, causes(error)),
            SdkError::DispatchFailure(dispatch) => {
                let Some(connector) = dispatch.as_connector_error() else {
                    return Self::new(GapReason::Failed, "not sent");
                };
                Self::of_connector(connector, region)
            }
            SdkError::ConstructionFailure(_) => not_constructed(&causes(error)),
            other => Self::new(GapReason::Failed, causes(other)),
        }
    }

    /// The failure of a request without an answer, in a region.
    pub(super) fn of_connector(connector: &ConnectorError, region: &str) -> Self {
        // The SDK finds credentials when it signs, and reports a failed dispatch.
        if let Some(error) = find::<NoCredentials>(connector) {
            return no_credentials(error);
        }
        if let Some(reason) = find::<Final>(connector) {
            return Self::not_repeated(reason, region);
        }
        let detail = causes(connector);
        if detail.contains("invalid HTTP") {
            return Self::malformed("the answer is not HTTP");
        }
        if detail.contains(NOT_APPLIED) {
            return not_constructed(&detail);
        }
        let why = if connector.is_timeout() {
            GapReason::TimedOut
        } else if find::<CutOff>(connector).is_some() {
            GapReason::Incomplete
        } else if connector.is_io() {
            GapReason::Unreachable
        } else {
            GapReason::Failed
        };
        Self::new(why, detail)
    }

    /// The failure that there are no credentials.
    pub(super) fn of_credentials(error: &CredentialsError) -> Self {
        find::<NoCredentials>(error)
            .map_or_else(|| Self::new(GapReason::NoCredentials, causes(error)), no_credentials)
    }

    /// The failure of an endpoint of which no URL can be made.
    pub(super) fn no_endpoint(endpoint: &str) -> Self {
        not_constructed(&format!("{NOT_APPLIED}{endpoint}`"))
    }

    /// A request whose repetition would fail as well.
    fn not_repeated(reason: &Final, region: &str) -> Self {
        let why = match reason {
            Final::TooLarge { .. } => GapReason::Malformed,
            Final::Scheme | Final::ProxyScheme => GapReason::Failed,
            _ => GapReason::Unreachable,
        };
        let is_configuration =
            matches!(reason, Final::Scheme | Final::ProxyScheme) || region::is_unknown_region(reason, region);
        let cause = if is_configuration { Cause::Configuration } else { Cause::Reason };
        Self { next: Some(region::next_step(reason, region)), ..Self::new(why, reason.to_string()) }
            .with_cause(cause)
    }
}

/// The SDK's text before an endpoint that is not a URL.
const NOT_APPLIED: &str = "failed to apply endpoint `";

fn no_credentials(error: &NoCredentials) -> Failure {
    let NoCredentials { detail, next, cause } = error.clone();
    Failure { why: GapReason::NoCredentials, detail, cause, next: Some(next) }
}

/// A request that could not be constructed. The SDK's message contains all of the request.
fn not_constructed(message: &str) -> Failure {
    let endpoint = message.split_once(NOT_APPLIED).and_then(|(_, rest)| rest.split_once('`'));
    let detail = match endpoint {
        Some((endpoint, _)) => {
            // A URL can contain a password or a token.
            let is_word = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
            let shown = if endpoint.chars().all(is_word) { format!(" {endpoint:?}") } else { String::new() };
            format!("the AWS endpoint{shown} is not a URL that begins with https:// or http://")
        }
        None => "the request cannot be made of the AWS configuration".to_owned(),
    };
    let next = "is AWS_ENDPOINT_URL right, or endpoint_url in ~/.aws/config?".to_owned();
    Failure { next: Some(next), ..Failure::new(GapReason::Failed, detail) }.with_cause(Cause::Configuration)
}

/// The failure that a service answers with.
pub(super) fn service_failure(code: Option<&str>, message: Option<&str>, status: u16) -> Failure {
    // https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
    // https://docs.aws.amazon.com/eks/latest/APIReference/CommonErrors.html
    let (why, cause) = match code {
        Some("AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation") => {
            (GapReason::AccessDenied, Cause::Reason)
        }
        Some("ExpiredToken" | "ExpiredTokenException" | "RequestExpired") => {
            (GapReason::NoCredentials, Cause::ExpiredCredentials)
        }
        Some(
            "AuthFailure"
            | "IncompleteSignature"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "InvalidToken"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException",
        ) => (GapReason::NoCredentials, Cause::InvalidCredentials),
        Some("OptInRequired") => (GapReason::AccessDenied, Cause::RegionDisabled),
        Some("ResourceNotFoundException") => (GapReason::NotFound, Cause::NotFound),
        Some(
            "InvalidDocument" | "InvalidDocumentVersion" | "UnsupportedPlatformType" | "InvalidParameters",
        ) => (GapReason::NotFound, Cause::InvalidDocument),
        Some("InvalidInstanceId") => (GapReason::NotFound, Cause::InvalidInstance),
        Some("InvocationDoesNotExist") => (GapReason::NotFound, Cause::NoInvocationYet),
        // None of the services answers without a code.
        None => (GapReason::Malformed, Cause::Reason),
        Some(_) => (GapReason::Failed, Cause::Reason),
    };
    let message = message.unwrap_or_default();
    // What follows is encoded, for sts:DecodeAuthorizationMessage.
    let message = message.split(" Encoded authorization failure message").next().unwrap_or_default();
    let message = cut(message.trim().trim_end_matches('.'), TEXT_MAX);
    let detail = match code {
        Some(code) if message.is_empty() => format!("{code} (HTTP status {status})"),
        Some(code) => format!("{code}: {message}"),
        None => format!("the answer is not from AWS: HTTP status {status}"),
    };
    Failure::new(why, detail).with_cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_request_has_its_code_and_message() {
        let denied = service_failure(
            Some("UnauthorizedOperation"),
            Some(
                "You are not authorized to perform this operation. Encoded authorization failure message: 4nQ",
            ),
            403,
        );
        assert_eq!(denied.why, GapReason::AccessDenied);
        assert_eq!(denied.detail, "UnauthorizedOperation: You are not authorized to perform this operation");
        assert_eq!(
            service_failure(Some("InternalError"), None, 500).detail,
            "InternalError (HTTP status 500)"
        );
        let absent = service_failure(Some("ResourceNotFoundException"), Some("No cluster"), 404);
        assert_eq!(absent.cause, Cause::NotFound);
        assert_eq!(service_failure(None, None, 200).why, GapReason::Malformed);
    }

    #[test]
    fn each_cause_has_its_own_next_step() {
        let hint = |code| service_failure(Some(code), None, 403).hint("eks:DescribeCluster");
        assert!(hint("ExpiredTokenException").starts_with("log in again"));
        assert!(hint("SignatureDoesNotMatch").contains("clock"));
        assert!(hint("UnrecognizedClientException").contains("get-caller-identity"));
        assert!(hint("OptInRequired").contains("--region"));
        assert!(hint("AccessDeniedException").starts_with("allow eks:DescribeCluster"));
        let endpoint = not_constructed("failed to apply endpoint `x` to request `Request { .. }`: no scheme");
        assert_eq!(
            endpoint.detail,
            "the AWS endpoint \"x\" is not a URL that begins with https:// or http://"
        );
    }
}
