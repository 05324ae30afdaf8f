//! What an error of the SDK means, in words: its code and message, never a dump
//! of the response.

use std::error::Error;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use crate::model::verdict::GapReason;

/// Over this, a message of AWS says the same thing again.
const MESSAGE_KEPT: usize = 400;

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: GapReason,
    pub(crate) detail: String,
    /// AWS says that there is no such thing.
    pub(crate) is_not_found: bool,
}

impl Failure {
    pub(super) fn new(why: GapReason, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into(), is_not_found: false }
    }
}

/// What to do about a failure, where the reason tells.
pub(crate) fn hint(why: GapReason, action: &str) -> String {
    match why {
        GapReason::AccessDenied => {
            format!("allow {action}; `eks-netcheck iam-policy` prints the least policy that all calls need")
        }
        GapReason::NoCredentials => {
            "log in (aws sso login), or pass another --profile; `aws configure list` shows where credentials come from".to_owned()
        }
        GapReason::TimedOut => "try again, or give it longer with --timeout".to_owned(),
        GapReason::Malformed => {
            "see what answers at that address: a proxy, or AWS_ENDPOINT_URL set to something else?".to_owned()
        }
        _ => "try again".to_owned(),
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
            Failure::new(
                GapReason::Malformed,
                format!("the answer is none of AWS's: HTTP status {}, {kind}", raw.status().as_u16()),
            )
        }
        SdkError::DispatchFailure(dispatch) => {
            let connector = dispatch.as_connector_error();
            let said = connector.map_or_else(|| "not sent".to_owned(), |error| causes(error));
            let why = match connector {
                // The SDK finds them when it signs, and calls it a failed dispatch.
                _ if said.contains("credential") => GapReason::NoCredentials,
                Some(error) if error.is_timeout() => GapReason::TimedOut,
                Some(error) if error.is_io() => GapReason::Unreachable,
                _ => GapReason::Failed,
            };
            Failure::new(why, said)
        }
        other => Failure::new(GapReason::Failed, causes(other)),
    }
}

fn service_failure(code: Option<&str>, message: Option<&str>, status: u16) -> Failure {
    let why = match code {
        Some(
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "AuthFailure"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "OptInRequired",
        ) => GapReason::AccessDenied,
        // Neither EKS nor EC2 answers without a code.
        None => GapReason::Malformed,
        Some(_) => GapReason::Failed,
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
    Failure { why, detail, is_not_found: code == Some("ResourceNotFoundException") }
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
        assert!(service_failure(Some("ResourceNotFoundException"), Some("No cluster"), 404).is_not_found);
        assert_eq!(service_failure(None, None, 200).why, GapReason::Malformed);
    }

    #[test]
    fn messages_end() {
        assert_eq!(shortened(&"ä".repeat(1000)).chars().count(), MESSAGE_KEPT + 3);
    }
}
