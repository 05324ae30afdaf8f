//! Calls that go wrong, as a test orders them.

use std::time::Duration;

use super::account::Account;
use super::call::{Call, Service};
use super::error::ApiError;

/// An order to let calls go wrong.
///
/// Faults are asked in the order they were set. The first that is due decides the answer;
/// [`FaultKind::Delay`] only adds its time and lets the next ones have their say.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The operation, such as `DescribeNetworkInterfaces`; `*` is every one.
    pub operation: String,
    /// What happens to the call.
    pub kind: FaultKind,
    /// How many calls it happens to; all that come, if `None`.
    pub times: Option<usize>,
    /// How many calls go well before.
    pub after: usize,
    /// A region, an account or a parameter's value: other calls go well.
    pub only: Option<String>,
}

impl Fault {
    /// A fault of every call of `operation`.
    #[must_use]
    pub fn always(operation: &str, kind: FaultKind) -> Self {
        Self { operation: operation.to_owned(), kind, times: None, after: 0, only: None }
    }

    /// The same fault, of that many calls only.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same fault, of calls to a region, by a role's account, or with a parameter of that value.
    #[must_use]
    pub fn only_of(self, word: &str) -> Self {
        Self { only: Some(word.to_owned()), ..self }
    }

    /// The same fault, once that many calls have gone well.
    #[must_use]
    pub fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }
}

/// What happens to a call. The errors have the code, status and words that the service asked has for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The caller lacks the permission: `AccessDeniedException`, or `UnauthorizedOperation` of EC2.
    Denied,
    /// Too many calls: `ThrottlingException`, or `RequestLimitExceeded` of EC2.
    Throttled,
    /// The credentials have run out: `ExpiredTokenException`, or `RequestExpired` of EC2.
    Expired,
    /// The service has failed, status 500.
    Internal,
    /// What was asked for is not there: `ResourceNotFoundException`, status 404.
    NotFound,
    /// Any other error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
    /// The answer is right, and late.
    Delay(Duration),
    /// A captive portal's answer: a page of HTML, with status 200.
    Html,
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed when half of the body has been sent.
    CutShort,
    /// Nothing is ever answered.
    Silence,
    /// The body has no end.
    Endless,
}

impl FaultKind {
    /// The error that the API answers with; `None` for what is no answer of the API.
    pub(super) fn error(&self, call: &Call, account: &Account) -> Option<ApiError> {
        use Service::{Ec2, Eks, Sts};
        let (status, code, message) = match (self, call.service) {
            (Self::Denied, Ec2) => (
                403,
                "UnauthorizedOperation",
                format!("You are not authorized to perform this operation. {}", denial(call, account)),
            ),
            (Self::Denied, Eks) => (403, "AccessDeniedException", denial(call, account)),
            (Self::Denied, Sts) => (403, "AccessDenied", denial(call, account)),
            (Self::Throttled, Ec2) => (503, "RequestLimitExceeded", "Request limit exceeded.".to_owned()),
            (Self::Throttled, Eks) => (429, "ThrottlingException", "Rate exceeded".to_owned()),
            (Self::Throttled, Sts) => (400, "Throttling", "Rate exceeded".to_owned()),
            (Self::Expired, Ec2) => (400, "RequestExpired", "Request has expired.".to_owned()),
            (Self::Expired, service) => (
                403,
                if service == Eks { "ExpiredTokenException" } else { "ExpiredToken" },
                "The security token included in the request is expired".to_owned(),
            ),
            (Self::Internal, Ec2) => (500, "InternalError", "An internal error has occurred".to_owned()),
            (Self::Internal, Eks) => (500, "ServerException", "An internal error has occurred".to_owned()),
            (Self::Internal, Sts) => (500, "InternalFailure", "An internal error has occurred".to_owned()),
            (Self::NotFound, _) => {
                (404, "ResourceNotFoundException", "The resource was not found".to_owned())
            }
            (Self::Error { status, code, message }, _) => (*status, code.as_str(), message.clone()),
            (
                Self::Delay(_) | Self::Html | Self::Close | Self::CutShort | Self::Silence | Self::Endless,
                _,
            ) => return None,
        };
        Some(ApiError::new(status, code, message))
    }
}

/// What IAM says of a call that no policy allows.
fn denial(call: &Call, account: &Account) -> String {
    let action = format!("{}:{}", call.service.name(), call.operation);
    format!(
        "User: arn:aws:iam::{}:user/operator is not authorized to perform: {action} because no \
         identity-based policy allows the {action} action",
        account.id
    )
}

/// The faults that were ordered, and how many calls each has met.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, usize)>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How long a call is to wait, and what else happens to it.
    pub(super) fn next(&mut self, asked: &Call) -> (Duration, Option<FaultKind>) {
        let mut delay = Duration::ZERO;
        for (fault, met) in &mut self.0 {
            let is_meant = |word: &String| {
                asked.region.as_ref() == Some(word)
                    || asked.account() == Some(word)
                    || asked.parameters.values().any(|value| value == word)
            };
            if (fault.operation != "*" && fault.operation != asked.operation)
                || !fault.only.as_ref().is_none_or(is_meant)
            {
                continue;
            }
            let call = *met;
            *met += 1;
            if call < fault.after || fault.times.is_some_and(|times| call >= fault.after + times) {
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
            at: std::time::Instant::now(),
        }
    }

    #[test]
    fn a_fault_may_be_of_some_calls_only() {
        for (word, is_met) in [("eu-west-1", true), ("vpc-1", true), ("us-east-1", false)] {
            let mut faults = Faults::default();
            faults.add(Fault::always("*", FaultKind::Close).only_of(word));
            assert_eq!(faults.next(&call("DescribeVpcs")).1.is_some(), is_met, "{word}");
        }
    }

    #[test]
    fn a_fault_is_due_after_some_calls_and_for_some_calls() {
        let mut faults = Faults::default();
        faults.add(Fault::always("DescribeVpcs", FaultKind::Throttled).after(1).times(2));
        let seen: Vec<_> = (0..4).map(|_| faults.next(&call("DescribeVpcs")).1.is_some()).collect();
        assert_eq!(seen, [false, true, true, false]);
        assert_eq!(faults.next(&call("DescribeSubnets")).1, None);
    }

    #[test]
    fn a_delay_lets_the_next_fault_have_its_say() {
        let mut faults = Faults::default();
        let second = Duration::from_secs(1);
        faults.add(Fault::always("*", FaultKind::Delay(second)));
        faults.add(Fault::always("DescribeVpcs", FaultKind::Close).times(1));
        assert_eq!(faults.next(&call("DescribeVpcs")), (second, Some(FaultKind::Close)));
        assert_eq!(faults.next(&call("DescribeVpcs")), (second, None));
    }
}
