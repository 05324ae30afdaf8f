//! Fault injection.

use std::time::Duration;

use super::account::Account;
use super::call::{Call, Service};
use super::error::ApiError;

/// A fault to inject into calls.
///
/// Faults are tried in the order of injection, and the first active one that matches the call determines the
/// response. [`FaultKind::Delay`] only adds its time; the faults after it are tried as well.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The operation, such as `DescribeNetworkInterfaces`, or `*` for every operation.
    pub operation: String,
    /// The effect on the call.
    pub kind: FaultKind,
    /// How many matching calls it affects; `None` is no limit.
    pub times: Option<usize>,
    /// How many matching calls succeed first.
    pub after: usize,
    /// Restricts it to calls with this region, role account or parameter value.
    pub matching: Option<String>,
}

impl Fault {
    /// A fault that affects every call of `operation`.
    #[must_use]
    pub fn always(operation: &str, kind: FaultKind) -> Self {
        Self { operation: operation.to_owned(), kind, times: None, after: 0, matching: None }
    }

    /// Limits the fault to `times` calls.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Restricts the fault to calls with the region, role account or parameter value `value`.
    #[must_use]
    pub fn matching(self, value: &str) -> Self {
        Self { matching: Some(value.to_owned()), ..self }
    }

    /// Activates the fault after `after` successful calls.
    #[must_use]
    pub fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }
}

/// The effect of a fault. Errors have the code, status and message that the called service uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The caller lacks the permission: `AccessDeniedException`, in EC2 `UnauthorizedOperation`.
    Denied,
    /// The call is throttled: `ThrottlingException`, in EC2 `RequestLimitExceeded`.
    Throttled,
    /// The credentials have expired: `ExpiredTokenException`, in EC2 `RequestExpired`.
    Expired,
    /// An internal error of the service: status 500.
    Internal,
    /// The resource does not exist: `ResourceNotFoundException`, status 404.
    NotFound,
    /// Another error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: String,
        /// The error message.
        message: String,
    },
    /// The regular response, delayed.
    Delay(Duration),
    /// An HTML page with status 200, as from a captive portal.
    Html,
    /// The connection is closed without a response.
    Close,
    /// The connection is closed after half of the body.
    TruncatedBody,
    /// The beginning of the body, which is all of a body whose length no header gives: it ends with the
    /// connection.
    Cut {
        /// How many thousandths of the body are sent.
        thousandths: usize,
    },
    /// Another body, with status 200.
    Body(String),
    /// The connection stays open without a response.
    NoResponse,
    /// The body never ends, and comes as fast as the client reads it.
    EndlessBody,
    /// The body never ends, and comes at 1.6 MB/s.
    SlowBody,
    /// The first page, which names another page, however often it is requested.
    EndlessPages,
}

impl FaultKind {
    /// The error response; `None` for a fault that is not an error response.
    pub(super) fn error(&self, call: &Call, account: &Account) -> Option<ApiError> {
        use Service::{Ec2, Eks, S3, Ssm, Sts};
        let (status, code, message) = match (self, call.service) {
            (Self::Denied, Ec2) => (
                403,
                "UnauthorizedOperation",
                format!("You are not authorized to perform this operation. {}", denial(call, account)),
            ),
            (Self::Denied, Eks | Ssm) => (403, "AccessDeniedException", denial(call, account)),
            (Self::Denied, Sts | S3) => (403, "AccessDenied", denial(call, account)),
            (Self::Throttled, Ec2) => (503, "RequestLimitExceeded", "Request limit exceeded.".to_owned()),
            (Self::Throttled, Eks | Ssm) => (429, "ThrottlingException", "Rate exceeded".to_owned()),
            (Self::Throttled, S3) => (503, "SlowDown", "Please reduce your request rate.".to_owned()),
            (Self::Throttled, Sts) => (400, "Throttling", "Rate exceeded".to_owned()),
            (Self::Expired, Ec2) => (400, "RequestExpired", "Request has expired.".to_owned()),
            (Self::Expired, service) => (
                403,
                if matches!(service, Eks | Ssm) { "ExpiredTokenException" } else { "ExpiredToken" },
                "The security token included in the request is expired".to_owned(),
            ),
            (Self::Internal, Ec2) => (500, "InternalError", "An internal error has occurred".to_owned()),
            (Self::Internal, Eks) => (500, "ServerException", "An internal error has occurred".to_owned()),
            (Self::Internal, Ssm) => {
                (500, "InternalServerError", "An error occurred on the server side.".to_owned())
            }
            (Self::Internal, S3) => {
                (500, "InternalError", "We encountered an internal error. Please try again.".to_owned())
            }
            (Self::Internal, Sts) => (500, "InternalFailure", "An internal error has occurred".to_owned()),
            (Self::NotFound, _) => {
                (404, "ResourceNotFoundException", "The resource was not found".to_owned())
            }
            (Self::Error { status, code, message }, _) => (*status, code.as_str(), message.clone()),
            (
                Self::Delay(_)
                | Self::Html
                | Self::Close
                | Self::TruncatedBody
                | Self::Cut { .. }
                | Self::Body(_)
                | Self::NoResponse
                | Self::EndlessBody
                | Self::SlowBody
                | Self::EndlessPages,
                _,
            ) => return None,
        };
        Some(ApiError::new(status, code, message))
    }
}

/// IAM's message for a call that no policy allows.
fn denial(call: &Call, account: &Account) -> String {
    let action = format!("{}:{}", call.service.name(), call.operation);
    format!(
        "User: arn:aws:iam::{}:user/operator is not authorized to perform: {action} because no \
         identity-based policy allows the {action} action",
        account.id
    )
}

/// The injected faults, each with the number of calls it has matched.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, usize)>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Matches a call against the faults, and returns its delay and the fault that determines the response.
    pub(super) fn next(&mut self, call: &Call) -> (Duration, Option<FaultKind>) {
        let mut delay = Duration::ZERO;
        for (fault, matched) in &mut self.0 {
            let has_value = |wanted: &String| {
                call.region.as_ref() == Some(wanted)
                    || call.account() == Some(wanted)
                    || call.parameters.values().any(|value| value == wanted)
            };
            if (fault.operation != "*" && fault.operation != call.operation)
                || !fault.matching.as_ref().is_none_or(has_value)
            {
                continue;
            }
            let index = *matched;
            *matched += 1;
            if index < fault.after || fault.times.is_some_and(|times| index >= fault.after + times) {
                continue;
            }
            match fault.kind {
                FaultKind::Delay(time) => delay += time,
                ref kind => return (delay, Some(kind.clone())),
            }
        }
        (delay, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: &str) -> Call {
        Call {
            service: Service::Ec2,
            operation: operation.to_owned(),
            parameters: [("VpcId".to_owned(), "vpc-1".to_owned())].into(),
            page: 1,
            access_key: None,
            region: Some("eu-west-1".to_owned()),
            user_agent: String::new(),
            received_at: std::time::Instant::now(),
        }
    }

    #[test]
    fn fault_is_restricted_to_matching_calls() {
        for (value, is_hit) in [("eu-west-1", true), ("vpc-1", true), ("us-east-1", false)] {
            let mut faults = Faults::default();
            faults.add(Fault::always("*", FaultKind::Close).matching(value));
            assert_eq!(faults.next(&call("DescribeVpcs")).1.is_some(), is_hit, "{value}");
        }
    }

    #[test]
    fn fault_is_active_after_some_calls_and_for_some_calls() {
        let mut faults = Faults::default();
        faults.add(Fault::always("DescribeVpcs", FaultKind::Throttled).after(1).times(2));
        let hits: Vec<_> = (0..4).map(|_| faults.next(&call("DescribeVpcs")).1.is_some()).collect();
        assert_eq!(hits, [false, true, true, false]);
        assert_eq!(faults.next(&call("DescribeSubnets")).1, None);
    }

    #[test]
    fn delay_combines_with_the_next_fault() {
        let mut faults = Faults::default();
        let second = Duration::from_secs(1);
        faults.add(Fault::always("*", FaultKind::Delay(second)));
        faults.add(Fault::always("DescribeVpcs", FaultKind::Close).times(1));
        assert_eq!(faults.next(&call("DescribeVpcs")), (second, Some(FaultKind::Close)));
        assert_eq!(faults.next(&call("DescribeVpcs")), (second, None));
    }
}
