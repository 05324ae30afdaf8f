//! What an error of the SDK means, in words: its code and message, never a dump
//! of the response.

use std::error::Error;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use crate::model::gap::GapReason;

/// Over this, a message of AWS says the same thing again.
const MESSAGE_KEPT: usize = 400;

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: GapReason,
    pub(crate) detail: String,
    pub(crate) blames: Blames,
}

/// What has to change before the call can give something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blames {
    /// What the reason says.
    Reason,
    /// The name: AWS says that there is no such thing.
    Name,
    /// What the user configured: no request could be made of it.
    Configuration,
    /// Credentials whose time is over.
    Age,
    /// Credentials that AWS does not take.
    Credentials,
    /// Who may assume the role.
    Role,
    /// The account, which has not switched the region on.
    Region,
}

impl Failure {
    pub(super) fn new(why: GapReason, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into(), blames: Blames::Reason }
    }

    fn blaming(self, blames: Blames) -> Self {
        Self { blames, ..self }
    }

    /// An answer that is not what was asked for.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(GapReason::Malformed, detail)
    }

    /// What to do about it.
    pub(crate) fn hint(&self, action: &str) -> String {
        match (self.blames, self.why) {
            (Blames::Configuration, _) => "see --profile, AWS_PROFILE, AWS_ENDPOINT_URL and ~/.aws/config".to_owned(),
            (Blames::Age, _) => "log in again (aws sso login), and see that this machine's clock is right".to_owned(),
            (Blames::Credentials, _) => {
                "see whose they are with `aws sts get-caller-identity` and where they come from with `aws configure list`, and that this machine's clock is right".to_owned()
            }
            (Blames::Role, _) => {
                "allow sts:AssumeRole on the role to whoever asks, and see that its trust policy does".to_owned()
            }
            (Blames::Region, _) => "enable the region for the account, or pass another --region".to_owned(),
            (_, GapReason::AccessDenied) => {
                format!("allow {action}; `eks-netcheck iam-policy` prints the least policy that all calls need")
            }
            (_, GapReason::NoCredentials) => {
                "log in (aws sso login), or pass another --profile; `aws configure list` shows where credentials come from".to_owned()
            }
            (_, GapReason::TimedOut) => "try again, or give it longer with --timeout".to_owned(),
            (_, GapReason::Malformed) => {
                "see what answers at that address: a proxy, or AWS_ENDPOINT_URL set to something else?".to_owned()
            }
            _ => "try again".to_owned(),
        }
    }
}

/// Tells what an error means.
pub(super) fn failure<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            service_failure(context.err().code(), context.err().message(), status)
        }
        SdkError::ResponseError(context) => {
            let raw = context.raw();
            let kind = raw.headers().get("content-type").unwrap_or("no content type");
            Failure::malformed(format!(
                "the answer is none of AWS's: HTTP status {}, {kind}",
                raw.status().as_u16()
            ))
        }
        SdkError::DispatchFailure(dispatch) => {
            let connector = dispatch.as_connector_error();
            let said = connector.map_or_else(|| "not sent".to_owned(), |error| causes(error));
            // The SDK finds them when it signs, and calls it a failed dispatch.
            if said.contains("credential") {
                return no_credentials(said);
            }
            if said.contains(NOT_APPLIED) {
                return not_to_be_made(&said);
            }
            let why = match connector {
                Some(error) if error.is_timeout() => GapReason::TimedOut,
                Some(error) if error.is_io() => GapReason::Unreachable,
                _ => GapReason::Failed,
            };
            Failure::new(why, said)
        }
        SdkError::ConstructionFailure(_) => not_to_be_made(&causes(error)),
        other => Failure::new(GapReason::Failed, causes(other)),
    }
}

/// What the SDK says, in front of it, of an endpoint that is no URL.
const NOT_APPLIED: &str = "failed to apply endpoint `";

fn no_credentials(said: String) -> Failure {
    let known = |text: &str| said.contains(text);
    if known("no credentials found in chain") {
        let places = "the environment, a profile, SSO, and a role of this machine or container were tried";
        return Failure::new(GapReason::NoCredentials, format!("there are no credentials: {places}"));
    }
    let blames = if known("was not defined") {
        Blames::Configuration
    } else if known("AssumeRole") && (known("AccessDenied") || known("not authorized")) {
        Blames::Role
    } else if known("ExpiredToken") {
        Blames::Age
    } else {
        Blames::Reason
    };
    Failure::new(GapReason::NoCredentials, said).blaming(blames)
}

/// A request that could not even be made. The SDK's words hold the whole of it.
fn not_to_be_made(said: &str) -> Failure {
    let endpoint = said.split_once(NOT_APPLIED).and_then(|(_, rest)| rest.split_once('`'));
    let detail = match endpoint {
        Some((endpoint, _)) => {
            format!("the AWS endpoint {endpoint:?} is no URL, which begins with https:// or http://")
        }
        None => said.to_owned(),
    };
    Failure::new(GapReason::Failed, detail).blaming(Blames::Configuration)
}

fn service_failure(code: Option<&str>, message: Option<&str>, status: u16) -> Failure {
    // https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
    // https://docs.aws.amazon.com/eks/latest/APIReference/CommonErrors.html
    let (why, blames) = match code {
        Some("AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation") => {
            (GapReason::AccessDenied, Blames::Reason)
        }
        Some("ExpiredToken" | "ExpiredTokenException" | "RequestExpired") => {
            (GapReason::NoCredentials, Blames::Age)
        }
        Some(
            "AuthFailure"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException",
        ) => (GapReason::NoCredentials, Blames::Credentials),
        Some("OptInRequired") => (GapReason::AccessDenied, Blames::Region),
        Some("ResourceNotFoundException") => (GapReason::NotFound, Blames::Name),
        // Neither EKS nor EC2 answers without a code.
        None => (GapReason::Malformed, Blames::Reason),
        Some(_) => (GapReason::Failed, Blames::Reason),
    };
    let message = message.unwrap_or_default();
    // A long blob that only sts:DecodeAuthorizationMessage can read.
    let message = message.split(" Encoded authorization failure message").next().unwrap_or_default();
    let message = shortened(message.trim().trim_end_matches('.'));
    let detail = match code {
        Some(code) if message.is_empty() => format!("{code} (HTTP status {status})"),
        Some(code) => format!("{code}: {message}"),
        None => format!("the answer is none of AWS's: HTTP status {status}"),
    };
    Failure::new(why, detail).blaming(blames)
}

/// The causes of an error from the outermost in, each said once.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default().trim_end_matches([':', '.', ' ']).to_owned();
        // Wrappers often repeat what they wrap, and the outermost says nothing.
        if text != "other" && !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        next = error.source();
    }
    shortened(&said.join(": "))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_KEPT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_says_code_and_message() {
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
        assert_eq!(absent.blames, Blames::Name);
        assert_eq!(service_failure(None, None, 200).why, GapReason::Malformed);
    }

    #[test]
    fn each_refusal_has_its_own_next_step() {
        let hint = |code| service_failure(Some(code), None, 403).hint("eks:DescribeCluster");
        assert!(hint("ExpiredTokenException").starts_with("log in again"));
        assert!(hint("SignatureDoesNotMatch").contains("clock"));
        assert!(hint("UnrecognizedClientException").contains("get-caller-identity"));
        assert!(hint("OptInRequired").contains("--region"));
        assert!(hint("AccessDeniedException").starts_with("allow eks:DescribeCluster"));
        let endpoint = not_to_be_made("failed to apply endpoint `x` to request `Request { .. }`: no scheme");
        assert_eq!(
            endpoint.detail,
            "the AWS endpoint \"x\" is no URL, which begins with https:// or http://"
        );
    }

    #[test]
    fn messages_end() {
        assert_eq!(shortened(&"ä".repeat(1000)).chars().count(), MESSAGE_KEPT + 3);
    }
}
